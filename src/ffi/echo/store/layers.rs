//! Family `store`: stores around other stores.

use std::time::Duration;

use super::any::{AnyStore, Kind};
use super::{docache_store, length};
use crate::echo::{Breaker, TieredStore};
use crate::error::Error;
use crate::ffi::boundary::{DOCACHE_OK, Out, docache_error, docache_status, guard};

/// Makes a store of two: what the near one has is served from there and asks nobody else; the far
/// one has the truth, and the locks. What is found in the far one is copied into the near one for
/// `most_ns` at most: for so long this process may not see what another one writes or removes;
/// DOCACHE_NEVER is for as long as it lives. Writes go to the far store first. A near store that
/// fails is done without. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_store_tiered_new(
    near: *const docache_store,
    far: *const docache_store,
    most_ns: u64,
    out: *mut *mut docache_store,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let near = unsafe { docache_store::share(near, "near") }?;
        // SAFETY: the caller's promise.
        let far = unsafe { docache_store::share(far, "far") }?;
        if near.is(&far) {
            let (found, accepted) = ("the near store", "give another one, which has the locks");
            return Err(Error::invalid_argument("far", found, accepted));
        }
        if most_ns == 0 {
            let accepted = "give at least 1, or DOCACHE_NEVER";
            return Err(Error::invalid_argument("most_ns", 0, accepted));
        }
        let store = TieredStore::new(near, far, length(most_ns).unwrap_or(Duration::MAX));
        out.write(docache_store::into_handle(AnyStore::new(Kind::Tiered(store))));
        Ok(DOCACHE_OK)
    })
}

/// Makes a store that is not asked while it is known to be down: after `failures` in a row (0: 5)
/// calls fail at once, so that a fetch computes and pays next to nothing for the store; after
/// `pause_ns` (0: 500 ms) one call finds out whether it is back. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_store_breaker_new(
    store: *const docache_store,
    failures: u32,
    pause_ns: u64,
    out: *mut *mut docache_store,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let mut breaker = Breaker::new(unsafe { docache_store::share(store, "store") }?);
        if failures != 0 {
            breaker = breaker.failures(failures);
        }
        if pause_ns != 0 {
            breaker = breaker.pause(Duration::from_nanos(pause_ns));
        }
        out.write(docache_store::into_handle(AnyStore::new(Kind::Breaker(breaker))));
        Ok(DOCACHE_OK)
    })
}
