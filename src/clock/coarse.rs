//! A clock word kept by one ticking thread, for paths on which 20 ns is too much.
//!
//! # State
//! `word` is `nanoseconds << 1 | STOPPED`. `read` says that somebody looked since the last tick.
//! `horizon` is [`MARGIN`] past the last tick, [in a form of its own](horizon_of), or
//! [`STOPPED_HORIZON`]: for those who only want to know whether some moment is still far off, and
//! ask the [`exact`] clock if it is not. Nobody notes that it was read, so the ticker may stop
//! meanwhile; then no moment is far off.
//!
//! # Invariants
//! - MONOTONE: `word` only grows. Readers and the ticker move it by `fetch_max`, or from the value
//!   that they saw, and the ticker stops by setting the low bit of the value it last saw, which is
//!   the next larger word. Whoever is told the system's time instead of the word's has moved the
//!   word up to that: another reader may be about to start it from an earlier reading.
//! - AWAKE: a word without `STOPPED` has a ticker that is awake or has been woken.
//! - AHEAD: what the horizon calls far off is so for [`MARGIN`], less the time since somebody last
//!   moved it. Only the ticker, which is one thread, takes back `STOPPED_HORIZON`, by the present;
//!   others move the horizon by `fetch_max`, which leaves that alone.
//!
//! # Orderings
//! Both words are numbers and publish nothing else, so `Relaxed` suffices: a single atomic object
//! is coherent on its own, and so no thread sees it go back. The wake-up goes through a mutex.
//!
//! # In the child of a fork
//! There is no ticker, so the word is stopped before anybody reads it (AWAKE). The first reading
//! starts another one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{Clock, SystemClock, Tick};
use crate::housekeeping;
#[cfg(not(docache_loom))]
use crate::sync::fork::{self, AcrossFork, AtFork};

/// Set in `word` while no ticker keeps it.
const STOPPED: u64 = 1;
/// How often the word moves.
const PERIOD: Duration = Duration::from_millis(1);
/// How many ticks nobody has to look at before the ticker sleeps.
const IDLE_TICKS: u32 = 64;
/// How far ahead of the last tick the horizon is. The ticking thread may be kept from running for
/// that long before anything is taken for alive that is not.
pub(crate) const MARGIN: Duration = Duration::from_millis(250);
/// How far, in nanoseconds, the word may be behind before somebody who knows better moves it: not
/// much of the margin.
const FAR_BEHIND: u64 = MARGIN.as_nanos() as u64 / 8;

/// The words and the mark share a line of their own: the ticker takes it once a period.
#[repr(align(128))]
struct Hands {
    word: AtomicU64,
    read: AtomicBool,
    horizon: AtomicU64,
}

/// What `horizon` is while no ticker keeps it: later than everything.
const STOPPED_HORIZON: u64 = u64::MAX;

static HANDS: Hands = Hands::new();

/// A time that is [`MARGIN`] past the last tick, as [`horizon_of`] gives it, or a number that is
/// greater than any time.
pub(crate) fn horizon() -> &'static AtomicU64 {
    &HANDS.horizon
}

/// The resolution of a horizon: units of 2 to the power of this, in nanoseconds.
pub(crate) const DEADLINE_UNIT_BITS: u32 = 12;
/// How many bits are below it.
pub(crate) const META_LOW_BITS: u32 = 16;

/// A time in units of 4,096 ns, above sixteen bits that are set. So a word that has a deadline in
/// these units above sixteen bits of anything is greater if, and only if, the deadline is later.
pub(crate) const fn horizon_of(nanos: u64) -> u64 {
    nanos >> DEADLINE_UNIT_BITS << META_LOW_BITS | ((1 << META_LOW_BITS) - 1)
}

impl Hands {
    const fn new() -> Hands {
        Hands {
            word: AtomicU64::new(STOPPED),
            read: AtomicBool::new(false),
            horizon: AtomicU64::new(STOPPED_HORIZON),
        }
    }

    fn ahead(word: u64) -> u64 {
        horizon_of((word >> 1).saturating_add(MARGIN.as_nanos() as u64))
    }

