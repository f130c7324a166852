//! What is done to a cache as a whole: purging, clearing, retaining.
//!
//! A walk goes through a shard's table a few buckets at a time, and gives the lock back in between.

use std::hash::{BuildHasher, Hash};
use std::ops::Range;

use super::core::Core;
use super::deferred::{Deferred, Unlinked};
use super::locked::Locked;
use super::place::{Deadline, Place};
use super::shard::Shard;
use super::table::{Position, Table};
use crate::cache::policy::Policy;
use crate::cache::reclaim::pin;
use crate::cache::stats::Cause;
use crate::sync::atomic::Ordering;

/// Buckets that a walk goes through without giving the lock back.
const STEP: usize = 64;
/// How often a walk starts over because its table was replaced, before it does the whole table at
/// once.
const RESTARTS: usize = 3;

/// Where a walk through a shard's table is.
#[derive(Debug, Default)]
struct Walk {
    /// Of the table that it goes through; none yet.
    generation: Option<u64>,
    next: usize,
    restarts: usize,
}

impl Walk {
    /// The buckets of the next step. They begin with the first again if the table was replaced, and
    /// are all there are if that has happened too often.
    fn step<K: Hash + Eq, V, E, S>(&mut self, locked: &Locked<'_, K, V, E, S>) -> Range<usize> {
        let generation = Some(locked.state.table_generation);
        if self.generation != generation {
            self.restarts += usize::from(self.generation.is_some());
            (self.generation, self.next) = (generation, 0);
        }
        let len = if self.restarts < RESTARTS { STEP } else { usize::MAX };
        let begin = self.next;
        self.next = locked.view.table().buckets().min(begin.saturating_add(len));
        begin..self.next
    }

    /// Whether the last step has reached the end of the table.
    fn is_over<K: Hash + Eq, V, E, S>(&self, locked: &Locked<'_, K, V, E, S>) -> bool {
        self.next >= locked.view.table().buckets()
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Core<K, V, E, S> {
    /// Removes those entries that `cause_of` gives a cause for, shard by shard, unlocking between
    /// steps. Returns how many.
    fn remove_where(&self, mut cause_of: impl FnMut(&Place<K, V>) -> Option<Cause>) -> usize {
        let mut count = 0;
        for shard in self.shards() {
            let (mut walk, mut is_over) = (Walk::default(), false);
            while !is_over {
                is_over = self.with_shard(shard, |locked, deferred| {
                    let before = locked.state.len;
                    let buckets = walk.step(locked);
                    let is_over = walk.is_over(locked);
                    locked.remove_where(buckets, &mut cause_of, deferred);
                    count += before - locked.state.len;
                    locked.drain_limbo(deferred);
                    if is_over {
                        locked.rebuild_if_due(deferred);
                    }
                    is_over
                });
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
                        negative.purge(tick, &mut deferred.uncommon_mut().errors);
                    }
                });
            }
        }
        self.remove_where(|place| (place.deadline() <= now).then_some(Cause::Expired))
    }

    /// Empties the shards, one after the other. Each becomes empty at one moment.
    pub(crate) fn clear(&self) {
        let now = Deadline::of(self.now());
        let cause_of = |place: &Place<K, V>| {
            if place.deadline() <= now { Cause::Expired } else { Cause::Removed }
        };
        for shard in self.shards() {
            let contents =
                self.with_shard(shard, |locked, deferred| locked.take_contents(deferred));
            self.retire_contents(shard, &contents, cause_of);
        }
        self.flush();
    }

    /// Removes what `keep` returns false for; it is shown what has not expired, without a lock.
    /// Returns how many were removed.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) -> usize {
        let mut count = 0;
        for shard in self.shards() {
            let (mut walk, mut is_over) = (Walk::default(), false);
            while !is_over {
                let removed;
                (removed, is_over) = self.retain_step(shard, &mut walk, &mut keep);
                count += removed;
            }
        }
        count
    }

    /// Does the next step of a walk. Returns how many entries it removed, and whether the walk is
    /// over.
    fn retain_step(
        &self,
        shard: &Shard<K, V, E>,
        walk: &mut Walk,
        keep: &mut impl FnMut(&K, &V) -> bool,
    ) -> (usize, bool) {
        // Before the lock: what is found stays filled until the guard is dropped.
        let guard = pin();
        let (found, is_over) = {
            let locked = self.lock(shard);
            let buckets = walk.step(&locked);
            (locked.find_in(buckets, Some), walk.is_over(&locked))
        };
        let unwanted = found.into_iter().filter_map(|(index, place)| {
            // SAFETY: in the table under this guard (TAGGED).
            let (key, value) = unsafe { place.pair() };
            let goes = self.expiry.is_live(place) && !keep(key, value);
            goes.then(|| (self.hash(key), key, index))
        });
        let unwanted: Vec<(u64, &K, u32)> = unwanted.collect();
        let count = self.with_shard_then(
            shard,
            |locked, deferred| {
                let mut count = 0;
                for (hash, key, index) in unwanted {
                    if let Some(at) = locked.position_of(hash, index) {
                        // Before the removal: `Eq` may panic in it (FRESH of `shard`).
                        locked.invalidate(hash, key, deferred);
                        locked.unlink_at((index, at), hash, Cause::Removed, deferred);
                        count += 1;
                    }
                }
                if is_over {
                    locked.rebuild_if_due(deferred);
                }
                count
            },
            // The listener is shown what was removed, and destructors run, without the guard.
            |count| {
                drop(guard);
                count
            },
        );
        (count, is_over)
    }

    /// Retires what a shard had, a part at a time.
    fn retire_contents(
        &self,
        shard: &Shard<K, V, E>,
        contents: &TakenContents,
        cause_of: impl Fn(&Place<K, V>) -> Cause,
    ) {
        let table = contents.table;
        let mut at = 0;
        while at < table.buckets() {
            let end = table.buckets().min(at + STEP);
            self.with_shard(shard, |locked, deferred| {
                locked.retire_buckets(contents, at..end, &cause_of, deferred);
                if end == table.buckets() {
                    deferred.needs_maintenance |= locked.state.limbo.retire_table(table);
                }
                locked.drain_limbo(deferred);
            });
            at = end;
        }
    }
}

