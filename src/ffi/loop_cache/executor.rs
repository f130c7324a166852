//! A loop on a scheduler.
//!
//! A thread that exists for one loop is known to [serve](crate::ffi::gate::serve) it, and is joined
//! when that stops. A worker serves many, so each turn of a loop is a call of that loop's gate:
//! what the turn frees, the Doer's callback or the `drop` of a result, is freed inside of it. And
//! the run has a hold of the gate until it is gone, with all that it has of the loop.

use std::sync::Arc;
use std::task::Waker;

use crate::clock::{ClockIdentity, Tick};
use crate::error::Result;
use crate::executor::{Executor, Intake, Job, Jobs, Next, Turn};
use crate::ffi::gate::{Gate, KeptHold};
use crate::run::Scheduler;
use crate::sync::prefetch::prefetch;

/// A share of a scheduler, for one loop.
#[derive(Clone, Debug)]
pub(super) struct LoopExecutor {
    scheduler: Scheduler,
    gate: Arc<Gate>,
}

impl LoopExecutor {
    pub(super) fn new(scheduler: &Scheduler, gate: &Arc<Gate>) -> LoopExecutor {
        LoopExecutor { scheduler: scheduler.clone(), gate: gate.clone() }
    }
}

impl Executor for LoopExecutor {}

impl Jobs for LoopExecutor {
    fn handle(&self) -> Arc<dyn Jobs> {
        Arc::new(self.clone())
    }

    fn intake(&self) -> Intake {
        let (intake, gate) = (self.scheduler.intake(), self.gate.clone());
        Arc::new(move |job| intake(Box::new(LoopJob::new(job, &gate))))
    }

    fn tells(&self, clock: ClockIdentity) -> bool {
        self.scheduler.tells(clock)
    }

    fn adopt(&self, job: Box<dyn Job>) -> Result<()> {
        self.scheduler.adopt(Box::new(LoopJob::new(job, &self.gate)))
    }
}

/// The loop's run, inside its gate.
struct LoopJob {
    /// `Some` until this is dropped.
    job: Option<Box<dyn Job>>,
    /// Given back before the share of its gate, and after the job.
    _hold: Option<KeptHold>,
    gate: Arc<Gate>,
}

impl LoopJob {
    fn new(job: Box<dyn Job>, gate: &Arc<Gate>) -> LoopJob {
        LoopJob { job: Some(job), _hold: gate.hold(), gate: gate.clone() }
    }
}

impl Job for LoopJob {
    fn enlist(&mut self, waker: &Waker) -> Next {
        let LoopJob { job, gate, .. } = self;
        gate.call(|| job.as_mut().map_or(Next::Over, |job| job.enlist(waker)))
    }

    fn prefetch(&self) {
        if let Some(job) = &self.job {
            prefetch(&**job);
        }
    }

    fn run(&mut self, now: Tick, called: bool) -> Turn {
        let over = Turn { next: Next::Over, ended: None };
        let LoopJob { job, gate, .. } = self;
        gate.call(|| job.as_mut().map_or(over, |job| job.run(now, called)))
    }
}

impl Drop for LoopJob {
    fn drop(&mut self) {
        let LoopJob { job, gate, .. } = self;
        gate.call(|| drop(job.take()));
    }
}
