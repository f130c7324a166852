//! What groups and loops have in common: functions of one body, by the type of the handle. Each
//! takes the handle with the name of its argument.

use std::sync::Arc;

use super::handle::docache_run_handle;
use super::report::docache_run_report;
use super::runner::Runner;
use crate::ffi::boundary::{
    DOCACHE_MISS, DOCACHE_OK, Out, borrow, docache_error, docache_status, guard, is_usable,
    quietly, timeout,
};

/// A handle of something that can be run.
pub(super) trait Runs {
    fn runner(&self) -> &Arc<Runner>;
}

/// # Safety
/// HANDLE.
pub(super) unsafe fn stage_deadline<H: Runs>(
    (handle, argument): (*const H, &'static str),
    stage: u32,
    timeout_ns: i64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(handle, argument) }?;
        handle.runner().stage_deadline(stage, timeout(timeout_ns))?;
        Ok(DOCACHE_OK)
    })
}

/// # Safety
/// HANDLE, SPAN.
pub(super) unsafe fn hand_out<H: Runs>(
    (handle, argument): (*const H, &'static str),
    out: *mut *mut docache_run_handle,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(handle, argument) }?;
        docache_run_handle::hand_out(&out, handle.runner().handle().clone());
        Ok(DOCACHE_OK)
    })
}

/// # Safety
/// HANDLE.
pub(super) unsafe fn stop<H: Runs>(
    (handle, argument): (*const H, &'static str),
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(handle, argument) }?;
        Ok(if handle.runner().handle().stop() { DOCACHE_OK } else { DOCACHE_MISS })
    })
}

/// # Safety
/// HANDLE, SPAN.
pub(super) unsafe fn run<H: Runs>(
    (handle, argument): (*const H, &'static str),
    out_report: *mut *mut docache_run_report,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional_handle(out_report, "out_report") }?;
        // A share, as the handle may be freed meanwhile.
        // SAFETY: the caller's promise.
        let runner = unsafe { borrow(handle, argument) }?.runner().clone();
        runner.run(out.as_ref())
    })
}

/// Frees a handle, and waits for what runs or not.
///
/// # Safety
/// HANDLE.
pub(super) unsafe fn free<H: Runs>(handle: *mut H, waits: bool) {
    if is_usable(handle) {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        let owned = unsafe { Box::from_raw(handle) };
        quietly((), || owned.runner().free(waits));
    }
}
