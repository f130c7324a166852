//! Family `group`: calls that block, and the beginning of those that do not, which go on in the
//! family `call`.

use super::handle::docache_group;
use crate::error::{Error, ErrorKind};
use crate::ffi::boundary::{
    DOCACHE_MISS, DOCACHE_OK, Out, borrow, bytes, docache_error, docache_status, guard, quietly,
    timeout,
};
use crate::ffi::call::{Begun, LoadOptions, begin, docache_call};
use crate::ffi::perform::{self, docache_perform_fn, explain};
use crate::ffi::value::docache_value;

/// Runs `perform(ctx, ...)` on this thread, or waits for the run of the key that is under way and
/// shares its outcome. OK: the value, whose share the caller releases, and in `out_shared`, which
/// may be NULL, 1 if others got it too, else 0. DOER_FAILED or PANIC with the error that the run
/// reported, which all of its callers share. TIMEOUT: the run is not over after `timeout_ns`, and
/// goes on without this caller. The time limits only waiting for others: a call that leads runs
/// `perform` to its end, however long that takes. REENTRANT inside `perform` of the same key. A
/// thread whose call of a `_begin` leads must not wait for that key with the blocking form: that is
/// a deadlock, which is not detected. If a run that was begun with docache_group_begin is given up,
/// one of those who wait runs its own `perform`. \[CB\] \[BLK\]
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_group_run(
    group: *mut docache_group,
    key: *const u8,
    key_len: usize,
    timeout_ns: i64,
    perform: docache_perform_fn,
    ctx: usize,
    out_value: *mut *mut docache_value,
    out_shared: *mut u32,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out_value = unsafe { Out::handle(out_value, "out_value") }?;
        // SAFETY: the caller's promise.
        let out_shared = unsafe { Out::optional(out_shared, "out_shared") }?;
        // SAFETY: the caller's promise.
        let docache_group { flights, gate, .. } = unsafe { borrow(group, "group") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        let perform = perform::required(perform)?;
        // SAFETY: CALLBACK.
        let work = || unsafe { perform::call(perform, ctx) }.map_err(perform::into_error);
        let ran = gate.during(|| flights.try_run_within(timeout(timeout_ns), key, work));
        let freed = || Error::new(ErrorKind::Closed, "the group was freed");
        let ran = ran.ok_or_else(freed)?.map_err(|error| explain(key, error))?;
        if let Some(out) = out_shared {
            out.write(u32::from(ran.is_shared()));
        }
        out_value.write(ran.into_inner().into_ptr());
        Ok(DOCACHE_OK)
    })
}

/// Lets later calls of the key begin a new run; those in the one under way still get its outcome.
/// OK, or MISS if there is no run that a call could join. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_group_forget(
    group: *mut docache_group,
    key: *const u8,
    key_len: usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let flights = &unsafe { borrow(group, "group") }?.flights;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        Ok(if flights.forget(key) { DOCACHE_OK } else { DOCACHE_MISS })
    })
}

/// How many runs are under way that a call could join; 0 for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_group_in_flight(group: *const docache_group) -> usize {
    // SAFETY: the caller's promise.
    quietly(0, || unsafe { borrow(group, "group") }.map_or(0, |group| group.flights.in_flight()))
}

/// Begins a call without blocking. LEADER, with a call in `out`: nobody is at it; do the work, then
/// docache_call_finish. PENDING, with a call in `out`: somebody is; see docache_call_on_ready and
/// docache_call_poll, which may say LEADER later, if who leads gives its call up: then do the work,
/// or free the call as well. With any other status there is no call. Calls of docache_group_run
/// share their runs with these. REENTRANT inside `perform` of the same key. A thread whose call of
/// a `_begin` leads must not wait for that key with the blocking form: that is a deadlock, which is
/// not detected. The caller frees the call; to stop waiting after some time, free it then. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_group_begin(
    group: *mut docache_group,
    key: *const u8,
    key_len: usize,
    out: *mut *mut docache_call,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the caller's promise.
    unsafe { docache_group_begin_as(group, key, key_len, 0, out, out_error) }
}

/// docache_group_begin for callers that threads do not tell apart, such as fibers, tasks and
/// goroutines: `owner` names the caller, by a number that no other caller has at the time; 0:
/// nobody. REENTRANT also if a call of the same owner leads the run that this one would wait for,
/// on whatever thread. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_group_begin_as(
    group: *mut docache_group,
    key: *const u8,
    key_len: usize,
    owner: u64,
    out: *mut *mut docache_call,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let lanes = &unsafe { borrow(group, "group") }?.lanes;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        match begin(lanes.lane(key), key, owner, LoadOptions::default())? {
            Begun::Call(call, status) => {
                out.write(call);
                Ok(status)
            }
            Begun::Value(_) => unreachable!("a group keeps nothing"),
        }
    })
}
