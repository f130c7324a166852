//! One piece of work for each key.

use std::borrow::Borrow;
use std::convert::{Infallible, identity};
use std::fmt::{self, Debug};
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
#[cfg(all(feature = "capi", not(docache_loom)))]
use std::time::Duration;

use crossbeam_utils::CachePadded;
use foldhash::fast::RandomState;

use super::builder::GroupBuilder;
use super::drive::{ErrorStyle, Target, name_by_debug};
use super::error::Shared;
use super::flight_call::RunResult;
use super::infallible::{infallible, value_or_panic};
use super::run_future::RunFuture;
use super::shard::FlightShard;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::sync::barrier;

/// The most shards that a group can have.
pub(crate) const MAX_SHARDS: usize = 1 << 16;

/// Callers who want the same thing for the same key share one run; those of different keys do not
/// meet.
///
/// Everything that [`Group`](super::Group) says holds here for each key by itself.
///
/// `K` is what keys are borrowed as: `KeyedGroup<str, T>` takes any `&str`, `KeyedGroup<u64, T>` a
/// `&u64`. Calls on a thread only borrow their key; the futures keep theirs and take anything of a
/// `'static` type that borrows as a `K`, such as a `String`, an `Arc<str>` or a `&'static str`.
///
/// It is not `Clone`: share it by reference, in an [`Arc`](std::sync::Arc), or as a `static` with
/// `LazyLock::new(KeyedGroup::new)`.
///
/// # Cost and progress
/// As a [`Group`](super::Group)'s, plus a hash of the key. Each shard has a lock of its own, so
/// that keys of different shards do not meet; `K`'s `Eq` runs under that lock, and must not use the
/// group. A call of a key is O(1) in the number of flights. What the group allocates, it allocates
/// when it is built and when a shard has more flights at once than ever before.
///
/// A run that waits for a run of another key, which waits for the first, is a deadlock that is not
/// found out.
///
/// ```
/// use docache::KeyedGroup;
/// use std::sync::Arc;
/// let users = KeyedGroup::<str, Arc<String>>::new();
/// let ada = users.run("ada", || Arc::new("Ada Lovelace".to_owned()));
/// assert_eq!(ada.as_str(), "Ada Lovelace");
/// ```
#[doc(alias = "singleflight")]
pub struct KeyedGroup<K: ?Sized, T, E = Infallible> {
    shards: Box<[CachePadded<FlightShard<K, T, E>>]>,
    hasher: RandomState,
    pub(super) error_style: ErrorStyle<K>,
}

impl<K: ?Sized, T, E> KeyedGroup<K, T, E> {
    /// A group with no run under way.
    ///
    /// ```
    /// let group = docache::KeyedGroup::<u64, String>::new();
    /// assert_eq!(group.in_flight(), 0);
    /// ```
    #[must_use]
    pub fn new() -> KeyedGroup<K, T, E> {
        KeyedGroup::with(default_shards(), ErrorStyle::DEFAULT)
    }

    /// `shards` is a power of two.
    pub(crate) fn with(shards: usize, error_style: ErrorStyle<K>) -> KeyedGroup<K, T, E> {
        barrier::prepare();
        let shards = (0..shards).map(|_| CachePadded::new(FlightShard::new())).collect();
        KeyedGroup { shards, hasher: RandomState::default(), error_style }
    }

    /// A builder, for a group with other settings than [`new`](KeyedGroup::new)'s.
    ///
    /// ```
    /// let group = docache::KeyedGroup::<u64, String>::builder().shards(256).build()?;
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn builder() -> GroupBuilder<KeyedGroup<K, T, E>, K> {
        GroupBuilder::new()
    }

    /// How many runs are under way that a call could join: those that were not forgotten.
    /// O(shards); takes each shard's lock in turn.
    ///
    /// ```
    /// let group = docache::KeyedGroup::<str, _>::new();
    /// assert_eq!(*group.run("a", || *group.run("b", || group.in_flight())), 2);
    /// ```
    pub fn in_flight(&self) -> usize {
        self.shards.iter().map(|shard| shard.flights()).sum()
    }
}

impl<K: ?Sized + Hash + Eq, T, E> KeyedGroup<K, T, E> {
    #[inline]
    pub(super) fn target(&self, key: &K) -> Target<&FlightShard<K, T, E>>
    where
        T: Clone,
    {
        let (domain, hash) = self.shard(key);
        Target { domain, hash, error_style: self.error_style }
    }

    /// The shard of a key, and its hash.
    #[inline]
    fn shard(&self, key: &K) -> (&FlightShard<K, T, E>, u64) {
        let hash = self.hasher.hash_one(key);
        // The registry goes by the lower bits.
        (&self.shards[(hash >> 48) as usize & (self.shards.len() - 1)], hash)
    }

