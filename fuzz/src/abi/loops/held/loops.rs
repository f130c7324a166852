//! Loops. What a loop may be doing is known exactly where the conventions fix it, and else within
//! bounds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use docache::ffi::*;

use super::counters::check_at_rest;
use crate::abi::loops::inside::Inside;
use crate::abi::loops::options::Effect;
use crate::abi::loops::plan::Plan;
use crate::abi::outcome::{Outcome, call};
use crate::abi::place::Given;
use crate::patience::soon;

/// Whether a loop is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Running {
    No,
    Yes,
    /// It has been asked to stop.
    Stopping,
    Maybe,
}

/// A loop.
pub(crate) struct Held {
    pub(crate) handle: *mut docache_loop,
    pub(crate) plan: Arc<Plan>,
    pub(crate) effect: Effect,
    pub(crate) base: Running,
    /// The version when the loop was last known to be at rest.
    pub(crate) settled: u64,
    /// The greatest version seen.
    pub(crate) seen: u64,
}

impl Held {
    /// How many results there can be by now.
    pub(crate) fn allowed(&self) -> u64 {
        self.plan.allowed.load(Ordering::SeqCst)
    }

    /// Whether a call that may have begun since the loop was at rest does such a thing.
    pub(crate) fn may_do(&self, test: impl Fn(Inside) -> bool) -> bool {
        (self.settled + 1..=self.allowed()).any(|sequence| test(self.plan.script.inside(sequence)))
    }

    pub(crate) fn running(&self) -> Running {
        match self.base {
            Running::No => Running::No,
            Running::Yes if !self.may_do(Inside::stops) => Running::Yes,
            Running::Stopping if !self.may_do(Inside::starts) => Running::Stopping,
            Running::Yes | Running::Stopping | Running::Maybe => Running::Maybe,
        }
    }

    /// Notes a version that the library told.
    pub(crate) fn saw(&mut self, version: u64) {
        assert!(version >= self.seen, "version {version} after {}", self.seen);
        assert!(version <= self.allowed(), "version {version}, but only {} calls", self.allowed());
        self.seen = version;
    }

    /// A success that is there for sure.
    pub(crate) fn has_success(&self) -> bool {
        self.success_in(1, self.seen)
    }

    pub(crate) fn success_in(&self, first: u64, last: u64) -> bool {
        (first..=last).any(|sequence| self.plan.script.shown(sequence).is_value())
    }

    /// Asks the loop to start. The status is checked by the caller.
    pub(crate) fn start(&mut self, error: Given) -> Outcome {
        let before = self.running();
        if self.effect.at_once && before != Running::Yes {
            self.plan.allow(1);
        }
        // SAFETY: HANDLE.
        let started =
            call("loop_start", error, |error| unsafe { docache_loop_start(self.handle, error) });
        self.base = if matches!(before, Running::No | Running::Yes) {
            Running::Yes
        } else {
            Running::Maybe
        };
        started
    }

    /// Stops the loop and, unless the Doer starts it again, brings it to rest; whether it is at
    /// rest.
    pub(crate) fn settle(&mut self) -> bool {
        // SAFETY: HANDLE.
        call("loop_stop", Given::Valid, |error| unsafe {
            docache_loop_stop(self.handle, DOCACHE_FOREVER, error)
        })
        .is(DOCACHE_OK);
        self.rest()
    }

    /// A stop has succeeded.
    pub(crate) fn rest(&mut self) -> bool {
        if self.running() == Running::No {
            return true;
        }
        if self.may_do(Inside::starts) {
            self.base = Running::Maybe;
            return false;
        }
        let calls = self.plan.calls.load(Ordering::SeqCst);
        // SAFETY: HANDLE.
        let version = unsafe { docache_loop_version(self.handle) };
        assert_eq!(version, calls, "every call is published before the loop has stopped");
        self.saw(version);
        self.base = Running::No;
        self.settled = version;
        self.plan.allowed.store(version, Ordering::SeqCst);
        check_at_rest(self.handle, &self.plan, self.seen);
        true
    }

    /// Notes that somebody has asked the loop to stop, without waiting.
    pub(crate) fn asked_to_stop(&mut self) {
        if self.running() != Running::No {
            self.base =
                if self.may_do(Inside::starts) { Running::Maybe } else { Running::Stopping };
        }
    }

    /// Frees the loop; nothing uses the handle any more.
    pub(crate) fn free(self) -> Arc<Plan> {
        self.plan.mute();
        // SAFETY: HANDLE: the table's, which it leaves.
        unsafe { docache_loop_free(self.handle) };
        self.plan
    }

    /// Frees the loop at the end of a case; the plan is to be awaited.
    pub(crate) fn finish(mut self) -> Arc<Plan> {
        if self.settle() {
            check_at_rest(self.handle, &self.plan, self.seen);
        }
        self.free()
    }
}

/// Waits until a freed loop has dropped its Doer.
pub(crate) fn await_drop(plan: &Plan) {
    let registration = &plan.registration;
    soon("the drop of a Doer", || registration.is_dropped() == registration.is_counted());
}
