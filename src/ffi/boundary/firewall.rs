//! The panic firewall: nothing unwinds past it into C.

use std::ptr;

use super::arguments::is_usable;
use super::status::{docache_status, status_of};
use crate::contain::contained;
use crate::error::{Error, Result};

/// An error: a status, a code and a message. Immutable, shared by reference counting; the count is
/// atomic.
#[derive(Debug)]
#[repr(align(8))]
pub struct docache_error {
    /// A handle is the address of what an [`Error`] shares; this type only names it.
    _opaque: (),
}

impl docache_error {
    /// A handle, which has the share that `error` was.
    pub(crate) fn into_handle(error: Error) -> *mut docache_error {
        error.into_ptr().cast_mut().cast()
    }
}

/// The firewall. Sets `out_error` to what went wrong.
#[inline]
pub(crate) fn guard(
    out_error: *mut *mut docache_error,
    body: impl FnOnce() -> Result<docache_status>,
) -> docache_status {
    if is_usable(out_error) {
        // SAFETY: SPAN; not NULL and aligned.
        unsafe { out_error.write(ptr::null_mut()) };
    }
    match contained(body) {
        Ok(Ok(status)) => status,
        Ok(Err(error)) | Err(error) => report(out_error, error),
    }
}

/// The status of an error, which goes to `out_error`.
#[cold]
#[inline(never)]
fn report(out_error: *mut *mut docache_error, error: Error) -> docache_status {
    let status = status_of(&error);
    if is_usable(out_error) {
        // SAFETY: SPAN; not NULL and aligned.
        unsafe { out_error.write(docache_error::into_handle(error)) };
    }
    status
}

/// The firewall for functions that report nothing: `fallback` if they panic.
pub(crate) fn quietly<R>(fallback: R, body: impl FnOnce() -> R) -> R {
    contained(body).unwrap_or(fallback)
}
