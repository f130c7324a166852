//! What recurring work runs on that has no thread of its own.
//!
//! [`Job`] is the one side of it and [`Jobs`] the other: who has work to do hands in a job, and is
//! called when that is due, and when its waker was woken. Both are nameless outside this crate, so
//! that they can change.
//!
//! # Invariants
//! - ALONE: a job is called by one thread at a time, and no lock is held meanwhile.
//! - HEARD: a job whose waker is woken is called after that, if it is not over. Wake-ups that come
//!   before it is called count as one.

mod steps;

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

pub(crate) use steps::{Stepping, Steps};

use crate::clock::{ClockIdentity, Tick};
use crate::error::Result;

/// Something that calls work when it is due, on threads that many such share:
/// [`run::Scheduler`](crate::run::Scheduler). It cannot be implemented outside this crate.
///
/// ```
/// use docache::{LoopCache, run::Scheduler};
/// use std::time::Duration;
/// let scheduler = Scheduler::builder().build()?;
/// let cache = LoopCache::builder(|| Ok::<_, std::io::Error>(7))
///     .interval(Duration::from_secs(1))
///     .scheduler(&scheduler)
///     .build()?;
/// cache.start()?;
/// assert_eq!(*cache.wait_first(None)?, 7);
/// # Ok::<(), docache::Error>(())
/// ```
pub trait Executor: Jobs {}

/// What an executor does.
pub trait Jobs: fmt::Debug + Send + Sync + 'static {
    /// The executor as something to keep, which keeps it going.
    fn handle(&self) -> Arc<dyn Jobs>;

    /// [`adopt`](Jobs::adopt) for those who do not keep the executor going, such as what alarms
    /// wake: who lets go of it last drops the jobs of others, and a thread that serves alarms must
    /// not.
    fn intake(&self) -> Intake;

    /// Whether the ticks of a clock are those that a job names in [`Next::At`].
    fn tells(&self, clock: ClockIdentity) -> bool;

    /// Takes a job over.
    ///
    /// # Errors
    /// If it cannot be called: the executor is closed, or there is no thread to be had. The job has
    /// then been dropped.
    fn adopt(&self, job: Box<dyn Job>) -> Result<()>;
}

/// See [`Jobs::intake`].
pub(crate) type Intake = Arc<dyn Fn(Box<dyn Job>) -> Result<()> + Send + Sync>;

/// Recurring work.
pub trait Job: Send {
    /// Called once, before all else and by who hands it in: how it can be called out of turn, and
    /// when it is due first.
    fn enlist(&mut self, waker: &Waker) -> Next;

    /// Asks for what [`run`](Job::run) will touch. A lock is held: it must be short, and call no
    /// code of users.
    fn prefetch(&self) {}

    /// Does what is due. `now` is a reading of the executor's clock. A panic is the end of it.
    fn run(&mut self, now: Tick, called: bool) -> Turn;
}

/// When a job is to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At a tick of the executor's clock. [`Tick::MAX`] does not come.
    At(Tick),
    /// At once, after those that are due already.
    AtOnce,
    /// When its waker is woken.
    Called,
    /// Never; it is dropped.
    Over,
}

/// What came of a call.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub(crate) next: Next,
    /// When it ended, if the job has read the executor's clock then.
    pub(crate) ended: Option<Tick>,
}
