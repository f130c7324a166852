//! The refreshes that wait for the program around to perform them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::store::Gated;
use crate::echo::Handed;
use crate::error::{Error, Result};
use crate::ffi::gate::Gate;
use crate::ffi::notify::Notify;
use crate::ffi::value::Value;
use crate::lock::{Lock, LockGuard};

/// A refresh that is due.
pub(super) type Refresh = Handed<Gated, Value, Error>;

/// The refreshes that are due and that no host has asked for.
pub(super) struct HostQueue {
    state: Lock<State>,
    gate: Arc<Gate>,
}

struct State {
    due: VecDeque<Refresh>,
    notify: Notify,
    closed: bool,
}

impl State {
    fn new(closed: bool) -> State {
        State { due: VecDeque::new(), notify: Notify::None, closed }
    }
}

impl HostQueue {
    pub(super) fn new(gate: &Arc<Gate>) -> Arc<HostQueue> {
        Arc::new(HostQueue { state: Lock::new(State::new(false)), gate: gate.clone() })
    }

    /// In the child of a fork whose other threads were just at it, what waited is the parent's.
    fn lock(&self) -> LockGuard<'_, State> {
        let (mut state, torn) = self.state.lock_marked();
        if torn {
            let closed = state.closed;
            std::mem::forget(std::mem::replace(&mut *state, State::new(closed)));
        }
        state
    }

    /// Keeps a refresh for the host, who is told.
    pub(super) fn put(&self, refresh: Refresh) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            drop(refresh);
            return;
        }
        state.due.push_back(refresh);
        let due = state.notify.fire();
        // Another one may be given, from inside the notification too.
        if due.is_some() {
            state.notify = Notify::None;
        }
        drop(state);
        if let Some(due) = due {
            self.gate.during(|| due.call());
        }
    }

    /// Arms the notification; false: a refresh is due already.
    pub(super) fn on_refresh(
        &self,
        notify: unsafe extern "C-unwind" fn(usize),
        token: usize,
    ) -> Result<bool> {
        let mut state = self.lock();
        state.notify.check_unused("cache")?;
        if !state.due.is_empty() {
            return Ok(false);
        }
        state.notify = Notify::Armed(notify, token);
        Ok(true)
    }

    /// Takes the notification back: whether there was one.
    pub(super) fn cancel(&self) -> bool {
        let mut state = self.lock();
        let is_armed = matches!(state.notify, Notify::Armed(..));
        state.notify.cancel();
        is_armed
    }

    /// The refresh that has been due for the longest time.
    pub(super) fn next(&self) -> Option<Refresh> {
        self.lock().due.pop_front()
    }

    /// Keeps none any more: how many were dropped.
    pub(super) fn close(&self) -> usize {
        let mut state = self.lock();
        state.closed = true;
        state.notify.cancel();
        let due = std::mem::take(&mut state.due);
        drop(state);
        due.len()
    }
}
