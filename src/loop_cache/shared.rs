//! The state that a loop cache, its runner, its readers and its waiters share.
//!
//! # State
//! - `view`, `version`: what is published. Written by the runner alone.
//! - `control`: runs, the Doer's home, requests. Behind a mutex that is held for a few instructions
//!   at a time.
//! - `changed`: everyone who waits for a result, for the end of a run, or for the end of it all.
//! - `wake`: the runner, asleep between two calls.
//!
//! # Invariants
//! - ONE-RUNNER: a run exists exactly while `ended < run`, and only its `Run` guard (see `runner`)
//!   calls the Doer and publishes.
//! - HOME: `work` is `Some` exactly while no run exists and the loop cache is not closed.
//! - VERSION: the published view is never older than the version word says. The view is stored
//!   before the word, so who reads a word finds a view of that version or a newer one.
//! - ORDER: a call counts as `done` only after its result was published.
//! - OVER: once `closed` or `context_done` is set and no run is left, nothing will be published any
//!   more.
//!
//! # Orderings
//! The word is stored with Release after the view and loaded with Acquire. Every change that a
//! waiter may wait for is followed by a notification of its list, whose fence pairs with the
//! waiter's (see `wait`).

use std::ops::Deref;
use std::sync::Arc;
#[cfg(not(docache_loom))]
use std::sync::{OnceLock, Weak};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use super::LoopCacheStats;
use super::doer::Lent;
use super::doer::Work;
use super::settings::Settings;
use super::view::View;
#[cfg(not(docache_loom))]
use crate::clock;
use crate::clock::Tick;
use crate::contain::drop_contained;
use crate::context::Hook;
use crate::error::{Error, ErrorKind};
use crate::latest::Latest;
use crate::lock::{Lock, LockGuard};
use crate::log::Level;
use crate::sync::atomic::AtomicU64;
#[cfg(not(docache_loom))]
use crate::sync::fork::{self, ForkRegistration};
use crate::sync::prefetch::prefetch;
use crate::sync::thread::{self, JoinHandle, Token};
use crate::wait::WaitList;

/// What each call reads and writes comes first, so that it lies together with the lock.
#[repr(C)]
pub(super) struct Control<T> {
    /// The number of the newest run that has ended.
    pub(super) ended: u64,
    /// Calls of the Doer begun, and ended, over all runs.
    pub(super) begun: u64,
    pub(super) done: u64,
    /// The number of the call that the last refresh asked for.
    pub(super) wanted: u64,
    /// The thread that runs, while one does.
    pub(super) runner: Option<Token>,
    /// The run has been asked to end.
    pub(super) stopping: bool,
    /// A context asked it, and nobody before.
    pub(super) by_context: bool,
    /// The host drives the run: nobody waits for its end who could be the host.
    pub(super) driven: bool,
    /// Another run has been asked for, to begin when the one that is stopping has ended.
    pub(super) restart: bool,
    /// The context that the loop cache lives in is done.
    pub(super) context_done: bool,
    /// The loop cache was dropped.
    pub(super) closed: bool,
    pub(super) counters: Counters,
    /// The number of the newest run; 0 before the first.
    pub(super) run: u64,
    /// The Doer, while nobody runs it (HOME).
    pub(super) work: Option<Box<dyn Work<T>>>,
    /// Where the Doer of a run on a thread lies, for the child of a fork.
    pub(super) lent: Option<Lent<T>>,
    /// The thread that was started for a run, until somebody joins it.
    pub(super) thread: Option<(u64, JoinHandle<()>)>,
    pub(super) hook: Option<Hook>,
}

/// What [`LoopCacheStats`] shows, times in nanoseconds.
#[derive(Default)]
#[repr(C)]
pub(super) struct Counters {
    pub(super) calls: u64,
    pub(super) skipped_ticks: u64,
    pub(super) last_duration: u64,
    pub(super) last_lateness: u64,
    pub(super) max_lateness: u64,
    pub(super) consecutive_failures: u64,
    pub(super) failures: u64,
    pub(super) panics: u64,
    pub(super) last_error: Option<Error>,
}

impl<T> Control<T> {
    pub(super) fn stats(&self) -> LoopCacheStats {
        let counters = &self.counters;
        LoopCacheStats {
            calls: counters.calls,
            failures: counters.failures,
            panics: counters.panics,
            consecutive_failures: counters.consecutive_failures,
            last_error: counters.last_error.clone(),
            skipped_ticks: counters.skipped_ticks,
            last_duration: Duration::from_nanos(counters.last_duration),
            last_lateness: Duration::from_nanos(counters.last_lateness),
            max_lateness: Duration::from_nanos(counters.max_lateness),
            running: self.is_running(),
        }
    }
}

impl<T> Control<T> {
    pub(super) fn is_running(&self) -> bool {
        self.ended < self.run
    }

    /// Asks the run to end, and leaves alone what was asked for after it.
    fn stop_by_context(&mut self) {
        if self.is_running() && !self.stopping {
            self.stopping = true;
            self.by_context = true;
        }
    }

    /// Asks the run to end and takes back a start after it; the number of that run.
    pub(super) fn stop(&mut self) -> Option<u64> {
        self.restart = false;
        self.is_running().then(|| {
            self.stopping = true;
            self.run
        })
    }
}

