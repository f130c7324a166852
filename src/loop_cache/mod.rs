//! Work that is done again and again, with readers who never wait for it.
//!
//! A [`LoopCache`] calls a [`Doer`] at an interval and publishes each result as an immutable
//! [`View`]. Readers take the newest view as it is; the Doer may take an hour or hang for ever,
//! they do not notice but by the age of the data.

mod builder;
mod doer;
mod driver;
mod publisher;
mod reader;
mod settings;
mod shared;
mod view;
mod waits;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use builder::LoopCacheBuilder;
pub use doer::Doer;
#[cfg(feature = "capi")]
pub(crate) use driver::{Driven, Next};
pub use reader::Reader;
pub use settings::Schedule;
pub use view::{Entries, LoopEntry, Reading, Snapshot, View};
pub use waits::{Changed, Refresh};

use crate::clock::Tick;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::sync::atomic::Ordering;
use crate::wait::Wait;
use shared::Shared;
use waits::{First, Newer, Requested};

/// Calls a Doer at an interval and keeps its last results for readers.
///
/// It is not `Clone`, since dropping it stops the loop: share it by reference or in an [`Arc`], and
/// give each thread a [`reader`](LoopCache::reader).
///
/// # Life
/// [`start`](LoopCache::start) runs the loop on a thread of its own, or on a
/// [scheduler](LoopCacheBuilder::scheduler) that many share; [`run`](LoopCache::run) on the
/// caller's. Either ends by [`stop`](LoopCache::stop), by its [`Context`], or when the loop cache
/// is dropped, and after a stop it may be started again; results stay. Dropping a loop cache asks
/// the loop to stop but does not wait for a call of the Doer that is under way; its thread ends,
/// and the Doer is dropped, when that call returns.
///
/// # What readers see
/// Results appear one by one, in order, and a thread never sees an older state after a newer one. A
/// result that was published before a reader's call began, in the sense of happens-before, is seen
/// by it.
///
/// # Panics
/// A Doer's panic is recorded as an entry's error; a panic of a value's or the Doer's destructor,
/// or of a logger, is contained. No method panics.
///
/// ```
/// use docache::LoopCache;
/// use std::time::Duration;
///
/// let cache = LoopCache::builder(|| std::fs::read_to_string("/proc/uptime"))
///     .interval(Duration::from_millis(100))
///     .capacity(10)
///     .build()?;
/// cache.start()?;
/// let first = cache.wait_first(Duration::from_secs(10))?;
/// println!("{}", *first);
/// # Ok::<(), docache::Error>(())
/// ```
#[doc(alias = "ticker")]
#[doc(alias = "periodic")]
pub struct LoopCache<T: Send + Sync + 'static> {
    shared: Arc<Shared<T>>,
}

/// Counters of a loop cache since it was built.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LoopCacheStats {
    /// Calls of the Doer that have ended.
    pub calls: u64,
    /// Those that failed or panicked.
    pub failures: u64,
    /// Those that panicked.
    pub panics: u64,
    /// Failures since the last success.
    pub consecutive_failures: u64,
    /// The last failure's error, also after later successes.
    pub last_error: Option<Error>,
    /// Ticks of a fixed rate that came before or during calls, and that no call was made for.
    pub skipped_ticks: u64,
    /// How long the last call took.
    pub last_duration: Duration,
    /// How long after it was due the last call began; zero for a refresh.
    pub last_lateness: Duration,
    /// The greatest lateness of all calls.
    pub max_lateness: Duration,
    /// Whether the loop is running.
    pub running: bool,
}

