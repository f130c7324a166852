//! Retries, against a model that knows the number of attempts and the status beforehand.

use std::ptr::{null, null_mut};

use docache::ffi::*;

use super::script::{Backoff, Retry};
use crate::abi::memory::Memory;
use crate::abi::outcome::relay;
use crate::abi::place::{Given, Place};

/// The most attempts of a case: what is beyond the statuses of a script succeeds.
const MOST: u64 = 64;

pub(crate) fn raw_backoff(backoff: &Backoff) -> (docache_backoff, bool) {
    let size = match backoff.size {
        crate::abi::memory::Size::Exact => size_of::<docache_backoff>(),
        // What is claimed here must be readable.
        _ => 8,
    };
    let raw = docache_backoff {
        size,
        first_ns: u64::from(backoff.first) * 100,
        most_ns: u64::from(backoff.most) * 100,
        growth: u32::from(backoff.growth % 8 == 7) * 2 + u32::from(backoff.growth % 2),
        jitter: u32::from(backoff.jitter % 16 == 15) * 3 + u32::from(backoff.jitter % 3),
    };
    let is_good = size == size_of::<docache_backoff>()
        && raw.first_ns > 0
        && (raw.most_ns == 0 || raw.most_ns >= raw.first_ns)
        && raw.growth <= 1
        && raw.jitter <= 2;
    (raw, is_good)
}

struct Frame<'a> {
    retry: &'a Retry,
    calls: u64,
}

impl Frame<'_> {
    fn status(&self, attempt: u64) -> docache_status {
        let at = usize::try_from(attempt - 1).unwrap_or(usize::MAX);
        self.retry.statuses.get(at).map_or(DOCACHE_OK, |status| status.0)
    }
}

unsafe extern "C-unwind" fn attempt(
    ctx: usize,
    retrier: *mut docache_retrier,
    _: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: CALLBACK: `check` gives the address of a frame that is there through the call.
    let frame = unsafe { &mut *std::ptr::with_exposed_provenance_mut::<Frame<'_>>(ctx) };
    frame.calls += 1;
    // SAFETY: HANDLE.
    assert_eq!(unsafe { docache_retrier_iteration(retrier) }, frame.calls);
    // SAFETY: HANDLE.
    let left = unsafe { docache_retrier_remaining_ns(retrier) };
    assert!(left == DOCACHE_FOREVER || left > 0);
    // SAFETY: HANDLE.
    assert_eq!(unsafe { docache_retrier_set_delay(retrier, 10, null_mut()) }, DOCACHE_OK);
    let status = frame.status(frame.calls);
    if frame.calls != u64::from(frame.retry.stops_at) {
        return status;
    }
    if frame.retry.permanent {
        // SAFETY: HANDLE.
        return unsafe { docache_retrier_permanent(retrier, status) };
    }
    // SAFETY: HANDLE.
    assert_eq!(unsafe { docache_retrier_stop(retrier, null_mut()) }, DOCACHE_OK);
    status
}

/// What it must come to, and after how many attempts.
fn expected(frame: &Frame<'_>) -> (docache_status, u64) {
    for attempt in 1..MOST {
        match frame.status(attempt) {
            status @ (DOCACHE_OK | DOCACHE_PANIC) => return (status, attempt),
            _ if attempt == u64::from(frame.retry.stops_at) => {
                return (DOCACHE_DOER_FAILED, attempt);
            }
            _ if !frame.retry.no_options && attempt == u64::from(frame.retry.most) => {
                return (DOCACHE_DOER_FAILED, attempt);
            }
            _ => {}
        }
    }
    unreachable!("a script is shorter than that")
}

pub(crate) fn check(retry: &Retry) {
    let (backoff, is_good) = match &retry.backoff {
        Some(backoff) => {
            let (raw, is_good) = raw_backoff(backoff);
            (Some(raw), is_good)
        }
        None => (None, true),
    };
    let size = retry.size.of(size_of::<docache_run_retry_options>());
    let whole = docache_run_retry_options {
        size,
        backoff: backoff.as_ref().map_or(null(), std::ptr::from_ref),
        stop: null(),
        budget_ns: 3_600_000_000_000,
        max_attempts: retry.most.into(),
    };
    let memory = Memory::new(&whole, size, retry.tail);
    let options = if retry.no_options { null() } else { memory.pointer() };
    let function: docache_run_attempt_fn = if retry.no_attempt.0 { None } else { Some(attempt) };
    let mut out: Place<u64> = Place::one(retry.out);
    let mut frame = Frame { retry, calls: 0 };
    let ctx = (&raw mut frame).expose_provenance();
    let outcome = relay("retry", retry.error, |error| {
        // SAFETY: SPAN, CALLBACK.
        unsafe { docache_run_retry(options, function, ctx, out.pointer(), error) }
    });
    let accepted = (retry.no_options || (memory.fits && is_good))
        && function.is_some()
        && out.is_valid_option();
    if !accepted {
        outcome.is(DOCACHE_INVALID_ARGUMENT);
        assert!(frame.calls == 0 && out.untouched_from(0));
        return;
    }
    let (status, attempts) = expected(&Frame { retry, calls: 0 });
    outcome.is(status);
    assert_eq!(frame.calls, attempts);
    if retry.out == Given::Valid {
        assert_eq!(out.get(0), attempts);
    }
}
