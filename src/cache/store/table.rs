//! A shard's table: which entries there are, by hash.
//!
//! # State
//! A power of two of [`Bucket`]s. Each has six slots for slab indices, and one word, [`Ctrl`], with
//! a tag of seven bits of the hash for each used slot, and an *overflow count*: the number of
//! entries for which a search has to go on behind this bucket, because it was full when they came
//! by on their probe sequence (from their home bucket on, one bucket after the other). A search
//! ends at the first bucket whose overflow count is 0. So erasing leaves no tombstones, and a table
//! that churns never has to be cleaned. (This is the scheme of F14, Bronson and Shi 2019. Tags are
//! compared in a plain word, as in the portable forms of its relatives.)
//!
//! # Invariants
//! - WRITER: everything is written under the shard's lock.
//! - STAY: an entry never moves within a table. So if a search finds nothing, then at some moment
//!   during it the key was in no slot.
//! - COUNTED: an overflow count is never too low, as long as the `Hash` of keys is stable. `insert`
//!   raises those of the buckets that it passes before it sets the tag; `erase` clears the tag
//!   before it lowers them. (`erase_anywhere` leaves them too high, which only lengthens searches
//!   until the table is next rebuilt.)
//! - TAGGED: in the published table, a slot whose tag is set holds the index of a filled place.
//!   What a reader finds under a guard, in the table that it loaded under the same guard, stays
//!   filled until that guard goes, even if the entry is taken out or the table is replaced
//!   meanwhile (GRACE of `reclaim::records` and `reclaim::epochs`). A table that was replaced keeps
//!   its tags; nobody but such readers may look at it.
//!
//! # Orderings
//! An index is stored with Release after its entry was filled, and the tag with Release after the
//! index. Readers load both with Acquire: one that sees the tag sees the index, or a later one, and
//! the entry behind it. A search that loads an earlier bucket before its count was raised ends
//! there and finds nothing, as before the insertion.

use std::ptr::NonNull;

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::prefetch::prefetch_at;

/// The slots of a bucket.
const SLOTS: usize = 6;
/// A byte for each slot.
const LSBS: u64 = 0x0101_0101_0101;
const MSBS: u64 = LSBS << 7;
/// One in an overflow count, which is the top 16 bits of the word.
const OVERFLOW_ONE: u64 = 1 << 48;
/// An overflow count that has got here is saturated: it says that entries went on, but not how
/// many, and stays for as long as the table lives.
const OVERFLOW_SATURATED: u64 = 0xffff;
/// The alignment of a bucket. It leaves the low five bits of its address for the size of the table,
/// as a number from 0 to 31.
const ALIGN: usize = 32;

/// The word of a bucket: six tags, each a byte from 1 to 127 (0: the slot is free), then the count
/// of those that passed.
#[derive(Clone, Copy)]
struct Ctrl(u64);

/// The top bit of each of the six low bytes that is 0. None of these may be above 127; the two
/// bytes above them do not matter.
#[inline(always)]
fn zeros(bytes: u64) -> u64 {
    MSBS.wrapping_sub(bytes) & MSBS
}

impl Ctrl {
    /// The slots that hold an entry of this tag.
    #[inline(always)]
    fn candidates(self, tag: u64) -> u64 {
        zeros(self.0 ^ (tag * LSBS))
    }

    fn used(self) -> u64 {
        zeros(self.0) ^ MSBS
    }

    fn vacant(self) -> Option<usize> {
        let vacant = zeros(self.0);
        (vacant != 0).then(|| slot(vacant))
    }

    #[inline(always)]
    fn overflow(self) -> u64 {
        self.0 >> 48
    }

    fn with(self, slot: usize, tag: u64) -> Ctrl {
        Ctrl(self.0 | tag << (8 * slot))
    }

    fn without(self, slot: usize) -> Ctrl {
        Ctrl(self.0 & !(0xff << (8 * slot)))
    }

