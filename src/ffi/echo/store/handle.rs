//! Family `store`: the handle.

use std::sync::Arc;

use super::any::AnyStore;
use crate::error::Result;
use crate::ffi::boundary::{borrow, is_usable, quietly};

/// A store: values by key, and a refresh lock for each key, so that of the processes which share it
/// one loads what is missing. Shared by reference counting; the count is atomic. Caches, and stores
/// that are made of others, have shares of their own, and give them back when they end.
///
/// What fails in a store fails no fetch that can be computed: see docache_echo_new.
#[derive(Debug)]
pub struct docache_store(AnyStore);

impl docache_store {
    pub(super) fn into_handle(store: AnyStore) -> *mut docache_store {
        Arc::into_raw(Arc::new(docache_store(store))).cast_mut()
    }

    /// A share of the store that a caller gave.
    ///
    /// # Safety
    /// HANDLE.
    pub(in crate::ffi::echo) unsafe fn share(
        store: *const docache_store,
        name: &str,
    ) -> Result<AnyStore> {
        // SAFETY: the caller's promise.
        Ok(unsafe { borrow(store, name) }?.0.clone())
    }
}

/// Takes one more share; returns its argument. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_store_retain(store: *const docache_store) -> *mut docache_store {
    if is_usable(store) {
        // SAFETY: HANDLE: the caller has a share.
        unsafe { Arc::increment_strong_count(store) };
    }
    store.cast_mut()
}

/// Gives a share back. With the last one the store goes, and with it what it keeps in memory. NULL
/// is fine. \[CB\] only `drop`
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_store_release(store: *const docache_store) {
    if is_usable(store) {
        // SAFETY: HANDLE: the share given back is the caller's.
        quietly((), || drop(unsafe { Arc::from_raw(store) }));
    }
}
