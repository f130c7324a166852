//! What is done to a cache as a whole, and what writes leave for later: purging, clearing, dropping
//! what was retired, and the part of the background.

use std::hash::{BuildHasher, Hash};
#[cfg(not(docache_loom))]
use std::sync::atomic::Ordering;

use super::core::Core;
use super::deferred::{CallbackScope, Unlinked};
use super::entry::{Deadline, Entry};
use super::locked::DetachedShard;
use super::shard::Shard;
use super::table::Table;
use crate::cache::reclaim::{advance, pin};
use crate::cache::stats::Cause;

/// Buckets that a walk goes through without giving the lock back.
const STEP: usize = 64;
/// How often a walk starts over because its table was replaced, before it does the whole table at
/// once.
const ANEW: usize = 3;
/// How many rounds the background does in a row while its own listeners and destructors leave more
/// to do, as a long chain of entries that own one another does.
#[cfg(not(docache_loom))]
const MAINTENANCE_ROUNDS: usize = 256;
/// It stops after this many rounds in a row in which nothing could be done.
#[cfg(not(docache_loom))]
const VAIN_ROUNDS: usize = 8;
/// How often `flush` tries to end the periods that readers may be holding up.
const FLUSH_TRIES: usize = 256;

impl<K: Hash + Eq, V, E, S: BuildHasher> Core<K, V, E, S> {
    /// Removes those entries that `wanted` gives a cause for, shard by shard, unlocking between
    /// steps. Returns how many.
    fn remove_where(&self, mut wanted: impl FnMut(&Entry<K, V>) -> Option<Cause>) -> usize {
        let mut count = 0;
        for shard in self.shards() {
            let first: Table = self.lock(shard).table();
            let (mut at, mut anew) = (Some((first, 0)), 0);
            while let Some((table, bucket)) = at {
                let step = if anew < ANEW { STEP } else { usize::MAX };
                at = self.with_shard(shard, |locked, deferred| {
                    let before = locked.state.len;
                    // Too many replacements: the whole of whatever table there is, in one step.
                    let from = if anew < ANEW { (table, bucket) } else { (locked.table(), 0) };
                    let next = locked.remove_where(from, step, &mut wanted, deferred);
                    count += before - locked.state.len;
                    locked.drain_limbo(deferred);
                    if next.is_none() {
                        locked.rebuild_if_due(deferred);
                    }
                    next
                });
                anew += usize::from(at.is_some_and(|(now, _)| now != table));
            }
        }
        count
    }

    pub(crate) fn purge_expired(&self) -> usize {
        let tick = self.expiry.clock.exact_now();
        let now = Deadline::of(tick);
        if self.settings.negative_ttl.is_some() {
            for shard in self.shards() {
                self.with_shard(shard, |locked, deferred| {
                    if let Some(negative) = &mut locked.state.negative {
                        negative.purge(tick, &mut deferred.uncommon().errors);
                    }
                });
            }
        }
        self.remove_where(|entry| (entry.deadline() <= now).then_some(Cause::Expired))
    }

    /// Empties the shards, one after the other. Each becomes empty at one moment.
    pub(crate) fn clear(&self) {
        let now = Deadline::of(self.now());
        let cause = |entry: &Entry<K, V>| {
            if entry.deadline() <= now { Cause::Expired } else { Cause::Removed }
        };
        for shard in self.shards() {
            let detached = self.with_shard(shard, |locked, deferred| locked.detach(deferred));
            self.retire_detached(shard, &detached, cause);
        }
        self.flush();
    }