    /// Lets later calls of `key` begin a new run, even while one is under way; those that joined it
    /// still get its outcome. Returns whether there was one. Takes a short lock.
    ///
    /// ```
    /// let group = docache::KeyedGroup::<str, _>::new();
    /// let outer = group.run("key", || {
    ///     group.forget("key");
    ///     *group.run("key", || 1) + 1
    /// });
    /// assert_eq!(*outer, 2);
    /// ```
    pub fn forget(&self, key: &K) -> bool {
        let (shard, hash) = self.shard(key);
        shard.forget(hash, key)
    }
}

impl<K: ?Sized + Hash + Eq, T: Clone> KeyedGroup<K, T> {
    /// Runs `work`, or waits for the run of `key` under way and shares its value.
    ///
    /// # Panics
    /// If `work` panics, if the run that was joined panicked, or if the call comes from inside the
    /// run of `key`.
    ///
    /// ```
    /// let group = docache::KeyedGroup::<u64, _>::new();
    /// assert_eq!(group.run(&7, || 7 * 7).into_inner(), 49);
    /// ```
    #[doc(alias = "Do")]
    #[doc(alias = "work")]
    #[inline]
    pub fn run(&self, key: &K, work: impl FnOnce() -> T) -> Shared<T> {
        value_or_panic(self.target(key).run(key, None, || Ok(work())))
    }

    /// [`run`](KeyedGroup::run) with a context, which limits the wait for a run that this call
    /// joins. If this call leads, its own work runs to its end, past the deadline. If the context
    /// is done beforehand, nothing runs.
    ///
    /// # Errors
    /// All but [`FlightError::Failed`](super::FlightError::Failed).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let group = docache::KeyedGroup::<u64, _>::new();
    /// let ctx = docache::Context::new().with_timeout(Duration::from_secs(5));
    /// assert_eq!(*group.run_in(&ctx, &7, || 7 * 7)?, 49);
    /// # Ok::<(), docache::FlightError>(())
    /// ```
    #[inline]
    pub fn run_in(
        &self,
        context: &Context,
        key: &K,
        work: impl FnOnce() -> T,
    ) -> RunResult<T, Infallible> {
        self.target(key).run(key, Some(context), || Ok(work()))
    }

    /// Like [`run`](KeyedGroup::run), for a task: the future of `work` runs inside this one, and
    /// waiting does not block.
    ///
    /// It does nothing until it is polled. See [`Group`](super::Group) for what dropping it does.
    ///
    /// # Panics
    /// As [`run`](KeyedGroup::run).
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// let group = docache::KeyedGroup::<str, _>::new();
    /// let answer = std::pin::pin!(group.run_async("key".to_owned(), || async { 4 }));
    /// let polled = answer.poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(polled, Poll::Ready(value) if *value == 4));
    /// ```
    pub fn run_async<Q, F, Fut>(&self, key: Q, work: F) -> impl Future<Output = Shared<T>>
    where
        Q: Borrow<K> + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        RunFuture::new(key, |key: &K| self.target(key), None, || infallible(work()), value_or_panic)
    }

    /// [`run_async`](KeyedGroup::run_async) with the caller's context.
    ///
    /// # Errors
    /// As [`run_in`](KeyedGroup::run_in).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// let (group, ctx) = (docache::KeyedGroup::<u64, _>::new(), docache::Context::new());
    /// ctx.cancel();
    /// let answer = std::pin::pin!(group.run_async_in(&ctx, 7_u64, || async { 4 }));
    /// let polled = answer.poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(polled, Poll::Ready(Err(_))));
    /// ```
    pub fn run_async_in<Q, F, Fut>(
        &self,
        context: &Context,
        key: Q,
        work: F,
    ) -> impl Future<Output = RunResult<T, Infallible>>
    where
        Q: Borrow<K> + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        RunFuture::new(
            key,
            |key: &K| self.target(key),
            Some(context),
            || infallible(work()),
            identity,
        )
    }
}

impl<K: ?Sized + Hash + Eq, T: Clone, E> KeyedGroup<K, T, E> {
    /// Runs `work`, or waits for the run of `key` under way and shares its outcome.
    ///
    /// # Errors
    /// [`Failed`](super::FlightError::Failed), [`Panicked`](super::FlightError::Panicked) or
    /// [`Reentrant`](super::FlightError::Reentrant).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// let group = docache::KeyedGroup::<str, u16, ParseIntError>::new();
    /// assert_eq!(*group.try_run("80", || "80".parse())?, 80);
    /// # Ok::<(), docache::FlightError<ParseIntError>>(())
    /// ```
    #[inline]
    pub fn try_run(&self, key: &K, work: impl FnOnce() -> Result<T, E>) -> RunResult<T, E> {
        self.target(key).run(key, None, work)
    }

