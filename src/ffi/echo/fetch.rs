//! Family `echo`: fetching, as callers do that may block.

use std::sync::Arc;
use std::time::Duration;

use super::handle::{Doer, Kind, PerformKey, Refreshes, docache_echo, freed};
use super::key;
use crate::context::Context;
use crate::echo::{Due, Fetched, Status};
use crate::error::{Error, Result};
use crate::ffi::boundary::{
    DOCACHE_OK, Out, borrow, docache_error, docache_status, guard, timeout,
};
use crate::ffi::gate::Gate;
use crate::ffi::perform::{explain, into_error, outcome};
use crate::ffi::perform_key::docache_perform_key_fn;
use crate::ffi::value::{Value, docache_value, start};
use crate::flight::FlightError;

/// Where a value comes from: the store had it.
pub const DOCACHE_FETCHED_FRESH: i32 = 0;
/// The store had it, and it is due for a refresh, or it is past its time and the load failed.
pub const DOCACHE_FETCHED_STALE: i32 = 1;
/// This call loaded it.
pub const DOCACHE_FETCHED_LOADED: i32 = 2;
/// Another call loaded it, in this process or in another, and this one waited for that.
pub const DOCACHE_FETCHED_COALESCED: i32 = 3;
/// The store had it, and it says that there is no such thing: see `negative_ttl_ns`.
pub const DOCACHE_FETCHED_NEGATIVE: i32 = 4;

/// A status as C knows it, and the age of what is stale, else 0.
pub(super) fn numbers_of(status: Status) -> (i32, u64) {
    match status {
        Status::Fresh => (DOCACHE_FETCHED_FRESH, 0),
        Status::Stale { age } => {
            (DOCACHE_FETCHED_STALE, u64::try_from(age.as_nanos()).unwrap_or(u64::MAX))
        }
        Status::Loaded => (DOCACHE_FETCHED_LOADED, 0),
        Status::Coalesced => (DOCACHE_FETCHED_COALESCED, 0),
        Status::Negative => (DOCACHE_FETCHED_NEGATIVE, 0),
    }
}

/// Where a fetch writes what it has.
pub(super) struct Places {
    value: Out<*mut docache_value>,
    fetched: Option<Out<i32>>,
    age: Option<Out<u64>>,
}

impl Places {
    /// # Safety
    /// SPAN for one element each.
    pub(super) unsafe fn new(
        out_value: *mut *mut docache_value,
        out_fetched: *mut i32,
        out_age_ns: *mut u64,
    ) -> Result<Places> {
        Ok(Places {
            // SAFETY: the caller's promise.
            value: unsafe { Out::handle(out_value, "out_value") }?,
            // SAFETY: the caller's promise.
            fetched: unsafe { Out::optional(out_fetched, "out_fetched") }?,
            // SAFETY: the caller's promise.
            age: unsafe { Out::optional(out_age_ns, "out_age_ns") }?,
        })
    }

    pub(super) fn write(&self, value: Value, status: Status) {
        let (fetched, age) = numbers_of(status);
        if let Some(out) = &self.fetched {
            out.write(fetched);
        }
        if let Some(out) = &self.age {
            out.write(age);
        }
        self.value.write(value.into_ptr());
    }
}

/// Refuses a value that the store could not keep.
pub(super) fn checked(value: Value, wants_json: bool) -> Result<Value> {
    #[cfg(feature = "serde")]
    if wants_json {
        super::store::check_json(value.bytes())?;
    }
    #[cfg(not(feature = "serde"))]
    let _ = wants_json;
    Ok(value)
}

/// Calls work that is told its key.
///
/// # Safety
/// CALLBACK.
unsafe fn call(perform: PerformKey, ctx: usize, key: &str, wants_json: bool) -> Result<Value> {
    let (mut value, mut error) = (std::ptr::null_mut(), std::ptr::null_mut());
    let (key, key_len) = (start(key.as_bytes()), key.len());
    // SAFETY: CALLBACK; both places are ours and writable, and the key lives through the call.
    let status = unsafe { perform(ctx, key, key_len, &raw mut value, &raw mut error) };
    // SAFETY: HANDLE: what the callback wrote are shares that it gives away.
    let done = unsafe { outcome(status, value, error) };
    checked(done.map_err(into_error)?, wants_json)
}

/// Who refreshes, and for what cache: all that a refresh needs that is due.
#[derive(Clone)]
pub(super) struct Refresher {
    pub(super) refreshes: Refreshes,
    pub(super) gate: Arc<Gate>,
    pub(super) wants_json: bool,
}

