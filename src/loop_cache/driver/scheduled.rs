//! A run that an executor calls when it is due.
//!
//! # State
//! `called` waits for a stop or a refresh, and has the executor call the run out of turn. It is in
//! its list exactly while `listens` has the number of forks before this process; it is asked only
//! to get there, not at each call.
//!
//! Where the loop cache's clock is not the executor's, an `alarm` on it stands for the time at
//! which the executor would look.

use std::pin::Pin;
use std::task::{Context as TaskContext, Waker};

use super::driven::{Driven, Next};
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
    on_executors_clock: bool,
    waker: Waker,
}

impl<T: Send + Sync + 'static> ScheduledRun<T> {
    pub(super) fn new(run: Run<T>) -> ScheduledRun<T> {
        let driven = Driven::new(run);
        let called = Box::pin(driven.calling());
        let waker = Waker::noop().clone();
        let on_executors_clock = driven.run.shared.settings.on_executors_clock;
        ScheduledRun { called, alarm: None, driven, listens: None, on_executors_clock, waker }
    }

    /// When to be called again.
    fn next(&mut self) -> executor::Next {
        let forks = forks();
        if self.listens != Some(forks) {
            let mut context = TaskContext::from_waker(&self.waker);
            let is_called = self.called.as_mut().poll(&mut context).is_ready();
            self.listens = (!is_called).then_some(forks);
            if is_called {
                return executor::Next::AtOnce;
            }
        }
        let due = self.driven.ticker.due;
        if self.on_executors_clock {
            return executor::Next::At(due);
        }
        let settings = &self.driven.run.shared.settings;
        self.alarm = Some(settings.clock.alarm(due, self.waker.clone()));
        executor::Next::Called
    }
}

impl<T: Send + Sync + 'static> Job for ScheduledRun<T> {
    fn enlist(&mut self, waker: &Waker) -> executor::Next {
        self.waker = waker.clone();
        self.driven.log_start();
        self.next()
    }

    fn prefetch(&self) {
        self.driven.prefetch();
    }

    fn run(&mut self, now: Tick, called: bool) -> Turn {
        if called {
            self.listens = None;
        }
        let own_now = if self.on_executors_clock { now } else { self.driven.run.shared.now() };
        let (done, ended) = self.driven.call_if_due(own_now);
        if done == Next::Stop {
            return Turn { next: executor::Next::Over, ended: None };
        }
        let ended = ended.filter(|_| self.on_executors_clock);
        Turn { next: self.next(), ended }
    }
}
