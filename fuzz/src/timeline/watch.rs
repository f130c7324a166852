//! Futures of changes, polled by hand.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};

use docache::{Changed, Error, LoopCache};

use super::check::Flag;
use super::model::Model;
use super::stage::Counted;
use crate::patience::soon;

/// A wait for a version later than `since`.
pub(super) struct Watch {
    future: Pin<Box<Changed<Counted>>>,
    since: u64,
    /// Of the last poll, if that was to no avail.
    flag: Option<Arc<Flag>>,
}

impl Watch {
    pub(super) fn new(cache: &LoopCache<Counted>, since: u64) -> Watch {
        Watch { future: Box::pin(cache.changed(since)), since, flag: None }
    }

    fn step(&mut self) -> Poll<Result<u64, Error>> {
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(flag.clone());
        let polled = self.future.as_mut().poll(&mut Task::from_waker(&waker));
        self.flag = polled.is_pending().then_some(flag);
        polled
    }

    fn is_over(&self, model: &Model) -> bool {
        model.shown.version > self.since || (model.cancelled && !model.is_running())
    }

    pub(super) fn poll(&mut self, model: &Model) {
        let version = model.shown.version;
        match self.step() {
            Poll::Ready(Ok(found)) => assert!(version > self.since && found == version),
            Poll::Ready(Err(error)) => {
                assert!(
                    version <= self.since && self.is_over(model) && error.is_cancelled(),
                    "{error}"
                );
            }
            Poll::Pending => {
                assert!(!self.is_over(model), "pending since {}, at {version}", self.since)
            }
        }
    }

    /// Who was told to wait is woken.
    pub(super) fn await_wake(&self, model: &Model) {
        if let Some(flag) = self.flag.as_ref().filter(|_| self.is_over(model)) {
            soon("the wake-up of a task", || flag.is_up());
        }
    }

    /// The loop cache is gone, so it is over.
    pub(super) fn finish(mut self) {
        if let Some(flag) = &self.flag {
            soon("the wake-up of a task at the end", || flag.is_up());
        }
        assert!(self.step().is_ready(), "pending after the loop cache was dropped");
    }
}
