//! Which threads are reading: a record for each, which costs a reader two plain stores.
//!
//! # State
//! A thread that reads [takes](Records::take) a record, and [gives it back](Records::give_back)
//! when it ends, or with its last guard if that is later. `registered` knows the records that are
//! taken and, apart from those, the free ones; a record is never freed. A record's [word](Word)
//! says how many guards its thread has, and counts the times that it had none.
//!
//! # A period of grace
//! Whoever wants one to [end](Records::advance) has the lock of `readers`. It counts the period as
//! begun, does the heavy fence, and notes, under the lock of `registered`, the words of those taken
//! records that have guards. The period ends when all of those have had none since. So it costs as
//! much as there are threads with records.
//!
//! # Invariants
//! - TAKEN: only a record that is taken has guards. `place` is where `taken` has it, under the lock
//!   of `registered`.
//! - GRACE: what was unlinked before an era was read is out of every reader's sight once a later
//!   period has ended.
//!
//! # Orderings
//! Let W unlink something (U), do a fence (F) and read its era; a period that is later begins (B)
//! and does the heavy fence (H), which is one of its caller's that comes after B, and then one in
//! every other thread; R enters (E: a store to its word), does the light fence and looks (L). F
//! comes before H's: else W would have read that the period had begun. H makes R do a fence, after
//! its own. If R's comes before E, then L comes after it and so after F, and finds what W left
//! behind. If it comes after E, whoever notes the words sees E or what R wrote later, so the period
//! does not end before R has left, or entered again, which is the same case anew: that entry comes
//! after H.
//!
//! Records are taken and given back meanwhile. If R takes its record after the words were noted,
//! the lock of `registered` stands between, so L comes after H, and after F. If R gave its record
//! back before, all that it read comes before that, by the same lock. What it noted of a record
//! that has a new owner since is settled: the times have moved on. (They wrap. At worst a period
//! waits for one who need not be waited for.)
//!
//! F must be a whole fence. H makes W do one, too, but at a moment of its own: with nothing more W
//! could read the era before U is to be seen, R's fence could come between, and then L would not
//! find U, nor whoever notes the words E.
//!
//! A word is stored with Release and read with Acquire: whoever finds that a reader left has all
//! behind it that the reader did. The end of a period is counted and read in the same way.

use super::grace::GracePeriods;
use crate::sync::Mutex;
#[cfg(not(docache_loom))]
use crate::sync::MutexGuard;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::barrier::{heavy, light};

/// How often a period that could end looks for its last readers again, before it is left for
/// another time. A read takes less.
const LOOKS: usize = if cfg!(docache_loom) { 1 } else { 64 };

/// `times without a guard:16 | ORPHAN:1 | guards:47`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

impl Word {
    const ONE_GUARD: u64 = 1;
    /// The thread has gone; the record is free when the guards are, too.
    const ORPHAN: u64 = 1 << 47;
    const GUARDS: u64 = Word::ORPHAN - 1;
    const ONE_TIME: u64 = 1 << 48;

    pub(super) fn is_reading(self) -> bool {
        self.0 & Word::GUARDS != 0
    }

    /// Whether there were guards from the one on to the other.
    fn is_same_time(self, other: Word) -> bool {
        (self.0 ^ other.0) < Word::ONE_TIME
    }

    #[inline(always)]
    pub(super) fn entered(self) -> Word {
        Word(self.0 + Word::ONE_GUARD)
    }

    /// Whether there is one guard, and no more to it.
    #[inline(always)]
    fn is_plain(self) -> bool {
        self.0 & (Word::ONE_TIME - 1) == Word::ONE_GUARD
    }

    /// The only guard is gone, and another one is there.
    fn renewed(self) -> Word {
        Word(self.0.wrapping_add(Word::ONE_TIME))
    }

    /// One guard less, and others are left.
    fn with_one_less(self) -> Word {
        Word(self.0 - Word::ONE_GUARD)
    }

    /// The last guard is gone.
    #[inline(always)]
    fn left(self) -> Word {
        Word((self.0 & !(Word::ONE_TIME - 1)).wrapping_add(Word::ONE_TIME))
    }
}

/// What others see of a thread. Only its own thread writes the word.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Record {
    word: AtomicU64,
    place: AtomicUsize,
}

