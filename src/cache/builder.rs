//! The settings of caches.

use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
#[cfg(not(docache_loom))]
use std::sync::{OnceLock, Weak};
use std::time::Duration;

use foldhash::fast::RandomState;

#[cfg(not(docache_loom))]
use super::background::BackgroundHandle;
use super::handle::Cache;
use super::inner::Inner;
use super::policy::PolicyKind;
#[cfg(not(docache_loom))]
use super::reclaim;
#[cfg(not(docache_loom))]
use super::settings::Around;
use super::settings::{Listener, Settings, TimeSource, Weigher};
use super::stats::Cause;
use super::store::core::Core;
use crate::clock::{self, Clock};
use crate::error::{Error, Result};
use crate::executor::{Executor, Jobs};
use crate::flight::{ErrorStyle, name_by_debug};
use crate::sync::barrier;
#[cfg(not(docache_loom))]
use crate::sync::fork;

const TIME_TO_LIVE: Duration = Duration::from_secs(15 * 60);
const SWEEP_INTERVAL: Duration = Duration::from_secs(20 * 60);
/// The most shards that a cache can have.
pub(crate) const MAX_SHARDS: usize = 1 << 16;
/// How many it has without being told.
const SHARDS: usize = 64;
/// A shard of fewer entries decides badly which to evict.
const MIN_SHARE: usize = 128;
/// How many shards a cache has without being told whose entries have weights: a heavy one should
/// fit into a share.
const WEIGHTED_SHARDS: usize = 8;
/// How many errors are cached at most.
const MAX_CACHED_ERRORS: usize = 4096;

/// Which entries a full cache evicts.
///
/// ```
/// use docache::{Cache, EvictionPolicy};
/// let cache: Cache<u64, u64> =
///     Cache::builder().capacity(2).shards(1).policy(EvictionPolicy::Lru).build()?;
/// cache.insert_many([(1, 1), (2, 2)]);
/// cache.get(&1);
/// cache.insert(3, 3);
/// assert_eq!((cache.get(&1), cache.get(&2)), (Some(1), None));
/// # Ok::<(), docache::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvictionPolicy {
    /// Queues whose sizes adapt to which evicted keys are asked for again, and a record of past
    /// uses; it resists scans and loops. Its hit ratios on public traces are above those of LRU,
    /// S3-FIFO and W-TinyLFU.
    #[default]
    #[doc(alias = "tiny_lfu")]
    Adaptive,
    /// Strictly the one that was not used for the longest time, of those in the same shard. A hit
    /// takes the shard's lock.
    Lru,
}

/// Builds a [`Cache`].
///
/// ```
/// use docache::Cache;
/// use std::time::Duration;
/// let cache: Cache<String, Vec<u8>> = Cache::builder()
///     .weigher(|key: &String, value: &Vec<u8>| (key.len() + value.len()) as u32)
///     .max_weight(64 << 20)
///     .time_to_live(Duration::from_secs(60))
///     .ttl_jitter(0.1)
///     .build()?;
/// # Ok::<(), docache::Error>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct CacheBuilder<K, V, E = Infallible, S = RandomState> {
    ttl: Option<Duration>,
    sweep: Option<Duration>,
    capacity: Option<usize>,
    max_weight: Option<u64>,
    weigher: Option<Weigher<K, V>>,
    policy: EvictionPolicy,
    jitter: f64,
    negative_ttl: Option<Duration>,
    caches_error: fn(&E) -> bool,
    error_style: ErrorStyle<K>,
    listener: Option<Listener<K, V>>,
    #[cfg(not(docache_loom))]
    around: Option<Around>,
    executor: Option<Arc<dyn Jobs>>,
    shards: Option<usize>,
    hasher: S,
    clock: Option<Arc<dyn Clock>>,
    expire_on_sweep_only: bool,
    record_stats: bool,
    _error: std::marker::PhantomData<fn() -> E>,
}

