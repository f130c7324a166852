//! Family `cache`: fetching what is not there, and beginning to; that goes on in `call`.

use super::handle::docache_cache;
use super::ttl::ttl;
use crate::ffi::boundary::{
    DOCACHE_OK, Out, borrow, bytes, docache_error, docache_status, guard, timeout,
};
use crate::ffi::call::{Begun, LoadOptions, begin, docache_call};
use crate::ffi::perform::{self, docache_perform_fn, explain};
use crate::ffi::store::{Query, Store};
use crate::ffi::value::docache_value;

/// The key's value: a share, which the caller releases. If it is not there, runs `perform(ctx,
/// ...)` on this thread and keeps what that returns for `ttl_ns` (0 is the cache's own time,
/// DOCACHE_NEVER for ever), or waits for the run of the key that is under way and shares its
/// outcome; the value is then kept for the `ttl_ns` of the call that leads. DOER_FAILED or PANIC
/// with the error that the run reported, which all of its callers share; with `negative_ttl_ns` a
/// failure is kept for that time, a panic is not. TIMEOUT: the run is not over after `timeout_ns`,
/// and goes on without this caller. The time limits only waiting for others: a call that leads runs
/// `perform` to its end. REENTRANT inside `perform` of the same key. A thread whose call of a
/// `_begin` leads must not wait for that key with the blocking form: that is a deadlock, which is
/// not detected. What is written, removed or cleared while `perform` runs wins: the callers get
/// what they fetched, the cache does not keep it. \[CB\] \[BLK\]
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_fetch(
    cache: *const docache_cache,
    key: *const u8,
    key_len: usize,
    ttl_ns: u64,
    timeout_ns: i64,
    perform: docache_perform_fn,
    ctx: usize,
    out_value: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out_value = unsafe { Out::handle(out_value, "out_value") }?;
        // SAFETY: the caller's promise.
        let cache = unsafe { borrow(cache, "cache") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        let perform = perform::required(perform)?;
        let hash = match cache.store.get_or_hash(Query::new(key)) {
            Ok(value) => {
                out_value.write(value.into_ptr());
                return Ok(DOCACHE_OK);
            }
            Err(hash) => hash,
        };
        // SAFETY: CALLBACK.
        let work = || unsafe { perform::call(perform, ctx) }.map_err(perform::into_error);
        let load = |store: &Store| {
            store.load_within(timeout(timeout_ns), (hash, &key.into()), ttl(ttl_ns), work)
        };
        let fetched = cache.during(load)?;
        out_value.write(fetched.map_err(|error| explain(key, error))?.into_ptr());
        Ok(DOCACHE_OK)
    })
}

/// Begins a fetch without blocking. OK: the value, a share that the caller releases; there is no
/// call. LEADER, with a call: nobody is fetching the key; do the work, then docache_call_finish,
/// which puts the value into the cache for `ttl_ns` and notifies the others. PENDING, with a call:
/// somebody is; see docache_call_on_ready and docache_call_poll, which may say LEADER later.
/// DOER_FAILED: a failure that the cache keeps (`negative_ttl_ns`); there is no call, as with any
/// other status. `owner` names the caller, by a number that no other caller has at the time; 0:
/// nobody. REENTRANT if a call of the same owner (not 0) leads, or inside `perform` of the same
/// key. A thread whose call of a `_begin` leads must not wait for that key with the blocking form:
/// that is a deadlock, which is not detected. Calls of docache_cache_fetch share their runs with
/// these. The caller frees the call. \[CB\] others' `notify`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_fetch_begin(
    cache: *const docache_cache,
    key: *const u8,
    key_len: usize,
    ttl_ns: u64,
    owner: u64,
    out_value: *mut *mut docache_value,
    out_call: *mut *mut docache_call,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out_value = unsafe { Out::handle(out_value, "out_value") };
        // SAFETY: the caller's promise.
        let out_call = unsafe { Out::handle(out_call, "out_call") };
        // Both handles are NULL by now, whichever place is none.
        let (out_value, out_call) = (out_value?, out_call?);
        // SAFETY: the caller's promise.
        let cache = unsafe { borrow(cache, "cache") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        let begun = match cache.store.get_or_hash(Query::new(key)) {
            Ok(value) => Begun::Value(value),
            Err(hash) => {
                let options = LoadOptions { hash, ttl: ttl(ttl_ns) };
                begin(cache.lanes.lane(key), key, owner, options)?
            }
        };
        Ok(match begun {
            Begun::Value(value) => {
                out_value.write(value.into_ptr());
                DOCACHE_OK
            }
            Begun::Call(call, status) => {
                out_call.write(call);
                status
            }
        })
    })
}
