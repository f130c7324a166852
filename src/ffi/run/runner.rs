//! What is behind the handle of a group or a loop: its life from the first actor to the free.
//!
//! # State
//! A [`State`] behind a lock:
//!
//! ```text
//!            run                   its end
//!   Idle ─────────────► Running ─────────────► Over
//!     │ add_group, add_loop                     ▲
//!     ├────────────────► Given                  │
//!     └─────────────────────────────────────────┘
//!            free
//! ```
//!
//! # Invariants
//! - ONCE: what there is to run is taken out when the phase leaves `Idle`, so it is run once.
//! - LAST: the gate is shut by the end of the run, if the handle was freed while it was under way,
//!   else by the free. So until the run's end the callbacks that the teardown needs can begin; and
//!   those that are due then have holds.
//! - COPIED: in the child of a fork the run of its parent is not there: `Running` is as good as
//!   `Over`.
//!
//! # Locks
//! The state's is held for a few instructions, with none of another object but in `give`, which
//! has those of the inner and the outer one after the other. What is dropped is dropped after it.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::actor::{ActorPlan, LoopActorPlan};
use super::counts_as;
use super::options::{
    DOCACHE_STOP_ON_FAILURE, DOCACHE_STOP_ON_RETURN, docache_run_group_options,
    docache_run_loop_options,
};
use super::report::docache_run_report;
use crate::contain::drop_contained;
use crate::error::{Error, ErrorKind, Result};
use crate::ffi::boundary::{
    DOCACHE_DOER_FAILED, DOCACHE_OK, Out, borrow, docache_status, text, versioned,
};
use crate::ffi::gate::Gate;
use crate::ffi::logger::docache_logger;
use crate::lock::{Lock, LockGuard};
use crate::log::Logger;
use crate::run::{Actor, Group, Handle, Loop, RunError, StopOn};
use crate::sync::fork::forks;

/// A group, or a loop, which is one whose actors are repeated, without its actors.
enum Base {
    Group(Group),
    Loop(Loop),
}

impl Base {
    fn what(&self) -> &'static str {
        match self {
            Base::Group(_) => "group",
            Base::Loop(_) => "loop",
        }
    }
}

/// What there is to run.
pub(super) enum Part {
    Actor(ActorPlan),
    LoopActor(LoopActorPlan),
    Inner {
        name: Arc<str>,
        stage: u32,
        inner: Box<Plan>,
    },
    #[cfg(all(unix, feature = "signals"))]
    Signals(Actor),
}

/// A group or a loop that was not run yet.
pub(super) struct Plan {
    base: Base,
    logger: Option<Logger>,
    parts: Vec<Part>,
}

impl Plan {
    /// It as a group that is run now, whose callbacks are those of the gate. `None` if that is
    /// shut.
    fn build(self, gate: &Arc<Gate>) -> Option<Group> {
        let logger = self.logger;
        match self.base {
            Base::Group(mut group) => {
                if let Some(logger) = logger {
                    group = group.logger(logger);
                }
                for part in self.parts {
                    group.add(part.build(gate)?);
                }
                Some(group)
            }
            Base::Loop(mut repeated) => {
                if let Some(logger) = logger {
                    repeated = repeated.logger(logger);
                }
                for part in self.parts {
                    let Part::LoopActor(plan) = part else { continue };
                    repeated.add(plan.build(gate.hold()?));
                }
                Some(repeated.into_group())
            }
        }
    }
}

impl Part {
    fn build(self, gate: &Arc<Gate>) -> Option<Actor> {
        Some(match self {
            Part::Actor(plan) => plan.build(gate.hold()?),
            Part::Inner { name, stage, inner } => {
                Actor::group(name, inner.build(gate)?).stage(stage)
            }
            #[cfg(all(unix, feature = "signals"))]
            Part::Signals(actor) => actor,
            // Loops are built by themselves.
            Part::LoopActor(_) => return None,
        })
    }
}

enum Phase {
    Idle(Box<Plan>),
    Running,
    Over,
    /// It is a part of another group.
    Given,
}

struct State {
    phase: Phase,
    /// Of which process the run is.
    forks: u32,
    /// Whether the handle was freed while it runs.
    freed: bool,
}

