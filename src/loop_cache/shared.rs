//! The state that a loop cache, its runner, its readers and its waiters share.
//!
//! # State
//! - `view`, `version`: what is published. Written by the runner alone.
//! - `control`: runs, the Doer's home, requests. Behind a mutex that is held for a few instructions at a time.
//! - `changed`: everyone who waits for a result, for the end of a run, or for the end of it all.
//! - `wake`: the runner, asleep between two calls.
//!
//! # Invariants
//! - ONE-RUNNER: a run exists exactly while `ended < run`, and only its [`Run`] guard calls the Doer and publishes.
//! - HOME: `work` is `Some` exactly while no run exists and the loop cache is not closed.
//! - VERSION: the published view is never older than the version word says. The view is stored before the word, so
//!   who reads a word finds a view of that version or a newer one.
//! - ORDER: a call counts as `done` only after its result was published.
//! - OVER: once `closed` or `context_done` is set and no run is left, nothing will be published any more.
//!
//! # Orderings
//! The word is stored with Release after the view and loaded with Acquire. Every change that a waiter may wait for is
//! followed by a notification of its list, whose fence pairs with the waiter's (see `wait`).

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_utils::CachePadded;

use super::Stats;
use super::builder::Settings;
use super::entry::{Entry, View};
use super::runner::{self, Work};
use crate::clock::Tick;
use crate::context::{Context, Hook};
use crate::error::{Error, ErrorKind, Result};
use crate::latest::Latest;
use crate::log::Level;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::thread::{self, JoinHandle, Token};
use crate::sync::{Mutex, MutexGuard};
use crate::wait::{WaitList, block_on};

pub(super) struct Control<T> {
    /// The Doer, while nobody runs it (HOME).
    pub(super) work: Option<Box<dyn Work<T>>>,
    /// The number of the newest run; 0 before the first.
    pub(super) run: u64,
    /// The number of the newest run that has ended.
    pub(super) ended: u64,
    /// The run has been asked to end.
    pub(super) stopping: bool,
    /// Another run has been asked for, to begin when the one that is stopping has ended.
    pub(super) restart: bool,
    /// Calls of the Doer begun, and ended, over all runs.
    pub(super) begun: u64,
    pub(super) done: u64,
    /// The number of the call that the last refresh asked for.
    pub(super) wanted: u64,
    /// The context that the loop cache lives in is done.
    pub(super) context_done: bool,
    /// The loop cache was dropped.
    pub(super) closed: bool,
    /// The thread that runs, while one does.
    pub(super) runner: Option<Token>,
    /// The thread that was started for a run, until somebody joins it.
    pub(super) thread: Option<(u64, JoinHandle<()>)>,
    pub(super) hook: Option<Hook>,
    pub(super) stats: Stats,
}

impl<T> Control<T> {
    pub(super) fn is_running(&self) -> bool {
        self.ended < self.run
    }

    /// Asks the run to end; the number of that run.
    fn stop(&mut self) -> Option<u64> {
        self.restart = false;
        self.is_running().then(|| {
            self.stopping = true;
            self.run
        })
    }
}

pub(super) struct Shared<T> {
    pub(super) settings: Settings,
    pub(super) view: CachePadded<Latest<View<T>>>,
    pub(super) version: CachePadded<AtomicU64>,
    pub(super) changed: WaitList,
    pub(super) wake: WaitList,
    pub(super) control: Mutex<Control<T>>,
}

/// What [`Shared::begin`] found.
enum Begun<T: Send + Sync + 'static> {
    Run(Run<T>),
    /// A run exists; a restart was noted if it was stopping.
    Exists {
        restart: bool,
    },
}

