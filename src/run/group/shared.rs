//! What a group, its handles and its actors' threads share.
//!
//! # State
//! A [`State`] behind a lock: the phase, the cause, and for each actor a [`Place`] that says how
//! far it is. `changed` is notified when the phase changes, when a stage has settled and when the
//! wait is cut short; only [`run`](crate::run::Group::run) waits there.
//!
//! ```text
//!           open               stop, the cause                  close
//!   Idle ─────────► Running ───────────────────► Stopping ────────────────► Over
//!     └──────────────────────────────────────────────▲
//!                          stop
//! ```
//!
//! # Invariants
//! - FIRST: the phase leaves `Running`, or `Idle` by a stop, once, and takes the cause along in the
//!   same critical section. What comes later changes neither.
//! - BEGUN: an execute begins only in the phase `Running`, and notes it under the lock. So once the
//!   group is stopping, it is known who has begun; these are interrupted, each once, since its
//!   interrupt can be called only once and lies with `run` alone. Nobody else ever begins.
//! - PENDING: `pending` of a stage is the number of its executes that are not over and of its
//!   interrupts that run. An interrupt is counted before its thread is started. The stage has
//!   settled when it is 0; as nothing is added then, it stays so.
//! - PAYLOAD: the first panic's payload is put down together with the cause that it may be, and
//!   taken when the group is closed. A later one is dropped.
//! - COPIED: in the child of a fork the state is that of the parent, whose threads are not there.
//!   The first who has the lock there forgets it and makes it `Over`; a group that has not begun to
//!   run in the parent can run in the child.
//!
//! # Orderings
//! The lock acquires and releases: whoever sees that a stage has settled sees all that its actors
//! did. The wait list has its own fence between what is made true and the look for waiters.
//!
//! # Progress
//! Each step is a short lock. No user code runs under it: errors and payloads that are replaced
//! are dropped after it.

use std::any::Any;
use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use super::cause::{ActorError, Cause, StopOn};
use super::report::Unfinished;
use crate::contain::drop_contained;
use crate::error::Error;
use crate::lock::{Lock, LockGuard};
use crate::sync::fork::forks;
use crate::wait::{Event, WaitList};

pub(in crate::run) type Payload = Box<dyn Any + Send>;

/// How an execution came to its end. A path names the actor of a nested group that it is about.
pub(in crate::run) enum Ended {
    Returned,
    /// It asks that the group stop, without having failed.
    Stop(Cause),
    Failed(Option<Arc<str>>, Error),
    Panicked(Option<Arc<str>>, Error, Payload),
}

impl Ended {
    /// A panic of the actor itself.
    pub(in crate::run) fn panicked(payload: Payload) -> Ended {
        Ended::Panicked(None, Error::panicked(&*payload), payload)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Running,
    Stopping,
    Over,
}

/// How far an actor is.
pub(in crate::run) struct Place {
    name: Arc<str>,
    stage: u32,
    /// The group that it runs.
    inner: Option<Arc<Shared>>,
    /// Whether it only watches over the others.
    watches: bool,
    begun: bool,
    /// Until its execute is over, or is known not to begin.
    open: bool,
    interrupting: bool,
    interrupted: bool,
    failures: u64,
    last: Option<ActorError>,
}

impl Place {
    pub(in crate::run) fn new(
        (name, stage): (Arc<str>, u32),
        inner: Option<Arc<Shared>>,
        watches: bool,
    ) -> Place {
        Place {
            name,
            stage,
            inner,
            watches,
            begun: false,
            open: true,
            interrupting: false,
            interrupted: false,
            failures: 0,
            last: None,
        }
    }

