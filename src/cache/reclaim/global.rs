//! The periods, records and guards of this process.
//!
//! # State
//! HANDLE takes a record for the thread, and its destructor gives the record back. RECORD caches
//! it, and has no destructor. If the destructor of another thread-local takes a guard after HANDLE
//! was destroyed, it gets another record, which is marked as an orphan from the beginning, so that
//! its last guard gives it back. EPOCH_GUARDS counts the thread's guards of crossbeam-epoch.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use crossbeam_utils::CachePadded;

use super::epochs;
pub(crate) use super::grace::GraceCookie;
use super::grace::GracePeriods;
use super::records::{Record, RecordLocks, Records};
use crate::clock::{Clock, SystemClock};
use crate::sync::barrier;
use crate::sync::fork::{self, AcrossFork, AtFork};

/// From the beginning of one advance by [`advance_throttled`] to that of the next: so many times as
/// long as the first took, since its heavy fence interrupts all processors and costs 100 to 10,000
/// nanoseconds;
const ADVANCE_SHARE: u64 = 32;
/// but so many nanoseconds at least, and at most.
const ADVANCE_INTERVALS: RangeInclusive<u64> = 100_000..=500_000;

static PERIODS: LazyLock<GracePeriods> = LazyLock::new(GracePeriods::new);
static RECORDS: LazyLock<Records> = LazyLock::new(Records::new);

thread_local! {
    /// The thread's record, once it has one, until it has given it back.
    static RECORD: Cell<Option<&'static Record>> = const { Cell::new(None) };
    /// How many guards of crossbeam's the thread has.
    static EPOCH_GUARDS: Cell<usize> = const { Cell::new(0) };
    /// Gives the record back when the thread ends.
    static HANDLE: RecordHandle = RecordHandle(RECORDS.take());
}

/// Makes what guards need, which is to be there before somebody forks. To be called with no lock
/// held.
pub(crate) fn prepare() {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.load(Ordering::Acquire) {
        fork::exclude(|| {
            LazyLock::force(&PERIODS);
            LazyLock::force(&RECORDS);
        });
        fork::register_once(&REGISTERED, fork::LockLevel::Readers, &Readers);
    }
}

static HELD: AcrossFork<RecordLocks> = AcrossFork::new();

/// The threads that read, which the child of a fork does not have.
struct Readers;

impl AtFork for Readers {
    fn hold(&self) {
        // SAFETY: called before the fork by the thread that forks, which also takes it out again.
        unsafe { HELD.put(RECORDS.hold()) };
    }

    unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        drop(unsafe { HELD.take() });
    }

    unsafe fn reset_in_child(&self) {
        // SAFETY: the caller's promise.
        if let Some(held) = unsafe { HELD.take() } {
            held.reset_in_child(RECORD.get());
        }
        if EPOCH_GUARDS.get() == 0 {
            epochs::reset_in_child();
        }
    }
}

