//! Family `run`: calls that are made again when they fail.
//!
//! All happens on the thread of the call, so there is nothing to register and nothing to free. A
//! [`docache_retrier`] is the attempt's own [`Retrier`], borrowed.

use std::ptr;
use std::time::Duration;

use super::backoff::{backoff, docache_backoff};
use super::outcome;
use super::stop_token::docache_stop_token;
use crate::error::{BoxError, Error, ErrorKind, ReportedPanic, Result};
use crate::ffi::boundary::versioned::{self, Versioned};
use crate::ffi::boundary::{
    DOCACHE_OK, DOCACHE_PANIC, Out, borrow, borrow_mut, docache_error, docache_status, guard,
    quietly,
};
use crate::ffi::loop_cache::DOCACHE_FOREVER;
use crate::run::{GaveUp, Retrier, Retry, RetryError};

/// An attempt's handle on the attempts to come. Borrowed for the call of the attempt, on whose
/// thread alone it may be used.
#[derive(Debug)]
#[repr(align(8))]
pub struct docache_retrier {
    /// A handle is the address of a [`Retrier`]; this type only names it.
    _opaque: (),
}

/// Makes one attempt: OK, or DOER_FAILED, or PANIC for a defect, after which there is no other
/// attempt; with an error in `out_error`, whose share is given away, or none; the place is NULL
/// when it is called. Any other status counts as DOER_FAILED; where there is no error the library
/// makes one that says so. An error beside OK is released. It must not throw, unwind or longjmp.
pub type docache_run_attempt_fn = Option<
    unsafe extern "C-unwind" fn(
        ctx: usize,
        retrier: *mut docache_retrier,
        out_error: *mut *mut docache_error,
    ) -> docache_status,
>;

/// How a call is to be retried. Begin with DOCACHE_RUN_RETRY_OPTIONS_INIT and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_run_retry_options {
    /// sizeof(docache_run_retry_options), as the caller was compiled.
    pub size: usize,
    /// How long to wait between attempts. NULL: not at all.
    pub backoff: *const docache_backoff,
    /// Ends waiting at once, and all further attempts, when it is set: that of the actor that
    /// retries. NULL: nothing does.
    pub stop: *const docache_stop_token,
    /// How much time there is from the beginning of the first attempt: no other begins when it is
    /// spent, and none is waited for that would. An attempt under way is not ended. 0: any time.
    pub budget_ns: u64,
    /// How many attempts there may be. 0: any number.
    pub max_attempts: u64,
}

// SAFETY: it is, it is, and all of its fields are numbers and pointers.
unsafe impl Versioned for docache_run_retry_options {
    const NAME: &'static str = "docache_run_retry_options";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_run_retry_options>() == 40
            && offset_of!(docache_run_retry_options, budget_ns) == 24
    );
};

/// What is not 0.
fn limit(ns: u64) -> Option<Duration> {
    (ns != 0).then(|| Duration::from_nanos(ns))
}

/// # Safety
/// HANDLE, SPAN.
unsafe fn policy(options: &docache_run_retry_options) -> Result<Retry> {
    // SAFETY: the caller's promise.
    let backoff = unsafe { backoff(options.backoff, "options.backoff") }?;
    let attempts = (options.max_attempts != 0).then_some(options.max_attempts);
    let policy =
        Retry::new().backoff(backoff).budget(limit(options.budget_ns)).max_attempts(attempts);
    if options.stop.is_null() {
        return Ok(policy);
    }
    // SAFETY: the caller's promise.
    Ok(policy.context(unsafe { borrow(options.stop, "options.stop") }?.context()))
}

/// Why it came to nothing, with the error of the last attempt.
fn failure(error: RetryError<BoxError>) -> Error {
    let message = error.to_string();
    let kind = match error.reason() {
        GaveUp::Stopped | GaveUp::Attempts => ErrorKind::Failed,
        GaveUp::Budget => ErrorKind::Timeout,
        GaveUp::Context(error) => error.kind(),
    };
    match error.into_last().map(|last| last.downcast::<ReportedPanic>()) {
        Some(Ok(panic)) => Error::with(ErrorKind::Panicked, message, Some(panic.0)),
        Some(Err(last)) => Error::with(kind, message, Some(last)),
        None => Error::new(kind, message),
    }
}

