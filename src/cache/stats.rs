//! What a cache counts.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;

/// Why an entry left a cache.
///
/// ```
/// use docache::{Cache, Cause};
/// let cache: Cache<&str, u32> = Cache::builder()
///     .capacity(8)
///     .on_evict(|key, value, cause| {
///         assert_eq!((*key, *value, cause), ("key", 1, Cause::Removed));
///     })
///     .build()?;
/// cache.insert("key", 1);
/// cache.remove("key");
/// # Ok::<(), docache::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// There was no room for it beside others.
    Size,
    /// Its time was over.
    Expired,
    /// It was removed, or the cache was cleared.
    Removed,
    /// The key got another value.
    Replaced,
    /// It was never taken in: it is heavier than a shard's share, or its shard has 2^30 entries,
    /// those included that have left and that readers hold.
    Refused,
}

const CAUSES: usize = 5;

/// A cache's counters, as they stood at some moment of the call that asked.
///
/// ```
/// let cache = docache::Cache::<u64, u64>::new(100);
/// cache.insert(1, 1);
/// cache.remove(&1);
/// let stats = cache.stats();
/// assert_eq!((stats.inserted, stats.removed, stats.len), (1, 1, 0));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Reads that found a live entry; 0 unless the builder said
    /// [`record_stats`](crate::CacheBuilder::record_stats).
    pub hits: u64,
    /// Reads that did not; 0 unless the builder said
    /// [`record_stats`](crate::CacheBuilder::record_stats).
    pub misses: u64,
    /// Loads that were run: those of bulk calls count once for each key.
    pub loads: u64,
    /// How many of them failed or panicked.
    pub load_failures: u64,
    /// The time that loads took in all, by the cache's clock.
    pub load_time: Duration,
    /// Calls that waited for somebody else's load instead of running their own.
    pub coalesced: u64,
    /// Values taken in.
    pub inserted: u64,
    /// Entries that left for [`Cause::Size`].
    pub evicted: u64,
    /// Entries that left for [`Cause::Expired`].
    pub expired: u64,
    /// Entries that left for [`Cause::Removed`].
    pub removed: u64,
    /// Entries that left for [`Cause::Replaced`].
    pub replaced: u64,
    /// Values that were not taken in: [`Cause::Refused`].
    pub refused: u64,
    /// Panics of the listener, all of them contained.
    pub listener_panics: u64,
    /// Entries, those included that have expired and were not yet swept.
    pub len: usize,
    /// Their weight; without a weigher, their number.
    pub weight: u64,
    /// Entries that have left and are still held: a reader may be looking at them, or nobody has
    /// got to dropping them, which happens within a second of the last reader's leave. (What needs
    /// no destructor may wait until its place is wanted: up to 64 entries a shard.)
    pub retired: usize,
    /// What they weigh, as far as that is known: a part that is being dropped counts until the
    /// whole is.
    pub retired_weight: u64,
    /// Bytes that the table, the entries and the policy take, without what keys and values own
    /// elsewhere.
    pub memory: usize,
}

/// What a shard counts of each write, under its lock.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Counts {
    pub(crate) inserted: u64,
    causes: [u64; CAUSES],
}

/// What a shard counts of loads and listeners, under its lock.
#[derive(Debug, Default)]
pub(crate) struct LoadCounts {
    loads: u64,
    load_failures: u64,
    load_time: Duration,
    pub(crate) listener_panics: u64,
}

impl Counts {
    #[inline]
    pub(crate) fn count(&mut self, cause: Cause) {
        self.causes[cause as usize] += 1;
    }

    pub(crate) fn add_to(&self, stats: &mut CacheStats) {
        stats.inserted += self.inserted;
        stats.evicted += self.causes[Cause::Size as usize];
        stats.expired += self.causes[Cause::Expired as usize];
        stats.removed += self.causes[Cause::Removed as usize];
        stats.replaced += self.causes[Cause::Replaced as usize];
        stats.refused += self.causes[Cause::Refused as usize];
    }
}

impl LoadCounts {
    /// A load is over, after so long.
    #[inline]
    pub(crate) fn count_load(&mut self, took: Duration, success: bool) {
        self.loads += 1;
        self.load_failures += u64::from(!success);
        self.load_time = self.load_time.saturating_add(took);
    }

    pub(crate) fn add_to(&self, stats: &mut CacheStats) {
        stats.loads += self.loads;
        stats.load_failures += self.load_failures;
        stats.load_time = stats.load_time.saturating_add(self.load_time);
        stats.listener_panics += self.listener_panics;
    }
}

/// Hits and misses. Threads take turns at a fixed number of counters, so that few of them share
/// one.
#[derive(Debug)]
pub(crate) struct HitCounters(Box<[CachePadded<[AtomicU64; 2]>]>);

impl HitCounters {
    pub(crate) fn new() -> HitCounters {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        HitCounters((0..threads.next_power_of_two() * 4).map(|_| CachePadded::default()).collect())
    }

    #[inline]
    pub(crate) fn count(&self, hit: bool) {
        thread_local!(static MINE: Cell<usize> = const { Cell::new(usize::MAX) });
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // A thread that is ending counts with the first.
        let mine = MINE.try_with(|mine| {
            if mine.get() == usize::MAX {
                mine.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            mine.get()
        });
        let stripe = &self.0[mine.unwrap_or(0) & (self.0.len() - 1)];
        stripe[usize::from(!hit)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_to(&self, stats: &mut CacheStats) {
        for stripe in &self.0 {
            stats.hits += stripe[0].load(Ordering::Relaxed);
            stats.misses += stripe[1].load(Ordering::Relaxed);
        }
    }
}
