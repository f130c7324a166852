//! The life of a scheduler.

use std::sync::Arc;
use std::time::Duration;

use super::calls::{Call, Calls, docache_scheduled, docache_scheduler_call_fn};
use super::options::{self, docache_scheduler_options};
use crate::error::Error;
use crate::ffi::boundary::{
    DOCACHE_OK, Out, Registration, borrow, docache_drop_fn, docache_error, docache_status, guard,
    is_usable, quietly, timeout, versioned,
};
use crate::ffi::gate::Gate;
use crate::run::Scheduler;

/// A scheduler: makes calls when they are due, and runs loop caches, on a few threads that they
/// share.
#[derive(Debug)]
pub struct docache_scheduler {
    scheduler: Scheduler,
    calls: Arc<Calls>,
    gate: Arc<Gate>,
}

impl docache_scheduler {
    /// For the statistics, and for loop caches, which keep a share.
    pub(in crate::ffi) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }
}

/// Makes a scheduler, without a thread yet. `options` may be NULL: all defaults. Nothing that they
/// point to is needed afterwards. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_scheduler_new(
    options: *const docache_scheduler_options,
    out: *mut *mut docache_scheduler,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { versioned::optional(options) }?;
        // SAFETY: the caller's promise.
        let scheduler = unsafe { options::build(options.as_ref()) }?;
        let gate = Gate::new();
        let calls = Calls::new(gate.clone());
        out.write(Box::into_raw(Box::new(docache_scheduler { scheduler, calls, gate })));
        Ok(DOCACHE_OK)
    })
}

/// Has `callback(ctx)` called once after `delay_ns`, on a thread of the scheduler's: never sooner,
/// and up to 1.5 ms later when others are due close to it. `drop(ctx)`, if there is a
/// `drop`, is called exactly once: after the callback, on its thread, or when it will not be called
/// any more, also when this function fails.
///
/// `out` may be NULL; what is written there can cancel the call, and is the caller's to free. The
/// callback may be called before this has returned; it may free the scheduler even then.
///
/// CLOSED after a docache_scheduler_shutdown. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_scheduler_call_after(
    scheduler: *const docache_scheduler,
    delay_ns: u64,
    callback: docache_scheduler_call_fn,
    ctx: usize,
    drop: docache_drop_fn,
    out: *mut *mut docache_scheduled,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let registration = Registration { ctx, drop };
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional_handle(out, "out") }?;
        let missing = || Error::invalid_argument("callback", "NULL", "give a function");
        let callback = callback.ok_or_else(missing)?;
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(scheduler, "scheduler") }?;
        // Shares, as the callback, or `drop`, may free the scheduler.
        let (scheduler, calls) = (handle.scheduler.clone(), handle.calls.clone());
        let call = Call { callback, registration };
        let number = calls.schedule(&scheduler, Duration::from_nanos(delay_ns), call)?;
        if let Some(out) = out {
            out.write(Box::into_raw(Box::new(docache_scheduled { calls, number })));
        }
        Ok(DOCACHE_OK)
    })
}

/// Ends the scheduler, for loops that run on it as well: calls that wait are not made, and their
/// `drop` is called; loops stop, and cannot be started again; this waits until the callbacks under
/// way are over, those of loops included. OK: so it is. TIMEOUT: some are not; nothing else is
/// called any more. The handle is still to be freed.
///
/// Inside a callback of the scheduler's own, or of a loop on it, it does not wait. Inside callbacks
/// of other objects give a timeout, unless no loop on the scheduler waits for these. \[CB\] only
/// `drop`, and the loggers and Doers' `drop` of loops \[BLK\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_scheduler_shutdown(
    scheduler: *const docache_scheduler,
    timeout_ns: i64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(scheduler, "scheduler") }?;
        // Shares, as `drop` may free the scheduler.
        let docache_scheduler { scheduler, calls, gate } = handle;
        let (scheduler, calls, gate) = (scheduler.clone(), calls.clone(), gate.clone());
        gate.during(|| drop(calls.close()));
        // If somebody waits for this thread, it must not wait.
        let wait = gate.begin_wait();
        match (wait.is_some(), timeout(timeout_ns)) {
            (false, _) => scheduler.close(),
            (true, None) => scheduler.shutdown(),
            (true, Some(limit)) => scheduler.shutdown_within(limit)?,
        }
        Ok(DOCACHE_OK)
    })
}

/// Frees the handle. Calls that wait are not made; this waits for the callbacks under way, and when
/// it has returned none of them runs or will, and every `drop` has been called. Loops on the
/// scheduler have shares of it, and go on; its threads end with the last of them.
///
/// Inside a callback of the scheduler's own it returns at once, and all that happens when the
/// callback is over. Inside callbacks of other objects it waits, unless a thread that it waits for
/// is freeing that object. NULL is fine. \[CB\] only `drop` \[BLK\]
///
/// # Safety
/// HANDLE; nothing else may be going on with the handle, but calls from inside of which it is
/// freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_scheduler_free(scheduler: *mut docache_scheduler) {
    if !is_usable(scheduler) {
        return;
    }
    // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
    let owned = unsafe { Box::from_raw(scheduler) };
    quietly((), || {
        let gate = owned.gate.clone();
        gate.keep(owned.calls.close());
        gate.close(owned);
    });
}
