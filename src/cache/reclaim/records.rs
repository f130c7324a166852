//! Which threads are reading: a record for each, which costs a reader two plain stores.
//!
//! # State
//! The records of all threads that there ever were at once form a list that only grows; a thread takes one that is free,
//! or adds one. A record's [word](Word) says how many guards its thread has, and counts the times that it had none.
//!
//! # A period of grace
//! Whoever wants one to [end](Records::advance) has the lock of `readers`. It counts the period as begun, does the heavy
//! fence, and notes the words of those records that have guards. The period ends when all of those have had none since.
//!
//! # Invariants
//! - GRACE: what was unlinked before an era was read is out of every reader's sight once a later period has ended.
//!
//! # Orderings
//! Let W unlink something (U), do a fence (F) and read its era; a period that is later begins (B) and does the heavy fence
//! (H), which is one of its caller's that comes after B, and then one in every other thread; R enters (E: a store to its
//! word), does the light fence and looks (L). F comes before H's: else W would have read that the period had begun. H makes R
//! do a fence, after its own. If R's comes before E, then L comes after it and so after F, and finds what W left behind. If
//! it comes after E, whoever notes the words sees E or what R wrote later, so the period does not end before R has left, or
//! entered again, which is the same case anew: that entry comes after H.
//!
//! F must be a whole fence. H makes W do one, too, but at a moment of its own: with nothing more W could read the era before
//! U is to be seen, R's fence could come between, and then L would not find U, nor whoever notes the words E.
//!
//! A word is stored with Release and read with Acquire: whoever finds that a reader left has all behind it that the reader
//! did. The end of a period is counted and read in the same way.

use super::periods::Periods;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use crate::sync::barrier::{heavy, light};

/// How often a period that could end looks for its last readers again, before it is left for another time. A read takes
/// less.
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
    taken: AtomicBool,
    next: AtomicPtr<Record>,
}

impl Record {
    #[inline(always)]
    pub(super) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(super) fn set(&self, word: Word) {
        self.word.store(word.0, Ordering::Release);
    }

    /// From here on nothing that this thread can find is used again, until as many calls of [`leave`](Record::leave).
    #[inline(always)]
    pub(crate) fn enter(&self) {
        self.set(self.word().entered());
        light();
    }

    #[inline(always)]
    pub(crate) fn leave(&self) {
        let word = self.word();
        if word.is_plain() {
            self.set(word.left());
        } else {
            self.leave_otherwise(word);
        }
    }

    #[cold]
    fn leave_otherwise(&self, word: Word) {
        let fewer = word.with_one_less();
        if fewer.is_reading() {
            self.set(fewer);
        } else {
            self.set(word.left());
            self.taken.store(false, Ordering::Release);
        }
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

    /// The thread does not need the record any more, when its guards are gone.
    pub(crate) fn give_up(&self) {
        let word = self.word();
        if word.is_reading() {
            self.set(Word(word.0 | Word::ORPHAN));
        } else {
            self.taken.store(false, Ordering::Release);
        }
    }

    #[cfg(all(test, not(docache_loom), not(docache_portable)))]
    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    /// The word as others see it.
    pub(super) fn seen(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }
}

/// The records.
#[derive(Debug)]
pub(crate) struct Records {
    first: AtomicPtr<Record>,
    /// Those whom the period under way waits for, with the words they had.
    readers: Mutex<Vec<(&'static Record, Word)>>,
}

impl Records {
    pub(super) fn new() -> Records {
        Records { first: AtomicPtr::default(), readers: Mutex::new(Vec::new()) }
    }

    /// A record for the calling thread.
    pub(super) fn take(&self) -> &'static Record {
        let free = |record: &&Record| {
            !record.taken.load(Ordering::Relaxed)
                && record.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        self.iter().find(free).unwrap_or_else(|| self.add())
    }

    fn add(&self) -> &'static Record {
        let record: &Record = Box::leak(Box::new(Record {
            word: AtomicU64::new(0),
            taken: AtomicBool::new(true),
            next: AtomicPtr::default(),
        }));
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            record.next.store(first, Ordering::Relaxed);
            let new = std::ptr::from_ref(record).cast_mut();
            // Acquire, too, so that who finds this one finds those behind it.
            match self.first.compare_exchange(first, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return record,
                Err(other) => first = other,
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &'static Record> {
        let mut next = self.first.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: null, or a record; those are never freed.
            let record: &'static Record = unsafe { next.as_ref() }?;
            next = record.next.load(Ordering::Relaxed);
            Some(record)
        })
    }

    #[cfg(all(test, not(docache_loom), not(docache_portable)))]
    pub(super) fn count(&self) -> usize {
        self.iter().count()
    }

    /// Ends the period under way if it can be ended, and then begins another one, and ends that if it can. Does nothing if
    /// somebody else is at it.
    pub(super) fn advance(&self, periods: &Periods) {
        let Some(mut readers) = self.readers.try_lock() else { return };
        if !readers.is_empty() && !have_left(&mut readers) {
            return;
        }
        periods.end();
        periods.begin();
        if !heavy() {
            // The system has changed its mind. So nothing is used again.
            periods.cancel();
            return;
        }
        let reading = self.iter().map(|record| (record, record.seen())).filter(|(_, word)| word.is_reading());
        readers.extend(reading);
        for _ in 0..LOOKS {
            if have_left(&mut readers) {
                periods.end();
                break;
            }
            std::hint::spin_loop();
        }
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

    fn new() -> (Records, Periods) {
        assert!(
            crate::sync::barrier::exists(),
            "this system has no membarrier: test with --cfg docache_portable"
        );
        (Records::new(), Periods::new())
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
        early.leave();
        records.advance(&periods);
        assert!(!periods.are_past(era), "one guard is still there");
        early.leave();
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
        first.give_up();
        assert!(std::ptr::eq(first, records.take()));
        first.enter();
        first.enter();
        first.give_up();
        let second = records.take();
        assert!(!std::ptr::eq(first, second));
        first.leave();
        let era = periods.now();
        records.advance(&periods);
        assert!(!periods.are_past(era));
        first.reenter();
        records.advance(&periods);
        assert!(periods.are_past(era), "its last guard may be renewed");
        let era = periods.now();
        assert!(!periods.are_past(era));
        first.leave();
        records.advance(&periods);
        assert!(periods.are_past(era));
        assert!(std::ptr::eq(first, records.take()));
        assert!(!first.word().is_reading());
    }

    #[test]
    fn the_count_of_times_wraps() {
        let record = Record {
            word: AtomicU64::new(u64::MAX << 48),
            taken: AtomicBool::new(true),
            next: AtomicPtr::default(),
        };
        record.enter();
        record.leave();
        assert_eq!(record.word(), Word(0));
    }
}
