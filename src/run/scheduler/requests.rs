//! What the handles, the wakers of jobs and the alarms ask of a scheduler.

use std::mem;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

#[cfg(not(docache_loom))]
use std::sync::OnceLock;

use super::core::Core;
use super::jobs::JobId;
use super::state::{Limits, State};
use crate::clock::{self, Clock, ClockIdentity, SystemClock, Tick};
use crate::contain::{contained, drop_contained};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::{Job, Next};
use crate::lock::{Lock, LockGuard};
#[cfg(not(docache_loom))]
use crate::sync::fork;
use crate::sync::thread::{self, Token};
use crate::wait::{Event, Wait, WaitList, block_on};

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

    /// A place for a job, with the lock held; `None` after the end.
    fn reserve(&self) -> Option<(LockGuard<'_, State>, JobId)> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let id = state.jobs.reserve();
        Some((state, id))
    }

    /// Takes a job in that is to be called at `at`.
    pub(super) fn insert(self: &Arc<Core>, job: Box<dyn Job>, at: Tick) -> Result<JobId> {
        let now = self.now();
        let Some((state, id)) = self.reserve() else { return refuse(job) };
        self.put(state, id, job, Next::At(at), now).map(|()| id)
    }

    /// Takes a job in that is to know how it can be called.
    pub(super) fn adopt(self: &Arc<Core>, mut job: Box<dyn Job>) -> Result<()> {
        let now = self.now();
        let Some((state, id)) = self.reserve() else { return refuse(job) };
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
        let spare = state.take_back(id, job, next, false, now);
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
        if state.closed {
            let closes = state.closing.contains(&thread::token());
            let job = if closes { state.jobs.remove(id) } else { None };
            drop(state);
            return drop_contained(job);
        }
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

    /// An alarm rings.
    fn ring(self: &Arc<Core>) {
        let now = self.now();
        let act = self.lock().ring(now, self.real(now));
        let _ = self.act(act);
    }

    /// Takes no more jobs, drops those that wait, and sends the workers away; waits for nobody.
    ///
    /// One after the other, and each where its waker finds it until it is its turn: user code that
    /// runs here when one ends may wait for the end of another.
    pub(super) fn close(self: &Arc<Core>) {
        let mut state = self.lock();
        state.closed = true;
        state.closing.push(thread::token());
        let alarms = mem::take(&mut state.alarms);
        let act = state.send_home();
        drop(state);
        let _ = self.act(act);
        // The thread that serves them need not stay for these.
        drop(alarms);
        while let Some(job) = self.take_next_to_end() {
            drop_contained(job);
        }
    }

    /// For a thread that closes the scheduler.
    fn take_next_to_end(&self) -> Option<Box<dyn Job>> {
        let mut state = self.lock();
        let job = state.jobs.remove_last();
        if job.is_none() {
            let own = state.closing.iter().position(|token| *token == thread::token());
            if let Some(own) = own {
                state.closing.swap_remove(own);
            }
        }
        job
    }

    /// Waits for the calls under way, unless the calling thread is in one. Whether they have ended
    /// within the limit.
    pub(super) fn wait_until_quiet(self: &Arc<Core>, limit: Option<Duration>) -> bool {
        let deadline = limit.map(|limit| SystemClock.now().deadline(limit));
        let quiet = Wait::new(Quiet(self.clone(), thread::token()));
        block_on(quiet, &SystemClock, deadline).is_some()
    }
}

/// Answers for a scheduler that has ended.
pub(super) fn refuse<T>(job: Box<dyn Job>) -> Result<T> {
    drop_contained(job);
    Err(closed())
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the scheduler was shut down")
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