/// See the [module](self).
pub(super) struct Runner {
    what: &'static str,
    handle: Handle,
    gate: Arc<Gate>,
    state: Lock<State>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// A logger that calls back through a gate. The share of it lies behind that.
fn logger_behind(gate: &Arc<Gate>, logger: Logger) -> Logger {
    let max = logger.max();
    let share = Arc::new(logger);
    let weak = Arc::downgrade(&share);
    gate.keep(share);
    let gate = gate.clone();
    Logger::new(max, move |record| {
        gate.during(|| weak.upgrade().map(|logger| logger.pass(record)));
    })
}

/// # Safety
/// HANDLE, or NULL.
unsafe fn logger_of(gate: &Arc<Gate>, logger: *const docache_logger) -> Result<Option<Logger>> {
    if logger.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let logger = unsafe { borrow(logger, "options.logger") }?.logger();
    Ok(Some(logger_behind(gate, logger)))
}

fn deadline(ns: u64) -> Option<Duration> {
    (ns != 0).then(|| Duration::from_nanos(ns))
}

impl Runner {
    fn new(gate: Arc<Gate>, base: Base, logger: Option<Logger>) -> Arc<Runner> {
        let handle = match &base {
            Base::Group(group) => group.handle(),
            Base::Loop(repeated) => repeated.handle(),
        };
        let what = base.what();
        let plan = Box::new(Plan { base, logger, parts: Vec::new() });
        let state = State { phase: Phase::Idle(plan), forks: forks(), freed: false };
        Arc::new(Runner { what, handle, gate, state: Lock::new(state) })
    }

    /// # Safety
    /// HANDLE, SPAN, for what the options point to.
    pub(super) unsafe fn group(options: &docache_run_group_options) -> Result<Arc<Runner>> {
        versioned::reserved("options.reserved", options.reserved)?;
        let stop_on = match options.stop_on {
            DOCACHE_STOP_ON_FAILURE => StopOn::FirstError,
            DOCACHE_STOP_ON_RETURN => StopOn::AnyReturn,
            other => {
                let accepted = "give DOCACHE_STOP_ON_FAILURE or _RETURN";
                return Err(Error::invalid_argument("options.stop_on", other, accepted));
            }
        };
        let mut group = Group::new().stop_on(stop_on).deadline(deadline(options.deadline_ns));
        // SAFETY: the caller's promise.
        let name = unsafe { text(options.name, options.name_len, "options.name") }?;
        if !name.is_empty() {
            group = group.name(name);
        }
        let gate = Gate::new();
        // SAFETY: the caller's promise.
        let logger = unsafe { logger_of(&gate, options.logger) }?;
        Ok(Runner::new(gate, Base::Group(group), logger))
    }

    /// # Safety
    /// HANDLE, SPAN, for what the options point to.
    pub(super) unsafe fn repeated(options: &docache_run_loop_options) -> Result<Arc<Runner>> {
        let mut repeated = Loop::new().deadline(deadline(options.deadline_ns));
        // SAFETY: the caller's promise.
        let name = unsafe { text(options.name, options.name_len, "options.name") }?;
        if !name.is_empty() {
            repeated = repeated.name(name);
        }
        let gate = Gate::new();
        // SAFETY: the caller's promise.
        let logger = unsafe { logger_of(&gate, options.logger) }?;
        Ok(Runner::new(gate, Base::Loop(repeated), logger))
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The state, which is of this process (COPIED).
    fn lock(&self) -> LockGuard<'_, State> {
        let (mut state, torn) = self.state.lock_marked();
        let lost = matches!(state.phase, Phase::Running) && state.forks != forks();
        if torn || lost {
            mem::forget(mem::replace(&mut state.phase, Phase::Over));
            state.freed = false;
        }
        state
    }

    /// Why nothing can be added, and why it cannot be run.
    #[cold]
    fn refusal(&self, phase: &Phase) -> Error {
        let what = self.what;
        match phase {
            Phase::Idle(_) | Phase::Running => {
                Error::new(ErrorKind::Busy, format!("the {what} is running"))
            }
            Phase::Over => {
                let message = format!("the {what} has run already; make a new one for each run");
                Error::new(ErrorKind::Closed, message)
            }
            Phase::Given => {
                let message = format!("the {what} is a part of the group that it was added to");
                Error::new(ErrorKind::Closed, message)
            }
        }
    }

    /// Changes what is to run.
    fn change<R>(&self, change: impl FnOnce(&mut Plan) -> R) -> Result<R> {
        let mut state = self.lock();
        match &mut state.phase {
            Phase::Idle(plan) => Ok(change(plan)),
            other => Err(self.refusal(other)),
        }
    }

