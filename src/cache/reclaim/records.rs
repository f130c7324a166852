//! Which threads are reading: a record for each, which costs a reader two plain stores.
//!
//! # State
//! A thread that reads [takes](Records::take) a record, and [gives it back](Records::give_back)
//! when it ends, or when its last guard goes if that is later. `lists` has the records that are
//! taken and, apart from those, the free ones; no record is ever freed. A record's
//! [counter](ReaderCtr) has the nesting depth of its thread's guards, and a *section number* that
//! goes up each time the depth returns to 0.
//!
//! # A grace period
//! A thread that wants one to [end](Records::advance) holds the lock of `holdouts`. It counts the
//! period as begun, does the heavy fence, and then, under the lock of `lists`, writes down the
//! counters of those taken records whose depth is not 0. The period has ended when each of those
//! has had a depth of 0 or another section number. So a period costs time in proportion to the
//! records that are taken.
//!
//! # Invariants
//! - TAKEN: only a record in `lists.taken` has guards. Its `position` is its index there; both
//!   change under the lock of `lists`.
//! - GRACE: once a period has ended that began after a cookie was taken, no reader can see what was
//!   unlinked before that cookie was taken.
//!
//! # Orderings
//! ```text
//!   writer W            advancer A                    reader R
//!   U  unlink           B  count the period as begun  E  store to its counter: depth + 1
//!   F  SeqCst fence     H  heavy fence                l  light fence
//!   C  take the cookie  N  note the counters          L  load from the table
//! ```
//! (The light fence keeps the compiler from moving L before E.) H is a full fence in A and, between
//! its beginning and its end, a full fence h in every other running thread. Suppose that the period
//! begins after C, which did not see B. Then F comes before A's own fence in the single order of
//! all SeqCst fences, and therefore before every h.
//! - If R's h comes before E, then L comes after h and so after F: R finds U, and not what was
//!   unlinked.
//! - If R's h comes after E, then N sees E, or a later store of R's. So the period does not end
//!   before R has unpinned. If R has pinned again by then, that pin comes after H, which is the
//!   first case.
//!
//! Records change hands meanwhile. If R takes its record after N, the lock of `lists` orders L
//! after H, hence after F. If R gave its record back before N, the same lock orders all that R read
//! before N. If a record in the list has a new owner, its section number has moved, so nobody waits
//! for it. (The number has 16 bits and wraps: at worst a period waits for a guard that it need not
//! wait for. It never waits for a record without guards.)
//!
//! A guard may also be taken for something that was found before it, under the lock under which W
//! unlinks. Then E happens before the unlocking, and so before U and F; and N, which comes after F,
//! sees E.
//!
//! F must be a fence of W's own. The h that A causes in W comes at a moment of its own: if that is
//! after both U and C, W may have taken the cookie before U became visible, R's h may have come
//! between the two, and then neither does L find U, nor N see E.
//!
//! A counter is stored with Release and loaded with Acquire, so all that a reader did under its
//! guard comes before the end of the period; that end is counted with Release, and read with
//! Acquire, for the same reason.

use super::grace::GracePeriods;
use crate::sync::Mutex;
#[cfg(not(docache_loom))]
use crate::sync::MutexGuard;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::barrier::{heavy, light};

/// How often `advance` looks again at a period's last readers before it leaves the rest to the next
/// call. A read is shorter than that.
const LOOKS: usize = if cfg!(docache_loom) { 1 } else { 64 };

/// `section number:16 | ORPHAN:1 | nesting:47`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReaderCtr(u64);

impl ReaderCtr {
    const NESTING_ONE: u64 = 1;
    /// The thread has gone; the record is free when the guards are, too.
    const ORPHAN: u64 = 1 << 47;
    const NESTING: u64 = ReaderCtr::ORPHAN - 1;
    const SECTION_ONE: u64 = 1 << 48;

    pub(super) fn is_pinned(self) -> bool {
        self.0 & ReaderCtr::NESTING != 0
    }

    /// Whether the guards seen in one counter are still there in the other: the depth has not
    /// returned to 0 in between.
    fn is_same_section(self, other: ReaderCtr) -> bool {
        (self.0 ^ other.0) < ReaderCtr::SECTION_ONE
    }

    #[inline(always)]
    pub(super) fn pinned(self) -> ReaderCtr {
        ReaderCtr(self.0 + ReaderCtr::NESTING_ONE)
    }