impl<T: Send + Sync + 'static> Shared<T> {
    pub(super) fn new(settings: Settings, work: Box<dyn Work<T>>) -> Arc<Shared<T>> {
        let control = Control {
            work: Some(work),
            run: 0,
            ended: 0,
            stopping: false,
            restart: false,
            begun: 0,
            done: 0,
            wanted: 0,
            context_done: false,
            closed: false,
            runner: None,
            thread: None,
            hook: None,
            stats: Stats::default(),
        };
        let context = settings.context.clone();
        let shared = Arc::new(Shared {
            view: CachePadded::new(Latest::new(View::empty(settings.capacity))),
            version: CachePadded::new(AtomicU64::new(0)),
            changed: WaitList::new(),
            wake: WaitList::new(),
            control: Mutex::new(control),
            settings,
        });
        let weak = Arc::downgrade(&shared);
        let hook = context.on_cancel(move || {
            if let Some(shared) = weak.upgrade() {
                shared.context_done();
            }
        });
        shared.lock().hook = Some(hook);
        shared
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Control<T>> {
        self.control.lock()
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
        control.stop();
        drop(control);
        self.wake.notify_all();
        self.changed.notify_all();
    }

    /// The error with which everything is over (OVER), if it is.
    pub(super) fn over(&self) -> Option<Error> {
        let control = self.lock();
        let (running, closed, done) = (control.is_running(), control.closed, control.context_done);
        drop(control);
        match (running, closed, done) {
            (true, ..) | (_, false, false) => None,
            (_, true, _) => Some(Error::new(ErrorKind::Closed, "the loop cache was dropped")),
            (_, false, true) => self.settings.context.error(),
        }
    }

    /// Begins a run, unless there is one.
    fn begin(self: &Arc<Shared<T>>, restart: bool) -> Result<Begun<T>> {
        if let Some(error) = self.settings.context.error() {
            return Err(error);
        }
        // Here, and not on the runner's thread: the first delay counts from the call that starts it.
        let begun = self.now();
        let mut control = self.lock();
        if control.closed || control.context_done {
            let error = Error::new(ErrorKind::Cancelled, "the loop cache's context is done");
            return Err(error);
        }
        if control.is_running() {
            let restart = restart && control.stopping;
            control.restart |= restart;
            return Ok(Begun::Exists { restart });
        }
        let Some(work) = control.work.take() else {
            unreachable!("HOME: no run exists and the loop cache is not closed");
        };
        control.run += 1;
        control.stopping = false;
        Ok(Begun::Run(Run { number: control.run, begun, work: Some(work), shared: self.clone() }))
    }

    /// Starts a run on a thread of its own. Whether this call did it.
    pub(super) fn start(self: &Arc<Shared<T>>) -> Result<bool> {
        match self.begin(true)? {
            Begun::Exists { restart } => Ok(restart),
            Begun::Run(run) => self.spawn(run).map(|()| true),
        }
    }

    pub(super) fn spawn(self: &Arc<Shared<T>>, run: Run<T>) -> Result<()> {
        let number = run.number;
        // If there is no thread to be had, the closure is dropped and the run ends with it.
        let thread = thread::Builder::new()
            .name(self.settings.name.clone())
            .spawn(move || {
                thread::set_ours();
                runner::drive(run);
            })
            .map_err(|error| Error::internal("cannot start a thread", error))?;
        let mut control = self.lock();
        // A thread that is done already, or that a later run has replaced, needs nobody to join it.
        let spare = if control.run == number { control.thread.replace((number, thread)) } else { None };
        drop(control);
        drop(spare);
        Ok(())
    }

    /// Runs on the calling thread.
    pub(super) fn run(self: &Arc<Shared<T>>, context: &Context) -> Result<()> {
        if let Some(error) = context.error() {
            return Err(error);
        }
        let Begun::Run(run) = self.begin(false)? else {
            return Err(Error::new(ErrorKind::Busy, "the loop cache is running already"));
        };
        let (number, weak) = (run.number, Arc::downgrade(self));
        let hook = context.on_cancel(move || {
            if let Some(shared) = weak.upgrade() {
                shared.stop_run(number);
            }
        });
        runner::drive(run);
        hook.remove();
        context.error().or_else(|| self.settings.context.error()).map_or(Ok(()), Err)
    }

    /// Asks one particular run to end.
    fn stop_run(&self, number: u64) {
        let mut control = self.lock();
        if control.run == number {
            control.stop();
        }
        drop(control);
        self.wake.notify_all();
    }

    /// Asks the run to end and waits until it has, unless called on its own thread.
    pub(super) fn stop(self: &Arc<Shared<T>>, timeout: Option<Duration>) -> Result<()> {
        let Some(ending) = self.begin_stop() else {
            self.join(u64::MAX);
            return Ok(());
        };
        if self.is_runner() {
            return Ok(());
        }
        let number = ending.event().number;
        let deadline = timeout.map(|timeout| self.now().after(timeout));
        if block_on(ending, &*self.settings.clock, deadline).is_none() {
            return Err(Error::timeout("the Doer is still in its call; the loop stops when it returns"));
        }
        self.join(number);
        Ok(())
    }

    /// Asks the run to end; `None` if there is none.
    pub(super) fn begin_stop(self: &Arc<Shared<T>>) -> Option<crate::wait::Wait<super::waits::Ending<T>>> {
        let number = self.lock().stop()?;
        self.wake.notify_all();
        Some(crate::wait::Wait::new(super::waits::Ending { shared: self.clone(), number }))
    }

    /// Joins the thread of a run up to `number` that has ended, if nobody has done so.
    fn join(&self, number: u64) {
        let mut control = self.lock();
        let ended = control.ended.min(number);
        let thread = control.thread.take_if(|(of, _)| *of <= ended);
        drop(control);
        // A thread of ours may be the very one to join: a logger is called in its last lines. It leaves joining to others.
        if let Some((_, thread)) = thread.filter(|_| !thread::is_ours()) {
            // It cannot have panicked: user code runs behind catch_unwind.
            let _ = thread.join();
        }
    }

    /// Whether the calling thread is the one that runs.
    pub(super) fn is_runner(&self) -> bool {
        self.lock().runner == Some(thread::token())
    }

    /// Asks for a call that begins after this one: the number of that call and of the run that owes it.
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

    /// Publishes a result; returns its view's version.
    pub(super) fn publish(&self, entry: impl FnOnce(u64) -> Entry<T>) -> Arc<View<T>> {
        let old = self.view.load();
        let new = old.with(entry(old.version + 1));
        drop(old);
        let version = new.version;
        let old = self.view.swap(new);
        // Release: VERSION.
        self.version.store(version, Ordering::Release);
        old
    }

    /// The end of the loop cache: no more runs; the Doer goes now, or with the run that has it.
    pub(super) fn close(&self) {
        let mut control = self.lock();
        control.closed = true;
        control.stop();
        let (work, hook) = (control.work.take(), control.hook.take());
        drop(control);
        self.wake.notify_all();
        self.changed.notify_all();
        drop((work, hook));
    }
}

