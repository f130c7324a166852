//! Loads: fetching what is not in the cache.
//!
//! A key's flight lives under the lock of its shard. A call that found nothing looks once more
//! under that lock and enters the flight in the same critical section; the one that leads stores
//! its value and ends the flight in one as well. So a later call finds the value or the flight, and
//! a load never overwrites a write that came after its beginning: in that write's
//! critical section the registry has forgotten the flight (FRESH).

mod bulk;
mod detached;
mod fetch;
mod options;

use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::ops::DerefMut;
#[cfg(all(feature = "capi", not(docache_loom)))]
use std::sync::atomic::Ordering;
use std::time::Duration;

#[cfg(all(feature = "capi", not(docache_loom)))]
use crate::cache::handle::Cache;
use crate::cache::inner::Inner;
#[cfg(all(feature = "capi", not(docache_loom)))]
use crate::cache::key::Lookup;
use crate::cache::reclaim::pin;
use crate::cache::store::locked::Locked;
use crate::cache::store::shard::{RegistryGuard, Shard};
use crate::clock::Tick;
use crate::contain::contained;
#[cfg(all(feature = "capi", not(docache_loom)))]
use crate::flight::FlightError;
use crate::flight::{
    Call, Domain, Entered, Failure, Outcome, Registry, Target, deliver_outcome, grow,
};

pub use detached::DetachedFetch;
pub use options::{FetchOptions, Loaded, WaitLimit};

/// What a call of a cache keeps: when its load began, and what it stages of the result, to be
/// stored when the flight ends.
pub(crate) struct Staged<K, V> {
    /// When this call's load began, while it is under way.
    began: Option<Tick>,
    /// How long the value is to live, if its loader has said so.
    ttl: Option<Duration>,
    pair: Option<(K, V)>,
    weight: u32,
    /// The key of an error that is to be cached.
    error_key: Option<K>,
}

impl<K, V> Default for Staged<K, V> {
    #[inline]
    fn default() -> Self {
        Staged { began: None, ttl: None, pair: None, weight: 0, error_key: None }
    }
}

/// The domain of a key's flight, for one call.
///
/// `L` is what the work returns: a value, or a value and its time to live.
pub(crate) struct LoadDomain<'c, K, V, E, S, L = V> {
    cache: &'c Inner<K, V, E, S>,
    shard: &'c Shard<K, V, E>,
    /// How long the value is to live, if that is not what the cache was built with.
    ttl: Option<Duration>,
    loaded: PhantomData<fn() -> L>,
}

impl<K: Hash + Eq + Clone, V: Clone, E, S: BuildHasher> Inner<K, V, E, S> {
    /// Where a call for a key of this hash goes.
    #[inline]
    pub(crate) fn target<L: Loaded<V>>(
        &self,
        hash: u64,
        ttl: Option<Duration>,
    ) -> Target<LoadDomain<'_, K, V, E, S, L>> {
        let shard = self.core.shard(hash);
        let domain = LoadDomain { cache: self, shard, ttl, loaded: PhantomData };
        Target { domain, hash, error_style: self.core.settings.error_style }
    }
}

#[cfg(all(feature = "capi", not(docache_loom)))]
impl<K: Hash + Eq + Clone, V: Clone, E, S: BuildHasher> Cache<K, V, E, S> {
    /// The key's value, or the key's hash for the load of it.
    pub(crate) fn get_or_hash<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Result<V, u64> {
        self.inner.get_or_hash(key)
    }

    /// The target of a call for a key of this hash. For owned calls, which lie on the heap and keep
    /// a handle of the cache.
    pub(crate) fn target(
        &self,
        hash: u64,
        ttl: Option<Duration>,
    ) -> Target<LoadDomain<'_, K, V, E, S>> {
        self.inner.target(hash, ttl)
    }

    /// The key's value, which was not there a moment ago; waits no longer than this for somebody
    /// else's load.
    pub(crate) fn load_within(
        &self,
        limit: Option<Duration>,
        (hash, key): (u64, &K),
        ttl: Option<Duration>,
        work: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, FlightError<E>> {
        let target = self.target(hash, ttl);
        target.run_then(key, (None, limit), work, |result| self.inner.resolve(result))
    }
}

