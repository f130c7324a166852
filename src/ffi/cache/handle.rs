//! Family `cache`: the life of a cache.

use std::sync::Arc;

use super::listener::{docache_evict_fn, number_of};
use super::options::{builder_of_defaults, configure, docache_cache_options};
use crate::error::{Error, ErrorKind, Result};
use crate::ffi::boundary::{
    DOCACHE_OK, Out, Registration, docache_drop_fn, docache_error, docache_status, guard,
    is_usable, quietly, versioned,
};
use crate::ffi::call::{Lanes, Source, docache_call};
use crate::ffi::gate::Gate;
use crate::ffi::store::Store;
use crate::ffi::value::{any_wraps, start};

/// A keyed cache with expiry, whose reads never wait. Those who fetch the same missing key at the
/// same time share one run of the work.
///
/// Keys are bytes, of which the library keeps copies; values are shared, not copied. A value that
/// was removed, replaced or evicted is released by a later write to the cache, by its sweep, by
/// docache_cache_flush or with the cache: never by a read.
pub struct docache_cache {
    pub(super) store: Store,
    pub(super) lanes: Lanes<docache_call>,
    gate: Arc<Gate>,
    listened: bool,
}

impl docache_cache {
    /// Does a write, which may call the listener, or a value's `drop`, and these may free the
    /// cache.
    #[inline]
    pub(super) fn write<R>(&self, write: impl FnOnce(&Store) -> R) -> R {
        if self.listened || any_wraps() {
            self.gate.call(|| write(&self.store))
        } else {
            write(&self.store)
        }
    }

    /// Does what calls back.
    pub(super) fn during<R>(&self, f: impl FnOnce(&Store) -> R) -> Result<R> {
        let freed = || Error::new(ErrorKind::Closed, "the cache was freed");
        self.gate.during(|| f(&self.store)).ok_or_else(freed)
    }
}

impl std::fmt::Debug for docache_cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("docache_cache").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Makes a cache. `options` may be NULL: all defaults, so entries live for 15 minutes and there is
/// no limit; nothing that they point to is needed afterwards. `on_evict` may be NULL, and so may
/// `drop`; `drop(ctx)` is called exactly once, when the cache is gone or when this function fails.
/// INTERNAL if the machine refuses something. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_new(
    options: *const docache_cache_options,
    on_evict: docache_evict_fn,
    ctx: usize,
    drop: docache_drop_fn,
    out: *mut *mut docache_cache,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let registration = Registration { ctx, drop };
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let mut builder = match unsafe { versioned::optional(options) }? {
            Some(options) => configure(&options)?,
            None => builder_of_defaults(),
        };
        let gate = Gate::new();
        let registration = Arc::new(registration);
        gate.keep(registration.clone());
        if let Some(on_evict) = on_evict {
            let gate = gate.clone();
            builder = builder.on_evict(move |key, value, cause| {
                let ctx = registration.ctx;
                // SAFETY: CALLBACK; what is borrowed lives through the call.
                gate.during(|| unsafe {
                    on_evict(ctx, start(key), key.len(), value.as_ptr(), number_of(cause));
                });
            });
        }
        let around = gate.clone();
        builder = builder.around_background(move |pass| {
            around.during(pass);
        });
        let store = builder.build()?;
        let lanes = Lanes::new(&Source::Cache(store.clone()));
        let listened = on_evict.is_some();
        out.write(Box::into_raw(Box::new(docache_cache { store, lanes, gate, listened })));
        Ok(DOCACHE_OK)
    })
}

/// Frees the handle, and with it the cache and its shares of values, without telling `on_evict`.
/// Waits for a sweep under way on another thread; so when this has returned `on_evict` is not being
/// called, nor will be, its `drop` has been called, and the cache's shares are given back. Inside a
/// callback of the cache's own (`on_evict`, the `perform` of a docache_cache_fetch, the `visit` of
/// a docache_cache_each, and the `drop` of a value that the cache lets go) it returns at once, and
/// all that happens when the outermost call on the cache, or the sweep, is over that the callback
/// came from. Inside callbacks of other objects it waits, unless the thread that it waits for is
/// freeing that object.
///
/// Calls of docache_cache_fetch_begin that are out are the exception: they stay valid and go on
/// among themselves, with their notifications. They tell `on_evict` nothing, but its `drop`, and
/// that of values, then waits for the last of them to be freed, and not this function. NULL is
/// fine. \[CB\] only `drop` \[BLK\]
///
/// # Safety
/// HANDLE; nothing else may be going on with the handle, but calls from inside of which it is
/// freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_free(cache: *mut docache_cache) {
    if is_usable(cache) {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        let owned = unsafe { Box::from_raw(cache) };
        quietly((), || owned.gate.clone().close(owned));
    }
}
