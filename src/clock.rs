//! Time: the [`Clock`] trait, the system's clock, a coarse one for hot paths and a manual one for
//! tests.
//!
//! Every decision in docache is made on a [`Tick`], a reading of a monotonic clock; the wall clock
//! is only reported. All arithmetic on ticks saturates.

mod coarse;
mod manual;
#[cfg(not(docache_loom))]
mod real;
mod timers;
mod wheel;

pub use coarse::CoarseClock;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use coarse::dismiss_ticker;
pub(crate) use coarse::{DEADLINE_UNIT_BITS, MARGIN, META_LOW_BITS, exact, horizon, horizon_of};
pub use manual::ManualClock;

#[cfg(docache_loom)]
mod real {
    //! No real time passes in a model: its alarms do not ring.

    use super::*;

    pub(crate) fn help() -> Option<Duration> {
        None
    }

    pub(crate) fn nap(_: Duration) {}

    pub(super) fn prepare() {}

    pub(super) fn arm(_: Tick, _: Waker) -> Alarm {
        Alarm { timers: Owner::Own(Arc::default()), id: TimerId::NONE }
    }
}

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

#[cfg(not(docache_loom))]
use crate::sync::fork;
use crate::sync::thread::Parker;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use real::dismiss_timer;
pub(crate) use real::{help, nap};
use timers::Owner;
pub(crate) use wheel::{TimerId, Wheel};

/// A reading of a [`Clock`]: nanoseconds since that clock's own origin.
///
/// Ticks of different clocks must not be compared. A tick reaches 584 years; arithmetic saturates
/// there.
///
/// ```
/// use docache::Tick;
/// use std::time::Duration;
/// let tick = Tick::from_nanos(5);
/// assert_eq!(tick.after(Duration::from_nanos(3)).since(tick), Duration::from_nanos(3));
/// assert_eq!(tick.since(Tick::MAX), Duration::ZERO);
/// assert_eq!(tick.after(Duration::MAX), Tick::MAX);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The end of time: a deadline that never comes, not even on a clock that has got there.
    pub const MAX: Tick = Tick(u64::MAX);

    /// The tick this many nanoseconds after the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Tick {
        Tick(nanos)
    }

    /// Nanoseconds since the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This tick plus `duration`, at most [`Tick::MAX`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Tick {
        Tick(self.0.saturating_add(saturating_nanos(duration)))
    }

    /// The deadline of what may take `timeout` from this tick on. [`Tick::MAX`] never comes; a
    /// timeout of zero has come even on a clock that has got there.
    pub(crate) fn deadline(self, timeout: Duration) -> Tick {
        if timeout.is_zero() { self.min(Tick(u64::MAX - 1)) } else { self.after(timeout) }
    }

    /// Whether a deadline has come by this tick.
    pub(crate) fn is_past(self, deadline: Tick) -> bool {
        self >= deadline && deadline != Tick::MAX
    }

    /// The time from `earlier` to this tick, or zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A duration in nanoseconds, at most `u64::MAX`.
