//! The shards of a cache, its time, and how it is read.

use std::fmt::{self, Debug};
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::entry::{Deadline, Entry};
use super::locked::Locked;
use super::shard::{NewEntry, Shard, ShardConfig};
#[cfg(not(docache_loom))]
use crate::cache::background::BackgroundHandle;
use crate::cache::key::Lookup;
use crate::cache::policy::PolicyKind;
use crate::cache::reclaim::Guard;
use crate::cache::settings::{Listener, Settings, TimeSource, Weigher};
use crate::cache::stats::{CacheStats, HitCounters};
use crate::clock::{Tick, saturating_nanos};
use crate::flight::Manner;

/// Times to live of up to this many nanoseconds are counted from the exact time: the coarse clock's
/// lag would be a large part of them.
const EXACT_TTL: u64 = 1_000_000_000;

/// The time to live of what never expires, in nanoseconds.
const FOREVER: u64 = u64::MAX;

/// A time to live in nanoseconds; [`Duration::MAX`] does not end.
fn nanos_of(ttl: Duration) -> u64 {
    if ttl == Duration::MAX { FOREVER } else { saturating_nanos(ttl).min(FOREVER - 1) }
}

/// What a read is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The value: it is counted, and the policy learns of it.
    Get,
    /// Whether there is one: nobody learns of it.
    Peek,
}

pub(crate) struct Core<K, V, E, S> {
    shards: Box<[Shard<K, V, E>]>,
    /// The number of shards, less one.
    mask: usize,
    hasher: S,
    /// A moment a little ahead of the coarse clock, encoded by
    /// [`horizon_of`](crate::clock::horizon_of). An entry whose deadline is later than this is
    /// alive, and nothing else need be asked. If reads are recorded, or the clock is a user's, it
    /// is later than any deadline: so every read goes the slow way.
    horizon: &'static AtomicU64,
    read_clock: TimeSource,
    /// Whether reads are counted, or told to the policy.
    records_reads: bool,
    lru: bool,
    hit_counters: Option<HitCounters>,
    pub(crate) settings: Writing<K, V, E>,
    /// Whether the background will look after what writes leave. Relaxed: a write sets it after
    /// its critical section, the background clears it before its own; whichever section of a shard
    /// comes second sees what the other side did.
    maintenance_scheduled: AtomicBool,
    #[cfg(not(docache_loom))]
    background: BackgroundHandle,
}

/// What only writers need.
pub(crate) struct Writing<K, V, E> {
    pub(crate) clock: TimeSource,
    /// In nanoseconds, or [`FOREVER`].
    ttl: u64,
    pub(crate) limit: Option<u64>,
    jitter: f64,
    pub(crate) weigher: Option<Weigher<K, V>>,
    pub(super) listener: Option<Listener<K, V>>,
    /// How long errors are cached, and which.
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) remembers: fn(&E) -> bool,
    pub(crate) manner: Manner<K>,
}