    fn inc_overflow(self) -> Ctrl {
        if self.overflow() == OVERFLOW_SATURATED { self } else { Ctrl(self.0 + OVERFLOW_ONE) }
    }

    fn dec_overflow(self) -> Ctrl {
        if self.overflow() == OVERFLOW_SATURATED || self.overflow() == 0 {
            self
        } else {
            Ctrl(self.0 - OVERFLOW_ONE)
        }
    }
}

/// The first slot of a set.
#[inline(always)]
fn slot(set: u64) -> usize {
    (set.trailing_zeros() / 8) as usize
}

/// 1 to 127.
#[inline(always)]
fn tag(hash: u64) -> u64 {
    let bits = hash >> 40 & 0x7f;
    bits + u64::from(bits == 0)
}

/// What a bucket is made of; half a cache line.
#[derive(Debug, Default)]
#[repr(C, align(32))]
pub(crate) struct Bucket {
    ctrl: AtomicU64,
    indices: [AtomicU32; SLOTS],
}

impl Bucket {
    #[inline(always)]
    fn ctrl(&self) -> Ctrl {
        Ctrl(self.ctrl.load(Ordering::Acquire))
    }

    fn set_ctrl(&self, ctrl: Ctrl) {
        self.ctrl.store(ctrl.0, Ordering::Release);
    }

    /// Calls `test` with the indices in the slots of this tag, until it returns `Some`.
    #[inline(always)]
    fn find<R>(
        &self,
        ctrl: Ctrl,
        tag: u64,
        test: &mut impl FnMut(u32) -> Option<R>,
    ) -> Option<(R, usize)> {
        let mut candidates = ctrl.candidates(tag);
        while candidates != 0 {
            let slot = slot(candidates);
            if let Some(found) = test(self.indices[slot].load(Ordering::Acquire)) {
                return Some((found, slot));
            }
            candidates &= candidates - 1;
        }
        None
    }
}

/// Where an entry is in a table, for as long as it is there (STAY).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    bucket: usize,
    slot: usize,
}

/// A table: the address of its first bucket, with 32 minus log2 of the number of buckets in the low
/// five bits, so that it can be published as one word.
/// It is a plain copy of that word. The shard that publishes a table owns it and decides when to
/// [free](Table::free) it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table(NonNull<Bucket>);

// SAFETY: it is an address of atomics; whether they are still there is for the user to know.
unsafe impl Send for Table {}

impl Table {
    /// An empty table for this many entries.
    pub(crate) fn for_entries(entries: usize) -> Table {
        let buckets = entries.div_ceil(Table::capacity_of(1)).next_power_of_two().max(2);
        let shift = 32_u32
            .checked_sub(buckets.trailing_zeros())
            .expect("so many entries do not fit into memory");
        let all: Box<[Bucket]> = (0..buckets).map(|_| Bucket::default()).collect();
        let first = NonNull::from(Box::leak(all)).cast::<Bucket>();
        // SAFETY: the low bits of an aligned address are free.
        Table(unsafe { first.byte_add(shift as usize) })
    }

