//! Family `loop`: waiting, on the calling thread or (`_begin`) without one.

use super::handle::docache_loop;
use crate::ffi::boundary::{
    DOCACHE_OK, Out, borrow, docache_error, docache_status, guard, timeout,
};
use crate::ffi::wait::{docache_wait, hand_out};

/// Waits for the first success: OK, or TIMEOUT. A loop that is not running is waited for: somebody
/// may start it. REENTRANT inside the Doer. To be able to end it, give a timeout, or use
/// docache_loop_wait_first_begin, whose wait comes to CLOSED when the loop cache is freed. \[BLK\]
/// \[CB\] only `drop`
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_wait_first(
    handle: *const docache_loop,
    timeout_ns: i64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        unsafe { borrow(handle, "handle") }?.cache.wait_first(timeout(timeout_ns))?;
        Ok(DOCACHE_OK)
    })
}

/// Waits for a version later than `since` and writes it to `out_version`: OK, or TIMEOUT. A stop
/// does not end this wait: somebody may start the loop again. To be able to end it, give a timeout,
/// or use docache_loop_changed_begin, whose wait comes to CLOSED when the loop cache is freed.
/// REENTRANT inside the Doer. \[BLK\] \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_changed(
    handle: *const docache_loop,
    since: u64,
    timeout_ns: i64,
    out_version: *mut u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::required(out_version, "out_version") }?;
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(handle, "handle") }?;
        out.write(handle.cache.changed(since).wait(timeout(timeout_ns))?);
        Ok(DOCACHE_OK)
    })
}

/// Asks for a call of the Doer that begins after this one, waits until it has ended, and writes the
/// version of its result, or of a later one, to `out_version`: OK, whether or not the Doer
/// succeeded; TIMEOUT; or CLOSED if the loop is not running. Requests that meet while the Doer is
/// busy share its next call. REENTRANT inside the Doer. \[BLK\] \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_refresh(
    handle: *const docache_loop,
    timeout_ns: i64,
    out_version: *mut u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::required(out_version, "out_version") }?;
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(handle, "handle") }?;
        out.write(handle.cache.refresh().wait(timeout(timeout_ns))?.sequence());
        Ok(DOCACHE_OK)
    })
}

/// Begins docache_loop_wait_first: OK if there is a success already, else PENDING with a wait in
/// `out`, which may outlive the loop cache and then comes to CLOSED. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_wait_first_begin(
    handle: *const docache_loop,
    out: *mut *mut docache_wait,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let first = unsafe { borrow(handle, "handle") }?.cache.first();
        hand_out(out, async move {
            first.await?;
            Ok(0)
        })
    })
}

/// Begins docache_loop_changed: OK if there is a later version already, else PENDING with a wait in
/// `out`, which may outlive the loop cache and then comes to CLOSED. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_changed_begin(
    handle: *const docache_loop,
    since: u64,
    out: *mut *mut docache_wait,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let changed = unsafe { borrow(handle, "handle") }?.cache.changed(since);
        hand_out(out, changed)
    })
}

/// Begins docache_loop_refresh: PENDING with a wait in `out`, or CLOSED. Freeing the wait does not
/// take the request back. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_refresh_begin(
    handle: *const docache_loop,
    out: *mut *mut docache_wait,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let refresh = unsafe { borrow(handle, "handle") }?.cache.refresh();
        hand_out(out, async move { Ok(refresh.await?.sequence()) })
    })
}

/// Asks the loop to stop: OK if it is not running, else PENDING with a wait in `out` for the end of
/// the Doer's call. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_stop_begin(
    handle: *const docache_loop,
    out: *mut *mut docache_wait,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let Some(ending) = unsafe { borrow(handle, "handle") }?.cache.begin_stop() else {
            return Ok(DOCACHE_OK);
        };
        hand_out(out, async move {
            ending.await;
            Ok(0)
        })
    })
}
