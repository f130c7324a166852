//! One entry: a key, a value, and a word that has its deadline, its hits and a byte for the policy.

use std::mem::MaybeUninit;
use std::ptr;

use crate::cache::policy::{MAX_HITS, Mark};
use crate::clock::{DEADLINE_UNIT_BITS, META_LOW_BITS, Tick};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;
use crate::sync::prefetch::prefetch_owned;

/// A deadline, or a time that deadlines are compared with: in units of 4,096 ns, of 48 bits (36
/// years).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(u64);

impl Deadline {
    /// A deadline that does not come.
    pub(crate) const NEVER: Deadline = Deadline((1 << 48) - 1);

    #[inline]
    pub(crate) fn of(tick: Tick) -> Deadline {
        Deadline((tick.as_nanos() >> DEADLINE_UNIT_BITS).min(Deadline::NEVER.0 - 1))
    }

    /// The one after it.
    pub(crate) fn next(self) -> Deadline {
        Deadline((self.0 + 1).min(Deadline::NEVER.0))
    }

    /// In its units; `u64::MAX` for what does not come.
    #[inline]
    pub(crate) fn units(self) -> u64 {
        if self == Deadline::NEVER { u64::MAX } else { self.0 }
    }

    /// Whether this deadline is still ahead at a time in nanoseconds.
    #[inline(always)]
    pub(crate) fn is_after(self, nanos: u64) -> bool {
        self.0 > nanos >> DEADLINE_UNIT_BITS
    }
}

/// A place in a slab: an entry, or room for one.
///
/// The pair is there from [`fill`](Place::fill) to [`drop_pair`](Place::drop_pair). In between
/// nobody writes it, and any thread that may see the entry may read it.
///
/// The word comes first: whoever replaces or evicts an entry needs it and the key, which so are
/// mostly on one cache line.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Place<K, V> {
    /// A [`Meta`]; in a place that is free the index of the next one that is.
    meta: AtomicU64,
    pair: UnsafeCell<MaybeUninit<(K, V)>>,
}

/// A pair that is dropped where it lies: it may be large.
pub(crate) struct DropInPlace<'p, K, V>(&'p UnsafeCell<MaybeUninit<(K, V)>>);

impl<K, V> Drop for DropInPlace<'_, K, V> {
    fn drop(&mut self) {
        // SAFETY: made by `drop_pair`, whose caller promises that the pair is there and nobody else
        // can see it.
        self.0.with_mut(|pair| unsafe { pair.cast::<(K, V)>().drop_in_place() });
    }
}

/// The word beside a pair. From the top: 48 bits of deadline, which do not change while the entry
/// is filled; a byte for the policy, which it uses under the shard's lock; and a byte that counts
/// reads, up to [`MAX_HITS`].
///
/// Readers and the policy load and store the whole word, Relaxed, without a read-modify-write: an
/// update of the two low bytes may be lost, and they are only hints. A reader stores before its
/// guard goes, so never after the place has been given to another entry (GRACE of
/// `reclaim::records` and `reclaim::epochs`).
#[derive(Clone, Copy)]
pub(crate) struct Meta(u64);

impl Meta {
    #[inline(always)]
    fn new(deadline: Deadline, mark: Mark) -> Meta {
        Meta(deadline.0 << META_LOW_BITS | u64::from(mark.history) << 8 | u64::from(mark.hits))
    }

    #[inline(always)]
    pub(crate) fn deadline(self) -> Deadline {
        Deadline(self.0 >> META_LOW_BITS)
    }

    /// Whether the deadline is later than a *horizon*: a time a little ahead of the coarse clock,
    /// as [`horizon_of`](crate::clock::horizon_of) encodes it. The deadline is in the upper 48
    /// bits, and the lower 16 of a horizon are all set, so comparing the words compares the
    /// deadlines.
    #[inline(always)]
    pub(crate) fn is_after(self, horizon: u64) -> bool {
        self.0 > horizon
    }

    #[inline(always)]
    fn hits(self) -> u8 {
        self.0 as u8
    }

    /// The two low bytes. The policy's holds the past use, and the epoch in which it was recorded.
    #[inline(always)]
    fn mark(self) -> Mark {
        Mark { hits: self.hits(), history: (self.0 >> 8) as u8 }
    }

    #[inline(always)]
    fn with_mark(self, mark: Mark) -> Meta {
        Meta(self.0 & !0xffff | u64::from(mark.history) << 8 | u64::from(mark.hits))
    }
}

