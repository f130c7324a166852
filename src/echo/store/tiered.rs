//! A near store before a far one.
//!
//! # Invariants
//! - COPY: what is in the near store is a copy of what the far one has, or had no longer than
//!   `most` ago. It lives no longer than the original is known to.
//! - FILL: a copy is written under the key's refresh lock in the near store, taken before the far
//!   one is read or written. Whoever writes or removes the key takes that lock away, after the far
//!   store has been written. So no copy of what was read before such a write comes after it. A call
//!   that is dropped on its way to the far store gives the near lock back.

use std::marker::PhantomData;
use std::pin::pin;
use std::task::{Context as TaskContext, Waker};
use std::time::Duration;

use super::layer::{call_layer, drive, layer};
use super::{Begun, Calls, Found, Life, Store, Tasks, Threads, Within, Written, store_methods};
use crate::echo::error::StoreError;
use crate::echo::lock::RefreshLock;

/// Two stores: what is in the near one is served from there and touches nothing else; the far one
/// has the truth, and the locks.
///
/// What is found in the far store is copied into the near one, for as long as it still lives there
/// and no longer than `most`: for so long this process may not see what another one writes or
/// removes, or refreshes. Whoever asks for the far lock and finds a newer value there than the copy
/// replaces the copy. Writes go to the far store first. A near store that fails is done without.
///
/// ```
/// use docache::echo::{EchoCache, MemoryStore, TieredStore};
/// use std::time::Duration;
/// let shared = MemoryStore::new(10_000); // such as a Redis
/// let store = TieredStore::new(MemoryStore::new(100), shared, Duration::from_secs(1));
/// let cache = EchoCache::<_, u32, String>::new(store);
/// assert_eq!(*cache.fetch("key", || Ok(1)).unwrap(), 1);
/// assert_eq!(cache.store().near().len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct TieredStore<L1, L2> {
    near: L1,
    far: L2,
    most: Duration,
}

/// How long a fill may take before another one may try.
const FILL: Duration = Duration::from_secs(10);

impl<L1, L2> TieredStore<L1, L2> {
    /// A near store before a far one, for copies that live no longer than `most`.
    #[must_use]
    pub fn new(near: L1, far: L2, most: Duration) -> TieredStore<L1, L2> {
        TieredStore { near, far, most }
    }

    /// The near store.
    #[must_use]
    pub fn near(&self) -> &L1 {
        &self.near
    }

    /// The far store.
    #[must_use]
    pub fn far(&self) -> &L2 {
        &self.far
    }

    fn layer<C1, C2>(&self, near: C1, far: C2) -> Tiers<C1, C2> {
        Tiers { near, far, most: self.most }
    }

    #[inline(always)]
    fn at_once<T>(&self, key: &str, aged: bool) -> Option<Found<T>>
    where
        L1: Store<T>,
    {
        self.near.get_now(key, aged)
    }
}

layer!(TieredStore<L1: near, L2: far>);

#[derive(Clone, Copy)]
struct Tiers<C1, C2> {
    near: C1,
    far: C2,
    most: Duration,
}

impl<C1, C2> Tiers<C1, C2> {
    /// The life of a copy of what lives so long.
    fn copied(&self, life: Life) -> Life {
        Life { ttl: Some(life.ttl.map_or(self.most, |ttl| ttl.min(self.most))), ..life }
    }

    /// Takes the near lock for a fill that comes after all others. `None`: the near store fails.
    async fn claim<'f, T>(&self, key: &'f str, within: &'f Within<'f>) -> Option<Fill<'f, T, C1>>
    where
        T: Send + Sync,
        C1: Calls<T>,
    {
        // Twice: whoever fills loses the lock to us, and another may be quicker once.
        for _ in 0..2 {
            if let (Some(fill), _) = Fill::begin(self.near, key, within).await.ok()? {
                return Some(fill);
            }
            self.near.remove(key, within).await.ok()?;
        }
        None
    }

    /// Ends a fill with a value that the far store has taken, or without.
    async fn fill<T>(
        &self,
        (key, within): (&str, &Within<'_>),
        value: Option<(&T, Life)>,
        fill: Option<Fill<'_, T, C1>>,
    ) where
        T: Send + Sync,
        C1: Calls<T>,
    {
        let filled = match (value, fill) {
            (Some((value, life)), Some(fill)) => fill.write(value, self.copied(life)).await,
            (_, Some(fill)) => {
                fill.end().await;
                false
            }
            (_, None) => false,
        };
        if !filled {
            // What is in the near store may be old.
            let _ = self.near.remove(key, within).await;
        }
    }

    /// The life of a copy of what was found.
    fn life_of<T>(&self, found: &Found<T>) -> Life {
        self.copied(Life { ttl: found.left, age: found.age })
    }
}