    /// Adds something to be run, and keeps what goes with it until the end.
    pub(super) fn add(&self, part: Part, kept: impl Send + 'static) -> Result<()> {
        self.change(|plan| plan.parts.push(part))?;
        self.gate.keep(kept);
        Ok(())
    }

    pub(super) fn stage_deadline(&self, stage: u32, limit: Option<Duration>) -> Result<()> {
        self.change(|plan| match &mut plan.base {
            Base::Group(group) => *group = mem::take(group).stage_deadline(stage, limit),
            Base::Loop(repeated) => *repeated = mem::take(repeated).stage_deadline(stage, limit),
        })
    }

    /// Adds what another one is to run.
    pub(super) fn give(&self, name: Arc<str>, stage: u32, inner: &Arc<Runner>) -> Result<()> {
        let plan = inner.take()?;
        let mut plan = Some(plan);
        let part = |inner| Part::Inner { name, stage, inner };
        let added = self.change(|outer| outer.parts.extend(plan.take().map(part)));
        if let Some(plan) = plan {
            inner.lock().phase = Phase::Idle(plan);
        }
        added.map(|()| self.gate.keep(Inner(inner.clone())))
    }

    /// Takes what is to run out, for another group to run it.
    fn take(&self) -> Result<Box<Plan>> {
        let mut state = self.lock();
        match mem::replace(&mut state.phase, Phase::Given) {
            Phase::Idle(plan) => Ok(plan),
            other => {
                let refusal = self.refusal(&other);
                state.phase = other;
                Err(refusal)
            }
        }
    }

    /// Runs it on this thread. What came of it, if it was run.
    pub(super) fn run(
        &self,
        out_report: Option<&Out<*mut docache_run_report>>,
    ) -> Result<docache_status> {
        let mut state = self.lock();
        let plan = match mem::replace(&mut state.phase, Phase::Running) {
            Phase::Idle(plan) => plan,
            other => {
                let refusal = self.refusal(&other);
                state.phase = other;
                return Err(refusal);
            }
        };
        state.forks = forks();
        drop(state);
        // Who frees, inside a callback, what this thread is in the midst of, must not wait for it.
        let _wait = self.gate.begin_wait();
        let ran = self.gate.during(|| {
            let _end = End(self);
            plan.build(&self.gate).map(Group::run_to_end)
        });
        let freed = || Error::new(ErrorKind::Closed, format!("the {} was freed", self.what));
        let (result, payload) = ran.flatten().ok_or_else(freed)?;
        let (report, error) = match result {
            Ok(report) => (report, None),
            Err(error) => (error.report().clone(), Some(failure(&error))),
        };
        let panicked = payload.as_ref().map(|payload| Error::panicked(&**payload));
        drop_contained(payload);
        // A panic that was the cause is named in the error; any other goes before it.
        let error = match error {
            Some(error) if error.is_panicked() => Some(error),
            error => panicked.or(error),
        };
        if let Some(out) = out_report {
            out.write(docache_run_report::into_handle(report));
        }
        error.map_or(Ok(DOCACHE_OK), Err)
    }

    /// The end of the handle. `waits`: until all callbacks are over, where that can be.
    pub(super) fn free(&self, waits: bool) {
        let mut state = self.lock();
        match mem::replace(&mut state.phase, Phase::Over) {
            Phase::Running => {
                state.phase = Phase::Running;
                state.freed = true;
                drop(state);
                self.handle.stop();
            }
            other => {
                drop(state);
                drop_contained(other);
                self.gate.shut(());
            }
        }
        if waits {
            self.gate.await_end();
        }
    }
}

/// The error of a run, with that of the actor that was the cause.
fn failure(error: &RunError) -> Error {
    match error.error() {
        Some(own) => {
            let kind = match counts_as(own) {
                DOCACHE_DOER_FAILED => ErrorKind::Failed,
                _ => own.kind(),
            };
            Error::with(kind, error.to_string(), Some(Box::new(own.clone())))
        }
        None => Error::new(ErrorKind::Timeout, error.to_string()),
    }
}

/// The time that it is run (LAST).
struct End<'r>(&'r Runner);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.phase = Phase::Over;
        let freed = mem::take(&mut state.freed);
        drop(state);
        if freed {
            self.0.gate.shut(());
        }
    }
}

/// The handle of what was given to another group, behind whose gate this lies.
struct Inner(Arc<Runner>);

impl Drop for Inner {
    fn drop(&mut self) {
        self.0.free(false);
    }
}
