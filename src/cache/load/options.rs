//! What a fetch may be told besides its key and its work.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::cache::handle::Cache;
use crate::context::Context;

/// What a loader returns: a value, or a value and perhaps how long it is to live.
///
/// Only these two implement it; see [`FetchOptions::ttl_from_loader`].
///
/// ```
/// use docache::Cache;
/// use std::time::Duration;
/// let tokens = Cache::<String, String>::new(100);
/// let token = tokens
///     .options()
///     .ttl_from_loader()
///     .fetch("ada", || ("s3cret".to_owned(), Some(Duration::from_secs(30))));
/// assert_eq!(token, "s3cret");
/// ```
pub trait Loaded<V>: sealed::Loaded<V> {}

impl<V> Loaded<V> for V {}

impl<V> Loaded<V> for (V, Option<Duration>) {}

/// How long a fetch may wait: `()` for as long as it takes, or a `&Context`.
///
/// ```
/// use docache::{Cache, Context};
/// let (cache, context) = (Cache::<u64, u64>::new(100), Context::new());
/// assert_eq!(cache.options().fetch(1, || 10), 10);
/// assert_eq!(cache.options().context(&context).try_fetch(1, || Ok(10))?, 10);
/// # Ok::<(), docache::FlightError>(())
/// ```
pub trait WaitLimit: sealed::WaitLimit {}

impl WaitLimit for () {}

impl WaitLimit for &Context {}

pub(super) mod sealed {
    use std::time::Duration;

    use crate::context::Context;

    // Two functions, not one that returns a pair: values may be large.
    pub trait Loaded<V> {
        fn ttl(&self) -> Option<Duration>;
        fn into_value(self) -> V;
    }

    impl<V> Loaded<V> for V {
        #[inline(always)]
        fn ttl(&self) -> Option<Duration> {
            None
        }

        #[inline(always)]
        fn into_value(self) -> V {
            self
        }
    }

    impl<V> Loaded<V> for (V, Option<Duration>) {
        #[inline(always)]
        fn ttl(&self) -> Option<Duration> {
            self.1
        }

        #[inline(always)]
        fn into_value(self) -> V {
            self.0
        }
    }

    pub trait WaitLimit: Copy {
        fn context(&self) -> Option<&Context>;
    }

    impl WaitLimit for () {
        #[inline(always)]
        fn context(&self) -> Option<&Context> {
            None
        }
    }

    impl WaitLimit for &Context {
        #[inline(always)]
        fn context(&self) -> Option<&Context> {
            Some(self)
        }
    }
}

/// How to fetch: for what time to live, how long to wait, and whether the load outlives its caller.
///
/// From [`Cache::options`]; its calls are those of the cache. It is `Copy`, so one can be used for
/// many calls.
/// `L` is what the work returns, `P` how long a call may [wait](WaitLimit).
///
/// ```
/// use docache::{Cache, Context};
/// use std::time::Duration;
/// let cache = Cache::<String, usize>::new(100);
/// let context = Context::new().with_timeout(Duration::from_secs(5));
/// let options = cache.options().ttl(Duration::from_secs(60)).context(&context);
/// assert_eq!(options.try_fetch("ada", || Ok(3))?, 3);
/// assert_eq!(options.try_fetch("grace", || Ok(5))?, 5);
/// # Ok::<(), docache::FlightError>(())
/// ```
#[must_use = "options do nothing until something is fetched"]
pub struct FetchOptions<'c, K, V, E = Infallible, S = RandomState, L = V, P = ()> {
    pub(super) cache: &'c Cache<K, V, E, S>,
    pub(super) ttl: Option<Duration>,
    pub(super) wait_limit: P,
    loaded: PhantomData<fn() -> L>,
}

impl<K, V, E, S> Cache<K, V, E, S> {
    /// Options for fetching: a time to live, a context, a load that goes on without its caller.
    ///
    /// ```
    /// use std::time::Duration;
    /// let cache = docache::Cache::<String, usize>::new(100);
    /// assert_eq!(cache.options().ttl(Duration::from_secs(5)).fetch("ada", || 3), 3);
    /// ```
    #[doc(alias = "fetch_with_ttl")]
    #[inline(always)]
    pub fn options(&self) -> FetchOptions<'_, K, V, E, S> {
        FetchOptions { cache: self, ttl: None, wait_limit: (), loaded: PhantomData }
    }
}

impl<'c, K, V, E, S, L, P> FetchOptions<'c, K, V, E, S, L, P> {
    /// How long what is loaded lives, instead of the cache's
    /// [time to live](crate::CacheBuilder::time_to_live); [`Duration::MAX`] is for ever. A value
    /// that is there keeps its own.
    ///
    /// ```
    /// use std::time::Duration;
    /// let cache = docache::Cache::<String, usize>::new(100);
    /// assert_eq!(cache.options().ttl(Duration::ZERO).fetch("ada", || 3), 3);
    /// assert_eq!(cache.get("ada"), None);
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The work returns its value together with the time that this is to live, such as what an
    /// answer says of itself; with `None` it lives as if the work had not said anything: for
    /// [`ttl`](FetchOptions::ttl), or the cache's own time.
    ///
    /// ```
    /// use std::time::Duration;
    /// let cache = docache::Cache::<String, usize>::new(100);
    /// let answer = || (3, Some(Duration::ZERO));
    /// assert_eq!(cache.options().ttl_from_loader().fetch("ada", answer), 3);
    /// assert_eq!(cache.get("ada"), None);
    /// ```
    #[doc(alias = "expire_after")]
    pub fn ttl_from_loader(self) -> FetchOptions<'c, K, V, E, S, (V, Option<Duration>), P> {
        let FetchOptions { cache, ttl, wait_limit, .. } = self;
        FetchOptions { cache, ttl, wait_limit, loaded: PhantomData }
    }

    /// Limits the wait for a load that the call joins. If the call leads, its own work runs to its
    /// end, past the deadline, unless the load is [`detached`](FetchOptions::detached). If the
    /// context is done beforehand, a value that is there is returned, and nothing is loaded.
    ///
    /// Such a call may fail, so only the `try_` forms can be called. The deadline of a context
    /// counts from when it was made, not from each call: make one anew for each request.
    ///
    /// ```
    /// let (cache, context) = (docache::Cache::<u64, u64>::new(100), docache::Context::new());
    /// context.cancel();
    /// let fetched = cache.options().context(&context).try_fetch(1, || Ok(10));
    /// assert!(fetched.unwrap_err().is_cancelled());
    /// ```
    #[doc(alias = "timeout")]
    #[doc(alias = "try_fetch_in")]
    pub fn context(self, context: &'c Context) -> FetchOptions<'c, K, V, E, S, L, &'c Context> {
        let FetchOptions { cache, ttl, loaded, .. } = self;
        FetchOptions { cache, ttl, wait_limit: context, loaded }
    }
}

impl<K, V, E, S, L, P: Copy> Clone for FetchOptions<'_, K, V, E, S, L, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V, E, S, L, P: Copy> Copy for FetchOptions<'_, K, V, E, S, L, P> {}

impl<K, V, E, S, L, P: WaitLimit> fmt::Debug for FetchOptions<'_, K, V, E, S, L, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchOptions")
            .field("ttl", &self.ttl)
            .field("context", &self.wait_limit.context())
            .finish_non_exhaustive()
    }
}
