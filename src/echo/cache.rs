//! The echo cache: what is fetched is kept in a store.

#[cfg(all(feature = "capi", not(docache_loom)))]
mod put;

use std::fmt;
use std::sync::Arc;

use super::error::StoreError;
use super::load::flight::{Ask, FetchResult, fetched};
use super::load::inner::Inner;
use super::load::look::Looked;
use super::stats::EchoStats;
use super::store::{AsyncStore, Calls, Store, Tasks, blocking};
use crate::context::Context;

/// Memoizes work over a [store](Store), which many processes may share.
///
/// A fetch looks into the store; what is not there is loaded once, however many ask: callers in one
/// process, threads and tasks alike, share one run, as in a [`KeyedGroup`](crate::KeyedGroup);
/// processes take turns by a lock in the store. The value is in the store before the run ends.
///
/// An `EchoCache` is a handle: its clones are the same cache. `T` is cloned for each caller, so a
/// large value is best an [`Arc`]; `E` is the error of the work. [`fetch`](EchoCache::fetch) is for
/// threads and needs a [`Store`], [`fetch_async`](EchoCache::fetch_async) is for tasks and needs an
/// [`AsyncStore`].
///
/// # When the store fails
/// It fails no fetch that can be computed: the [hook](crate::echo::EchoCacheBuilder::on_warning) is
/// told, the value is computed and returned. A fetch spends no more than the
/// [store budget](crate::echo::EchoCacheBuilder::store_budget) on its store, all its calls taken
/// together, with a store that keeps to its time. See [the module](crate::echo) for the whole
/// table.
///
/// ```
/// use docache::echo::{EchoCache, MemoryStore, Status};
/// let users = EchoCache::<_, String, std::io::Error>::new(MemoryStore::new(1_000));
/// let ada = users.fetch("ada", || Ok("Ada Lovelace".to_owned())).unwrap();
/// assert_eq!((ada.as_str(), ada.status), ("Ada Lovelace", Status::Loaded));
/// let again = users.fetch("ada", || unreachable!("it is there")).unwrap();
/// assert_eq!(again.status, Status::Fresh);
/// ```
pub struct EchoCache<S, T, E> {
    inner: Arc<Inner<S, T, E>>,
}

impl<S, T, E> Clone for EchoCache<S, T, E> {
    fn clone(&self) -> Self {
        EchoCache { inner: self.inner.clone() }
    }
}

impl<S, T, E> EchoCache<S, T, E> {
    pub(super) fn with(inner: Inner<S, T, E>) -> EchoCache<S, T, E> {
        EchoCache { inner: Arc::new(inner) }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.inner.store
    }

    /// What has been counted so far.
    #[must_use]
    pub fn stats(&self) -> EchoStats {
        self.inner.core.stats()
    }

    /// Options for fetching: a context.
    ///
    /// ```
    /// use docache::Context;
    /// use docache::echo::{EchoCache, MemoryStore};
    /// use std::time::Duration;
    /// let cache = EchoCache::<_, u32, String>::new(MemoryStore::new(100));
    /// let context = Context::new().with_timeout(Duration::from_secs(5));
    /// assert_eq!(*cache.options().context(&context).fetch("key", || Ok(7)).unwrap(), 7);
    /// ```
    pub fn options(&self) -> EchoOptions<'_, S, T, E> {
        EchoOptions { cache: self, context: None }
    }
}

impl<S, T, E> EchoCache<S, T, E>
where
    S: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// The key's value; if the store does not have it, `work` is run for it, once, however many
    /// callers ask: the others wait and share what it returns.
    ///
    /// Blocks for the store, for work under way and for `work` itself. Where another process loads
    /// the value, it looks for that from time to time, until the
    /// [lock wait](crate::echo::EchoCacheBuilder::lock_wait) is over; then it loads itself.
    ///
    /// # Errors
    /// Those of [`KeyedGroup::try_run`](crate::KeyedGroup::try_run): `work` failed, or panicked
    /// in another call, or the call came from inside the work of the same key. Never for the store.
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use docache::echo::{EchoCache, MemoryStore};
    /// let ports = EchoCache::<_, u16, std::num::ParseIntError>::new(MemoryStore::new(100));
    /// assert_eq!(*ports.fetch("80", || "80".parse()).unwrap(), 80);
    /// assert!(ports.fetch("many", || "many".parse()).unwrap_err().is_failed());
    /// ```
    #[inline]
    pub fn fetch(&self, key: &str, work: impl FnOnce() -> Result<T, E>) -> FetchResult<T, E>
    where
        S: Store<T>,
    {
        self.options().fetch(key, work)
    }

    /// [`fetch`](EchoCache::fetch) for a task: the future of `work` runs inside this one, and
    /// waiting does not block. No runtime is needed but what the store and `work` need.
    ///
    /// It does nothing until it is polled. Dropping it while it runs the work hands the run to one
    /// of those that wait, which begins its own work; the refresh lock is given back.
    ///
    /// # Errors
    /// As [`fetch`](EchoCache::fetch).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use docache::echo::{EchoCache, MemoryStore};
    /// # use std::task::{Context, Poll, Waker};
    /// let cache = EchoCache::<_, u32, String>::new(MemoryStore::new(100));
    /// let value = std::pin::pin!(cache.fetch_async("key", || async { Ok(3) }));
    /// let polled = value.poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(polled, Poll::Ready(Ok(value)) if *value == 3));
    /// ```
    pub async fn fetch_async<F, Fut>(&self, key: &str, work: F) -> FetchResult<T, E>
    where
        S: AsyncStore<T>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.options().fetch_async(key, work).await
    }

    /// Takes the key out of the store. Beats loads of the key that are under way, in all processes:
    /// their callers get what they load, the store does not keep it, and whoever asks from now on
    /// gets another load.
    ///
    /// # Errors
    /// That of the store; then the value may still be there.
    ///
    /// ```
    /// # use docache::echo::{EchoCache, MemoryStore, Status};
    /// let cache = EchoCache::<_, u32, String>::new(MemoryStore::new(100));
    /// cache.fetch("key", || Ok(1)).unwrap();
    /// cache.remove("key")?;
    /// assert_eq!(cache.fetch("key", || Ok(2)).unwrap().status, Status::Loaded);
    /// # Ok::<(), docache::echo::StoreError>(())
    /// ```
    #[doc(alias = "invalidate")]
    pub fn remove(&self, key: &str) -> Result<(), StoreError>
    where
        S: Store<T>,
    {
        let removed = blocking(|| self.inner.store.remove(key, &self.inner.within(None)));
        self.inner.forget(self.inner.store.canonical(key));
        removed
    }

    /// [`remove`](EchoCache::remove) for a task.
    ///
    /// # Errors
    /// As [`remove`](EchoCache::remove).
    pub async fn remove_async(&self, key: &str) -> Result<(), StoreError>
    where
        S: AsyncStore<T>,
    {
        let within = self.inner.within(None);
        let removed = Tasks(&self.inner.store).remove(key, &within).await;
        self.inner.forget(self.inner.store.canonical(key));
        removed
    }
}

