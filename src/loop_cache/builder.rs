//! The settings of a loop cache.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::LoopCache;
use super::doer::{Doer, Performs, Work};
use super::settings::{Schedule, Settings};
use super::shared::Shared;
use crate::clock::{Clock, ClockIdentity, SystemClock};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::executor::{Executor, Jobs};
use crate::log::Logger;

/// Builds a [`LoopCache`].
///
/// ```
/// use docache::{LoopCache, Schedule};
/// use std::time::Duration;
/// let cache = LoopCache::builder(|| std::fs::read_to_string("/proc/loadavg"))
///     .interval(Duration::from_secs(1))
///     .schedule(Schedule::FixedRate)
///     .capacity(60)
///     .name("load")
///     .build()?;
/// # Ok::<(), docache::Error>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct LoopCacheBuilder<T> {
    work: Box<dyn Work<T>>,
    interval: Option<Duration>,
    clock_identity: Option<ClockIdentity>,
    settings: Settings,
}

impl<T: Send + Sync + 'static> LoopCacheBuilder<T> {
    pub(super) fn new(doer: impl Doer<Output = T> + Send + 'static) -> LoopCacheBuilder<T> {
        let settings = Settings {
            interval: Duration::MAX,
            capacity: 0,
            name: "docache-loop".into(),
            first_delay: Duration::ZERO,
            jitter: Duration::ZERO,
            schedule: Schedule::FixedDelay,
            logger: None,
            context: Context::background(),
            clock: Arc::new(SystemClock),
            executor: None,
            on_executors_clock: false,
            stateless: false,
        };
        LoopCacheBuilder {
            work: Box::new(Performs(doer)),
            interval: None,
            clock_identity: Some(ClockIdentity::SYSTEM),
            settings,
        }
    }

    /// The time between calls, at least 1 ns. Required.
    pub fn interval(mut self, interval: Duration) -> LoopCacheBuilder<T> {
        self.interval = Some(interval);
        self
    }

    /// How many results a snapshot shows at most. Default 0: only the latest success is kept.
    pub fn capacity(mut self, results: usize) -> LoopCacheBuilder<T> {
        self.settings.capacity = results;
        self
    }

    /// The name of the thread, if it has one of its own, and the target of log records. Default
    /// `docache-loop`. Systems cut thread names (Linux after 15 bytes).
    pub fn name(mut self, name: impl Into<String>) -> LoopCacheBuilder<T> {
        self.settings.name = name.into();
        self
    }

    /// A logger that hears of failures, starts and stops. Default: none.
    pub fn logger(mut self, logger: Logger) -> LoopCacheBuilder<T> {
        self.settings.logger = Some(logger);
        self
    }

    /// How long after a start the first call comes. Default 0: at once.
    pub fn first_delay(mut self, delay: Duration) -> LoopCacheBuilder<T> {
        self.settings.first_delay = delay;
        self
    }

    /// Lengthens each wait by a random time of up to `most`, so that many loops do not beat as one.
    /// Default 0.
    pub fn jitter(mut self, most: Duration) -> LoopCacheBuilder<T> {
        self.settings.jitter = most;
        self
    }

    /// What the interval counts from. Default [`Schedule::FixedDelay`].
    pub fn schedule(mut self, schedule: Schedule) -> LoopCacheBuilder<T> {
        self.settings.schedule = schedule;
        self
    }

    /// The context to live in: once it is done the loop stops and cannot be started again. Default:
    /// none.
    pub fn context(mut self, context: &Context) -> LoopCacheBuilder<T> {
        self.settings.context = context.clone();
        self
    }

    /// The clock to go by. Default [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> LoopCacheBuilder<T> {
        self.clock_identity = ClockIdentity::of(&clock);
        self.settings.clock = Arc::new(clock);
        self
    }

    /// What [`start`](LoopCache::start) runs the loop on: a [`Scheduler`](crate::run::Scheduler),
    /// which many share. Default: a thread of its own.
    ///
    /// The loop behaves as on a thread of its own, but that it may be called on different threads.
    /// The loop cache keeps a handle of the scheduler. [`run`](LoopCache::run) still runs on its
    /// caller's thread.
    ///
    /// A clock other than the scheduler's costs an alarm for each call.
    ///
    /// ```
    /// use docache::{LoopCache, run::Scheduler};
    /// use std::time::Duration;
    /// let scheduler = Scheduler::builder().build()?;
    /// let load = LoopCache::builder(|| std::fs::read_to_string("/proc/loadavg"))
    ///     .interval(Duration::from_millis(100))
    ///     .scheduler(&scheduler)
    ///     .build()?;
    /// load.start()?;
    /// println!("{}", *load.wait_first(Duration::from_secs(10))?);
    /// # Ok::<(), docache::Error>(())
    /// ```
    #[doc(alias = "executor")]
    pub fn scheduler(mut self, scheduler: &impl Executor) -> LoopCacheBuilder<T> {
        self.settings.executor = Some(scheduler.handle());
        self
    }

    /// Says that the Doer has no state of its own, and can be called again in the child of a fork
    /// that fell into its call.
    #[cfg(feature = "capi")]
    pub(crate) fn stateless(mut self) -> LoopCacheBuilder<T> {
        self.settings.stateless = true;
        self
    }

    /// The loop cache, not yet started.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the interval is missing or zero,
    /// or the name is empty or contains a NUL.
    pub fn build(mut self) -> Result<LoopCache<T>> {
        const INTERVAL: &str = "give at least 1ns";
        self.settings.interval = match self.interval {
            None => return Err(Error::invalid_argument("interval", "no value", INTERVAL)),
            Some(Duration::ZERO) => {
                return Err(Error::invalid_argument("interval", "0ns", INTERVAL));
            }
            Some(interval) => interval,
        };
        let name = &self.settings.name;
        if name.is_empty() || name.contains('\0') {
            let accepted = "give a name of at least one character and without NUL";
            return Err(Error::invalid_argument("name", format_args!("{name:?}"), accepted));
        }
        let tells = |executor: &Arc<dyn Jobs>| {
            self.clock_identity.is_some_and(|identity| executor.tells(identity))
        };
        self.settings.on_executors_clock = self.settings.executor.as_ref().is_some_and(tells);
        Ok(LoopCache::new(Shared::new(self.settings, self.work)))
    }
}

impl<T> fmt::Debug for LoopCacheBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopCacheBuilder")
            .field("interval", &self.interval)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
