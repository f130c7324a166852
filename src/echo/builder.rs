//! How an echo cache is built.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::cache::EchoCache;
use super::core::{Core, Hook, IsNegative, Lives, Settings};
use super::load::inner::Inner;
use crate::clock::{self, Clock, SystemClock};
use crate::error::{Error, Result};
use crate::executor::Jobs;

/// How long values live if nothing else is said.
pub(super) const TIME_TO_LIVE: Duration = Duration::from_secs(15 * 60);
const LOCK_TTL: Duration = Duration::from_secs(10);
/// Below that a lock would be renewed all the time.
const LEAST_LOCK_TTL: Duration = Duration::from_millis(1);
const STORE_BUDGET: Duration = Duration::from_millis(50);

/// What both kinds of echo caches can be told.
pub(super) struct Common<T> {
    pub(super) negative: Option<(IsNegative<T>, Duration)>,
    pub(super) lock_ttl: Option<Duration>,
    pub(super) lock_wait: Option<Duration>,
    pub(super) store_budget: Duration,
    pub(super) record_stats: bool,
    pub(super) hook: Option<Hook>,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) executor: Option<Arc<dyn Jobs>>,
}

impl<T> Common<T> {
    pub(super) fn new() -> Common<T> {
        Common {
            negative: None,
            lock_ttl: None,
            lock_wait: None,
            store_budget: STORE_BUDGET,
            record_stats: false,
            hook: None,
            clock: None,
            executor: None,
        }
    }

    /// What a cache is set to. The lock lives for `lock_ttl` if nothing else was said, and is
    /// renewed for `keep_for`.
    pub(super) fn settings(
        self,
        lives: Lives,
        lock_ttl: Duration,
        keep_for: Option<Duration>,
    ) -> Result<Settings<T>> {
        let lock_ttl = self.lock_ttl.unwrap_or(lock_ttl);
        if lock_ttl < LEAST_LOCK_TTL {
            let (value, accepted) = (format_args!("{lock_ttl:?}"), "give at least 1ms");
            return Err(Error::invalid_argument("lock_ttl", value, accepted));
        }
        positive("store_budget", self.store_budget)?;
        if let Some((_, ttl)) = &self.negative {
            positive("negative", *ttl)?;
        }
        clock::prepare();
        #[cfg(not(docache_loom))]
        crate::housekeeping::watch();
        Ok(Settings {
            lives,
            negative: self.negative,
            lock_ttl,
            lock_wait: self.lock_wait,
            keep_for,
            budget: self.store_budget,
            record_stats: self.record_stats,
            hook: self.hook,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
        })
    }
}

pub(super) fn positive(name: &str, value: Duration) -> Result<()> {
    if value.is_zero() {
        return Err(Error::invalid_argument(name, "0ns", "give at least 1ns"));
    }
    Ok(())
}

/// The options of both kinds of echo caches. `common` is a field of the builder's.
macro_rules! common_options {
    () => {
        /// Which values say that there is no such thing, such as `None` of a `T = Option<U>`, and
        /// how long those live. They are served as [`Status::Negative`](crate::echo::Status) and
        /// never stale. `is_negative` is asked at each load and each hit; if it panics, the value
        /// is not negative.
        ///
        /// ```
        /// use docache::echo::{EchoCache, MemoryStore, Status};
        /// use std::time::Duration;
        /// let users: EchoCache<_, Option<String>, String> =
        ///     EchoCache::builder(MemoryStore::new(100))
        ///         .negative(Option::is_none, Duration::from_secs(5))
        ///         .build()?;
        /// users.fetch("nobody", || Ok(None)).unwrap();
        /// let again = users.fetch("nobody", || unreachable!("it is known")).unwrap();
        /// assert_eq!(again.status, Status::Negative);
        /// # Ok::<(), docache::Error>(())
        /// ```
        pub fn negative(
            mut self,
            is_negative: impl Fn(&T) -> bool + Send + Sync + 'static,
            ttl: Duration,
        ) -> Self {
            self.common.negative = Some((Arc::new(is_negative), ttl));
            self
        }

        /// How long a fetch waits for another process that loads the value, before it loads the
        /// value itself, beside that one and without writing it. Zero: not at all. It waits anew
        /// when the lock passes to another process, but no longer than twice this time in all.
        /// Default: the time to live of the lock, and 50 ms.
        pub fn lock_wait(mut self, wait: Duration) -> Self {
            self.common.lock_wait = Some(wait);
            self
        }

        /// How long the calls of one fetch to its store may take together. Default: 50 ms.
        ///
        /// A store is told by [`Within`](crate::echo::Within); one that does not listen is waited
        /// for by threads, not by tasks.
        pub fn store_budget(mut self, budget: Duration) -> Self {
            self.common.store_budget = budget;
            self
        }

        /// Counts hits in [`stats`](crate::echo::EchoStats), which costs them an atomic addition
        /// each. Default: no.
        pub fn record_stats(mut self, record: bool) -> Self {
            self.common.record_stats = record;
            self
        }

        /// A hook that is told of what fails and fails no fetch. It is called on whichever thread
        /// is at it, with no lock held; its panics are contained.
        ///
        /// ```
        /// use docache::echo::{EchoCache, MemoryStore};
        /// let store = MemoryStore::<u32>::new(100);
        /// let cache: EchoCache<_, u32, String> = EchoCache::builder(store)
        ///     .on_warning(|warning| eprintln!("{warning}"))
        ///     .build()?;
        /// # Ok::<(), docache::Error>(())
        /// ```
        pub fn on_warning(
            mut self,
            hook: impl Fn(&crate::echo::Warning<'_>) + Send + Sync + 'static,
        ) -> Self {
            self.common.hook = Some(Arc::new(hook));
            self
        }

        /// What the cache's jobs in the background run on, a
        /// [`Scheduler`](crate::run::Scheduler), which many share: renewals of refresh locks, and
        /// the refreshes of a lazy cache. Default: threads `docache-echo` of the cache's own.
        ///
        /// The limits are those of threads: as many refreshes at once as the cache has workers,
        /// and four more jobs for its locks. The cache has something scheduled only while
        /// there is something to do, and keeps a handle of the scheduler. Work or a store that
        /// blocks has the scheduler [start](crate::run::SchedulerBuilder::max_workers) more
        /// threads. After the scheduler's [`shutdown`](crate::run::Scheduler::shutdown) the cache
        /// has threads of its own; refreshes that waited on it go on there.
        ///
        /// ```
        /// use docache::echo::{LazyEchoCache, MemoryStore, Status};
        /// use docache::run::Scheduler;
        /// use std::time::Duration;
        /// let scheduler = Scheduler::builder().build()?;
        /// let store = MemoryStore::builder().scheduler(&scheduler).build()?;
        /// let rates: LazyEchoCache<_, u32, String> = LazyEchoCache::builder(store)
        ///     .refresh_after(Duration::from_nanos(1))
        ///     .scheduler(&scheduler)
        ///     .build()?;
        /// rates.fetch("eur", || Ok(1)).unwrap();
        /// std::thread::sleep(Duration::from_millis(5));
        /// let stale = rates.fetch("eur", || Ok(2)).unwrap();
        /// assert!(matches!(stale.status, Status::Stale { .. }));
        /// rates.shutdown(Duration::from_secs(5)); // lets the refresh end
        /// assert_eq!(*rates.fetch("eur", || Ok(3)).unwrap(), 2);
        /// # Ok::<(), docache::Error>(())
        /// ```
        #[doc(alias = "executor")]
        pub fn scheduler(mut self, scheduler: &impl crate::executor::Executor) -> Self {
            self.common.executor = Some(scheduler.handle());
            self
        }

        /// Measures time on this clock. Default: [`SystemClock`](crate::SystemClock). A store has
        /// a clock of its own.
        pub fn clock(mut self, clock: impl Clock) -> Self {
            self.common.clock = Some(Arc::new(clock));
            self
        }
    };
}

pub(super) use common_options;

/// Builds an [`EchoCache`].
///
/// ```
/// use docache::echo::{EchoCache, MemoryStore};
/// use std::time::Duration;
/// let store = MemoryStore::<String>::new(1_000);
/// let reports: EchoCache<_, String, std::io::Error> = EchoCache::builder(store)
///     .ttl(Duration::from_secs(60))
///     .lock_ttl(Duration::from_secs(30))
///     .build()?;
/// # Ok::<(), docache::Error>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct EchoCacheBuilder<S, T, E> {
    store: S,
    ttl: Option<Duration>,
    common: Common<T>,
    error: PhantomData<fn() -> E>,
}

