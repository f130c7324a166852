//! Family `echo`: refreshes that the program around performs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::begin::hand_out;
use super::handle::{Refreshes, docache_echo};
use super::store::Gated;
use super::task::{Lead, Seen, Task, docache_echo_call};
use crate::echo::Handed;
use crate::error::{Error, Result};
use crate::ffi::boundary::{
    DOCACHE_MISS, DOCACHE_OK, DOCACHE_PENDING, Out, borrow, docache_error, docache_status, guard,
};
use crate::ffi::gate::Gate;
use crate::ffi::notify::{self, Notify, docache_notify_fn};
use crate::ffi::value::Value;

type Refresh = Handed<Gated, Value, Error>;

/// The refreshes that are due and that no host has asked for.
pub(super) struct HostQueue {
    state: Mutex<State>,
    gate: Arc<Gate>,
}

struct State {
    due: VecDeque<Refresh>,
    notify: Notify,
    closed: bool,
}

impl HostQueue {
    pub(super) fn new(gate: &Arc<Gate>) -> Arc<HostQueue> {
        let state = State { due: VecDeque::new(), notify: Notify::None, closed: false };
        Arc::new(HostQueue { state: Mutex::new(state), gate: gate.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The queue of a cache that leaves its refreshes to its host.
fn queue(echo: &docache_echo) -> Result<&Arc<HostQueue>> {
    match &echo.refreshes {
        Some(Refreshes::Host(queue)) => Ok(queue),
        _ => {
            let found = "a cache that leaves no refreshes to its host";
            let accepted = "give one of docache_echo_lazy_new without `perform`";
            Err(Error::invalid_argument("echo", found, accepted))
        }
    }
}

/// Has `notify(token)` called once when a refresh is due: PENDING. OK if one is already: then
/// `notify` is not called. It is called on the thread of the fetch that finds its value stale, and
/// must not block; after it was called another may be given, also inside of it. One notification at
/// a time. \[NC\]
///
/// # Safety
/// HANDLE, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_on_refresh(
    echo: *const docache_echo,
    notify: docache_notify_fn,
    token: usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let queue = queue(unsafe { borrow(echo, "echo") }?)?;
        let notify = notify::required(notify)?;
        let mut state = queue.lock();
        state.notify.check_unused("cache")?;
        if !state.due.is_empty() {
            return Ok(DOCACHE_OK);
        }
        state.notify = Notify::Armed(notify, token);
        Ok(DOCACHE_PENDING)
    })
}

/// Takes the notification of docache_echo_on_refresh back. OK: it will not be called. PENDING:
/// there is none: it has been called, or is being called now. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_on_refresh_cancel(
    echo: *const docache_echo,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let queue = queue(unsafe { borrow(echo, "echo") }?)?;
        let mut state = queue.lock();
        let is_armed = matches!(state.notify, Notify::Armed(..));
        state.notify.cancel();
        Ok(if is_armed { DOCACHE_OK } else { DOCACHE_PENDING })
    })
}

/// Begins the refresh that has been due for the longest time. MISS: none is due. LEADER, with a
/// call: do the work for docache_echo_call_key, then docache_echo_call_finish within
/// `refresh_timeout_ns`. PENDING, with a call: the store has not answered yet; poll says LEADER, or
/// OK if another process is at it or was. The caller frees the call; one that was not finished
/// gives the refresh up. A failure that is finished with counts for the backoff, and `on_warning`
/// is told. \[CB\] callbacks of a store, and `on_warning`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_refresh_begin(
    echo: *const docache_echo,
    out_call: *mut *mut docache_echo_call,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out_call = unsafe { Out::handle(out_call, "out_call") }?;
        // SAFETY: the caller's promise.
        let echo = unsafe { borrow(echo, "echo") }?;
        let queue = queue(echo)?;
        echo.gate.call(|| {
            loop {
                let next = queue.lock().due.pop_front();
                let Some(refresh) = next else { return Ok(DOCACHE_MISS) };
                let (key, lead) = (refresh.key().clone(), Lead::new());
                let work = lead.clone();
                let future = async move {
                    refresh.run(|| work.begin()).await;
                    Ok(None)
                };
                let task = Task::start(key, echo.common, lead, future);
                match task.look() {
                    // There was nothing to do.
                    Seen::Over(_) => {}
                    Seen::Leads => return Ok(hand_out(&out_call, task, true)),
                    Seen::Pending => return Ok(hand_out(&out_call, task, false)),
                }
            }
        })
    })
}
