//! A shard: some of a group's flights behind one lock.

use std::fmt;
use std::ops::DerefMut;

use super::protocol::call::Call;
use super::protocol::deliver::deliver_outcome;
use super::protocol::domain::{Domain, grow};
use super::protocol::outcome::Outcome;
use super::protocol::registry::{Entered, Registry};
use crate::lock::{Lock, LockGuard};

/// Some of a group's flights.
pub(crate) struct FlightShard<K: ?Sized, T, E> {
    registry: Lock<Registry<K, T, E>>,
}

impl<K: ?Sized, T, E> fmt::Debug for FlightShard<K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightShard").finish_non_exhaustive()
    }
}

impl<K: ?Sized, T, E> FlightShard<K, T, E> {
    #[cfg(not(docache_loom))]
    pub(crate) const fn new() -> Self {
        FlightShard { registry: Lock::new(Registry::new()) }
    }

    #[cfg(docache_loom)]
    pub(crate) fn new() -> Self {
        FlightShard { registry: Lock::new(Registry::new()) }
    }

    /// Locks the registry; in the child of a fork it first forgets the parent's calls (COPIED).
    #[inline]
    fn lock(&self) -> LockGuard<'_, Registry<K, T, E>> {
        let (mut registry, torn) = self.registry.lock_marked();
        if torn || registry.is_copied() {
            registry.reset(torn);
        }
        registry
    }

    /// How many flights a new call of the same key could join.
    pub(crate) fn flights(&self) -> usize {
        self.lock().len()
    }

    /// Makes later calls of the key begin a new flight. Whether there was one to be forgotten.
    pub(crate) fn forget(&self, hash: u64, key: &K) -> bool
    where
        K: Eq,
    {
        self.lock().forget(hash, key)
    }
}

// SAFETY: a shard has one registry, and the guard that is returned has its lock.
unsafe impl<K: ?Sized + Eq, T: Clone, E> Domain for &FlightShard<K, T, E> {
    type Key = K;
    type Value = T;
    type Error = E;
    type Loaded = T;
    type Staged = ();

    #[inline]
    fn registry(&self) -> impl DerefMut<Target = Registry<K, T, E>> {
        self.lock()
    }

    #[inline]
    unsafe fn enter(&self, me: &Call<K, T, E>, (): &mut ()) -> Entered {
        let mut registry = self.lock();
        // SAFETY: the caller's promise.
        let entered = unsafe { registry.enter(me) };
        let wanted = registry.wanted_buckets();
        drop(registry);
        if let Some(buckets) = wanted {
            grow(self, buckets);
        }
        entered
    }

    #[inline]
    unsafe fn recheck(&self, _me: &Call<K, T, E>, (): &mut ()) -> bool {
        true
    }

    #[inline(always)]
    fn value_of(&self, loaded: T, (): &mut ()) -> T {
        loaded
    }

    #[inline]
    unsafe fn stage(&self, _me: &Call<K, T, E>, _result: Result<&T, &E>, (): &mut ()) {}

    #[inline]
    unsafe fn complete(&self, me: &Call<K, T, E>, outcome: &Outcome<T, E>, (): &mut ()) -> bool {
        // SAFETY: the caller's promise.
        let has_waiters = unsafe { self.lock().unregister(me) };
        // SAFETY: the caller's promise; it was just taken out.
        unsafe { deliver_outcome(self, me, outcome, has_waiters) }
    }

    #[inline]
    fn on_drop(&self, (): &mut ()) {}
}
