//! The shards of a cache, its time, and how it is read.

use std::fmt::{self, Debug};
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::entry::{Deadline, Entry};
use super::locked::Locked;
use super::shard::{New, Plan, Shard};
use crate::cache::key::Lookup;
use crate::cache::policy::Kind;
use crate::cache::reclaim::Guard;
use crate::cache::settings::{Listener, Settings, Time, Weigher};
use crate::cache::stats::{CacheStats, Reads};
#[cfg(not(docache_loom))]
use crate::cache::sweep::Registered;
use crate::clock::{Tick, saturating_nanos};
use crate::flight::ErrorStyle;

/// A time to live for which it matters how far the coarse clock is behind, in nanoseconds.
const EXACT_TTL: u64 = 1_000_000_000;

/// A time to live that does not end, where it is a number.
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
    /// A time, as [`horizon_of`](crate::clock::horizon_of) gives it, that is not behind: what is
    /// alive by it is alive, and not watched.
    horizon: &'static AtomicU64,
    read_time: Time,
    /// Whether reads are counted, or told to the policy.
    watched: bool,
    lru: bool,
    reads: Option<Reads>,
    pub(crate) settings: Writing<K, V, E>,
    /// Whether the background will look after what writes leave.
    awaited: AtomicBool,
    #[cfg(not(docache_loom))]
    background: Registered,
}

/// What only writers need.
pub(crate) struct Writing<K, V, E> {
    pub(crate) time: Time,
    /// In nanoseconds, or [`FOREVER`].
    ttl: u64,
    pub(crate) limit: Option<u64>,
    jitter: f64,
    pub(crate) weigher: Option<Weigher<K, V>>,
    pub(super) listener: Option<Listener<K, V>>,
    /// How long errors are cached, and which.
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) remembers: fn(&E) -> bool,
    pub(crate) error_style: ErrorStyle<K>,
}

impl<K, V, E, S> Core<K, V, E, S> {
    pub(crate) fn new(
        settings: Settings<K, V, E, S>,
        #[cfg(not(docache_loom))] background: Registered,
    ) -> Core<K, V, E, S> {
        let shards = settings.shards as u64;
        let watched = settings.kind == Kind::Lru || settings.record_stats;
        let plan = |number| Plan {
            kind: settings.kind,
            most: settings.limit.map_or(Plan::UNBOUNDED, |limit| {
                limit / shards + u64::from(number < limit % shards)
            }),
            weighted: settings.weigher.is_some(),
            failures: settings.negative.map(|(_, most)| most / settings.shards),
        };
        Core {
            shards: (0..shards).map(|number| Shard::new(plan(number))).collect(),
            mask: settings.shards - 1,
            horizon: settings.read_time.horizon(watched),
            read_time: settings.read_time,
            watched,
            lru: settings.kind == Kind::Lru,
            reads: settings.record_stats.then(Reads::new),
            hasher: settings.hasher,
            settings: Writing {
                time: settings.time,
                ttl: nanos_of(settings.ttl),
                limit: settings.limit,
                jitter: settings.jitter,
                weigher: settings.weigher,
                listener: settings.listener,
                negative_ttl: settings.negative.map(|(ttl, _)| ttl),
                remembers: settings.remembers,
                error_style: settings.error_style,
            },
            awaited: AtomicBool::new(false),
            #[cfg(not(docache_loom))]
            background,
        }
    }

    pub(crate) fn listener(&self) -> Option<&Listener<K, V>> {
        self.settings.listener.as_ref()
    }

    /// Whether the background will look after what writes leave.
    #[cfg(not(docache_loom))]
    pub(crate) fn awaited(&self) -> &AtomicBool {
        &self.awaited
    }

    #[cfg(not(docache_loom))]
    pub(crate) fn background(&self) -> &Registered {
        &self.background
    }

    #[inline(always)]
    pub(crate) fn shard(&self, hash: u64) -> &Shard<K, V, E> {
        // Other bits than those that the table goes by.
        let number = (hash >> 48) as usize & self.mask;
        // SAFETY: the number of shards is a power of two, and this is less.
        unsafe { self.shards.get_unchecked(number) }
    }

    pub(crate) fn shards(&self) -> &[Shard<K, V, E>] {
        &self.shards
    }

    /// Whether a reader may have an entry.
    pub(crate) fn is_live(&self, entry: &Entry<K, V>) -> bool {
        let meta = entry.meta();
        meta.is_after(self.horizon.load(Ordering::Relaxed)) || self.is_live_slow(meta.until())
    }

    #[inline(never)]
    fn is_live_slow(&self, until: Deadline) -> bool {
        until == Deadline::NEVER || self.read_time.is_before(until)
    }