impl Record {
    fn leak() -> &'static Record {
        Box::leak(Box::new(Record { word: AtomicU64::new(0), place: AtomicUsize::new(0) }))
    }

    #[inline(always)]
    pub(super) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(super) fn set(&self, word: Word) {
        self.word.store(word.0, Ordering::Release);
    }

    /// From here on nothing that this thread can find is used again, until as many calls of
    /// [`leave`](Record::leave).
    #[inline(always)]
    pub(crate) fn enter(&self) {
        self.set(self.word().entered());
        light();
    }

    /// Whether the record is now to be [given back](Records::give_back): it was an orphan's last
    /// guard.
    #[inline(always)]
    #[must_use]
    pub(crate) fn leave(&self) -> bool {
        let word = self.word();
        if word.is_plain() {
            self.set(word.left());
            return false;
        }
        self.leave_otherwise(word)
    }

    #[cold]
    fn leave_otherwise(&self, word: Word) -> bool {
        let fewer = word.with_one_less();
        let is_last = !fewer.is_reading();
        self.set(if is_last { word.left() } else { fewer });
        is_last
    }

    /// Leaves and enters, if there is one guard.
    #[inline]
    pub(crate) fn reenter(&self) {
        let word = self.word();
        if word.0 & Word::GUARDS == Word::ONE_GUARD {
            self.set(word.renewed());
            light();
        }
    }

    /// Says that the thread does not need the record any more when its guards are gone. Whether
    /// they are gone already, so that it is to be given back.
    #[must_use]
    pub(crate) fn abandon(&self) -> bool {
        let word = self.word();
        if word.is_reading() {
            self.set(Word(word.0 | Word::ORPHAN));
        }
        !word.is_reading()
    }

    /// Whether its thread has a guard. For that thread to ask.
    #[inline]
    pub(super) fn is_reading(&self) -> bool {
        self.word().is_reading()
    }

    /// The word as others see it.
    pub(super) fn seen(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }
}

/// The records.
#[derive(Debug)]
pub(crate) struct Records {
    registered: Mutex<Registered>,
    /// Those whom the period under way waits for, with the words they had.
    readers: Mutex<Vec<(&'static Record, Word)>>,
}

/// The locks of the records.
#[cfg(not(docache_loom))]
#[derive(Debug)]
pub(super) struct Held {
    readers: MutexGuard<'static, Vec<(&'static Record, Word)>>,
    registered: MutexGuard<'static, Registered>,
}

#[cfg(not(docache_loom))]
impl Held {
    /// Forgets the guards of all threads but the calling one, which are not there any more and
    /// whose records become free.
    pub(super) fn renew(mut self, own: Option<&'static Record>) {
        let is_own = |record: &'static Record| own.is_some_and(|own| std::ptr::eq(own, record));
        self.readers.retain(|(record, _)| is_own(record));
        let registered = &mut *self.registered;
        for record in registered.taken.drain(..).filter(|record| !is_own(record)) {
            record.set(record.word().left());
            registered.free.push(record);
        }
        if let Some(own) = own {
            own.place.store(0, Ordering::Relaxed);
            registered.taken.push(own);
        }
    }
}

#[derive(Debug, Default)]
struct Registered {
    taken: Vec<&'static Record>,
    free: Vec<&'static Record>,
}

impl Records {
    pub(super) fn new() -> Records {
        Records { registered: Mutex::new(Registered::default()), readers: Mutex::new(Vec::new()) }
    }

