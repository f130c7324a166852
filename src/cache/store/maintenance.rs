//! What writes leave for later: dropping what was retired, and showing the listener what it was not
//! shown, by `flush` or in the background.

use std::hash::{BuildHasher, Hash};
#[cfg(not(docache_loom))]
use std::sync::atomic::Ordering;

use super::callback::CallbackScope;
use super::core::Core;
use super::deferred::Unlinked;
use super::locked::Locked;
use super::place::Deadline;
use super::shard::Shard;
use crate::cache::reclaim::advance;
use crate::contain::drop_contained;

/// How many rounds the background does in a row while its own listeners and destructors leave more
/// to do, as a long chain of entries that own one another does.
#[cfg(not(docache_loom))]
const MAINTENANCE_ROUNDS: usize = 256;
/// It stops after this many rounds in a row in which nothing could be done.
#[cfg(not(docache_loom))]
const VAIN_ROUNDS: usize = 8;
/// How often `flush` tries to end a grace period before it gives up on the readers of a shard.
const FLUSH_TRIES: usize = 256;

impl<K: Hash + Eq, V, E, S: BuildHasher> Core<K, V, E, S> {
    /// Drops what was retired, as far as no reader holds it. True if nothing is left.
    pub(crate) fn flush(&self) -> bool {
        let left = self.shards().iter().filter(|shard| !self.flush_shard(shard)).count();
        left == 0
    }

    fn flush_shard(&self, shard: &Shard<K, V, E>) -> bool {
        for tries in 0..FLUSH_TRIES {
            if CallbackScope::is_active() {
                return self.reclaim_all(shard);
            }
            self.notify_pending(shard);
            if self.reclaim_all(shard) {
                self.lock(shard).drop_oversized_wheel();
                return true;
            }
            advance();
            if tries > 8 {
                // A thread in the midst of a read may be waiting for this processor.
                std::thread::yield_now();
            }
        }
        self.reclaim_all(shard)
    }

    /// Drops what was retired and what no reader holds right now. True if nothing is left.
    pub(crate) fn reclaim_all(&self, shard: &Shard<K, V, E>) -> bool {
        self.reclaim_some(shard).1
    }

    /// [`reclaim_all`](Self::reclaim_all), which also tells whether there was anything.
    fn reclaim_some(&self, shard: &Shard<K, V, E>) -> (bool, bool) {
        let mut any = false;
        loop {
            let (some, done) = self.with_shard(shard, |locked, deferred| {
                locked.state.limbo.seal();
                locked.state.limbo.free_tables();
                let some = locked.reclaim_some(deferred);
                // `unlinked` also counts what other threads are dropping, or showing to the
                // listener, right now.
                let done = locked.state.limbo.is_empty() && locked.state.unlinked() == 0;
                if done || !some {
                    locked.state.slab.trim_ready();
                }
                (some, done)
            });
            any |= some;
            if done || !some {
                return (any, done);
            }
        }
    }

    /// What the background does: shows the listener what it was not shown, and drops what was
    /// retired. True if something is left.
    #[cfg(not(docache_loom))]
    pub(crate) fn run_maintenance(&self) -> bool {
        // Before the shards are looked at: a write whose critical section comes after ours sees
        // this (the lock orders it) and demands another round; one that comes before is seen by us.
        // So Relaxed suffices.
        self.maintenance_scheduled().store(false, Ordering::Relaxed);
        let leftovers = |shard: &&Shard<K, V, E>| {
            let mut locked = self.lock(shard);
            locked.drop_oversized_wheel();
            locked.state.needs_maintenance()
        };
        if !self.shards().iter().any(|shard| leftovers(&shard)) {
            return false;
        }
        let mut vain = 0;
        for _ in 0..MAINTENANCE_ROUNDS {
            advance();
            let mut any = false;
            for shard in self.shards().iter().filter(leftovers) {
                any |= self.notify_pending(shard);
                any |= self.reclaim_some(shard).0;
            }
            if !self.shards().iter().any(|shard| leftovers(&shard)) {
                return false;
            }
            // One round may seal a batch that only the next one can reclaim; and with crossbeam's
            // epochs a period takes several steps to end.
            vain = if any { 0 } else { vain + 1 };
            if vain == VAIN_ROUNDS {
                break;
            }
        }
        self.maintenance_scheduled().store(true, Ordering::Relaxed);
        true
    }

    /// Does what writes inside user code have left: notifies the listener, drops cached errors.
    /// True if there was anything.
    fn notify_pending(&self, shard: &Shard<K, V, E>) -> bool {
        let mut locked = self.lock(shard);
        let refused = std::mem::take(&mut locked.state.refused);
        let errors = std::mem::take(&mut locked.state.dropped_errors);
        drop(locked);
        let any = !refused.is_empty() || !errors.is_empty();
        refused.into_iter().for_each(|pair| self.notify_refused(shard, pair));
        let scope = CallbackScope::enter();
        errors.into_iter().for_each(drop_contained);
        drop(scope);
        if self.listener().is_none() {
            return any;
        }
        any | self.with_shard(shard, |locked, deferred| {
            let pending = std::mem::take(&mut locked.state.pending_notifications);
            if pending.entries.is_empty() {
                return false;
            }
            let uncommon = deferred.uncommon_mut();
            uncommon.to_notify_weight += pending.weight;
            let unlinked = |(index, cause)| {
                // SAFETY: it was pending, and is now this call's.
                let place = unsafe { locked.place(index) };
                Unlinked { index, place, cause }
            };
            uncommon.to_notify.extend(pending.entries.into_iter().map(unlinked));
            true
        })
    }
}

impl<K, V, E, S> Locked<'_, K, V, E, S> {
    /// Drops the timer wheel if its memory is large compared with the number of entries, as it
    /// becomes when a long-held guard has driven indices up. With `earliest_deadline` at 0 it is
    /// rebuilt when it is next needed.
    pub(crate) fn drop_oversized_wheel(&mut self) {
        let state = &mut *self.state;
        let (node, max) = (size_of::<u64>(), 4 * state.len + 4096);
        if state.wheel.as_ref().is_some_and(|wheel| wheel.memory() > max * node) {
            (state.wheel, state.earliest_deadline) = (None, Deadline::default());
        }
    }
}
