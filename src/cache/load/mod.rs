//! Loads: fetching what is not in the cache.
//!
//! A key's flight lives under the lock of its shard. A call that found nothing looks once more
//! under that lock and enters the flight in the same critical section; the one that leads keeps its
//! value and ends the flight in one as well. So who comes later finds the value or the flight, and
//! a write, which ends the flight in its own, is never overtaken by a load that began before it.

mod bulk;
mod detached;
mod fetch;
mod options;

use std::cell::Cell;
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
use crate::cache::store::locked::{Flights, Stored};
use crate::cache::store::shard::Shard;
use crate::clock::Tick;
use crate::contain::contained;
#[cfg(all(feature = "capi", not(docache_loom)))]
use crate::flight::FlightError;
use crate::flight::home::{Entered, Home, conclude, grow};
use crate::flight::{Call, Failure, Outcome, Registry, Target};

pub use detached::DetachedFetch;
pub use options::{FetchOptions, Loaded, Patience};

/// What is staged of a load's result, to be stored when its flight ends.
pub(crate) struct Kept<K, V> {
    pair: Option<(K, V)>,
    weight: u32,
    /// The key of an error that is to be cached, twice: for the map and for its queue.
    failed: Option<[K; 2]>,
}

impl<K, V> Default for Kept<K, V> {
    #[inline]
    fn default() -> Self {
        Kept { pair: None, weight: 0, failed: None }
    }
}

/// The home of a key's flight, and what one call does there.
///
/// The cells are the call's owner's (OWNER): they are touched by nothing but the `unsafe` functions
/// of [`Home`], whose callers promise to be it.
///
/// `L` is what the work returns: a value, or a value and its time to live.
pub(crate) struct LoadHome<'c, K, V, E, S, L = V> {
    cache: &'c Inner<K, V, E, S>,
    shard: &'c Shard<K, V, E>,
    /// How long the value is to live, if that is not what the cache was built with.
    ttl: Cell<Option<Duration>>,
    /// When this call's load began, while it is under way.
    began: Cell<Option<Tick>>,
    loaded: PhantomData<fn() -> L>,
}

// SAFETY: OWNER: one thread at a time is at the cells; what they hold is Send.
unsafe impl<K: Send + Sync, V: Send + Sync, E: Send + Sync, S: Sync, L> Sync
    for LoadHome<'_, K, V, E, S, L>
{
}

impl<K: Hash + Eq + Clone, V: Clone, E, S: BuildHasher> Inner<K, V, E, S> {
    /// Where a call for a key of this hash goes.
    #[inline]
    pub(crate) fn target<L: Loaded<V>>(
        &self,
        hash: u64,
        ttl: Option<Duration>,
    ) -> Target<LoadHome<'_, K, V, E, S, L>> {
        let home = LoadHome {
            cache: self,
            shard: self.core.shard(hash),
            ttl: Cell::new(ttl),
            began: Cell::new(None),
            loaded: PhantomData,
        };
        Target { home, hash, manner: self.core.settings.manner }
    }
}

#[cfg(all(feature = "capi", not(docache_loom)))]
impl<K: Hash + Eq + Clone, V: Clone, E, S: BuildHasher> Cache<K, V, E, S> {
    /// The key's value, or the key's hash for the load of it.
    pub(crate) fn look<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Result<V, u64> {
        let hash = self.inner.core.hash(key);
        self.inner.get(hash, key).ok_or(hash)
    }

    /// Where a call for a key of this hash goes that lies on the heap and keeps a handle.
    pub(crate) fn target(
        &self,
        hash: u64,
        ttl: Option<Duration>,
    ) -> Target<LoadHome<'_, K, V, E, S>> {
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
        self.inner.resolve(self.target(hash, ttl).run_within(key, limit, work))
    }
}

#[cfg(all(feature = "capi", not(docache_loom)))]
impl<K, V, E, S> Cache<K, V, E, S> {
    /// Counts a call that shares what somebody else loaded.
    pub(crate) fn count_coalesced(&self) {
        self.inner.coalesced.fetch_add(1, Ordering::Relaxed);
    }
}

impl<K: Hash + Eq + Clone, V: Clone, E, S: BuildHasher, L> LoadHome<'_, K, V, E, S, L> {
    /// Looks for a live value, or a cached error, of the call's key, and puts it into the call; if
    /// there is none, calls `enter` in the same critical section (FRESH).
    ///
    /// # Safety
    /// The call belongs to the caller, and does not wait.
    #[inline]
    unsafe fn find_or<R>(
        &self,
        me: &Call<K, V, E>,
        enter: impl FnOnce(&mut Registry<K, V, E>) -> R,
    ) -> Option<R> {
        let core = &self.cache.core;
        // SAFETY: the caller owns the call (KEY).
        let key = unsafe { me.key() };
        // Before the lock: a clock may be the user's (QUIET).
        let reading = core.reading();
        let now = core.settings.negative_ttl.map(|_| core.settings.time.now());
        let mut locked = core.lock(self.shard);
        if let Some(entry) = core.find_live(&locked, (me.hash, key), reading) {
            let guard = pin();
            drop(locked);
            // SAFETY: found under the lock; the guard was there before that was given back.
            let value = unsafe { &entry.pair().1 };
            // SAFETY: the call is the caller's (OUTCOME).
            unsafe { me.put_outcome(Ok(value.clone())) };
            drop(guard);
            return None;
        }
        if let (Some(failures), Some(now)) = (&locked.inner.failures, now) {
            if let Some(error) = failures.get(me.hash, key, now).cloned() {
                drop(locked);
                // SAFETY: the call is the caller's (OUTCOME).
                unsafe { me.put_outcome(Err(Failure::Failed(error))) };
                return None;
            }
        }
        Some(enter(&mut locked.inner.flights))
    }

    /// Drops what was staged and not stored.
    #[cold]
    #[inline(never)]
    fn let_go(&self, kept: &mut Kept<K, V>, refused: bool) {
        if let Some(pair) = kept.pair.take_if(|_| refused) {
            self.cache.core.refuse(self.shard, pair);
        }
        let _ = contained(|| kept.pair = None);
        let _ = contained(|| kept.failed = None);
    }

    fn note_begin(&self) {
        self.began.set(Some(self.cache.core.settings.time.now()));
    }
}

