//! What reports say, and whether it fits together.

use std::ptr::null_mut;

use docache::ffi::*;

use crate::abi::outcome::message_of;

/// A text that is there.
///
/// # Safety
/// SPAN.
unsafe fn check_text(start: *const std::ffi::c_char, len: usize) {
    assert!(!start.is_null());
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) };
    assert!(std::str::from_utf8(bytes).is_ok_and(|text| !text.is_empty()));
}

pub(crate) fn check_cause(cause: &docache_run_cause, size: usize) {
    assert_eq!((cause.size, cause.reserved), (size, 0));
    assert!((DOCACHE_RUN_FINISHED..=DOCACHE_RUN_STOPPED).contains(&cause.kind), "{}", cause.kind);
    // SAFETY: SPAN: the library gave both.
    unsafe { check_text(cause.message, cause.message_len) };
    let failed = matches!(cause.kind, DOCACHE_RUN_FAILED | DOCACHE_RUN_PANICKED);
    assert_eq!(failed, cause.status != DOCACHE_OK);
    assert_eq!(failed, !cause.error.is_null());
    if failed {
        // SAFETY: HANDLE: it is there as long as the cause is.
        assert!(!unsafe { message_of(cause.error) }.is_empty());
    }
    assert_eq!(failed || cause.kind == DOCACHE_RUN_RETURNED, !cause.actor.is_null());
    if !cause.actor.is_null() {
        // SAFETY: SPAN: the library gave both.
        unsafe { check_text(cause.actor, cause.actor_len) };
    }
    assert_eq!(cause.signal, 0);
}

/// A report of a run that came to this status; frees it.
pub(crate) fn check_report(report: *mut docache_run_report, status: docache_status) {
    // SAFETY: any bytes are one.
    let mut cause: docache_run_cause = unsafe { std::mem::zeroed() };
    cause.size = size_of::<docache_run_cause>();
    let place = &raw mut cause;
    // SAFETY: HANDLE, SPAN.
    let got = unsafe { docache_run_report_cause(report, place, null_mut()) };
    assert_eq!(got, DOCACHE_OK);
    check_cause(&cause, size_of::<docache_run_cause>());
    let (kind, counts_as) = (cause.kind, cause.status);
    // SAFETY: HANDLE, SPAN.
    let cut = unsafe { docache_run_report_cut_short(report, place, null_mut()) };
    assert!(matches!(cut, DOCACHE_OK | DOCACHE_MISS));
    if cut == DOCACHE_OK {
        check_cause(&cause, size_of::<docache_run_cause>());
    }
    // SAFETY: HANDLE.
    let unfinished = unsafe { docache_run_report_unfinished_count(report) };
    for index in 0..unfinished {
        let (mut len, mut parts) = (0, 0);
        // SAFETY: HANDLE, SPAN.
        let name =
            unsafe { docache_run_report_unfinished(report, index, &raw mut len, &raw mut parts) };
        // SAFETY: SPAN: the library gave both.
        unsafe { check_text(name, len) };
        assert!((1..=3).contains(&parts));
    }
    // SAFETY: HANDLE.
    let errors = unsafe { docache_run_report_error_count(report) };
    for index in 0..errors {
        let (mut len, mut counts_as) = (0, 0);
        // SAFETY: HANDLE, SPAN.
        let name = unsafe { docache_run_report_error_actor(report, index, &raw mut len) };
        // SAFETY: SPAN: the library gave both.
        unsafe { check_text(name, len) };
        // SAFETY: HANDLE, SPAN.
        let error = unsafe { docache_run_report_error(report, index, &raw mut counts_as) };
        // SAFETY: HANDLE: it is there as long as the report is.
        assert!(!unsafe { message_of(error) }.is_empty());
        assert_ne!(counts_as, DOCACHE_OK);
    }
    // SAFETY: HANDLE.
    assert!(unsafe { docache_run_report_failures(report) } >= errors as u64);
    match status {
        DOCACHE_OK => assert!(unfinished == 0 && counts_as == DOCACHE_OK),
        DOCACHE_TIMEOUT => assert!(unfinished > 0 || counts_as == DOCACHE_TIMEOUT),
        // Of an interrupt, or of the cause.
        DOCACHE_PANIC => {}
        _ => assert!(kind == DOCACHE_RUN_FAILED && counts_as == status),
    }
    // SAFETY: HANDLE.
    unsafe { docache_run_report_free(report) };
}
