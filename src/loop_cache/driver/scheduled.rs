//! A run that an executor calls when it is due.
//!
//! # State
//! `called` waits for a stop or a refresh, and has the executor call the run out of turn. It is in
//! its list exactly while `listens` has the number of forks before this process; it is asked only
//! to get there, not at each call.
//!
//! Where the loop cache's clock is not the executor's, an `alarm` on it stands for the time at which
//! the executor would look.

use std::pin::Pin;
use std::task::{Context as TaskContext, Waker};
use std::time::Duration;

use super::driven::{Driven, Next, inside};
use super::runner::Run;
use crate::clock::{Alarm, Tick};
use crate::executor::{self, Job, Turn};
use crate::loop_cache::waits::Calling;
use crate::sync::fork::forks;
use crate::wait::Wait;

/// See the module.
pub(super) struct ScheduledRun<T: Send + Sync + 'static> {
    // Before the run: what is left of it is dropped with nobody listening.
    called: Pin<Box<Wait<Calling<T>>>>,
    alarm: Option<Alarm>,
    driven: Driven<T>,
    listens: Option<u32>,
    waker: Waker,
}

impl<T: Send + Sync + 'static> ScheduledRun<T> {
    pub(super) fn new(run: Run<T>) -> ScheduledRun<T> {
        let driven = Driven::new(run);
        let called = Box::pin(driven.calling());
        let waker = Waker::noop().clone();
        ScheduledRun { called, alarm: None, driven, listens: None, waker }
    }

    /// When to be called again.
    fn next(&mut self, now: Tick) -> executor::Next {
        let forks = forks();
        if self.listens != Some(forks) {
            let mut context = TaskContext::from_waker(&self.waker);
            let is_called = self.called.as_mut().poll(&mut context).is_ready();
            self.listens = (!is_called).then_some(forks);
            if is_called {
                return executor::Next::At(now.deadline(Duration::ZERO));
            }
        }
        let settings = &self.driven.run.shared.settings;
        let due = self.driven.ticker.due;
        if settings.on_executors_clock {
            return executor::Next::At(due);
        }
        self.alarm = Some(settings.clock.alarm(due, self.waker.clone()));
        executor::Next::Called
    }

    /// Calls the Doer. When that ended.
    fn call(&mut self, now: Tick, refresh: bool) -> Option<Tick> {
        let shared = self.driven.run.shared.clone();
        inside(&shared, || {
            self.driven.begin(now, refresh);
            let result = self.driven.run.work.as_mut()?.perform();
            self.driven.end(result)
        })
    }
}

impl<T: Send + Sync + 'static> Job for ScheduledRun<T> {
    fn enlist(&mut self, waker: &Waker) -> executor::Next {
        self.waker = waker.clone();
        self.driven.log_start();
        let begun = self.driven.run.begun;
        self.next(begun)
    }

    fn run(&mut self, now: Tick, called: bool) -> Turn {
        let on_executors_clock = self.driven.run.shared.settings.on_executors_clock;
        if called {
            self.listens = None;
        }
        let own_now = if on_executors_clock { now } else { self.driven.run.shared.now() };
        let ended = match self.driven.next_at(own_now) {
            Next::Stop => return Turn { next: executor::Next::Over, ended: None },
            Next::Wait(_) => None,
            Next::Call { now, refresh } => self.call(now, refresh),
        };
        let ended = ended.filter(|_| on_executors_clock);
        Turn { next: self.next(ended.unwrap_or(now)), ended }
    }
}
