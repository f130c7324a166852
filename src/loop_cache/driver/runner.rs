//! A run: how it begins, what it does, and how it ends.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::forked;
use super::ticker::Ticker;
use crate::clock::{Tick, saturating_nanos};
use crate::contain::{contained, drop_contained};
use crate::error::{Error, ErrorKind, Result};
use crate::log::Level;
use crate::loop_cache::doer::{Lent, Work};
use crate::loop_cache::publisher::Publisher;
use crate::loop_cache::shared::{Control, Shared};
use crate::loop_cache::view::LoopEntry;
use crate::loop_cache::waits::{Called, Calling, Ending};
use crate::sync::thread;
use crate::wait::{Wait, block_on};

/// The right to call the Doer and to publish (ONE-RUNNER). Dropping it ends the run.
pub(super) struct Run<T: Send + Sync + 'static> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) number: u64,
    pub(super) begun: Tick,
    pub(super) publisher: Publisher<T>,
    /// `Some` until the run ends.
    pub(super) work: Option<Box<dyn Work<T>>>,
    launch: Launch<T>,
}

/// How a run is started that goes on by itself, if another one is wanted after this one.
pub(super) type Launch<T> = fn(&Arc<Shared<T>>, Run<T>) -> Result<()>;

impl<T: Send + Sync + 'static> Drop for Run<T> {
    fn drop(&mut self) {
        let mut work = self.work.take();
        // Who waits for the end may count on it that nothing here keeps results alive.
        self.publisher = Publisher::new();
        // Without a thread the run ends on the one that asked for it; its logger must not wait for
        // that end either.
        self.shared.lock().runner = Some(thread::token());
        // Before anybody who waits for the end goes on: a logger may be slow.
        self.shared.log(Level::Info, format_args!("stopped"));
        // A clock that panicked may be why we are here, and must not do so twice.
        let begun = contained(|| self.shared.now()).unwrap_or_default();
        let mut control = self.shared.lock();
        control.ended = self.number;
        control.lent = None;
        control.done = control.begun;
        control.runner = None;
        control.wanted = control.begun;
        let restart =
            std::mem::take(&mut control.restart) && !control.closed && !control.context_done;
        let next = if restart {
            // Under the same lock: to everyone else there is no moment without a run, in which a
            // stop would find none.
            Some(self.shared.next_run(&mut control, begun, work.take(), self.launch))
        } else {
            control.stopping = false;
            if !control.closed {
                control.work = work.take();
            }
            None
        };
        drop(control);
        // Before foreign code has this thread: a Waker may block, or wait for the end of the next
        // run.
        let refused = next.and_then(|next| (self.launch)(&self.shared, next).err());
        self.shared.output.changed.notify_all();
        self.shared.wake.notify_all();
        // A closed loop cache's Doer.
        drop_contained(work);
        if let Some(error) = refused {
            self.shared.log(Level::Error, format_args!("cannot start again: {error}"));
        }
    }
}

/// What [`Shared::begin`] found.
pub(super) enum Begun<T: Send + Sync + 'static> {
    Run(Run<T>),
    /// A run exists; whether another one was asked for now, because it is stopping.
    Exists {
        restart: bool,
    },
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// Begins a run, unless there is one.
    pub(super) fn begin(
        self: &Arc<Shared<T>>,
        restart: bool,
        launch: Launch<T>,
    ) -> Result<Begun<T>> {
        if let Some(error) = self.settings.context.error() {
            return Err(error);
        }
        // Here, and not on the runner's thread: the first delay counts from the call that starts
        // it.
        let begun = self.now();
        let mut control = self.lock();
        if control.closed || control.context_done {
            drop(control);
            let gone = || Error::new(ErrorKind::Closed, "the loop cache is gone");
            return Err(self.settings.context.error().unwrap_or_else(gone));
        }
        if control.is_running() {
            let restart = restart && control.stopping && !control.restart;
            control.restart |= restart;
            return Ok(Begun::Exists { restart });
        }
        let Some(work) = control.work.take() else { return Err(forked::lost()) };
        Ok(Begun::Run(self.next_run(&mut control, begun, Some(work), launch)))
    }

    /// The next run. The caller holds the lock, under which there was none or the last one has just
    /// ended (ONE-RUNNER), and gives it the Doer.
    fn next_run(
        self: &Arc<Shared<T>>,
        control: &mut Control<T>,
        begun: Tick,
        mut work: Option<Box<dyn Work<T>>>,
        launch: Launch<T>,
    ) -> Run<T> {
        debug_assert!(work.is_some() && !control.is_running(), "HOME");
        control.run += 1;
        control.stopping = false;
        control.by_context = false;
        control.driven = false;
        control.lent = work.as_deref_mut().map(Lent::new);
        let (number, publisher, shared) = (control.run, Publisher::new(), self.clone());
        Run { shared, number, begun, publisher, work, launch }
    }

    /// Asks the run to end and waits until it has, unless called on its own thread.
    pub(in crate::loop_cache) fn stop(
        self: &Arc<Shared<T>>,
        timeout: Option<Duration>,
    ) -> Result<()> {
        let Some(ending) = self.begin_stop() else {
            if timeout.is_none() {
                self.join(u64::MAX);
            }
            return Ok(());
        };
        if self.is_runner() {
            return Ok(());
        }
        let number = ending.event().number;
        let deadline = timeout.map(|timeout| self.now().deadline(timeout));
        if block_on(ending, &*self.settings.clock, deadline).is_none() {
            return Err(Error::timeout(if self.lock().driven {
                "the host still drives the loop; it stops when the host ends its run"
            } else {
                "the Doer is still in its call; the loop stops when it returns"
            }));
        }
        // A time limit does not cover the thread's last lines.
        if timeout.is_none() {
            self.join(number);
        }
        Ok(())
    }

    /// Asks the run to end; `None` if there is none.
    pub(in crate::loop_cache) fn begin_stop(self: &Arc<Shared<T>>) -> Option<Wait<Ending<T>>> {
        let number = self.lock().stop()?;
        self.wake.notify_all();
        Some(Wait::new(Ending { shared: self.clone(), number }))
    }

    /// Joins the thread of a run up to `number` that has ended, if nobody has done so.
    fn join(&self, number: u64) {
        // A thread of ours may be the very one to join: its logger is called from its last lines.
        if thread::is_ours() {
            return;
        }
        let mut control = self.lock();
        let ended = control.ended.min(number);
        let thread = control.thread.take_if(|(of, _)| *of <= ended);
        drop(control);
        if let Some((_, thread)) = thread {
            // It cannot have panicked: user code runs behind catch_unwind.
            let _ = thread.join();
        }
    }
}