impl<K, V> Place<K, V> {
    pub(crate) fn vacant() -> Place<K, V> {
        Place { pair: UnsafeCell::new(MaybeUninit::uninit()), meta: AtomicU64::new(0) }
    }

    /// Moves a pair into a free place with a single copy, since values may be large.
    ///
    /// # Safety
    /// There is a pair. The place is free and the caller's alone, until it publishes it.
    #[inline(always)]
    pub(crate) unsafe fn fill(&self, pair: &mut Option<(K, V)>, deadline: Deadline, mark: Mark) {
        if let Some(from) = pair {
            let from: *const (K, V) = from;
            // SAFETY: the place is the caller's alone, and no part of what it is filled from.
            self.pair.with_mut(|place| unsafe {
                place.cast::<(K, V)>().copy_from_nonoverlapping(from, 1)
            });
            // SAFETY: what was there has moved; it is not dropped.
            unsafe { ptr::write(pair, None) };
        }
        self.set(Meta::new(deadline, mark));
    }

    /// Has `run` drop the pair, where it lies, by dropping the [`DropInPlace`] that it is given;
    /// the place is free then.
    ///
    /// # Safety
    /// The place is filled, and nobody else can see it any more.
    pub(crate) unsafe fn drop_pair<'p>(&'p self, run: impl FnOnce(DropInPlace<'p, K, V>)) {
        run(DropInPlace(&self.pair));
    }

    /// Says that the pair will soon be dropped.
    #[inline]
    pub(crate) fn prefetch_owned(&self) {
        prefetch_owned(self.pair.with(|pair| pair.cast::<(K, V)>()));
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
    pub(crate) fn meta(&self) -> Meta {
        Meta(self.meta.load(Ordering::Relaxed))
    }

    #[inline(always)]
    fn set(&self, meta: Meta) {
        self.meta.store(meta.0, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn deadline(&self) -> Deadline {
        self.meta().deadline()
    }

    /// Counts a hit on an entry that has this meta.
    #[inline(always)]
    pub(crate) fn hit(&self, meta: Meta) {
        if meta.hits() < MAX_HITS {
            self.set(Meta(meta.0 + 1));
        }
    }

    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        self.meta().mark()
    }

    #[inline]
    pub(crate) fn set_mark(&self, mark: Mark) {
        self.set(self.meta().with_mark(mark));
    }

    /// In a free place: the next one.
    pub(crate) fn next_free(&self) -> u32 {
        self.meta.load(Ordering::Relaxed) as u32
    }

    pub(crate) fn set_next_free(&self, next: u32) {
        self.meta.store(u64::from(next), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;
    use crate::clock::horizon_of;

    #[test]
    fn a_deadline_comes_unless_it_is_never() {
        let at = |units: u64| Deadline::of(Tick::from_nanos(units << DEADLINE_UNIT_BITS));
        assert_eq!((at(7).units(), at(7).next()), (7, at(8)));
        let last = Deadline::of(Tick::MAX);
        assert!(last < Deadline::NEVER && last.next() == Deadline::NEVER);
        assert_eq!(Deadline::NEVER.next(), Deadline::NEVER);
        assert!(
            at(8).is_after((8 << DEADLINE_UNIT_BITS) - 1)
                && !at(8).is_after(8 << DEADLINE_UNIT_BITS)
        );
    }

    #[test]
    fn a_meta_word_is_compared_with_a_horizon_by_its_deadline_alone() {
        let nanos = |units: u64| units << DEADLINE_UNIT_BITS;
        let horizon = horizon_of(nanos(8));
        for hits in [0, u8::MAX] {
            let mark = Mark { hits, history: hits };
            let meta = |units| Meta::new(Deadline::of(Tick::from_nanos(nanos(units))), mark);
            assert!(!meta(8).is_after(horizon));
            assert!(meta(9).is_after(horizon));
        }
    }

    #[test]
    fn the_parts_of_a_meta_word_do_not_disturb_each_other() {
        let deadline = Deadline::of(Tick::from_nanos(123_456_789_012));
        for (history, hits) in [(0x5a, MAX_HITS), (0xff, 0), (0, 0xff)] {
            let (mark, other) = (Mark { hits, history }, Mark { hits: 0xa5, history: 0xa5 });
            let meta = Meta::new(deadline, other);
            assert_eq!((meta.deadline(), meta.mark()), (deadline, other));
            assert_eq!(meta.with_mark(mark).0, Meta::new(deadline, mark).0);
        }
    }
}
