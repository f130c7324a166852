//! The lazy echo cache: stale values are served at once and refreshed in the background.
//!
//! # Who does what
//! A fetch that finds its value due puts its own work into the [queue](super::background::queue)
//! and returns. A worker, or the user's executor, runs it in the flight of the key, so that a fetch
//! which needs the value meanwhile waits for that instead of loading beside it.
//!
//! A refresh keeps what it needs alive, and with it the cache. So that a cache goes when its last
//! handle does, that handle closes the queue, which drops what waits.

mod builder;
#[cfg(all(feature = "capi", not(docache_loom)))]
mod handed;
mod refresh;

pub use builder::LazyEchoCacheBuilder;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use handed::{Due, Handed};

use std::fmt;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::background::queue::{Offer, Queue};
use super::core::count;
use super::error::StoreError;
use super::fetched::{Fetched, Status};
use super::load::flight::{Ask, FetchResult, fetched};
use super::load::inner::Inner;
use super::load::look::Looked;
use super::stats::EchoStats;
use super::store::{AsyncStore, Calls, Store, Tasks, blocking};
use crate::clock::Tick;
use crate::contain::contained;
use crate::context::Context;
use crate::flight::FlightError;

pub(super) type Spawner = Arc<dyn Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync>;

/// What a lazy cache is made of.
pub(super) struct Lazy<S, T, E> {
    pub(super) inner: Arc<Inner<S, T, E>>,
    queue: Arc<Queue>,
    hasher: RandomState,
    refresh_timeout: Duration,
    spawner: Option<Spawner>,
}

/// What the handles share: the last of them closes the queue.
struct Handle<S, T, E>(Arc<Lazy<S, T, E>>);

impl<S, T, E> Drop for Handle<S, T, E> {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

/// What [`LazyEchoCache::shutdown`] has done.
///
/// ```
/// use docache::echo::{LazyEchoCache, MemoryStore, ShutdownReport};
/// use std::time::Duration;
/// let store = MemoryStore::<u32>::new(100);
/// let idle: LazyEchoCache<_, u32, String> = LazyEchoCache::builder(store).build()?;
/// assert_eq!(idle.shutdown(Duration::from_secs(5)), ShutdownReport::default());
/// # Ok::<(), docache::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// How many refreshes came to their end during the shutdown.
    pub drained: usize,
    /// The keys whose refreshes had not begun by the deadline, and were dropped.
    pub dropped: Vec<String>,
    /// The keys whose refreshes were still running at the deadline. They go on.
    pub running: Vec<String>,
}

/// Memoizes work over a store, as an [`EchoCache`](super::EchoCache) does, and does not let callers
/// wait for what can be served stale.
///
/// Each value has three clocks, counted from its load:
/// - until [`refresh_after`](LazyEchoCacheBuilder::refresh_after) it is fresh;
/// - from then on it is served as [stale](Status::Stale), and the fetch's work is queued as a
///   refresh, unless the key has one;
/// - from [`expires`](LazyEchoCacheBuilder::expires) on a fetch waits for the load, and gets the
///   stale value only if that fails;
/// - from [`stale_until`](LazyEchoCacheBuilder::stale_until) on it is gone.
///
/// A refresh that fails changes none of them. Negative values are not served stale.
///
/// It is a handle: its clones are the same cache. When the last is dropped, refreshes that wait are
/// dropped, and those under way go on; [`shutdown`](LazyEchoCache::shutdown) lets them end. Work is
/// `Send + 'static`, since it may run later and elsewhere.
///
/// # Threads
/// Refreshes run on threads named `docache-echo`, which are started when there is something to do,
/// block the host's signals and leave when there was nothing to do for a second, or on a
/// [scheduler](LazyEchoCacheBuilder::scheduler). In the child of a fork the queue is empty: what
/// was queued stays the parent's.
///
/// ```
/// use docache::ManualClock;
/// use docache::echo::{LazyEchoCache, MemoryStore, Status};
/// use std::time::Duration;
/// let clock = ManualClock::new();
/// let store = MemoryStore::builder().clock(clock.clone()).build()?;
/// let rates: LazyEchoCache<_, u32, String> = LazyEchoCache::builder(store)
///     .refresh_after(Duration::from_secs(1))
///     .expires(Duration::from_secs(60))
///     .clock(clock.clone())
///     .build()?;
/// assert_eq!(rates.fetch("eur", || Ok(1)).unwrap().status, Status::Loaded);
/// clock.advance(Duration::from_secs(2));
/// let stale = rates.fetch("eur", || Ok(2)).unwrap();
/// assert_eq!(stale.status, Status::Stale { age: Duration::from_secs(2) });
/// let report = rates.shutdown(Duration::from_secs(5)); // lets the refresh end
/// assert!(report.dropped.is_empty() && report.running.is_empty());
/// assert_eq!(*rates.fetch("eur", || Ok(3)).unwrap(), 2);
/// # Ok::<(), docache::Error>(())
/// ```
#[doc(alias = "stale-while-revalidate")]
pub struct LazyEchoCache<S, T, E> {
    handle: Arc<Handle<S, T, E>>,
}

