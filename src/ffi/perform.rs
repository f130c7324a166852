//! Work on the other side of the boundary: how it is called, how what it did is read, and why a run
//! of it has no value.

use super::boundary::{
    DOCACHE_DOER_FAILED, DOCACHE_OK, DOCACHE_PANIC, check, docache_error, docache_status,
    is_usable, name_of,
};
use super::error::{share_error, take_error};
use super::value::{Value, docache_value, share_value, take};
use crate::error::{BoxError, Error, ErrorKind, ReportedPanic, Result};
use crate::flight::FlightError;

/// Does the work once. Returns DOCACHE_OK with a value in `out_value`, or DOCACHE_DOER_FAILED, or
/// DOCACHE_PANIC for a defect, with an error in `out_error` or none; both places are NULL when it
/// is called, and the shares that it writes there are given away. Any other status counts as
/// DOER_FAILED, and so does OK without a value; where there is no error the library makes one that
/// says so. A value beside a failure, or an error beside OK, is released.
///
/// A loop calls it on one thread at a time. A group or a cache calls it on the thread of the call
/// that leads, with that call's `ctx`, and never after that call has returned. It must not throw,
/// unwind or longjmp. It may free its own loop, group or cache, if nobody else uses that: the call
/// goes on, its caller gets what this returns, and the object ends when that call, or a loop's run,
/// is over.
pub type docache_perform_fn = Option<
    unsafe extern "C-unwind" fn(
        ctx: usize,
        out_value: *mut *mut docache_value,
        out_error: *mut *mut docache_error,
    ) -> docache_status,
>;

/// A [`docache_perform_fn`] that is not NULL.
pub(super) type Perform = unsafe extern "C-unwind" fn(
    usize,
    *mut *mut docache_value,
    *mut *mut docache_error,
) -> docache_status;

pub(super) fn required(perform: docache_perform_fn) -> Result<Perform> {
    perform.ok_or_else(|| Error::invalid_argument("perform", "NULL", "give a function"))
}

/// Calls it and takes what it hands over.
///
/// # Safety
/// CALLBACK.
pub(super) unsafe fn call(perform: Perform, ctx: usize) -> Result<Value, BoxError> {
    let (mut value, mut error) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: CALLBACK; both places are ours and writable.
    let status = unsafe { perform(ctx, &raw mut value, &raw mut error) };
    // SAFETY: HANDLE: what the callback wrote are shares that it gives away.
    unsafe { outcome(status, value, error) }
}

/// What work came to that reported this.
///
/// # Safety
/// HANDLE; the shares of the value and the error are given away.
pub(super) unsafe fn outcome(
    status: docache_status,
    value: *mut docache_value,
    error: *mut docache_error,
) -> Result<Value, BoxError> {
    // SAFETY: the caller's promise.
    let error = if is_usable(error) { Some(unsafe { take_error(error) }) } else { None };
    // SAFETY: as above.
    let value = unsafe { take(value) }?;
    match (status, value) {
        (DOCACHE_OK, Some(value)) => Ok(value),
        (DOCACHE_OK, None) => Err("the Doer returned OK without a value".into()),
        (status, _) => Err(reported(status, error, "the Doer")),
    }
}

/// What a leader reports that has finished. It takes shares of its own.
///
/// # Safety
/// HANDLE.
pub(super) unsafe fn finished(
    status: docache_status,
    value: *const docache_value,
    error: *const docache_error,
) -> Result<Result<Value>> {
    match status {
        DOCACHE_OK if error.is_null() => {
            check(value, "value")?;
            // SAFETY: HANDLE, not NULL.
            Ok(Ok(unsafe { share_value(value) }))
        }
        DOCACHE_OK => {
            Err(Error::invalid_argument("error", "an error with DOCACHE_OK", "give NULL"))
        }
        DOCACHE_DOER_FAILED | DOCACHE_PANIC if value.is_null() => {
            let error = if error.is_null() {
                None
            } else {
                check(error, "error")?;
                // SAFETY: HANDLE, not NULL.
                Some(unsafe { share_error(error) })
            };
            Ok(Err(into_error(reported(status, error, "the Doer"))))
        }
        DOCACHE_DOER_FAILED | DOCACHE_PANIC => {
            Err(Error::invalid_argument("value", "a value with a failure", "give NULL"))
        }
        other => {
            let accepted = "give DOCACHE_OK, DOCACHE_DOER_FAILED or DOCACHE_PANIC";
            Err(Error::invalid_argument("status", other, accepted))
        }
    }
}

/// It as this crate's error, which all who share the run get.
pub(super) fn into_error(reported: BoxError) -> Error {
    match reported.downcast::<Error>() {
        Ok(error) if error.is_failed() => *error,
        Ok(error) => Error::failed(error),
        Err(reported) => Error::reported(reported),
    }
}

/// What a callback reported that did not succeed. `who` it was says an error that is made here.
pub(super) fn reported(status: docache_status, error: Option<Error>, who: &str) -> BoxError {
    let reported: BoxError = match error {
        Some(error) => error.into(),
        None => format!("{who} returned {} ({status})", name_of(status).to_string_lossy()).into(),
    };
    if status == DOCACHE_PANIC { ReportedPanic(reported).into() } else { reported }
}

/// Why a call has no value.
pub(super) fn explain(key: &[u8], error: FlightError<Error>) -> Error {
    match error {
        FlightError::Failed(error) => (*error).clone(),
        FlightError::Panicked(message) => panicked(&message),
        FlightError::Reentrant(_) => reentrant(key),
        FlightError::Left(error) => error,
    }
}

/// Why a call comes to nothing that came from inside the work of its own key.
pub(super) fn reentrant(key: &[u8]) -> Error {
    let key = key.escape_ascii();
    let message =
        format!("key \"{key}\": the call came from inside the run that it would have waited for");
    Error::new(ErrorKind::Reentrant, message)
}

/// Why a run panicked, for those who joined it.
pub(super) fn panicked(message: &str) -> Error {
    Error::new(ErrorKind::Panicked, format!("the run panicked: {message}"))
}
