//! A clock that stands still until it is told to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, SystemTime};

use super::timers::Timers;
use super::{Alarm, Clock, ClockIdentity, Tick, saturating_nanos};

/// A clock for tests: time passes only in [`advance`](ManualClock::advance).
///
/// Clones share one time. The wall clock starts at the Unix epoch and moves along.
///
/// ```
/// use docache::{Clock, LoopCache, ManualClock};
/// use std::time::Duration;
/// let clock = ManualClock::new();
/// let mut calls = 0;
/// let cache = LoopCache::builder(move || {
///     calls += 1;
///     Ok::<_, std::io::Error>(calls)
/// })
/// .interval(Duration::from_secs(3600))
/// .clock(clock.clone())
/// .build()?;
/// cache.start()?;
/// assert_eq!(*cache.wait_first(None)?, 1);
/// clock.advance(Duration::from_secs(3600));
/// cache.changed(1).wait(None)?;
/// assert_eq!(*cache.latest().unwrap(), 2);
/// # Ok::<(), docache::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    now: Arc<AtomicU64>,
    timers: Arc<Timers>,
}

impl ManualClock {
    /// A clock that stands at its origin.
    #[must_use]
    pub fn new() -> ManualClock {
        ManualClock::default()
    }

    /// Clones have one.
    pub(super) fn identity(&self) -> ClockIdentity {
        ClockIdentity(Some(Arc::as_ptr(&self.now).cast()))
    }

    /// Lets `duration` pass and wakes everyone whose alarm is then due, on the calling thread.
    pub fn advance(&self, duration: Duration) {
        let nanos = saturating_nanos(duration);
        // AcqRel: whoever reads the new time sees what happened before it was made, and
        // `fetch_update` never fails.
        let before = self
            .now
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                Some(now.saturating_add(nanos))
            })
            .unwrap_or_else(|now| now);
        self.timers.fire(Tick::from_nanos(before.saturating_add(nanos)));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Tick {
        Tick::from_nanos(self.now.load(Ordering::Acquire))
    }

    fn wall(&self) -> SystemTime {
        let since_epoch = Duration::from_nanos(self.now().as_nanos());
        SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    fn alarm(&self, at: Tick, waker: Waker) -> Alarm {
        let alarm = self.timers.arm(at, waker);
        // An `advance` between the caller's look at the time and the arming has not seen this
        // alarm; the queue's lock orders the two, so either that `fire` sees the alarm or this look
        // sees the new time.
        self.timers.fire(self.now());
        alarm
    }

    fn real_time_until(&self, _: Tick) -> Option<Duration> {
        None
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn alarms_fire_once_when_due_and_never_after_being_dropped() {
        let clock = ManualClock::new();
        let (kept, dropped, late) =
            (Arc::new(Count::default()), Arc::new(Count::default()), Arc::new(Count::default()));
        let alarm = clock.alarm(Tick::from_nanos(10), kept.clone().into());
        drop(clock.alarm(Tick::from_nanos(10), dropped.clone().into()));
        clock.advance(Duration::from_nanos(9));
        assert_eq!(kept.0.load(Ordering::Relaxed), 0);
        clock.advance(Duration::from_nanos(1));
        clock.advance(Duration::from_nanos(100));
        assert_eq!(kept.0.load(Ordering::Relaxed), 1);
        assert_eq!(dropped.0.load(Ordering::Relaxed), 0);
        let past = clock.alarm(Tick::from_nanos(50), late.clone().into());
        assert_eq!(late.0.load(Ordering::Relaxed), 1, "an alarm in the past fires at once");
        drop((alarm, past));
    }

    #[test]
    fn time_saturates() {
        let clock = ManualClock::new();
        clock.advance(Duration::MAX);
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Tick::MAX);
    }
}
