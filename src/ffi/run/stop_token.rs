//! Family `run`: how an actor hears that it is to stop.

use crate::context::Context;
use crate::error::Error;
use crate::ffi::boundary::{
    DOCACHE_OK, borrow, docache_error, docache_status, guard, quietly, timeout,
};

/// Tells an actor that it is to stop. Borrowed for the call of `execute` that it is given to, where
/// any thread may use it.
#[derive(Debug)]
pub struct docache_stop_token(Context);

impl docache_stop_token {
    pub(super) fn new(context: &Context) -> docache_stop_token {
        docache_stop_token(context.clone())
    }

    pub(super) fn context(&self) -> &Context {
        &self.0
    }
}

/// Whether it is set: the actor is to stop. False for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_stop_token_is_set(token: *const docache_stop_token) -> bool {
    // SAFETY: the caller's promise.
    quietly(false, || unsafe { borrow(token, "token") }.is_ok_and(|token| token.0.is_done()))
}

/// Waits until it is set: OK. TIMEOUT: that is not so after `timeout_ns`. \[NC\] \[BLK\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_stop_token_wait(
    token: *const docache_stop_token,
    timeout_ns: i64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let token = unsafe { borrow(token, "token") }?;
        if token.0.wait(timeout(timeout_ns)) {
            Ok(DOCACHE_OK)
        } else {
            Err(Error::timeout("the actor need not stop yet"))
        }
    })
}