    fn unfinished(&self) -> Unfinished {
        Unfinished {
            name: self.name.clone(),
            execute: self.open && self.begun && !self.watches,
            interrupt: self.interrupting,
        }
    }
}

struct State {
    forks: u32,
    phase: Phase,
    cause: Option<Cause>,
    /// Whether the cause is that of the group that this one is in.
    inherited: bool,
    cut_short: Option<Cause>,
    places: Vec<Place>,
    /// How many executes are not over, but for those that only watch, and one more if the group
    /// goes on without any.
    open: usize,
    pending: BTreeMap<u32, usize>,
    payload: Option<Payload>,
}

impl State {
    fn new(phase: Phase, cause: Option<Cause>) -> State {
        State {
            forks: forks(),
            phase,
            cause,
            inherited: false,
            cut_short: None,
            places: Vec::new(),
            open: 0,
            pending: BTreeMap::new(),
            payload: None,
        }
    }

    /// Whether this is what stops the group (FIRST).
    fn stop(&mut self, cause: Cause) -> bool {
        let first = matches!(self.phase, Phase::Idle | Phase::Running);
        if first {
            self.phase = Phase::Stopping;
            self.cause = Some(cause);
        }
        first
    }

    /// Something of a stage is over; whether the stage has settled (PENDING).
    fn settle(&mut self, stage: u32) -> bool {
        let Some(pending) = self.pending.get_mut(&stage) else { return false };
        *pending -= 1;
        *pending == 0
    }

    /// Notes a failure; what is to be dropped after the lock.
    fn fail(&mut self, index: usize, error: &ActorError) -> Option<ActorError> {
        let place = self.places.get_mut(index)?;
        place.failures += 1;
        place.last.replace(error.clone())
    }

    /// Keeps a payload if it is the first (PAYLOAD); otherwise gives it back.
    fn keep(&mut self, payload: Payload) -> Option<Payload> {
        if self.payload.is_some() || self.phase == Phase::Over {
            return Some(payload);
        }
        self.payload = Some(payload);
        None
    }
}

/// What a group left when it was closed.
pub(in crate::run) struct Left {
    pub(in crate::run) cause: Cause,
    pub(in crate::run) inherited: bool,
    pub(in crate::run) errors: Vec<ActorError>,
    pub(in crate::run) failures: u64,
    pub(in crate::run) cut_short: Option<Cause>,
    pub(in crate::run) payload: Option<Payload>,
}

pub(in crate::run) struct Shared {
    state: Lock<State>,
    changed: WaitList,
}

impl Shared {
    pub(in crate::run) fn new() -> Arc<Shared> {
        #[cfg(not(docache_loom))]
        crate::sync::fork::watch();
        let state = Lock::new(State::new(Phase::Idle, None));
        Arc::new(Shared { state, changed: WaitList::new() })
    }

    /// The state, which is of this process (COPIED).
    fn lock(&self) -> LockGuard<'_, State> {
        let (mut state, torn) = self.state.lock_marked();
        if !torn && state.places.is_empty() {
            // It is as good as new.
            state.forks = forks();
        }
        if torn || state.forks != forks() {
            let lost = State::new(Phase::Over, Some(Cause::Forked));
            mem::forget(mem::replace(&mut *state, lost));
        }
        state
    }

    /// Whether the process is not the one in which the group began to run.
    pub(in crate::run) fn is_lost(&self) -> bool {
        matches!(self.lock().cause, Some(Cause::Forked))
    }

