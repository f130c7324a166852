//! A store in this process's memory.

use std::fmt;
use std::future::ready;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::locks::LockTable;
use super::{AsyncStore, Begun, Found, Life, Store, Within, Written, store_methods};
use crate::cache::{Cache, EvictionPolicy};
use crate::clock::{Clock, CoarseClock, Tick, saturating_nanos};
use crate::echo::error::StoreError;
use crate::echo::lock::RefreshLock;
use crate::error::Result;
use crate::executor::{Executor, Jobs};

#[derive(Clone)]
struct Entry<T> {
    value: T,
    loaded: Loaded,
    until: Tick,
}

/// When a value was loaded, if that is known: in one word, so that entries are small. That may be
/// before the clock's origin, so it wraps around.
#[derive(Clone, Copy)]
struct Loaded(u64);

impl Loaded {
    const UNKNOWN: Loaded = Loaded(u64::MAX);
    /// The greatest age that can be written: 292 years.
    const OLDEST: u64 = u64::MAX / 2;
    const BEHIND: u64 = 1 << 60;

    fn new(written: Tick, age: Option<Duration>) -> Loaded {
        let Some(age) = age else { return Loaded::UNKNOWN };
        let loaded = written.as_nanos().wrapping_sub(saturating_nanos(age).min(Loaded::OLDEST));
        // A nanosecond is nothing to be unknown for.
        Loaded(if loaded == u64::MAX { loaded - 1 } else { loaded })
    }

    #[inline]
    fn age(self, now: Tick) -> Option<Duration> {
        let age = now.as_nanos().wrapping_sub(self.0);
        // A clock that another thread has read a little later.
        let age = if age > u64::MAX - Loaded::BEHIND { 0 } else { age };
        (self.0 != Loaded::UNKNOWN.0).then(|| Duration::from_nanos(age))
    }
}

struct Inner {
    locks: LockTable,
    time: Time,
}

/// The clock, or the default one, which is read without a detour.
enum Time {
    Coarse,
    Other(Arc<dyn Clock>),
}

impl Time {
    #[inline]
    fn now(&self) -> Tick {
        match self {
            Time::Coarse => CoarseClock.now(),
            Time::Other(clock) => clock.now(),
        }
    }
}

/// A store in memory: a [`Cache`], and a table of locks.
///
/// It is a handle: its clones are the same store. It is for threads and for tasks. Reads are
/// lock-free, as the cache's; nothing here fails or waits, but that [`put`](Store::put) and
/// [`remove`](Store::remove) wait for a write of the same key under way, for at most 50 ms.
///
/// Entries live for as long as whoever writes them says, and no longer than the capacity allows.
///
/// ```
/// use docache::echo::{EchoCache, MemoryStore};
/// let cache = EchoCache::<_, usize, String>::new(MemoryStore::new(1_000));
/// assert_eq!(*cache.fetch("ada", || Ok(3)).unwrap(), 3);
/// ```
pub struct MemoryStore<T> {
    /// In here, and not behind `inner`: a read takes one step less.
    cache: Cache<Box<str>, Entry<T>>,
    inner: Arc<Inner>,
}

impl<T> Clone for MemoryStore<T> {
    fn clone(&self) -> Self {
        MemoryStore { cache: self.cache.clone(), inner: self.inner.clone() }
    }
}