impl<T: Send + Sync + 'static> LoopCache<T> {
    /// A builder around `doer`, which may be a closure that returns a `Result`.
    ///
    /// ```
    /// use docache::LoopCache;
    /// let builder = LoopCache::builder(|| Ok::<_, &str>("data"));
    /// ```
    pub fn builder(doer: impl Doer<Output = T> + Send + 'static) -> LoopCacheBuilder<T> {
        LoopCacheBuilder::new(doer)
    }

    fn new(shared: Arc<Shared<T>>) -> LoopCache<T> {
        LoopCache { shared }
    }

    /// Starts the loop on a thread of its own, or on the
    /// [scheduler](LoopCacheBuilder::scheduler) that it was built with; the first call of the Doer
    /// comes at once (or after the first delay).
    ///
    /// Returns whether this call did it: `false` if the loop was running, or another start was
    /// first. If it is about to stop, a new run follows as soon as the Doer's call ends.
    ///
    /// On Unix the thread blocks all signals but SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP, as
    /// all threads of this crate do, so that signals go to threads that expect them. Threads and
    /// processes that the Doer starts inherit that.
    ///
    /// # Errors
    /// The context's error if the loop cache's context is done;
    /// [`Internal`](crate::ErrorKind::Internal) if the system gives no thread;
    /// [`Closed`](crate::ErrorKind::Closed) if the scheduler was shut down, and in the child of a
    /// fork that fell into the Doer's call (see the [crate's page](crate#fork)).
    ///
    /// ```
    /// # let cache = docache::LoopCache::builder(|| Ok::<_, std::io::Error>(7))
    /// #     .interval(std::time::Duration::from_secs(1)).build()?;
    /// assert!(cache.start()?);
    /// assert!(!cache.start()?);
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn start(&self) -> Result<bool> {
        self.kept().start()
    }

    /// Runs the loop on the calling thread until `context` is done or [`stop`](LoopCache::stop) is
    /// called.
    ///
    /// # Errors
    /// The error of `context`, or of the loop cache's own, when that is what ended it;
    /// [`Busy`](crate::ErrorKind::Busy) if the loop is running already.
    ///
    /// ```
    /// use docache::{Context, LoopCache};
    /// let ctx = Context::new();
    /// let end = ctx.clone();
    /// let cache = LoopCache::builder(move || Ok::<_, &str>(end.cancel()))
    ///     .interval(std::time::Duration::from_secs(1))
    ///     .build()?;
    /// assert!(cache.run(&ctx).unwrap_err().is_cancelled());
    /// assert_eq!(cache.latest().as_deref(), Some(&true));
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn run(&self, context: &Context) -> Result<()> {
        self.kept().run(context)
    }

    /// Stops the loop and waits until the Doer's call under way, if any, has ended. A loop that is
    /// not running is fine.
    ///
    /// Called from inside the Doer it asks the loop to stop and returns at once.
    ///
    /// ```
    /// # let cache = docache::LoopCache::builder(|| Ok::<_, std::io::Error>(7))
    /// #     .interval(std::time::Duration::from_secs(1)).build()?;
    /// cache.start()?;
    /// cache.stop();
    /// assert!(!cache.is_running());
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn stop(&self) {
        // Without a limit there is nothing that can fail.
        let _ = self.kept().stop(None);
    }

    /// Like [`stop`](LoopCache::stop), but waits no longer than `timeout`, on the loop cache's
    /// clock.
    ///
    /// # Errors
    /// [`Timeout`](crate::ErrorKind::Timeout) if the Doer is still in its call. The request stands:
    /// the loop stops when the call returns, and until then a [`start`](LoopCache::start) asks for
    /// another run after it.
    ///
    /// ```
    /// # let cache = docache::LoopCache::builder(|| Ok::<_, std::io::Error>(7))
    /// #     .interval(std::time::Duration::from_secs(1)).build()?;
    /// cache.start()?;
    /// cache.stop_within(std::time::Duration::from_secs(10))?;
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn stop_within(&self, timeout: Duration) -> Result<()> {
        self.kept().stop(Some(timeout))
    }

    /// For calls beside which the Doer is called: where a binding frees handles, it may free this
    /// one.
    fn kept(&self) -> Arc<Shared<T>> {
        self.shared.clone()
    }

    /// Whether a run exists, including one that has been asked to stop and is still in the Doer's
    /// call.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.shared.lock().is_running()
    }

    /// The last success, or `None` before the first.
    ///
    /// Lock-free, and wait-free while the thread holds fewer than eight readings. See
    /// [`reader`](LoopCache::reader) for a way that is cheaper still.
    ///
    /// ```
    /// # let cache = docache::LoopCache::builder(|| Ok::<_, std::io::Error>(7))
    /// #     .interval(std::time::Duration::from_secs(1)).build()?;
    /// assert!(cache.latest().is_none());
    /// cache.start()?;
    /// cache.wait_first(None)?;
    /// assert_eq!(*cache.latest().unwrap(), 7);
    /// # Ok::<(), docache::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn latest(&self) -> Option<Reading<'_, T>> {
        Reading::new(self.shared.output.view.load(), &*self.shared.settings.clock)
    }

    /// The results kept, as one immutable whole: O(1), sharing and not copying them. Lock-free.
    #[inline]
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<T> {
        Snapshot(self.shared.output.view.load_full())
    }

    /// A handle for one thread, whose steady-state read is a single atomic load.
    #[must_use]
    pub fn reader(&self) -> Reader<T> {
        Reader::new(self.shared.clone())
    }

    /// How many results have been published: one load, wait-free.
    ///
    /// Whoever sees a version finds that view or a newer one. The counter follows the view by an
    /// instant, so a snapshot may show a version that is one ahead of it.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u64 {
        // Acquire: who sees a version finds that view, or a newer one.
        self.shared.output.version.load(Ordering::Acquire)
    }

    /// The version word itself, for bindings that keep a copy of their own.
    #[cfg(feature = "capi")]
    pub(crate) fn version_word(&self) -> *const u64 {
        let word: &crate::sync::atomic::AtomicU64 = &self.shared.output.version;
        std::ptr::from_ref(word).cast()
    }

    /// The first success, to wait for.
    #[cfg(feature = "capi")]
    pub(crate) fn first(&self) -> impl Future<Output = Result<()>> + Send + use<T> {
        Wait::new(First { shared: self.shared.clone() })
    }

    /// Asks the loop to stop; what is left to wait for, if anything.
    #[cfg(feature = "capi")]
    pub(crate) fn begin_stop(&self) -> Option<impl Future<Output = ()> + Send + use<T>> {
        self.shared.begin_stop()
    }

    /// Waits for the first success, but not longer than `timeout` on the loop cache's clock
    /// (`None`: no limit; zero: only look). Blocks.
    ///
    /// # Errors
    /// [`Timeout`](crate::ErrorKind::Timeout), which names the last failure if there was one;
    /// [`Reentrant`](crate::ErrorKind::Reentrant) inside the Doer; the context's error once the
    /// loop cache's context is done. A loop that is not running is waited for: somebody may start
    /// it.
    pub fn wait_first(&self, timeout: impl Into<Option<Duration>>) -> Result<Reading<'_, T>> {
        let timeout = timeout.into();
        let first = Wait::new(First { shared: self.shared.clone() });
        match waits::block(&self.shared, first, timeout, "the first success") {
            Ok(outcome) => outcome?,
            Err(error) if error.is_timeout() => {
                let last = self.stats().last_error;
                let last =
                    last.map_or(String::new(), |last| format!("; the Doer's last error: {last}"));
                return Err(Error::timeout(&format!("the first success{last}")));
            }
            Err(error) => return Err(error),
        }
        Ok(self.latest().unwrap_or_else(|| unreachable!("a success stays")))
    }

    /// A result newer than version `since`, to wait for: a future, and on threads
    /// [`wait`](Changed::wait).
    ///
    /// ```
    /// # let cache = docache::LoopCache::builder(|| Ok::<_, std::io::Error>(7))
    /// #     .interval(std::time::Duration::from_millis(1)).build()?;
    /// cache.start()?;
    /// let mut seen = cache.version();
    /// for _ in 0..3 {
    ///     seen = cache.changed(seen).wait(None)?;
    /// }
    /// assert!(seen >= 3);
    /// # Ok::<(), docache::Error>(())
    /// ```
    #[doc(alias = "subscribe")]
    #[doc(alias = "watch")]
    pub fn changed(&self, since: u64) -> Changed<T> {
        Changed(Wait::new(Newer { shared: self.shared.clone(), since }))
    }

    /// Asks for a call of the Doer now, that is: for one that begins after this. The request is
    /// made at once; wait for the result, or drop the [`Refresh`]. Requests that meet while the
    /// Doer is busy share its next call.
    #[must_use = "wait for it, or use `let _ =` if the request is all you want"]
    #[doc(alias = "poll")]
    pub fn refresh(&self) -> Refresh<T> {
        let owed = self.shared.request();
        Refresh(Wait::new(Requested { shared: self.shared.clone(), owed }))
    }

    /// The counters. Takes a short lock.
    #[must_use]
    pub fn stats(&self) -> LoopCacheStats {
        self.shared.lock().stats()
    }

    /// The time on this loop cache's clock, for [`LoopEntry::age_at`].
    #[must_use]
    pub fn now(&self) -> Tick {
        self.shared.now()
    }
}

impl<T: Send + Sync + 'static> Drop for LoopCache<T> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for LoopCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopCache")
            .field("name", &self.shared.settings.name)
            .field("interval", &self.shared.settings.interval)
            .field("version", &self.version())
            .field("running", &self.is_running())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, docache_loom))]
mod model;
