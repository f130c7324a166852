//! Getting what is not there yet, for threads and for tasks: they share flights.

use std::convert::Infallible;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use super::options::{FetchOptions, Loaded, WaitLimit};
use crate::cache::handle::Cache;
use crate::cache::inner::Inner;
use crate::cache::key::FetchKey;
use crate::context::Context;
use crate::flight::{FlightError, RunFuture, value_or_panic};

impl<K: Hash + Eq + Clone, V: Clone, E, S: BuildHasher> Inner<K, V, E, S> {
    /// The key's value, which was not there a moment ago, for a task.
    pub(super) fn load_async<L, F, Fut>(
        &self,
        (hash, key): (u64, K),
        ttl: Option<Duration>,
        context: Option<&Context>,
        work: F,
    ) -> impl Future<Output = Result<V, FlightError<E>>>
    where
        K: 'static,
        L: Loaded<V>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<L, E>>,
    {
        let target = move |_: &K| self.target(hash, ttl);
        RunFuture::new(key, target, context, work, |result| self.resolve(result))
    }
}

impl<K, V, E, S, L, P> FetchOptions<'_, K, V, E, S, L, P>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
    L: Loaded<V>,
    P: WaitLimit,
{
    /// The key's value, or the key, with its hash, for the load of it.
    #[inline(always)]
    pub(super) fn get_or_key<Q: FetchKey<K>>(&self, key: Q) -> Result<V, (u64, K)> {
        let found = self.cache.inner.get_or_hash(key.query());
        found.map_err(|hash| (hash, key.into_key()))
    }

    /// The key's value, which was not there a moment ago.
    #[inline(never)]
    fn load(
        &self,
        (hash, key): (u64, K),
        work: impl FnOnce() -> Result<L, E>,
    ) -> Result<V, FlightError<E>> {
        let (inner, context) = (&*self.cache.inner, self.wait_limit.context());
        let target = inner.target(hash, self.ttl);
        target.run_then(&key, (context, None), work, |result| inner.resolve(result))
    }

    /// [`Cache::try_fetch`] with these options.
    ///
    /// # Errors
    /// As [`Cache::try_fetch`], and [`Left`](FlightError::Left) with a
    /// [context](FetchOptions::context).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// let ports = docache::Cache::<String, u16, std::num::ParseIntError>::builder().build()?;
    /// let context = docache::Context::new();
    /// assert_eq!(ports.options().context(&context).try_fetch("80", || "80".parse())?, 80);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn try_fetch<Q>(
        self,
        key: Q,
        work: impl FnOnce() -> Result<L, E>,
    ) -> Result<V, FlightError<E>>
    where
        Q: FetchKey<K>,
    {
        match self.get_or_key(key) {
            Ok(value) => Ok(value),
            Err(key) => self.load(key, work),
        }
    }

    /// [`Cache::try_fetch_async`] with these options.
    ///
    /// # Errors
    /// As [`try_fetch`](FetchOptions::try_fetch).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// use std::time::Duration;
    /// let ports = docache::Cache::<String, u16, std::num::ParseIntError>::builder().build()?;
    /// let short = ports.options().ttl(Duration::from_secs(5));
    /// let port = std::pin::pin!(short.try_fetch_async("80", || async { "80".parse() }));
    /// assert!(matches!(port.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(80))));
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub async fn try_fetch_async<Q, F, Fut>(self, key: Q, work: F) -> Result<V, FlightError<E>>
    where
        Q: FetchKey<K>,
        K: 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<L, E>>,
    {
        match self.get_or_key(key) {
            Ok(value) => Ok(value),
            Err(key) => {
                let context = self.wait_limit.context();
                self.cache.inner.load_async(key, self.ttl, context, work).await
            }
        }
    }
}