    /// Takes out what `keep` is false for, which runs without a lock and is shown what is alive.
    /// How many there were.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) -> usize {
        let mut count = 0;
        for shard in self.shards() {
            let guard = pin();
            let (mut found, mut unwanted) = (Vec::new(), Vec::new());
            let table = shard.table(&guard);
            for bucket in 0..table.buckets() {
                // SAFETY: one of its buckets; found under this guard, which keeps it.
                unsafe { table.each_in(bucket, |index| found.push(index)) };
                for index in found.drain(..) {
                    // SAFETY: found in the table under this guard (TAGGED).
                    let entry = unsafe { shard.entry(&guard, index) };
                    // SAFETY: as above.
                    let (key, value) = unsafe { entry.pair() };
                    if self.expiry.is_live(entry) && !keep(key, value) {
                        unwanted.push((self.hash(key), key, index));
                    }
                }
                if !unwanted.is_empty() {
                    count += self.remove_found(shard, &mut unwanted);
                }
            }
        }
        count
    }

    /// Takes out what was found under a guard that still stands, as far as it is still there. How
    /// many there were.
    fn remove_found(&self, shard: &Shard<K, V, E>, found: &mut Vec<(u64, &K, u32)>) -> usize {
        self.with_shard(shard, |locked, deferred| {
            let mut count = 0;
            for (hash, key, index) in found.drain(..) {
                if locked.unlink_found((hash, index), Cause::Removed, deferred) {
                    locked.invalidate(hash, key, deferred);
                    count += 1;
                }
            }
            locked.rebuild_if_due(deferred);
            count
        })
    }

    /// Retires what a shard had, a part at a time.
    fn retire_detached(
        &self,
        shard: &Shard<K, V, E>,
        detached: &DetachedShard,
        cause: impl Fn(&Entry<K, V>) -> Cause,
    ) {
        let (table, mut weight) = (detached.table, detached.weight);
        let mut at = 0;
        while at < table.buckets() {
            let end = table.buckets().min(at + STEP);
            self.with_shard(shard, |locked, deferred| {
                locked.retire_buckets(table, at..end, &cause, deferred);
                let state = &mut *locked.state;
                deferred.add_weight(
                    &mut state.limbo,
                    &mut state.pending_notifications,
                    std::mem::take(&mut weight),
                );
                if end == table.buckets() {
                    deferred.needs_maintenance |= state.limbo.retire_table(table);
                }
                locked.drain_limbo(deferred);
            });
            at = end;
        }
    }

    /// Drops what was retired, as far as no reader holds it; whether nothing is left.
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
                // Whoever is in the midst of a read may be waiting for this processor.
                std::thread::yield_now();
            }
        }
        self.reclaim_all(shard)
    }

    /// Drops what was retired and what no reader holds, as things stand. Whether nothing is left.
    pub(crate) fn reclaim_all(&self, shard: &Shard<K, V, E>) -> bool {
        self.reclaim_some(shard).1
    }

    /// The same. Whether there was anything, and whether nothing is left.
    fn reclaim_some(&self, shard: &Shard<K, V, E>) -> (bool, bool) {
        let mut any = false;
        loop {
            let (some, done) = self.with_shard(shard, |locked, deferred| {
                locked.state.limbo.seal();
                locked.state.limbo.free_tables();
                let some = locked.drain_limbo(deferred);
                // `retired` also counts what other threads are dropping, or showing to the
                // listener, right now.
                (some, locked.state.limbo.is_empty() && locked.state.retired() == 0)
            });
            any |= some;
            if done || !some {
                return (any, done);
            }
        }
    }

    /// What the background does: tells the listener what it was not told, and drops what was
    /// retired. Whether something is left.
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

    /// Notifies the listener of entries that left inside user code. Whether there were any.
    fn notify_pending(&self, shard: &Shard<K, V, E>) -> bool {
        let refused = std::mem::take(&mut self.lock(shard).state.refused);
        let any = !refused.is_empty();
        refused.into_iter().for_each(|pair| self.notify_refused(shard, pair));
        if self.listener().is_none() {
            return any;
        }
        any | self.with_shard(shard, |locked, deferred| {
            let pending = std::mem::take(&mut locked.state.pending_notifications);
            if pending.entries.is_empty() {
                return false;
            }
            let uncommon = deferred.uncommon();
            uncommon.to_notify_weight += pending.weight;
            let unlinked = |(index, cause)| {
                // SAFETY: it was pending, and is now this call's.
                let entry = unsafe { locked.entry(index) };
                Unlinked { index, entry, cause }
            };
            uncommon.to_notify.extend(pending.entries.into_iter().map(unlinked));
            true
        })
    }
}
