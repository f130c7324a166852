//! Family `loop`: a loop that its host drives, with its own threads and timers.

use super::handle::docache_loop;
use crate::clock::saturating_nanos;
use crate::error::{Error, ErrorKind};
use crate::ffi::boundary::{
    DOCACHE_OK, DOCACHE_PENDING, Out, borrow, borrow_mut, docache_error, docache_status, guard,
    is_usable, quietly,
};
use crate::ffi::perform;
use crate::ffi::value::{Value, docache_value};
use crate::ffi::wait::{docache_wait, hand_out};
use crate::loop_cache::{Driven, Next};

/// A run of a loop cache that its host drives. One owner, who uses it on one thread at a time;
/// which one may change.
pub struct docache_drive(Driven<Value>);

impl std::fmt::Debug for docache_drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("docache_drive")
            .field("calling", &self.0.is_calling())
            .finish_non_exhaustive()
    }
}

/// Begins a run that the caller, the host, drives with its own threads and timers: it asks
/// docache_drive_begin whether a call is due, does the work itself, and hands in what came of it
/// with docache_drive_finish. The loop's `perform` is not called, and may be NULL. BUSY if the loop
/// is running already. \[CB\] only the logger
///
/// In a program that sleeps in poll():
///
/// ```c
/// for (;;) {
///   docache_status status = docache_drive_begin(drive, &wait_ns, NULL);
///   if (status == DOCACHE_CLOSED) break;
///   if (status == DOCACHE_OK) {
///     ... do the work; docache_drive_finish(drive, DOCACHE_OK, value, NULL, NULL);
///   } else if (docache_drive_called(drive, &called, NULL) == DOCACHE_PENDING) {
///     if (docache_wait_on_ready(called, write_to_pipe, pipe, NULL) == DOCACHE_PENDING)
///       ... poll(pipe, wait_ns);
///     docache_wait_free(called);
///   }
/// }
/// docache_drive_free(drive);
/// ```
///
/// Waits of docache_drive_called are freed before or after the drive, and the drive before the
/// loop. While the host drives it, docache_loop_stop, _refresh and _changed wait for the host: on
/// the thread that drives use their _begin forms, or a timeout of 0. A stop is over, and a refresh
/// that it overtook gets CLOSED, when the drive has been freed. docache_loop_free does not wait for
/// a run that the host drives: the host frees the loop on the thread that drives, or after the
/// drive.
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

/// Begins a call if one is due: OK, and docache_drive_finish has to follow. PENDING if none is: ask
/// again after `out_wait_ns`, or as soon as the wait of docache_drive_called is over. CLOSED if the
/// run has been asked to stop: free the drive. `out_wait_ns` is written with PENDING only.
/// REENTRANT while a call is under way. \[NC\]
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

/// Ends the call under way and publishes what came of it: `status`, `value` and `error` are what a
/// docache_perform_fn would return and write, and count as there. The shares of `value` and `error`
/// are given away, also if this fails. INVALID_ARGUMENT if no call is under way. \[CB\] `drop` of
/// what nobody can see any more, the logger, notifications
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

/// Begins a wait for one event: somebody asks for a refresh or a stop. OK if one has already been
/// asked for and docache_drive_begin has not answered it yet; else PENDING with a wait in `out`,
/// which comes to OK with the event, and to CLOSED if the run ends first. That a call becomes due
/// is no event: for that there is `out_wait_ns`. It is one wait for one event: when it is over,
/// free it and begin another. Several may be out. \[NC\]
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
            called.await?;
            Ok(0)
        })
    })
}

/// Ends the run and frees the drive; a call under way stays without a result. Who waits for the end
/// of the run is notified. NULL is fine. \[CB\] the logger, notifications; `drop` if the loop cache
/// was freed
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