impl<S, T, E> EchoCacheBuilder<S, T, E> {
    pub(super) fn new(store: S) -> EchoCacheBuilder<S, T, E> {
        EchoCacheBuilder {
            store,
            ttl: Some(TIME_TO_LIVE),
            common: Common::new(),
            error: PhantomData,
        }
    }

    /// How long values live; not 0. Default: 15 minutes. [`Duration::MAX`] is for as long as the
    /// store keeps them.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How long a refresh lock is held if its holder dies; while it lives the lock is renewed at a
    /// third of that. At least 1 ms. Default: 10 s.
    pub fn lock_ttl(mut self, ttl: Duration) -> Self {
        self.common.lock_ttl = Some(ttl);
        self
    }

    common_options!();

    /// The cache. Starts no thread.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if a duration is 0 that must not be.
    ///
    /// ```
    /// use docache::echo::{EchoCache, MemoryStore};
    /// use std::time::Duration;
    /// let error = EchoCache::<_, u8, String>::builder(MemoryStore::<u8>::new(1))
    ///     .store_budget(Duration::ZERO)
    ///     .build()
    ///     .unwrap_err();
    /// assert_eq!(error.to_string(), "store_budget: 0ns is not accepted; give at least 1ns");
    /// ```
    pub fn build(mut self) -> Result<EchoCache<S, T, E>> {
        positive("ttl", self.ttl.unwrap_or(Duration::MAX))?;
        let executor = self.common.executor.take();
        let settings = self.common.settings(Lives::Kept(self.ttl), LOCK_TTL, None)?;
        Ok(EchoCache::with(Inner::new(self.store, Core::new(settings, None), executor)))
    }
}

impl<S, T, E> fmt::Debug for EchoCacheBuilder<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EchoCacheBuilder")
            .field("ttl", &self.ttl)
            .field("lock_ttl", &self.common.lock_ttl)
            .field("store_budget", &self.common.store_budget)
            .finish_non_exhaustive()
    }
}

impl<S, T, E> EchoCache<S, T, E> {
    /// A cache over `store` whose values live for 15 minutes.
    #[must_use]
    pub fn new(store: S) -> EchoCache<S, T, E> {
        match EchoCache::builder(store).build() {
            Ok(cache) => cache,
            Err(error) => unreachable!("the defaults are accepted: {error}"),
        }
    }

    /// A builder, for a cache with other settings than [`new`](EchoCache::new)'s.
    ///
    /// ```
    /// use docache::echo::{EchoCache, MemoryStore};
    /// use std::time::Duration;
    /// let store = MemoryStore::<u32>::new(100);
    /// let cache: EchoCache<_, u32, String> =
    ///     EchoCache::builder(store).ttl(Duration::from_secs(60)).build()?;
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn builder(store: S) -> EchoCacheBuilder<S, T, E> {
        EchoCacheBuilder::new(store)
    }
}
