//! Family `echo`: refreshes that the program around performs.

use std::sync::Arc;

use super::begin::hand_out;
use super::handle::{Refreshes, docache_echo};
use super::host_queue::HostQueue;
use super::task::{Lead, Seen, Task, docache_echo_call};
use crate::error::{Error, Result};
use crate::ffi::boundary::{
    DOCACHE_MISS, DOCACHE_OK, DOCACHE_PENDING, Out, borrow, docache_error, docache_status, guard,
};
use crate::ffi::notify::{self, docache_notify_fn};

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
        let armed = queue.on_refresh(notify::required(notify)?, token)?;
        Ok(if armed { DOCACHE_PENDING } else { DOCACHE_OK })
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
        Ok(if queue.cancel() { DOCACHE_OK } else { DOCACHE_PENDING })
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
                let Some(refresh) = queue.next() else { return Ok(DOCACHE_MISS) };
                let (key, lead) = (refresh.key().clone(), Lead::new());
                let work = lead.clone();
                let future = async move {
                    refresh.run(|| work.begin()).await;
                    Ok(None)
                };
                let task = Task::start(key, echo.common.clone(), lead, future);
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
