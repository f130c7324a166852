//! A worker's thread.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Step};
use super::jobs::Taken;
use super::state::{Done, Rest};
use crate::clock::{Tick, park, park_until};
use crate::contain::{contained, drop_contained};
use crate::executor::{Next, Turn};
use crate::sync::fork::forks;
use crate::sync::thread;
use crate::wait::ThreadParker;

/// How long a worker stays that has nothing to do.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// What the library calls these threads.
pub(crate) const THREAD: &str = "docache-sched";

/// Starts the thread of a worker that has a place.
pub(super) fn start(core: &Arc<Core>, me: usize) -> io::Result<()> {
    let (name, core) = (core.name.clone(), core.clone());
    let body = move || work(&core, me);
    #[cfg(not(docache_loom))]
    return crate::housekeeping::spawn_as(THREAD, &name, body);
    #[cfg(docache_loom)]
    return crate::sync::spawn::spawn(&name, body).map(drop);
}

fn work(core: &Arc<Core>, me: usize) {
    let mut parker = ThreadParker::take();
    core.lock().introduce(me, &parker.waker, thread::token());
    let (mut done, mut lingered) = (None, false);
    let mut now = core.now();
    loop {
        match core.step(me, now, done.take(), lingered) {
            Step::Call(taken) => {
                let (result, ended) = call(taken, now);
                done = Some(result);
                now = ended.unwrap_or_else(|| core.now());
                lingered = false;
            }
            Step::Drop(job) => {
                drop_contained(job);
                now = core.now();
            }
            Step::Rest(rest) => {
                lingered = rest == Rest::Linger;
                core.rest(&parker, rest);
                now = core.now();
            }
            Step::Leave => return,
        }
        if parker.forks != forks() {
            // User code has forked, and this is the child.
            parker = ThreadParker::take();
            core.lock().introduce(me, &parker.waker, thread::token());
        }
    }
}

fn call(taken: Taken, now: Tick) -> (Done, Option<Tick>) {
    let Taken { id, mut job, called, .. } = taken;
    let turn = contained(|| job.run(now, called));
    let panicked = turn.is_err();
    let Turn { next, ended } = turn.unwrap_or(Turn { next: Next::Over, ended: None });
    (Done { id, job, next, began: now, panicked }, ended)
}

impl Core {
    fn rest(&self, parker: &ThreadParker, rest: Rest) {
        match rest {
            Rest::Until(at) => park_until(&parker.parker, &*self.clock, at, &parker.waker),
            Rest::Called => park(&parker.parker),
            Rest::Linger => parker.parker.park_timeout(LINGER),
        }
    }
}
