//! Calls that are made again when they fail.
//!
//! There is no shared state: a retry lies in its caller's frame, or in its future, and so does what
//! the attempts ask for, except that attempts which are futures reach it through a lock.
//!
//! # Rules
//! - LATER: an attempt never begins sooner after the one before than was asked for, nor than the
//!   backoff says.
//! - WITHIN: none but the first begins when the budget is spent or the context done. A wait that
//!   would end too late is not begun; one that is under way when the context is done ends at once.

mod error;
mod retrier;
mod scheduled;

pub use error::{GaveUp, RetryError};
pub use retrier::Retrier;

use std::time::Duration;

use self::retrier::Limits;
use self::scheduled::RetryJob;
use super::backoff::Backoff;
use crate::context::Context;
use crate::executor::Executor;

/// Calls `attempt` until it succeeds, at once and without end unless the attempt says otherwise
/// through its [`Retrier`]. Blocks the calling thread. [`Retry`] says it beforehand.
///
/// # Errors
/// With the last error, if the attempt called [`stop`](Retrier::stop), or if a limit that it set is
/// reached.
///
/// # Panics
/// If the attempt does; it is not made again then.
///
/// ```
/// use docache::run::{Backoff, retry};
/// use std::time::Duration;
/// let text = retry(|r| {
///     r.set_backoff(Backoff::exponential(Duration::from_millis(1)));
///     r.set_max_attempts(5);
///     std::fs::read_to_string("/proc/version")
/// })?;
/// assert!(!text.is_empty());
/// # Ok::<(), docache::run::RetryError<std::io::Error>>(())
/// ```
pub fn retry<T, E>(attempt: impl FnMut(&mut Retrier) -> Result<T, E>) -> Result<T, RetryError<E>> {
    Retry::new().run(attempt)
}

/// The same in a task: `attempt` makes a future each time, which owns a [`Retrier`] of the same
/// retry. Needs no runtime; a thread named `docache-timer` wakes the task after a wait.
///
/// Dropping the future ends the retry. A future that always fails without ever waiting, retried
/// without a delay, does not let its executor go on.
///
/// # Errors
/// As [`retry`].
///
/// # Panics
/// If the attempt does.
///
/// ```
/// use docache::run::retry_async;
/// use std::time::Duration;
///
/// # async fn query() -> Result<u32, &'static str> { Ok(7) }
/// #[tokio::main]
/// async fn main() {
///     let answer = retry_async(|mut r| async move {
///         let answer = query().await;
///         r.set_delay(Duration::from_millis(5));
///         answer
///     });
///     assert_eq!(answer.await.unwrap(), 7);
/// }
/// ```
pub async fn retry_async<T, E, F: Future<Output = Result<T, E>>>(
    attempt: impl FnMut(Retrier) -> F,
) -> Result<T, RetryError<E>> {
    Retry::new().run_async(attempt).await
}

/// How a call is to be retried: the backoff, the limits, the context. Can be used many times.
///
/// ```
/// use docache::run::{Backoff, Retry};
/// use std::time::Duration;
/// let policy = Retry::new()
///     .backoff(Backoff::exponential(Duration::from_millis(1)).capped(Duration::from_secs(1)))
///     .max_attempts(10)
///     .budget(Duration::from_secs(30));
/// let mut replies = ["busy", "busy", "ok"].into_iter();
/// let reply = policy.run(|_| replies.next().filter(|reply| *reply == "ok").ok_or("busy"));
/// assert_eq!(reply.unwrap(), "ok");
/// ```
#[derive(Clone, Debug, Default)]
#[doc(alias = "Retryable")]
#[doc(alias = "BackoffBuilder")]
#[must_use = "a policy does nothing until it runs something"]
pub struct Retry {
    limits: Limits,
    context: Option<Context>,
}

impl Retry {
    /// At once, any number of times.
    pub fn new() -> Retry {
        Retry::default()
    }

    /// How long to wait between attempts. Default: not at all.
    pub fn backoff(mut self, backoff: Backoff) -> Retry {
        self.limits.backoff = backoff;
        self
    }

    /// How much time there is from the beginning of the first attempt: no other begins when it is
    /// spent, and none is waited for that would. An attempt that is under way is not ended; it can
    /// ask for what [remains](Retrier::remaining). Default `None`: any time.
    ///
    /// ```
    /// use docache::run::{Backoff, GaveUp, Retry};
    /// use std::time::Duration;
    /// let policy = Retry::new()
    ///     .backoff(Backoff::constant(Duration::from_secs(60)))
    ///     .budget(Duration::from_secs(30));
    /// let error = policy.run(|_| Err::<(), _>("busy")).unwrap_err(); // at once
    /// assert!(matches!(error.reason(), GaveUp::Budget));
    /// ```
    #[doc(alias = "with_total_delay")]
    pub fn budget(mut self, budget: impl Into<Option<Duration>>) -> Retry {
        self.limits.budget = budget.into();
        self
    }

    /// How many attempts there may be; the first is made whatever this says. Default `None`: any
    /// number.
    ///
    /// ```
    /// use docache::run::{GaveUp, Retry};
    /// let error = Retry::new().max_attempts(2).run(|_| Err::<(), _>("busy")).unwrap_err();
    /// assert!(matches!(error.reason(), GaveUp::Attempts) && error.attempts() == 2);
    /// ```
    #[doc(alias = "with_max_times")]
    pub fn max_attempts(mut self, attempts: impl Into<Option<u64>>) -> Retry {
        self.limits.attempts = attempts.into();
        self
    }