    /// Moves the word to `now`, in nanoseconds, or beyond, and says where to.
    fn advance(&self, now: u64) -> u64 {
        let word = now << 1;
        self.word.fetch_max(word, Ordering::Relaxed).max(word)
    }

    /// The time for a reader that cannot start the ticker: `now`, in nanoseconds, or beyond. The
    /// word goes or stands as before (AWAKE), and is not behind that any more (MONOTONE).
    fn keep_up(&self, now: u64) -> u64 {
        let later = |word: u64| Some((word >> 1).max(now) << 1 | word & STOPPED);
        // It never fails.
        let before = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        (before.unwrap_or_else(|word| word) >> 1).max(now)
    }

    /// The ticker's first tick.
    fn begin(&self, now: u64) {
        let word = self.advance(now);
        self.horizon.store(Hands::ahead(word), Ordering::Relaxed);
    }

    /// Any other tick; whether somebody has looked since the last one.
    fn tick(&self, now: u64) -> bool {
        let word = self.advance(now);
        self.horizon.fetch_max(Hands::ahead(word), Ordering::Relaxed);
        self.read.swap(false, Ordering::Relaxed)
    }

    /// The ticker's last act.
    fn stop(&self) {
        self.horizon.store(STOPPED_HORIZON, Ordering::Relaxed);
        self.word.fetch_or(STOPPED, Ordering::Relaxed);
    }

    fn note_read(&self) {
        if !self.read.load(Ordering::Relaxed) {
            self.read.store(true, Ordering::Relaxed);
        }
    }

    /// Moves the hands to `now` for a ticker that is late, if the word, which was `seen` going, is
    /// far behind.
    #[inline]
    fn correct(&self, seen: u64, now: u64) {
        if now.saturating_sub(seen >> 1) <= FAR_BEHIND {
            return;
        }
        // Not if the ticker has stopped meanwhile (AWAKE).
        if self.word.compare_exchange(seen, now << 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.horizon.fetch_max(Hands::ahead(now << 1), Ordering::Relaxed);
        }
    }
}

/// The system's clock, which counts from the same origin, to the nanosecond. Like a reading of
/// [`CoarseClock`] it keeps the ticker awake.
pub(crate) fn exact() -> Tick {
    let present = SystemClock.now();
    let word = HANDS.word.load(Ordering::Relaxed);
    if word & STOPPED != 0 {
        return restart(present);
    }
    HANDS.note_read();
    HANDS.correct(word, present.as_nanos());
    present
}

/// Whether a reader has asked the ticker to go on.
static WANTED: Mutex<bool> = Mutex::new(false);
static WOKEN: Condvar = Condvar::new();

/// A clock of one-millisecond granularity that costs one or two plain loads to read.
///
/// A thread named `docache-clock` moves it, from the first reading on, while it is read. After 64
/// ms without a reading that thread sleeps and costs nothing; the next reading then pays for one
/// reading of the system's clock and wakes it. Both clocks count from the same origin.
///
/// On an idle machine a reading is behind [`SystemClock`] by about 1 ms, and by no more than 5.
/// While the system keeps the ticking thread from running it is behind by that much more: tens of
/// milliseconds where many threads compete for few processors. A [`Cache`](crate::Cache) does not
/// rely on it where it matters: for an entry that has less than 250 ms left, and for a time to live
/// of up to a second, it asks the system's clock. So it returns what is over only if that thread
/// was kept from running for longer than those 250 ms.
///
/// Progress: a reading is wait-free while the clock ticks.
///
/// ```
/// use docache::{Clock, CoarseClock, SystemClock};
/// let before = CoarseClock.now();
/// assert!(before <= SystemClock.now());
/// assert!(before <= CoarseClock.now());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseClock;

impl Clock for CoarseClock {
    #[inline]
    fn now(&self) -> Tick {
        let word = HANDS.word.load(Ordering::Relaxed);
        if word & STOPPED != 0 {
            return restart(SystemClock.now());
        }
        HANDS.note_read();
        Tick::from_nanos(word >> 1)
    }
}

