//! The scheduler itself, as its handles, its workers and the wakers of its jobs share it.
//!
//! # Sections
//! All is behind one lock, which is held for a few instructions at a time: a worker that comes back
//! from a call gives the job back and takes the next one in one section. What is to be done without
//! the lock, an [`Act`], follows it: waking a worker, starting one, setting an alarm. No job is
//! called or dropped, and no clock of the user's read, under the lock.

use std::fmt;
use std::mem;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

#[cfg(not(docache_loom))]
use std::sync::OnceLock;

use super::jobs::{JobId, Taken};
use super::state::{Act, Done, Limits, Rest, State};
use super::stats::SchedulerStats;
use super::worker;
use crate::clock::{self, Clock, ClockIdentity, SystemClock, Tick};
use crate::contain::{contained, drop_contained};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::{Job, Next};
use crate::lock::{Lock, LockGuard};
#[cfg(not(docache_loom))]
use crate::sync::fork::{self, AtFork, ForkRegistration};
use crate::sync::thread::{self, Token};
use crate::wait::{Event, Wait, WaitList, block_on};

/// See the module.
pub(super) struct Core {
    state: Lock<State>,
    pub(super) name: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) identity: Option<ClockIdentity>,
    real: bool,
    /// Rings when nobody may have looked at the jobs for too long.
    watch: Waker,
    /// Notified when a call ends after the scheduler was closed.
    quiet: WaitList,
    #[cfg(not(docache_loom))]
    fork_registration: OnceLock<ForkRegistration>,
}

/// What a worker is to do.
pub(super) enum Step {
    Call(Taken),
    Drop(Box<dyn Job>),
    Rest(Rest),
    Leave,
}

impl Core {
    pub(super) fn new(
        limits: Limits,
        name: String,
        clock: Arc<dyn Clock>,
        identity: Option<ClockIdentity>,
    ) -> Arc<Core> {
        clock::prepare();
        let core = Arc::new_cyclic(|core: &Weak<Core>| Core {
            state: Lock::new(State::new(limits)),
            name,
            clock,
            identity,
            real: limits.real,
            watch: Arc::new(Watch(core.clone())).into(),
            quiet: WaitList::new(),
            #[cfg(not(docache_loom))]
            fork_registration: OnceLock::new(),
        });
        #[cfg(not(docache_loom))]
        {
            crate::housekeeping::watch();
            let member: Weak<Core> = Arc::downgrade(&core);
            let _ = core.fork_registration.set(fork::register(member));
        }
        core
    }

