//! Errors.

use docache::ffi::*;

use crate::abi::loops::script::Shown;
use crate::abi::outcome::{Failure, message_of};

/// Shares of an error, and what it says.
pub(crate) struct Held {
    pub(crate) failures: Vec<Failure>,
    pub(crate) code: i64,
    pub(crate) status: docache_status,
    pub(crate) message: String,
}

impl Held {
    /// Takes over a share; what the error says from now on is what it says now.
    pub(crate) fn new(failure: Failure) -> Held {
        let (code, status, message) = (failure.code(), failure.status(), failure.message());
        Held { failures: vec![failure], code, status, message }
    }

    pub(crate) fn handle(&self) -> *mut docache_error {
        self.failures[0].0
    }

    pub(crate) fn check(&self) {
        let failure = &self.failures[0];
        assert_eq!(
            (failure.code(), failure.status()),
            (self.code, self.status),
            "an error never changes"
        );
        assert_eq!(failure.message(), self.message, "an error never changes");
    }

    pub(crate) fn finish(self) {
        self.check();
    }
}

/// Checks an error that is not NULL against what it must show.
///
/// # Safety
/// HANDLE.
pub(crate) unsafe fn check_shown(error: *const docache_error, shown: &Shown) {
    let Shown::Error { error_status, code, message, .. } = shown else {
        panic!("an error where a value was to be: {shown:?}");
    };
    // SAFETY: HANDLE.
    let found_status = unsafe { docache_error_status(error) };
    // SAFETY: as above.
    let found_code = unsafe { docache_error_code(error) };
    // SAFETY: HANDLE.
    let found = unsafe { message_of(error) };
    assert_eq!(
        (found_status, found_code, &found),
        (*error_status, *code, message),
        "an entry's error"
    );
}