impl<S, T, E> fmt::Debug for EchoCache<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EchoCache").field("core", &self.inner.core).finish_non_exhaustive()
    }
}

/// How to fetch: no longer than a [`Context`] allows.
///
/// From [`EchoCache::options`]; its calls are those of the cache. It is `Copy`, so one can be used
/// for many calls.
///
/// ```
/// use docache::Context;
/// use docache::echo::{EchoCache, MemoryStore};
/// use std::time::Duration;
/// let cache = EchoCache::<_, u32, String>::new(MemoryStore::new(100));
/// let context = Context::new().with_timeout(Duration::from_secs(5));
/// let patient = cache.options().context(&context);
/// assert_eq!(*patient.fetch("a", || Ok(1)).unwrap() + *patient.fetch("b", || Ok(2)).unwrap(), 3);
/// ```
#[must_use = "options do nothing until something is fetched"]
pub struct EchoOptions<'c, S, T, E> {
    cache: &'c EchoCache<S, T, E>,
    context: Option<&'c Context>,
}

impl<S, T, E> Clone for EchoOptions<'_, S, T, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, T, E> Copy for EchoOptions<'_, S, T, E> {}

impl<'c, S, T, E> EchoOptions<'c, S, T, E> {
    /// Waits no longer than the context allows. If that is done already, a value that is there is
    /// returned, and nothing is loaded. The others that wait for the same value do not notice: if
    /// this call leads, and does not block in its work, one of them takes the lead.
    ///
    /// ```
    /// use docache::Context;
    /// use docache::echo::{EchoCache, MemoryStore};
    /// let (cache, context) =
    ///     (EchoCache::<_, u32, String>::new(MemoryStore::new(100)), Context::new());
    /// context.cancel();
    /// let fetched = cache.options().context(&context).fetch("key", || Ok(1));
    /// assert!(fetched.unwrap_err().is_cancelled());
    /// ```
    #[doc(alias = "timeout")]
    pub fn context(mut self, context: &'c Context) -> Self {
        self.context = Some(context);
        self
    }
}

impl<S, T, E> EchoOptions<'_, S, T, E>
where
    S: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// [`EchoCache::fetch`], so.
    ///
    /// # Errors
    /// As [`EchoCache::fetch`], and [`Left`](crate::FlightError::Left) with a
    /// [context](EchoOptions::context).
    ///
    /// # Panics
    /// If `work` panics.
    #[inline]
    pub fn fetch(self, key: &str, work: impl FnOnce() -> Result<T, E>) -> FetchResult<T, E>
    where
        S: Store<T>,
    {
        match self.cache.inner.look_now(key) {
            Some(Looked::Hit(fetched)) => Ok(fetched),
            looked => self.fetch_slow(key, looked, work),
        }
    }

    #[inline(never)]
    fn fetch_slow(
        self,
        key: &str,
        looked: Option<Looked<T>>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> FetchResult<T, E>
    where
        S: Store<T>,
    {
        let (inner, context) = (&self.cache.inner, self.context);
        let budget = match looked.unwrap_or_else(|| inner.look_up(key, context)) {
            Looked::Hit(fetched) | Looked::Due(fetched, _) => return Ok(fetched),
            Looked::Late(_, _, budget) => Some(budget),
            Looked::Miss(budget) => budget,
        };
        fetched(inner.load(Ask::fetch(key, context, budget), work))
    }

    /// [`EchoCache::fetch_async`], so.
    ///
    /// # Errors
    /// As [`fetch`](EchoOptions::fetch).
    ///
    /// # Panics
    /// If `work` panics.
    pub async fn fetch_async<F, Fut>(self, key: &str, work: F) -> FetchResult<T, E>
    where
        S: AsyncStore<T>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (inner, context) = (&self.cache.inner, self.context);
        let within = inner.within(context);
        let called = Tasks(&inner.store).get(key, &within).await;
        let budget = match inner.look((key, context, &within), called) {
            Looked::Hit(fetched) | Looked::Due(fetched, _) => return Ok(fetched),
            Looked::Late(_, _, budget) => Some(budget),
            Looked::Miss(budget) => budget,
        };
        fetched(inner.load_async(Ask::fetch(key, context, budget), work).await)
    }
}

impl<S, T, E> fmt::Debug for EchoOptions<'_, S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EchoOptions").field("context", &self.context).finish_non_exhaustive()
    }
}