    pub(super) fn lock(&self) -> LockGuard<'_, State> {
        self.state.lock()
    }

    #[inline]
    pub(super) fn now(&self) -> Tick {
        if self.real { SystemClock.now() } else { self.clock.now() }
    }

    /// The time by which alarms are set, when the scheduler's clock says `now`.
    #[inline]
    fn real(&self, now: Tick) -> Tick {
        if self.real { now } else { SystemClock.now() }
    }

    /// Takes a job in that is to be called at `at`.
    pub(super) fn insert(self: &Arc<Core>, job: Box<dyn Job>, at: Tick) -> Result<JobId> {
        let now = self.now();
        let mut state = self.lock();
        if state.closed {
            drop(state);
            drop_contained(job);
            return Err(closed());
        }
        let id = state.jobs.reserve();
        self.put(state, id, job, Next::At(at), now).map(|()| id)
    }

    /// Takes a job in that is to know how it can be called.
    pub(super) fn adopt(self: &Arc<Core>, mut job: Box<dyn Job>) -> Result<()> {
        let now = self.now();
        let mut state = self.lock();
        if state.closed {
            drop(state);
            drop_contained(job);
            return Err(closed());
        }
        let id = state.jobs.reserve();
        drop(state);
        let waker = Waker::from(Arc::new(JobWaker { core: Arc::downgrade(self), id }));
        let next = contained(|| job.enlist(&waker)).unwrap_or(Next::Over);
        self.put(self.lock(), id, job, next, now)
    }

    fn put(
        self: &Arc<Core>,
        mut state: LockGuard<'_, State>,
        id: JobId,
        job: Box<dyn Job>,
        next: Next,
        now: Tick,
    ) -> Result<()> {
        let spare = state.jobs.settle(id, job, next, false, now);
        let is_closed = state.closed;
        let act = state.attend(now, self.real(now), true);
        drop(state);
        drop_contained(spare);
        if is_closed {
            return Err(closed());
        }
        self.act(act).map_err(|error| {
            let job = self.lock().jobs.remove(id);
            drop_contained(job);
            Error::internal("cannot start a thread", error)
        })
    }

    /// Calls a job out of turn.
    fn call(self: &Arc<Core>, id: JobId) {
        let now = self.now();
        let mut state = self.lock();
        if !state.jobs.call(id, now) {
            return;
        }
        let act = state.attend(now, self.real(now), true);
        drop(state);
        // Without a thread an alarm tries again.
        let _ = self.act(act);
    }

    /// Takes a job back that has not been called. Whether it was in time.
    pub(super) fn cancel(&self, id: JobId) -> bool {
        let mut state = self.lock();
        let job = state.jobs.remove(id);
        let in_time = job.is_some();
        let wake = if in_time { state.took_back() } else { None };
        drop(state);
        if let Some(wake) = wake {
            wake.wake();
        }
        drop_contained(job);
        in_time
    }

    /// Does what a section left to do. An error: nobody is there, and no thread to be had.
    pub(super) fn act(self: &Arc<Core>, act: Act) -> std::io::Result<()> {
        if let Some(wake) = act.wake {
            wake.wake();
        }
        if let Some(at) = act.watch {
            self.set_watch(at);
        }
        let Some(me) = act.start else { return Ok(()) };
        worker::start(self, me).or_else(|error| {
            let mut state = self.lock();
            state.leave(me);
            let alone = state.threads == 0;
            drop(state);
            self.set_watch(SystemClock.now().after(worker::LINGER));
            if alone { Err(error) } else { Ok(()) }
        })
    }

    fn set_watch(&self, at: Tick) {
        if !cfg!(docache_loom) {
            // It is not taken back: when it rings for nothing, nothing is done.
            mem::forget(SystemClock.alarm(at, self.watch.clone()));
        }
    }

    /// A worker comes to the lock: what it brings back, what it is to do next. `lingered`: it had
    /// nothing to do for so long that it may go.
    pub(super) fn step(
        self: &Arc<Core>,
        me: usize,
        now: Tick,
        done: Option<Done>,
        lingered: bool,
    ) -> Step {
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
        match state.rest(me, lingered) {
            Some(rest) => Step::Rest(rest),
            None => self.leave(state, me),
        }
    }

    fn leave(self: &Arc<Core>, mut state: LockGuard<'_, State>, me: usize) -> Step {
        state.leave(me);
        let act = state.send_home();
        drop(state);
        let _ = self.act(act);
        self.quiet.notify_all();
        Step::Leave
    }

    /// An alarm rings.
    fn ring(self: &Arc<Core>) {
        let now = self.now();
        let act = self.lock().ring(now, self.real(now));
        let _ = self.act(act);
    }

    /// Takes no more jobs, drops those that wait, and sends the workers away; waits for nobody.
    pub(super) fn close(self: &Arc<Core>) {
        let mut state = self.lock();
        state.closed = true;
        let jobs = state.jobs.clear();
        let act = state.send_home();
        drop(state);
        let _ = self.act(act);
        jobs.into_iter().for_each(drop_contained);
    }

    /// Waits for the calls under way, unless the calling thread is in one.
    pub(super) fn wait_until_quiet(self: &Arc<Core>) {
        let _ = block_on(Wait::new(Quiet(self.clone(), thread::token())), &SystemClock, None);
    }

    pub(super) fn stats(&self) -> SchedulerStats {
        let state = self.lock();
        let counters = state.counters;
        SchedulerStats {
            workers: state.threads,
            busy: state.busy,
            scheduled: state.jobs.len(),
            calls: counters.calls,
            panics: counters.panics,
            late: counters.late,
            stuck: counters.stuck,
            grown: counters.grown,
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the scheduler was shut down")
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("name", &self.name).finish_non_exhaustive()
    }
}

/// That no thread is in a call of a closed scheduler, or that the one that waits is.
struct Quiet(Arc<Core>, Token);

// SAFETY: the list lies in the core that the event holds.
unsafe impl Event for Quiet {
    type Output = ();

    fn list(&self) -> &WaitList {
        &self.0.quiet
    }

    fn check(&mut self) -> Option<()> {
        self.0.lock().is_quiet(self.1).then_some(())
    }
}

struct Watch(Weak<Core>);

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        if let Some(core) = self.0.upgrade() {
            core.ring();
        }
    }
}

/// How a job is called out of turn.
struct JobWaker {
    core: Weak<Core>,
    id: JobId,
}

impl Wake for JobWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(core) = self.core.upgrade() {
            core.call(self.id);
        }
    }
}

#[cfg(not(docache_loom))]
impl AtFork for Core {
    fn hold(&self) {
        self.state.hold();
    }

    unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.state.release() };
    }

    unsafe fn reset_in_child(&self) {
        let token = thread::token();
        // SAFETY: the caller's promise.
        unsafe { self.state.reset_in_child(|state| state.reset_in_child(token)) };
    }
}