    /// The time to go by under a lock, where no clock of a user's may be asked; `None` if ours can
    /// be.
    #[inline]
    pub(crate) fn reading(&self) -> Option<Tick> {
        match &self.read_time {
            Time::Coarse | Time::Frozen => None,
            Time::Other(..) => Some(self.read_time.now()),
        }
    }

    /// Whether a reader may have an entry, under a lock.
    #[inline]
    pub(super) fn was_live(&self, entry: &Entry<K, V>, reading: Option<Tick>) -> bool {
        match reading {
            None => self.is_live(entry),
            Some(now) => entry.until() == Deadline::NEVER || entry.until().is_after(now.as_nanos()),
        }
    }

    /// The deadline of what is written now.
    fn until(&self, hash: u64, ttl: Option<Duration>, now: Tick) -> Deadline {
        let mut nanos = ttl.map_or(self.settings.ttl, nanos_of);
        if nanos == FOREVER {
            return Deadline::NEVER;
        }
        if self.settings.jitter > 0.0 {
            // Any number will do that differs between keys and between times.
            let mixed =
                (hash.rotate_left(32) ^ now.as_nanos()).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
            let random = mixed as f64 / (1_u64 << 53) as f64;
            // The product may be a little too large; the cast and the subtraction saturate.
            nanos = nanos.saturating_sub((nanos as f64 * (self.settings.jitter * random)) as u64);
        }
        // A short one must not be over before it begins, by a clock that is behind; one of zero is
        // to be over by any.
        let exact = nanos <= EXACT_TTL && nanos > 0;
        let now = if exact { self.settings.time.exact_now() } else { now };
        Deadline::of(Tick::from_nanos(now.as_nanos().saturating_add(nanos)))
    }

    /// Counts a load that came to nothing.
    #[cold]
    pub(crate) fn count_failed_load(&self, shard: &Shard<K, V, E>, took: Duration) {
        shard.lock(&self.hasher).inner.counts.count_load(took, false);
    }

    /// Says that a write has left something for the background.
    #[inline]
    pub(crate) fn leave_to_background(&self, unheard: bool) {
        if unheard
            || (!self.awaited.load(Ordering::Relaxed)
                && !self.awaited.swap(true, Ordering::Relaxed))
        {
            #[cfg(not(docache_loom))]
            if unheard {
                self.background.tidy_now();
            } else {
                self.background.tidy_later();
            }
        }
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
        } else if !self.watched {
            return None;
        }
        self.read_slow(found, access, |hit| self.watch(shard, hash, key, hit))
    }

    /// A read of what may have expired, or of a cache that is watched.
    #[inline(never)]
    fn read_slow<'g>(
        &self,
        found: Option<&'g Entry<K, V>>,
        access: Access,
        watch: impl FnOnce(bool),
    ) -> Option<&'g Entry<K, V>> {
        let found = found.filter(|entry| {
            let meta = entry.meta();
            let live = self.is_live_slow(meta.until());
            if live && access == Access::Get {
                entry.hit(meta);
            }
            live
        });
        if self.watched && access == Access::Get {
            watch(found.is_some());
        }
        found
    }

    /// Counts a read, and tells a policy that wants to know.
    #[inline(never)]
    fn watch<Q: Lookup<K> + ?Sized>(&self, shard: &Shard<K, V, E>, hash: u64, key: &Q, hit: bool) {
        if let Some(reads) = &self.reads {
            reads.count(hit);
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
    ) -> New {
        New { hash, until: self.until(hash, ttl, now), weight, now: Deadline::of(now) }
    }

    /// The live entry of a key, under its shard's lock.
    pub(crate) fn find_live<'a>(
        &self,
        locked: &Locked<'a, K, V, E, S>,
        (hash, key): (u64, &K),
        reading: Option<Tick>,
    ) -> Option<&'a Entry<K, V>> {
        locked.find(hash, key).map(|(_, entry)| entry).filter(|entry| self.was_live(entry, reading))
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| self.lock(shard).inner.live()).sum()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.shards.iter().map(|shard| self.lock(shard).inner.weight()).sum()
    }

    pub(crate) fn add_to(&self, stats: &mut CacheStats) {
        for shard in &self.shards {
            let locked = self.lock(shard);
            locked.inner.counts.add_to(stats);
            stats.len += locked.inner.live();
            stats.weight += locked.inner.weight();
            stats.retired += locked.inner.retired();
            stats.retired_weight += locked.inner.retired_weight();
            stats.memory += locked.memory();
        }
        if let Some(reads) = &self.reads {
            reads.add_to(stats);
        }
    }
}

impl<K, V, E, S> Debug for Core<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}
