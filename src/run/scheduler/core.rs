//! The scheduler itself: what its handles, its workers and the wakers of its jobs share.
//!
//! # Sections
//! All is behind one lock, which is held for a few instructions at a time: a worker that comes back
//! from a call gives the job back and takes the next one in one section. What is to be done without
//! the lock, an [`Act`](super::state::Act), follows it: waking a worker, starting one, setting an
//! alarm. No job is called or dropped, and no clock of the user's read, under the lock.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

#[cfg(not(docache_loom))]
use std::sync::OnceLock;

use super::state::State;
use super::stats::SchedulerStats;
use crate::clock::{Clock, ClockIdentity, SystemClock, Tick};
use crate::lock::{Lock, LockGuard};
#[cfg(not(docache_loom))]
use crate::sync::fork::{AtFork, ForkRegistration};
#[cfg(not(docache_loom))]
use crate::sync::thread;
use crate::wait::WaitList;

/// See the module.
pub(super) struct Core {
    pub(super) state: Lock<State>,
    pub(super) name: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) identity: Option<ClockIdentity>,
    pub(super) real: bool,
    /// Rings when nobody may have looked at the jobs for too long.
    pub(super) watch: Waker,
    /// Notified when a call ends after the scheduler was closed.
    pub(super) quiet: WaitList,
    #[cfg(not(docache_loom))]
    pub(super) fork_registration: OnceLock<ForkRegistration>,
}

impl Core {
    pub(super) fn lock(&self) -> LockGuard<'_, State> {
        self.state.lock()
    }

    #[inline]
    pub(super) fn now(&self) -> Tick {
        if self.real { SystemClock.now() } else { self.clock.now() }
    }

    /// The time by which alarms are set, when the scheduler's clock says `now`.
    #[inline]
    pub(super) fn real(&self, now: Tick) -> Tick {
        if self.real { now } else { SystemClock.now() }
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

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("name", &self.name).finish_non_exhaustive()
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