    /// A record for the calling thread.
    pub(super) fn take(&self) -> &'static Record {
        let mut registered = self.registered.lock();
        let record = registered.free.pop().unwrap_or_else(Record::leak);
        // So that all can be given back where no memory is to be had: in the child of a fork.
        let most = registered.taken.len() + 1;
        registered.free.reserve(most);
        record.place.store(registered.taken.len(), Ordering::Relaxed);
        registered.taken.push(record);
        record
    }

    /// Takes both locks, across a fork.
    #[cfg(not(docache_loom))]
    pub(super) fn hold(&'static self) -> Held {
        Held { readers: self.readers.lock(), registered: self.registered.lock() }
    }

    /// Makes a record of the calling thread free, which has no guards any more.
    pub(super) fn give_back(&self, record: &'static Record) {
        debug_assert!(!record.word().is_reading());
        let mut registered = self.registered.lock();
        // TAKEN.
        let place = record.place.load(Ordering::Relaxed);
        registered.taken.swap_remove(place);
        if let Some(moved) = registered.taken.get(place) {
            moved.place.store(place, Ordering::Relaxed);
        }
        registered.free.push(record);
    }

    #[cfg(all(test, not(docache_loom), not(docache_portable)))]
    pub(super) fn has_taken(&self, record: &'static Record) -> bool {
        self.registered.lock().taken.iter().any(|taken| std::ptr::eq(*taken, record))
    }

    /// How many records are taken, and how many there are.
    #[cfg(all(test, not(docache_loom), not(docache_portable)))]
    pub(super) fn count(&self) -> (usize, usize) {
        let registered = self.registered.lock();
        (registered.taken.len(), registered.taken.len() + registered.free.len())
    }

    /// Ends the period under way if it can be ended, and then begins another one, and ends that if
    /// it can. Does nothing if somebody else is at it.
    pub(super) fn advance(&self, periods: &GracePeriods) {
        let Some(mut readers) = self.readers.try_lock() else { return };
        if !readers.is_empty() && !have_left(&mut readers) {
            return;
        }
        periods.end();
        periods.begin();
        if !heavy() {
            // The system has changed its mind, and knows no other way. So nothing is used again.
            periods.cancel();
            return;
        }
        self.note(&mut readers);
        for _ in 0..LOOKS {
            if have_left(&mut readers) {
                periods.end();
                break;
            }
            std::hint::spin_loop();
        }
    }

    /// Notes who reads.
    fn note(&self, readers: &mut Vec<(&'static Record, Word)>) {
        let registered = self.registered.lock();
        let seen = registered.taken.iter().map(|record| (*record, record.seen()));
        readers.extend(seen.filter(|(_, word)| word.is_reading()));
    }
}

/// Strikes off those who have left; whether nobody is left.
fn have_left(readers: &mut Vec<(&'static Record, Word)>) -> bool {
    readers.retain(|(record, word)| record.seen().is_same_time(*word));
    readers.is_empty()
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
            let era = periods.now();
            assert!(!periods.are_past(era));
            records.advance(&periods);
            assert!(periods.are_past(era));
        }
    }

    #[test]
    fn a_period_waits_for_those_who_read_when_it_began_and_for_no_others() {
        let (records, periods) = new();
        let (early, late) = (records.take(), records.take());
        early.enter();
        early.enter();
        let era = periods.now();
        records.advance(&periods);
        late.enter();
        assert!(!early.leave());
        records.advance(&periods);
        assert!(!periods.are_past(era), "one guard is still there");
        assert!(!early.leave());
        early.enter();
        records.advance(&periods);
        assert!(periods.are_past(era), "who has entered anew, or later, does not see it");
        let era = periods.now();
        records.advance(&periods);
        assert!(!periods.are_past(era));
        for _ in 0..2 {
            early.reenter();
            late.reenter();
            records.advance(&periods);
        }
        assert!(periods.are_past(era), "the one that was under way has ended, and one more");
        early.enter();
        early.reenter();
        assert_eq!(early.word().0 & Word::GUARDS, 2, "the other guard keeps what it holds");
    }

    #[test]
    fn a_record_is_used_again_when_its_thread_and_its_guards_are_gone() {
        let (records, periods) = new();
        let first = records.take();
        assert!(first.abandon());
        records.give_back(first);
        assert!(std::ptr::eq(first, records.take()));
        first.enter();
        first.enter();
        assert!(!first.abandon());
        let second = records.take();
        assert!(!std::ptr::eq(first, second));
        assert!(!first.leave());
        let era = periods.now();
        records.advance(&periods);
        assert!(!periods.are_past(era));
        first.reenter();
        records.advance(&periods);
        assert!(periods.are_past(era), "its last guard may be renewed");
        let era = periods.now();
        assert!(!periods.are_past(era));
        assert!(first.leave());
        records.give_back(first);
        records.advance(&periods);
        assert!(periods.are_past(era));
        assert!(std::ptr::eq(first, records.take()));
        assert!(!first.is_reading());
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
        record.enter();
        let era = periods.now();
        records.advance(&periods);
        assert!(!record.leave());
        records.give_back(record);
        assert!(std::ptr::eq(record, records.take()));
        record.enter();
        records.advance(&periods);
        assert!(periods.are_past(era), "another thread has it now");
    }

    #[test]
    fn the_count_of_times_wraps() {
        let record = Record { word: AtomicU64::new(u64::MAX << 48), place: AtomicUsize::new(0) };
        record.enter();
        assert!(!record.leave());
        assert_eq!(record.word(), Word(0));
    }
}
