//! Family `run`: how something ended.

use std::ffi::c_char;
use std::ptr;

use super::cause::{docache_run_cause, error_of, text_of};
use super::counts_as;
use crate::ffi::boundary::{
    DOCACHE_MISS, DOCACHE_OK, borrow, docache_error, docache_status, guard, is_usable, quietly,
    versioned,
};
use crate::run::{ActorError, Report};

/// The actor's `execute`, or its `on_failure` after it, still runs.
pub const DOCACHE_RUN_IN_EXECUTE: u32 = 1;
/// The actor's `interrupt` still runs.
pub const DOCACHE_RUN_IN_INTERRUPT: u32 = 2;

/// How a group or a loop ended. One owner; immutable, so any thread may read it. What is read is
/// borrowed, for as long as the report is there.
#[derive(Debug)]
pub struct docache_run_report {
    report: Report,
    cause: String,
    cut_short: String,
}

impl docache_run_report {
    pub(super) fn into_handle(report: Report) -> *mut docache_run_report {
        let cause = report.cause().to_string();
        let cut_short = report.cut_short().map(ToString::to_string).unwrap_or_default();
        Box::into_raw(Box::new(docache_run_report { report, cause, cut_short }))
    }
}

/// Something of a report, if there is one and it has that.
///
/// # Safety
/// HANDLE, for as long as the result is used.
unsafe fn look<'r, T>(
    report: *const docache_run_report,
    look: impl FnOnce(&'r docache_run_report) -> Option<T>,
) -> Option<T> {
    // SAFETY: the caller's promise.
    quietly(None, || unsafe { borrow(report, "report") }.ok().and_then(look))
}

/// A text for C; its length goes to `out_len`, which may be NULL.
///
/// # Safety
/// SPAN.
unsafe fn give(text: Option<&str>, out_len: *mut usize) -> *const c_char {
    let (start, len) = text.map_or((ptr::null(), 0), text_of);
    if is_usable(out_len) {
        // SAFETY: SPAN.
        unsafe { out_len.write(len) };
    }
    start
}

/// Why it stopped. Set `size` in `out` before: DOCACHE_RUN_CAUSE_INIT. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_report_cause(
    report: *const docache_run_report,
    out: *mut docache_run_cause,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let docache_run_report { report, cause, .. } = unsafe { borrow(report, "report") }?;
        let make = |size| docache_run_cause::new(size, report.cause(), cause);
        // SAFETY: the caller's promise.
        unsafe { versioned::fill(out, make) }?;
        Ok(DOCACHE_OK)
    })
}

/// What ended the wait for the actors before they had stopped and before their deadlines: a second
/// signal, or docache_run_handle_stop_waiting. MISS if nothing did. Set `size` in `out` before.
/// \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_report_cut_short(
    report: *const docache_run_report,
    out: *mut docache_run_cause,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let docache_run_report { report, cut_short, .. } = unsafe { borrow(report, "report") }?;
        let Some(cause) = report.cut_short() else { return Ok(DOCACHE_MISS) };
        // SAFETY: the caller's promise.
        unsafe { versioned::fill(out, |size| docache_run_cause::new(size, cause, cut_short)) }?;
        Ok(DOCACHE_OK)
    })
}

/// How many executions failed; in a loop there may be many of one actor. 0 for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_report_failures(report: *const docache_run_report) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { look(report, |report| Some(report.report.failures())) }.unwrap_or(0)
}

/// How many actors failed; with the one that was the cause, those of the teardown. 0 for NULL.
/// \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_report_error_count(
    report: *const docache_run_report,
) -> usize {
    // SAFETY: the caller's promise.
    unsafe { look(report, |report| Some(report.report.errors().len())) }.unwrap_or(0)
}

/// # Safety
/// HANDLE, for as long as the result is used.
unsafe fn error_at<'r>(report: *const docache_run_report, index: usize) -> Option<&'r ActorError> {
    // SAFETY: the caller's promise.
    unsafe { look(report, |report| report.report.errors().get(index)) }
}

/// The name of the actor whose failure has this number, in the order in which the actors were
/// added; its length goes to `out_len`, which may be NULL. NULL if there is none. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_report_error_actor(
    report: *const docache_run_report,
    index: usize,
    out_len: *mut usize,
) -> *const c_char {
    // SAFETY: the caller's promise.
    let error = unsafe { error_at(report, index) };
    // SAFETY: the caller's promise.
    unsafe { give(error.map(ActorError::name), out_len) }
}

/// The last failure of that actor: the error that its callback gave, or one that the library made.
/// What it counts as goes to `out_status`, which may be NULL: DOER_FAILED, PANIC or INTERNAL. NULL
/// if there is none. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_report_error(
    report: *const docache_run_report,
    index: usize,
    out_status: *mut docache_status,
) -> *const docache_error {
    // SAFETY: the caller's promise.
    let error = unsafe { error_at(report, index) };
    if is_usable(out_status) {
        // SAFETY: SPAN.
        unsafe { out_status.write(error.map_or(DOCACHE_OK, |error| counts_as(error.error()))) };
    }
    error.map_or(ptr::null(), error_of)
}

/// How many actors had not stopped in time, those of groups inside this one included. 0 for NULL.
/// \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_report_unfinished_count(
    report: *const docache_run_report,
) -> usize {
    // SAFETY: the caller's promise.
    unsafe { look(report, |report| Some(report.report.unfinished().len())) }.unwrap_or(0)
}

/// The name of the one of this number; its length goes to `out_len`, and what of it still ran,
/// DOCACHE_RUN_IN_ flags, to `out_parts`; both may be NULL. NULL if there is none. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_report_unfinished(
    report: *const docache_run_report,
    index: usize,
    out_len: *mut usize,
    out_parts: *mut u32,
) -> *const c_char {
    // SAFETY: the caller's promise.
    let one = unsafe { look(report, |report| report.report.unfinished().get(index)) };
    if is_usable(out_parts) {
        let parts = one.map_or(0, |one| {
            (if one.in_execute() { DOCACHE_RUN_IN_EXECUTE } else { 0 })
                | (if one.in_interrupt() { DOCACHE_RUN_IN_INTERRUPT } else { 0 })
        });
        // SAFETY: SPAN.
        unsafe { out_parts.write(parts) };
    }
    // SAFETY: the caller's promise.
    unsafe { give(one.map(|one| one.name()), out_len) }
}

/// Frees the report. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE; nothing else may be going on with the report.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_report_free(report: *mut docache_run_report) {
    if is_usable(report) {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        quietly((), || drop(unsafe { Box::from_raw(report) }));
    }
}