impl<K, V, E, S> Core<K, V, E, S> {
    pub(crate) fn new(
        settings: Settings<K, V, E, S>,
        #[cfg(not(docache_loom))] background: BackgroundHandle,
    ) -> Core<K, V, E, S> {
        let shards = settings.shards as u64;
        let records_reads = settings.kind == PolicyKind::Lru || settings.record_stats;
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
            horizon: settings.read_clock.horizon(records_reads),
            read_clock: settings.read_clock,
            records_reads,
            lru: settings.kind == PolicyKind::Lru,
            hit_counters: settings.record_stats.then(HitCounters::new),
            hasher: settings.hasher,
            settings: Writing {
                clock: settings.clock,
                ttl: nanos_of(settings.ttl),
                limit: settings.limit,
                jitter: settings.jitter,
                weigher: settings.weigher,
                listener: settings.listener,
                negative_ttl: settings.negative.map(|(ttl, _)| ttl),
                remembers: settings.remembers,
                manner: settings.manner,
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
        // The table's buckets and tags are chosen by lower bits.
        let number = (hash >> 48) as usize & self.mask;
        // SAFETY: the number of shards is a power of two, and this is less.
        unsafe { self.shards.get_unchecked(number) }
    }

    pub(crate) fn shards(&self) -> &[Shard<K, V, E>] {
        &self.shards
    }

    /// Whether an entry has not expired. Asks the exact clock if its deadline is near. Not for use
    /// under a lock if the clock is a user's: see [`now_for_lock`](Self::now_for_lock).
    pub(crate) fn is_live(&self, entry: &Entry<K, V>) -> bool {
        let meta = entry.meta();
        meta.is_after(self.horizon.load(Ordering::Relaxed)) || self.is_live_slow(meta.deadline())
    }

    #[inline(never)]
    fn is_live_slow(&self, deadline: Deadline) -> bool {
        deadline == Deadline::NEVER || self.read_clock.is_before(deadline)
    }

    /// What [`is_live_at`](Self::is_live_at) is to go by: a user's clock is read here, before the
    /// lock is taken, since no user code may run under it (QUIET). `None` for our own clock, which
    /// can be read there.
    #[inline]
    pub(crate) fn now_for_lock(&self) -> Option<Tick> {
        match &self.read_clock {
            TimeSource::Coarse | TimeSource::Frozen => None,
            TimeSource::Other(..) => Some(self.read_clock.now()),
        }
    }

    /// [`is_live`](Self::is_live) under a shard's lock, with what
    /// [`now_for_lock`](Self::now_for_lock) returned before.
    #[inline]
    pub(super) fn is_live_at(&self, entry: &Entry<K, V>, now: Option<Tick>) -> bool {
        match now {
            None => self.is_live(entry),
            Some(now) => {
                entry.deadline() == Deadline::NEVER || entry.deadline().is_after(now.as_nanos())
            }
        }
    }

    /// The deadline of what is written now.
    fn deadline_for(&self, hash: u64, ttl: Option<Duration>, now: Tick) -> Deadline {
        let mut nanos = ttl.map_or(self.settings.ttl, nanos_of);
        if nanos == FOREVER {
            return Deadline::NEVER;
        }
        if self.settings.jitter > 0.0 {
            // Not random, but different between keys and between times, which is enough to spread
            // deadlines.
            let mixed =
                (hash.rotate_left(32) ^ now.as_nanos()).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
            let random = mixed as f64 / (1_u64 << 53) as f64;
            // The product may be a little too large; the cast and the subtraction saturate.
            nanos = nanos.saturating_sub((nanos as f64 * (self.settings.jitter * random)) as u64);
        }
        // A short time to live counts from the exact time, or the entry might have expired before
        // it is stored. A time to live of zero must be over by either clock.
        let exact = nanos <= EXACT_TTL && nanos > 0;
        let now = if exact { self.settings.clock.exact_now() } else { now };
        Deadline::of(Tick::from_nanos(now.as_nanos().saturating_add(nanos)))
    }

    /// Counts a load that came to nothing.
    #[cold]
    pub(crate) fn count_failed_load(&self, shard: &Shard<K, V, E>, took: Duration) {
        shard.lock(&self.hasher).state.counts.count_load(took, false);
    }

    /// Has the background see to what a write has left, in a while; nothing is scheduled again
    /// before the background has looked.
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
    ) -> Option<&'g Entry<K, V>>
    where
        Q: Lookup<K> + ?Sized,
    {
        let shard = self.shard(hash);
        let found = shard.find(guard, hash, key);
        if let Some(entry) = found {
            let meta = entry.meta();
            if meta.is_after(self.horizon.load(Ordering::Relaxed)) {
                if access == Access::Get {
                    entry.hit(meta);
                }
                return found;
            }
        } else if !self.records_reads {
            return None;
        }
        self.read_slow(found, access, |hit| self.record_read(shard, hash, key, hit))
    }

    /// Finishes a read if the entry may have expired, or if reads are counted or told to the
    /// policy.
    #[inline(never)]
    fn read_slow<'g>(
        &self,
        found: Option<&'g Entry<K, V>>,
        access: Access,
        record: impl FnOnce(bool),
    ) -> Option<&'g Entry<K, V>> {
        let found = found.filter(|entry| {
            let meta = entry.meta();
            let live = self.is_live_slow(meta.deadline());
            if live && access == Access::Get {
                entry.hit(meta);
            }
            live
        });
        if self.records_reads && access == Access::Get {
            record(found.is_some());
        }
        found
    }

    /// Counts a read, and tells a policy that wants to know.
    #[inline(never)]
    fn record_read<Q: Lookup<K> + ?Sized>(
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
            locked.touch(index);
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
            deadline: self.deadline_for(hash, ttl, now),
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
    ) -> Option<&'a Entry<K, V>> {
        // SAFETY: the caller's promise.
        let (_, entry) = unsafe { locked.find_unbound(hash, key) }?;
        self.is_live_at(entry, now).then_some(entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| self.lock(shard).state.len).sum()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.shards.iter().map(|shard| self.lock(shard).state.weight()).sum()
    }

    pub(crate) fn add_to(&self, stats: &mut CacheStats) {
        for shard in &self.shards {
            let locked = self.lock(shard);
            locked.state.counts.add_to(stats);
            stats.len += locked.state.len;
            stats.weight += locked.state.weight();
            stats.retired += locked.state.retired();
            stats.retired_weight += locked.state.retired_weight();
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