    /// [`try_run`](KeyedGroup::try_run) with a context, which limits the wait for a run that this
    /// call joins. If this call leads, its own work runs to its end, past the deadline. If the
    /// context is done beforehand, nothing runs.
    ///
    /// # Errors
    /// Those of [`try_run`](KeyedGroup::try_run), and [`Left`](super::FlightError::Left).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// let (group, ctx) =
    ///     (docache::KeyedGroup::<str, u16, ParseIntError>::new(), docache::Context::new());
    /// assert!(group.try_run_in(&ctx, "many", || "many".parse()).unwrap_err().is_failed());
    /// ```
    #[inline]
    pub fn try_run_in(
        &self,
        context: &Context,
        key: &K,
        work: impl FnOnce() -> Result<T, E>,
    ) -> RunResult<T, E> {
        self.target(key).run(key, Some(context), work)
    }

    /// [`try_run`](KeyedGroup::try_run) for a task.
    ///
    /// # Errors
    /// As [`try_run`](KeyedGroup::try_run).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// let group = docache::KeyedGroup::<str, u16, std::num::ParseIntError>::new();
    /// let port = std::pin::pin!(group.try_run_async("80", || async { "80".parse() }));
    /// let polled = port.poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(polled, Poll::Ready(Ok(port)) if *port == 80));
    /// ```
    pub fn try_run_async<Q, F, Fut>(&self, key: Q, work: F) -> impl Future<Output = RunResult<T, E>>
    where
        Q: Borrow<K> + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        RunFuture::new(key, |key: &K| self.target(key), None, work, identity)
    }

    /// [`try_run_in`](KeyedGroup::try_run_in) for a task.
    ///
    /// # Errors
    /// As [`try_run_in`](KeyedGroup::try_run_in).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker};
    /// let group = docache::KeyedGroup::<str, u16, std::num::ParseIntError>::new();
    /// let ctx = docache::Context::new();
    /// let port = std::pin::pin!(group.try_run_async_in(&ctx, "80", || async { "80".parse() }));
    /// let polled = port.poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(polled, Poll::Ready(Ok(port)) if *port == 80));
    /// ```
    pub fn try_run_async_in<Q, F, Fut>(
        &self,
        context: &Context,
        key: Q,
        work: F,
    ) -> impl Future<Output = RunResult<T, E>>
    where
        Q: Borrow<K> + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        RunFuture::new(key, |key: &K| self.target(key), Some(context), work, identity)
    }
}

#[cfg(all(feature = "capi", not(docache_loom)))]
impl<K: ?Sized + Hash + Eq, T: Clone, E> KeyedGroup<K, T, E> {
    /// [`try_run`](KeyedGroup::try_run) with a limit to waiting; 0 does not wait.
    pub(crate) fn try_run_within(
        &self,
        limit: Option<Duration>,
        key: &K,
        work: impl FnOnce() -> Result<T, E>,
    ) -> RunResult<T, E> {
        self.target(key).run_then(key, (None, limit), work, identity)
    }
}

impl<K: ?Sized, T, E> GroupBuilder<KeyedGroup<K, T, E>, K> {
    /// Over how many locks the flights are spread: 1 to 65,536, rounded up to a power of two.
    /// Default: sixteen for each processor, rounded up likewise. Each takes 128 bytes, and some
    /// more once it has had more than two flights at once.
    ///
    /// ```
    /// use docache::KeyedGroup;
    /// let error = KeyedGroup::<str, u8>::builder().shards(0).build().unwrap_err();
    /// assert_eq!(error.to_string(), "shards: 0 is not accepted; give 1 to 65536");
    /// ```
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Errors and panics show the key as `Debug` formats it. Default: they name its type, since not
    /// every key can be shown, or should be.
    ///
    /// ```
    /// use docache::KeyedGroup;
    /// let group: KeyedGroup<str, String> = KeyedGroup::builder().debug_keys().build()?;
    /// let inner = || group.try_run("ada", || unreachable!()).unwrap_err().to_string();
    /// let text = group.run("ada", inner);
    /// assert!(text.starts_with("key \"ada\": the call came from inside the run"));
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn debug_keys(mut self) -> Self
    where
        K: Debug,
    {
        self.error_style.format_key = name_by_debug;
        self
    }

    /// The group.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the number of shards is not
    /// accepted.
    pub fn build(self) -> Result<KeyedGroup<K, T, E>> {
        let shards = match self.shards {
            None => default_shards(),
            Some(shards @ 1..=MAX_SHARDS) => shards.next_power_of_two(),
            Some(shards) => {
                let accepted = format!("give 1 to {MAX_SHARDS}");
                return Err(Error::invalid_argument("shards", shards, &accepted));
            }
        };
        Ok(KeyedGroup::with(shards, self.error_style))
    }
}

fn default_shards() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (16 * processors).next_power_of_two().min(MAX_SHARDS)
}

impl<K: ?Sized, T, E> Default for KeyedGroup<K, T, E> {
    fn default() -> KeyedGroup<K, T, E> {
        KeyedGroup::new()
    }
}

impl<K: ?Sized, T, E> fmt::Debug for KeyedGroup<K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedGroup")
            .field("in_flight", &self.in_flight())
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}