impl<S, T, E> Clone for LazyEchoCache<S, T, E> {
    fn clone(&self) -> Self {
        LazyEchoCache { handle: self.handle.clone() }
    }
}

impl<S, T, E> LazyEchoCache<S, T, E> {
    /// A builder.
    ///
    /// ```
    /// use docache::echo::{LazyEchoCache, MemoryStore};
    /// use std::time::Duration;
    /// let store = MemoryStore::<u32>::new(100);
    /// let cache: LazyEchoCache<_, u32, String> = LazyEchoCache::builder(store)
    ///     .refresh_after(Duration::from_secs(10))
    ///     .build()?;
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn builder(store: S) -> LazyEchoCacheBuilder<S, T, E> {
        LazyEchoCacheBuilder::new(store)
    }

    fn with(lazy: Lazy<S, T, E>) -> LazyEchoCache<S, T, E> {
        LazyEchoCache { handle: Arc::new(Handle(Arc::new(lazy))) }
    }

    #[inline]
    fn lazy(&self) -> &Arc<Lazy<S, T, E>> {
        &self.handle.0
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.lazy().inner.store
    }

    /// What has been counted so far.
    #[must_use]
    pub fn stats(&self) -> EchoStats {
        self.lazy().inner.core.stats()
    }

    /// How many refreshes wait or run.
    ///
    /// ```
    /// use docache::echo::{LazyEchoCache, MemoryStore};
    /// let cache: LazyEchoCache<_, u32, String> =
    ///     LazyEchoCache::builder(MemoryStore::<u32>::new(1)).build()?;
    /// assert_eq!(cache.refreshing(), 0);
    /// # Ok::<(), docache::Error>(())
    /// ```
    #[must_use]
    pub fn refreshing(&self) -> usize {
        self.lazy().queue.len()
    }

    /// Options for fetching: a context.
    pub fn options(&self) -> LazyEchoOptions<'_, S, T, E> {
        LazyEchoOptions { cache: self, context: None }
    }

    /// Takes no refreshes any more, and gives those that wait or run until `deadline` to end.
    /// Blocks for so long at most. What has not begun by then is dropped and reported; what runs
    /// goes on and is reported. Refresh locks that the store has not taken back yet get one more
    /// try.
    ///
    /// Fetches still work afterwards: what is there is served, stale or not, and what is missing is
    /// loaded. A second call does nothing, and reports nothing. Called from inside a refresh it
    /// waits in vain for that one.
    #[doc(alias = "ShutdownLazyRefresh")]
    pub fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let lazy = self.lazy();
        let clock = &lazy.inner.core.settings.clock;
        let end = clock.now().deadline(deadline);
        let left = lazy.queue.shutdown(&**clock, end).unwrap_or_default();
        lazy.inner.upkeep.shutdown(&**clock, end);
        let names = |keys: Vec<Arc<str>>| keys.iter().map(|key| key.to_string()).collect();
        ShutdownReport {
            drained: left.drained,
            dropped: names(left.dropped),
            running: names(left.running),
        }
    }
}

