//! One entry: a key, a value and what readers must know about it.

use std::mem::MaybeUninit;
use std::ptr;

use crate::cache::policy::MAX_HITS;
use crate::clock::{GLANCE_SHIFT, GLANCE_UNIT, Tick};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;

/// A moment in units of 4,096 ns, of 48 bits (36 years).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// A deadline that does not come.
    pub(crate) const NEVER: Moment = Moment((1 << 48) - 1);

    #[inline]
    pub(crate) fn of(tick: Tick) -> Moment {
        Moment((tick.as_nanos() >> GLANCE_UNIT).min(Moment::NEVER.0 - 1))
    }

    /// The one after it.
    pub(crate) fn next(self) -> Moment {
        Moment((self.0 + 1).min(Moment::NEVER.0))
    }

    /// In its units; `u64::MAX` for what does not come.
    #[inline]
    pub(crate) fn units(self) -> u64 {
        if self == Moment::NEVER { u64::MAX } else { self.0 }
    }

    /// Whether this deadline has not come after so many nanoseconds.
    #[inline(always)]
    pub(crate) fn is_after(self, nanos: u64) -> bool {
        self.0 > nanos >> GLANCE_UNIT
    }
}

/// A place in a slab: an entry, or room for one.
///
/// The pair is there from [`fill`](Entry::fill) to [`drop_pair`](Entry::drop_pair). In between nobody writes it, and whoever may see the
/// entry may read it.
#[derive(Debug)]
pub(crate) struct Entry<K, V> {
    pair: UnsafeCell<MaybeUninit<(K, V)>>,
    /// A [`Mark`]; in a place that is free the index of the next one that is.
    mark: AtomicU64,
}

/// A pair that is dropped where it lies: it may be large.
pub(crate) struct Dropping<'p, K, V>(&'p UnsafeCell<MaybeUninit<(K, V)>>);

impl<K, V> Drop for Dropping<'_, K, V> {
    fn drop(&mut self) {
        // SAFETY: made by `drop_pair`, whose caller promises that the pair is there and nobody else can see it.
        self.0.with_mut(|pair| unsafe { pair.cast::<(K, V)>().drop_in_place() });
    }
}

/// What stands beside a pair, from the top: the deadline, which does not change; a byte of the policy's, who uses it under
/// the shard's lock; and how often the entry was read, up to [`MAX_HITS`].
///
/// Readers and the policy write the whole word. One may undo what another has just done to the lower bytes: those are
/// hints.
#[derive(Clone, Copy)]
pub(crate) struct Mark(u64);

impl Mark {
    fn new(until: Moment) -> Mark {
        Mark(until.0 << GLANCE_SHIFT)
    }

    #[inline(always)]
    pub(crate) fn until(self) -> Moment {
        Moment(self.0 >> GLANCE_SHIFT)
    }

    /// Whether the deadline has not come by what was [glanced](crate::clock::glance_of) at.
    #[inline(always)]
    pub(crate) fn is_after(self, glance: u64) -> bool {
        self.0 > glance
    }

    #[inline(always)]
    fn hits(self) -> u8 {
        self.0 as u8
    }

    fn history(self) -> u8 {
        (self.0 >> 8) as u8
    }

    fn with_hits(self, hits: u8) -> Mark {
        Mark(self.0 & !0xff | u64::from(hits))
    }

    fn with_history(self, history: u8) -> Mark {
        Mark(self.0 & !0xff00 | u64::from(history) << 8)
    }
}

impl<K, V> Entry<K, V> {
    pub(crate) fn vacant() -> Entry<K, V> {
        Entry { pair: UnsafeCell::new(MaybeUninit::uninit()), mark: AtomicU64::new(0) }
    }

    /// Moves a pair into a free place: at once, since values may be large.
    ///
    /// # Safety
    /// There is a pair. The place is free and the caller's alone, until it publishes it.
    pub(crate) unsafe fn fill(&self, pair: &mut Option<(K, V)>, until: Moment) {
        if let Some(from) = pair {
            let from: *const (K, V) = from;
            // SAFETY: the place is the caller's alone, and no part of what it is filled from.
            self.pair.with_mut(|place| unsafe { place.cast::<(K, V)>().copy_from_nonoverlapping(from, 1) });
            // SAFETY: what was there has moved; it is not dropped.
            unsafe { ptr::write(pair, None) };
        }
        self.set(Mark::new(until));
    }

    /// Drops the pair, by `drop`, which gets something that does so; the place is free then.
    ///
    /// # Safety
    /// The place is filled, and nobody else can see it any more.
    pub(crate) unsafe fn drop_pair<'p>(&'p self, drop: impl FnOnce(Dropping<'p, K, V>)) {
        drop(Dropping(&self.pair));
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
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.mark.load(Ordering::Relaxed))
    }

    #[inline(always)]
    fn set(&self, mark: Mark) {
        self.mark.store(mark.0, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn until(&self) -> Moment {
        self.mark().until()
    }

    /// Counts a hit on an entry that has this mark.
    #[inline(always)]
    pub(crate) fn hit(&self, mark: Mark) {
        if mark.hits() < MAX_HITS {
            self.set(Mark(mark.0 + 1));
        }
    }

    pub(crate) fn hits(&self) -> u8 {
        self.mark().hits()
    }

    pub(crate) fn set_hits(&self, hits: u8) {
        self.set(self.mark().with_hits(hits));
    }

    pub(crate) fn history(&self) -> u8 {
        self.mark().history()
    }

    pub(crate) fn set_history(&self, history: u8) {
        self.set(self.mark().with_history(history));
    }

    /// In a free place: the next one.
    pub(crate) fn next_free(&self) -> u32 {
        self.mark.load(Ordering::Relaxed) as u32
    }

    pub(crate) fn set_next_free(&self, next: u32) {
        self.mark.store(u64::from(next), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_mark_do_not_touch_each_other() {
        let until = Moment::of(Tick::from_nanos(123_456_789_012));
        for (history, hits) in [(0x5a, MAX_HITS), (0xff, 0), (0, 0xff)] {
            let marks = [
                Mark::new(until).with_history(0xa5).with_history(history).with_hits(hits),
                Mark::new(until).with_hits(0xa5).with_hits(hits).with_history(history),
            ];
            for mark in marks {
                assert_eq!((mark.until(), mark.history(), mark.hits()), (until, history, hits));
            }
        }
    }
}