/// The right to call the Doer and to publish (ONE-RUNNER). Dropping it ends the run.
pub(super) struct Run<T: Send + Sync + 'static> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) number: u64,
    pub(super) begun: Tick,
    /// `Some` until the run ends.
    pub(super) work: Option<Box<dyn Work<T>>>,
}

impl<T: Send + Sync + 'static> Drop for Run<T> {
    fn drop(&mut self) {
        let mut work = self.work.take();
        let mut control = self.shared.lock();
        control.ended = self.number;
        control.runner = None;
        control.stopping = false;
        control.wanted = control.begun;
        if !control.closed {
            control.work = work.take();
        }
        let restart = std::mem::take(&mut control.restart);
        drop(control);
        // A closed loop cache's Doer, dropped before anyone learns that the run has ended.
        drop(work);
        self.shared.changed.notify_all();
        self.shared.log(Level::Info, format_args!("stopped"));
        if restart {
            if let Err(error) = self.shared.start() {
                self.shared.log(Level::Error, format_args!("cannot start again: {error}"));
            }
        }
    }
}

/// Leads a reader from the shared state to the published view.
pub(super) struct Published<T>(pub(super) Arc<Shared<T>>);

impl<T> Deref for Published<T> {
    type Target = Latest<View<T>>;

    fn deref(&self) -> &Latest<View<T>> {
        &self.0.view
    }
}