impl<S, T, E> LazyEchoCache<S, T, E>
where
    S: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    /// The key's value: what is fresh or stale at once, and what is neither as
    /// [`EchoCache::fetch`](super::EchoCache::fetch) gets it. `work` is run now, later on a worker
    /// of this cache, or not at all.
    ///
    /// # Errors
    /// As [`EchoCache::fetch`](super::EchoCache::fetch).
    ///
    /// # Panics
    /// If `work` panics while this call waits for it; that of a refresh is contained and told to
    /// the [hook](LazyEchoCacheBuilder::on_warning).
    #[inline]
    pub fn fetch<F>(&self, key: &str, work: F) -> FetchResult<T, E>
    where
        S: Store<T>,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        self.options().fetch(key, work)
    }

    /// [`fetch`](LazyEchoCache::fetch) for a task. A refresh is a future, which goes to the
    /// [spawner](LazyEchoCacheBuilder::spawner); without one a worker of this cache drives it,
    /// outside of any runtime.
    ///
    /// # Errors
    /// As [`fetch`](LazyEchoCache::fetch).
    ///
    /// # Panics
    /// As [`fetch`](LazyEchoCache::fetch).
    pub async fn fetch_async<F, Fut>(&self, key: &str, work: F) -> FetchResult<T, E>
    where
        S: AsyncStore<T>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.options().fetch_async(key, work).await
    }

    /// Takes the key out of the store, as [`EchoCache::remove`](super::EchoCache::remove).
    ///
    /// # Errors
    /// That of the store; then the value may still be there.
    pub fn remove(&self, key: &str) -> Result<(), StoreError>
    where
        S: Store<T>,
    {
        let inner = &self.lazy().inner;
        let removed = blocking(|| inner.store.remove(key, &inner.within(None)));
        inner.forget(inner.store.canonical(key));
        removed
    }

    /// [`remove`](LazyEchoCache::remove) for a task.
    ///
    /// # Errors
    /// As [`remove`](LazyEchoCache::remove).
    pub async fn remove_async(&self, key: &str) -> Result<(), StoreError>
    where
        S: AsyncStore<T>,
    {
        let inner = &self.lazy().inner;
        let within = inner.within(None);
        let removed = Tasks(&inner.store).remove(key, &within).await;
        inner.forget(inner.store.canonical(key));
        removed
    }
}

impl<S, T, E> fmt::Debug for LazyEchoCache<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyEchoCache")
            .field("core", &self.lazy().inner.core)
            .field("queue", &self.lazy().queue)
            .finish_non_exhaustive()
    }
}

/// How to fetch: no longer than a [`Context`] allows. From [`LazyEchoCache::options`].
///
/// ```
/// use docache::Context;
/// use docache::echo::{LazyEchoCache, MemoryStore};
/// let store = MemoryStore::<u32>::new(100);
/// let cache: LazyEchoCache<_, u32, String> = LazyEchoCache::builder(store).build()?;
/// let context = Context::new();
/// assert_eq!(*cache.options().context(&context).fetch("key", || Ok(1)).unwrap(), 1);
/// # Ok::<(), docache::Error>(())
/// ```
#[must_use = "options do nothing until something is fetched"]
pub struct LazyEchoOptions<'c, S, T, E> {
    cache: &'c LazyEchoCache<S, T, E>,
    context: Option<&'c Context>,
}

impl<S, T, E> Clone for LazyEchoOptions<'_, S, T, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, T, E> Copy for LazyEchoOptions<'_, S, T, E> {}

impl<S, T, E> fmt::Debug for LazyEchoOptions<'_, S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyEchoOptions").field("context", &self.context).finish_non_exhaustive()
    }
}

impl<'c, S, T, E> LazyEchoOptions<'c, S, T, E> {
    /// As [`EchoOptions::context`](super::EchoOptions::context). Refreshes are not bound by it.
    pub fn context(mut self, context: &'c Context) -> Self {
        self.context = Some(context);
        self
    }
}

/// A refresh that is due: the hash of its key, and the age of the value that was seen.
#[derive(Clone, Copy)]
struct Refresh {
    hash: u64,
    seen: Duration,
}

