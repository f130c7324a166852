//! What is done to a cache as a whole: purging, clearing, retaining.
//!
//! A walk goes through a shard's table a few buckets at a time, and gives the lock back in between.

use std::hash::{BuildHasher, Hash};

use super::core::Core;
use super::deferred::{Deferred, Unlinked};
use super::entry::{Deadline, Place};
use super::locked::Locked;
use super::shard::Shard;
use super::table::Table;
use crate::cache::policy::Policy;
use crate::cache::reclaim::pin;
use crate::cache::stats::Cause;
use crate::sync::atomic::Ordering;

/// Buckets that a walk goes through without giving the lock back.
const STEP: usize = 64;
/// How often a walk starts over because its table was replaced, before it does the whole table at
/// once.
const RESTARTS: usize = 3;

impl<K: Hash + Eq, V, E, S: BuildHasher> Core<K, V, E, S> {
    /// Removes those entries that `wanted` gives a cause for, shard by shard, unlocking between
    /// steps. Returns how many.
    fn remove_where(&self, mut wanted: impl FnMut(&Place<K, V>) -> Option<Cause>) -> usize {
        let mut count = 0;
        for shard in self.shards() {
            let first: Table = self.lock(shard).view.table();
            let (mut at, mut restarts) = (Some((first, 0)), 0);
            while let Some((table, bucket)) = at {
                let step = if restarts < RESTARTS { STEP } else { usize::MAX };
                at = self.with_shard(shard, |locked, deferred| {
                    let before = locked.state.len;
                    // The table was replaced too often: walk the present one in a single step.
                    let from = if restarts < RESTARTS {
                        (table, bucket)
                    } else {
                        (locked.view.table(), 0)
                    };
                    let next = locked.remove_where(from, step, &mut wanted, deferred);
                    count += before - locked.state.len;
                    locked.drain_limbo(deferred);
                    if next.is_none() {
                        locked.rebuild_if_due(deferred);
                    }
                    next
                });
                restarts += usize::from(at.is_some_and(|(now, _)| now != table));
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
        let cause = |entry: &Place<K, V>| {
            if entry.deadline() <= now { Cause::Expired } else { Cause::Removed }
        };
        for shard in self.shards() {
            let detached = self.with_shard(shard, |locked, deferred| locked.detach(deferred));
            self.retire_detached(shard, &detached, cause);
        }
        self.flush();
    }

    /// Removes what `keep` returns false for; it is shown what has not expired, without a lock.
    /// Returns how many that were.
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

    /// Removes what was found under a guard that is still held, as far as it is still there.
    /// Returns how many that were.
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
        cause: impl Fn(&Place<K, V>) -> Cause,
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
}

impl<'a, K: Hash + Eq, V, E, S: BuildHasher> Locked<'a, K, V, E, S> {
    /// Removes an entry that was found under a guard that is still held, if it is still there.
    pub(crate) fn unlink_found(
        &mut self,
        (hash, index): (u64, u32),
        cause: Cause,
        deferred: &mut Deferred<'a, K, V, E>,
    ) -> bool {
        // SAFETY: the lock keeps the table. The guard keeps the place from being used again, so the
        // index is the entry's.
        let found = unsafe { self.view.table().find(hash, |i| (i == index).then_some(())) };
        if found.is_some() {
            self.unlink(index, cause, deferred);
        }
        found.is_some()
    }

    /// Removes those entries that `wanted` gives a cause for, from up to `buckets` buckets,
    /// beginning with bucket `at`. Returns where to go on, if there is more: at the first bucket,
    /// if the table is no longer the one that the caller began with.
    pub(crate) fn remove_where(
        &mut self,
        (begun, at): (Table, usize),
        buckets: usize,
        mut wanted: impl FnMut(&Place<K, V>) -> Option<Cause>,
        deferred: &mut Deferred<'a, K, V, E>,
    ) -> Option<(Table, usize)> {
        let (table, entries) = (self.view.table(), self.entries());
        if table != begun {
            return Some((table, 0));
        }
        let end = table.buckets().min(at.saturating_add(buckets));
        let mut found = Vec::new();
        for at in at..end {
            let test = |index| {
                found.extend(wanted(entries.linked_place(index)).map(|cause| (index, cause)))
            };
            // SAFETY: the lock keeps the table.
            unsafe { table.each_in(at, test) };
        }
        for (index, cause) in found {
            self.unlink(index, cause, deferred);
        }
        (end < table.buckets()).then_some((table, end))
    }

    /// Makes the shard empty, unregisters its flights, and returns the table that it had. The
    /// caller retires that table's entries, and then the table.
    pub(crate) fn detach(&mut self, deferred: &mut Deferred<'_, K, V, E>) -> DetachedShard {
        let state = &mut *self.state;
        state.flights.forget_all();
        if let Some(negative) = &mut state.negative {
            negative.clear(&mut deferred.uncommon().errors);
        }
        let old = self.view.table();
        self.view.table.store(Table::for_entries(1).as_ptr(), Ordering::Release);
        let policy = std::mem::replace(&mut state.policy, state.config.policy());
        (state.len, state.erased_since_saturation) = (0, None);
        (state.wheel, state.earliest) = (None, Deadline::NEVER);
        DetachedShard { table: old, weight: policy.weight(), _policy: policy }
    }

    /// Retires the entries of some buckets of a table that was detached.
    pub(crate) fn retire_buckets(
        &mut self,
        table: Table,
        buckets: std::ops::Range<usize>,
        cause: impl Fn(&Place<K, V>) -> Cause,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        let entries = self.entries();
        let state = &mut *self.state;
        for at in buckets {
            let retire = |index| {
                // SAFETY: in the detached table, which only the caller retires, so not yet in
                // limbo.
                let entry = unsafe { entries.entry(index) };
                let cause = cause(entry);
                state.counts.count(cause);
                deferred.dispose(
                    &mut state.limbo,
                    &mut state.pending_notifications,
                    Unlinked { index, entry, cause },
                );
            };
            // SAFETY: within the table, which was detached and which only the caller can retire.
            unsafe { table.each_in(at, retire) };
        }
    }
}

/// What a shard had before it was [detached](Locked::detach).
#[derive(Debug)]
pub(crate) struct DetachedShard {
    pub(crate) table: Table,
    pub(crate) weight: u64,
    /// Dropped without the lock.
    _policy: Policy,
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use crate::cache::Cache;
    use crate::cache::stats::Cause;

    /// Each step takes an entry out, whereupon the listener makes the table grow, a few times.
    #[test]
    fn a_walk_whose_table_is_replaced_again_and_again_comes_to_an_end() {
        static CACHE: OnceLock<Cache<u64, u64>> = OnceLock::new();
        static TAKEN: AtomicBool = AtomicBool::new(false);
        static LENGTH: AtomicU64 = AtomicU64::new(0);
        let put = |most| {
            let keys = LENGTH.swap(most, Ordering::Relaxed)..most;
            keys.for_each(|key| CACHE.get().unwrap().insert(key, key));
        };
        let grow = move |_: &u64, _: &u64, _| {
            TAKEN.store(false, Ordering::Relaxed);
            let length = LENGTH.load(Ordering::Relaxed);
            if length < 8_000 {
                put(2 * length);
            }
        };
        let builder = Cache::builder().shards(1).never_expire().no_sweep().on_evict(grow);
        let cache = CACHE.get_or_init(|| builder.build().unwrap());
        put(1_000);
        let mut seen = 0;
        cache.inner.core.remove_where(|_| {
            seen += 1;
            assert!(seen < 200_000, "it starts over forever");
            (!TAKEN.swap(true, Ordering::Relaxed)).then_some(Cause::Removed)
        });
        assert!(seen > 7_990, "the last step sees all that there are then, not {seen}");
    }

    #[test]
    fn a_walk_that_nobody_disturbs_sees_each_entry_once() {
        let cache = Cache::<u64, u64>::builder().shards(1).no_sweep().build().unwrap();
        (0..20_000).for_each(|key| cache.insert(key, key));
        let mut seen = Vec::new();
        let walk = cache.inner.core.remove_where(|entry| {
            // SAFETY: it is in the table, so filled, and the walk has the lock.
            let (key, _) = unsafe { entry.pair() };
            seen.push(*key);
            None
        });
        seen.sort_unstable();
        assert!(walk == 0 && seen.into_iter().eq(0..20_000));
    }
}
