//! Work in steps as a job: each is taken as soon as there is a thread, and others' jobs are called
//! in between.

use std::sync::Arc;
use std::task::Waker;

use super::{Job, Next, Turn};
use crate::clock::Tick;

/// Something that an executor does step by step.
pub(crate) trait Steps: Send + Sync {
    /// Takes a step. Whether there is another one; if not it is over.
    fn step(self: &Arc<Self>) -> bool;

    /// Goes on without the executor: that refuses, or has ended, and there is another step.
    fn lost(self: &Arc<Self>);
}

/// The job. It ends in one of two ways: a step says that it was the last, or it is dropped before
/// that, and lost.
pub(crate) struct Stepping<W: Steps>(Option<Arc<W>>);

impl<W: Steps> Stepping<W> {
    pub(crate) fn new(work: Arc<W>) -> Stepping<W> {
        Stepping(Some(work))
    }
}

impl<W: Steps> Job for Stepping<W> {
    fn enlist(&mut self, _: &Waker) -> Next {
        Next::AtOnce
    }

    fn run(&mut self, _: Tick, _: bool) -> Turn {
        let goes_on = self.0.as_ref().is_some_and(Steps::step);
        if !goes_on {
            self.0 = None;
        }
        let next = if goes_on { Next::AtOnce } else { Next::Over };
        Turn { next, ended: None }
    }
}

impl<W: Steps> Drop for Stepping<W> {
    fn drop(&mut self) {
        if let Some(work) = &self.0 {
            work.lost();
        }
    }
}
