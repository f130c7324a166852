//! Family `echo`: fetching, as callers do that must not block.

use std::sync::Arc;

use super::fetch::{Places, checked};
use super::handle::{Kind, docache_echo};
use super::key;
use super::task::{Lead, Outcome, Seen, Task, docache_echo_call};
use crate::echo::Fetched;
use crate::error::{Error, Result};
use crate::ffi::boundary::{
    DOCACHE_LEADER, DOCACHE_OK, DOCACHE_PENDING, Out, borrow, docache_error, docache_status, guard,
    is_usable, quietly,
};
use crate::ffi::notify::{self, docache_notify_fn};
use crate::ffi::perform::{explain, finished};
use crate::ffi::polled::Pollable;
use crate::ffi::value::{Value, docache_value, start};
use crate::flight::FlightError;

fn outcome(key: &str, fetched: Result<Fetched<Value>, FlightError<Error>>) -> Outcome {
    let fetched = fetched.map_err(|error| explain(key.as_bytes(), error))?;
    Ok(Some((fetched.value, fetched.status)))
}

impl docache_echo {
    fn begin(&self, key: &str) -> Arc<Task> {
        let (key, lead): (Arc<str>, _) = (key.into(), Lead::new());
        let (own, work) = (key.clone(), lead.clone());
        match &self.kind {
            Kind::Memo(memo) => {
                let memo = memo.clone();
                let future = async move {
                    let fetched = memo.fetch_async(&own, || work.begin()).await;
                    outcome(&own, fetched)
                };
                Task::start(key, self.common.clone(), lead, future)
            }
            Kind::Lazy(lazy) => {
                let (lazy, refresher) = (lazy.clone(), self.refresher());
                let future = async move {
                    let hand = |due| {
                        if let Some(refresher) = refresher {
                            refresher.refresh(due);
                        }
                    };
                    let fetch = lazy.options().fetch_async_handing(&own, || work.begin(), hand);
                    outcome(&own, fetch.await)
                };
                Task::start(key, self.common.clone(), lead, future)
            }
        }
    }
}

/// Gives C a call, or says that it leads at once.
pub(super) fn hand_out(
    out: &Out<*mut docache_echo_call>,
    task: Arc<Task>,
    leads: bool,
) -> docache_status {
    out.write(Box::into_raw(Box::new(docache_echo_call(task))));
    if leads { DOCACHE_LEADER } else { DOCACHE_PENDING }
}

/// Begins a fetch without blocking. OK: the value, as docache_echo_fetch has it; there is no call.
/// LEADER, with a call: do the work, then docache_echo_call_finish, which puts the value into the
/// store. PENDING, with a call: the store has not answered yet, or somebody else does the work; see
/// docache_echo_call_on_ready and docache_echo_call_poll, which may say LEADER later. With any
/// other status there is no call. The caller frees the call; to stop waiting after some time, free
/// it then. A thread whose call leads must not wait for that key with docache_echo_fetch: that is a
/// deadlock, which is not detected.
///
/// Callbacks of a store are called on this thread, and on one of the library's. \[CB\] callbacks of
/// a store, `on_warning`, and others' `notify`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_begin(
    echo: *const docache_echo,
    key: *const u8,
    key_len: usize,
    out_value: *mut *mut docache_value,
    out_fetched: *mut i32,
    out_age_ns: *mut u64,
    out_call: *mut *mut docache_echo_call,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let places = unsafe { Places::new(out_value, out_fetched, out_age_ns) };
        // SAFETY: the caller's promise.
        let out_call = unsafe { Out::handle(out_call, "out_call") };
        // Both handles are NULL by now, whichever place is none.
        let (places, out_call) = (places?, out_call?);
        // SAFETY: the caller's promise.
        let echo = unsafe { borrow(echo, "echo") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { self::key(key, key_len) }?;
        let task = echo.gate.call(|| echo.begin(key));
        Ok(match task.look() {
            Seen::Over(outcome) => {
                if let Some((value, status)) = outcome? {
                    places.write(value, status);
                }
                DOCACHE_OK
            }
            Seen::Leads => hand_out(&out_call, task, true),
            Seen::Pending => hand_out(&out_call, task, false),
        })
    })
}

