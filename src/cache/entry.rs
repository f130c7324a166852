//! One entry: a key, a value and what readers must know about it.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU8, Ordering as Plain};
use std::time::Duration;

use crate::clock::{Tick, saturating_nanos};
use crate::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use crate::sync::cell::UnsafeCell;

/// How many bits of a tick's nanoseconds a deadline does without.
const SHIFT: u32 = 12;

/// A moment in units of 4,096 ns, of 48 bits (36 years).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// A deadline that does not come.
    pub(crate) const NEVER: Moment = Moment((1 << 48) - 1);

    #[inline]
    pub(crate) fn of(tick: Tick) -> Moment {
        Moment((tick.as_nanos() >> SHIFT).min(Moment::NEVER.0 - 1))
    }

    /// Whether this deadline has not come at `now`. Nothing is alive in 36 years, [`NEVER`](Moment::NEVER) excepted.
    #[inline(always)]
    pub(crate) fn is_after(self, now: Tick) -> bool {
        now.as_nanos() >> SHIFT < self.0
    }

    /// The deadline of what is to live from `now` for `ttl`; [`Duration::MAX`] is for ever.
    pub(crate) fn after(now: Tick, ttl: Duration) -> Moment {
        if ttl == Duration::MAX {
            Moment::NEVER
        } else {
            Moment::of(Tick::from_nanos(now.as_nanos().saturating_add(saturating_nanos(ttl))))
        }
    }
}

/// A place in a slab: an entry, or room for one.
///
/// `key` and `value` are there from [`fill`](Entry::fill) to [`take`](Entry::take). In between nobody writes them, and
/// whoever may see the entry may read them.
#[derive(Debug)]
pub(crate) struct Entry<K, V> {
    pair: UnsafeCell<MaybeUninit<(K, V)>>,
    /// The lower bits of the deadline; in an entry that is free the next one that is.
    low: AtomicU32,
    high: AtomicU16,
    /// How often it was read, up to [`MAX_HITS`]. A hint, that concurrent readers may count once for all.
    hits: AtomicU8,
    /// The policy's, who uses it under the shard's lock.
    history: AtomicU8,
}

/// Where the count of hits stops, so that reading what is popular writes nothing.
pub(crate) const MAX_HITS: u8 = 3;

impl<K, V> Entry<K, V> {
    pub(crate) fn vacant() -> Entry<K, V> {
        Entry {
            pair: UnsafeCell::new(MaybeUninit::uninit()),
            low: AtomicU32::new(0),
            high: AtomicU16::new(0),
            hits: AtomicU8::new(0),
            history: AtomicU8::new(0),
        }
    }

    /// Puts a pair into a free place.
    ///
    /// # Safety
    /// The place is free and the caller's alone, until it publishes it.
    pub(crate) unsafe fn fill(&self, key: K, value: V, until: Moment) {
        // SAFETY: the place is the caller's alone.
        self.pair.with_mut(|pair| unsafe { pair.cast::<(K, V)>().write((key, value)) });
        self.low.store(until.0 as u32, Ordering::Relaxed);
        self.high.store((until.0 >> 32) as u16, Ordering::Relaxed);
        self.hits.store(0, Plain::Relaxed);
    }

    /// Moves the pair out; the place is free then.
    ///
    /// # Safety
    /// The place is filled, and nobody else can see it any more.
    pub(crate) unsafe fn take(&self) -> (K, V) {
        // SAFETY: it is filled, and the caller's alone.
        self.pair.with_mut(|pair| unsafe { pair.cast::<(K, V)>().read() })
    }

    /// The pair.
    ///
    /// # Safety
    /// The place is filled and stays so for as long as the result is used.
    #[inline(always)]
    pub(crate) unsafe fn pair(&self) -> &(K, V) {
        // SAFETY: it is filled, and nobody writes it meanwhile.
        unsafe { &*self.pair.with(|pair| pair.cast::<(K, V)>()) }
    }

    #[inline(always)]
    pub(crate) fn until(&self) -> Moment {
        let high = u64::from(self.high.load(Ordering::Relaxed)) << 32;
        Moment(high | u64::from(self.low.load(Ordering::Relaxed)))
    }

    #[inline(always)]
    pub(crate) fn hit(&self) {
        let hits = self.hits.load(Plain::Relaxed);
        if hits < MAX_HITS {
            self.hits.store(hits + 1, Plain::Relaxed);
        }
    }

    pub(crate) fn hits(&self) -> u8 {
        self.hits.load(Plain::Relaxed)
    }

    pub(crate) fn set_hits(&self, hits: u8) {
        self.hits.store(hits, Plain::Relaxed);
    }

    pub(crate) fn history(&self) -> u8 {
        self.history.load(Plain::Relaxed)
    }

    pub(crate) fn set_history(&self, history: u8) {
        self.history.store(history, Plain::Relaxed);
    }

    /// In a free place: the next one.
    pub(crate) fn next_free(&self) -> u32 {
        self.low.load(Ordering::Relaxed)
    }

    pub(crate) fn set_next_free(&self, next: u32) {
        self.low.store(next, Ordering::Relaxed);
    }
}