/// Runs until somebody asks the run to end.
pub(super) fn drive<T: Send + Sync + 'static>(run: &mut Run<T>) {
    run.shared.lock().runner = Some(thread::token());
    run.shared.log(Level::Info, format_args!("started"));
    let mut ticker = Ticker::new(run.begun, &run.shared.settings);
    loop {
        let sleep = Wait::new(Calling { shared: run.shared.clone(), number: run.number });
        let clock = &*run.shared.settings.clock;
        match block_on(sleep, clock, Some(ticker.due)) {
            Some(Called::Stop | Called::Ended) => return,
            Some(Called::Refresh) => call(run, &mut ticker, true),
            None => call(run, &mut ticker, false),
        }
    }
}

/// Calls the Doer once and publishes what comes of it.
fn call<T: Send + Sync + 'static>(run: &mut Run<T>, ticker: &mut Ticker, refresh: bool) {
    let shared = run.shared.clone();
    let call = Call::begin(&shared, ticker, shared.now(), refresh);
    let Some(work) = run.work.as_mut() else { return };
    let result = work.perform();
    call.end(&shared, &mut run.publisher, ticker, result);
}

/// A call of the Doer under way.
pub(super) struct Call {
    started: Tick,
    timestamp: SystemTime,
    lateness: Duration,
    refresh: bool,
}

impl Call {
    pub(super) fn begin<T: Send + Sync + 'static>(
        shared: &Shared<T>,
        ticker: &Ticker,
        started: Tick,
        refresh: bool,
    ) -> Call {
        shared.lock().begun += 1;
        Call::counted(shared, ticker, started, refresh)
    }

    /// One that counts as begun already.
    pub(super) fn counted<T: Send + Sync + 'static>(
        shared: &Shared<T>,
        ticker: &Ticker,
        started: Tick,
        refresh: bool,
    ) -> Call {
        let timestamp = shared.settings.clock.wall();
        let lateness = if refresh { Duration::ZERO } else { started.since(ticker.due) };
        Call { started, timestamp, lateness, refresh }
    }

    /// Publishes what came of it. When it ended.
    pub(super) fn end<T: Send + Sync + 'static>(
        self,
        shared: &Shared<T>,
        publisher: &mut Publisher<T>,
        ticker: &mut Ticker,
        result: Result<T>,
    ) -> Tick {
        let ended = shared.now();
        let duration = ended.since(self.started);
        let error = result.as_ref().err().cloned();
        let entry = LoopEntry::new(result, self.timestamp, self.started, duration);
        let replaced = publisher.publish(shared, entry);
        let skipped = ticker.next((self.started, ended), self.refresh);

        let mut control = shared.lock();
        control.done += 1;
        let stats = &mut control.counters;
        stats.calls += 1;
        stats.skipped_ticks = stats.skipped_ticks.saturating_add(skipped);
        stats.last_duration = saturating_nanos(duration);
        stats.last_lateness = saturating_nanos(self.lateness);
        stats.max_lateness = stats.max_lateness.max(stats.last_lateness);
        let before = match &error {
            None => {
                stats.consecutive_failures = 0;
                None
            }
            Some(error) => {
                stats.failures += 1;
                stats.panics += u64::from(error.is_panicked());
                stats.consecutive_failures += 1;
                stats.last_error.replace(error.clone())
            }
        };
        drop(control);
        shared.output.changed.notify_all();
        publisher.settle(replaced);
        drop_contained(before);
        match error {
            None => shared.log(Level::Debug, format_args!("succeeded in {duration:?}")),
            Some(error) if error.is_panicked() => shared.log(Level::Error, format_args!("{error}")),
            Some(error) => shared.log(Level::Warn, format_args!("failed: {error}")),
        }
        ended
    }
}
