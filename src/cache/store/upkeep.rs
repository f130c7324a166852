//! What is done to a cache as a whole, and what writes leave for later: purging, clearing, dropping
//! what was retired, and the part of the background.

use std::hash::{BuildHasher, Hash};
#[cfg(not(docache_loom))]
use std::sync::atomic::Ordering;

use super::core::Core;
use super::deferred::{Claimed, Inside};
use super::entry::{Deadline, Entry};
use super::locked::Detached;
use super::shard::Shard;
use super::table::Table;
use crate::cache::reclaim::{advance, pin};
use crate::cache::stats::Cause;

/// Buckets that a walk goes through without giving the lock back.
const STEP: usize = 64;
/// How often a walk begins anew because its table was replaced, before it goes through in one step.
const ANEW: usize = 3;
/// How often the background goes on at once with what its own listeners and destructors have left:
/// entries that go with one another.
#[cfg(not(docache_loom))]
const TIDY_ROUNDS: usize = 256;
/// How many rounds that bring nothing end it.
#[cfg(not(docache_loom))]
const TIDY_VAIN: usize = 8;
/// How often `flush` tries to end the periods that readers may be holding up.
const FLUSH_TRIES: usize = 256;

impl<K: Hash + Eq, V, E, S: BuildHasher> Core<K, V, E, S> {
    /// Takes out what `wanted` says, of each shard in turn, and gives the lock back now and then.
    /// How many there were.
    fn remove_where(&self, mut wanted: impl FnMut(&Entry<K, V>) -> Option<Cause>) -> usize {
        let mut count = 0;
        for shard in self.shards() {
            let first: Table = self.lock(shard).table();
            let (mut at, mut anew) = (Some((first, 0)), 0);
            while let Some((table, bucket)) = at {
                let step = if anew < ANEW { STEP } else { usize::MAX };
                at = self.with_shard(shard, |locked, deferred| {
                    let before = locked.inner.live();
                    // A table that is replaced too often is gone through at once, whichever it is.
                    let from = if anew < ANEW { (table, bucket) } else { (locked.table(), 0) };
                    let next = locked.remove_where(from, step, &mut wanted, deferred);
                    count += before - locked.inner.live();
                    locked.reclaim(deferred);
                    if next.is_none() {
                        locked.tidy_table(deferred);
                    }
                    next
                });
                anew += usize::from(at.is_some_and(|(now, _)| now != table));
            }
        }
        count
    }

    pub(crate) fn purge_expired(&self) -> usize {
        let tick = self.settings.time.exact_now();
        let now = Deadline::of(tick);
        if self.settings.negative_ttl.is_some() {
            for shard in self.shards() {
                self.with_shard(shard, |locked, deferred| {
                    if let Some(failures) = &mut locked.inner.failures {
                        failures.purge(tick, &mut deferred.rare().failures);
                    }
                });
            }
        }
        self.remove_where(|entry| (entry.until() <= now).then_some(Cause::Expired))
    }

    /// Empties shard by shard, each at one moment.
    pub(crate) fn clear(&self) {
        let now = Deadline::of(self.settings.time.now());
        let cause = |entry: &Entry<K, V>| {
            if entry.until() <= now { Cause::Expired } else { Cause::Removed }
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
                    // SAFETY: found in the table under this guard.
                    let entry = unsafe { shard.entry(&guard, index) };
                    // SAFETY: as above.
                    let (key, value) = unsafe { entry.pair() };
                    if self.is_live(entry) && !keep(key, value) {
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
            locked.tidy_table(deferred);
            count
        })
    }

    /// Retires what a shard had, a part at a time.
    fn retire_detached(
        &self,
        shard: &Shard<K, V, E>,
        detached: &Detached,
        cause: impl Fn(&Entry<K, V>) -> Cause,
    ) {
        let (table, mut weight) = (detached.table, detached.weight);
        let mut at = 0;
        while at < table.buckets() {
            let end = table.buckets().min(at + STEP);
            self.with_shard(shard, |locked, deferred| {
                locked.retire_buckets(table, at..end, &cause, deferred);
                let inner = &mut *locked.inner;
                deferred.add_weight(
                    &mut inner.limbo,
                    &mut inner.unheard,
                    std::mem::take(&mut weight),
                );
                if end == table.buckets() {
                    deferred.leftover |= inner.limbo.retire_table(table);
                }
                locked.reclaim(deferred);
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
            if Inside::is_here() {
                return self.reclaim_all(shard);
            }
            self.tell_unheard(shard);
            if self.reclaim_all(shard) {
                self.lock(shard).tidy_deadlines();
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
                locked.inner.limbo.close();
                locked.inner.limbo.free_tables();
                let some = locked.reclaim(deferred);
                // Others may be dropping or showing to the listener what they have taken.
                (some, locked.inner.limbo.is_empty() && locked.inner.retired() == 0)
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
    pub(crate) fn tidy(&self) -> bool {
        // Before the look: who leaves something later says so again.
        self.awaited().store(false, Ordering::Relaxed);
        let leftovers = |shard: &&Shard<K, V, E>| {
            let mut locked = self.lock(shard);
            locked.tidy_deadlines();
            locked.inner.has_leftovers()
        };
        if !self.shards().iter().any(|shard| leftovers(&shard)) {
            return false;
        }
        let mut vain = 0;
        for _ in 0..TIDY_ROUNDS {
            advance();
            let mut any = false;
            for shard in self.shards().iter().filter(leftovers) {
                any |= self.tell_unheard(shard);
                any |= self.reclaim_some(shard).0;
            }
            if !self.shards().iter().any(|shard| leftovers(&shard)) {
                return false;
            }
            // The first one may have closed what the next one can have; and epochs take some steps
            // to the end of a period.
            vain = if any { 0 } else { vain + 1 };
            if vain == TIDY_VAIN {
                break;
            }
        }
        self.awaited().store(true, Ordering::Relaxed);
        true
    }

    /// Notifies the listener of entries that left inside user code. Whether there were any.
    fn tell_unheard(&self, shard: &Shard<K, V, E>) -> bool {
        let refused = std::mem::take(&mut self.lock(shard).inner.refused);
        let any = !refused.is_empty();
        refused.into_iter().for_each(|pair| self.notify_refused(shard, pair));
        if self.listener().is_none() {
            return any;
        }
        any | self.with_shard(shard, |locked, deferred| {
            let unheard = std::mem::take(&mut locked.inner.unheard);
            if unheard.entries.is_empty() {
                return false;
            }
            let rare = deferred.rare();
            rare.claimed_weight += unheard.weight;
            let claimed = |(index, cause)| Claimed { index, entry: locked.entry(index), cause };
            rare.claimed.extend(unheard.entries.into_iter().map(claimed));
            true
        })
    }
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
            assert!(seen < 200_000, "it begins anew for ever");
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