impl<T: Clone + Send + Sync + 'static> MemoryStore<T> {
    /// A store for at most `capacity` entries.
    ///
    /// # Panics
    /// If the capacity is 0.
    #[must_use]
    pub fn new(capacity: usize) -> MemoryStore<T> {
        match MemoryStore::builder().capacity(capacity).build() {
            Ok(store) => store,
            Err(error) => panic!("{error}"),
        }
    }

    /// A builder.
    ///
    /// ```
    /// use docache::EvictionPolicy;
    /// use docache::echo::MemoryStore;
    /// let store =
    ///     MemoryStore::<String>::builder().capacity(100).policy(EvictionPolicy::Lru).build()?;
    /// assert!(store.is_empty());
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn builder() -> MemoryStoreBuilder<T> {
        MemoryStoreBuilder {
            capacity: None,
            policy: EvictionPolicy::default(),
            shards: None,
            clock: None,
            executor: None,
            value: PhantomData,
        }
    }

    /// How many entries there are, those included that have expired and were not yet swept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes everything out. Loads under way may write after it.
    pub fn clear(&self) {
        self.cache.clear();
    }

    fn read(&self, key: &str) -> Option<Found<T>> {
        let pinned = self.cache.pin();
        let entry = pinned.get(key)?;
        let now = self.inner.time.now();
        Some(Found {
            value: entry.value.clone(),
            age: entry.loaded.age(now),
            left: (entry.until != Tick::MAX).then(|| entry.until.since(now)),
        })
    }

    #[inline(always)]
    fn read_now(&self, key: &str, aged: bool) -> Option<Found<T>> {
        let cache = &self.cache.inner;
        cache.read(cache.core.hash(key), key, |entry| {
            let age = if aged { entry.loaded.age(self.inner.time.now()) } else { None };
            Found { value: entry.value.clone(), age, left: None }
        })
    }

    fn begin(&self, key: &str, lock: &RefreshLock) -> Begun<T> {
        let acquired = self.inner.locks.acquire(key, lock, self.inner.time.now());
        // After the lock: what its last holder wrote is seen.
        let begun = Begun::new(acquired.is_ok(), self.read(key));
        match acquired {
            Ok(()) => begun,
            Err(holder) => begun.held_by(holder.fingerprint()),
        }
    }

    fn write(&self, key: &str, value: &T, life: Life) {
        let now = self.inner.time.now();
        let ttl = life.ttl.unwrap_or(Duration::MAX);
        let loaded = Loaded::new(now, life.age);
        let entry = Entry { value: value.clone(), loaded, until: now.deadline(ttl) };
        self.cache.insert_with_ttl(key.into(), entry, ttl);
    }

    fn finish(&self, key: &str, value: &T, life: Life, lock: &RefreshLock) -> Written {
        let Some(writing) = self.inner.locks.write(key, lock.token()) else {
            return Written::Lost;
        };
        self.write(key, value, life);
        if writing.end() { Written::Lost } else { Written::Yes }
    }

    fn take(&self, key: &str) {
        let seized = self.inner.locks.seize(key, || {
            let (store, key) = (self.clone(), Box::<str>::from(key));
            Box::new(move || drop(store.cache.remove(&*key)))
        });
        self.cache.remove(key);
        drop(seized);
    }

    fn overwrite(&self, key: &str, value: &T, life: Life) {
        let seized = self.inner.locks.seize(key, || {
            let (store, key, value) = (self.clone(), Box::<str>::from(key), value.clone());
            Box::new(move || store.write(&key, &value, life))
        });
        self.write(key, value, life);
        drop(seized);
    }

    fn renewed(&self, key: &str, lock: &RefreshLock) -> bool {
        self.inner.locks.renew(key, lock, self.inner.time.now())
    }

    /// Gives the lock back, whoever has it.
    pub(super) fn break_lock(&self, key: &str) {
        self.inner.locks.revoke(key);
    }
}

impl<T: Clone + Send + Sync + 'static> Store<T> for MemoryStore<T> {
    #[inline(always)]
    fn get_now(&self, key: &str, aged: bool) -> Option<Found<T>> {
        self.read_now(key, aged)
    }

    fn get(&self, key: &str, _: &Within<'_>) -> Result<Option<Found<T>>, StoreError> {
        Ok(self.read(key))
    }

    fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        _: &Within<'_>,
    ) -> Result<Begun<T>, StoreError> {
        Ok(self.begin(key, lock))
    }

    fn renew(&self, key: &str, lock: &RefreshLock, _: &Within<'_>) -> Result<bool, StoreError> {
        Ok(self.renewed(key, lock))
    }

    fn finish_refresh(
        &self,
        key: &str,
        value: &T,
        life: Life,
        lock: &RefreshLock,
        _: &Within<'_>,
    ) -> Result<Written, StoreError> {
        Ok(self.finish(key, value, life, lock))
    }

    fn abandon_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        _: &Within<'_>,
    ) -> Result<(), StoreError> {
        self.inner.locks.release(key, lock.token());
        Ok(())
    }

    fn put(&self, key: &str, value: &T, life: Life, _: &Within<'_>) -> Result<(), StoreError> {
        self.overwrite(key, value, life);
        Ok(())
    }

    fn remove(&self, key: &str, _: &Within<'_>) -> Result<(), StoreError> {
        self.take(key);
        Ok(())
    }
}