/// Has `notify(token)` called once when docache_echo_call_poll has something to say, an outcome or
/// the lead: PENDING. OK if it has already: then `notify` is not called. One notification at a
/// time: a second one is refused unless the first was cancelled, or the call was finished since.
/// \[NC\]
///
/// # Safety
/// HANDLE, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_call_on_ready(
    call: *mut docache_echo_call,
    notify: docache_notify_fn,
    token: usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let task = &unsafe { borrow(call, "call") }?.0;
        let armed = task.arm(notify::required(notify)?, token)?;
        Ok(if armed { DOCACHE_PENDING } else { DOCACHE_OK })
    })
}

/// Looks: PENDING; LEADER if the call is to do the work and was not finished; or what came of it.
/// OK: as docache_echo_fetch has it; for a refresh there is no value, `out_value` becomes NULL, and
/// the other outputs are not written. May be called again and says the same, with one more share
/// each time. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_call_poll(
    call: *mut docache_echo_call,
    out_value: *mut *mut docache_value,
    out_fetched: *mut i32,
    out_age_ns: *mut u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let places = unsafe { Places::new(out_value, out_fetched, out_age_ns) }?;
        // SAFETY: the caller's promise.
        Ok(match unsafe { borrow(call, "call") }?.0.look() {
            Seen::Pending => DOCACHE_PENDING,
            Seen::Leads => DOCACHE_LEADER,
            Seen::Over(outcome) => {
                if let Some((value, status)) = outcome? {
                    places.write(value, status);
                }
                DOCACHE_OK
            }
        })
    })
}

/// The key of the call, valid until it is freed; its length goes to `out_len`, which may be NULL.
/// NULL for NULL. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_call_key(
    call: *const docache_echo_call,
    out_len: *mut usize,
) -> *const u8 {
    let key: Option<&[u8]> = if is_usable(call) {
        // SAFETY: HANDLE.
        Some(unsafe { &*call }.0.key.as_bytes())
    } else {
        None
    };
    if is_usable(out_len) {
        // SAFETY: SPAN.
        unsafe { out_len.write(key.map_or(0, <[u8]>::len)) };
    }
    key.map_or(std::ptr::null(), start)
}

/// Takes the notification back; the call itself goes on. OK: it will not be called; another may be
/// given. PENDING: it has been called, or is being called now. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_call_cancel(call: *mut docache_echo_call) -> docache_status {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let never = unsafe { borrow(call, "call") }?.0.cancel();
        Ok(if never { DOCACHE_OK } else { DOCACHE_PENDING })
    })
}

/// Ends the work of a call that leads. `status` is DOCACHE_OK with a value, or DOCACHE_DOER_FAILED,
/// or DOCACHE_PANIC for a defect, with an error or NULL; what is not given is NULL. The library
/// takes shares of its own. OK: it is over, and those who waited have been notified. PENDING: the
/// value is on its way into the store, which the call may be polled for; it goes on also if the
/// call is freed. CLOSED: the time for a refresh was over. INVALID_ARGUMENT, also if the call does
/// not lead or was finished already, or if the store keeps JSON and the value is none: nothing has
/// happened. \[CB\] callbacks of a store, `on_warning`, and others' `notify`
///
/// # Safety
/// HANDLE; nothing else may be going on with the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_call_finish(
    call: *mut docache_echo_call,
    status: docache_status,
    value: *mut docache_value,
    error: *mut docache_error,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let task = &unsafe { borrow(call, "call") }?.0;
        // SAFETY: the caller's promise.
        let done = match unsafe { finished(status, value, error) }? {
            Ok(value) => Ok(checked(value, task.common.wants_json)?),
            failed => failed,
        };
        let task = task.clone();
        task.finish(done)?;
        Ok(if matches!(task.look(), Seen::Over(_)) { DOCACHE_OK } else { DOCACHE_PENDING })
    })
}

/// Frees the call, and so gives it up, unless it was finished: one that waits leaves its load,
/// which goes on; one that leads hands its lead on, or, if nobody waits, gives the key's lock back.
/// A notification that is being called on another thread at this moment is waited for; inside the
/// notification this returns at once. NULL is fine. \[CB\] callbacks of a store, `on_warning`,
/// others' `notify` and `drop` \[BLK\] only for that
///
/// # Safety
/// HANDLE; nothing else may be going on with the call, but what calls the notification.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_call_free(call: *mut docache_echo_call) {
    if !is_usable(call) {
        return;
    }
    quietly((), || {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        let owned = unsafe { Box::from_raw(call) };
        owned.0.free();
        owned.0.gate.clone().close(owned);
    });
}