struct RecordHandle(&'static Record);

impl Drop for RecordHandle {
    fn drop(&mut self) {
        // If the thread still has guards, its last one gives the record back (ORPHAN).
        if self.0.abandon() {
            give_back(self.0);
        }
    }
}

/// Gives back the thread's record.
#[cold]
fn give_back(record: &'static Record) {
    RECORD.set(None);
    RECORDS.give_back(record);
}

/// While it lives, nothing that the calling thread finds in a table is reused or freed.
#[derive(Debug)]
pub(crate) struct Guard(GuardInner);

#[derive(Debug)]
enum GuardInner {
    Record(&'static Record, PhantomData<*const ()>),
    Epoch(crossbeam_epoch::Guard),
}

/// A guard. Wait-free (lock-free with `epochs`); the first of a thread takes a lock and may
/// allocate.
#[inline(always)]
pub(crate) fn pin() -> Guard {
    match RECORD.get() {
        Some(record) => {
            record.pin();
            Guard(GuardInner::Record(record, PhantomData))
        }
        None => pin_slow(),
    }
}

/// A thread's first guard; on systems without `membarrier`, every one.
#[cold]
#[inline(never)]
fn pin_slow() -> Guard {
    if !barrier::exists() {
        EPOCH_GUARDS.set(EPOCH_GUARDS.get() + 1);
        return Guard(GuardInner::Epoch(epochs::pin()));
    }
    let handle = HANDLE.try_with(|handle| handle.0);
    let record = handle.unwrap_or_else(|_| RECORDS.take());
    record.pin();
    if handle.is_err() {
        // The thread is ending, and one of its destructors reads.
        let is_free = record.abandon();
        debug_assert!(!is_free);
    }
    RECORD.set(Some(record));
    Guard(GuardInner::Record(record, PhantomData))
}

/// Whether the calling thread has a guard.
#[inline]
pub(crate) fn is_pinned() -> bool {
    RECORD.get().is_some_and(Record::is_pinned) || EPOCH_GUARDS.get() > 0
}

impl Guard {
    /// Drops it and makes another one, if it is the thread's only one.
    #[inline]
    pub(crate) fn repin(&mut self) {
        match &mut self.0 {
            GuardInner::Record(record, _) => record.repin(),
            GuardInner::Epoch(guard) => guard.repin(),
        }
    }
}

impl Drop for Guard {
    #[inline(always)]
    fn drop(&mut self) {
        match &self.0 {
            GuardInner::Record(record, _) => {
                if record.unpin() {
                    give_back(record);
                }
            }
            GuardInner::Epoch(_) => EPOCH_GUARDS.set(EPOCH_GUARDS.get() - 1),
        }
    }
}

impl GraceCookie {
    /// The cookie for what the caller has unlinked before.
    #[inline]
    pub(crate) fn take() -> GraceCookie {
        // A light one would not do: see `records`.
        fence(Ordering::SeqCst);
        PERIODS.cookie()
    }

    /// Whether no reader can see what was unlinked before this was taken.
    #[inline]
    pub(crate) fn has_elapsed(self) -> bool {
        PERIODS.has_elapsed(self)
    }
}

/// How many periods have ended.
pub(crate) fn ended() -> u64 {
    PERIODS.ended()
}

/// Moves grace periods on: ends the one under way if no guard is left from before it began, and
/// begins the next, which ends at once if nobody reads. (With [`epochs`] that takes some calls.)
pub(crate) fn advance() {
    if barrier::exists() {
        RECORDS.advance(&PERIODS);
    } else {
        epochs::advance(&PERIODS);
    }
}

/// Whether an advance costs a heavy fence. Elsewhere it is a cheap step, of which a period takes
/// several.
#[inline]
pub(crate) fn advance_is_costly() -> bool {
    barrier::exists()
}

/// Says that retired things are waiting: does [`advance`](advance()), unless that was done a short
/// time ago ([`ADVANCE_SHARE`]).
pub(crate) fn advance_throttled() {
    /// When the next may begin.
    static NEXT: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
    if !barrier::exists() {
        return advance();
    }
    let now = || SystemClock.now().as_nanos();
    let begin = now();
    if begin < NEXT.load(Ordering::Relaxed) {
        return;
    }
    let (least, most) = ADVANCE_INTERVALS.into_inner();
    NEXT.store(begin.saturating_add(least), Ordering::Relaxed);
    advance();
    let pause = now().saturating_sub(begin).saturating_mul(ADVANCE_SHARE).clamp(least, most);
    NEXT.store(begin.saturating_add(pause), Ordering::Relaxed);
}

#[cfg(test)]
mod reading {
    use super::*;

    #[test]
    fn a_thread_knows_whether_it_reads() {
        assert!(!is_pinned());
        let outer = pin();
        let inner = pin();
        assert!(is_pinned());
        std::thread::scope(|scope| scope.spawn(|| assert!(!is_pinned())).join().unwrap());
        drop(outer);
        assert!(is_pinned());
        drop(inner);
        assert!(!is_pinned());
    }
}

#[cfg(all(test, target_os = "linux", not(docache_portable)))]
mod tests {
    use super::*;

    /// Reads when it is dropped.
    struct Last;

    impl Drop for Last {
        fn drop(&mut self) {
            let guards = [pin(), pin()];
            for Guard(inner) in &guards {
                assert!(
                    matches!(inner, GuardInner::Record(record, _) if RECORDS.has_taken(record))
                );
            }
            assert!(is_pinned());
            drop(guards);
            assert!(!is_pinned());
        }
    }

    // One that goes before the thread's handle, and one that goes after it.
    thread_local! {
        static FIRST: Cell<Option<Last>> = const { Cell::new(None) };
        static SECOND: Cell<Option<Last>> = const { Cell::new(None) };
    }

    #[test]
    fn threads_that_end_give_their_records_back() {
        let end = |read_last: bool| {
            let body = move || {
                FIRST.set(read_last.then_some(Last));
                drop(pin());
                SECOND.set(read_last.then_some(Last));
            };
            std::thread::spawn(body).join().unwrap();
        };
        let (_, before) = RECORDS.count();
        (0..1_000).for_each(|number| end(number % 2 == 0));
        let more = RECORDS.count().1 - before;
        assert!(more < 100, "{more} records, of which other tests have some");
    }
}