super::ready_at_once!(MemoryStore<T>);

impl<T> fmt::Debug for MemoryStore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// Builds a [`MemoryStore`].
///
/// ```
/// use docache::echo::MemoryStore;
/// let store = MemoryStore::<u64>::builder().capacity(10_000).build()?;
/// # Ok::<(), docache::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct MemoryStoreBuilder<T> {
    capacity: Option<usize>,
    policy: EvictionPolicy,
    shards: Option<usize>,
    clock: Option<Arc<dyn Clock>>,
    executor: Option<Arc<dyn Jobs>>,
    value: PhantomData<fn() -> T>,
}

impl<T: Clone + Send + Sync + 'static> MemoryStoreBuilder<T> {
    /// The most entries that it holds. Default: no limit.
    pub fn capacity(mut self, entries: usize) -> Self {
        self.capacity = Some(entries);
        self
    }

    /// Which entry is evicted when it is full. Default: [`EvictionPolicy::Adaptive`].
    pub fn policy(mut self, policy: EvictionPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Over how many shards entries are spread; see
    /// [`CacheBuilder::shards`](crate::CacheBuilder::shards).
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Measures ages and lives on this clock. Default: [`CoarseClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// What sweeps the store, as
    /// [`CacheBuilder::scheduler`](crate::CacheBuilder::scheduler) says.
    pub fn scheduler(mut self, scheduler: &impl Executor) -> Self {
        self.executor = Some(scheduler.handle());
        self
    }

    /// The store.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) as
    /// [`CacheBuilder::build`](crate::CacheBuilder::build).
    pub fn build(self) -> Result<MemoryStore<T>> {
        let cache = Cache::<Box<str>, Entry<T>>::builder().never_expire().policy(self.policy);
        let mut cache = cache.executor(self.executor);
        if let Some(capacity) = self.capacity {
            cache = cache.capacity(capacity);
        }
        if let Some(shards) = self.shards {
            cache = cache.shards(shards);
        }
        if let Some(clock) = &self.clock {
            cache = cache.clock(clock.clone());
        }
        let time = self.clock.map_or(Time::Coarse, Time::Other);
        let inner = Arc::new(Inner { locks: LockTable::new(), time });
        Ok(MemoryStore { cache: cache.build()?, inner })
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn ages_of_any_origin() {
        let year = Duration::from_secs(31_557_600);
        let ticks = [Tick::default(), Tick::default().after(56 * year), Tick::MAX];
        for written in ticks {
            for age in [Duration::ZERO, year, 200 * year] {
                let loaded = Loaded::new(written, Some(age));
                let error = loaded.age(written).unwrap().abs_diff(age);
                assert!(error <= Duration::from_nanos(1), "{error:?} of {age:?}");
            }
            assert_eq!(Loaded::new(written, None).age(written), None);
        }
        let late = Loaded::new(Tick::from_nanos(10), Some(Duration::ZERO));
        assert_eq!(late.age(Tick::from_nanos(7)), Some(Duration::ZERO));
        assert_eq!(late.age(Tick::from_nanos(17)), Some(Duration::from_nanos(7)));
        let oldest = Loaded::new(Tick::default(), Some(Duration::MAX));
        assert!(oldest.age(Tick::default().after(year)) > Some(292 * year));
    }
}