    /// Whether the depth is 1 and the record no orphan, so that unpinning is one addition.
    #[inline(always)]
    fn is_outermost(self) -> bool {
        self.0 & (ReaderCtr::SECTION_ONE - 1) == ReaderCtr::NESTING_ONE
    }

    /// The only guard is gone, and another one is there.
    fn repinned(self) -> ReaderCtr {
        ReaderCtr(self.0.wrapping_add(ReaderCtr::SECTION_ONE))
    }

    /// One guard less, and others are left.
    fn unnested(self) -> ReaderCtr {
        ReaderCtr(self.0 - ReaderCtr::NESTING_ONE)
    }

    /// The outermost guard is gone.
    #[inline(always)]
    fn left(self) -> ReaderCtr {
        debug_assert!(self.is_outermost());
        ReaderCtr(self.0.wrapping_add(ReaderCtr::SECTION_ONE - ReaderCtr::NESTING_ONE))
    }

    /// All guards are gone.
    fn unpinned(self) -> ReaderCtr {
        ReaderCtr((self.0 & !(ReaderCtr::SECTION_ONE - 1)).wrapping_add(ReaderCtr::SECTION_ONE))
    }
}

/// What others see of a thread. Only its own thread writes the counter.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Record {
    ctr: AtomicU64,
    position: AtomicUsize,
}

