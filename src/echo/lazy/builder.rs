//! How a lazy echo cache is built.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::refresh::LONGEST;
use super::{Lazy, LazyEchoCache, Spawner};
use crate::clock::Clock;
use crate::echo::background::queue::Queue;
use crate::echo::builder::{Common, TIME_TO_LIVE, common_options, positive};
use crate::echo::core::{Core, Lives};
use crate::echo::load::inner::Inner;
use crate::echo::timing::ages::Ages;
use crate::echo::timing::backoff::Backoff;
use crate::echo::timing::pauses::Pauses;
use crate::error::{Error, Result};

const REFRESH_AFTER: Duration = Duration::from_secs(60);
const REFRESH_TIMEOUT: Duration = Duration::from_secs(30);
const QUEUE_SIZE: usize = 1_000;
/// What the lock outlives the refresh by.
const LOCK_GRACE: Duration = Duration::from_secs(1);

/// Builds a [`LazyEchoCache`].
///
/// ```
/// use docache::echo::{LazyEchoCache, MemoryStore};
/// use std::time::Duration;
/// let reports: LazyEchoCache<_, String, std::io::Error> =
///     LazyEchoCache::builder(MemoryStore::<String>::new(1_000))
///         .refresh_after(Duration::from_secs(10))
///         .expires(Duration::from_secs(60))
///         .stale_until(Duration::from_secs(600))
///         .failure_backoff(Duration::from_millis(100), Duration::from_secs(10))
///         .early_refresh(1.0)
///         .workers(2)
///         .build()?;
/// # Ok::<(), docache::Error>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct LazyEchoCacheBuilder<S, T, E> {
    store: S,
    refresh_after: Duration,
    expires: Option<Duration>,
    stale_until: Option<Duration>,
    queue_size: usize,
    workers: usize,
    refresh_timeout: Duration,
    beta: f64,
    backoff: Option<Backoff>,
    spawner: Option<Spawner>,
    common: Common<T>,
    error: PhantomData<fn() -> E>,
}

impl<S, T, E> LazyEchoCacheBuilder<S, T, E> {
    pub(super) fn new(store: S) -> LazyEchoCacheBuilder<S, T, E> {
        LazyEchoCacheBuilder {
            store,
            refresh_after: REFRESH_AFTER,
            expires: None,
            stale_until: None,
            queue_size: QUEUE_SIZE,
            workers: 1,
            refresh_timeout: REFRESH_TIMEOUT,
            beta: 0.0,
            backoff: None,
            spawner: None,
            common: Common::new(),
            error: PhantomData,
        }
    }

    /// From which age on a value is served as stale and refreshed. Default: 1 minute.
    pub fn refresh_after(mut self, age: Duration) -> Self {
        self.refresh_after = age;
        self
    }

    /// From which age on a fetch waits for the load, and gets the stale value only if that fails.
    /// Default: 15 minutes, or `refresh_after` if that is more.
    pub fn expires(mut self, age: Duration) -> Self {
        self.expires = Some(age);
        self
    }

    /// From which age on a value is not served even if it cannot be loaded. The store keeps it for
    /// so long. Default: `expires`.
    #[doc(alias = "stale-if-error")]
    pub fn stale_until(mut self, age: Duration) -> Self {
        self.stale_until = Some(age);
        self
    }

    /// How many refreshes can wait, and how many can run on the [spawner](Self::spawner). What does
    /// not find room is dropped and counted; a later fetch tries again. Default: 1000.
    pub fn queue_size(mut self, refreshes: usize) -> Self {
        self.queue_size = refreshes;
        self
    }

    /// How many refreshes run at most at the same time, each on a thread. Default: 1.
    #[doc(alias = "WithWorkerCount")]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// How long a refresh may take. One that is a future is dropped then; one on a thread cannot be
    /// stopped, but its lock is not renewed any more. Default: 30 s.
    pub fn refresh_timeout(mut self, timeout: Duration) -> Self {
        self.refresh_timeout = timeout;
        self
    }

    /// How long a refresh lock is held if its holder dies; while it lives the lock is renewed at a
    /// third of that. At least [`refresh_timeout`](Self::refresh_timeout). Default: that and 1 s.
    pub fn lock_ttl(mut self, ttl: Duration) -> Self {
        self.common.lock_ttl = Some(ttl);
        self
    }

