//! One piece of work.

use std::convert::{Infallible, identity};
use std::fmt;
use std::sync::Arc;

use super::builder::GroupBuilder;
use super::drive::{ErrorStyle, Target};
#[cfg(doc)]
use super::error::FlightError;
use super::error::Shared;
use super::flight_call::RunResult;
use super::infallible::{infallible, value_or_panic};
use super::run_future::RunFuture;
use super::shard::FlightShard;
use crate::context::Context;
use crate::sync::barrier;

/// Callers who want the same thing now share one run of it.
///
/// The first caller *leads*: it runs its closure, on its own thread or in its own task. Those that
/// call before that run has ended *join*: they wait, threads and tasks alike, and get a clone of
/// its outcome; their own closures do not run. A call after that begins a new run: nothing is kept.
/// For work that depends on a key there is [`KeyedGroup`](super::KeyedGroup).
///
/// `T` is cloned for each caller that joined, so it should be cheap to clone, such as an [`Arc`].
/// `E` is the work's error; a group whose work cannot fail has the calls `run…`, any group has
/// `try_run…`. In those, errors are shared as `Arc<E>`.
///
/// # Panics
/// A panic of the leader's closure goes on in the leader's own call. Those that joined get
/// [`FlightError::Panicked`], or panic if their call cannot fail or the group was
/// [built](GroupBuilder::repanic) so. The next call runs again.
///
/// # Cancellation
/// A caller may stop waiting at any time: with a [`Context`] in the calls `…_in`, or by dropping
/// the future. The context of the caller that leads does not stop the run. If the future that leads
/// is dropped, the lead goes to one of those that wait, and that one's own closure runs.
///
/// # Blocking
/// `run` and its like block their thread. In a task use `run_async`. A run that a task leads goes
/// on only while that task is polled; where callers must not depend on one another's polling, let
/// the closure spawn the work and await its end.
///
/// # Re-entry
/// A call from inside the very run that it would join is answered with [`FlightError::Reentrant`],
/// or a panic if it cannot fail. "Inside" means on the same thread, within the closure or within a
/// poll of the future that leads. Work that waits for another thread or task which joins the same
/// run cannot be found out, and waits forever.
///
/// # Cost and progress
/// A call that nobody joins takes a short lock twice: two atomic read-modify-writes, no allocation
/// (but for the `Arc` of an error). Waiting allocates nothing either, but once in the life of a
/// thread that waits, and once in that of a [`Context`] with a deadline that a task waits with. The
/// caller that led wakes one thread, and the woken wake the rest; only when no thread waits does it
/// wake the tasks itself, since a task that was woken need not be polled.
///
/// ```
/// use docache::Group;
/// use std::sync::Arc;
/// static RATES: Group<Arc<Vec<f64>>> = Group::new();
/// let rates = RATES.run(|| Arc::new(vec![1.08, 0.86]));
/// assert_eq!(rates.len(), 2);
/// ```
#[doc(alias = "singleflight")]
pub struct Group<T, E = Infallible> {
    shard: FlightShard<(), T, E>,
    repanic: bool,
}

impl<T, E> Group<T, E> {
    /// A group with no run under way.
    ///
    /// ```
    /// static GROUP: docache::Group<u64> = docache::Group::new();
    /// assert!(!GROUP.in_flight());
    /// ```
    #[must_use]
    #[cfg(not(docache_loom))]
    pub const fn new() -> Group<T, E> {
        Group { shard: FlightShard::new(), repanic: false }
    }

    /// The same, for models.
    #[cfg(docache_loom)]
    pub(crate) fn new() -> Group<T, E> {
        Group::with(false)
    }

    pub(super) fn with(repanic: bool) -> Group<T, E> {
        barrier::prepare();
        Group { shard: FlightShard::new(), repanic }
    }

    /// A builder, for a group with other settings than [`new`](Group::new)'s.
    ///
    /// ```
    /// let group: docache::Group<u8> = docache::Group::builder().repanic(true).build();
    /// assert_eq!(*group.run(|| 1), 1);
    /// ```
    pub fn builder() -> GroupBuilder<Group<T, E>> {
        GroupBuilder::new()
    }

    #[inline]
    fn target(&self) -> Target<&FlightShard<(), T, E>>
    where
        T: Clone,
    {
        let error_style = ErrorStyle { repanic: self.repanic, format_key: |()| Arc::from("()") };
        Target { domain: &self.shard, hash: 0, error_style }
    }

    /// Lets later calls begin a new run, even while one is under way; those that joined it still
    /// get its outcome. Returns whether there was one. Takes a short lock.
    ///
    /// ```
    /// let group = docache::Group::<_>::new();
    /// assert!(!group.forget());
    /// let outer = group.run(|| {
    ///     group.forget();
    ///     *group.run(|| 1) + 1
    /// });
    /// assert_eq!(*outer, 2);
    /// ```
    pub fn forget(&self) -> bool {
        self.shard.forget(0, &())
    }

    /// Whether a run is under way that a call would join. Takes a short lock.
    ///
    /// ```
    /// let group = docache::Group::<_>::new();
    /// assert!(*group.run(|| group.in_flight()));
    /// ```
    pub fn in_flight(&self) -> bool {
        self.shard.flights() > 0
    }
}

impl<T: Clone> Group<T> {
    /// Runs `work`, or waits for the run under way and shares its value.
    ///
    /// # Panics
    /// If `work` panics, if the run that was joined panicked, or if the call comes from inside
    /// `work`.
    ///
    /// ```
    /// let group = docache::Group::new();
    /// assert_eq!(group.run(|| 2 + 2).into_inner(), 4);
    /// ```
    #[doc(alias = "Do")]
    #[inline]
    pub fn run(&self, work: impl FnOnce() -> T) -> Shared<T> {
        value_or_panic(self.target().run(&(), None, || Ok(work())))
    }

