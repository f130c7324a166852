//! Family `status`.

use std::ffi::{CStr, c_char};

use crate::error::{Error, ErrorKind};

/// What a function has to say: 0 for success, positive for other regular outcomes, negative for
/// mistakes and defects. The list grows; numbers never change.
pub type docache_status = i32;

/// Done.
pub const DOCACHE_OK: docache_status = 0;
/// There is nothing there.
pub const DOCACHE_MISS: docache_status = 1;
/// The caller leads and must finish.
pub const DOCACHE_LEADER: docache_status = 2;
/// Not yet.
pub const DOCACHE_PENDING: docache_status = 3;
/// The time allowed ran out; what was waited for may still happen.
pub const DOCACHE_TIMEOUT: docache_status = 4;
/// Cancelled.
pub const DOCACHE_CANCELLED: docache_status = 5;
/// Closed, stopped or not running: what was asked for will not happen.
pub const DOCACHE_CLOSED: docache_status = 6;
/// The callback reported a failure.
pub const DOCACHE_DOER_FAILED: docache_status = 7;
/// The leader went away without a result.
pub const DOCACHE_LEADER_LOST: docache_status = 8;
/// It is being done already, for somebody else.
pub const DOCACHE_BUSY: docache_status = 9;
/// An argument is not acceptable; the error names it.
pub const DOCACHE_INVALID_ARGUMENT: docache_status = -1;
/// Called from inside the very work whose end it would wait for.
pub const DOCACHE_REENTRANT: docache_status = -2;
/// Something panicked.
pub const DOCACHE_PANIC: docache_status = -3;
/// The caller was built for an ABI that this library does not have.
pub const DOCACHE_VERSION_MISMATCH: docache_status = -4;
/// The buffer is too small; the length needed was written.
pub const DOCACHE_BUFFER_TOO_SMALL: docache_status = -5;
/// The machine refused something that is needed, such as a thread.
pub const DOCACHE_INTERNAL: docache_status = -6;
/// This library was built without what was asked for.
pub const DOCACHE_UNSUPPORTED: docache_status = -7;

/// The name of a status, such as "TIMEOUT"; "UNKNOWN" for any other number. NUL-terminated and
/// static. \[NC\]
#[unsafe(no_mangle)]
pub extern "C" fn docache_status_name(status: docache_status) -> *const c_char {
    name_of(status).as_ptr()
}

pub(crate) fn name_of(status: docache_status) -> &'static CStr {
    match status {
        DOCACHE_OK => c"OK",
        DOCACHE_MISS => c"MISS",
        DOCACHE_LEADER => c"LEADER",
        DOCACHE_PENDING => c"PENDING",
        DOCACHE_TIMEOUT => c"TIMEOUT",
        DOCACHE_CANCELLED => c"CANCELLED",
        DOCACHE_CLOSED => c"CLOSED",
        DOCACHE_DOER_FAILED => c"DOER_FAILED",
        DOCACHE_LEADER_LOST => c"LEADER_LOST",
        DOCACHE_BUSY => c"BUSY",
        DOCACHE_INVALID_ARGUMENT => c"INVALID_ARGUMENT",
        DOCACHE_REENTRANT => c"REENTRANT",
        DOCACHE_PANIC => c"PANIC",
        DOCACHE_VERSION_MISMATCH => c"VERSION_MISMATCH",
        DOCACHE_BUFFER_TOO_SMALL => c"BUFFER_TOO_SMALL",
        DOCACHE_INTERNAL => c"INTERNAL",
        DOCACHE_UNSUPPORTED => c"UNSUPPORTED",
        _ => c"UNKNOWN",
    }
}

/// Marks an error whose status is BUFFER_TOO_SMALL.
#[derive(Debug)]
struct TooSmall;

impl std::fmt::Display for TooSmall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the buffer is too small")
    }
}

impl std::error::Error for TooSmall {}

#[cold]
pub(crate) fn too_small(capacity: usize, needed: usize) -> Error {
    let message = format!("capacity: {capacity} is not accepted; the value needs {needed} bytes");
    Error::with(ErrorKind::InvalidArgument, message, Some(Box::new(TooSmall)))
}

/// Marks an error whose status is UNSUPPORTED.
#[derive(Debug)]
struct Unsupported;

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the library was built without it")
    }
}

impl std::error::Error for Unsupported {}

/// Why there is no such thing in this build.
#[cfg_attr(
    all(unix, feature = "redis", feature = "nats", feature = "signals"),
    allow(dead_code, reason = "everything is there")
)]
#[cold]
pub(crate) fn unsupported(what: &str, feature: &str) -> Error {
    let message = format!("{what}: this library was built without the feature {feature}");
    Error::with(ErrorKind::InvalidArgument, message, Some(Box::new(Unsupported)))
}

pub(crate) fn status_of(error: &Error) -> docache_status {
    match error.kind() {
        ErrorKind::InvalidArgument if error.downcast_ref::<TooSmall>().is_some() => {
            DOCACHE_BUFFER_TOO_SMALL
        }
        ErrorKind::InvalidArgument if error.downcast_ref::<Unsupported>().is_some() => {
            DOCACHE_UNSUPPORTED
        }
        ErrorKind::Timeout => DOCACHE_TIMEOUT,
        ErrorKind::Cancelled => DOCACHE_CANCELLED,
        ErrorKind::Closed => DOCACHE_CLOSED,
        ErrorKind::Failed => DOCACHE_DOER_FAILED,
        ErrorKind::Panicked => DOCACHE_PANIC,
        ErrorKind::Busy => DOCACHE_BUSY,
        ErrorKind::Reentrant => DOCACHE_REENTRANT,
        ErrorKind::InvalidArgument => DOCACHE_INVALID_ARGUMENT,
        ErrorKind::Internal => DOCACHE_INTERNAL,
    }
}
