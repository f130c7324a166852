//! Getting what is not there yet: for tasks. They share the flights of the threads.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use super::fetch::infallible;
use crate::cache::handle::Cache;
use crate::cache::inner::Inner;
use crate::context::Context;
use crate::flight::FlightError;

impl<K: Hash + Eq + Debug + Clone + 'static, V: Clone, E, S: BuildHasher> Inner<K, V, E, S> {
    /// The key's value, which was not there a moment ago.
    pub(crate) async fn load_async<Q, F, Fut>(
        &self,
        context: Option<&Context>,
        key: &Q,
        ttl: Option<Duration>,
        work: F,
    ) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        let key = key.to_owned();
        self.resolve(self.place(&key, ttl).run_async(&key, context, work).await)
    }
}

impl<K: Hash + Eq + Debug + Clone + 'static, V: Clone, S: BuildHasher> Cache<K, V, Infallible, S> {
    /// [`fetch`](Cache::fetch) for a task: the future of `work` runs inside this one, and waiting
    /// does not block. No runtime is needed, and threads and tasks share one run.
    ///
    /// It does nothing until it is polled. Dropping it while it runs the work hands the run to one
    /// of those that wait, which begins its own work;
    /// [`try_fetch_detached`](Cache::try_fetch_detached) is for loads that should go on.
    ///
    /// # Panics
    /// As [`fetch`](Cache::fetch).
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// let cache = docache::Cache::<String, usize>::new(100);
    /// let value = std::pin::pin!(cache.fetch_async("key", || async { 3 }));
    /// assert_eq!(value.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(3));
    /// ```
    pub async fn fetch_async<Q, F, Fut>(&self, key: &Q, work: F) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce() -> Fut,
        Fut: Future<Output = V>,
    {
        match self.get(key) {
            Some(value) => value,
            None => infallible(
                self.inner.load_async(None, key, None, || async { Ok(work().await) }).await,
            ),
        }
    }

    /// [`fetch_async`](Cache::fetch_async); what `work` returns lives as long as this says.
    ///
    /// # Panics
    /// As [`fetch`](Cache::fetch).
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// use std::time::Duration;
    /// let cache = docache::Cache::<u64, usize>::new(100);
    /// let value =
    ///     std::pin::pin!(cache.fetch_with_ttl_async(&1, Duration::from_secs(5), || async { 3 }));
    /// assert_eq!(value.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(3));
    /// ```
    pub async fn fetch_with_ttl_async<Q, F, Fut>(&self, key: &Q, ttl: Duration, work: F) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce() -> Fut,
        Fut: Future<Output = V>,
    {
        match self.get(key) {
            Some(value) => value,
            None => infallible(
                self.inner.load_async(None, key, Some(ttl), || async { Ok(work().await) }).await,
            ),
        }
    }
}

impl<K: Hash + Eq + Debug + Clone + 'static, V: Clone, E, S: BuildHasher> Cache<K, V, E, S> {
    /// [`try_fetch`](Cache::try_fetch) for a task; see [`fetch_async`](Cache::fetch_async).
    ///
    /// # Errors
    /// As [`try_fetch`](Cache::try_fetch).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// let ports = docache::Cache::<String, u16, std::num::ParseIntError>::builder().build()?;
    /// let port = std::pin::pin!(ports.try_fetch_async("80", || async { "80".parse() }));
    /// assert!(matches!(port.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(80))));
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub async fn try_fetch_async<Q, F, Fut>(&self, key: &Q, work: F) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => self.inner.load_async(None, key, None, work).await,
        }
    }

    /// [`try_fetch_async`](Cache::try_fetch_async); what `work` returns lives as long as this says.
    ///
    /// # Errors
    /// As [`try_fetch`](Cache::try_fetch).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// use std::time::Duration;
    /// let ports = docache::Cache::<String, u16, std::num::ParseIntError>::builder().build()?;
    /// let ttl = Duration::from_secs(5);
    /// let parse = || async { "80".parse() };
    /// let port = std::pin::pin!(ports.try_fetch_with_ttl_async("80", ttl, parse));
    /// assert!(matches!(port.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(80))));
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub async fn try_fetch_with_ttl_async<Q, F, Fut>(
        &self,
        key: &Q,
        ttl: Duration,
        work: F,
    ) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => self.inner.load_async(None, key, Some(ttl), work).await,
        }
    }

    /// [`try_fetch_in`](Cache::try_fetch_in) for a task.
    ///
    /// # Errors
    /// As [`try_fetch_in`](Cache::try_fetch_in).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// let ports = docache::Cache::<String, u16, std::num::ParseIntError>::builder().build()?;
    /// let context = docache::Context::new();
    /// let parse = || async { "80".parse() };
    /// let port = std::pin::pin!(ports.try_fetch_async_in(&context, "80", parse));
    /// assert!(matches!(port.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(80))));
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub async fn try_fetch_async_in<Q, F, Fut>(
        &self,
        context: &Context,
        key: &Q,
        work: F,
    ) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => self.inner.load_async(Some(context), key, None, work).await,
        }
    }
}
