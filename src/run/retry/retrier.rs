//! What an attempt can say about the next.

use std::sync::Arc;
use std::time::Duration;

use super::error::GaveUp;
use crate::clock::{Clock, SystemClock, Tick};
use crate::context::Context;
use crate::lock::striped::{self, Order, Striped};
use crate::run::backoff::Backoff;

/// What holds until somebody says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) backoff: Backoff,
    pub(super) budget: Option<Duration>,
    pub(super) attempts: Option<u64>,
}

/// What has been asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Asks {
    limits: Limits,
    /// For the next wait only.
    delay: Option<Duration>,
    stop: bool,
}

/// Where that is: with the attempt on this thread, or where an attempt that is a future can get at
/// it.
#[derive(Clone, Debug)]
enum Place {
    Here(Asks),
    Shared(Arc<Striped<Asks>>),
}

/// An attempt's handle on the attempts to come; given to what [`Retry`](super::Retry) runs.
///
/// ```
/// use docache::run::{Backoff, retry};
/// use std::time::Duration;
/// let value = retry(|r| {
///     r.set_backoff(Backoff::exponential(Duration::from_micros(10)));
///     if r.iteration() < 3 { Err("not yet") } else { Ok(r.iteration()) }
/// });
/// assert_eq!(value.unwrap(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct Retrier {
    iteration: u64,
    started: Tick,
    context: Option<Context>,
    place: Place,
}

impl Retrier {
    pub(super) fn here(limits: Limits, context: Option<&Context>) -> Retrier {
        let asks = Asks { limits, ..Asks::default() };
        Retrier::new(Place::Here(asks), context)
    }

    pub(super) fn shared(limits: Limits, context: Option<&Context>) -> Retrier {
        let asks = Asks { limits, ..Asks::default() };
        striped::watch();
        let place = Place::Shared(Arc::new(Striped::new(Order::Outer, asks)));
        Retrier::new(place, context)
    }

    fn new(place: Place, context: Option<&Context>) -> Retrier {
        let started = context.map_or_else(|| SystemClock.now(), |context| context.clock().now());
        Retrier { iteration: 0, started, context: context.cloned(), place }
    }

    pub(super) fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    fn now(&self) -> Tick {
        self.context.as_ref().map_or_else(|| SystemClock.now(), |context| context.clock().now())
    }

    fn asks<R>(&mut self, f: impl FnOnce(&mut Asks) -> R) -> R {
        match &mut self.place {
            Place::Here(asks) => f(asks),
            Place::Shared(asks) => f(&mut asks.lock()),
        }
    }

    #[inline]
    fn asked<R>(&self, f: impl FnOnce(&Asks) -> R) -> R {
        match &self.place {
            Place::Here(asks) => f(asks),
            Place::Shared(asks) => f(&asks.lock()),
        }
    }

    /// Why the first attempt, or the next one after its wait, is not to be made.
    #[inline]
    pub(super) fn refuse(&self) -> Option<GaveUp> {
        if let Some(error) = self.context.as_ref().and_then(Context::error) {
            return Some(GaveUp::Context(error));
        }
        let budget = self.asked(|asks| asks.limits.budget)?;
        let deadline = self.started.deadline(budget);
        // The first attempt is always made.
        (self.iteration > 0 && self.now().is_past(deadline)).then_some(GaveUp::Budget)
    }

    /// Another attempt begins.
    pub(super) fn begin(&mut self) {
        self.iteration += 1;
        self.asks(|asks| (asks.delay, asks.stop) = (None, false));
    }

    /// The attempt has failed: how long to wait before the next one.
    pub(super) fn failed(&mut self) -> Result<Duration, GaveUp> {
        let (stop, attempts, budget, asked, backoff) = self.asked(|asks| {
            let Asks { limits, delay, stop } = asks;
            let backoff = limits.backoff.delay(self.iteration);
            (*stop, limits.attempts, limits.budget, *delay, backoff)
        });
        if stop {
            return Err(GaveUp::Stopped);
        }
        if attempts.is_some_and(|attempts| self.iteration >= attempts) {
            return Err(GaveUp::Attempts);
        }
        if let Some(error) = self.context.as_ref().and_then(Context::error) {
            return Err(GaveUp::Context(error));
        }
        let delay = asked.map_or(backoff, |asked| asked.max(backoff));
        if let Some(budget) = budget {
            // Not to wait for what would not come.
            if self.now().after(delay).is_past(self.started.deadline(budget)) {
                return Err(GaveUp::Budget);
            }
        }
        Ok(delay)
    }