    /// Refreshes values before they are stale, by chance, the sooner the longer their loads take
    /// (XFetch): callers then seldom find them stale, and processes do not all find them stale at
    /// once. 1.0 suits most; more is sooner. The time of loads is an average over all keys.
    /// Default: 0, not at all.
    #[doc(alias = "XFetch")]
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.beta = beta;
        self
    }

    /// After a load has failed, that key's is not tried again while a stale value can be served,
    /// for a time at random between 0 and a ceiling, which begins at `first` and doubles with each
    /// failure in a row up to `most`. Default: it is tried again at once.
    pub fn failure_backoff(mut self, first: Duration, most: Duration) -> Self {
        self.backoff = Some(Backoff { first, most });
        self
    }

    /// What runs refreshes that are futures: any executor's `spawn`, such as
    /// `|refresh| drop(tokio::spawn(refresh))`. Default: a worker of the cache drives them, which
    /// suits futures that need no runtime.
    ///
    /// It is called by whichever task finds a value stale, and must not block.
    pub fn spawner(
        mut self,
        spawn: impl Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync + 'static,
    ) -> Self {
        self.spawner = Some(Arc::new(spawn));
        self
    }

    common_options!();

    /// The cache. Starts no thread.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument): the three clocks are not in order,
    /// or something is 0 that must not be, or out of range.
    ///
    /// ```
    /// use docache::echo::{LazyEchoCache, MemoryStore};
    /// use std::time::Duration;
    /// let error = LazyEchoCache::<_, u8, String>::builder(MemoryStore::<u8>::new(1))
    ///     .refresh_after(Duration::from_secs(10))
    ///     .expires(Duration::from_secs(5))
    ///     .build()
    ///     .unwrap_err();
    /// let text = "expires: 5s is not accepted; give at least refresh_after, which is 10s";
    /// assert_eq!(error.to_string(), text);
    /// ```
    pub fn build(mut self) -> Result<LazyEchoCache<S, T, E>> {
        let expires = self.expires.unwrap_or(TIME_TO_LIVE.max(self.refresh_after));
        let stale_until = self.stale_until.unwrap_or(expires);
        let ages = Ages { refresh_after: self.refresh_after, expires, stale_until }.check()?;
        positive("refresh_timeout", self.refresh_timeout)?;
        for (name, value) in [("queue_size", self.queue_size), ("workers", self.workers)] {
            if value == 0 {
                return Err(Error::invalid_argument(name, value, "give at least 1"));
            }
        }
        if !(self.beta >= 0.0 && self.beta.is_finite()) {
            let accepted = "give a finite number that is not negative";
            return Err(Error::invalid_argument("early_refresh", self.beta, accepted));
        }
        if let Some(ttl) = self.common.lock_ttl.filter(|ttl| *ttl < self.refresh_timeout) {
            let least = self.refresh_timeout;
            let accepted = format!("give at least refresh_timeout, which is {least:?}");
            return Err(Error::invalid_argument("lock_ttl", format_args!("{ttl:?}"), &accepted));
        }
        let lock_ttl = self.refresh_timeout.saturating_add(LOCK_GRACE);
        let lives = Lives::Refreshed(ages, self.beta);
        let executor = self.common.executor.take();
        let intake = executor.as_ref().map(|executor| executor.intake());
        let settings = self.common.settings(lives, lock_ttl, Some(self.refresh_timeout))?;
        let backoff = self.backoff.map(checked).transpose()?;
        let pauses = Pauses::new(backoff, settings.clock.clone())?;
        Ok(LazyEchoCache::with(Lazy {
            inner: Arc::new(Inner::new(self.store, Core::new(settings, Some(pauses)), executor)),
            queue: Queue::new(self.queue_size, self.workers, intake),
            hasher: RandomState::default(),
            refresh_timeout: self.refresh_timeout,
            spawner: self.spawner,
        }))
    }
}

fn checked(backoff: Backoff) -> Result<Backoff> {
    positive("failure_backoff", backoff.first)?;
    if backoff.most < backoff.first || backoff.most > LONGEST {
        let most = backoff.most;
        let accepted = format!("give at least the first delay, and at most {LONGEST:?}");
        return Err(Error::invalid_argument(
            "failure_backoff",
            format_args!("{most:?}"),
            &accepted,
        ));
    }
    Ok(backoff)
}

impl<S, T, E> fmt::Debug for LazyEchoCacheBuilder<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyEchoCacheBuilder")
            .field("refresh_after", &self.refresh_after)
            .field("expires", &self.expires)
            .field("stale_until", &self.stale_until)
            .field("queue_size", &self.queue_size)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}