#[cfg(all(feature = "capi", not(docache_loom)))]
impl<K, V, E, S> Cache<K, V, E, S> {
    /// Counts a call that shares what somebody else loaded.
    pub(crate) fn count_coalesced(&self) {
        self.inner.coalesced.fetch_add(1, Ordering::Relaxed);
    }
}

impl<'c, K: Hash + Eq + Clone, V: Clone, E, S: BuildHasher, L> LoadDomain<'c, K, V, E, S, L> {
    /// Looks for the call's key under the shard's lock. On a miss, returns the shard still locked,
    /// so that the caller enters the flight in the same critical section (FRESH). If there is a
    /// live value or a cached error, unlocks, puts it into the call as its outcome, and returns
    /// `None`.
    ///
    /// # Safety
    /// The call belongs to the caller, and does not wait.
    #[inline(always)]
    unsafe fn lock_unless_cached(&self, me: &Call<K, V, E>) -> Option<Locked<'c, K, V, E, S>> {
        let core = &self.cache.core;
        // SAFETY: the caller owns the call (KEY).
        let key = unsafe { me.key() };
        // Before the lock: a clock may be the user's (QUIET).
        let read_now = core.expiry.now_for_lock();
        let now = core.settings.negative_ttl.map(|_| core.now());
        let locked = core.lock(self.shard);
        // SAFETY: used under the guard that is taken before the lock is released.
        if let Some(entry) = unsafe { core.find_live(&locked, (me.hash, key), read_now) } {
            let guard = pin();
            drop(locked);
            // SAFETY: found under the lock, and the guard was taken before that was released.
            let value = unsafe { &entry.pair().1 };
            // SAFETY: the call is the caller's (OUTCOME).
            unsafe { me.put_outcome(Ok(value.clone())) };
            drop(guard);
            return None;
        }
        if let (Some(negative), Some(now)) = (&locked.state.negative, now) {
            if let Some(error) = negative.get(me.hash, key, now).cloned() {
                drop(locked);
                // SAFETY: the call is the caller's (OUTCOME).
                unsafe { me.put_outcome(Err(Failure::Failed(error))) };
                return None;
            }
        }
        Some(locked)
    }

    /// Drops what was staged and not stored.
    #[cold]
    #[inline(never)]
    fn drop_staged(&self, staged: &mut Staged<K, V>, refused: bool) {
        if let Some(pair) = staged.pair.take_if(|_| refused) {
            self.cache.core.drop_refused(self.shard, pair);
        }
        let _ = contained(|| staged.pair = None);
        let _ = contained(|| staged.error_key = None);
    }

    fn now(&self) -> Tick {
        self.cache.core.now()
    }
}