/// Calls `attempt(ctx, ...)` until it succeeds, on this thread, with waits in between. `options`
/// may be NULL: at once, any number of times. How many attempts there were goes to `out_attempts`,
/// which may be NULL, unless this returns INVALID_ARGUMENT.
///
/// OK: the last one succeeded. Else the error says why there was no other, and has the number of
/// the last one's error. DOER_FAILED: `max_attempts` or docache_retrier_stop. PANIC: the attempt
/// said so. TIMEOUT: the next one would begin after the budget is spent. CANCELLED: `stop` was set;
/// if it is set already there is no attempt. \[CB\] \[BLK\]
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_retry(
    options: *const docache_run_retry_options,
    attempt: docache_run_attempt_fn,
    ctx: usize,
    out_attempts: *mut u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(out_attempts, "out_attempts") }?;
        let missing = || Error::invalid_argument("attempt", "NULL", "give a function");
        let attempt = attempt.ok_or_else(missing)?;
        // SAFETY: the caller's promise.
        let policy = match unsafe { versioned::optional(options) }? {
            // SAFETY: the caller's promise.
            Some(options) => unsafe { policy(&options) }?,
            None => Retry::new(),
        };
        let mut attempts = 0;
        let done = policy.run(|retrier| {
            attempts = retrier.iteration();
            let mut error = ptr::null_mut();
            let handle: *mut docache_retrier = ptr::from_mut(retrier).cast();
            // SAFETY: CALLBACK; the handle and the place live through the call.
            let status = unsafe { attempt(ctx, handle, &raw mut error) };
            if status == DOCACHE_PANIC {
                retrier.stop();
            }
            // SAFETY: HANDLE: what the callback wrote is a share that it gives away.
            unsafe { outcome(status, error, "the attempt") }
        });
        if let Some(out) = out {
            out.write(attempts);
        }
        done.map_err(failure).map(|()| DOCACHE_OK)
    })
}

/// # Safety
/// HANDLE, for as long as the result is used.
unsafe fn look<'r>(retrier: *const docache_retrier) -> Option<&'r Retrier> {
    // SAFETY: the caller's promise.
    unsafe { borrow(retrier.cast(), "retrier") }.ok()
}

/// The number of this attempt; the first is 1. 0 for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_retrier_iteration(retrier: *const docache_retrier) -> u64 {
    // SAFETY: the caller's promise.
    quietly(0, || unsafe { look(retrier) }.map_or(0, Retrier::iteration))
}

/// What is left of the budget now, for a timeout of the attempt's own; DOCACHE_FOREVER if there is
/// no limit, and for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_retrier_remaining_ns(retrier: *const docache_retrier) -> i64 {
    quietly(DOCACHE_FOREVER, || {
        // SAFETY: the caller's promise.
        let left = unsafe { look(retrier) }.and_then(Retrier::remaining);
        left.map_or(DOCACHE_FOREVER, |left| i64::try_from(left.as_nanos()).unwrap_or(i64::MAX))
    })
}

/// Something that an attempt says of those to come.
///
/// # Safety
/// HANDLE; this thread's.
unsafe fn say(
    retrier: *mut docache_retrier,
    out_error: *mut *mut docache_error,
    say: impl FnOnce(&mut Retrier) -> Result<()>,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        say(unsafe { borrow_mut(retrier.cast(), "retrier") }?)?;
        Ok(DOCACHE_OK)
    })
}

/// The next attempt does not begin sooner than after `delay_ns`, such as what a server asks for
/// with Retry-After. It holds for one wait, in which a longer backoff still counts. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_retrier_set_delay(
    retrier: *mut docache_retrier,
    delay_ns: u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let say_it = |retrier: &mut Retrier| {
        retrier.set_delay(Duration::from_nanos(delay_ns));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { say(retrier, out_error, say_it) }
}

/// There is to be no other attempt: if this one fails, its error is the last. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_retrier_stop(
    retrier: *mut docache_retrier,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let say_it = |retrier: &mut Retrier| {
        retrier.stop();
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { say(retrier, out_error, say_it) }
}

/// docache_retrier_stop, in one with the status that the attempt returns, for an error that would
/// be the same again: `return docache_retrier_permanent(retrier, DOCACHE_DOER_FAILED);`. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_retrier_permanent(
    retrier: *mut docache_retrier,
    status: docache_status,
) -> docache_status {
    // SAFETY: the caller's promise.
    let said = unsafe { docache_retrier_stop(retrier, ptr::null_mut()) };
    if said == DOCACHE_OK { status } else { said }
}

/// The backoff of this wait and the following ones; NULL: none. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_retrier_set_backoff(
    retrier: *mut docache_retrier,
    given: *const docache_backoff,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let say_it = |retrier: &mut Retrier| {
        // SAFETY: the caller's promise.
        retrier.set_backoff(unsafe { backoff(given, "backoff") }?);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { say(retrier, out_error, say_it) }
}

/// How much time there is from the beginning of the first attempt; 0: any. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_retrier_set_budget(
    retrier: *mut docache_retrier,
    budget_ns: u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let say_it = |retrier: &mut Retrier| {
        retrier.set_budget(limit(budget_ns));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { say(retrier, out_error, say_it) }
}

/// How many attempts there may be; 0: any number. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_retrier_set_max_attempts(
    retrier: *mut docache_retrier,
    attempts: u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let say_it = |retrier: &mut Retrier| {
        retrier.set_max_attempts((attempts != 0).then_some(attempts));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { say(retrier, out_error, say_it) }
}
