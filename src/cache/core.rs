//! The cache without its loads: shards, time, and the order in which the lock, the listener and destructors come.
//!
//! Writers look like this: weigh, without a lock; lock the shard; move a few pairs out of limbo; write; unlock; tell the
//! listener of what left; drop the pairs. So user code other than `Hash` and `Eq` never runs under the lock, and no
//! reader ever runs a destructor.

use std::borrow::Borrow;
use std::fmt::{self, Debug};
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::after::After;
use super::entry::{Entry, Moment};
use super::loads::LoadId;
use super::policy::Kind;
use super::reclaim::{Guard, advance, ended, hint, pin};
use super::settings::{Listener, Settings, Time, Weigher};
use super::shard::{Locked, New, Shard};
use super::stats::{CacheStats, Cause, Reads};
use crate::clock::Tick;
use crate::contain::{contained, drop_contained};

/// Buckets that the sweep goes through without giving the lock back.
const SWEEP_STEP: usize = 64;
/// How often a write that finds no place tries to end periods: often enough if no reader is there.
const PLACE_TRIES: usize = 8;
/// How often it does so once more, after giving the processor away, if readers may be in the midst of something.
const PATIENT_TRIES: usize = 24;
/// Up to which time to live a deadline counts from the exact time.
const EXACT_TTL: Duration = Duration::from_secs(1);
/// How often `flush` tries to end the periods that readers may be holding up.
const FLUSH_TRIES: usize = 256;

pub(crate) struct Core<K, V, S> {
    shards: Box<[Shard<K, V>]>,
    /// The number of shards, less one.
    mask: usize,
    hasher: S,
    /// A time, as [`glance_of`](crate::clock::glance_of) gives it, that is not behind: what is alive by it is alive, and not
    /// watched.
    glance: &'static AtomicU64,
    read_time: Time,
    /// Whether reads are counted, or told to the policy.
    watched: bool,
    lru: bool,
    reads: Option<Reads>,
    pub(super) settings: Writing<K, V>,
}

/// What only writers need.
pub(crate) struct Writing<K, V> {
    pub(super) time: Time,
    pub(super) ttl: Duration,
    pub(super) limit: Option<u64>,
    /// The least that a shard holds.
    share: u64,
    jitter: f64,
    pub(super) weigher: Option<Weigher<K, V>>,
    listener: Option<Listener<K, V>>,
}

/// A value was too heavy.
#[derive(Debug)]
pub(crate) struct TooHeavy {
    pub(super) weight: u32,
    pub(super) share: u64,
}

impl<K, V, S> Core<K, V, S> {
    pub(crate) fn new(settings: Settings<K, V, S>) -> Core<K, V, S> {
        let shards = settings.shards as u64;
        let weighted = settings.weigher.is_some();
        let watched = settings.kind == Kind::Lru || settings.record_stats;
        let share = |number| settings.limit.map(|limit| limit / shards + u64::from(number < limit % shards));
        Core {
            shards: (0..shards).map(|number| Shard::new(settings.kind, share(number), weighted)).collect(),
            mask: settings.shards - 1,
            glance: settings.read_time.glance(watched),
            read_time: settings.read_time,
            watched,
            lru: settings.kind == Kind::Lru,
            reads: settings.record_stats.then(Reads::new),
            hasher: settings.hasher,
            settings: Writing {
                time: settings.time,
                ttl: settings.ttl,
                limit: settings.limit,
                share: share(shards).unwrap_or(u64::MAX),
                jitter: settings.jitter,
                weigher: settings.weigher,
                listener: settings.listener,
            },
        }
    }

    #[inline(always)]
    pub(super) fn shard(&self, hash: u64) -> &Shard<K, V> {
        // Other bits than those that the table goes by.
        let number = (hash >> 48) as usize & self.mask;
        // SAFETY: the number of shards is a power of two, and this is less.
        unsafe { self.shards.get_unchecked(number) }
    }

    pub(super) fn shards(&self) -> &[Shard<K, V>] {
        &self.shards
    }

    /// Whether a reader may have an entry.
    pub(super) fn is_live(&self, entry: &Entry<K, V>) -> bool {
        let mark = entry.mark();
        mark.is_after(self.glance.load(Ordering::Relaxed)) || self.is_live_indeed(mark.until())
    }

