//! A scheduler on a clock that stands still between the steps.

use docache::ManualClock;
use docache::run::{Scheduler, SchedulerBuilder};
use std::sync::MutexGuard;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use super::cache::turn;
use super::flight::until;
use super::threads::threads_called;

/// What its threads are called.
pub(crate) const BENCH: &str = "bench";

pub(crate) struct Bench {
    pub(crate) clock: ManualClock,
    pub(crate) scheduler: Scheduler,
}

impl Bench {
    pub(crate) fn new(set: impl FnOnce(SchedulerBuilder) -> SchedulerBuilder) -> Bench {
        let clock = ManualClock::new();
        let builder = Scheduler::builder().clock(clock.clone()).name(BENCH);
        Bench { clock, scheduler: set(builder).build().unwrap() }
    }

    /// How much is scheduled.
    pub(crate) fn scheduled(&self) -> usize {
        self.scheduler.stats().scheduled
    }

    /// Has a worker in a call until the sender is dropped.
    pub(crate) fn block(&self) -> Sender<()> {
        let ((enter, entered), (leave, left)) = (channel(), channel::<()>());
        let closure = move || {
            enter.send(()).unwrap();
            let _ = left.recv();
        };
        self.scheduler.schedule_after(Duration::ZERO, closure).unwrap();
        entered.recv().unwrap();
        leave
    }
}

/// A test that counts threads: those of the one before, of the bench and of this name, have ended.
#[track_caller]
pub(crate) fn alone(name: &str) -> MutexGuard<'static, ()> {
    let turn = turn();
    [BENCH, name].into_iter().for_each(gone);
    turn
}

/// The name of the calling thread.
pub(crate) fn thread_name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

/// Waits until no thread has this name.
#[track_caller]
pub(crate) fn gone(name: &str) {
    until(|| threads_called(name) == 0);
}