    /// The table that was published as `word`.
    ///
    /// # Safety
    /// The word came from [`as_ptr`](Table::as_ptr).
    #[inline(always)]
    pub(crate) unsafe fn from_ptr(word: *mut Bucket) -> Table {
        // SAFETY: it came from a table.
        Table(unsafe { NonNull::new_unchecked(word) })
    }

    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *mut Bucket {
        self.0.as_ptr()
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// Nobody uses the table any more, and it was not freed before.
    pub(crate) unsafe fn free(self) {
        let all = NonNull::slice_from_raw_parts(self.first(), self.mask() + 1);
        // SAFETY: this is the slice that was leaked.
        drop(unsafe { Box::from_raw(all.as_ptr()) });
    }

    /// How many entries this many buckets are meant for: a load factor of four fifths.
    fn capacity_of(buckets: usize) -> usize {
        buckets * SLOTS * 4 / 5
    }

    /// How many entries it is made for.
    pub(crate) fn capacity(self) -> usize {
        Table::capacity_of(self.mask() + 1)
    }

    /// Whether it has as many entries as it is made for.
    #[inline]
    pub(crate) fn is_full(self, len: usize) -> bool {
        // `len >= self.capacity()`, without the division.
        len * 5 + 4 >= (self.mask() + 1) * SLOTS * 4
    }

    /// Bytes.
    pub(crate) fn memory(self) -> usize {
        (self.mask() + 1) * size_of::<Bucket>()
    }

    /// How far 32 bits of hash are shifted to get the number of a bucket.
    #[inline(always)]
    fn shift(self) -> usize {
        self.0.as_ptr().addr() & (ALIGN - 1)
    }

    #[inline(always)]
    fn mask(self) -> usize {
        u32::MAX as usize >> self.shift()
    }

    /// The bucket where the search for a hash begins.
    #[inline(always)]
    fn home(self, hash: u64) -> usize {
        hash as u32 as usize >> self.shift()
    }

    #[inline(always)]
    fn first(self) -> NonNull<Bucket> {
        // SAFETY: that is the address of the first bucket, before the size was put into its low
        // bits.
        unsafe { self.0.byte_sub(self.shift()) }
    }

    /// # Safety
    /// `at` is less than [`buckets`](Table::buckets), and the table is not freed for as long as the
    /// result is used.
    #[inline(always)]
    unsafe fn bucket<'a>(self, at: usize) -> &'a Bucket {
        // SAFETY: `at` is within the table.
        let bucket = unsafe { self.first().add(at) };
        // SAFETY: the table is there, as the caller promises.
        unsafe { bucket.as_ref() }
    }

    /// Says that this hash will soon be looked for.
    #[inline]
    pub(crate) fn prefetch(self, hash: u64) {
        // No bucket is looked at, so it does not matter whether the table is still there.
        let bucket = self.first().as_ptr().wrapping_add(self.home(hash));
        prefetch_at(bucket.cast(), size_of::<Bucket>());
    }

    /// Calls `test` with the indices of the entries that may have this hash, until it returns
    /// `Some`.
    ///
    /// # Safety
    /// The table is not freed meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn find<R>(self, hash: u64, test: impl FnMut(u32) -> Option<R>) -> Option<R> {
        // SAFETY: the caller's promise.
        unsafe { self.find_at(hash, test) }.map(|(found, _)| found)
    }

    /// The same, and where the entry is.
    ///
    /// # Safety
    /// As [`find`](Table::find)'s.
    #[inline(always)]
    pub(crate) unsafe fn find_at<R>(
        self,
        hash: u64,
        mut test: impl FnMut(u32) -> Option<R>,
    ) -> Option<(R, Position)> {
        let home = self.home(hash);
        // SAFETY: a home is within the table, which the caller keeps.
        let bucket = unsafe { self.bucket(home) };
        let ctrl = bucket.ctrl();
        let found = bucket.find(ctrl, tag(hash), &mut test);
        if found.is_some() || ctrl.overflow() == 0 {
            return found.map(|(found, slot)| (found, Position { bucket: home, slot }));
        }
        let mut at = (home + 1) & self.mask();
        while at != home {
            // SAFETY: masked; the caller keeps the table.
            let bucket = unsafe { self.bucket(at) };
            let ctrl = bucket.ctrl();
            let found = bucket.find(ctrl, tag(hash), &mut test);
            if found.is_some() || ctrl.overflow() == 0 {
                return found.map(|(found, slot)| (found, Position { bucket: at, slot }));
            }
            at = (at + 1) & self.mask();
        }
        None
    }