#[inline]
pub(crate) fn saturating_nanos(duration: Duration) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    let (secs, nanos) = (duration.as_secs(), u64::from(duration.subsec_nanos()));
    if secs < u64::MAX / SECOND {
        // In this form the compiler sees through a duration that was made of nanoseconds.
        secs * SECOND + nanos
    } else {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A source of time.
///
/// Implement it to drive docache by a clock of your own; the provided methods suit any clock that
/// runs at the pace of real time. The methods must not panic and are called with no lock held.
///
/// ```
/// use docache::{Clock, SystemClock, Tick};
///
/// /// A clock that starts at noon.
/// #[derive(Debug)]
/// struct Noon;
/// impl Clock for Noon {
///     fn now(&self) -> Tick {
///         SystemClock.now().after(std::time::Duration::from_secs(12 * 3600))
///     }
/// }
/// assert!(Noon.now() > SystemClock.now());
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The monotonic time: never less than what an earlier call, on any thread, is known to have
    /// returned.
    fn now(&self) -> Tick;

    /// The wall-clock time, for reports only.
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Asks for one `wake` of `waker` at `at` or later, unless the [`Alarm`] is dropped before.
    /// [`Tick::MAX`] never comes.
    ///
    /// The provided method wakes on a thread named `docache-timer`, which serves all alarms of the
    /// process: what a Waker blocks for, the others are late by. If the system gives no thread, the
    /// wake-up comes from whoever next sets an alarm or waits in this crate, on that thread and
    /// perhaps late, until a thread can be had.
    ///
    /// Alarms that one thread has set ring in the order of their ticks, and within a tick in that
    /// in which they were set. Those of several threads that are due together come in any order.
    fn alarm(&self, at: Tick, waker: Waker) -> Alarm {
        let span = if at == Tick::MAX { Duration::MAX } else { at.since(self.now()) };
        real::arm(SystemClock.now().after(span), waker)
    }

    /// How long, in real time, a thread may sleep on its way to `until`; `None` if real time says
    /// nothing about this clock, so that the sleeper must ask for an [`alarm`](Clock::alarm).
    fn real_time_until(&self, until: Tick) -> Option<Duration> {
        Some(until.since(self.now()))
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Tick {
        (**self).now()
    }

    fn wall(&self) -> SystemTime {
        (**self).wall()
    }

    fn alarm(&self, at: Tick, waker: Waker) -> Alarm {
        (**self).alarm(at, waker)
    }

    fn real_time_until(&self, until: Tick) -> Option<Duration> {
        (**self).real_time_until(until)
    }
}

/// A wake-up that a [`Clock`] owes; dropping it takes the request back.
#[derive(Debug)]
#[must_use = "dropping an alarm takes it back"]
pub struct Alarm {
    timers: Owner,
    id: TimerId,
}

impl Alarm {
    /// Whether it was set to ring in real time and does not any more: it has rung, or the thread
    /// that was at it was lost in a fork.
    #[cfg(not(docache_loom))]
    pub(crate) fn is_spent(&self) -> bool {
        matches!(self.timers, Owner::Real(_)) && !self.timers.has(self.id)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.timers.disarm(self.id);
    }
}

/// Which time a clock tells: two clocks of one identity always read the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockIdentity(Option<*const ()>);

// SAFETY: the pointer is compared and never followed.
unsafe impl Send for ClockIdentity {}
// SAFETY: as above.
unsafe impl Sync for ClockIdentity {}

impl ClockIdentity {
    /// That of [`SystemClock`].
    pub(crate) const SYSTEM: ClockIdentity = ClockIdentity(None);

    /// That of a clock, if it can be known. It says something while the clock is alive.
    pub(crate) fn of<C: Clock>(clock: &C) -> Option<ClockIdentity> {
        let clock = clock as &dyn Any;
        let manual = || clock.downcast_ref::<ManualClock>().map(ManualClock::identity);
        if clock.is::<SystemClock>() { Some(ClockIdentity::SYSTEM) } else { manual() }
    }
}

/// The system's monotonic clock, exact to the nanosecond; about 20 ns a reading.
///
/// ```
/// use docache::{Clock, SystemClock};
/// assert!(SystemClock.now() <= SystemClock.now());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// The origin that every real-time clock of this crate counts from.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    once(&ORIGIN, Instant::now)
}

/// What is made once, and not beside a fork: its child would wait for ever for whoever was at it.
fn once<T: Copy>(place: &OnceLock<T>, make: impl FnOnce() -> T) -> T {
    #[cfg(not(docache_loom))]
    return *place.get().unwrap_or_else(|| fork::exclude(|| place.get_or_init(make)));
    #[cfg(docache_loom)]
    return *place.get_or_init(make);
}

/// Makes what readings of clocks and alarms need, which is to be there before somebody forks. To be
/// called with no lock held.
pub(crate) fn prepare() {
    origin();
    coarse::watch();
    real::prepare();
}

impl Clock for SystemClock {
    fn now(&self) -> Tick {
        Tick(saturating_nanos(Instant::now().saturating_duration_since(origin())))
    }

    fn alarm(&self, at: Tick, waker: Waker) -> Alarm {
        real::arm(at, waker)
    }
}

/// Parks the calling thread, whose place `parker` is, until `until` on `clock`, or until something
/// unparks it; may wake spuriously. `waker` unparks it.
pub(crate) fn park_until(parker: &Parker, clock: &dyn Clock, until: Tick, waker: &Waker) {
    match clock.real_time_until(until) {
        Some(duration) => parker.park_timeout(help().map_or(duration, |again| again.min(duration))),
        None => {
            let _alarm = clock.alarm(until, waker.clone());
            park(parker);
        }
    }
}

/// Parks the calling thread until something unparks it; may wake spuriously.
pub(crate) fn park(parker: &Parker) {
    match help() {
        None => parker.park(),
        Some(again) => parker.park_timeout(again),
    }
}
