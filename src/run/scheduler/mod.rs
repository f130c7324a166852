//! Many loops and delayed calls on a few threads.
//!
//! From the bottom up: [`jobs`] says where each job is and which one is next, [`state`] what each
//! worker is doing and who looks at the jobs, [`core`] puts these behind one lock, [`worker`] is a
//! thread, and [`requests`] is what all others ask for. Time lies on a timer wheel of the clock's.
//!
//! # Who looks at the clock
//! Of the workers that have nothing to do one is the *leader*: it rests until the first job is due.
//! The others, the *followers*, rest until they are woken. The leader that takes a job does not
//! wake a follower first if that job was short the last time: it will be back before it is missed.
//! Lest it is not, an alarm of the process's own timers *watches*: if nobody has looked at the jobs
//! for the grace, it wakes a follower, or starts a worker. So a call that does not return holds up
//! no job but its own for longer than that.

mod builder;
mod closures;
mod core;
mod jobs;
mod requests;
mod state;
mod stats;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use builder::SchedulerBuilder;
pub use closures::Scheduled;
pub use stats::SchedulerStats;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use worker::THREAD;

use self::core::Core;
use crate::clock::ClockIdentity;
use crate::error::{Error, Result};
use crate::executor::{Executor, Intake, Job, Jobs};

/// Calls loops and closures when they are due, on a few threads that they share.
///
/// A loop cache that was [built with it](crate::LoopCacheBuilder::scheduler) runs on it: ten
/// thousand of them need no more than one thread. A [cache](crate::CacheBuilder::scheduler) can be
/// swept by it, and a [lazy echo cache](crate::echo::LazyEchoCacheBuilder::scheduler) refreshed. A
/// call that takes long delays nobody else while a worker is free, and when all
/// [workers](SchedulerBuilder::workers) have been in such calls for the
/// [grace](SchedulerBuilder::grace), there is one more.
///
/// Clones are handles of one scheduler, and caches that were built with it have one each.
///
/// # Life
/// There is no thread before something is scheduled, and while nothing is due none wakes up.
/// Threads end when nothing has been scheduled for a second. When the last handle is dropped,
/// closures that wait are dropped without being called, calls under way go on to their ends, and
/// then the threads end; dropping a handle waits for nothing, and may happen inside a call. See
/// [`shutdown`](Scheduler::shutdown) for a way that waits.
///
/// # Time
/// A call begins no sooner than it is due. Calls that are due close to each other share a wake-up:
/// where there are many, one begins up to 1.5 ms late. After the process has stood still
/// each loop is called once, not once for each interval that was missed.
///
/// # Panics
/// A closure's panic is contained and [counted](SchedulerStats::panics), and so is that of a
/// destructor. No method panics.
///
/// # Signals and fork
/// The threads block signals as [all threads of this crate](crate#signals) do. In the child of a
/// fork nothing is scheduled: loops that ran count as stopped and can be started again, and
/// closures that waited are neither called nor dropped. What caches have due is scheduled anew. The
/// scheduler itself goes on there. A call that forks goes on in both processes.
///
/// ```
/// use docache::{LoopCache, run::Scheduler};
/// use std::time::Duration;
///
/// let scheduler = Scheduler::builder().workers(2).build()?;
/// let caches: Vec<LoopCache<usize>> = (0..1_000)
///     .map(|i| {
///         LoopCache::builder(move || Ok::<_, std::io::Error>(i))
///             .interval(Duration::from_secs(1))
///             .scheduler(&scheduler)
///             .build()
///     })
///     .collect::<Result<_, _>>()?;
/// for cache in &caches {
///     cache.start()?;
/// }
/// assert_eq!(*caches[999].wait_first(Duration::from_secs(10))?, 999);
/// assert!(scheduler.stats().workers <= 2);
/// # Ok::<(), docache::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias = "timer")]
#[doc(alias = "ThreadPool")]
#[doc(alias = "DelayQueue")]
pub struct Scheduler(Arc<Handle>);

