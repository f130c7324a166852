//! The timers of real time, which the process has once.
//!
//! They are served by the thread `docache-timer`, which exists only while there are alarms. Without
//! one, callers [`help`]. A task has nobody who waits for it; it naps in its poll and wakes itself
//! ([`nap`]).

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use super::timers::{Held, Owner, Timers};
use super::{Alarm, Clock, SystemClock, Tick};
use crate::housekeeping;
use crate::sync::fork::{self, AcrossFork, AtFork};

/// As many threads set alarms and take them back without waiting for each other.
const SHARDS: usize = 4;

/// A deadline that is no farther off is slept for in one poll.
const NEAR: Duration = Duration::from_millis(100);
/// For others a poll sleeps this long, and wakes its task early.
const NAP: Duration = Duration::from_millis(10);
/// How long after a nap polls do without one, so that many tasks share it.
const NAP_PAUSE: Duration = Duration::from_millis(1);

const THREAD: &str = "docache-timer";

/// Ends the thread that serves the alarms of real time, and waits for it, unless there are any.
/// Whether there is none.
#[cfg(feature = "capi")]
pub(crate) fn dismiss_timer() -> bool {
    housekeeping::finish(THREAD, || timers().dismiss())
}

fn timers() -> &'static Arc<Timers> {
    static REAL: OnceLock<&'static Arc<Timers>> = OnceLock::new();
    let make = || &*Box::leak(Box::new(Arc::new(Timers::new(SHARDS, Some(spawn)))));
    let timers = super::once(&REAL, make);
    // First the handles: `Real` comes by here while one forks, who has the lock of the members.
    housekeeping::watch();
    fork::register_once(&REGISTERED, fork::LockLevel::Time, &Real);
    timers
}

/// Makes the timers, and has a fork see to them. To be called with no lock held.
pub(super) fn prepare() {
    timers();
}

pub(super) fn spawn(timers: Arc<Timers>, dismissals: u64) -> io::Result<()> {
    housekeeping::spawn(THREAD, move || timers.run(dismissals))
}

/// The number of the calling thread's shard.
#[inline]
fn shard() -> usize {
    thread_local!(static MINE: Cell<usize> = const { Cell::new(usize::MAX) });
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    if MINE.get() == usize::MAX {
        MINE.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
    }
    MINE.get()
}

/// Arms an alarm of real time, on [`SystemClock`].
#[inline]
pub(super) fn arm(at: Tick, waker: Waker) -> Alarm {
    let timers = timers();
    let shard = &timers.shards()[shard()];
    Alarm { id: timers.set(shard, at, waker), timers: Owner::Real(shard) }
}

/// Serves the alarms of real time if no thread does. How long the caller may sleep until it should
/// do so again; `None`: a thread serves them. Runs foreign code.
#[inline]
pub(crate) fn help() -> Option<Duration> {
    let timers = timers();
    if timers.are_stranded() { timers.rescue() } else { None }
}

/// Sleeps for a task whose deadline is so far off and whom nobody would wake.
pub(crate) fn nap(left: Duration) {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let since = SystemClock.now().since(Tick::from_nanos(LAST.load(Ordering::Relaxed)));
    if left <= NEAR {
        std::thread::sleep(left);
    } else if since >= NAP_PAUSE {
        std::thread::sleep(NAP);
        LAST.store(SystemClock.now().as_nanos(), Ordering::Relaxed);
    }
}

static REGISTERED: AtomicBool = AtomicBool::new(false);
static HELD: AcrossFork<Held<'static>> = AcrossFork::new();

/// The timers, which are there before this is a member.
struct Real;

impl AtFork for Real {
    fn hold(&self) {
        // SAFETY: it is called before the fork by the thread that forks.
        unsafe { HELD.put(timers().hold()) };
    }

    unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        drop(unsafe { HELD.take() });
    }

    unsafe fn reset_in_child(&self) {
        // SAFETY: the caller's promise.
        if let Some(held) = unsafe { HELD.take() } {
            held.reset_in_child();
        }
    }

    fn revive(&self) {
        help();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_set_alarms_in_turn_in_all_shards_and_each_thread_in_one() {
        let by_thread = || {
            let own = shard();
            assert!(own < SHARDS && (0..10).all(|_| shard() == own));
        };
        by_thread();
        std::thread::spawn(by_thread).join().unwrap();
    }

    #[test]
    fn an_alarm_that_another_thread_drops_is_taken_back() {
        let (far, waker) = (SystemClock.now().after(Duration::from_secs(3600)), Waker::noop());
        let alarms: Vec<Alarm> = (0..2 * SHARDS)
            .map(|_| std::thread::spawn(move || arm(far, waker.clone())).join().unwrap())
            .collect();
        let names: Vec<_> = alarms.iter().map(|alarm| (alarm.timers.clone(), alarm.id)).collect();
        assert!(names.iter().all(|(shard, id)| shard.has(*id)));
        drop(alarms);
        assert!(names.iter().all(|(shard, id)| !shard.has(*id)));
    }
}
