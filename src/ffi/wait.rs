//! Family `wait`: a wait that needs no thread, in the form on_ready, poll, cancel, free. It is a
//! [polled](super::polled) future.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use super::boundary::{
    DOCACHE_OK, DOCACHE_PENDING, Out, borrow, docache_error, docache_status, guard, is_usable,
    quietly,
};
use super::gate::Gate;
use super::notify::{self, docache_notify_fn};
use super::polled::{BoxFuture, Pollable, Polled};
use crate::contain::drop_contained;
use crate::error::Result;

struct Task {
    polled: Polled<u64>,
    gate: Arc<Gate>,
}

impl Pollable for Task {
    type Output = u64;

    const NAME: &'static str = "wait";

    fn polled(&self) -> &Polled<u64> {
        &self.polled
    }

    fn gate(&self) -> &Arc<Gate> {
        &self.gate
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
    let mut future: BoxFuture<u64> = Box::pin(future);
    if let Poll::Ready(result) = future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
        return result.map(|_| DOCACHE_OK);
    }
    let task = Task { polled: Polled::new(future), gate: Gate::new() };
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
        Ok(if task.arm(notify, token)? { DOCACHE_PENDING } else { DOCACHE_OK })
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
        let cancelled = unsafe { borrow(wait, "wait") }?.0.cancel();
        Ok(if cancelled { DOCACHE_OK } else { DOCACHE_PENDING })
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
        drop_contained(owned.0.give_up());
        owned.0.gate.clone().close(owned);
    });
}