impl Refresher {
    /// Has a refresh made, or dropped if there is no room.
    pub(super) fn refresh(self, due: Due<super::store::Gated, Value, Error>) {
        let Refresher { refreshes, gate, wants_json } = self;
        match refreshes {
            Refreshes::Doer(Doer { perform, ctx }) => {
                let key = due.key().clone();
                let around = move |pass: &mut dyn FnMut()| {
                    gate.during(pass);
                };
                // SAFETY: CALLBACK, REGISTERED: the work is inside of the gate.
                let work = move || unsafe { call(perform, ctx, &key, wants_json) };
                due.run_by_worker(around, work);
            }
            Refreshes::Host(queue) => {
                if let Some(handed) = due.hand_over() {
                    queue.put(handed);
                }
            }
        }
    }
}

impl docache_echo {
    /// What refreshes need, for a lazy cache.
    pub(super) fn refresher(&self) -> Option<Refresher> {
        let refreshes = self.refreshes.clone()?;
        let wants_json = self.common.wants_json;
        Some(Refresher { refreshes, gate: self.gate.clone(), wants_json })
    }

    /// The work of a fetch: its own, or that of the cache.
    fn work(&self, perform: docache_perform_key_fn, ctx: usize) -> Result<(PerformKey, usize)> {
        match (perform, &self.refreshes) {
            (Some(perform), _) => Ok((perform, ctx)),
            (None, Some(Refreshes::Doer(doer))) => Ok((doer.perform, doer.ctx)),
            (None, _) => {
                let accepted = "give a function; this cache has none of its own";
                Err(Error::invalid_argument("perform", "NULL", accepted))
            }
        }
    }

    fn fetch(
        &self,
        key: &str,
        limit: Option<Duration>,
        (perform, ctx): (PerformKey, usize),
    ) -> Result<Fetched<Value>, FlightError<Error>> {
        let wants_json = self.common.wants_json;
        let work = || {
            // A part of the call, also if `on_warning` has freed the cache.
            // SAFETY: CALLBACK, REGISTERED.
            let called = self.gate.inside(|| unsafe { call(perform, ctx, key, wants_json) });
            called.unwrap_or_else(|| Err(freed()))
        };
        let context = limit.map(|limit| Context::background().with_timeout(limit));
        match &self.kind {
            Kind::Memo(memo) => match &context {
                None => memo.fetch(key, work),
                Some(context) => memo.options().context(context).fetch(key, work),
            },
            Kind::Lazy(lazy) => {
                let mut options = lazy.options();
                if let Some(context) = &context {
                    options = options.context(context);
                }
                options.fetch_handing(key, work, |due| {
                    if let Some(refresher) = self.refresher() {
                        refresher.refresh(due);
                    }
                })
            }
        }
    }
}

/// The key's value: a share, which the caller releases. What the store does not have is loaded by
/// `perform(ctx, key, ...)` on this thread and put there, or waited for if another call or another
/// process is loading it. A lazy cache returns what is stale at once and has it refreshed; its own
/// work loads if `perform` is NULL.
///
/// `out_fetched`, which may be NULL, gets a DOCACHE_FETCHED, and `out_age_ns`, which may be NULL,
/// how long ago a stale value was loaded, else 0.
///
/// DOER_FAILED or PANIC with the error that the load reported, which all who waited for it share;
/// INVALID_ARGUMENT also if the store keeps JSON and `perform` returned none. TIMEOUT: the load is
/// not over after `timeout_ns`, and goes on without this caller; with 0 nothing is loaded, and a
/// store on a server is not asked. A call that leads runs `perform` to its end. REENTRANT inside
/// `perform` of the same key. What fails in the store fails no fetch: see docache_echo_new. \[CB\]
/// \[BLK\]
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_fetch(
    echo: *const docache_echo,
    key: *const u8,
    key_len: usize,
    timeout_ns: i64,
    perform: docache_perform_key_fn,
    ctx: usize,
    out_value: *mut *mut docache_value,
    out_fetched: *mut i32,
    out_age_ns: *mut u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let places = unsafe { Places::new(out_value, out_fetched, out_age_ns) }?;
        // SAFETY: the caller's promise.
        let echo = unsafe { borrow(echo, "echo") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { self::key(key, key_len) }?;
        let work = echo.work(perform, ctx)?;
        let fetched = echo.gate.call(|| echo.fetch(key, timeout(timeout_ns), work));
        let fetched = fetched.map_err(|error| explain(key.as_bytes(), error))?;
        places.write(fetched.value, fetched.status);
        Ok(DOCACHE_OK)
    })
}