    /// Ends waiting at once, and all further attempts, when it is done. If it is done already there
    /// is no attempt. Time is that of its clock.
    ///
    /// ```
    /// use docache::{Context, run::{GaveUp, Retry}};
    /// let context = Context::new();
    /// context.cancel();
    /// let error = Retry::new().context(&context).run(|_| Ok::<(), ()>(())).unwrap_err();
    /// assert!(matches!(error.reason(), GaveUp::Context(_)) && error.last().is_none());
    /// ```
    pub fn context(mut self, context: &Context) -> Retry {
        self.context = Some(context.clone());
        self
    }

    /// Calls `attempt` until it succeeds. Blocks the calling thread.
    ///
    /// # Errors
    /// With the last error, if the attempt called [`stop`](Retrier::stop), if the attempts or the
    /// budget are used up, or if the context is done.
    ///
    /// # Panics
    /// If the attempt does; it is not made again then.
    ///
    /// ```
    /// use docache::run::Retry;
    /// let text = Retry::new().max_attempts(3).run(|_| std::fs::read_to_string("/proc/version"))?;
    /// # Ok::<(), docache::run::RetryError<std::io::Error>>(())
    /// ```
    #[doc(alias = "call")]
    pub fn run<T, E>(
        &self,
        mut attempt: impl FnMut(&mut Retrier) -> Result<T, E>,
    ) -> Result<T, RetryError<E>> {
        let mut retrier = Retrier::here(self.limits, self.context.as_ref());
        let mut last = None;
        loop {
            if let Some(reason) = retrier.refuse() {
                return Err(RetryError { last, attempts: retrier.iteration(), reason });
            }
            retrier.begin();
            let error = match attempt(&mut retrier) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match retrier.failed() {
                Ok(Duration::ZERO) => {}
                Ok(delay) => {
                    retrier.wait_in().wait(delay);
                }
                Err(reason) => {
                    let attempts = retrier.iteration();
                    return Err(RetryError { last: Some(error), attempts, reason });
                }
            }
            last = Some(error);
        }
    }

    /// The same in a task; see [`retry_async`].
    ///
    /// # Errors
    /// As [`run`](Retry::run).
    ///
    /// # Panics
    /// If the attempt does.
    ///
    /// ```
    /// use docache::run::Retry;
    /// # #[tokio::main]
    /// # async fn main() {
    /// let policy = Retry::new().max_attempts(2);
    /// let error = policy.run_async(|_| async { Err::<(), _>("busy") }).await.unwrap_err();
    /// assert_eq!(error.attempts(), 2);
    /// # }
    /// ```
    pub async fn run_async<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        mut attempt: impl FnMut(Retrier) -> F,
    ) -> Result<T, RetryError<E>> {
        let mut retrier = Retrier::shared(self.limits, self.context.as_ref());
        let mut last = None;
        loop {
            if let Some(reason) = retrier.refuse() {
                return Err(RetryError { last, attempts: retrier.iteration(), reason });
            }
            retrier.begin();
            let error = match attempt(retrier.clone()).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match retrier.failed() {
                Ok(Duration::ZERO) => {}
                Ok(delay) => retrier.wait_in().with_timeout(delay).cancelled().await,
                Err(reason) => {
                    let attempts = retrier.iteration();
                    return Err(RetryError { last: Some(error), attempts, reason });
                }
            }
            last = Some(error);
        }
    }

    /// The same on a [`Scheduler`](super::Scheduler): the attempts are made on its workers, and no
    /// thread waits between them. `done` is called there once with the outcome. Takes a short lock;
    /// calls neither closure itself.
    ///
    /// If an attempt panics it is not made again, and `done` is dropped without being called; the
    /// panic is [counted](super::SchedulerStats::panics). So is `done` dropped when the scheduler
    /// ends before the retry does.
    ///
    /// # Errors
    /// Those of [`Scheduler::schedule_after`](super::Scheduler::schedule_after). Both closures have
    /// then been dropped.
    ///
    /// ```
    /// use docache::run::{Backoff, Retry, Scheduler};
    /// use std::{sync::mpsc, time::Duration};
    /// let scheduler = Scheduler::builder().build()?;
    /// let policy = Retry::new().backoff(Backoff::constant(Duration::from_millis(1)));
    /// let (tell, told) = mpsc::channel();
    /// policy.spawn_on(
    ///     &scheduler,
    ///     |r| if r.iteration() < 3 { Err("busy") } else { Ok(r.iteration()) },
    ///     move |outcome| tell.send(outcome).unwrap(),
    /// )?;
    /// assert_eq!(told.recv().unwrap().unwrap(), 3);
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn spawn_on<T: 'static, E: Send + 'static>(
        &self,
        scheduler: &impl Executor,
        attempt: impl FnMut(&mut Retrier) -> Result<T, E> + Send + 'static,
        done: impl FnOnce(Result<T, RetryError<E>>) + Send + 'static,
    ) -> crate::error::Result<()> {
        let retrier = Retrier::here(self.limits, self.context.as_ref());
        scheduler.adopt(Box::new(RetryJob::new(retrier, attempt, done)))
    }
}
