//! Family `run`: stopping something from anywhere.

use std::sync::Arc;

use crate::ffi::boundary::{
    DOCACHE_MISS, DOCACHE_OK, Out, borrow, docache_error, docache_status, guard, is_usable, quietly,
};
use crate::run::Handle;

/// Stops a group or a loop from anywhere: another thread, a callback, one of its own actors. Shared
/// by reference counting; the count is atomic. It may outlive its group; then it does nothing.
#[derive(Debug)]
pub struct docache_run_handle(Handle);

impl docache_run_handle {
    pub(super) fn hand_out(out: &Out<*mut docache_run_handle>, handle: Handle) {
        out.write(Arc::into_raw(Arc::new(docache_run_handle(handle))).cast_mut());
    }
}

/// Has the group or loop stop: its actors are interrupted, stage by stage. One that does not run
/// yet will not start any. Returns at once: OK, or MISS if it was stopping, or had stopped,
/// already. It takes a lock, so it is not for signal handlers: see docache_run_group_add_signals.
/// \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_handle_stop(
    handle: *const docache_run_handle,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let stopped = unsafe { borrow(handle, "handle") }?.0.stop();
        Ok(if stopped { DOCACHE_OK } else { DOCACHE_MISS })
    })
}

/// The same, and ends the wait for the actors: those of later stages are still interrupted, but the
/// run waits for nobody any more, not in groups inside it either, and its report says so. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_handle_stop_waiting(
    handle: *const docache_run_handle,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        unsafe { borrow(handle, "handle") }?.0.stop_waiting();
        Ok(DOCACHE_OK)
    })
}

/// Whether it is to stop, or has stopped; false for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_handle_is_stopping(handle: *const docache_run_handle) -> bool {
    quietly(false, || {
        // SAFETY: the caller's promise.
        unsafe { borrow(handle, "handle") }.is_ok_and(|handle| handle.0.is_stopping())
    })
}

/// Takes one more share; returns its argument. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_handle_retain(
    handle: *const docache_run_handle,
) -> *mut docache_run_handle {
    if is_usable(handle) {
        // SAFETY: HANDLE: the caller has a share.
        unsafe { Arc::increment_strong_count(handle) };
    }
    handle.cast_mut()
}

/// Gives a share back; it stops nothing. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_handle_release(handle: *const docache_run_handle) {
    if is_usable(handle) {
        // SAFETY: HANDLE: the share given back is the caller's.
        quietly((), || drop(unsafe { Arc::from_raw(handle) }));
    }
}
