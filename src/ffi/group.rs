//! Family `group`: its life, and calls that block. Calls that do not are in `call`.

use std::sync::Arc;

use super::call::docache_call;
use super::options::{self, Options};
use super::perform::{self, docache_perform_fn};
use super::value::{Value, docache_value};
use super::{
    DOCACHE_MISS, DOCACHE_OK, Out, borrow, bytes, docache_error, docache_status, guard, is_usable, quietly,
    timeout,
};
use crate::error::{Error, ErrorKind};
use crate::flight::{FlightError, KeyedGroup};
use crate::lock::Lock;

/// How many calls that were freed each of the `POOLS` keeps for the next ones.
const KEPT_CALLS: usize = 32;
/// Calls are kept apart by key, so that those of different keys seldom meet.
const POOLS: usize = 8;

/// A group: callers who want the same thing for the same key share one run of the work. Nothing is kept: a call after a
/// run's end begins a new run.
pub struct docache_group(pub(super) Arc<Flights>);

impl std::fmt::Debug for docache_group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("docache_group").field("flights", &self.0.group).finish_non_exhaustive()
    }
}

/// How a group is to be. Zero the struct, set `size` and what you need.
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

/// What a group's handle and its calls share.
pub(super) struct Flights {
    group: KeyedGroup<[u8], Value, Error>,
    /// Calls that were freed, by a few bits of their keys.
    #[expect(clippy::vec_box, reason = "a call is handed out where it lies")]
    pools: [Lock<Vec<Box<docache_call>>>; POOLS],
}

impl AsRef<KeyedGroup<[u8], Value, Error>> for Flights {
    fn as_ref(&self) -> &KeyedGroup<[u8], Value, Error> {
        &self.group
    }
}

impl Flights {
    fn new(group: KeyedGroup<[u8], Value, Error>) -> Flights {
        let pools = std::array::from_fn(|_| Lock::new(Vec::with_capacity(KEPT_CALLS)));
        Flights { group, pools }
    }

    /// A call, used before or new, for a key whose pool is `pool`.
    pub(super) fn take_call(&self, pool: usize) -> Box<docache_call> {
        let kept = self.pools[pool % POOLS].lock().pop();
        kept.unwrap_or_default()
    }

    /// Keeps a call for the next one of the pool, unless there are enough.
    pub(super) fn keep_call(&self, pool: usize, call: Box<docache_call>) {
        let mut kept = self.pools[pool % POOLS].lock();
        if kept.len() < KEPT_CALLS {
            kept.push(call);
        } else {
            drop(kept);
            drop(call);
        }
    }
}

/// The pool of a key's calls.
pub(super) fn pool_of(key: &[u8]) -> usize {
    let (first, last) = (key.first().copied(), key.last().copied());
    key.len() ^ usize::from(first.unwrap_or(0)) ^ usize::from(last.unwrap_or(0)).rotate_left(1)
}

/// Why a call comes to nothing that came from inside the work of its own key.
pub(super) fn reentrant(key: &[u8]) -> Error {
    let key = key.escape_ascii();
    let message = format!("key \"{key}\": the call came from inside the run that it would have waited for");
    Error::new(ErrorKind::Reentrant, message)
}

/// Why a run panicked, for those who joined it.
pub(super) fn panicked(message: &str) -> Error {
    Error::new(ErrorKind::Panicked, format!("the run panicked: {message}"))
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
            if options.shards != 0 {
                builder = builder.shards(options.shards);
            }
        }
        let flights = Arc::new(Flights::new(builder.build()?));
        out.write(Box::into_raw(Box::new(docache_group(flights))));
        Ok(DOCACHE_OK)
    })
}

/// Frees the handle. Calls of docache_group_begin that are out stay valid, and go on among themselves. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE; nothing else may be going on with the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_group_free(group: *mut docache_group) {
    if is_usable(group) {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        quietly((), || drop(unsafe { Box::from_raw(group) }));
    }
}

/// Runs `perform(ctx, ...)` on this thread, or waits for the run of the key that is under way and shares its outcome. OK:
/// the value, whose share the caller releases, and in `out_shared`, which may be NULL, 1 if others got it too, else 0.
/// DOER_FAILED or PANIC with the error that the run reported, which all of its callers share. TIMEOUT: the run is not over
/// after `timeout_ns`, and goes on; the time limits only waiting, so with 0 the call leads or returns at once. REENTRANT
/// inside `perform` of the same key. \[CB\] \[BLK\]
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
        let flights = &unsafe { borrow(group, "group") }?.0;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        let perform = perform::required(perform)?;
        let flown = flights.group.try_run_within(timeout(timeout_ns), key, || {
            // SAFETY: CALLBACK.
            unsafe { perform::call(perform, ctx) }.map_err(perform::into_error)
        });
        let flown = flown.map_err(|error| explain(key, error))?;
        if let Some(out) = out_shared {
            out.write(u32::from(flown.is_shared()));
        }
        out_value.write(flown.into_inner().into_ptr());
        Ok(DOCACHE_OK)
    })
}

fn explain(key: &[u8], error: FlightError<Error>) -> Error {
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
        let flights = &unsafe { borrow(group, "group") }?.0;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        Ok(if flights.group.forget(key) { DOCACHE_OK } else { DOCACHE_MISS })
    })
}

/// How many runs are under way that a call could join; 0 for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_group_in_flight(group: *const docache_group) -> usize {
    // SAFETY: the caller's promise.
    quietly(0, || unsafe { borrow(group, "group") }.map_or(0, |group| group.0.group.in_flight()))
}