/// What a first look leaves to be done.
enum Next<T> {
    Done(Fetched<T>),
    /// Served, and the caller sees to this refresh.
    Refresh(Fetched<T>, Refresh),
    /// Loaded, in so much of the time for the store; or else this, of this age.
    Load(Option<Duration>, Option<(T, Duration)>),
}

impl<S, T, E> Lazy<S, T, E> {
    fn next(&self, key: &str, looked: Looked<T>) -> Next<T> {
        match looked {
            Looked::Hit(fetched) => Next::Done(fetched),
            Looked::Due(fetched, seen) => match self.due(key, seen) {
                None => Next::Done(fetched),
                Some(refresh) => Next::Refresh(fetched, refresh),
            },
            Looked::Late(value, age, _) if self.backs_off(key) => {
                let status = Status::Stale { age };
                self.inner.core.count_hit(status);
                Next::Done(Fetched { value, status })
            }
            Looked::Late(value, age, budget) => Next::Load(Some(budget), Some((value, age))),
            Looked::Miss(budget) => Next::Load(budget, None),
        }
    }

    /// The refresh of a value of this age, unless the key has one or has none for a while.
    #[inline(always)]
    fn due(&self, key: &str, seen: Duration) -> Option<Refresh> {
        let hash = self.hasher.hash_one(key);
        if self.queue.hints_at(hash) { None } else { self.due_unless_marked(hash, key, seen) }
    }

    #[inline(never)]
    fn due_unless_marked(&self, hash: u64, key: &str, seen: Duration) -> Option<Refresh> {
        let is_due = !self.queue.is_marked(hash, key) && !self.is_paused(key);
        is_due.then_some(Refresh { hash, seen })
    }

    fn is_paused(&self, key: &str) -> bool {
        self.inner.core.pauses.as_ref().is_some_and(|pauses| pauses.is_paused(key))
    }

    fn backs_off(&self, key: &str) -> bool {
        self.inner.core.pauses.as_ref().is_some_and(|pauses| pauses.backs_off(key))
    }

    fn heed_offer(&self, offer: Offer) {
        match offer {
            Offer::Accepted | Offer::Marked => {}
            Offer::Full | Offer::Closed | Offer::Threadless => {
                count(&self.inner.core.counters.refused);
            }
        }
    }
}

impl<S, T, E> Lazy<S, T, E>
where
    S: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    /// What came of a load, or the stale value if it failed and may still be served.
    fn or_stale(
        &self,
        result: FetchResult<T, E>,
        stale: Option<(T, Duration)>,
    ) -> FetchResult<T, E> {
        match (&result, stale) {
            (Err(FlightError::Failed(_) | FlightError::Panicked(_)), stale) => {
                match stale.filter(|(_, age)| self.inner.core.outlasts_failure(*age)) {
                    Some((value, age)) => {
                        let status = Status::Stale { age };
                        self.inner.core.count_hit(status);
                        Ok(Fetched { value, status })
                    }
                    None => result,
                }
            }
            _ => result,
        }
    }
}