    /// [`run`](Group::run) with a context, which limits the wait for a run that this call joins. If
    /// this call leads, its own work runs to its end, past the deadline. If the context is done
    /// beforehand, nothing runs.
    ///
    /// # Errors
    /// All but [`FlightError::Failed`].
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let group = docache::Group::new();
    /// let ctx = docache::Context::new().with_timeout(Duration::from_secs(5));
    /// assert_eq!(*group.run_in(&ctx, || 4)?, 4);
    /// # Ok::<(), docache::FlightError>(())
    /// ```
    #[inline]
    pub fn run_in(&self, context: &Context, work: impl FnOnce() -> T) -> RunResult<T, Infallible> {
        self.target().run(&(), Some(context), || Ok(work()))
    }

    /// Like [`run`](Group::run), for a task: the future of `work` runs inside this one, and waiting
    /// does not block.
    ///
    /// It does nothing until it is polled. See [`Group`] for what dropping it does.
    ///
    /// # Panics
    /// As [`run`](Group::run).
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// let group = docache::Group::new();
    /// let answer = std::pin::pin!(group.run_async(|| async { 4 }));
    /// let polled = answer.poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(polled, Poll::Ready(value) if *value == 4));
    /// ```
    pub fn run_async<F, Fut>(&self, work: F) -> impl Future<Output = Shared<T>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        RunFuture::new((), |()| self.target(), None, || infallible(work()), value_or_panic)
    }

    /// [`run_async`](Group::run_async) with the caller's context.
    ///
    /// # Errors
    /// As [`run_in`](Group::run_in).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// let (group, ctx) = (docache::Group::new(), docache::Context::new());
    /// ctx.cancel();
    /// let answer = std::pin::pin!(group.run_async_in(&ctx, || async { 4 }));
    /// let polled = answer.poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(polled, Poll::Ready(Err(_))));
    /// ```
    pub fn run_async_in<F, Fut>(
        &self,
        context: &Context,
        work: F,
    ) -> impl Future<Output = RunResult<T, Infallible>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        RunFuture::new((), |()| self.target(), Some(context), || infallible(work()), identity)
    }
}

impl<T: Clone, E> Group<T, E> {
    /// Runs `work`, or waits for the run under way and shares its outcome.
    ///
    /// # Errors
    /// [`Failed`](FlightError::Failed), [`Panicked`](FlightError::Panicked) or
    /// [`Reentrant`](FlightError::Reentrant).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// let group = docache::Group::<u16, std::num::ParseIntError>::new();
    /// assert_eq!(*group.try_run(|| "80".parse())?, 80);
    /// # Ok::<(), docache::FlightError<std::num::ParseIntError>>(())
    /// ```
    #[inline]
    pub fn try_run(&self, work: impl FnOnce() -> Result<T, E>) -> RunResult<T, E> {
        self.target().run(&(), None, work)
    }

    /// [`try_run`](Group::try_run) with a context, which limits the wait for a run that this call
    /// joins. If this call leads, its own work runs to its end, past the deadline. If the context
    /// is done beforehand, nothing runs.
    ///
    /// # Errors
    /// Those of [`try_run`](Group::try_run), and [`Left`](FlightError::Left).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// let (group, ctx) =
    ///     (docache::Group::<u16, std::num::ParseIntError>::new(), docache::Context::new());
    /// assert!(group.try_run_in(&ctx, || "many".parse()).unwrap_err().is_failed());
    /// ```
    #[inline]
    pub fn try_run_in(
        &self,
        context: &Context,
        work: impl FnOnce() -> Result<T, E>,
    ) -> RunResult<T, E> {
        self.target().run(&(), Some(context), work)
    }

    /// [`try_run`](Group::try_run) for a task.
    ///
    /// # Errors
    /// As [`try_run`](Group::try_run).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// let group = docache::Group::<u16, std::num::ParseIntError>::new();
    /// let port = std::pin::pin!(group.try_run_async(|| async { "80".parse() }));
    /// let polled = port.poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(polled, Poll::Ready(Ok(port)) if *port == 80));
    /// ```
    pub fn try_run_async<F, Fut>(&self, work: F) -> impl Future<Output = RunResult<T, E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        RunFuture::new((), |()| self.target(), None, work, identity)
    }

    /// [`try_run_in`](Group::try_run_in) for a task.
    ///
    /// # Errors
    /// As [`try_run_in`](Group::try_run_in).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// let group = docache::Group::<u16, std::num::ParseIntError>::new();
    /// let ctx = docache::Context::new();
    /// let port = std::pin::pin!(group.try_run_async_in(&ctx, || async { "80".parse() }));
    /// let polled = port.poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(polled, Poll::Ready(Ok(port)) if *port == 80));
    /// ```
    pub fn try_run_async_in<F, Fut>(
        &self,
        context: &Context,
        work: F,
    ) -> impl Future<Output = RunResult<T, E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        RunFuture::new((), |()| self.target(), Some(context), work, identity)
    }
}

impl<T, E> GroupBuilder<Group<T, E>> {
    /// The group.
    pub fn build(self) -> Group<T, E> {
        Group::with(self.error_style.repanic)
    }
}

#[cfg(not(docache_loom))]
impl<T, E> Default for Group<T, E> {
    fn default() -> Group<T, E> {
        Group::new()
    }
}

impl<T, E> fmt::Debug for Group<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}
