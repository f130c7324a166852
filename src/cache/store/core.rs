//! The shards of a cache, and how they are read.

use std::fmt::{self, Debug};
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::expiry::Expiry;
use super::locked::Locked;
use super::place::{Deadline, Place};
use super::shard::{NewEntry, Shard, ShardConfig};
#[cfg(not(docache_loom))]
use crate::cache::background::BackgroundHandle;
use crate::cache::key::Lookup;
use crate::cache::policy::PolicyKind;
use crate::cache::reclaim::Guard;
use crate::cache::settings::{Listener, Settings, Weigher};
use crate::cache::stats::{CacheStats, HitCounters};
use crate::clock::Tick;
use crate::flight::ErrorStyle;

/// What a read is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The value: it is counted, and the policy learns of it.
    Get,
    /// Whether there is one: nobody learns of it.
    Peek,
}

/// The shards of a cache, and what applies to all of them.
pub(crate) struct Core<K, V, E, S> {
    shards: Box<[Shard<K, V, E>]>,
    /// The number of shards, less one.
    mask: usize,
    hasher: S,
    pub(crate) expiry: Expiry,
    /// Whether reads are counted for `stats`, or the policy is told of each.
    tracks_reads: bool,
    lru: bool,
    hit_counters: Option<HitCounters>,
    pub(crate) settings: WriteSettings<K, V, E>,
    /// Whether a maintenance pass is scheduled. Relaxed suffices: a write looks at it, and sets it,
    /// after its critical section; the background clears it before its own. If the background's
    /// section of a shard comes second, it sees what the write has left; if the write's comes
    /// second, the lock orders the clearing before the write's look.
    maintenance_scheduled: AtomicBool,
    #[cfg(not(docache_loom))]
    background: BackgroundHandle,
}

/// What only writers need.
pub(crate) struct WriteSettings<K, V, E> {
    /// What the cache may hold: a number of entries or, with a weigher, a weight.
    pub(crate) capacity: Option<u64>,
    pub(crate) weigher: Option<Weigher<K, V>>,
    pub(super) listener: Option<Listener<K, V>>,
    /// How long errors are cached, and which.
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) caches_error: fn(&E) -> bool,
    pub(crate) error_style: ErrorStyle<K>,
}

impl<K, V, E, S> Core<K, V, E, S> {
    pub(crate) fn new(
        settings: Settings<K, V, E, S>,
        #[cfg(not(docache_loom))] background: BackgroundHandle,
    ) -> Core<K, V, E, S> {
        let shards = settings.shards as u64;
        let tracks_reads = settings.kind == PolicyKind::Lru || settings.record_stats;
        let config = |number| ShardConfig {
            kind: settings.kind,
            max_weight: settings.limit.map_or(ShardConfig::UNBOUNDED, |limit| {
                limit / shards + u64::from(number < limit % shards)
            }),
            weighted: settings.weigher.is_some(),
            max_cached_errors: settings.negative.map(|(_, max)| max / settings.shards),
        };
        Core {
            shards: (0..shards).map(|number| Shard::new(config(number))).collect(),
            mask: settings.shards - 1,
            expiry: Expiry::new(
                settings.clock,
                settings.read_clock,
                (settings.ttl, settings.jitter),
                tracks_reads,
            ),
            tracks_reads,
            lru: settings.kind == PolicyKind::Lru,
            hit_counters: settings.record_stats.then(HitCounters::new),
            hasher: settings.hasher,
            settings: WriteSettings {
                capacity: settings.limit,
                weigher: settings.weigher,
                listener: settings.listener,
                negative_ttl: settings.negative.map(|(ttl, _)| ttl),
                caches_error: settings.caches_error,
                error_style: settings.error_style,
            },
            maintenance_scheduled: AtomicBool::new(false),
            #[cfg(not(docache_loom))]
            background,
        }
    }

    pub(crate) fn listener(&self) -> Option<&Listener<K, V>> {
        self.settings.listener.as_ref()
    }

    /// Whether the background will look after what writes leave.
    #[cfg(not(docache_loom))]
    pub(crate) fn maintenance_scheduled(&self) -> &AtomicBool {
        &self.maintenance_scheduled
    }

    #[cfg(not(docache_loom))]
    pub(crate) fn background(&self) -> &BackgroundHandle {
        &self.background
    }

    #[inline(always)]
    pub(crate) fn shard(&self, hash: u64) -> &Shard<K, V, E> {
        // SAFETY: the number of shards is a power of two, and this is less.
        unsafe { self.shards.get_unchecked(self.shard_number(hash)) }
    }

    /// Where the shard of this hash is among the [`shards`](Core::shards).
    #[inline(always)]
    pub(super) fn shard_number(&self, hash: u64) -> usize {
        // The table's buckets and tags are chosen by lower bits.
        (hash >> 48) as usize & self.mask
    }

    pub(crate) fn shards(&self) -> &[Shard<K, V, E>] {
        &self.shards
    }

    /// The time of writes.
    #[inline]
    pub(crate) fn now(&self) -> Tick {
        self.expiry.clock.now()
    }