impl<S, T, E> LazyEchoOptions<'_, S, T, E>
where
    S: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    /// [`LazyEchoCache::fetch`], so.
    ///
    /// # Errors
    /// As [`EchoOptions::fetch`](super::EchoOptions::fetch).
    ///
    /// # Panics
    /// As [`LazyEchoCache::fetch`].
    #[inline]
    pub fn fetch<F>(self, key: &str, work: F) -> FetchResult<T, E>
    where
        S: Store<T>,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        let lazy = self.cache.lazy();
        match lazy.inner.look_now(key) {
            Some(Looked::Hit(fetched)) => Ok(fetched),
            Some(Looked::Due(fetched, seen)) => {
                if let Some(refresh) = lazy.due(key, seen) {
                    lazy.refresh_by_worker(refresh, key, work);
                }
                Ok(fetched)
            }
            looked => self.fetch_slow(key, looked, work),
        }
    }

    #[inline(never)]
    fn fetch_slow<F>(self, key: &str, looked: Option<Looked<T>>, work: F) -> FetchResult<T, E>
    where
        S: Store<T>,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        let (lazy, context) = (self.cache.lazy(), self.context);
        let inner = &lazy.inner;
        match lazy.next(key, looked.unwrap_or_else(|| inner.look_up(key, context))) {
            Next::Done(fetched) => Ok(fetched),
            Next::Refresh(fetched, refresh) => {
                lazy.refresh_by_worker(refresh, key, work);
                Ok(fetched)
            }
            Next::Load(budget, stale) => lazy.load(Ask::fetch(key, context, budget), stale, work),
        }
    }

    /// [`LazyEchoCache::fetch_async`], so.
    ///
    /// # Errors
    /// As [`EchoOptions::fetch`](super::EchoOptions::fetch).
    ///
    /// # Panics
    /// As [`LazyEchoCache::fetch`].
    pub async fn fetch_async<F, Fut>(self, key: &str, work: F) -> FetchResult<T, E>
    where
        S: AsyncStore<T>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (lazy, context) = (self.cache.lazy(), self.context);
        let inner = &lazy.inner;
        let within = inner.within(context);
        let called = Tasks(&inner.store).get(key, &within).await;
        match lazy.next(key, inner.look((key, context, &within), called)) {
            Next::Done(fetched) => Ok(fetched),
            Next::Refresh(fetched, refresh) => {
                lazy.refresh_by_task(refresh, key, work);
                Ok(fetched)
            }
            Next::Load(budget, stale) => {
                lazy.load_async(Ask::fetch(key, context, budget), stale, work).await
            }
        }
    }
}

impl<S, T, E> Lazy<S, T, E>
where
    S: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    /// A load that its caller waits for.
    fn load(
        &self,
        ask: Ask<'_>,
        stale: Option<(T, Duration)>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> FetchResult<T, E>
    where
        S: Store<T>,
    {
        let began = self.inner.core.now();
        let result = fetched(self.inner.load(ask, work));
        self.or_stale(result, self.aged(stale, began))
    }

    async fn load_async<F, Fut>(
        &self,
        ask: Ask<'_>,
        stale: Option<(T, Duration)>,
        work: F,
    ) -> FetchResult<T, E>
    where
        S: AsyncStore<T>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let began = self.inner.core.now();
        let result = fetched(self.inner.load_async(ask, work).await);
        self.or_stale(result, self.aged(stale, began))
    }

    /// A stale value after a load that began then and failed.
    fn aged(&self, stale: Option<(T, Duration)>, began: Tick) -> Option<(T, Duration)> {
        let took = |age: Duration| age.saturating_add(self.inner.core.now().since(began));
        stale.map(|(value, age)| (value, took(age)))
    }

    /// Has a worker run a refresh.
    #[inline(never)]
    fn refresh_by_worker<F>(self: &Arc<Self>, Refresh { hash, seen }: Refresh, key: &str, work: F)
    where
        S: Store<T>,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        let (lazy, name): (_, Arc<str>) = (self.clone(), key.into());
        let refresh = Box::new(move || lazy.refresh((&name, seen), work));
        self.heed_offer(self.queue.offer(hash, key, refresh));
    }

    /// Has the user's executor run a refresh, or a worker of ours if there is no executor.
    fn refresh_by_task<F, Fut>(self: &Arc<Self>, due: Refresh, key: &str, work: F)
    where
        S: AsyncStore<T>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (lazy, name): (_, Arc<str>) = (self.clone(), key.into());
        let Refresh { hash, seen } = due;
        let Some(spawner) = &self.spawner else {
            let refresh = Box::new(move || lazy.refresh_blocking((&name, seen), work));
            return self.heed_offer(self.queue.offer(hash, key, refresh));
        };
        let ticket = match self.queue.mark(hash, key) {
            Ok(ticket) => ticket,
            Err(refused) => return self.heed_offer(refused),
        };
        let refresh = Box::pin(async move {
            let _ticket = ticket;
            lazy.refresh_async((&name, seen), work).await;
        });
        if let Err(error) = contained(|| spawner(refresh)) {
            self.inner.core.pauses(|pauses| pauses.failed(key));
            self.note_refresh_failure(key, &error.to_string());
        }
    }
}
