//! Family `loop`: a loop that its host drives, with its own threads and timers.

use super::handle::docache_loop;
use crate::clock::saturating_nanos;
use crate::error::{Error, ErrorKind};
use crate::ffi::boundary::{
    DOCACHE_OK, DOCACHE_PENDING, Out, borrow, borrow_mut, docache_error, docache_status, guard, is_usable,
    quietly,
};
use crate::ffi::perform;
use crate::ffi::value::{Value, docache_value};
use crate::ffi::wait::{docache_wait, hand_out};
use crate::loop_cache::{Driven, Next};

/// A run of a loop cache that its host drives. One owner, who uses it on one thread at a time; which one may change.
pub struct docache_drive(Driven<Value>);

impl std::fmt::Debug for docache_drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("docache_drive").field("calling", &self.0.is_calling()).finish_non_exhaustive()
    }
}

/// Begins a run that the caller drives: it asks docache_drive_begin when a call is due, does the work itself, and hands in
/// what came of it with docache_drive_finish. The loop's own `perform` is not called, and may be NULL. BUSY if the loop is
/// running already. The run ends when the drive is freed, and the loop cache must live until then, or be freed by the
/// host on the same thread: docache_loop_free does not wait for a run that the host drives. \[CB\] only the logger
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_drive(
    handle: *const docache_loop,
    out: *mut *mut docache_drive,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let driven = unsafe { borrow(handle, "handle") }?.cache.drive()?;
        out.write(Box::into_raw(Box::new(docache_drive(driven))));
        Ok(DOCACHE_OK)
    })
}

/// Begins a call of the Doer if one is due: OK, and docache_drive_finish has to follow. PENDING if none is due for
/// `out_wait_ns`, unless docache_drive_called says otherwise. CLOSED if the run has been asked to stop: free the drive.
/// `out_wait_ns` is written with PENDING only. REENTRANT while a call is under way. \[NC\]
///
/// # Safety
/// HANDLE, SPAN; nothing else may be going on with the drive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_drive_begin(
    drive: *mut docache_drive,
    out_wait_ns: *mut u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::required(out_wait_ns, "out_wait_ns") }?;
        // SAFETY: the caller's promise.
        let driven = &mut unsafe { borrow_mut(drive, "drive") }?.0;
        if driven.is_calling() {
            return Err(Error::new(ErrorKind::Reentrant, "the last call has not been finished"));
        }
        match driven.next() {
            Next::Stop => Err(Error::new(ErrorKind::Closed, "the loop has been asked to stop")),
            Next::Wait(wait) => {
                out.write(saturating_nanos(wait));
                Ok(DOCACHE_PENDING)
            }
            Next::Call { now, refresh } => {
                driven.begin(now, refresh);
                Ok(DOCACHE_OK)
            }
        }
    })
}

/// Ends the call under way and publishes what came of it: what a docache_perform_fn would return and write. The shares of
/// `value` and `error` are given away, also if this fails. INVALID_ARGUMENT if no call is under way.
/// \[CB\] `drop` of what nobody can see any more, the logger, notifications
///
/// # Safety
/// HANDLE; nothing else may be going on with the drive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_drive_finish(
    drive: *mut docache_drive,
    status: docache_status,
    value: *mut docache_value,
    error: *mut docache_error,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: HANDLE: the caller gives the shares away.
        let result = unsafe { perform::outcome(status, value, error) };
        // SAFETY: the caller's promise.
        let driven = &mut unsafe { borrow_mut(drive, "drive") }?.0;
        if !driven.is_calling() {
            return Err(Error::invalid_argument(
                "drive",
                "one without a call under way",
                "begin a call first",
            ));
        }
        driven.finish(result.map_err(Error::reported));
        Ok(DOCACHE_OK)
    })
}

/// Begins a wait for the moment at which docache_drive_begin has something else to say than it said last: a refresh has been
/// asked for, or the end. OK if that is so already, else PENDING with a wait in `out`. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_drive_called(
    drive: *const docache_drive,
    out: *mut *mut docache_wait,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let called = unsafe { borrow(drive, "drive") }?.0.called();
        hand_out(out, async move {
            called.await;
            Ok(0)
        })
    })
}

/// Ends the run and frees the drive; a call under way stays without a result. Those who wait for the end of the run are told.
/// NULL is fine. \[CB\] the logger, notifications; `drop` if the loop cache was freed
///
/// # Safety
/// HANDLE; nothing else may be going on with the drive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_drive_free(drive: *mut docache_drive) {
    if !is_usable(drive) {
        return;
    }
    quietly((), || {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        drop(unsafe { Box::from_raw(drive) });
    });
}
