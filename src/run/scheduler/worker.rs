//! What workers do: their threads, and their sections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::jobs::Taken;
use super::state::{Act, Done, Rest, State};
use crate::clock::{Clock, SystemClock, Tick, park, park_until};
use crate::contain::{contained, drop_contained};
use crate::executor::{Job, Next, Turn};
use crate::lock::LockGuard;
use crate::sync::fork::forks;
use crate::sync::thread;
use crate::wait::ThreadParker;

/// What a worker is to do.
enum Step {
    Call(Taken),
    Drop(Box<dyn Job>),
    Rest(Rest),
    Leave,
}

/// How long a worker stays that has nothing to do.
const LINGER: Duration = Duration::from_secs(1);

/// What the library calls these threads.
pub(crate) const THREAD: &str = "docache-sched";

/// Starts the thread of a worker that has a place.
fn start(core: &Arc<Core>, me: usize) -> io::Result<()> {
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
    /// Does what a section left to do. An error: nobody is there, and no thread to be had.
    pub(super) fn act(self: &Arc<Core>, act: Act) -> io::Result<()> {
        if let Some(wake) = act.wake {
            wake.wake();
        }
        if let Some(at) = act.watch {
            self.set_watch(at);
        }
        let Some(me) = act.start else { return Ok(()) };
        start(self, me).or_else(|error| {
            let mut state = self.lock();
            state.leave(me);
            let alone = state.threads == 0;
            drop(state);
            self.set_watch(SystemClock.now().after(LINGER));
            if alone { Err(error) } else { Ok(()) }
        })
    }

    /// Sets an alarm. It is taken back at the end only: when it rings for nothing, nothing is done.
    #[cfg(not(docache_loom))]
    fn set_watch(&self, at: Tick) {
        let alarm = SystemClock.alarm(at, self.watch.clone());
        let mut state = self.lock();
        state.alarms.retain(|alarm| !alarm.is_spent());
        state.alarms.push(alarm);
    }

    #[cfg(docache_loom)]
    fn set_watch(&self, _: Tick) {}

    /// A worker comes to the lock: what it brings back, what it is to do next. `lingered`: it had
    /// nothing to do for so long that it may go.
    fn step(self: &Arc<Core>, me: usize, now: Tick, done: Option<Done>, lingered: bool) -> Step {
        let mut state = self.lock();
        state.come_back(me, now);
        if let Some(over) = done.and_then(|done| state.settle(done, now)) {
            state.go_busy(me, None);
            let act = state.attend(now, self.real(now), true);
            drop(state);
            let _ = self.act(act);
            return Step::Drop(over);
        }
        if state.closed {
            return self.leave(state, me);
        }
        if let Some(taken) = state.jobs.take(now) {
            state.go_busy(me, Some(taken.id));
            let late = now.since(taken.at);
            let act = state.begin_call(taken.quick, late, now, self.real(now));
            drop(state);
            // Without a thread an alarm tries again.
            let _ = self.act(act);
            return Step::Call(taken);
        }
        let Some((rest, wake)) = state.rest(me, lingered) else { return self.leave(state, me) };
        drop(state);
        if let Some(wake) = wake {
            wake.wake();
        }
        Step::Rest(rest)
    }

    fn leave(self: &Arc<Core>, mut state: LockGuard<'_, State>, me: usize) -> Step {
        state.leave(me);
        let act = state.send_home();
        drop(state);
        let _ = self.act(act);
        self.quiet.notify_all();
        Step::Leave
    }

    fn rest(&self, parker: &ThreadParker, rest: Rest) {
        match rest {
            Rest::Until(at) => park_until(&parker.parker, &*self.clock, at, &parker.waker),
            Rest::Called => park(&parker.parker),
            Rest::Linger => parker.parker.park_timeout(LINGER),
        }
    }
}
