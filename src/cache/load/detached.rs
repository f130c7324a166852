//! Loads that outlive those who asked for them.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use super::options::{FetchOptions, Loaded, WaitLimit};
#[cfg(doc)]
use crate::cache::handle::Cache;
use crate::cache::key::FetchKey;
use crate::context::until_armed;
use crate::error::{Error, ErrorKind, panic_message};
use crate::flight::FlightError;
use crate::lock::striped::{self, Order, Striped};

type Fetched<V, E> = Result<V, FlightError<E>>;

/// Where a spawned load leaves its outcome for the one who asked.
struct Oneshot<V, E>(Striped<State<V, E>>);

struct State<V, E> {
    outcome: Option<Fetched<V, E>>,
    waker: Option<Waker>,
}

impl<V, E> Oneshot<V, E> {
    fn send(&self, outcome: Fetched<V, E>) {
        let mut state = self.0.lock();
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The side of the load: if the executor drops the load, it says so.
struct Sender<V, E>(Option<Arc<Oneshot<V, E>>>);

impl<V, E> Sender<V, E> {
    fn send(&mut self, outcome: Fetched<V, E>) {
        if let Some(oneshot) = self.0.take() {
            oneshot.send(outcome);
        }
    }
}

impl<V, E> Drop for Sender<V, E> {
    fn drop(&mut self) {
        let dropped = Error::new(ErrorKind::Closed, "the load was dropped by its executor");
        self.send(Err(FlightError::Left(dropped)));
    }
}

/// What is spawned. A panic of the work goes to the caller as an error, and on to the executor.
struct DetachedLoad<F, V, E> {
    load: Pin<Box<F>>,
    sender: Sender<V, E>,
}

impl<F: Future<Output = Fetched<V, E>>, V, E> Future for DetachedLoad<F, V, E> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = &mut *self;
        match catch_unwind(AssertUnwindSafe(|| this.load.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(fetched)) => {
                this.sender.send(fetched);
                Poll::Ready(())
            }
            Err(payload) => {
                this.sender.send(Err(FlightError::Panicked(panic_message(&*payload).into())));
                resume_unwind(payload)
            }
        }
    }
}

/// The side of the caller.
struct Receiver<V, E>(Arc<Oneshot<V, E>>);

impl<V, E> Future for Receiver<V, E> {
    type Output = Fetched<V, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        // Cloned, and the one before dropped, without the lock.
        let waker = cx.waker().clone();
        let mut state = self.0.0.lock();
        match state.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                let before = state.waker.replace(waker);
                drop(state);
                drop(before);
                Poll::Pending
            }
        }
    }
}

/// [Options](FetchOptions) for a load that outlives its caller; see [`FetchOptions::detached`].
///
/// ```
/// # use std::task::{Poll, Waker};
/// let cache = docache::Cache::<u64, u32>::new(100);
/// let mut spawned = None;
/// let detached = cache.options().detached(|load| spawned = Some(load));
/// let fetched = std::pin::pin!(detached.try_fetch_async(1, || async { Ok(10) }));
/// assert!(fetched.poll(&mut std::task::Context::from_waker(Waker::noop())).is_pending());
/// ```
#[must_use = "options do nothing until something is fetched"]
pub struct DetachedFetch<'c, K, V, E, S, L, P, X> {
    options: FetchOptions<'c, K, V, E, S, L, P>,
    spawn: X,
}

