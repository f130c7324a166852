//! What is done after a write, without the lock: user code.

use std::hash::{BuildHasher, Hash};
use std::mem::needs_drop;

use super::core::Core;
use super::deferred::{Claimed, Deferred, Inside, Rare};
use crate::cache::reclaim::hint;
use super::shard::Shard;
use crate::contain::{contained, drop_contained};

impl<K: Hash + Eq, V, E, S: BuildHasher> Core<K, V, E, S> {
    /// Tells the listener of the entries that a call has claimed, and sends them to limbo. Whether that closed a batch there.
    #[cold]
    fn notify_listener(&self, shard: &Shard<K, V, E>, claimed: Vec<Claimed<'_, K, V>>, weight: u64) -> bool {
        let Some(listener) = self.listener() else { return false };
        let mut panics = 0;
        let inside = Inside::enter();
        for claimed in &claimed {
            // SAFETY: unlinked by this call and not yet in limbo, so nobody empties its place.
            let (key, value) = unsafe { claimed.entry.pair() };
            panics += u64::from(contained(|| listener(key, value, claimed.cause)).is_err());
        }
        drop(inside);
        let mut locked = self.lock(shard);
        locked.inner.counts.listener_panics += panics;
        let retire = |full, claimed: Claimed<'_, K, V>| locked.inner.limbo.retire(claimed.index) || full;
        let full = claimed.into_iter().fold(false, retire);
        locked.inner.limbo.add_weight(weight) || full
    }
}

/// What a write leaves, which is seen to in any case, also if the caller panics.
pub(crate) struct Pending<'c, K: Hash + Eq, V, E, S: BuildHasher> {
    pub(crate) core: &'c Core<K, V, E, S>,
    pub(crate) shard: &'c Shard<K, V, E>,
    pub(crate) deferred: Deferred<'c, K, V, E>,
}

impl<'c, K: Hash + Eq, V, E, S: BuildHasher> Pending<'c, K, V, E, S> {
    #[cold]
    #[inline(never)]
    fn see_to_rare(&mut self, rare: Rare<'c, K, V, E>) {
        if !rare.claimed.is_empty() {
            self.deferred.hint |= self.core.notify_listener(self.shard, rare.claimed, rare.claimed_weight);
            self.deferred.leftover |= needs_drop::<(K, V)>();
        }
        let _inside = Inside::enter();
        rare.failures.into_iter().for_each(drop_contained);
    }

    /// Drops the pairs, and gives their places back.
    #[inline(never)]
    fn drop_reclaimed(&mut self) {
        let reclaimed = self.deferred.take_reclaimed();
        let inside = Inside::enter();
        for (_, place) in reclaimed.iter() {
            // SAFETY: it left limbo for this call alone, and is filled (ONCE).
            unsafe { place.drop_pair(drop_contained) };
        }
        drop(inside);
        let mut locked = self.core.lock(self.shard);
        for (index, _) in reclaimed.iter() {
            // SAFETY: it has just been emptied.
            unsafe { locked.give_back(index) };
        }
    }

    #[inline(never)]
    fn see_to_all(&mut self) {
        if let Some(rare) = self.deferred.take_rare() {
            self.see_to_rare(*rare);
        }
        if self.deferred.hint {
            hint();
            // What need not be dropped is left to the background only where it is much: a guard is held.
            self.deferred.leftover |= !needs_drop::<(K, V)>();
        }
        if self.deferred.has_reclaimed() {
            self.drop_reclaimed();
        }
        if self.deferred.leftover {
            self.core.leave_to_background(self.deferred.is_unheard());
        }
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Drop for Pending<'_, K, V, E, S> {
    #[inline(always)]
    fn drop(&mut self) {
        // Here, so that a write that leaves nothing makes no call.
        if self.deferred.is_anything() {
            self.see_to_all();
        }
    }
}
