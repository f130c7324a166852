//! Family `error`: what went wrong, immutable and counted.

use std::ffi::c_char;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr;

use super::boundary::{
    DOCACHE_OK, Out, bytes, docache_error, docache_status, guard, is_usable, quietly, status_of,
};
use crate::error::Error;

/// A failure that a callback reported: its own code and message.
#[derive(Debug)]
pub(super) struct CallbackError {
    code: i64,
    message: Box<str>,
}

impl fmt::Display for CallbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CallbackError {}

/// Takes the caller's share of an error.
///
/// # Safety
/// HANDLE, not NULL.
pub(super) unsafe fn take_error(error: *const docache_error) -> Error {
    // SAFETY: every `docache_error` handed out is `Error::into_ptr`'s or `Error::as_ptr`'s.
    unsafe { Error::from_ptr(error.cast()) }
}

/// Looks at an error without taking the share.
///
/// # Safety
/// HANDLE, not NULL, for as long as the result lives.
unsafe fn peek(error: *const docache_error) -> ManuallyDrop<Error> {
    // SAFETY: the share is not given back.
    ManuallyDrop::new(unsafe { take_error(error) })
}

/// A share of our own of an error that is the caller's.
///
/// # Safety
/// HANDLE, not NULL.
pub(super) unsafe fn share_error(error: *const docache_error) -> Error {
    // SAFETY: the caller's promise.
    let error = unsafe { peek(error) };
    (*error).clone()
}

/// Makes an error for a callback to report: any code, and a message. Bytes that are not UTF-8 are
/// replaced. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_error_new(
    code: i64,
    message: *const c_char,
    message_len: usize,
    out: *mut *mut docache_error,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let message = unsafe { bytes(message.cast(), message_len, "message") }?;
        let message = String::from_utf8_lossy(message).into_owned().into_boxed_str();
        let error = Error::failed(Box::new(CallbackError { code, message }));
        out.write(docache_error::into_handle(error));
        Ok(DOCACHE_OK)
    })
}

/// Takes one more share; returns its argument. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_error_retain(error: *const docache_error) -> *mut docache_error {
    if is_usable(error) {
        // SAFETY: HANDLE.
        let share = unsafe { peek(error) };
        let _ = Error::into_ptr((*share).clone());
    }
    error.cast_mut()
}

/// Gives a share back. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_error_release(error: *const docache_error) {
    if is_usable(error) {
        // SAFETY: HANDLE: the share given back is the caller's.
        quietly((), || drop(unsafe { take_error(error) }));
    }
}

/// The code that docache_error_new was given, also of a failure that a loop or a cache keeps or
/// that a run shared; 0 for any other error and for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_error_code(error: *const docache_error) -> i64 {
    if !is_usable(error) {
        return 0;
    }
    // SAFETY: HANDLE.
    let error = unsafe { peek(error) };
    // A failure that a loop cache recorded holds the Doer's error, which holds the callback's.
    let mut error: &Error = &error;
    while let Some(inner) = error.downcast_ref::<Error>() {
        error = inner;
    }
    error.downcast_ref::<CallbackError>().map_or(0, |foreign| foreign.code)
}

/// The status that the error stands for: DOER_FAILED for one of docache_error_new, OK for NULL.
/// \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_error_status(error: *const docache_error) -> docache_status {
    if !is_usable(error) {
        return DOCACHE_OK;
    }
    // SAFETY: HANDLE.
    let error = unsafe { peek(error) };
    status_of(&error)
}

/// The message: UTF-8, NUL-terminated, valid while the caller has a share; NULL for NULL. Its
/// length without the NUL is written to `out_len`, which may be NULL. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_error_message(
    error: *const docache_error,
    out_len: *mut usize,
) -> *const c_char {
    let (start, len) = if is_usable(error) {
        // SAFETY: HANDLE.
        let error = unsafe { peek(error) };
        let message = error.terminated();
        // The address is of what is shared, and outlives this peek.
        (message.as_ptr().cast(), message.len() - 1)
    } else {
        (ptr::null(), 0)
    };
    if is_usable(out_len) {
        // SAFETY: SPAN.
        unsafe { out_len.write(len) };
    }
    start
}