impl<'c, K, V, E, S, L, P> FetchOptions<'c, K, V, E, S, L, P> {
    /// On a miss the load is given to `spawn`, and so goes on when the caller leaves, by its
    /// context or since its future is dropped: the value will be in the cache for the next one.
    ///
    /// `spawn` is any executor's: `|load| drop(tokio::spawn(load))`, for one. What this returns has
    /// one call, [`try_fetch_async`](DetachedFetch::try_fetch_async): the executor may drop the
    /// load, so also work that cannot fail returns `Ok(value)`.
    ///
    /// A thread drives it with any `block_on`, and the load on another thread:
    ///
    /// ```
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let mut future = std::pin::pin!(future);
    /// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     loop {
    /// #         if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
    /// #             return output;
    /// #         }
    /// #         std::thread::yield_now();
    /// #     }
    /// # }
    /// use std::time::Duration;
    /// let cache = docache::Cache::<String, u32>::new(100);
    /// let context = docache::Context::new().with_timeout(Duration::from_millis(10));
    /// let (answer, asked) = std::sync::mpsc::channel();
    /// let slow = || async move { Ok(asked.recv().unwrap_or_default()) };
    /// let detached = cache
    ///     .options()
    ///     .context(&context)
    ///     .detached(|load| drop(std::thread::spawn(|| block_on(load))));
    /// let fetched = block_on(detached.try_fetch_async("ada", slow));
    /// assert!(fetched.unwrap_err().is_timeout());
    /// answer.send(36).unwrap();
    /// assert_eq!(cache.fetch("ada", || unreachable!("it is being loaded")), 36);
    /// ```
    #[doc(alias = "background")]
    #[doc(alias = "spawn")]
    pub fn detached<X>(self, spawn: X) -> DetachedFetch<'c, K, V, E, S, L, P, X>
    where
        X: FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>),
    {
        DetachedFetch { options: self, spawn }
    }
}

impl<K, V, E, S, L, P, X> DetachedFetch<'_, K, V, E, S, L, P, X>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
    L: Loaded<V> + Send + 'static,
    P: WaitLimit,
    X: FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>),
{
    /// [`Cache::try_fetch_async`] with these options.
    ///
    /// # Errors
    /// As [`FetchOptions::try_fetch`]; [`Panicked`](FlightError::Panicked) also if `work` panics,
    /// which happens on the executor, and [`Left`](FlightError::Left) with an error of kind
    /// [`Closed`](ErrorKind::Closed) if the executor drops the load.
    ///
    /// ```
    /// use docache::{Cache, Context, FlightError};
    /// use std::task::{Poll, Waker};
    /// let cache = Cache::<u64, u32>::new(100);
    /// let context = Context::new();
    /// let mut spawned = None;
    /// let mut task = std::task::Context::from_waker(Waker::noop());
    /// {
    ///     let detached = cache.options().context(&context).detached(|load| spawned = Some(load));
    ///     let fetched = std::pin::pin!(detached.try_fetch_async(1, || async { Ok(10) }));
    ///     context.cancel();
    ///     assert!(matches!(fetched.poll(&mut task), Poll::Ready(Err(FlightError::Left(_)))));
    /// }
    /// assert!(spawned.unwrap().as_mut().poll(&mut task).is_ready());
    /// assert_eq!(cache.get(&1), Some(10));
    /// ```
    pub async fn try_fetch_async<Q, F, Fut>(self, key: Q, work: F) -> Result<V, FlightError<E>>
    where
        Q: FetchKey<K>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
    {
        let key = match self.options.get_or_key(key) {
            Ok(value) => return Ok(value),
            Err(key) => key,
        };
        let FetchOptions { cache, ttl, wait_limit, .. } = self.options;
        striped::watch();
        let state = State { outcome: None, waker: None };
        let oneshot = Arc::new(Oneshot(Striped::new(Order::Outer, state)));
        let sender = Sender(Some(oneshot.clone()));
        let cache = cache.clone();
        let load = async move { cache.inner.load_async(key, ttl, None, work).await };
        (self.spawn)(Box::pin(DetachedLoad { load: Box::pin(load), sender }));
        let Some(context) = wait_limit.context() else { return Receiver(oneshot).await };
        match until_armed(Receiver(oneshot), context).await {
            Some(outcome) => outcome,
            None => Err(FlightError::Left(
                context.error().unwrap_or_else(|| Error::timeout("the load")),
            )),
        }
    }
}

impl<K, V, E, S, L, P: WaitLimit, X> fmt::Debug for DetachedFetch<'_, K, V, E, S, L, P, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachedFetch").field("options", &self.options).finish_non_exhaustive()
    }
}