    /// What to wait in.
    pub(super) fn wait_in(&mut self) -> &Context {
        self.context.get_or_insert_with(Context::background)
    }

    /// The number of this attempt; the first is 1.
    #[must_use]
    #[doc(alias = "Iteration")]
    #[doc(alias = "attempt")]
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// The next attempt does not begin sooner than after `delay`, such as what a server asks for
    /// with `Retry-After`. It holds for one wait, in which a longer backoff still counts. If that
    /// goes beyond the budget, there is no next attempt.
    ///
    /// ```
    /// use docache::run::retry;
    /// use std::time::{Duration, Instant};
    /// let (start, asked) = (Instant::now(), Duration::from_millis(20));
    /// let done = retry(|r| {
    ///     r.set_delay(asked);
    ///     if r.iteration() == 1 { Err("429 Too Many Requests") } else { Ok(()) }
    /// });
    /// assert!(done.is_ok() && start.elapsed() >= asked);
    /// ```
    #[doc(alias = "SetDelay")]
    #[doc(alias = "Retry-After")]
    pub fn set_delay(&mut self, delay: Duration) {
        self.asks(|asks| asks.delay = Some(delay));
    }

    /// There is to be no other attempt: the error that this one returns is the last. (A success is
    /// one whatever was said.)
    ///
    /// ```
    /// use docache::run::retry;
    /// let error = retry(|r| {
    ///     if r.iteration() == 3 {
    ///         r.stop();
    ///     }
    ///     Err::<(), _>(r.iteration())
    /// });
    /// assert_eq!(error.unwrap_err().into_last(), Some(3));
    /// ```
    #[doc(alias = "Stop")]
    pub fn stop(&mut self) {
        self.asks(|asks| asks.stop = true);
    }

    /// Calls [`stop`](Retrier::stop) and gives back the error, for an attempt whose error would be
    /// the same again.
    ///
    /// ```
    /// use docache::run::retry;
    /// let error = retry(|r| "x".parse::<u32>().map_err(|error| r.permanent(error))).unwrap_err();
    /// assert_eq!(error.attempts(), 1);
    /// ```
    #[must_use = "return the error"]
    #[doc(alias = "Permanent")]
    pub fn permanent<E>(&mut self, error: E) -> E {
        self.stop();
        error
    }

    /// The backoff of this wait and the following ones.
    pub fn set_backoff(&mut self, backoff: Backoff) {
        self.asks(|asks| asks.limits.backoff = backoff);
    }

    /// How much time there is from the beginning of the first attempt; `None`: any.
    /// See [`Retry::budget`](super::Retry::budget).
    pub fn set_budget(&mut self, budget: impl Into<Option<Duration>>) {
        let budget = budget.into();
        self.asks(|asks| asks.limits.budget = budget);
    }

    /// How many attempts there may be; `None`: any number.
    ///
    /// ```
    /// use docache::run::{Backoff, retry};
    /// use std::time::Duration;
    /// let error = retry(|r| {
    ///     r.set_backoff(Backoff::constant(Duration::from_millis(1)));
    ///     r.set_budget(Duration::from_secs(30));
    ///     r.set_max_attempts(4);
    ///     Err::<(), _>("busy")
    /// });
    /// assert_eq!(error.unwrap_err().attempts(), 4);
    /// ```
    pub fn set_max_attempts(&mut self, attempts: impl Into<Option<u64>>) {
        let attempts = attempts.into();
        self.asks(|asks| asks.limits.attempts = attempts);
    }

    /// What is left of the budget now, for a timeout of the attempt's own; `None` if there is no
    /// limit.
    ///
    /// ```
    /// use docache::run::Retry;
    /// use std::time::Duration;
    /// let hour = Duration::from_secs(3600);
    /// let left = Retry::new().budget(hour).run(|r| Ok::<_, ()>(r.remaining().unwrap())).unwrap();
    /// assert!(left <= hour);
    /// ```
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let budget = self.asked(|asks| asks.limits.budget)?;
        Some(self.started.deadline(budget).since(self.now()))
    }
}