    #[inline(never)]
    fn is_live_indeed(&self, until: Moment) -> bool {
        until == Moment::NEVER || self.read_time.is_before(until)
    }

    /// Whether a load under way has been beaten.
    pub(super) fn is_beaten(&self, load: LoadId) -> bool {
        self.shard(load.hash).lock(&self.hasher).inner.loads.is_beaten(load.id)
    }

    /// Ends a load that has failed. Whether nobody has beaten it.
    pub(super) fn give_up(&self, load: LoadId) -> bool {
        let now = self.settings.time.now();
        self.shard(load.hash).lock(&self.hasher).inner.end_load(load, now, false)
    }

    /// The deadline of what is written now.
    fn until(&self, hash: u64, ttl: Option<Duration>, now: Tick) -> Moment {
        let mut ttl = ttl.unwrap_or(self.settings.ttl);
        if self.settings.jitter > 0.0 && ttl != Duration::MAX {
            // Any number will do that differs between keys and between times.
            let mixed = (hash.rotate_left(32) ^ now.as_nanos()).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
            let random = mixed as f64 / (1_u64 << 53) as f64;
            ttl = ttl.mul_f64(1.0 - self.settings.jitter * random);
        }
        // A short one must not be over before it begins, by a clock that is behind; one of zero is to be over by any.
        let exact = ttl <= EXACT_TTL && !ttl.is_zero();
        let from = if exact { self.settings.time.exact_now() } else { now };
        Moment::after(from, ttl)
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Core<K, V, S> {
    #[inline(always)]
    pub(super) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    /// What is to be done once the lock of a shard is given back; to be there before it is taken.
    #[inline]
    fn finish<'a>(&'a self, shard: &'a Shard<K, V>) -> Finish<'a, K, V, S> {
        Finish { core: self, shard, after: After::new(self.settings.listener.is_some()) }
    }

    #[inline]
    pub(super) fn lock<'a>(&'a self, shard: &'a Shard<K, V>) -> Locked<'a, K, V, S> {
        shard.lock(&self.hasher)
    }

    /// The live entry of a key. Counts the read, unless `silent`.
    #[inline(always)]
    pub(crate) fn read<'g, Q>(&'g self, guard: &'g Guard, key: &Q, silent: bool) -> Option<&'g Entry<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.shard(hash);
        let found = shard.find(guard, hash, key);
        if let Some(entry) = found {
            let mark = entry.mark();
            if mark.is_after(self.glance.load(Ordering::Relaxed)) {
                if !silent {
                    entry.hit(mark);
                }
                return found;
            }
        } else if !self.watched {
            return None;
        }
        self.read_closely(found, silent, |hit| self.watch(shard, hash, key, hit))
    }

    /// A read that was not done at a glance: of what may have expired, or of a cache that is watched.
    #[inline(never)]
    fn read_closely<'g>(
        &self,
        found: Option<&'g Entry<K, V>>,
        silent: bool,
        watch: impl FnOnce(bool),
    ) -> Option<&'g Entry<K, V>> {
        let found = found.filter(|entry| {
            let mark = entry.mark();
            let live = self.is_live_indeed(mark.until());
            if live && !silent {
                entry.hit(mark);
            }
            live
        });
        if self.watched && !silent {
            watch(found.is_some());
        }
        found
    }

    /// Counts a read, and tells a policy that wants to know.
    #[inline(never)]
    fn watch<Q>(&self, shard: &Shard<K, V>, hash: u64, key: &Q, hit: bool)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
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

    /// Takes a value in. With `load` it does so only if that load was not beaten, and ends it in any case.
    pub(crate) fn put(
        &self,
        key: K,
        value: V,
        ttl: Option<Duration>,
        load: Option<LoadId>,
    ) -> Result<(), TooHeavy> {
        let weight = self.settings.weigher.as_ref().map_or(1, |weigh| weigh(&key, &value));
        let hash = load.map_or_else(|| self.hash(&key), |load| load.hash);
        let shard = self.shard(hash);
        let tick = self.settings.time.now();
        let (until, now) = (self.until(hash, ttl, tick), Moment::of(tick));
        let mut finish = self.finish(shard);
        let mut locked = self.lock(shard);
        locked.reclaim(&mut finish.after);
        if !locked.has_place() {
            drop(locked);
            finish.finish();
            self.make_place(shard);
            locked = self.lock(shard);
        }
        let kept = match load {
            Some(load) => locked.inner.end_load(load, tick, true),
            None => {
                locked.beat(hash);
                true
            }
        };
        let old = if kept { locked.find(hash, &key) } else { None };
        let old = old.map(|(index, entry)| {
            (index, if entry.until() <= now { Cause::Expired } else { Cause::Replaced })
        });
        let fits = u64::from(weight) <= self.settings.share;
        if kept && fits && locked.has_place() {
            locked.put((key, value), New { hash, until, weight, now }, old, &mut finish.after);
            return Ok(());
        }
        if let Some((index, cause)) = old {
            locked.unlink(index, cause, &mut finish.after);
        }
        if kept {
            locked.inner.counts.count(Cause::Refused);
        }
        drop(locked);
        drop(finish);
        if kept {
            self.refuse(shard, key, value);
        } else {
            drop_contained((key, value));
        }
        if fits { Ok(()) } else { Err(TooHeavy { weight, share: self.settings.share }) }
    }

    #[cold]
    fn refuse(&self, shard: &Shard<K, V>, key: K, value: V) {
        if let Some(listener) = &self.settings.listener
            && contained(|| listener(&key, &value, Cause::Refused)).is_err()
        {
            self.lock(shard).inner.counts.listener_panics += 1;
        }
        drop_contained((key, value));
    }

    /// Tries to get places back that retired entries hold.
    #[cold]
    fn make_place(&self, shard: &Shard<K, V>) {
        for tries in 0..PLACE_TRIES + PATIENT_TRIES {
            let mut finish = self.finish(shard);
            let mut locked = self.lock(shard);
            locked.inner.limbo.close();
            locked.reclaim(&mut finish.after);
            drop(locked);
            drop(finish);
            if self.lock(shard).has_place() {
                return;
            }
            advance();
            if tries >= PLACE_TRIES {
                if self.lock(shard).inner.held_up == Some(ended()) {
                    // Somebody was waited for in vain, and is still there.
                    return;
                }
                // Whoever is in the midst of a read may be waiting for this processor.
                std::thread::yield_now();
            }
        }
        self.lock(shard).inner.held_up = Some(ended());
    }

    /// Has `forget` end the flight of a key, so that nobody joins it any more, if its load was beaten: whoever comes after a
    /// write must not get what was loaded before.
    #[inline]
    pub(crate) fn forget_overtaken<Q: Hash + ?Sized>(&self, key: &Q, forget: impl FnOnce()) {
        let hash = self.hash(key);
        let shard = self.shard(hash);
        if shard.is_overtaken() {
            let mut locked = self.lock(shard);
            if locked.close_beaten(hash) {
                // Under the lock, so that nobody who comes later joins it first.
                forget();
            }
        }
    }

    /// Takes a key out; whether it was there, alive. `found` gets the entry, which a guard of its keeps.
    pub(crate) fn remove<Q, R>(&self, key: &Q, found: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.shard(hash);
        let mut finish = self.finish(shard);
        let after = &mut finish.after;
        let guard = pin();
        let mut locked = self.lock(shard);
        locked.reclaim(after);
        locked.beat(hash);
        let mut removed = None;
        if let Some((index, entry)) = locked.find(hash, key) {
            let live = self.is_live(entry);
            locked.unlink(index, if live { Cause::Removed } else { Cause::Expired }, after);
            locked.shrink();
            removed = live.then_some(entry);
        }
        drop(locked);
        // SAFETY: the guard has been there since before the entry was retired.
        let removed = removed.map(|entry| found(unsafe { &entry.pair().1 }));
        drop(guard);
        removed
    }

    /// Takes out what `wanted` says, of each shard in turn, and gives the lock back now and then. How many there were.
    fn sift(&self, mut wanted: impl FnMut(&Entry<K, V>) -> Option<Cause>) -> usize {
        let mut count = 0;
        for shard in &self.shards {
            let mut at = 0;
            loop {
                let mut finish = self.finish(shard);
                let mut locked = self.lock(shard);
                let before = locked.inner.live();
                let more = locked.sift(at, SWEEP_STEP, &mut wanted, &mut finish.after);
                count += before - locked.inner.live();
                locked.reclaim(&mut finish.after);
                if !more {
                    locked.shrink();
                }
                drop(locked);
                drop(finish);
                if !more {
                    break;
                }
                at += SWEEP_STEP;
            }
        }
        count
    }

    pub(crate) fn purge_expired(&self) -> usize {
        let now = Moment::of(self.settings.time.exact_now());
        self.sift(|entry| (entry.until() <= now).then_some(Cause::Expired))
    }

    pub(crate) fn clear(&self) {
        let now = Moment::of(self.settings.time.now());
        for shard in &self.shards {
            let mut finish = self.finish(shard);
            let mut locked = self.lock(shard);
            locked.beat_all();
            let cause =
                |entry: &Entry<K, V>| if entry.until() <= now { Cause::Expired } else { Cause::Removed };
            locked.sift(0, usize::MAX, |entry| Some(cause(entry)), &mut finish.after);
            locked.shrink();
        }
        self.flush();
    }

    /// Drops what was retired, as far as no reader holds it; whether nothing is left.
    pub(crate) fn flush(&self) -> bool {
        let left = self.shards.iter().filter(|shard| !self.flush_shard(shard)).count();
        left == 0
    }

    fn flush_shard(&self, shard: &Shard<K, V>) -> bool {
        let mut tries = 0;
        loop {
            let mut finish = self.finish(shard);
            let mut locked = self.lock(shard);
            let before = locked.inner.limbo.len();
            locked.inner.limbo.close();
            locked.inner.limbo.free_tables();
            locked.reclaim(&mut finish.after);
            let some = locked.inner.limbo.len() < before;
            let done = locked.inner.limbo.is_empty();
            drop(locked);
            drop(finish);
            if done {
                return true;
            }
            if !some {
                tries += 1;
                if tries == FLUSH_TRIES {
                    return false;
                }
                advance();
                if tries > 8 {
                    std::thread::yield_now();
                }
            }
        }
    }

    /// Tells the listener of the entries that a call has claimed, and sends them to limbo. Whether that closed a batch there.
    #[cold]
    pub(super) fn tell(&self, shard: &Shard<K, V>, claimed: &mut Vec<(u32, Cause)>) -> bool {
        let Some(listener) = &self.settings.listener else { return false };
        let entries: Vec<_> = {
            let locked = self.lock(shard);
            claimed.iter().map(|&(index, cause)| (locked.entry(index), cause)).collect()
        };
        let mut panics = 0;
        for (entry, cause) in entries {
            // SAFETY: unlinked by this call and not yet in limbo, so nobody empties its place.
            let (key, value) = unsafe { entry.pair() };
            panics += u64::from(contained(|| listener(key, value, cause)).is_err());
        }
        let mut locked = self.lock(shard);
        locked.inner.counts.listener_panics += panics;
        claimed.drain(..).fold(false, |full, (index, _)| locked.inner.limbo.retire(index) || full)
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
            stats.memory += locked.memory();
        }
        if let Some(reads) = &self.reads {
            reads.add_to(stats);
        }
    }
}

