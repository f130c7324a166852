//! Family `call`: what those do that wait, and the end of a call.

use super::handle::{Polled, docache_call, put_away};
use crate::ffi::boundary::{
    DOCACHE_LEADER, DOCACHE_LEADER_LOST, DOCACHE_OK, DOCACHE_PENDING, Out, borrow, docache_error,
    docache_status, guard,
};
use crate::ffi::notify::{self, docache_notify_fn};
use crate::ffi::value::docache_value;

/// Has `notify(token)` called once when docache_call_poll has something to say, an outcome or the
/// lead: PENDING. OK if it has already: then `notify` is not called. One notification at a time: a
/// second one is refused unless the first was cancelled. A call that was LEADER from the beginning
/// is refused. \[NC\]
///
/// # Safety
/// HANDLE, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_call_on_ready(
    call: *mut docache_call,
    notify: docache_notify_fn,
    token: usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let armed = unsafe { borrow(call, "call") }?.on_ready(notify::required(notify)?, token)?;
        Ok(if armed { DOCACHE_PENDING } else { DOCACHE_OK })
    })
}

/// Looks: PENDING; LEADER if the call leads, from the beginning or because the lead was handed to
/// it; or what came of the run. OK: a share of the value, which the caller releases, and in
/// `out_shared`, which may be NULL, 1 if others got it too, else 0. DOER_FAILED or PANIC with the
/// error that the leader reported. May be called again and says the same, with one more share each
/// time. A call of a cache that is handed the lead, and finds that the value has come meanwhile,
/// ends the run with that. \[NC\] for a group; for a cache \[CB\] others' `notify`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_call_poll(
    call: *mut docache_call,
    out_value: *mut *mut docache_value,
    out_shared: *mut u32,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out_value = unsafe { Out::handle(out_value, "out_value") }?;
        // SAFETY: the caller's promise.
        let out_shared = unsafe { Out::optional(out_shared, "out_shared") }?;
        // SAFETY: the caller's promise.
        let call = unsafe { borrow(call, "call") }?;
        let (value, shared) = match call.poll()? {
            Polled::Pending => return Ok(DOCACHE_PENDING),
            Polled::Leads => return Ok(DOCACHE_LEADER),
            Polled::Value(value, shared) => (value, shared),
        };
        if let Some(out) = out_shared {
            out.write(u32::from(shared));
        }
        out_value.write(value.into_ptr());
        Ok(DOCACHE_OK)
    })
}

/// Takes the notification back; the call itself goes on (docache_call_free gives it up). OK: it
/// will not be called; another may be given. PENDING: it has been called, or is being called now.
/// \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_call_cancel(call: *mut docache_call) -> docache_status {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let never = unsafe { borrow(call, "call") }?.cancel()?;
        Ok(if never { DOCACHE_OK } else { DOCACHE_PENDING })
    })
}

/// Frees the call, and so gives it up: one that waits leaves its run, which goes on. One that leads
/// and was not finished hands its lead on, or, if nobody waits, the run is over: LEADER_LOST. In
/// all other cases, also for NULL: OK. The notification is cancelled, but, unlike
/// docache_wait_free, this does not wait for one that is being called: what `token` leads to must
/// stay valid until docache_call_cancel has said OK or `notify` has returned. \[CB\] others'
/// `notify`, and `drop`
///
/// # Safety
/// HANDLE; nothing else may be going on with the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_call_free(call: *mut docache_call) -> docache_status {
    guard(std::ptr::null_mut(), || {
        if call.is_null() {
            return Ok(DOCACHE_OK);
        }
        // SAFETY: the caller's promise.
        let leaver = unsafe { borrow(call, "call") }?;
        // SAFETY: it is being freed.
        let lost = unsafe { leaver.leave() }?;
        // SAFETY: HANDLE: it was begun, and has left its run.
        unsafe { put_away(call) };
        Ok(if lost { DOCACHE_LEADER_LOST } else { DOCACHE_OK })
    })
}