impl<K, V, E> CacheBuilder<K, V, E> {
    pub(super) fn new() -> CacheBuilder<K, V, E> {
        CacheBuilder {
            ttl: Some(TIME_TO_LIVE),
            sweep: Some(SWEEP_INTERVAL),
            capacity: None,
            max_weight: None,
            weigher: None,
            policy: EvictionPolicy::Adaptive,
            jitter: 0.0,
            negative_ttl: None,
            caches_error: |_| true,
            error_style: ErrorStyle::DEFAULT,
            listener: None,
            #[cfg(not(docache_loom))]
            around: None,
            executor: None,
            shards: None,
            hasher: RandomState::default(),
            clock: None,
            expire_on_sweep_only: false,
            record_stats: false,
            _error: std::marker::PhantomData,
        }
    }
}

impl<K, V, E, S> CacheBuilder<K, V, E, S> {
    /// How long values live for which nothing else is said. Default 15 minutes;
    /// [`Duration::MAX`] is for ever. It counts from when the value is stored; a read does not
    /// prolong it, and there is no time to idle.
    #[doc(alias = "ttl")]
    #[doc(alias = "time_to_idle")]
    #[doc(alias = "expire_after_access")]
    #[doc(alias = "expire_after_write")]
    pub fn time_to_live(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Values for which nothing else is said live for ever.
    pub fn never_expire(mut self) -> Self {
        self.ttl = None;
        self
    }

    /// How often expired entries are taken out, beside those that new ones replace. Default 20
    /// minutes; at least 1 ms. It happens on a thread named `docache-sweep`, which is there only
    /// while there is something to do, or on a [scheduler](CacheBuilder::scheduler); a cache whose
    /// listener or destructors block holds up no other.
    pub fn sweep_interval(mut self, interval: Duration) -> Self {
        self.sweep = Some(interval);
        self
    }

    /// Expired entries stay until they are replaced, evicted or [purged](Cache::purge_expired).
    pub fn no_sweep(mut self) -> Self {
        self.sweep = None;
        self
    }

    /// The most entries, at least 1. Default: no limit. Not together with
    /// [`max_weight`](CacheBuilder::max_weight).
    #[doc(alias = "max_capacity")]
    pub fn capacity(mut self, entries: usize) -> Self {
        self.capacity = Some(entries);
        self
    }

    /// The greatest weight of all entries together, at least 1. Needs a
    /// [`weigher`](CacheBuilder::weigher).
    #[doc(alias = "weight_capacity")]
    #[doc(alias = "max_capacity")]
    pub fn max_weight(mut self, weight: u64) -> Self {
        self.max_weight = Some(weight);
        self
    }

    /// What an entry weighs; called once for each, with no lock held. One that weighs nothing is
    /// never evicted for its size, so the number of those has no limit. Needs
    /// [`max_weight`](CacheBuilder::max_weight).
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u32 + Send + Sync + 'static) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// Which entries a full cache evicts. Default [`EvictionPolicy::Adaptive`].
    pub fn policy(mut self, policy: EvictionPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// By which part of it a time to live may be shortened, at random, so that what was loaded
    /// together does not expire together: 0 to 1. Default 0. It holds for times that are given with
    /// a value, too.
    pub fn ttl_jitter(mut self, part: f64) -> Self {
        self.jitter = part;
        self
    }

    /// How long an error of [`try_fetch`](Cache::try_fetch) is given to later calls, too, without
    /// running their work; at most 4,096 errors at a time (or one for each shard, if there are more
    /// shards). Default: not at all.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }

    /// Which errors are cached, if any are.
    #[cfg(all(feature = "capi", not(docache_loom)))]
    pub(crate) fn caches_error(mut self, caches_error: fn(&E) -> bool) -> Self {
        self.caches_error = caches_error;
        self
    }

    /// Errors and panics show the key as `Debug` formats it. Default: they name its type, since not
    /// every key can be shown, or should be.
    ///
    /// ```
    /// use docache::Cache;
    /// let cache: Cache<String, usize> = Cache::builder().debug_keys().build()?;
    /// let inner = || cache.try_fetch("ada", || Ok(3)).unwrap_err().to_string();
    /// let mut error = String::new();
    /// cache.fetch("ada", || {
    ///     error = inner();
    ///     3
    /// });
    /// assert!(error.starts_with("key \"ada\": the call came from inside the run"));
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn debug_keys(mut self) -> Self
    where
        K: fmt::Debug,
    {
        self.error_style.format_key = name_by_debug;
        self
    }

    /// A listener that is told of each entry that leaves, and why. Called with no lock held, on the
    /// thread of the call that took the entry out, or in the background if that call came from
    /// [inside](Cache#listeners-and-destructors) a listener or a destructor; what the call does is
    /// visible by then. A panic is contained and [counted](crate::CacheStats::listener_panics).
    #[doc(alias = "eviction_listener")]
    pub fn on_evict(mut self, listener: impl Fn(&K, &V, Cause) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Who is given each pass of the background over the cache, to do it or to leave it out.
    #[cfg(all(feature = "capi", not(docache_loom)))]
    pub(crate) fn around_background(
        mut self,
        around: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static,
    ) -> Self {
        self.around = Some(Arc::new(around));
        self
    }

    /// What sweeps the cache, and does whatever else there is to do in the background: a
    /// [`Scheduler`](crate::run::Scheduler), which many share. Default: threads of this crate's,
    /// named `docache-sweep`.
    ///
    /// The cache has something scheduled only while something is due, and keeps a handle of the
    /// scheduler. Listeners and destructors that block have the scheduler
    /// [start](crate::run::SchedulerBuilder::max_workers) more workers, so that other caches are
    /// swept all the same. After the scheduler's [`shutdown`](crate::run::Scheduler::shutdown) the
    /// cache is swept as by default. How often it is swept goes by the cache's clock, whatever that
    /// of the scheduler.
    ///
    /// ```
    /// use docache::{Cache, run::Scheduler};
    /// use std::time::Duration;
    /// let scheduler = Scheduler::builder().build()?;
    /// let sessions: Cache<u64, String> = Cache::builder()
    ///     .time_to_live(Duration::from_millis(5))
    ///     .sweep_interval(Duration::from_millis(10))
    ///     .scheduler(&scheduler)
    ///     .build()?;
    /// sessions.insert(1, "ada".into());
    /// while !sessions.is_empty() {
    ///     std::thread::sleep(Duration::from_millis(1));
    /// }
    /// # Ok::<(), docache::Error>(())
    /// ```
    #[doc(alias = "executor")]
    pub fn scheduler(self, scheduler: &impl Executor) -> Self {
        self.executor(Some(scheduler.handle()))
    }

    /// The same by what was kept of it.
    pub(crate) fn executor(mut self, executor: Option<Arc<dyn Jobs>>) -> Self {
        self.executor = executor;
        self
    }

    /// Into how many parts the cache is split, each with a lock and a policy of its own: 1 to
    /// 65,536, rounded up to a power of two, and at most as many as the capacity. Default 64, or as
    /// many as leave 128 entries for each; 8 where entries have weights.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// How keys are hashed. Default: foldhash, seeded at random. It should spread well over all 64
    /// bits.
    pub fn hasher<T>(self, hasher: T) -> CacheBuilder<K, V, E, T> {
        CacheBuilder {
            ttl: self.ttl,
            sweep: self.sweep,
            capacity: self.capacity,
            max_weight: self.max_weight,
            weigher: self.weigher,
            policy: self.policy,
            jitter: self.jitter,
            negative_ttl: self.negative_ttl,
            caches_error: self.caches_error,
            error_style: self.error_style,
            listener: self.listener,
            #[cfg(not(docache_loom))]
            around: self.around,
            executor: self.executor,
            shards: self.shards,
            hasher,
            clock: self.clock,
            expire_on_sweep_only: self.expire_on_sweep_only,
            record_stats: self.record_stats,
            _error: std::marker::PhantomData,
        }
    }

    /// The clock to go by, from whatever origin; times to live reach 36 years on it. Default
    /// [`CoarseClock`](crate::CoarseClock), which costs the reads almost nothing; within 250 ms of
    /// an entry's end the exact time is asked for.
    ///
    /// ```
    /// use docache::{Cache, ManualClock};
    /// use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let cache: Cache<u64, u64> = Cache::builder()
    ///     .time_to_live(Duration::from_secs(30))
    ///     .clock(clock.clone())
    ///     .build()?;
    /// cache.insert(1, 10);
    /// clock.advance(Duration::from_secs(30));
    /// assert_eq!(cache.get(&1), None);
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Whether reads give expired values until they are swept or purged. Default: no.
    pub fn expire_on_sweep_only(mut self, only: bool) -> Self {
        self.expire_on_sweep_only = only;
        self
    }

    /// Whether [hits](crate::CacheStats::hits) and [misses](crate::CacheStats::misses) are counted,
    /// which costs each read an atomic addition to a line that few threads share. Default: no.
    pub fn record_stats(mut self, record: bool) -> Self {
        self.record_stats = record;
        self
    }

    fn check(&self) -> Result<()> {
        const ACCEPTED: &str = "give at least 1";
        let refuse = |name, value: &dyn fmt::Display, accepted: &str| {
            Err(Error::invalid_argument(name, value, accepted))
        };
        if self.capacity == Some(0) {
            return refuse("capacity", &0, ACCEPTED);
        }
        if self.max_weight == Some(0) {
            return refuse("max_weight", &0, ACCEPTED);
        }
        if self.capacity.is_some() && self.max_weight.is_some() {
            return refuse("capacity", &"together with max_weight", "give one of them");
        }
        if self.max_weight.is_some() != self.weigher.is_some() {
            let missing = if self.weigher.is_none() { "weigher" } else { "max_weight" };
            return refuse(missing, &"no value", "give weigher and max_weight, or neither");
        }
        if self.policy == EvictionPolicy::Lru
            && self.capacity.is_none()
            && self.max_weight.is_none()
        {
            return refuse(
                "policy",
                &"Lru without a limit",
                "give a capacity or a max_weight with it",
            );
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return refuse("ttl_jitter", &self.jitter, "give 0 to 1");
        }
        if self.sweep.is_some_and(|interval| interval < Duration::from_millis(1)) {
            return refuse(
                "sweep_interval",
                &format_args!("{:?}", self.sweep.unwrap_or_default()),
                "give at least 1ms",
            );
        }
        match self.shards {
            Some(0) => refuse("shards", &0, &format!("give 1 to {MAX_SHARDS}")),
            Some(shards) if shards > MAX_SHARDS => {
                refuse("shards", &shards, &format!("give 1 to {MAX_SHARDS}"))
            }
            _ => Ok(()),
        }
    }

    /// The number of shards: a power of two, such that each gets something.
    fn shard_count(&self) -> usize {
        let max =
            self.capacity.map(|entries| entries as u64).or(self.max_weight).unwrap_or(u64::MAX);
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(MAX_SHARDS);
        let max = 1 << max.ilog2();
        let wanted = match (self.shards, self.capacity, self.max_weight) {
            (Some(shards), _, _) => shards.next_power_of_two(),
            (None, Some(entries), _) => 1 << (entries / MIN_SHARE).clamp(1, SHARDS).ilog2(),
            (None, None, Some(_)) => WEIGHTED_SHARDS,
            (None, None, None) => SHARDS,
        };
        wanted.min(max)
    }
}

impl<K, V, E, S> CacheBuilder<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// The cache.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if a setting is not accepted.
    ///
    /// ```
    /// let error = docache::Cache::<u64, u64>::builder().capacity(0).build().unwrap_err();
    /// assert_eq!(error.to_string(), "capacity: 0 is not accepted; give at least 1");
    /// ```
    pub fn build(self) -> Result<Cache<K, V, E, S>> {
        self.check()?;
        barrier::prepare();
        clock::prepare();
        #[cfg(not(docache_loom))]
        reclaim::prepare();
        let shards = self.shard_count();
        let clock = self.clock.clone().map_or(TimeSource::Coarse, |clock| {
            let origin = clock.now();
            TimeSource::Other(clock, origin)
        });
        let read_clock = if self.expire_on_sweep_only { TimeSource::Frozen } else { clock.clone() };
        #[cfg(not(docache_loom))]
        let (background_clock, interval) = (clock.clone(), self.sweep);
        #[cfg(not(docache_loom))]
        let (around, executor) = (self.around, self.executor);
        let settings = Settings {
            hasher: self.hasher,
            shards,
            kind: match self.policy {
                EvictionPolicy::Adaptive => PolicyKind::Adaptive,
                EvictionPolicy::Lru => PolicyKind::Lru,
            },
            limit: self.capacity.map(|entries| entries as u64).or(self.max_weight),
            weigher: self.weigher,
            listener: self.listener,
            clock,
            read_clock,
            ttl: self.ttl.unwrap_or(Duration::MAX),
            jitter: self.jitter,
            record_stats: self.record_stats,
            negative: self.negative_ttl.map(|ttl| (ttl, MAX_CACHED_ERRORS)),
            caches_error: self.caches_error,
            error_style: self.error_style,
        };
        #[cfg(docache_loom)]
        let inner = Arc::new(Inner { core: Core::new(settings), coalesced: AtomicU64::new(0) });
        #[cfg(not(docache_loom))]
        let inner = Arc::new_cyclic(|weak: &Weak<Inner<K, V, E, S>>| {
            let weak = weak.clone();
            let background =
                BackgroundHandle::new(weak, background_clock, interval, around, executor);
            Inner {
                core: Core::new(settings, background),
                coalesced: AtomicU64::new(0),
                fork_registration: OnceLock::new(),
            }
        });
        #[cfg(not(docache_loom))]
        {
            let member: Weak<Inner<K, V, E, S>> = Arc::downgrade(&inner);
            let _ = inner.fork_registration.set(fork::register(member));
            inner.core.background().start();
        }
        Ok(Cache { inner })
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// A cache for at most `capacity` entries, with the [builder](CacheBuilder)'s defaults: among
    /// them a time to live of 15 minutes. Its work cannot fail; for work that can, build a
    /// `Cache<K, V, E>` with [`builder`](Cache::builder).
    ///
    /// # Panics
    /// If `capacity` is 0.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, &str>::new(100);
    /// assert!(cache.is_empty());
    /// ```
    #[must_use]
    #[doc(alias = "with_capacity")]
    pub fn new(capacity: usize) -> Cache<K, V> {
        match CacheBuilder::new().capacity(capacity).build() {
            Ok(cache) => cache,
            Err(error) => panic!("{error}"),
        }
    }
}

impl<K, V, E> Cache<K, V, E> {
    /// A builder, for a cache with other settings than [`new`](Cache::new)'s: without a capacity or
    /// a weight it has no limit. Annotate the type, as here: the error of its work, [`Infallible`]
    /// if nothing is said, is not inferred.
    ///
    /// ```
    /// use docache::Cache;
    /// use std::time::Duration;
    /// let cache: Cache<u64, String> =
    ///     Cache::builder().time_to_live(Duration::from_secs(60)).build()?;
    /// assert_eq!(cache.capacity(), None);
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn builder() -> CacheBuilder<K, V, E> {
        CacheBuilder::new()
    }
}

impl<K, V, E, S> fmt::Debug for CacheBuilder<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("ttl", &self.ttl)
            .field("sweep", &self.sweep)
            .field("capacity", &self.capacity)
            .field("max_weight", &self.max_weight)
            .field("policy", &self.policy)
            .field("jitter", &self.jitter)
            .field("negative_ttl", &self.negative_ttl)
            .field("shards", &self.shards)
            .field("expire_on_sweep_only", &self.expire_on_sweep_only)
            .field("record_stats", &self.record_stats)
            .finish_non_exhaustive()
    }
}