/// A near lock (FILL), which is given back when this is dropped.
struct Fill<'f, T, C1: Calls<T>>
where
    T: Send + Sync,
{
    near: C1,
    key: &'f str,
    within: &'f Within<'f>,
    lock: RefreshLock,
    armed: bool,
    value: PhantomData<fn(&T)>,
}

impl<'f, T: Send + Sync, C1: Calls<T>> Fill<'f, T, C1> {
    /// Takes the lock, unless another one fills; and reads the copy that there is.
    async fn begin(
        near: C1,
        key: &'f str,
        within: &'f Within<'f>,
    ) -> Result<(Option<Self>, Option<Found<T>>), StoreError> {
        let lock = RefreshLock::new(FILL);
        // Before the call: it may be granted and the answer not come.
        let mut fill = Fill { near, key, within, lock, armed: true, value: PhantomData };
        let Begun { granted, found, .. } = near.begin_refresh(key, &lock, within).await?;
        fill.armed = granted;
        Ok((granted.then_some(fill), found))
    }

    /// Whether it was written, or something newer by another one.
    async fn write(mut self, value: &T, life: Life) -> bool {
        let (near, lock) = (self.near, &self.lock);
        let written = near.finish_refresh(self.key, value, life, lock, self.within).await;
        self.armed = written.is_err();
        written.is_ok()
    }

    async fn end(mut self) {
        let ended = self.near.abandon_refresh(self.key, &self.lock, self.within).await;
        self.armed = ended.is_err();
    }
}

impl<T: Send + Sync, C1: Calls<T>> Drop for Fill<'_, T, C1> {
    fn drop(&mut self) {
        if self.armed {
            let call = pin!(self.near.abandon_refresh(self.key, &self.lock, self.within));
            // A near store answers at once, or is not worth more.
            let _ = call.poll(&mut TaskContext::from_waker(Waker::noop()));
        }
    }
}

/// Whether a copy of what was found in the far store is newer than the one that there is.
fn is_newer<T>(found: &Found<T>, copy: Option<&Found<T>>) -> bool {
    let ages = copy.map(|copy| (found.age, copy.age));
    !matches!(ages, Some((Some(found), Some(copy))) if found >= copy)
}

impl<T, C1, C2> Calls<T> for Tiers<C1, C2>
where
    T: Send + Sync,
    C1: Calls<T>,
    C2: Calls<T>,
{
    fn canonical<'k>(&self, key: &'k str) -> &'k str {
        self.far.canonical(key)
    }

    async fn get(&self, key: &str, within: &Within<'_>) -> Result<Option<Found<T>>, StoreError> {
        if let Ok(Some(found)) = self.near.get(key, within).await {
            return Ok(Some(found));
        }
        // FILL. Where another call fills, that is enough.
        let fill = Fill::begin(self.near, key, within).await.ok().and_then(|(fill, _)| fill);
        within.ask_left();
        let found = self.far.get(key, within).await;
        match (&found, fill) {
            (Ok(Some(found)), Some(fill)) => {
                let _ = fill.write(&found.value, self.life_of(found)).await;
            }
            (_, Some(fill)) => fill.end().await,
            (_, None) => {}
        }
        found
    }

    async fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<T>, StoreError> {
        let (fill, copy) = Fill::begin(self.near, key, within).await.unwrap_or_default();
        let begun = self.far.begin_refresh(key, lock, within).await;
        let found = begun.as_ref().ok().and_then(|begun| begun.found.as_ref());
        match (found.filter(|found| is_newer(found, copy.as_ref())), fill) {
            (Some(found), Some(fill)) => {
                let _ = fill.write(&found.value, self.life_of(found)).await;
            }
            (_, Some(fill)) => fill.end().await,
            (_, None) => {}
        }
        begun
    }

    async fn renew(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<bool, StoreError> {
        self.far.renew(key, lock, within).await
    }

    async fn finish_refresh(
        &self,
        key: &str,
        value: &T,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        let claim = self.claim(key, within).await;
        let written = self.far.finish_refresh(key, value, life, lock, within).await;
        let is_written = matches!(written, Ok(Written::Yes));
        self.fill((key, within), is_written.then_some((value, life)), claim).await;
        written
    }

    async fn abandon_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        self.far.abandon_refresh(key, lock, within).await
    }

    async fn put(
        &self,
        key: &str,
        value: &T,
        life: Life,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        let claim = self.claim(key, within).await;
        let put = self.far.put(key, value, life, within).await;
        self.fill((key, within), put.is_ok().then_some((value, life)), claim).await;
        put
    }

    async fn remove(&self, key: &str, within: &Within<'_>) -> Result<(), StoreError> {
        let removed = self.far.remove(key, within).await;
        // Also if that has failed: this process does not want it.
        let _ = self.near.remove(key, within).await;
        removed
    }
}