/// Moves a stopped word to the present and wakes the ticker, which is started once. With no thread
/// to be had the word stays stopped, and every reading asks the system and moves it (MONOTONE).
#[cold]
fn restart(present: Tick) -> Tick {
    #[cfg(not(docache_loom))]
    fork::revive();
    watch();
    let ask_system = || Tick::from_nanos(HANDS.keep_up(present.as_nanos()));
    // While it is started, or sent away, others ask the system.
    let Ok(mut exists) = EXISTS.try_lock() else { return ask_system() };
    if !*exists.get_or_insert_with(|| housekeeping::spawn(THREAD, tick).is_ok()) {
        return ask_system();
    }
    // First the ticker, then the word (AWAKE).
    *WANTED.lock().unwrap_or_else(PoisonError::into_inner) = true;
    WOKEN.notify_one();
    Tick::from_nanos(HANDS.advance(present.as_nanos()) >> 1)
}

/// Whether there is a ticker, or none to be had; `None` until one was wanted.
static EXISTS: Mutex<Option<bool>> = Mutex::new(None);
const THREAD: &str = "docache-clock";

/// Set while the ticker is being sent away, under the lock of `EXISTS`.
static DISMISSED: AtomicBool = AtomicBool::new(false);

/// Ends the ticker, and waits for it. The next reading starts another.
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) fn dismiss_ticker() {
    // Until it has ended nobody takes back what it does last (AWAKE).
    let mut exists = EXISTS.lock().unwrap_or_else(PoisonError::into_inner);
    housekeeping::finish(THREAD, || {
        let wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
        DISMISSED.store(true, Ordering::Relaxed);
        drop(wanted);
        WOKEN.notify_one();
        true
    });
    DISMISSED.store(false, Ordering::Relaxed);
    *WANTED.lock().unwrap_or_else(PoisonError::into_inner) = false;
    *exists = None;
}

fn dismissed() -> bool {
    DISMISSED.load(Ordering::Relaxed)
}

fn tick() {
    loop {
        let mut wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
        while !*wanted && !dismissed() {
            wanted = WOKEN.wait(wanted).unwrap_or_else(PoisonError::into_inner);
        }
        *wanted = false;
        drop(wanted);
        if dismissed() {
            // Somebody may have been promised that it ticks.
            HANDS.stop();
            return;
        }
        HANDS.begin(SystemClock.now().as_nanos());
        let mut unread = 0;
        while unread < IDLE_TICKS && !dismissed() {
            std::thread::sleep(PERIOD);
            unread = if HANDS.tick(SystemClock.now().as_nanos()) { 0 } else { unread + 1 };
        }
        HANDS.stop();
    }
}

/// Sees to it that the child of a fork knows that its clock has no ticker.
pub(super) fn watch() {
    #[cfg(not(docache_loom))]
    {
        fork::register_once(&forked::REGISTERED, fork::LockLevel::Time, &forked::Ticking);
        housekeeping::watch();
    }
}

#[cfg(not(docache_loom))]
mod forked {
    use std::sync::MutexGuard;

    use super::*;

    type Kept = (MutexGuard<'static, Option<bool>>, MutexGuard<'static, bool>);

    pub(super) static REGISTERED: AtomicBool = AtomicBool::new(false);
    static HELD: AcrossFork<Kept> = AcrossFork::new();

    pub(super) struct Ticking;

    impl AtFork for Ticking {
        fn hold(&self) {
            let exists = EXISTS.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: it is called before the fork by the thread that forks.
            unsafe { HELD.put((exists, WANTED.lock().unwrap_or_else(PoisonError::into_inner))) };
        }

        unsafe fn release(&self) {
            // SAFETY: the caller's promise.
            drop(unsafe { HELD.take() });
        }

        unsafe fn reset_in_child(&self) {
            // SAFETY: the caller's promise.
            if let Some((mut exists, mut wanted)) = unsafe { HELD.take() } {
                (*exists, *wanted) = (None, false);
                HANDS.stop();
            }
        }
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back_and_never_runs_ahead() {
        let mut last = CoarseClock.now();
        for _ in 0..100_000 {
            let now = CoarseClock.now();
            assert!(now >= last);
            assert!(now <= SystemClock.now());
            last = now;
        }
    }

