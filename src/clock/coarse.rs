//! A clock word kept by one ticking thread, for paths on which 20 ns is too much.
//!
//! # State
//! `WORD` is `nanoseconds << 1 | STOPPED`. `READ` says that somebody looked since the last tick. `glance` is the time of the
//! last tick [in a form of its own](glance_of), or [`STOPPED_GLANCE`]: for those who only want to know whether some moment has come, and look again if it
//! seems so. Nobody notes that it was read, so the ticker may stop meanwhile; then all moments seem to have come.
//!
//! # Invariants
//! - MONOTONE: `WORD` only grows. Readers and the ticker change it by `fetch_max` alone, and the ticker stops by
//!   setting the low bit of the value it last saw, which is the next larger word.
//! - AWAKE: a word without `STOPPED` has a ticker that is awake or has been woken.
//!
//! # Orderings
//! The word is a number and publishes nothing else, so `Relaxed` suffices: a single atomic object is coherent on
//! its own, and so no thread sees it go back. The wake-up goes through a mutex.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::{Clock, SystemClock, Tick};

/// Set in `WORD` while no ticker keeps it.
const STOPPED: u64 = 1;
/// How often the word moves.
const PERIOD: Duration = Duration::from_millis(1);
/// How many ticks nobody has to look at before the ticker sleeps.
const IDLE_TICKS: u32 = 64;

/// The word and the mark share a line of their own: the ticker takes it once a period.
#[repr(align(128))]
struct Shared {
    word: AtomicU64,
    read: AtomicBool,
    glance: AtomicU64,
}

/// What `glance` is while no ticker keeps it: later than everything.
const STOPPED_GLANCE: u64 = u64::MAX;

static SHARED: Shared = Shared {
    word: AtomicU64::new(STOPPED),
    read: AtomicBool::new(false),
    glance: AtomicU64::new(STOPPED_GLANCE),
};

/// The time of the last tick, as [`glance_of`] gives it, or a number that is greater than any time.
pub(crate) fn glance() -> &'static AtomicU64 {
    &SHARED.glance
}

/// Which part of a time is glanced at: units of 2 to the power of this, in nanoseconds.
pub(crate) const GLANCE_UNIT: u32 = 12;
/// How many bits are below it.
pub(crate) const GLANCE_SHIFT: u32 = 16;

/// A time in units of 4,096 ns, above sixteen bits that are set. So a word that has a deadline in these units above sixteen
/// bits of anything is greater if, and only if, the deadline is later.
pub(crate) const fn glance_of(nanos: u64) -> u64 {
    nanos >> GLANCE_UNIT << GLANCE_SHIFT | ((1 << GLANCE_SHIFT) - 1)
}

/// Whether a reader has asked the ticker to go on.
static WANTED: Mutex<bool> = Mutex::new(false);
static WOKEN: Condvar = Condvar::new();

/// A clock of one-millisecond granularity that costs one or two plain loads to read.
///
/// A thread named `docache-clock` moves it, from the first reading on, while it is read. After 64 ms without a
/// reading that thread sleeps and costs nothing; the next reading then pays for one reading of the system's
/// clock and wakes it. A reading is behind [`SystemClock`] by about a millisecond, plus whatever time the system
/// keeps the ticking thread from running. Both count from the same origin.
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
        let word = SHARED.word.load(Ordering::Relaxed);
        if word & STOPPED != 0 {
            return restart();
        }
        if !SHARED.read.load(Ordering::Relaxed) {
            SHARED.read.store(true, Ordering::Relaxed);
        }
        Tick::from_nanos(word >> 1)
    }
}

/// Moves a stopped word to the present and wakes the ticker.
#[cold]
fn restart() -> Tick {
    let present = SystemClock.now();
    if !ticker_exists() {
        return present;
    }
    // First the ticker, then the word (AWAKE).
    *WANTED.lock().unwrap_or_else(PoisonError::into_inner) = true;
    WOKEN.notify_one();
    let word = present.as_nanos() << 1;
    let word = SHARED.word.fetch_max(word, Ordering::Relaxed).max(word);
    Tick::from_nanos(word >> 1)
}

/// Starts the ticker, once. With no thread to be had the word stays stopped and every reading asks the system.
fn ticker_exists() -> bool {
    static TICKER: OnceLock<bool> = OnceLock::new();
    *TICKER.get_or_init(|| std::thread::Builder::new().name("docache-clock".into()).spawn(tick).is_ok())
}

fn tick() {
    loop {
        let mut wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
        while !*wanted {
            wanted = WOKEN.wait(wanted).unwrap_or_else(PoisonError::into_inner);
        }
        *wanted = false;
        drop(wanted);
        let mut unread = 0;
        while unread < IDLE_TICKS {
            let now = SystemClock.now().as_nanos();
            let word = SHARED.word.fetch_max(now << 1, Ordering::Relaxed).max(now << 1);
            // Not behind the word: what has expired by that must not come back.
            SHARED.glance.store(glance_of(word >> 1), Ordering::Relaxed);
            unread = if SHARED.read.swap(false, Ordering::Relaxed) { 0 } else { unread + 1 };
            std::thread::sleep(PERIOD);
        }
        SHARED.glance.store(STOPPED_GLANCE, Ordering::Relaxed);
        SHARED.word.fetch_or(STOPPED, Ordering::Relaxed);
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
    fn it_moves_while_it_is_read() {
        let start = CoarseClock.now();
        while CoarseClock.now() == start {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_glance_moves_with_it_and_never_runs_ahead_but_when_it_stops() {
        let start = glance_of(CoarseClock.now().as_nanos());
        loop {
            CoarseClock.now();
            let glance = glance().load(Ordering::Relaxed);
            if glance == STOPPED_GLANCE {
                continue;
            }
            assert!(glance <= glance_of(SystemClock.now().as_nanos()));
            if glance > start {
                break;
            }
        }
    }

    #[test]
    fn it_stops_when_nobody_looks_and_goes_on_when_somebody_does() {
        while CoarseClock.now() == Tick::default() {}
        let start = SystemClock.now();
        while SHARED.word.load(Ordering::Relaxed) & STOPPED == 0 {
            assert!(SystemClock.now().since(start) < Duration::from_secs(60), "the ticker did not stop");
            std::thread::yield_now();
        }
        let word = SHARED.word.load(Ordering::Relaxed);
        assert!(CoarseClock.now().as_nanos() >= word >> 1);
    }
}