/// What a publication writes and those look at who wait for one: in one cache line.
#[repr(C)]
pub(super) struct Output<T> {
    pub(super) view: Latest<View<T>>,
    pub(super) version: AtomicU64,
    pub(super) changed: WaitList,
}

pub(super) struct Shared<T> {
    pub(super) settings: Settings,
    pub(super) output: CachePadded<Output<T>>,
    pub(super) wake: WaitList,
    pub(super) control: CachePadded<Lock<Control<T>>>,
    /// That a fork leaves it whole.
    #[cfg(not(docache_loom))]
    fork_registration: OnceLock<ForkRegistration>,
}

impl<T: Send + Sync + 'static> Shared<T> {
    pub(super) fn new(settings: Settings, work: Box<dyn Work<T>>) -> Arc<Shared<T>> {
        let control = Control {
            work: Some(work),
            lent: None,
            run: 0,
            ended: 0,
            stopping: false,
            by_context: false,
            driven: false,
            restart: false,
            begun: 0,
            done: 0,
            wanted: 0,
            context_done: false,
            closed: false,
            runner: None,
            thread: None,
            hook: None,
            counters: Counters::default(),
        };
        let context = settings.context.clone();
        let shared = Arc::new(Shared {
            output: CachePadded::new(Output {
                view: Latest::new(View::empty(settings.capacity)),
                version: AtomicU64::new(0),
                changed: WaitList::new(),
            }),
            wake: WaitList::new(),
            control: CachePadded::new(Lock::new(control)),
            #[cfg(not(docache_loom))]
            fork_registration: OnceLock::new(),
            settings,
        });
        #[cfg(not(docache_loom))]
        {
            clock::prepare();
            let member: Weak<Shared<T>> = Arc::downgrade(&shared);
            let _ = shared.fork_registration.set(fork::register(member));
        }
        let weak = Arc::downgrade(&shared);
        let hook = context.on_cancel(move || {
            if let Some(shared) = weak.upgrade() {
                shared.context_done();
            }
        });
        shared.lock().hook = Some(hook);
        shared
    }

    pub(super) fn lock(&self) -> LockGuard<'_, Control<T>> {
        self.control.lock()
    }

    /// Asks for what a call touches.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(&*self.control);
        prefetch(&*self.output);
        prefetch(&self.settings.clock);
        prefetch(&self.settings.logger);
    }

    pub(super) fn now(&self) -> Tick {
        self.settings.clock.now()
    }

    pub(super) fn log(&self, level: Level, message: std::fmt::Arguments<'_>) {
        if let Some(logger) = &self.settings.logger {
            logger.log(level, &self.settings.name, message);
        }
    }

    fn context_done(&self) {
        let mut control = self.lock();
        control.context_done = true;
        control.restart = false;
        control.stop_by_context();
        let running = control.is_running();
        drop(control);
        self.tell_of_the_end(running);
    }

    /// Wakes those who wait for it all to be over (OVER). While there is a run it is not, and that
    /// run's end will wake them, on the runner's thread: their Wakers are foreign code, which is
    /// not to hold up who cancels a context or drops a cache.
    fn tell_of_the_end(&self, running: bool) {
        self.wake.notify_all();
        if !running {
            self.output.changed.notify_all();
        }
    }

    /// The error with which everything is over (OVER), if it is.
    pub(super) fn over(&self) -> Option<Error> {
        let control = self.lock();
        let (running, closed, done) = (control.is_running(), control.closed, control.context_done);
        drop(control);
        match (running, closed, done) {
            (true, ..) | (_, false, false) => None,
            (_, true, _) => Some(Error::new(ErrorKind::Closed, "the loop cache is gone")),
            (_, false, true) => self.settings.context.error(),
        }
    }

    /// Asks one particular run to end.
    pub(super) fn stop_run(&self, number: u64) {
        let mut control = self.lock();
        if control.run == number {
            control.stop_by_context();
        }
        drop(control);
        self.wake.notify_all();
    }

    /// Whether the calling thread is the one that runs.
    pub(super) fn is_runner(&self) -> bool {
        self.lock().runner == Some(thread::token())
    }

    /// Asks for a call that begins after this one: the number of that call and of the run that owes
    /// it.
    pub(super) fn request(&self) -> Option<(u64, u64)> {
        let mut control = self.lock();
        if !control.is_running() || control.stopping {
            return None;
        }
        control.wanted = control.begun + 1;
        let owed = (control.wanted, control.run);
        drop(control);
        self.wake.notify_all();
        Some(owed)
    }

    /// The end of the loop cache: no more runs; the Doer goes now, or with the run that has it.
    pub(super) fn close(&self) {
        let mut control = self.lock();
        control.closed = true;
        let running = control.stop().is_some();
        let (work, hook) = (control.work.take(), control.hook.take());
        drop(control);
        self.tell_of_the_end(running);
        drop(hook);
        drop_contained(work);
    }
}

/// Leads a reader from the shared state to the published view.
pub(super) struct Published<T>(pub(super) Arc<Shared<T>>);

impl<T> Deref for Published<T> {
    type Target = Latest<View<T>>;

    fn deref(&self) -> &Latest<View<T>> {
        &self.0.output.view
    }
}
