//! Expensive work, done once and shared.
//!
//! Many callers often want the same thing at once: a query, a remote call, a reading. docache does
//! the work once and shares the result: a call that is already running is not repeated for callers
//! whom it can still serve, a reader never waits for a writer, and whoever reads after a write sees
//! it.
//!
//! # Which type
//!
//! | what you have | what you want | take |
//! |---|---|---|
//! | something to look at again and again | a recent result, at once, whoever asks | [`LoopCache`] |
//! | work that many want at the same time | one run that they share; nothing is kept | [`KeyedGroup`]; [`Group`] where there is one key |
//! | results that are good for a while | a bounded cache with expiry, and one load for each key that is missing | [`Cache`] |
//! | results that many processes share, or that are better stale than late | one load for all of them, kept in a [store](echo::Store) | [`EchoCache`](echo::EchoCache); [`LazyEchoCache`](echo::LazyEchoCache) serves stale values at once |
//! | parts of a program that live and end together | to start them, stop them all when one fails or a signal comes, in order and with deadlines, and know who did not stop | [`run::Group`] |
//! | work that is to be done again and again, whatever it fails with | to repeat it until it is told to stop, with pauses and backoffs | [`run::Loop`] |
//! | thousands of loop caches, caches to be swept or refreshed, or calls that are to come later | to have them on a few threads | [`run::Scheduler`] |
//! | a call that may succeed if it is made again | to retry it, by rules | [`run::retry()`], [`run::Retry`] |
//! | callers who cannot wait for ever | to give up waiting, at a deadline or when told to | [`Context`], with [options](Cache::options) of a fetch, and the forms of groups that end in `_in` |
//!
//! ## A result on a schedule
//!
//! ```
//! use std::time::Duration;
//!
//! let load = docache::LoopCache::builder(|| std::fs::read_to_string("/proc/loadavg"))
//!     .interval(Duration::from_millis(100))
//!     .build()?;
//! load.start()?;
//! println!("{}", load.wait_first(Duration::from_secs(5))?.trim());
//!
//! let mut reader = load.reader(); // one for each thread: a read is one atomic load
//! assert!(reader.value().is_some());
//! # Ok::<(), docache::Error>(())
//! ```
//!
//! ## One run for all who ask
//!
//! ```
//! let squares = docache::KeyedGroup::<u64, u64>::new();
//! std::thread::scope(|scope| {
//!     for _ in 0..8 {
//!         // Those who come while a run is under way wait for it and share what it returns.
//!         scope.spawn(|| assert_eq!(*squares.run(&12, || 12 * 12), 144));
//!     }
//! });
//! ```
//!
//! ## Results that are kept
//!
//! ```
//! use std::time::Duration;
//!
//! let lengths: docache::Cache<String, usize> = docache::Cache::builder()
//!     .capacity(10_000)
//!     .time_to_live(Duration::from_secs(60)) // 15 minutes if nothing is said
//!     .build()?;
//! assert_eq!(lengths.fetch("ada", || "ada".len()), 3); // runs the closure, once
//! assert_eq!(lengths.get("ada"), Some(3)); // no lock, no waiting
//! # Ok::<(), docache::Error>(())
//! ```
//!
//! ## Results that a store keeps
//!
//! ```
//! use docache::echo::{EchoCache, MemoryStore, Status};
//!
//! let reports = EchoCache::<_, String, std::io::Error>::new(MemoryStore::new(1_000));
//! let report = reports.fetch("today", || Ok("a report".to_owned())).unwrap();
//! assert_eq!(report.status, Status::Loaded);
//! let again = reports.fetch("today", || unreachable!("it is there")).unwrap();
//! assert_eq!(again.status, Status::Fresh);
//! ```
//!
//! ## Parts that live and end together
//!
//! ```
//! use docache::run::{Actor, Backoff, Group, Retry};
//! use std::time::Duration;
//!
//! let mut group = Group::new().deadline(Duration::from_secs(10));
//! // With the feature `signals`, Ctrl-C and SIGTERM end it in order, too:
//! // group.add(docache::run::signals(docache::run::DEFAULT_SIGNALS)?);
//! group.add(Actor::with_context("server", |ctx| {
//!     ctx.wait(None); // serves until it is interrupted
//!     Ok::<(), std::io::Error>(())
//! }));
//! let handle = group.handle();
//! group.add(Actor::new("import", move || {
//!     let backoff = Backoff::exponential(Duration::from_millis(1));
//!     let policy = Retry::new().backoff(backoff).budget(Duration::from_secs(5));
//!     let text = policy.run(|_| std::fs::read_to_string("/proc/version"))?;
//!     println!("{text}");
//!     handle.stop();
//!     Ok::<(), docache::BoxError>(())
//! }));
//! group.run()?; // an error if an actor failed, or has not stopped in time
//! # Ok::<(), docache::run::RunError>(())
//! ```
//!
//! # Async
//!
//! The forms that end in `_async` return futures that work on any executor and need no feature.
//! Threads and tasks share runs, loads and entries. The work of a call belongs to the task that
//! runs it: if that task is dropped, another one that waits takes over, with its own closure. A
//! load that is to survive the timeout of its caller is [detached](FetchOptions::detached),
//! by means of a function that spawns it.
//!
//! With tokio:
//!
//! ```
//! use docache::{Cache, Context};
//! use std::{sync::Arc, time::Duration};
//!
//! # async fn query(name: &str) -> Arc<str> { name.into() }
//! #[tokio::main]
//! async fn main() -> Result<(), docache::Error> {
//!     let reports: Cache<String, Arc<str>> = Cache::builder().capacity(1_000).build()?;
//!     let mut handlers = tokio::task::JoinSet::new();
//!     for _ in 0..100 {
//!         let reports = reports.clone(); // the same cache
//!         handlers.spawn(async move { reports.fetch_async("today", || query("today")).await });
//!     }
//!     assert_eq!(handlers.join_all().await.len(), 100); // and one query
//!
//!     let patience = Context::new().with_timeout(Duration::from_secs(1));
//!     let options = reports.options().context(&patience);
//!     let detached = options.detached(|load| drop(tokio::spawn(load)));
//!     let report = detached.try_fetch_async("year", || async { Ok(query("year").await) }).await;
//!     assert_eq!(&*report.unwrap(), "year");
//!     Ok(())
//! }
//! ```
//!
//! In axum a cache is a part of the state:
//!
//! ```
//! use axum::{Router, extract::{Path, State}, http::StatusCode, routing::get};
//! use docache::Cache;
//! use std::{io, sync::Arc};
//!
//! type Pages = Cache<String, Arc<str>, io::Error>;
//!
//! async fn page(
//!     State(pages): State<Pages>,
//!     Path(name): Path<String>,
//! ) -> Result<String, (StatusCode, String)> {
//!     let render = || async { Ok(format!("page {name}").into()) };
//!     match pages.try_fetch_async(&name, render).await {
//!         Ok(page) => Ok(page.to_string()),
//!         Err(error) => Err((StatusCode::BAD_GATEWAY, error.to_string())),
//!     }
//! }
//!
//! let pages: Pages = Cache::builder().capacity(1_000).build()?;
//! let app: Router = Router::new().route("/{name}", get(page)).with_state(pages);
//! # Ok::<(), docache::Error>(())
//! ```
//!
//! # Observing
//!
//! - The [report](run::Report) of a group: why it stopped, what failed, who has not stopped.
//! - `stats()` of a [loop cache](LoopCache::stats) and of a [cache](Cache::stats); hits and misses
//!   are counted [on request](CacheBuilder::record_stats).
//! - A [`Logger`] hears of starts, stops and failures of a loop; a
//!   [listener](CacheBuilder::on_evict) of what leaves a cache, and why.
//!
//! # Tuning
//!
//! - Read a loop cache through a [`Reader`] of the thread's own; read many keys of a cache under
//!   one [`pin`](Cache::pin), which also lends values instead of cloning them. Large values go into
//!   an `Arc`.
//! - Give a cache a limit. With a [weigher](CacheBuilder::weigher) it is one of bytes, or of
//!   whatever it weighs. [`EvictionPolicy::Adaptive`] resists scans; [`EvictionPolicy::Lru`] is
//!   strict, and its hits take a lock.
//! - [Jitter](CacheBuilder::ttl_jitter) keeps what was stored together from expiring together.
//!
//! # Troubleshooting
//!
//! - *Values vanish after a quarter of an hour*: that is the default time to live.
//! - *Hits and misses are 0*: they are counted only with
//!   [`record_stats`](CacheBuilder::record_stats).
//! - *A call returns [`Reentrant`](ErrorKind::Reentrant), or panics and names a key*: it was made
//!   from inside the very work that it would wait for. Two pieces of work that wait for each
//!   other's keys are a deadlock that is not found out.
//! - *Memory does not go back after values were removed*: somebody holds a guard ([`Cache::pin`],
//!   or an iterator); `stats().retired` says how much it holds up.
//! - *The first `fetch` of a key is slow for many at once*: they wait for one load. A
//!   [context](FetchOptions::context) with a deadline ends waiting for somebody else's load, not a
//!   load that the caller runs itself; a task that must not wait for its own either fetches
//!   [detached](FetchOptions::detached).
//!
//! # Guarantees
//!
//! | operation | progress | sees | when user code panics | when cancelled |
//! |---|---|---|---|---|
//! | [`Reader::latest`], [`Reader::view`] | wait-free while nothing is published; else lock-free | the newest view published before the call, never one older than its last | – | – |
//! | [`LoopCache::latest`] | lock-free, wait-free in the common case | the newest view published before the call | – | – |
//! | [`LoopCache::snapshot`] | lock-free, wait-free in the common case | as `latest`; it never changes | – | – |
//! | [`LoopCache::version`] | wait-free | a version whose view is visible | – | – |
//! | [`Changed`], [`Refresh`]; [`LoopCache::wait_first`] | block, or are futures; `wait_first` blocks | what was published before the wake-up | the panic is an entry's error, and [`Refresh`] yields that entry | leaves its queue; nobody else notices |
//! | [`LoopCache::start`], [`LoopCache::refresh`], [`LoopCache::stats`] | short lock | – | – | – |
//! | [`LoopCache::stop`] | blocks until the Doer's call ends | all results of the run | – | [`stop_within`](LoopCache::stop_within): the request stands |
//! | publishing a result | lock-free, O(log capacity); then a wake-up for each waiter | – | the panic of a value's destructor is contained | – |
//! | [`Group::run`], [`KeyedGroup::run`], `try_run`: the call that leads | a short lock before and after the work, then one wake-up however many threads wait (one for each task where no thread waits) | – | goes on in this call; those that joined get [`Panicked`](FlightError::Panicked), or panic if they cannot fail | the run goes on |
//! | the same: a call that joins | a short lock, then blocks | the outcome of the run that it joined, and all that this run did | – | [`run_in`](KeyedGroup::run_in): leaves; nobody else notices |
//! | [`run_async`](KeyedGroup::run_async), [`try_run_async`](KeyedGroup::try_run_async) | the same, as futures; no runtime is needed | the same | the same | dropping the future that leads hands the lead to a call that waits; dropping another leaves |
//! | [`KeyedGroup::run_many`], [`try_run_many`](KeyedGroup::try_run_many) | the same; never waits while it leads | the same, for each key | all keys of that call of the work fail | [`try_run_many_in`](KeyedGroup::try_run_many_in): leaves |
//! | [`KeyedGroup::forget`]; [`in_flight`](KeyedGroup::in_flight) | short lock; one of each shard | – | – | – |
//! | [`Cache::get`], [`Pinned::get`], [`Cache::contains_key`], [`Cache::get_many`] | lock-free; with [`EvictionPolicy::Lru`] a hit takes a short lock besides | what was written before the call; never what was replaced, removed or expired by then | a `Clone` that panics does so in its caller | – |
//! | [`Pinned::iter`], [`Cache::iter`] | lock-free | for each entry as `get`, at the moment at which the iterator gets there | as `get` | – |
//! | [`Cache::insert`], [`Cache::try_insert`], [`Cache::remove`], and their kin | short lock of one shard | takes effect at once, for all; beats loads of the key | destructors and the listener are contained; a `Clone` in `remove` panics in its caller, and the key is gone | – |
//! | [`Cache::fetch`], [`Cache::try_fetch`], on a hit | as `get` | as `get` | – | – |
//! | the same, and [`fetch_async`](Cache::fetch_async), on a miss | as [`KeyedGroup::run`] and [`run_async`](KeyedGroup::run_async), and two short locks of a shard | the outcome of the run that it joined; the value is in the cache before the run ends | as [`KeyedGroup::run`] | as [`KeyedGroup::run_in`]; a [detached](FetchOptions::detached) load goes on |
//! | [`Cache::fetch_many`], [`Cache::try_fetch_many`] | as [`KeyedGroup::run_many`] | as `fetch`, for each key | as [`KeyedGroup::run_many`] | – |
//! | [`Cache::clear`], [`Cache::purge_expired`], the sweep | short locks, O(entries) | shard by shard | contained | – |
//! | [`Cache::len`], [`Cache::weight`], [`Cache::stats`] | short lock of each shard | shard by shard | – | – |
//! | [`Cache::flush`] | short locks; may yield | values that nobody can see are dropped by its return, if it says so | contained | – |
//! | [`EchoCache::fetch`](echo::EchoCache::fetch), on a hit | as the store's `get`; in a [`MemoryStore`](echo::MemoryStore) as [`Cache::get`] | as the store's `get` | a store's panic is a failure of the store | – |
//! | the same on a miss, and [`fetch_async`](echo::EchoCache::fetch_async) | as [`KeyedGroup::run_async`], and the store's calls | the outcome of the run that it joined; the value is in the store before the run ends | as [`KeyedGroup::run`]; the refresh lock is given back | as [`KeyedGroup::run_async`]; the refresh lock is given back |
//! | [`LazyEchoCache::fetch`](echo::LazyEchoCache::fetch), on a stale hit | the store's `get`, and a short lock | as the store's `get` | a refresh that panics is counted and told | – |
//! | [`LazyEchoCache::shutdown`](echo::LazyEchoCache::shutdown) | blocks until the refreshes end, or its deadline | – | – | – |
//! | [`run::Group::run`], [`run::Loop::run`] | block until all have stopped, or to the deadline of each stage | all that those did who have stopped | interrupts the others, then goes on in this call; in a loop it is a failure like others | interrupts all and waits for them |
//! | [`run::Handle`] | short lock | – | – | – |
//! | [`run::retry()`], [`run::Retry::run`] | the attempts, and the waits between them, which block | – | goes on in this call | ends the wait at once |
//! | [`run::retry_async`], [`run::Retry::run_async`] | the same, as a future; no runtime is needed | – | the same | the same |
//! | [`run::Scheduler::schedule_after`], [`run::Scheduled::cancel`], [`run::Scheduler::stats`] | short lock, O(1); the first may start a thread or wake one | – | a closure's panic is contained and counted | – |
//! | [`run::Scheduler::shutdown`], [`shutdown_within`](run::Scheduler::shutdown_within) | blocks until the calls under way end (or its limit), but inside one of them | – | – | – |
//! | [`Context::is_done`], [`Context::error`] | wait-free | what happened before the cancellation | – | – |
//! | [`Context::cancel`], [`Context::child`], [`Context::on_cancel`] | short lock; `cancel` runs the hooks | – | a hook's panic is contained | – |
//! | [`CoarseClock`] | wait-free while it ticks | a time about 1 ms old; older while the machine is too busy to tick | – | – |
//!
//! "Lock-free" is said only of operations on whose path no lock lies; the protocols above them are
//! model-checked with loom. The value cell is the arc-swap crate's. The cache's readers are guarded
//! by plain stores and, for those who reclaim, Linux's `membarrier`; where there is none, by
//! crossbeam-epoch.
//!
//! # Signals
//!
//! On Unix the threads of this crate block all signals but SIGSEGV, SIGBUS, SIGFPE, SIGILL and
//! SIGTRAP. What a [`Doer`] or an actor of a [`run::Group`] starts inherits that (processes that
//! [`std::process::Command`] starts do not).
//!
//! # Fork
//!
//! After `fork` (and `daemon`, but not `vfork` or a bare system call) the child works with all that
//! it has from its parent, though it has none of the parent's other threads: time goes on, what
//! expires is swept, alarms ring. The threads for that start when the child first uses something
//! that needs them, and those that fork and go on to `exec` start none.
//!
//! - Caches are whole in the child, also where other threads were writing. An entry that another
//!   thread was just dropping, or showing to the listener, is not dropped there.
//! - Loads and runs of other threads are not joined or waited for: their keys are free. Guards of
//!   other threads hold nothing up. A call that leads and forks inside its work comes to its end in
//!   both processes. A future that waited is to be polled once more; it may then lead.
//! - A [`LoopCache`] whose loop ran on another thread is not running, and can be started again with
//!   the Doer as it is. If the fork fell into a call of a Doer written in Rust, that is half-way
//!   through it; it is then left where it is and never dropped, and `start` and `run` fail with
//!   [`Closed`](ErrorKind::Closed). A loop whose own thread forks goes on in the child.
//! - A [`run::Group`] or [`run::Loop`] that other threads run is over there: nobody waits for its
//!   actors, its handles do nothing, and its signals do what they did before.
//! - A [`run::Scheduler`] has nothing scheduled there but a call that forks, which goes on.
//!   Closures that waited, or were in calls on other threads, are neither called nor dropped.
//!   Caches that it sweeps or refreshes are so in the child, too.
//! - Refresh locks of other threads in a [`MemoryStore`](echo::MemoryStore) are free. Refreshes
//!   that wait or run stay the parent's.
//! - Waits and calls of the C ABI that another thread was just polling end there with
//!   [`Closed`](ErrorKind::Closed).
//! - A [`ManualClock`] that another thread was just setting an alarm on must not be used in the
//!   child. (All else that a process shares among threads, such as a lock in a closure, is as usual
//!   the program's own matter.)
//!
//! `fork` waits for other threads to leave the locks of caches and loop caches, which they hold for
//! moments. It must not be called from a key's `Hash` or `Eq`. And it must not fall into the first
//! use of this crate by another thread: make something before you start threads that fork beside
//! others.
//!
//! # Features
//! - `capi`: the `extern "C"` functions of `include/docache.h`.
//! - `signals`: `run::signals`, an actor that ends a group at a signal (on Unix).
//! - `full`: everything.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod clock;
mod contain;
mod context;
pub mod echo;
mod error;
mod executor;
#[cfg(all(feature = "capi", not(docache_loom)))]
#[cfg_attr(docsrs, doc(cfg(feature = "capi")))]
pub mod ffi;
mod flight;
mod housekeeping;
mod latest;
mod lock;
mod log;
mod loop_cache;
pub mod run;
mod sync;
mod wait;

#[doc(alias = "RemovalCause")]
pub use cache::Cause;
pub use cache::{
    Cache, CacheBuilder, CacheStats, DetachedFetch, EvictionPolicy, FetchKey, FetchOptions, Iter,
    Loaded, Lookup, Pinned, WaitLimit,
};
pub use clock::{Alarm, Clock, CoarseClock, ManualClock, SystemClock, Tick};
pub use context::{Cancelled, Context, Hook};
pub use error::{BoxError, Error, ErrorKind, Result};
pub use executor::Executor;
pub use flight::{FlightError, GroupBuilder, Shared};
// An alias of a type is found where the type is re-exported.
#[doc(alias = "singleflight")]
#[doc(alias = "dedup")]
pub use flight::{Group, KeyedGroup};
pub use log::{Level, Logger, Record};
pub use loop_cache::{
    Changed, Doer, Entries, LoopCache, LoopCacheBuilder, LoopCacheStats, LoopEntry, Reader,
    Reading, Refresh, Schedule, Snapshot, View,
};

#[cfg(all(doctest, feature = "redis"))]
#[doc = include_str!("../README.md")]
struct ReadmePrograms;
