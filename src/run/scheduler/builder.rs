//! The settings of a scheduler.

use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use super::core::Core;
use super::state::Limits;
use super::worker;
use crate::clock::{Clock, ClockIdentity, SystemClock};
use crate::error::{Error, Result};

/// Builds a [`Scheduler`].
///
/// ```
/// use docache::run::Scheduler;
/// let scheduler = Scheduler::builder().workers(4).max_workers(32).name("upkeep").build()?;
/// # Ok::<(), docache::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct SchedulerBuilder {
    workers: usize,
    max_workers: Option<usize>,
    grace: Duration,
    name: String,
    clock: Arc<dyn Clock>,
    identity: Option<ClockIdentity>,
}

impl SchedulerBuilder {
    pub(super) fn new() -> SchedulerBuilder {
        SchedulerBuilder {
            workers: 2,
            max_workers: None,
            grace: Duration::from_millis(20),
            name: worker::THREAD.into(),
            clock: Arc::new(SystemClock),
            identity: Some(ClockIdentity::SYSTEM),
        }
    }

    /// How many threads there are at most while none of them is stuck. Default 2. They are started
    /// when there is work for them.
    pub fn workers(mut self, workers: usize) -> SchedulerBuilder {
        self.workers = workers;
        self
    }

    /// How many threads there may be when others are stuck in calls; at least as many as there are
    /// workers. Default 64, or the number of workers if that is greater. Those above the number of
    /// workers end when they have had nothing to do for a second.
    pub fn max_workers(mut self, workers: usize) -> SchedulerBuilder {
        self.max_workers = Some(workers);
        self
    }

    /// For how long all workers may be in calls while something is due, before they count as stuck
    /// and there is one more. It is at least 1 ns. Default 20 ms.
    pub fn grace(mut self, grace: Duration) -> SchedulerBuilder {
        self.grace = grace;
        self
    }

    /// The name of the threads. Default `docache-sched`. Systems cut thread names (Linux after 15
    /// bytes).
    pub fn name(mut self, name: impl Into<String>) -> SchedulerBuilder {
        self.name = name.into();
        self
    }

    /// The clock by which closures are due, and loop caches that have the same. Default
    /// [`SystemClock`]. The grace is measured in real time in any case.
    pub fn clock(mut self, clock: impl Clock) -> SchedulerBuilder {
        self.identity = ClockIdentity::of(&clock);
        self.clock = Arc::new(clock);
        self
    }

    /// The scheduler. It has no thread yet.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there are no workers, fewer than
    /// that at most, no grace, or if the name is empty or contains a NUL.
    pub fn build(self) -> Result<Scheduler> {
        let (workers, name) = (self.workers, self.name);
        if workers == 0 {
            return Err(Error::invalid_argument("workers", 0, "give at least 1"));
        }
        let max_workers = self.max_workers.unwrap_or(workers.max(64));
        if max_workers < workers {
            let accepted = format!("give at least as many as there are workers, {workers}");
            return Err(Error::invalid_argument("max_workers", max_workers, &accepted));
        }
        if self.grace.is_zero() {
            return Err(Error::invalid_argument("grace", "0ns", "give at least 1ns"));
        }
        if name.is_empty() || name.contains('\0') {
            let accepted = "give a name of at least one character and without NUL";
            return Err(Error::invalid_argument("name", format_args!("{name:?}"), accepted));
        }
        let real = self.identity == Some(ClockIdentity::SYSTEM);
        let limits = Limits { workers, max_workers, grace: self.grace, real };
        Ok(Scheduler::new(Core::new(limits, name, self.clock, self.identity)))
    }
}
