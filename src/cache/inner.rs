//! What the clones of a cache share.

use std::hash::{BuildHasher, Hash};
#[cfg(not(docache_loom))]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(not(docache_loom))]
use super::background::Background;
use super::key::Lookup;
use super::reclaim::pin;
use super::store::core::{Access, Core};
use crate::flight::{FlightError, Shared};
#[cfg(not(docache_loom))]
use crate::sync::fork::{AtFork, ForkRegistration};

/// What all clones of a cache share.
pub(crate) struct Inner<K, V, E, S> {
    pub(crate) core: Core<K, V, E, S>,
    /// Calls that shared a load of somebody else's.
    pub(crate) coalesced: AtomicU64,
    /// Has its locks held across a fork.
    #[cfg(not(docache_loom))]
    pub(crate) fork_registration: OnceLock<ForkRegistration>,
}

#[cfg(not(docache_loom))]
impl<K, V, E, S> Background for Inner<K, V, E, S>
where
    K: Hash + Eq + Send + Sync,
    V: Send + Sync,
    E: Send + Sync,
    S: BuildHasher + Send + Sync,
{
    fn sweep(&self) {
        self.core.purge_expired();
    }

    fn maintain(&self) -> bool {
        self.core.run_maintenance()
    }
}

#[cfg(not(docache_loom))]
impl<K, V, E, S> AtFork for Inner<K, V, E, S>
where
    K: Send + Sync,
    V: Send + Sync,
    E: Send + Sync,
    S: Send + Sync,
{
    fn hold(&self) {
        self.core.shards().iter().for_each(|shard| shard.hold());
        self.core.background().hold();
    }

    unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.core.background().release() };
        // SAFETY: the caller's promise.
        self.core.shards().iter().for_each(|shard| unsafe { shard.release() });
    }

    unsafe fn reset_in_child(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.core.background().reset_in_child() };
        // SAFETY: the caller's promise.
        self.core.shards().iter().for_each(|shard| unsafe { shard.reset_in_child() });
    }

    fn revive(&self) {
        self.core.background().revive();
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Inner<K, V, E, S> {
    /// What `read` makes of the key's value, under a guard.
    #[inline(always)]
    pub(crate) fn read<Q: Lookup<K> + ?Sized, R>(
        &self,
        hash: u64,
        key: &Q,
        read: impl FnOnce(&V) -> R,
    ) -> Option<R> {
        let guard = pin();
        let entry = self.core.read(&guard, (hash, key), Access::Get)?;
        // SAFETY: found in the table under this guard, so it stays filled (TAGGED).
        Some(read(unsafe { &entry.pair().1 }))
    }
}

impl<K: Hash + Eq, V: Clone, E, S: BuildHasher> Inner<K, V, E, S> {
    /// A clone of the key's value.
    #[inline]
    pub(crate) fn get<Q: Lookup<K> + ?Sized>(&self, hash: u64, key: &Q) -> Option<V> {
        self.read(hash, key, V::clone)
    }

    /// The key's value, or the key's hash for the load of it.
    #[inline(always)]
    pub(crate) fn get_or_hash<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Result<V, u64> {
        let hash = self.core.hash(key);
        self.get(hash, key).ok_or(hash)
    }

    /// What a call returns, from what its flight brought.
    #[inline]
    pub(crate) fn resolve(
        &self,
        result: Result<Shared<V>, FlightError<E>>,
    ) -> Result<V, FlightError<E>> {
        result.map(|shared| {
            if !shared.led() {
                self.coalesced.fetch_add(1, Ordering::Relaxed);
            }
            shared.into_inner()
        })
    }
}
