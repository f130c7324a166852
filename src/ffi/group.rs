//! Family `group`: its life, calls that block, and the beginning of those that do not; they go on in `call`.

use std::sync::Arc;

use super::call::{Begun, begin, docache_call};
use super::flights::{Lanes, Source, panicked, reentrant};
use super::gate::Gate;
use super::options::{self, Options};
use super::perform::{self, docache_perform_fn};
use super::value::{Value, docache_value};
use super::{
    DOCACHE_MISS, DOCACHE_OK, Out, borrow, bytes, docache_error, docache_status, guard, is_usable, quietly,
    timeout,
};
use crate::error::{Error, ErrorKind};
use crate::flight::{FlightError, KeyedGroup, MOST_SHARDS};

/// A group: callers who want the same thing for the same key share one run of the work. Nothing is kept: a call after a
/// run's end begins a new run.
pub struct docache_group {
    flights: Arc<KeyedGroup<[u8], Value, Error>>,
    lanes: Lanes<docache_call>,
    gate: Arc<Gate>,
}

impl std::fmt::Debug for docache_group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("docache_group").field("flights", &self.flights).finish_non_exhaustive()
    }
}

/// How a group is to be. Begin with DOCACHE_GROUP_OPTIONS_INIT and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_group_options {
    /// sizeof(docache_group_options), as the caller was compiled.
    pub size: usize,
    /// Over how many locks the runs are spread, up to 65,536; 0: sixteen for each processor.
    pub shards: usize,
    /// 0.
    pub reserved: u32,
    /// 0.
    pub reserved2: u32,
}

// SAFETY: it is, it is, and all of its fields are numbers.
unsafe impl Options for docache_group_options {
    const NAME: &'static str = "docache_group_options";
}

/// Makes a group. `options` may be NULL: all defaults. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_group_new(
    options: *const docache_group_options,
    out: *mut *mut docache_group,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        let mut builder = KeyedGroup::builder();
        if !options.is_null() {
            // SAFETY: the caller's promise.
            let options = unsafe { options::read(options) }?;
            options::reserved("options.reserved", options.reserved)?;
            options::reserved("options.reserved2", options.reserved2)?;
            options::shards(options.shards, MOST_SHARDS)?;
            if options.shards != 0 {
                builder = builder.shards(options.shards);
            }
        }
        let flights = Arc::new(builder.build()?);
        let lanes = Lanes::new(&Source::Group(flights.clone()));
        out.write(Box::into_raw(Box::new(docache_group { flights, lanes, gate: Gate::new() })));
        Ok(DOCACHE_OK)
    })
}

/// Frees the handle. Inside `perform` of a docache_group_run of its own it returns at once; that
/// run's outcome goes to all who wait for it, and the group ends when the last of their calls is
/// over. No other docache_group_run may be under way. Calls of docache_group_begin that are out
/// stay valid, and go on among themselves, with their notifications. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE; nothing else may be going on with the handle, but calls from inside of which it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_group_free(group: *mut docache_group) {
    if is_usable(group) {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        let owned = unsafe { Box::from_raw(group) };
        quietly((), || owned.gate.clone().close(owned));
    }
}

/// Runs `perform(ctx, ...)` on this thread, or waits for the run of the key that is under way and
/// shares its outcome. OK: the value, whose share the caller releases, and in `out_shared`, which
/// may be NULL, 1 if others got it too, else 0. DOER_FAILED or PANIC with the error that the run
/// reported, which all of its callers share. TIMEOUT: the run is not over after `timeout_ns`, and
/// goes on without this caller. The time limits only waiting for others: a call that leads runs
/// `perform` to its end, however long that takes. REENTRANT inside `perform` of the same key. If a
/// run that was begun with docache_group_begin is given up, one of those who wait runs its own
/// `perform`. \[CB\] \[BLK\]
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
        let flown = gate.during(|| flights.try_run_within(timeout(timeout_ns), key, work));
        let freed = || Error::new(ErrorKind::Closed, "the group was freed");
        let flown = flown.ok_or_else(freed)?.map_err(|error| explain(key, error))?;
        if let Some(out) = out_shared {
            out.write(u32::from(flown.is_shared()));
        }
        out_value.write(flown.into_inner().into_ptr());
        Ok(DOCACHE_OK)
    })
}

/// Why a call has no value.
pub(super) fn explain(key: &[u8], error: FlightError<Error>) -> Error {
    match error {
        FlightError::Failed(error) => (*error).clone(),
        FlightError::Panicked(message) => panicked(&message),
        FlightError::Reentrant(_) => reentrant(key),
        FlightError::Left(error) => error,
    }
}

/// Lets later calls of the key begin a new run; those in the one under way still get its outcome. OK, or MISS if there is
/// no run that a call could join. \[NC\]
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
/// share their runs with these. REENTRANT inside `perform` of the same key. The caller frees the
/// call; to stop waiting after some time, free it then. \[NC\]
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

/// docache_group_begin for callers that threads do not tell apart, such as fibers, tasks and goroutines: `owner` names the
/// caller, by whatever number no other caller has at the time; 0 is nobody. REENTRANT also if a call of the same owner
/// leads the run that this one would wait for, on whatever thread. \[NC\]
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
        match begin(lanes.lane(key), key, owner, None)? {
            Begun::Call(call, status) => {
                out.write(call);
                Ok(status)
            }
            Begun::Value(_) => unreachable!("a group keeps nothing"),
        }
    })
}