impl<'a, K: Hash + Eq, V, E, S: BuildHasher> Locked<'a, K, V, E, S> {
    /// Where an entry is that was found under a guard that is still held, if it is still there.
    fn position_of(&self, hash: u64, index: u32) -> Option<Position> {
        // SAFETY: the lock keeps the table. The guard keeps the place from being used again, so the
        // index is the entry's.
        let found = unsafe { self.view.table().find_at(hash, |i| (i == index).then_some(())) };
        found.map(|((), at)| at)
    }

    /// Removes those entries of some buckets that `cause_of` gives a cause for.
    fn remove_where(
        &mut self,
        buckets: Range<usize>,
        cause_of: impl FnMut(&'a Place<K, V>) -> Option<Cause>,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        for (index, cause) in self.find_in(buckets, cause_of) {
            self.unlink(index, cause, deferred);
        }
    }

    /// What `test` makes of the entries of some buckets, where it makes anything, with their
    /// indices. They stay filled while the lock is held, or a guard that was taken before it.
    fn find_in<R>(
        &self,
        buckets: Range<usize>,
        mut test: impl FnMut(&'a Place<K, V>) -> Option<R>,
    ) -> Vec<(u32, R)> {
        let mut found = Vec::new();
        for at in buckets {
            let note = |index| {
                // SAFETY: linked, and the lock is held.
                let place = unsafe { self.place(index) };
                found.extend(test(place).map(|result| (index, result)));
            };
            // SAFETY: the lock keeps the table.
            unsafe { self.view.table().each_in(at, note) };
        }
        found
    }

    /// Makes the shard empty, unregisters its flights, and returns what it had. The caller retires
    /// the entries, and then their table.
    fn take_contents(&mut self, deferred: &mut Deferred<'_, K, V, E>) -> TakenContents {
        let state = &mut *self.state;
        state.flights.forget_all();
        if let Some(negative) = &mut state.negative {
            negative.clear(&mut deferred.uncommon_mut().errors);
        }
        let table = self.view.table();
        self.view.table.store(Table::for_entries(1).as_ptr(), Ordering::Release);
        state.table_generation += 1;
        let policy = std::mem::replace(&mut state.policy, self.config.policy());
        (state.len, state.erased_since_saturation) = (0, None);
        (state.wheel, state.earliest_deadline) = (None, Deadline::NEVER);
        TakenContents { table, policy }
    }

    /// Retires the entries of some buckets of what was taken.
    fn retire_buckets(
        &mut self,
        contents: &TakenContents,
        buckets: Range<usize>,
        cause_of: impl Fn(&Place<K, V>) -> Cause,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        let entries = self.entries();
        let (weighted, state) = (self.config.weighted, &mut *self.state);
        for at in buckets {
            let retire = |index| {
                // SAFETY: in the table that was taken, which only the caller retires, so not yet in
                // limbo.
                let place = unsafe { entries.place(index) };
                let cause = cause_of(place);
                state.counts.count(cause);
                let (limbo, pending) = (&mut state.limbo, &mut state.pending_notifications);
                deferred.retire_or_notify(limbo, pending, Unlinked { index, place, cause });
                if weighted {
                    let weight = u64::from(contents.policy.weight_of(index));
                    deferred.add_weight(limbo, pending, weight);
                }
            };
            // SAFETY: within the table, which only the caller can retire.
            unsafe { contents.table.each_in(at, retire) };
        }
    }
}

/// What was [taken](Locked::take_contents) out of a shard; dropped without its lock.
#[derive(Debug)]
struct TakenContents {
    table: Table,
    /// It knows what the entries weigh.
    policy: Policy,
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
        let walk = cache.inner.core.remove_where(|place| {
            // SAFETY: it is in the table, so filled, and the walk has the lock.
            let (key, _) = unsafe { place.pair() };
            seen.push(*key);
            None
        });
        seen.sort_unstable();
        assert!(walk == 0 && seen.into_iter().eq(0..20_000));
    }
}
