//! What a call comes to: its status, and the error that the conventions ask for.

use std::ffi::CStr;
use std::ptr;

use docache::ffi::*;

use super::place::{Given, Place};

/// Whether a status comes with an error.
fn reports(status: docache_status) -> bool {
    const REPORTED: [docache_status; 5] =
        [DOCACHE_TIMEOUT, DOCACHE_CANCELLED, DOCACHE_CLOSED, DOCACHE_DOER_FAILED, DOCACHE_BUSY];
    status < 0 || REPORTED.contains(&status)
}

/// One share of an error.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) *mut docache_error);

impl Failure {
    pub(crate) fn status(&self) -> docache_status {
        // SAFETY: HANDLE: this share.
        unsafe { docache_error_status(self.0) }
    }

    pub(crate) fn code(&self) -> i64 {
        // SAFETY: HANDLE: this share.
        unsafe { docache_error_code(self.0) }
    }

    pub(crate) fn message(&self) -> String {
        // SAFETY: HANDLE: this share.
        unsafe { message_of(self.0) }
    }
}

impl Drop for Failure {
    fn drop(&mut self) {
        // SAFETY: HANDLE: this share.
        unsafe { docache_error_release(self.0) };
    }
}

/// An error of a callback.
pub(crate) fn new_error(code: i64, message: &str) -> Failure {
    let mut out = ptr::null_mut();
    // SAFETY: SPAN.
    let made = unsafe {
        docache_error_new(
            code,
            message.as_ptr().cast(),
            message.len(),
            &raw mut out,
            ptr::null_mut(),
        )
    };
    assert_eq!(made, DOCACHE_OK);
    Failure(out)
}

/// The message of an error that is not NULL, which is UTF-8 and ends with a NUL.
///
/// # Safety
/// HANDLE.
pub(crate) unsafe fn message_of(error: *const docache_error) -> String {
    let mut len = 0_usize;
    // SAFETY: HANDLE, and the place is ours.
    let message = unsafe { docache_error_message(error, &raw mut len) };
    assert!(!message.is_null(), "an error has a message");
    // SAFETY: SPAN: the NUL stands after `len` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(message.cast::<u8>(), len + 1) };
    assert_eq!(bytes[len], 0, "a message ends with a NUL");
    std::str::from_utf8(&bytes[..len]).expect("a message is UTF-8").to_owned()
}

/// The bytes of a value that is not NULL.
///
/// # Safety
/// HANDLE, for as long as the result is used.
pub(crate) unsafe fn bytes_of<'a>(value: *const docache_value) -> &'a [u8] {
    // SAFETY: HANDLE.
    let data = unsafe { docache_value_data(value) };
    // SAFETY: as above.
    let len = unsafe { docache_value_len(value) };
    assert!(!data.is_null(), "a value's bytes are somewhere");
    // SAFETY: SPAN.
    unsafe { std::slice::from_raw_parts(data, len) }
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) what: &'static str,
    pub(crate) status: docache_status,
    pub(crate) error: Option<Failure>,
}

/// Makes a call that reports what is its own, and checks what the conventions say of any call.
pub(crate) fn call(
    what: &'static str,
    given: Given,
    f: impl FnOnce(*mut *mut docache_error) -> docache_status,
) -> Outcome {
    let outcome = relay(what, given, f);
    assert_ne!(outcome.status, DOCACHE_PANIC, "{what}: the library panicked");
    if let Some(error) = &outcome.error {
        assert!(!error.message().is_empty(), "{what}: an error without a message");
        assert_eq!(error.code(), 0, "{what}: only a callback's error has a code");
    }
    outcome
}

/// The same for a call that may hand on what a callback reported.
pub(crate) fn relay(
    what: &'static str,
    given: Given,
    f: impl FnOnce(*mut *mut docache_error) -> docache_status,
) -> Outcome {
    let mut place = Place::one(given);
    let status = f(place.pointer());
    assert_ne!(name(status), "UNKNOWN", "{what}: status {status}");
    if !place.is_valid() {
        assert!(place.untouched_from(0), "{what}: wrote to a place it cannot use");
        return Outcome { what, status, error: None };
    }
    let error = place.handle(reports(status), what).map(Failure);
    if let Some(error) = &error {
        assert_eq!(error.status(), status, "{what}: the error's own status");
    }
    Outcome { what, status, error }
}

impl Outcome {
    pub(crate) fn is_ok(&self) -> bool {
        self.status == DOCACHE_OK
    }

    pub(crate) fn is(&self, expected: docache_status) {
        self.is_one_of(&[expected]);
    }

    pub(crate) fn is_one_of(&self, expected: &[docache_status]) {
        let names: Vec<_> = expected.iter().map(|status| name(*status)).collect();
        let message = self.error.as_ref().map(Failure::message);
        assert!(
            expected.contains(&self.status),
            "{}: {} ({message:?}), not {names:?}",
            self.what,
            name(self.status)
        );
    }

    /// OK if `acceptable`, else INVALID_ARGUMENT.
    pub(crate) fn is_ok_if(&self, acceptable: bool) {
        self.is(if acceptable { DOCACHE_OK } else { DOCACHE_INVALID_ARGUMENT });
    }
}

/// A status's name.
pub(crate) fn name(status: docache_status) -> &'static str {
    let name = docache_status_name(status);
    // SAFETY: SPAN: NUL-terminated and static.
    unsafe { CStr::from_ptr(name) }.to_str().expect("a name is ASCII")
}