    /// Adds an entry; there must be a free slot. True if an overflow count on its way is saturated.
    ///
    /// # Safety
    /// The entry is filled, and the caller holds the shard's lock or has the table for itself.
    pub(crate) unsafe fn insert(self, hash: u64, index: u32) -> bool {
        let mask = self.mask();
        let mut at = self.home(hash);
        let mut saturated = false;
        loop {
            // SAFETY: a home, or masked; the caller keeps the table.
            let bucket = unsafe { self.bucket(at) };
            let ctrl = bucket.ctrl();
            if let Some(slot) = ctrl.vacant() {
                bucket.indices[slot].store(index, Ordering::Release);
                bucket.set_ctrl(ctrl.with(slot, tag(hash)));
                return saturated;
            }
            let more = ctrl.inc_overflow();
            saturated |= more.overflow() == OVERFLOW_SATURATED;
            bucket.set_ctrl(more);
            at = (at + 1) & mask;
        }
    }

    /// Puts one entry in the place of another of the same key, which is there.
    ///
    /// # Safety
    /// As [`insert`](Table::insert)'s. The position is the other's, found in this table.
    pub(crate) unsafe fn replace(self, at: Position, new: u32) {
        // SAFETY: found in the table.
        unsafe { self.bucket(at.bucket) }.indices[at.slot].store(new, Ordering::Release);
    }

    /// Takes an entry out; false if it is not there. (That only happens if its key's hash is not
    /// always the same.)
    ///
    /// # Safety
    /// As [`insert`](Table::insert)'s.
    pub(crate) unsafe fn erase(self, hash: u64, index: u32) -> bool {
        // SAFETY: the caller keeps the table.
        let Some(at) = (unsafe { self.locate(hash, index) }) else { return false };
        // SAFETY: located in the table.
        unsafe { self.erase_at(hash, at) };
        true
    }

    /// Takes the entry out that is there.
    ///
    /// # Safety
    /// As [`insert`](Table::insert)'s. The position is the entry's, found in this table by `hash`.
    pub(crate) unsafe fn erase_at(self, hash: u64, found: Position) {
        // SAFETY: found in the table.
        let bucket = unsafe { self.bucket(found.bucket) };
        bucket.set_ctrl(bucket.ctrl().without(found.slot));
        let mut at = self.home(hash);
        while at != found.bucket {
            // SAFETY: a home, or masked; the caller keeps the table.
            let bucket = unsafe { self.bucket(at) };
            bucket.set_ctrl(bucket.ctrl().dec_overflow());
            at = (at + 1) & self.mask();
        }
    }

    /// Where an entry is, looked for from the home of `hash` on.
    ///
    /// # Safety
    /// The table is not freed meanwhile.
    unsafe fn locate(self, hash: u64, index: u32) -> Option<Position> {
        let (mask, home) = (self.mask(), self.home(hash));
        let mut at = home;
        loop {
            // SAFETY: a home, or masked; the caller keeps the table.
            let bucket = unsafe { self.bucket(at) };
            let ctrl = bucket.ctrl();
            let mut candidates = ctrl.candidates(tag(hash));
            while candidates != 0 {
                let slot = slot(candidates);
                if bucket.indices[slot].load(Ordering::Relaxed) == index {
                    return Some(Position { bucket: at, slot });
                }
                candidates &= candidates - 1;
            }
            at = (at + 1) & mask;
            if ctrl.overflow() == 0 || at == home {
                return None;
            }
        }
    }

    /// Takes an entry out whose hash is not to be relied on. O(capacity).
    ///
    /// # Safety
    /// As [`insert`](Table::insert)'s.
    pub(crate) unsafe fn erase_anywhere(self, index: u32) {
        for at in 0..self.buckets() {
            // SAFETY: one of its buckets; the caller keeps the table.
            let bucket = unsafe { self.bucket(at) };
            let mut used = bucket.ctrl().used();
            while used != 0 {
                let slot = slot(used);
                if bucket.indices[slot].load(Ordering::Relaxed) == index {
                    bucket.set_ctrl(bucket.ctrl().without(slot));
                }
                used &= used - 1;
            }
        }
    }

    /// The number of buckets.
    pub(crate) fn buckets(self) -> usize {
        self.mask() + 1
    }

