//! Family `echo`: writing.

use super::fetch::checked;
use super::handle::{Kind, docache_echo};
use super::key;
use crate::echo::{StoreError, StoreErrorKind};
use crate::error::{Error, ErrorKind};
use crate::ffi::boundary::{DOCACHE_OK, borrow, check, docache_error, docache_status, guard};
use crate::ffi::value::{docache_value, share_value};

/// Why a store could not do what it was asked.
fn store_failed(error: StoreError) -> Error {
    let kind = match error.kind() {
        StoreErrorKind::Timeout => ErrorKind::Timeout,
        StoreErrorKind::Panicked => ErrorKind::Panicked,
        _ => ErrorKind::Failed,
    };
    Error::with(kind, error.to_string(), Some(Box::new(error)))
}

/// Puts a value into the store, which takes a share of it or writes its bytes, as if it had just
/// been loaded: it lives, and is refreshed, as that would be. What is being loaded for the key
/// meanwhile, in any process, goes to those who asked and is not kept. INVALID_ARGUMENT also if the
/// store keeps JSON and the value is none. DOER_FAILED, TIMEOUT after the time for the store, or
/// PANIC if the store could not do it: the value may be there or not. \[CB\] callbacks of a store,
/// and `drop` \[BLK\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_put(
    echo: *const docache_echo,
    key: *const u8,
    key_len: usize,
    value: *const docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let echo = unsafe { borrow(echo, "echo") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { self::key(key, key_len) }?;
        check(value, "value")?;
        // SAFETY: HANDLE, not NULL.
        let value = checked(unsafe { share_value(value) }, echo.common.wants_json)?;
        let put = echo.gate.call(|| match &echo.kind {
            Kind::Memo(memo) => memo.put(key, &value),
            Kind::Lazy(lazy) => lazy.put(key, &value),
        });
        put.map_err(store_failed)?;
        Ok(DOCACHE_OK)
    })
}

/// Takes the key out of the store, also if it was not there. What is being loaded for it meanwhile,
/// in any process, goes to those who asked and is not kept, and whoever asks from now on gets
/// another load. Fails as docache_echo_put. \[CB\] callbacks of a store, and `drop` \[BLK\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_remove(
    echo: *const docache_echo,
    key: *const u8,
    key_len: usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let echo = unsafe { borrow(echo, "echo") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { self::key(key, key_len) }?;
        let removed = echo.gate.call(|| match &echo.kind {
            Kind::Memo(memo) => memo.remove(key),
            Kind::Lazy(lazy) => lazy.remove(key),
        });
        removed.map_err(store_failed)?;
        Ok(DOCACHE_OK)
    })
}