impl<K, V, E, S, L> Home for LoadHome<'_, K, V, E, S, L>
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
    type Kept = Kept<K, V>;

    #[inline]
    fn registry(&self) -> impl DerefMut<Target = Registry<K, V, E>> {
        Flights(self.cache.core.lock(self.shard).inner)
    }

    unsafe fn enter(&self, me: &Call<K, V, E>) -> Entered {
        // SAFETY: the caller's promise.
        let enter =
            |flights: &mut Registry<K, V, E>| (unsafe { flights.enter(me) }, flights.wants());
        // SAFETY: the caller's promise.
        match unsafe { self.find_or(me, enter) } {
            None => Entered::Found,
            Some((entered, wants)) => {
                if let Some(lists) = wants {
                    grow(self, lists);
                }
                if entered == Entered::Leads {
                    self.note_begin();
                }
                entered
            }
        }
    }

    unsafe fn begin(&self, me: &Call<K, V, E>) -> bool {
        // A write may have unregistered the flight under its former leader. This load begins after
        // that write, so it may be joined, and stored.
        // SAFETY: the caller's promise.
        let register = |flights: &mut Registry<K, V, E>| unsafe { flights.register_again(me) };
        // SAFETY: the caller's promise.
        let begins = unsafe { self.find_or(me, register) }.is_some();
        if begins {
            self.note_begin();
        }
        begins
    }

    #[inline(always)]
    unsafe fn accept(&self, loaded: L) -> V {
        if let ttl @ Some(_) = loaded.ttl() {
            self.ttl.set(ttl);
        }
        loaded.into_value()
    }

    unsafe fn keep(&self, me: &Call<K, V, E>, result: Result<&V, &E>, kept: &mut Kept<K, V>) {
        let core = &self.cache.core;
        // SAFETY: the caller owns the call (KEY).
        let key = unsafe { me.key() };
        match result {
            Ok(value) => {
                kept.weight = core.weigh(key, value);
                kept.pair = Some((key.clone(), value.clone()));
            }
            Err(error)
                if core.settings.negative_ttl.is_some() && (core.settings.remembers)(error) =>
            {
                kept.failed = Some([key.clone(), key.clone()]);
            }
            Err(_) => {}
        }
    }

    unsafe fn complete(
        &self,
        me: &Call<K, V, E>,
        outcome: &Outcome<V, E>,
        kept: &mut Kept<K, V>,
    ) -> bool {
        let core = &self.cache.core;
        let began = self.began.take();
        let now = core.settings.time.now();
        let new = core.new_entry(me.hash, kept.weight, self.ttl.get(), now);
        if core.settings.weigher.is_some() && kept.pair.is_some() {
            // Destructors run in here while the call still leads: one that fetches the same key
            // must be recognized as reentrant.
            me.enter_work();
            core.relieve(self.shard, kept.weight);
            me.leave_work();
        }
        // An error's time to live counts from here. The clock is read again: `relieve` may have
        // slept.
        let until = |ttl| core.settings.time.now().after(ttl);
        let until = kept.failed.as_ref().and(core.settings.negative_ttl).map(until);
        let mut refused = false;
        let told = core.with_shard_then(
            self.shard,
            |locked, deferred| {
                locked.reclaim(deferred);
                // SAFETY: the caller's promise.
                let registered = unsafe { locked.inner.flights.is_registered(me) };
                // In a bulk call, a value may have been staged for this key before staging another
                // one panicked: the outcome is an error then.
                if registered && kept.pair.is_some() && outcome.is_ok() {
                    refused = locked.store(&mut kept.pair, new, deferred) != Stored::Yes;
                }
                if let (true, Some(until), Err(Failure::Failed(error))) =
                    (registered, until, outcome)
                {
                    locked.remember(me.hash, (&mut kept.failed, error.clone()), until, deferred);
                }
                if let Some(began) = began {
                    locked.inner.counts.count_load(now.since(began), outcome.is_ok());
                }
                // SAFETY: the caller's promise. Everything that may panic comes before this, while
                // the call still leads: then its drop hands the lead on.
                unsafe { locked.inner.flights.end(me) }
            },
            // SAFETY: the caller's promise; it has just ended.
            |end| unsafe { conclude(self, me, outcome, &end) },
        );
        if kept.pair.is_some() || kept.failed.is_some() {
            self.let_go(kept, refused);
        }
        told
    }
}

/// A load that never completed (a panic, or a dropped future) counts as failed.
impl<K, V, E, S, L> Drop for LoadHome<'_, K, V, E, S, L> {
    #[inline]
    fn drop(&mut self) {
        if let Some(began) = self.began.take() {
            let took = self.cache.core.settings.time.now().since(began);
            self.cache.core.count_failed_load(self.shard, took);
        }
    }
}