    #[test]
    fn it_does_not_go_back_when_another_reader_starts_it_late() {
        let early = SystemClock.now();
        // Another reader is starting the ticker, with a reading of its own.
        let starting = EXISTS.lock().unwrap();
        while HANDS.word.load(Ordering::Relaxed) & STOPPED == 0 {
            std::thread::yield_now();
        }
        let seen = CoarseClock.now();
        drop(starting);
        assert!(restart(early) >= seen);
        assert!(CoarseClock.now() >= seen);
    }

    #[test]
    fn a_reader_that_cannot_start_it_moves_it_and_lets_it_stand_or_go() {
        let hands = Hands::new();
        assert_eq!(hands.keep_up(1_000), 1_000);
        assert_eq!(hands.word.load(Ordering::Relaxed), 1_000 << 1 | STOPPED);
        hands.begin(2_000);
        assert_eq!((hands.keep_up(1_500), hands.keep_up(3_000)), (2_000, 3_000));
        assert_eq!(hands.word.load(Ordering::Relaxed), 3_000 << 1);
    }

    #[test]
    fn it_moves_while_it_is_read() {
        let start = CoarseClock.now();
        while CoarseClock.now() == start {
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_horizon_moves_with_it_and_is_ahead_by_the_margin_at_most_but_when_it_stops() {
        let start = Hands::ahead(CoarseClock.now().as_nanos() << 1);
        loop {
            exact();
            let horizon = horizon().load(Ordering::Relaxed);
            if horizon == STOPPED_HORIZON {
                continue;
            }
            assert!(horizon <= horizon_of(SystemClock.now().after(MARGIN).as_nanos()));
            if horizon > start {
                break;
            }
        }
    }

    #[test]
    fn an_exact_reading_lies_between_two_of_the_system() {
        for _ in 0..10_000 {
            let (before, coarse) = (SystemClock.now(), CoarseClock.now());
            let exact = exact();
            assert!(before <= exact && coarse <= exact && exact <= SystemClock.now());
        }
    }

    #[test]
    fn one_who_knows_better_moves_what_is_far_behind_and_nothing_back() {
        let (hands, margin) = (Hands::new(), MARGIN.as_nanos() as u64);
        let at = |word, horizon| {
            assert_eq!(hands.word.load(Ordering::Relaxed), word);
            assert_eq!(hands.horizon.load(Ordering::Relaxed), horizon);
        };
        hands.begin(1_000);
        at(1_000 << 1, horizon_of(1_000 + margin));
        let near = 1_000 + FAR_BEHIND;
        hands.correct(1_000 << 1, near);
        at(1_000 << 1, horizon_of(1_000 + margin));
        let far = near + 1;
        hands.correct(1_000 << 1, far);
        at(far << 1, horizon_of(far + margin));
        // One that is late itself, and a ticker that is.
        hands.correct(1_000 << 1, 2 * far);
        hands.tick(2_000);
        at(far << 1, horizon_of(far + margin));
    }

    #[test]
    fn one_who_knows_better_starts_no_clock_that_has_stopped() {
        let hands = Hands::new();
        hands.begin(1_000);
        hands.stop();
        hands.correct(1_000 << 1, 1_000_000_000_000);
        assert_eq!(hands.word.load(Ordering::Relaxed), 1_000 << 1 | STOPPED);
        assert_eq!(hands.horizon.load(Ordering::Relaxed), STOPPED_HORIZON);
        // A horizon is moved after the word: by then the ticker may have stopped.
        hands.tick(2_000);
        assert_eq!(hands.horizon.load(Ordering::Relaxed), STOPPED_HORIZON);
    }

    #[test]
    fn it_stops_when_nobody_looks_and_goes_on_when_somebody_does() {
        while CoarseClock.now() == Tick::default() {}
        let start = SystemClock.now();
        while HANDS.word.load(Ordering::Relaxed) & STOPPED == 0 {
            assert!(
                SystemClock.now().since(start) < Duration::from_secs(60),
                "the ticker did not stop"
            );
            std::thread::yield_now();
        }
        let word = HANDS.word.load(Ordering::Relaxed);
        assert!(CoarseClock.now().as_nanos() >= word >> 1);
    }
}