/// What the handles of a scheduler share: the last one closes it.
struct Handle(Arc<Core>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Scheduler {
    /// A builder: two workers, up to 64 when they are stuck.
    pub fn builder() -> SchedulerBuilder {
        SchedulerBuilder::new()
    }

    fn new(core: Arc<Core>) -> Scheduler {
        Scheduler(Arc::new(Handle(core)))
    }

    /// Has `f` called once after `delay`, on a worker. A delay that is longer than a clock can
    /// tell, such as [`Duration::MAX`], does not come. Takes a short lock; never calls `f` itself.
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed) after a [`shutdown`](Scheduler::shutdown);
    /// [`Internal`](crate::ErrorKind::Internal) if there is no thread and the system gives none.
    /// `f` has then been dropped.
    ///
    /// ```
    /// use docache::run::Scheduler;
    /// use std::{sync::mpsc, time::Duration};
    /// let scheduler = Scheduler::builder().build()?;
    /// let (tell, told) = mpsc::channel();
    /// scheduler.schedule_after(Duration::from_millis(5), move || tell.send("now").unwrap())?;
    /// assert_eq!(told.recv().unwrap(), "now");
    /// # Ok::<(), docache::Error>(())
    /// ```
    #[doc(alias = "delay")]
    #[doc(alias = "after")]
    pub fn schedule_after(
        &self,
        delay: Duration,
        f: impl FnOnce() + Send + 'static,
    ) -> Result<Scheduled> {
        let core = &self.0.0;
        let id = core.insert(Box::new(closures::Once(Some(f))), core.now().deadline(delay))?;
        Ok(Scheduled::new(core, id))
    }

    /// The counters. Takes a short lock.
    #[must_use]
    pub fn stats(&self) -> SchedulerStats {
        self.0.0.stats()
    }

    /// Ends the scheduler for all its handles and waits for the calls under way: after that it
    /// calls nothing. Closures that wait are dropped, and loops that run on it stop; these can be
    /// started no more. Caches that it swept or refreshed have threads of their own from then on.
    /// Called from inside a call of its own it does not wait.
    ///
    /// ```
    /// # use docache::run::Scheduler;
    /// # use std::time::Duration;
    /// let scheduler = Scheduler::builder().build()?;
    /// let waits = scheduler.schedule_after(Duration::from_secs(3600), || unreachable!())?;
    /// scheduler.shutdown();
    /// assert!(!waits.is_waiting());
    /// let refused = scheduler.schedule_after(Duration::ZERO, || ()).unwrap_err();
    /// assert!(refused.is_closed());
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn shutdown(&self) {
        self.0.0.close();
        self.0.0.wait_until_quiet(None);
    }

    /// Like [`shutdown`](Scheduler::shutdown), but waits no longer than `timeout`, in real time.
    ///
    /// # Errors
    /// [`Timeout`](crate::ErrorKind::Timeout) if a call is still under way then. The scheduler has
    /// ended all the same: nothing else is called.
    ///
    /// ```
    /// # use docache::run::Scheduler;
    /// # use std::time::Duration;
    /// let scheduler = Scheduler::builder().build()?;
    /// scheduler.schedule_after(Duration::ZERO, || println!("short"))?;
    /// scheduler.shutdown_within(Duration::from_secs(10))?;
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn shutdown_within(&self, timeout: Duration) -> Result<()> {
        self.0.0.close();
        if self.0.0.wait_until_quiet(Some(timeout)) {
            return Ok(());
        }
        Err(Error::timeout("a call is still under way; nothing else will be called"))
    }

    /// [`shutdown`](Scheduler::shutdown) without the wait.
    #[cfg(feature = "capi")]
    pub(crate) fn close(&self) {
        self.0.0.close();
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("name", &self.0.0.name)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Executor for Scheduler {}

impl Jobs for Scheduler {
    fn handle(&self) -> Arc<dyn Jobs> {
        Arc::new(self.clone())
    }

    fn intake(&self) -> Intake {
        let core = Arc::downgrade(&self.0.0);
        Arc::new(move |job| match core.upgrade() {
            Some(core) => core.adopt(job),
            None => requests::refuse(job),
        })
    }

    fn tells(&self, clock: ClockIdentity) -> bool {
        self.0.0.identity == Some(clock)
    }

    fn adopt(&self, job: Box<dyn Job>) -> Result<()> {
        self.0.0.adopt(job)
    }
}

#[cfg(all(test, docache_loom))]
mod model;
#[cfg(all(test, not(docache_loom)))]
mod tests;