    /// Whether the group is to run, with these actors; not if it was stopped before. One that is to
    /// `stay`, or in which all only watch, does not finish by itself.
    pub(in crate::run) fn open(&self, places: Vec<Place>, stay: bool) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Idle {
            return false;
        }
        state.phase = Phase::Running;
        let working = places.iter().filter(|place| !place.watches).count();
        let stay = stay || working == 0 && !places.is_empty();
        state.open = working + usize::from(stay);
        for place in &places {
            *state.pending.entry(place.stage).or_default() += 1;
        }
        state.places = places;
        if state.open == 0 {
            state.stop(Cause::Finished);
        }
        true
    }

    /// Whether the actor's execute is to begin (BEGUN).
    pub(in crate::run) fn begin(&self, index: usize) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Running {
            return false;
        }
        state.places.get_mut(index).is_some_and(|place| {
            place.begun = true;
            true
        })
    }

    /// Notes how the actor's execute came to its end, and stops the group if that is why. What it
    /// failed with.
    pub(in crate::run) fn ended(
        &self,
        index: usize,
        ended: Ended,
        on: StopOn,
    ) -> Option<ActorError> {
        let mut state = self.lock();
        let name = state.places.get(index)?.name.clone();
        let named = |path: Option<Arc<str>>| {
            path.map_or_else(|| name.clone(), |path| format!("{name}/{path}").into())
        };
        let (cause, error, payload) = match ended {
            Ended::Returned if on == StopOn::FirstError => return None,
            Ended::Returned => (Cause::Returned(name), None, None),
            Ended::Stop(cause) => (cause, None, None),
            Ended::Failed(path, error) => {
                let error = ActorError::new(named(path), error);
                (Cause::Failed(error.clone()), Some(error), None)
            }
            Ended::Panicked(path, error, payload) => {
                let error = ActorError::new(named(path), error);
                (Cause::Panicked(error.clone()), Some(error), Some(payload))
            }
        };
        let before = error.as_ref().and_then(|error| state.fail(index, error));
        let first = state.stop(cause);
        let spare = payload.and_then(|payload| state.keep(payload));
        drop(state);
        if first {
            self.changed.notify_all();
        }
        drop_contained(before);
        drop_contained(spare);
        error
    }

    /// Notes a failure after which the actor goes on.
    pub(in crate::run) fn failed(&self, index: usize, error: &ActorError) {
        let before = self.lock().fail(index, error);
        drop_contained(before);
    }

    /// Notes a panic that is no end of an execute. It stops the group.
    pub(in crate::run) fn panicked(&self, index: usize, payload: Payload) {
        self.ended(index, Ended::panicked(payload), StopOn::FirstError);
    }

    /// The actor's execute is over, or does not begin.
    pub(in crate::run) fn finished(&self, index: usize) {
        let mut state = self.lock();
        let Some(place) = state.places.get_mut(index) else { return };
        place.open = false;
        let (stage, watches) = (place.stage, place.watches);
        state.open -= usize::from(!watches);
        let mut changed = state.settle(stage);
        if state.open == 0 {
            changed |= state.stop(Cause::Finished);
        }
        drop(state);
        if changed {
            self.changed.notify_all();
        }
    }

    /// Whether the actor is to be interrupted: it has begun. Its interrupt then counts as running.
    pub(in crate::run) fn interrupt(&self, index: usize) -> bool {
        let mut state = self.lock();
        let Some(place) = state.places.get_mut(index).filter(|place| place.begun) else {
            return false;
        };
        (place.interrupting, place.interrupted) = (true, true);
        let stage = place.stage;
        *state.pending.entry(stage).or_default() += 1;
        true
    }

    /// The actor's interrupt is over.
    pub(in crate::run) fn interrupted(&self, index: usize) {
        let mut state = self.lock();
        let Some(place) = state.places.get_mut(index) else { return };
        place.interrupting = false;
        let stage = place.stage;
        let settled = state.settle(stage);
        drop(state);
        if settled {
            self.changed.notify_all();
        }
    }

    /// Whether the execute of an actor is to be called again: not once the group stops and its
    /// stage is the first, or once it is interrupted.
    pub(in crate::run) fn may_repeat(&self, index: usize) -> bool {
        let state = self.lock();
        let Some(place) = state.places.get(index) else { return false };
        let first = state.pending.first_key_value().is_some_and(|(first, _)| *first == place.stage);
        !place.interrupted && (state.phase == Phase::Running || !first)
    }

    /// Stops the group. Whether this is what stops it.
    pub(in crate::run) fn stop(&self, cause: Cause) -> bool {
        let first = self.lock().stop(cause);
        if first {
            self.changed.notify_all();
        }
        first
    }

    /// Stops the group because the one that it is in stops.
    pub(in crate::run) fn stop_from_outside(&self, cause: Cause) {
        let mut state = self.lock();
        let first = state.stop(cause);
        state.inherited |= first;
        drop(state);
        if first {
            self.changed.notify_all();
        }
    }

    /// Stops the group if it is not stopping, and ends the wait for its actors.
    pub(in crate::run) fn stop_waiting(&self, cause: Cause) {
        let mut state = self.lock();
        if state.phase == Phase::Over {
            return;
        }
        state.stop(cause.clone());
        if state.cut_short.is_none() {
            state.cut_short = Some(cause);
        }
        let outer = state.cause.clone().unwrap_or(Cause::Stopped);
        let inner: Vec<_> = state.places.iter().filter_map(|place| place.inner.clone()).collect();
        drop(state);
        self.changed.notify_all();
        for inner in inner {
            inner.stop_from_outside(outer.clone());
            inner.stop_waiting(Cause::Stopped);
        }
    }

    /// Why the group stops or has stopped.
    pub(in crate::run) fn cause(&self) -> Option<Cause> {
        self.lock().cause.clone()
    }

    /// What ended the wait.
    pub(in crate::run) fn cut_short(&self) -> Option<Cause> {
        self.lock().cut_short.clone()
    }

    /// The actor's name.
    pub(in crate::run) fn name(&self, index: usize) -> Option<Arc<str>> {
        Some(self.lock().places.get(index)?.name.clone())
    }

    /// Whether the actor's execute is over.
    pub(in crate::run) fn is_finished(&self, index: usize) -> bool {
        self.lock().places.get(index).is_some_and(|place| !place.open)
    }

    /// Who still runs, in nested groups too.
    pub(in crate::run) fn unfinished(&self) -> Vec<Unfinished> {
        let list = |place: &Place| (place.unfinished(), place.inner.clone());
        let places: Vec<_> = self.lock().places.iter().map(list).collect();
        let mut all = Vec::new();
        for (own, inner) in places {
            let before = all.len();
            for one in inner.iter().flat_map(|inner| inner.unfinished()) {
                let name = format!("{}/{}", own.name, one.name).into();
                all.push(Unfinished { name, ..one });
            }
            if all.len() == before && (own.execute || own.interrupt) {
                all.push(own);
            }
        }
        all
    }

    /// Ends it.
    pub(in crate::run) fn close(&self) -> Left {
        let mut state = self.lock();
        state.phase = Phase::Over;
        Left {
            cause: state.cause.clone().unwrap_or(Cause::Stopped),
            inherited: state.inherited,
            errors: state.places.iter().filter_map(|place| place.last.clone()).collect(),
            failures: state.places.iter().map(|place| place.failures).sum(),
            cut_short: state.cut_short.clone(),
            payload: state.payload.take(),
        }
    }
}

/// The group is to stop, or has.
pub(in crate::run) struct Stopping<'s>(pub(in crate::run) &'s Shared);

// SAFETY: the list is the shared state's, which outlives the event.
unsafe impl Event for Stopping<'_> {
    type Output = ();

    fn list(&self) -> &WaitList {
        &self.0.changed
    }

    fn check(&mut self) -> Option<()> {
        matches!(self.0.lock().phase, Phase::Stopping | Phase::Over).then_some(())
    }
}

/// Everything of a stage is over, or nobody is to be waited for.
pub(in crate::run) struct Settled<'s>(pub(in crate::run) &'s Shared, pub(in crate::run) u32);

// SAFETY: the list is the shared state's, which outlives the event.
unsafe impl Event for Settled<'_> {
    type Output = ();

    fn list(&self) -> &WaitList {
        &self.0.changed
    }

    fn check(&mut self) -> Option<()> {
        let state = self.0.lock();
        let settled = state.pending.get(&self.1).is_none_or(|pending| *pending == 0);
        (settled || state.cut_short.is_some() || state.phase == Phase::Over).then_some(())
    }
}
