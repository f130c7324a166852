//! Family `call`: what leaders do.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use super::handle::{docache_call, end, put_away};
use crate::error::{Error, Result};
use crate::ffi::boundary::{DOCACHE_OK, Out, borrow, check, docache_error, docache_status, guard};
use crate::ffi::perform;
use crate::ffi::value::{Value, docache_value};
use crate::flight::{Failure, Outcome};

/// What a leader reports. It takes shares of its own.
///
/// # Safety
/// HANDLE.
unsafe fn outcome(
    status: docache_status,
    value: *const docache_value,
    error: *const docache_error,
) -> Result<Outcome<Value, Error>> {
    // SAFETY: the caller's promise.
    let finished = unsafe { perform::finished(status, value, error) }?;
    Ok(finished.map_err(|error| Failure::Failed(Arc::new(error))))
}

/// Ends the run that the call leads: later calls of the key begin a new one, and those that wait
/// are notified. `status` is DOCACHE_OK with a value, or DOCACHE_DOER_FAILED, or DOCACHE_PANIC for
/// a defect, with an error or NULL; what is not given is NULL. The library takes shares of its own.
/// `out_shared`, which may be NULL, becomes 1 if others got the outcome, else 0. INVALID_ARGUMENT,
/// also if the call does not lead or was finished already, or if it is one of a cache and was not
/// polled since the lead came to it (in a cache: when notified, poll before you finish): nothing
/// has happened. \[CB\] others' `notify`; for a cache also `on_evict` and `drop`
///
/// A call of a cache first puts the value there, unless the key was written, removed or cleared
/// since the call was LEADER; a failure, but not PANIC, if the cache keeps those.
///
/// # Safety
/// HANDLE; nothing else may be going on with the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_call_finish(
    call: *mut docache_call,
    status: docache_status,
    value: *mut docache_value,
    error: *mut docache_error,
    out_shared: *mut u32,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(out_shared, "out_shared") }?;
        // SAFETY: the caller's promise.
        let call = unsafe { borrow(call, "call") }?;
        // SAFETY: the caller's promise.
        let outcome = unsafe { outcome(status, value, error) };
        // Of two mistakes the greater one is told.
        let outcome = outcome.map_err(|error| call.open_as_leader().err().unwrap_or(error))?;
        let shared = call.finish(outcome)?;
        if let Some(out) = out {
            out.write(u32::from(shared));
        }
        Ok(DOCACHE_OK)
    })
}

/// docache_call_finish and then docache_call_free, at a lower price: for a caller that will not
/// poll any more. `value` and `error` stay the caller's, who releases them after this has returned,
/// whatever it returns. OK: the call is freed. INVALID_ARGUMENT, also if the call does not lead or
/// was finished already: nothing has happened, and the call is still to be freed. \[CB\] as
/// docache_call_finish
///
/// # Safety
/// HANDLE; nothing else may be going on with the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_call_end(
    call: *mut docache_call,
    status: docache_status,
    value: *mut docache_value,
    error: *mut docache_error,
    out_shared: *mut u32,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(out_shared, "out_shared") }?;
        check(call, "call")?;
        let shared = if status == DOCACHE_OK && error.is_null() {
            check(value, "value")?;
            // SAFETY: HANDLE, not NULL. It stays the caller's share: those that wait are given
            // clones of it.
            let borrowed = ManuallyDrop::new(Ok(unsafe { Value::from_ptr(value) }));
            // SAFETY: the caller's promise.
            unsafe { end(call, &borrowed) }?
        } else {
            // SAFETY: the caller's promise.
            let outcome = unsafe { outcome(status, value, error) }?;
            // SAFETY: the caller's promise.
            unsafe { end(call, &outcome) }?
        };
        if let Some(out) = out {
            out.write(u32::from(shared));
        }
        // SAFETY: HANDLE: it was begun, and its run is over.
        unsafe { put_away(call) };
        Ok(DOCACHE_OK)
    })
}