    /// Calls `f` for each entry that is in this bucket.
    ///
    /// # Safety
    /// `at` is less than [`buckets`](Table::buckets), and the table is not freed meanwhile.
    pub(crate) unsafe fn each_in(self, at: usize, mut f: impl FnMut(u32)) {
        // SAFETY: the caller's promise.
        let bucket = unsafe { self.bucket(at) };
        let mut used = bucket.ctrl().used();
        while used != 0 {
            f(bucket.indices[slot(used)].load(Ordering::Acquire));
            used &= used - 1;
        }
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_saturated_overflow_count_stays_so() {
        let mut ctrl = Ctrl(0).with(3, 127);
        for passed in 1..=OVERFLOW_SATURATED + 2 {
            ctrl = ctrl.inc_overflow();
            assert_eq!(ctrl.overflow(), passed.min(OVERFLOW_SATURATED));
        }
        for _ in 0..2 * OVERFLOW_SATURATED {
            ctrl = ctrl.dec_overflow();
        }
        assert_eq!(
            (ctrl.overflow(), ctrl.used()),
            (OVERFLOW_SATURATED, 0x80 << 24),
            "nor does it spill"
        );
        assert_eq!(Ctrl(0).dec_overflow().overflow(), 0);
        let ctrl = Ctrl(0).with(3, 127).inc_overflow();
        assert_eq!(
            (ctrl.dec_overflow().overflow(), ctrl.dec_overflow().used()),
            (0, ctrl.used()),
            "two counts in one word"
        );
        assert_eq!(ctrl.inc_overflow().dec_overflow().0, ctrl.0);
    }

    #[test]
    fn a_table_has_the_buckets_that_its_entries_need() {
        for (entries, buckets) in [(0, 2), (8, 2), (9, 4), (1_000, 256), (1_024, 256), (1_025, 512)]
        {
            let table = Table::for_entries(entries);
            assert_eq!((table.buckets(), table.memory()), (buckets, buckets * 32), "{entries}");
            assert_eq!(table.capacity(), buckets * 24 / 5);
            let near = table.capacity() - 4..table.capacity() + 4;
            near.for_each(|len| assert_eq!(table.is_full(len), len >= table.capacity()));
            // SAFETY: nobody else has it.
            unsafe { table.free() };
        }
    }

    #[test]
    fn a_tag_is_found_in_its_slots_and_nowhere_else() {
        for tag in 1..=127 {
            for other in 1..=127 {
                let ctrl =
                    Ctrl(OVERFLOW_SATURATED << 48).with(0, other).with(2, tag).with(5, other);
                let expected = if tag == other { 0x8000_0080_0080 } else { 0x0080_0000 };
                assert_eq!(ctrl.candidates(tag), expected, "{tag} among {other}");
                assert_eq!((ctrl.used(), ctrl.vacant()), (0x8000_0080_0080, Some(1)));
            }
        }
        let full = (0..SLOTS).fold(Ctrl(0), |ctrl, slot| ctrl.with(slot, 127));
        assert_eq!(full.vacant(), None);
        (0..SLOTS).for_each(|slot| assert_eq!(full.without(slot).vacant(), Some(slot)));
        assert!((0..1024).all(|hash| (1..=127).contains(&tag(hash << 38))));
    }

    #[test]
    fn entries_of_one_hash_are_told_apart_by_their_indices() {
        let table = Table::for_entries(8);
        // More than a bucket has slots.
        for index in 0..8 {
            // SAFETY: nobody else has it.
            unsafe { table.insert(7, index) };
        }
        for index in [3, 7, 0] {
            // SAFETY: as above.
            let erased = [(); 2].map(|()| unsafe { table.erase(7, index) });
            assert_eq!(erased, [true, false], "{index}");
        }
        let mut left = Vec::new();
        for at in 0..table.buckets() {
            // SAFETY: as above.
            unsafe { table.each_in(at, |index| left.push(index)) };
        }
        left.sort_unstable();
        assert_eq!(left, [1, 2, 4, 5, 6]);
        // SAFETY: as above.
        unsafe { table.free() };
    }
}