impl<K, V, S, L> FetchOptions<'_, K, V, Infallible, S, L>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
    L: Loaded<V>,
{
    /// [`Cache::fetch`] with these options.
    ///
    /// # Panics
    /// As [`Cache::fetch`].
    ///
    /// ```
    /// use std::time::Duration;
    /// let cache = docache::Cache::<String, usize>::new(100);
    /// assert_eq!(cache.options().ttl(Duration::from_secs(5)).fetch("key", || 3), 3);
    /// ```
    #[inline(always)]
    pub fn fetch<Q>(self, key: Q, work: impl FnOnce() -> L) -> V
    where
        Q: FetchKey<K>,
    {
        // Not by `try_fetch`, which would move the value once more.
        match self.get_or_key(key) {
            Ok(value) => value,
            Err(key) => value_or_panic(self.load(key, || Ok(work()))),
        }
    }

    /// [`Cache::fetch_async`] with these options.
    ///
    /// # Panics
    /// As [`Cache::fetch`].
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// use std::time::Duration;
    /// let cache = docache::Cache::<u64, usize>::new(100);
    /// let short = cache.options().ttl(Duration::from_secs(5));
    /// let value = std::pin::pin!(short.fetch_async(1, || async { 3 }));
    /// assert_eq!(value.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(3));
    /// ```
    pub async fn fetch_async<Q, F, Fut>(self, key: Q, work: F) -> V
    where
        Q: FetchKey<K>,
        K: 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = L>,
    {
        value_or_panic(self.try_fetch_async(key, || async { Ok(work().await) }).await)
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Cache<K, V, Infallible, S> {
    /// The key's value; if it is not there, `work` is run for it, once, however many callers ask:
    /// the others wait and share what it returns.
    ///
    /// A hit is a [`get`](Cache::get); a miss blocks the thread, so in a task use
    /// [`fetch_async`](Cache::fetch_async). On a miss the key is cloned twice (once if it was
    /// passed by value) and the value once; nothing else is allocated. If the key is written,
    /// removed or the cache cleared while `work` runs, its value goes to those who had asked by
    /// then, and is not kept; who asks later gets another load.
    ///
    /// For a time to live, a deadline, or a load that goes on without its caller there are
    /// [`options`](Cache::options).
    ///
    /// Up to eight copies of a value may lie on the stack meanwhile: box those of a few hundred KiB
    /// and more.
    ///
    /// `work` may use the cache, and fetch other keys. Two loads that each fetch the other's key,
    /// in one cache or in two, on two threads, wait for each other for ever; that is not found out.
    ///
    /// # Panics
    /// If `work` panics, if the run that was joined panicked, or if the call comes from inside the
    /// run of the same key.
    ///
    /// ```
    /// let cache = docache::Cache::<String, usize>::new(100);
    /// assert_eq!(cache.fetch("key", || 3), 3);
    /// assert_eq!(cache.fetch("key", || unreachable!("it is there")), 3);
    /// ```
    #[doc(alias = "get_with")]
    #[doc(alias = "get_with_by_ref")]
    #[doc(alias = "get_or_insert_with")]
    #[doc(alias = "get_value_or_guard")]
    #[doc(alias = "memoize")]
    #[doc(alias = "stampede")]
    #[doc(alias = "entry")]
    #[doc(alias = "or_insert_with")]
    #[doc(alias = "Do")]
    #[inline]
    pub fn fetch<Q>(&self, key: Q, work: impl FnOnce() -> V) -> V
    where
        Q: FetchKey<K>,
    {
        self.options().fetch(key, work)
    }

    /// [`fetch`](Cache::fetch) for a task: the future of `work` runs inside this one, and waiting
    /// does not block. No runtime is needed, and threads and tasks share one run.
    ///
    /// It does nothing until it is polled. Dropping it while it runs the work hands the run to one
    /// of those that wait, which begins its own work; a load that should go on is
    /// [detached](FetchOptions::detached).
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
    pub async fn fetch_async<Q, F, Fut>(&self, key: Q, work: F) -> V
    where
        Q: FetchKey<K>,
        K: 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = V>,
    {
        self.options().fetch_async(key, work).await
    }
}

impl<K: Hash + Eq + Clone, V: Clone, E, S: BuildHasher> Cache<K, V, E, S> {
    /// [`fetch`](Cache::fetch) for work that may fail. An error goes to all who wait for it, and is
    /// cached only if the builder was given a [`negative_ttl`](crate::CacheBuilder::negative_ttl):
    /// else the next call runs its own work.
    ///
    /// # Errors
    /// [`Failed`](FlightError::Failed), [`Panicked`](FlightError::Panicked) or
    /// [`Reentrant`](FlightError::Reentrant).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// let ports = docache::Cache::<String, u16, ParseIntError>::builder().build()?;
    /// assert_eq!(ports.try_fetch("80", || "80".parse())?, 80);
    /// assert!(ports.try_fetch("many", || "many".parse()).unwrap_err().is_failed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "try_get_with")]
    #[doc(alias = "get_or_insert_with")]
    #[doc(alias = "or_try_insert_with")]
    #[inline]
    pub fn try_fetch<Q>(
        &self,
        key: Q,
        work: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, FlightError<E>>
    where
        Q: FetchKey<K>,
    {
        self.options().try_fetch(key, work)
    }

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
    #[doc(alias = "get_or_insert_async")]
    pub async fn try_fetch_async<Q, F, Fut>(&self, key: Q, work: F) -> Result<V, FlightError<E>>
    where
        Q: FetchKey<K>,
        K: 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        self.options().try_fetch_async(key, work).await
    }
}
