//! A pass of the background over a cache, as a job of an executor's.

use std::sync::Arc;
use std::task::Waker;

use super::{BackgroundJob, WORKERS};
use crate::clock::Tick;
use crate::executor::{Job, Next, Turn};

/// Runs a cache's job once. One that is dropped without that, since the executor has ended, has the
/// library's own threads run it.
pub(super) struct Pass(Option<Arc<BackgroundJob>>);

impl Pass {
    pub(super) fn new(job: Arc<BackgroundJob>) -> Pass {
        Pass(Some(job))
    }
}

impl Job for Pass {
    fn enlist(&mut self, _: &Waker) -> Next {
        Next::AtOnce
    }

    fn run(&mut self, _: Tick, _: bool) -> Turn {
        if let Some(job) = self.0.take() {
            job.run();
        }
        Turn { next: Next::Over, ended: None }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(job) = self.0.take().filter(|job| job.cache.strong_count() > 0) {
            WORKERS.push(job);
        }
    }
}