impl<K, V, S> Debug for Core<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// An [`After`] that is seen to in any case, also if the caller panics.
struct Finish<'c, K: Hash + Eq, V, S: BuildHasher> {
    core: &'c Core<K, V, S>,
    shard: &'c Shard<K, V>,
    after: After<'c, K, V>,
}

impl<'c, K: Hash + Eq, V, S: BuildHasher> Finish<'c, K, V, S> {
    /// What comes after the lock.
    #[inline]
    fn finish(&mut self) {
        if !self.after.claimed.is_empty() {
            self.after.advance |= self.core.tell(self.shard, &mut self.after.claimed);
        }
        if self.after.advance {
            hint();
            self.after.advance = false;
        }
        if self.after.dying > 0 {
            self.drop_dead();
        }
    }

    /// Drops the pairs, and gives their places back.
    #[inline(never)]
    fn drop_dead(&mut self) {
        let count = std::mem::take(&mut self.after.dying);
        for (_, place) in self.after.dead[..count].iter().flatten() {
            // SAFETY: it left limbo for this call alone, and is filled (ONCE).
            unsafe { place.drop_pair(drop_contained) };
        }
        let mut locked = self.core.lock(self.shard);
        for (index, _) in self.after.dead[..count].iter_mut().filter_map(Option::take) {
            // SAFETY: it has just been emptied.
            unsafe { locked.give_back(index) };
        }
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Drop for Finish<'_, K, V, S> {
    #[inline]
    fn drop(&mut self) {
        self.finish();
    }
}