// SAFETY: the shard is the same each time, and `RegistryGuard` holds its lock.
unsafe impl<K, V, E, S, L> Domain for LoadDomain<'_, K, V, E, S, L>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
    L: Loaded<V>,
{
    type Key = K;
    type Value = V;
    type Error = E;
    type Loaded = L;
    type Staged = Staged<K, V>;

    #[inline]
    fn registry(&self) -> impl DerefMut<Target = Registry<K, V, E>> {
        RegistryGuard(self.cache.core.lock(self.shard).state)
    }

    unsafe fn enter(&self, me: &Call<K, V, E>, staged: &mut Staged<K, V>) -> Entered {
        // SAFETY: the caller's promise.
        let Some(mut locked) = (unsafe { self.lock_unless_cached(me) }) else {
            return Entered::Found;
        };
        // SAFETY: the caller's promise.
        let entered = unsafe { locked.state.flights.enter(me) };
        let wanted = locked.state.flights.wanted_buckets();
        drop(locked);
        if let Some(buckets) = wanted {
            grow(self, buckets);
        }
        if entered == Entered::Leads {
            staged.began = Some(self.now());
        }
        entered
    }

    unsafe fn recheck(&self, me: &Call<K, V, E>, staged: &mut Staged<K, V>) -> bool {
        // SAFETY: the caller's promise.
        let Some(mut locked) = (unsafe { self.lock_unless_cached(me) }) else { return false };
        // A write may have unregistered the flight under its former leader. This load begins after
        // that write, so it may be joined, and stored.
        // SAFETY: the caller's promise.
        unsafe { locked.state.flights.register_again(me) };
        drop(locked);
        staged.began = Some(self.now());
        true
    }

    #[inline(always)]
    fn value_of(&self, loaded: L, staged: &mut Staged<K, V>) -> V {
        if let ttl @ Some(_) = loaded.ttl() {
            staged.ttl = ttl;
        }
        loaded.into_value()
    }

    unsafe fn stage(&self, me: &Call<K, V, E>, result: Result<&V, &E>, staged: &mut Staged<K, V>) {
        let core = &self.cache.core;
        // SAFETY: the caller owns the call (KEY).
        let key = unsafe { me.key() };
        match result {
            Ok(value) => {
                staged.weight = core.weigh(key, value);
                staged.pair = Some((key.clone(), value.clone()));
            }
            Err(error)
                if core.settings.negative_ttl.is_some() && (core.settings.caches_error)(error) =>
            {
                staged.error_key = Some(key.clone());
            }
            Err(_) => {}
        }
    }

    unsafe fn complete(
        &self,
        me: &Call<K, V, E>,
        outcome: &Outcome<V, E>,
        staged: &mut Staged<K, V>,
    ) -> bool {
        let core = &self.cache.core;
        let ended = self.now();
        let mut now = ended;
        if core.settings.weigher.is_some() && staged.pair.is_some() {
            // Destructors run in here while the call still leads: one that fetches the same key
            // must be recognized as reentrant.
            me.enter_work();
            core.limit_retired(self.shard, staged.weight);
            me.leave_work();
            // It may have slept; times to live count from now on.
            now = self.now();
        }
        let new = core.new_entry(me.hash, staged.weight, staged.ttl.or(self.ttl), now);
        let error_ttl = staged.error_key.as_ref().and(core.settings.negative_ttl);
        let until = error_ttl.map(|ttl| now.after(ttl));
        let mut refused = false;
        let has_waiters = core.with_shard_then(
            self.shard,
            |locked, deferred| {
                locked.drain_limbo_if_wanted(deferred);
                // A destructor or a clock may have forked since the call was last looked at.
                me.reset_if_forked();
                // FRESH.
                // SAFETY: the caller's promise.
                let registered = unsafe { locked.state.flights.is_registered(me) };
                // In a bulk call, a value may have been staged for this key before staging another
                // one panicked: the outcome is an error then.
                if registered && staged.pair.is_some() && outcome.is_ok() {
                    refused = locked.store(&mut staged.pair, new, deferred).is_err();
                }
                if let (true, Some(until), Err(Failure::Failed(error))) =
                    (registered, until, outcome)
                {
                    let error = (&mut staged.error_key, error.clone());
                    locked.cache_error(me.hash, error, until, deferred);
                }
                if let Some(began) = staged.began.take() {
                    locked.state.load_counts.count_load(ended.since(began), outcome.is_ok());
                }
                // SAFETY: the caller's promise. Everything that may panic comes before this, while
                // the call still leads: then its drop hands the lead on.
                unsafe { locked.state.flights.unregister(me) }
            },
            // SAFETY: the caller's promise; it was just taken out.
            |has_waiters| unsafe { deliver_outcome(self, me, outcome, has_waiters) },
        );
        if staged.pair.is_some() || staged.error_key.is_some() {
            self.drop_staged(staged, refused);
        }
        has_waiters
    }

    /// A load that never completed (a panic, or a dropped future) counts as failed.
    #[inline]
    fn on_drop(&self, staged: &mut Staged<K, V>) {
        if let Some(began) = staged.began.take() {
            self.cache.core.count_failed_load(self.shard, self.now().since(began));
        }
    }
}
