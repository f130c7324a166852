//! Family `store`: a store that is the user's own, by a table of callbacks.

use super::any::{AnyStore, Kind};
use super::callbacks::docache_store_callbacks;
use super::custom_call::{Calls, CustomStore};
use super::docache_store;
use crate::error::{Error, Result};
use crate::ffi::boundary::{
    DOCACHE_OK, Out, Registration, docache_drop_fn, docache_error, docache_status, guard, versioned,
};

fn checked(given: &docache_store_callbacks) -> Result<Calls> {
    fn there<F>(function: Option<F>, name: &str) -> Result<F> {
        let missing =
            || Error::invalid_argument(&format!("callbacks.{name}"), "NULL", "give a function");
        function.ok_or_else(missing)
    }
    Ok(Calls {
        get: there(given.get, "get")?,
        begin_refresh: there(given.begin_refresh, "begin_refresh")?,
        renew: there(given.renew, "renew")?,
        finish_refresh: there(given.finish_refresh, "finish_refresh")?,
        abandon_refresh: there(given.abandon_refresh, "abandon_refresh")?,
        put: there(given.put, "put")?,
        remove: there(given.remove, "remove")?,
    })
}

/// Makes a store of callbacks. `drop` may be NULL; `drop(ctx)` is called exactly once, when nobody
/// has the store any more or when this function fails. When docache_echo_free of the last cache
/// that uses it has returned, none of the callbacks is being called for that. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_store_custom_new(
    callbacks: *const docache_store_callbacks,
    ctx: usize,
    drop: docache_drop_fn,
    out: *mut *mut docache_store,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let registration = Registration { ctx, drop };
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let calls = checked(&unsafe { versioned::read(callbacks) }?)?;
        let store = CustomStore::new(calls, registration);
        out.write(docache_store::into_handle(AnyStore::new(Kind::Custom(store))));
        Ok(DOCACHE_OK)
    })
}