    /// Counts a load that came to nothing.
    #[cold]
    pub(crate) fn count_failed_load(&self, shard: &Shard<K, V, E>, took: Duration) {
        shard.lock(&self.hasher).state.load_counts.count_load(took, false);
    }

    /// Schedules a maintenance pass in the background, after a delay, unless one is scheduled
    /// already.
    #[inline]
    pub(crate) fn schedule_maintenance(&self) {
        if !self.maintenance_scheduled.load(Ordering::Relaxed)
            && !self.maintenance_scheduled.swap(true, Ordering::Relaxed)
        {
            #[cfg(not(docache_loom))]
            self.background.maintain_later();
        }
    }

    /// Has the background see to what must not wait, such as what the listener was not shown.
    pub(crate) fn schedule_maintenance_now(&self) {
        #[cfg(not(docache_loom))]
        self.background.maintain_now();
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Core<K, V, E, S> {
    #[inline(always)]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    #[inline]
    pub(crate) fn lock<'a>(&'a self, shard: &'a Shard<K, V, E>) -> Locked<'a, K, V, E, S> {
        shard.lock(&self.hasher)
    }

    /// The live entry of a key, whose hash this is.
    #[inline(always)]
    pub(crate) fn read<'g, Q>(
        &'g self,
        guard: &'g Guard,
        (hash, key): (u64, &Q),
        access: Access,
    ) -> Option<&'g Place<K, V>>
    where
        Q: Lookup<K> + ?Sized,
    {
        let shard = self.shard(hash);
        let found = shard.find(guard, hash, key);
        if let Some(entry) = found {
            let meta = entry.meta();
            if self.expiry.is_surely_live(meta) {
                if access == Access::Get {
                    entry.hit(meta);
                }
                return found;
            }
        } else if !self.tracks_reads {
            return None;
        }
        // It has a copy of the hash: a reference would keep that in memory for all reads.
        self.read_slow(found, access, move |hit| self.track_read(shard, hash, key, hit))
    }

    /// Finishes a read if the entry may have expired, or if reads are counted or told to the
    /// policy. Not generic over the key's type, hence `record`.
    #[inline(never)]
    fn read_slow<'g>(
        &self,
        found: Option<&'g Place<K, V>>,
        access: Access,
        record: impl FnOnce(bool),
    ) -> Option<&'g Place<K, V>> {
        let found = found.filter(|entry| {
            let meta = entry.meta();
            let live = self.expiry.is_live_slow(meta.deadline());
            if live && access == Access::Get {
                entry.hit(meta);
            }
            live
        });
        if self.tracks_reads && access == Access::Get {
            record(found.is_some());
        }
        found
    }

    /// Counts a read, and tells a policy that wants to know.
    #[inline(never)]
    fn track_read<Q: Lookup<K> + ?Sized>(
        &self,
        shard: &Shard<K, V, E>,
        hash: u64,
        key: &Q,
        hit: bool,
    ) {
        if let Some(counters) = &self.hit_counters {
            counters.count(hit);
        }
        if !(self.lru && hit) {
            return;
        }
        let mut locked = self.lock(shard);
        if let Some((index, _)) = locked.find(hash, key) {
            locked.state.policy.touch(index);
        }
    }

    /// What an entry weighs. The weigher is the user's.
    #[inline]
    pub(crate) fn weigh(&self, key: &K, value: &V) -> u32 {
        self.settings.weigher.as_ref().map_or(1, |weigh| weigh(key, value))
    }

    /// What a new entry is to be. The clock may be the user's.
    #[inline]
    pub(crate) fn new_entry(
        &self,
        hash: u64,
        weight: u32,
        ttl: Option<Duration>,
        now: Tick,
    ) -> NewEntry {
        NewEntry {
            hash,
            deadline: self.expiry.deadline_for(hash, ttl, now),
            weight,
            now: Deadline::of(now),
        }
    }

    /// The live entry of a key, under its shard's lock.
    ///
    /// # Safety
    /// The result is used only as long as the lock is held, or a guard that was taken under it.
    pub(crate) unsafe fn find_live<'a>(
        &self,
        locked: &Locked<'a, K, V, E, S>,
        (hash, key): (u64, &K),
        now: Option<Tick>,
    ) -> Option<&'a Place<K, V>> {
        // SAFETY: the caller's promise.
        let entry = unsafe { locked.find_beyond_lock(hash, key) }?.place;
        self.expiry.is_live_at(entry, now).then_some(entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| self.lock(shard).state.len).sum()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.shards.iter().map(|shard| self.lock(shard).state.policy.weight()).sum()
    }

    pub(crate) fn add_to(&self, stats: &mut CacheStats) {
        for shard in &self.shards {
            let locked = self.lock(shard);
            locked.state.counts.add_to(stats);
            locked.state.load_counts.add_to(stats);
            stats.len += locked.state.len;
            stats.weight += locked.state.policy.weight();
            stats.retired += locked.state.unlinked();
            stats.retired_weight += locked.retired_weight();
            stats.memory += locked.memory();
        }
        if let Some(counters) = &self.hit_counters {
            counters.add_to(stats);
        }
    }
}

impl<K, V, E, S> Debug for Core<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}