impl Record {
    fn leak() -> &'static Record {
        Box::leak(Box::new(Record { ctr: AtomicU64::new(0), position: AtomicUsize::new(0) }))
    }

    #[inline(always)]
    pub(super) fn ctr(&self) -> ReaderCtr {
        ReaderCtr(self.ctr.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(super) fn set(&self, ctr: ReaderCtr) {
        self.ctr.store(ctr.0, Ordering::Release);
    }

    /// Adds a guard: nothing that the calling thread finds in a table from here on is reused before
    /// the matching [`unpin`](Record::unpin).
    #[inline(always)]
    pub(crate) fn pin(&self) {
        self.set(self.ctr().pinned());
        light();
    }

    /// Takes a guard back. True if it was an orphan's last one: the caller then has to [give the
    /// record back](Records::give_back).
    #[inline(always)]
    #[must_use]
    pub(crate) fn unpin(&self) -> bool {
        let ctr = self.ctr();
        if ctr.is_outermost() {
            self.set(ctr.left());
            return false;
        }
        self.unpin_slow(ctr)
    }

    #[cold]
    fn unpin_slow(&self, ctr: ReaderCtr) -> bool {
        let fewer = ctr.unnested();
        let is_last = !fewer.is_pinned();
        self.set(if is_last { ctr.unpinned() } else { fewer });
        is_last
    }

    /// Leaves and enters again, unless there are nested guards: those keep what they hold.
    #[inline]
    pub(crate) fn repin(&self) {
        let ctr = self.ctr();
        if ctr.0 & ReaderCtr::NESTING == ReaderCtr::NESTING_ONE {
            self.set(ctr.repinned());
            light();
        }
    }

    /// Says that the thread does not need the record any more when its guards are gone. Whether
    /// they are gone already, so that it is to be given back.
    #[must_use]
    pub(crate) fn abandon(&self) -> bool {
        let ctr = self.ctr();
        if ctr.is_pinned() {
            self.set(ReaderCtr(ctr.0 | ReaderCtr::ORPHAN));
        }
        !ctr.is_pinned()
    }

    /// Whether its thread has a guard. For that thread to ask.
    #[inline]
    pub(super) fn is_pinned(&self) -> bool {
        self.ctr().is_pinned()
    }

    /// The counter as others see it.
    pub(super) fn seen(&self) -> ReaderCtr {
        ReaderCtr(self.ctr.load(Ordering::Acquire))
    }
}

/// The records.
#[derive(Debug)]
pub(crate) struct Records {
    lists: Mutex<RecordLists>,
    /// Those whom the period under way waits for, with the words they had.
    holdouts: Mutex<Vec<(&'static Record, ReaderCtr)>>,
}

/// The locks of the records.
#[cfg(not(docache_loom))]
#[derive(Debug)]
pub(super) struct RecordLocks {
    holdouts: MutexGuard<'static, Vec<(&'static Record, ReaderCtr)>>,
    lists: MutexGuard<'static, RecordLists>,
}

#[cfg(not(docache_loom))]
impl RecordLocks {
    /// Forgets the guards of all threads but the calling one, which are not there any more and
    /// whose records become free.
    pub(super) fn reset_in_child(mut self, own: Option<&'static Record>) {
        let is_own = |record: &'static Record| own.is_some_and(|own| std::ptr::eq(own, record));
        self.holdouts.retain(|(record, _)| is_own(record));
        let lists = &mut *self.lists;
        for record in lists.taken.drain(..).filter(|record| !is_own(record)) {
            record.set(record.ctr().unpinned());
            lists.free.push(record);
        }
        if let Some(own) = own {
            own.position.store(0, Ordering::Relaxed);
            lists.taken.push(own);
        }
    }
}

#[derive(Debug, Default)]
struct RecordLists {
    taken: Vec<&'static Record>,
    free: Vec<&'static Record>,
}

impl Records {
    pub(super) fn new() -> Records {
        Records { lists: Mutex::new(RecordLists::default()), holdouts: Mutex::new(Vec::new()) }
    }

    /// A record for the calling thread.
    pub(super) fn take(&self) -> &'static Record {
        let mut lists = self.lists.lock();
        let record = lists.free.pop().unwrap_or_else(Record::leak);
        // So that `RecordLocks::reset_in_child`, in a forked child, can push all of them without
        // allocating.
        let count = lists.taken.len() + 1;
        lists.free.reserve(count);
        record.position.store(lists.taken.len(), Ordering::Relaxed);
        lists.taken.push(record);
        record
    }

    /// Takes both locks, across a fork.
    #[cfg(not(docache_loom))]
    pub(super) fn hold(&'static self) -> RecordLocks {
        RecordLocks { holdouts: self.holdouts.lock(), lists: self.lists.lock() }
    }

    /// Makes a record of the calling thread free, which has no guards any more.
    pub(super) fn give_back(&self, record: &'static Record) {
        debug_assert!(!record.ctr().is_pinned());
        let mut lists = self.lists.lock();
        // TAKEN.
        let position = record.position.load(Ordering::Relaxed);
        lists.taken.swap_remove(position);
        if let Some(moved) = lists.taken.get(position) {
            moved.position.store(position, Ordering::Relaxed);
        }
        lists.free.push(record);
    }

    #[cfg(all(test, not(docache_loom), not(docache_portable)))]
    pub(super) fn has_taken(&self, record: &'static Record) -> bool {
        self.lists.lock().taken.iter().any(|taken| std::ptr::eq(*taken, record))
    }

    /// How many records are taken, and how many there are.
    #[cfg(all(test, not(docache_loom), not(docache_portable)))]
    pub(super) fn count(&self) -> (usize, usize) {
        let lists = self.lists.lock();
        (lists.taken.len(), lists.taken.len() + lists.free.len())
    }

    /// Ends the present period if its readers have left; then begins another one, and ends that too
    /// if nobody reads. Does nothing if another thread is in here.
    pub(super) fn advance(&self, periods: &GracePeriods) {
        let Some(mut holdouts) = self.holdouts.try_lock() else { return };
        if !holdouts.is_empty() && !have_left(&mut holdouts) {
            return;
        }
        periods.end();
        periods.begin();
        if !heavy() {
            // `membarrier` was forbidden after all, and there is no other fence: nothing is
            // reclaimed any more.
            periods.cancel();
            return;
        }
        self.note(&mut holdouts);
        for _ in 0..LOOKS {
            if have_left(&mut holdouts) {
                periods.end();
                break;
            }
            std::hint::spin_loop();
        }
    }

    /// Notes which records have guards, and their words.
    fn note(&self, holdouts: &mut Vec<(&'static Record, ReaderCtr)>) {
        let lists = self.lists.lock();
        let seen = lists.taken.iter().map(|record| (*record, record.seen()));
        holdouts.extend(seen.filter(|(_, ctr)| ctr.is_pinned()));
    }
}

/// Strikes off the records that have unpinned. True if none is left.
fn have_left(holdouts: &mut Vec<(&'static Record, ReaderCtr)>) -> bool {
    holdouts.retain(|(record, noted)| {
        let now = record.seen();
        // The depth too: a thread that reads no more stays in the section that it has come to,
        // which may have the number that was noted.
        now.is_pinned() && now.is_same_section(*noted)
    });
    holdouts.is_empty()
}

#[cfg(all(test, target_os = "linux", not(docache_loom), not(docache_portable)))]
mod tests {
    use super::*;

    fn new() -> (Records, GracePeriods) {
        assert!(
            crate::sync::barrier::exists(),
            "this system has no membarrier: test with --cfg docache_portable"
        );
        (Records::new(), GracePeriods::new())
    }

    #[test]
    fn a_period_ends_at_once_if_nobody_reads() {
        let (records, periods) = new();
        records.take();
        for _ in 0..3 {
            let cookie = periods.cookie();
            assert!(!periods.has_elapsed(cookie));
            records.advance(&periods);
            assert!(periods.has_elapsed(cookie));
        }
    }

    #[test]
    fn a_period_waits_for_those_who_read_when_it_began_and_for_no_others() {
        let (records, periods) = new();
        let (early, late) = (records.take(), records.take());
        early.pin();
        early.pin();
        let cookie = periods.cookie();
        records.advance(&periods);
        late.pin();
        assert!(!early.unpin());
        records.advance(&periods);
        assert!(!periods.has_elapsed(cookie), "one guard is still there");
        assert!(!early.unpin());
        early.pin();
        records.advance(&periods);
        assert!(periods.has_elapsed(cookie), "who has entered anew, or later, does not see it");
        let cookie = periods.cookie();
        records.advance(&periods);
        assert!(!periods.has_elapsed(cookie));
        for _ in 0..2 {
            early.repin();
            late.repin();
            records.advance(&periods);
        }
        assert!(periods.has_elapsed(cookie), "the one that was under way has ended, and one more");
        early.pin();
        early.repin();
        assert_eq!(early.ctr().0 & ReaderCtr::NESTING, 2, "the other guard keeps what it holds");
    }

    #[test]
    fn a_thread_that_reads_no_more_is_not_waited_for_whatever_its_section_number() {
        let (records, periods) = new();
        let record = records.take();
        record.pin();
        let cookie = periods.cookie();
        records.advance(&periods);
        assert!(!periods.has_elapsed(cookie));
        let noted = record.ctr();
        assert!(!record.unpin());
        // As many sections as bring the number back to the one that was noted.
        for _ in 1..1 << 16 {
            record.pin();
            assert!(!record.unpin());
        }
        assert!(record.ctr().is_same_section(noted) && !record.is_pinned());
        records.advance(&periods);
        assert!(periods.has_elapsed(cookie));
    }

    #[test]
    fn a_record_is_used_again_when_its_thread_and_its_guards_are_gone() {
        let (records, periods) = new();
        let first = records.take();
        assert!(first.abandon());
        records.give_back(first);
        assert!(std::ptr::eq(first, records.take()));
        first.pin();
        first.pin();
        assert!(!first.abandon());
        let second = records.take();
        assert!(!std::ptr::eq(first, second));
        assert!(!first.unpin());
        let cookie = periods.cookie();
        records.advance(&periods);
        assert!(!periods.has_elapsed(cookie));
        first.repin();
        records.advance(&periods);
        assert!(periods.has_elapsed(cookie), "its last guard may be renewed");
        let cookie = periods.cookie();
        assert!(!periods.has_elapsed(cookie));
        assert!(first.unpin());
        records.give_back(first);
        records.advance(&periods);
        assert!(periods.has_elapsed(cookie));
        assert!(std::ptr::eq(first, records.take()));
        assert!(!first.is_pinned());
    }

    #[test]
    fn only_records_that_are_taken_are_looked_at() {
        let (records, _) = new();
        let taken: Vec<_> = (0..10).map(|_| records.take()).collect();
        // From the middle, the end and the beginning.
        for gone in [5, 9, 0, 3, 8] {
            records.give_back(taken[gone]);
            assert!(!records.has_taken(taken[gone]));
        }
        assert_eq!(records.count(), (5, 10));
        for stays in [1, 2, 4, 6, 7] {
            assert!(records.has_taken(taken[stays]));
            records.give_back(taken[stays]);
        }
        assert_eq!(records.count(), (0, 10));
        for _ in 0..10 {
            records.take();
        }
        assert_eq!(records.count(), (10, 10));
    }

    #[test]
    fn a_period_waits_for_a_record_only_while_the_same_guards_are_there() {
        let (records, periods) = new();
        let record = records.take();
        record.pin();
        let cookie = periods.cookie();
        records.advance(&periods);
        assert!(!record.unpin());
        records.give_back(record);
        assert!(std::ptr::eq(record, records.take()));
        record.pin();
        records.advance(&periods);
        assert!(periods.has_elapsed(cookie), "another thread has it now");
    }

    #[test]
    fn the_section_number_wraps() {
        let record = Record { ctr: AtomicU64::new(u64::MAX << 48), position: AtomicUsize::new(0) };
        record.pin();
        assert!(!record.unpin());
        assert_eq!(record.ctr(), ReaderCtr(0));
    }
}
