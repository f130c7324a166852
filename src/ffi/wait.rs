//! Family `wait`: a wait that needs no thread, in the form on_ready, poll, cancel, free.
//!
//! # State
//! Behind one lock: the future (unless it is being polled or done), its result (from then on), and
//! who is to be notified. The wait is its own Waker: woken, it polls the future again, so that it
//! notifies only when the future is really ready.
//!
//! # Invariants
//! - ONE-POLLER: while `poller` is set the future is with the thread that set it. Others leave a
//!   mark, `woken`, and that thread polls once more. So the future is polled, and dropped, without
//!   the lock, by one thread at a time.
//! - NOTIFY-ONCE: `notify` leaves `Armed` under the lock (see [`Notify`]). So after `cancel` says
//!   OK it is never called, and it is called at most once in any case.
//! - NO-LOST-WAKEUP: whoever stores the result takes an armed notification with it; arming looks
//!   for a result first. So an armed notification is called whoever finds the future ready.
//! - COPIED: `poller` says of which process the thread is. In the child of a fork the future of one
//!   that is not there is lost: the wait ends with an error.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use super::boundary::{
    DOCACHE_OK, DOCACHE_PENDING, Out, borrow, docache_error, docache_status, guard, is_usable,
    quietly,
};
use super::gate::Gate;
use super::notify::{self, Notify, docache_notify_fn};
use crate::error::Result;
use crate::lock::{Lock, LockGuard};
use crate::sync::fork::forks;

type Future = Pin<Box<dyn std::future::Future<Output = Result<u64>> + Send>>;

struct State {
    future: Option<Future>,
    result: Option<Result<u64>>,
    notify: Notify,
    /// The process whose thread polls, by the number of forks before it.
    poller: Option<u32>,
    woken: bool,
    freed: bool,
}

impl State {
    fn new(future: Option<Future>, result: Option<Result<u64>>) -> State {
        State { future, result, notify: Notify::None, poller: None, woken: false, freed: false }
    }
}

struct Task {
    state: Lock<State>,
    gate: Arc<Gate>,
}

impl Task {
    /// See COPIED.
    fn lock(&self) -> LockGuard<'_, State> {
        let (mut state, torn) = self.state.lock_marked();
        if torn || state.poller.is_some_and(|process| process != forks()) {
            let lost = State::new(None, Some(Err(notify::lost_in_fork("wait"))));
            std::mem::forget(std::mem::replace(&mut *state, lost));
        }
        state
    }

    /// Polls, unless there is a result or somebody else polls (ONE-POLLER).
    fn drive(self: &Arc<Task>) {
        while let Some(future) = self.begin_poll() {
            if !self.poll(future) {
                return;
            }
        }
    }

    fn begin_poll(&self) -> Option<Future> {
        let mut state = self.lock();
        if state.poller.is_some() {
            state.woken = true;
            return None;
        }
        let future = state.future.take()?;
        state.poller = Some(forks());
        state.woken = false;
        Some(future)
    }

    /// Polls once; whether a wake came meanwhile.
    fn poll(self: &Arc<Task>, mut future: Future) -> bool {
        let waker = Waker::from(self.clone());
        let polled = future.as_mut().poll(&mut TaskContext::from_waker(&waker));
        let (future, result) = match polled {
            Poll::Pending => (Some(future), None),
            Poll::Ready(result) => {
                drop(future);
                (None, Some(result))
            }
        };
        let mut state = self.lock();
        state.poller = None;
        let freed = state.freed;
        let spare = if freed { future } else { std::mem::replace(&mut state.future, future) };
        state.result = result;
        let again = state.woken && !freed;
        let due = if state.result.is_some() { state.notify.fire() } else { None };
        drop(state);
        drop(spare);
        if let Some(due) = due {
            self.gate.during(|| due.call());
        }
        again
    }
}

impl Wake for Task {
    fn wake(self: Arc<Task>) {
        self.drive();
    }
}

/// A wait under way. One owner; its functions may be called from any thread.
pub struct docache_wait(Arc<Task>);

impl std::fmt::Debug for docache_wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("docache_wait").finish_non_exhaustive()
    }
}

/// Gives C a wait for `future`, or says what it comes to if it is ready at once.
pub(super) fn hand_out(
    out: Out<*mut docache_wait>,
    future: impl std::future::Future<Output = Result<u64>> + Send + 'static,
) -> Result<docache_status> {
    let mut future: Future = Box::pin(future);
    if let Poll::Ready(result) = future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
        return result.map(|_| DOCACHE_OK);
    }
    let task = Task { state: Lock::new(State::new(Some(future), None)), gate: Gate::new() };
    out.write(Box::into_raw(Box::new(docache_wait(Arc::new(task)))));
    Ok(DOCACHE_PENDING)
}

/// Has `notify(token)` called once when the wait is over: PENDING. OK if it is over already: then
/// `notify` is not called. One notification at a time: a second one is refused unless the first was
/// cancelled. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_wait_on_ready(
    wait: *mut docache_wait,
    notify: docache_notify_fn,
    token: usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let task = unsafe { borrow(wait, "wait") }?.0.clone();
        let notify = notify::required(notify)?;
        task.drive();
        let mut state = task.lock();
        state.notify.check_unused("wait")?;
        if state.result.is_some() {
            return Ok(DOCACHE_OK);
        }
        // Armed under the lock under which the result will be stored (NO-LOST-WAKEUP).
        state.notify = Notify::Armed(notify, token);
        Ok(DOCACHE_PENDING)
    })
}

/// Looks: PENDING, or what the wait came to. With OK the version it came to (0 where there is none)
/// is written to `out_version`, which may be NULL. May be called again. \[CB\] only `drop` and the
/// wait's own notification
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_wait_poll(
    wait: *mut docache_wait,
    out_version: *mut u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(out_version, "out_version") }?;
        // SAFETY: the caller's promise.
        let task = unsafe { borrow(wait, "wait") }?.0.clone();
        task.drive();
        let result = task.lock().result.clone();
        let Some(version) = result.transpose()? else { return Ok(DOCACHE_PENDING) };
        if let Some(out) = out {
            out.write(version);
        }
        Ok(DOCACHE_OK)
    })
}

/// Takes the notification back. OK: it will not be called; another may be given. PENDING: it has
/// been called, or is being called now. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_wait_cancel(wait: *mut docache_wait) -> docache_status {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let mut state = unsafe { borrow(wait, "wait") }?.0.lock();
        Ok(if state.notify.cancel() { DOCACHE_OK } else { DOCACHE_PENDING })
    })
}

/// Cancels and frees the wait. A notification that is being called on another thread at this moment
/// is waited for; inside the notification this returns at once. NULL is fine. \[CB\] only `drop`
/// \[BLK\] only for that
///
/// # Safety
/// HANDLE; nothing else may be going on with the handle, but what calls the notification.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_wait_free(wait: *mut docache_wait) {
    if !is_usable(wait) {
        return;
    }
    quietly((), || {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        let owned = unsafe { Box::from_raw(wait) };
        let mut state = owned.0.lock();
        state.freed = true;
        let future = state.future.take();
        state.notify.cancel();
        drop(state);
        drop(future);
        owned.0.gate.clone().close(owned);
    });
}
