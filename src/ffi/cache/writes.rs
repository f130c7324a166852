//! Family `cache`: writing. Each write takes a short lock.

use super::handle::docache_cache;
use super::ttl::ttl;
use crate::error::Error;
use crate::ffi::boundary::{
    DOCACHE_MISS, DOCACHE_OK, DOCACHE_PENDING, Out, Spans, borrow, bytes, check, docache_bytes,
    docache_error, docache_status, guard,
};
use crate::ffi::store::{Key, Query, Store};
use crate::ffi::value::{Value, docache_value, share_value};

/// Puts a copy of `len` bytes in, to live for `ttl_ns`: 0 is the cache's own time, DOCACHE_NEVER
/// for ever. An earlier value of the key is replaced; what is being fetched for the key meanwhile
/// goes to those who asked and is not kept. INVALID_ARGUMENT also if the value is heavier than a
/// shard's part of `max_weight`: then the earlier one is gone as well. \[CB\] `on_evict` and `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_set(
    cache: *const docache_cache,
    key: *const u8,
    key_len: usize,
    data: *const u8,
    len: usize,
    ttl_ns: u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let cache = unsafe { borrow(cache, "cache") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        // SAFETY: the caller's promise.
        let data = unsafe { bytes(data, len, "data") }?;
        let value = Value::copy(data)?;
        cache.write(|store| store.try_put(key.into(), value, ttl(ttl_ns)))?;
        Ok(DOCACHE_OK)
    })
}

/// docache_cache_set of a value that is shared instead of copied: the cache takes a share of its
/// own. \[CB\] `on_evict` and `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_set_value(
    cache: *const docache_cache,
    key: *const u8,
    key_len: usize,
    value: *const docache_value,
    ttl_ns: u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let cache = unsafe { borrow(cache, "cache") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        check(value, "value")?;
        // SAFETY: HANDLE, not NULL.
        let value = unsafe { share_value(value) };
        cache.write(|store| store.try_put(key.into(), value, ttl(ttl_ns)))?;
        Ok(DOCACHE_OK)
    })
}

/// docache_cache_set for `count` keys and as many values, in their order: of several with one key
/// the last stays. More keys than the cache has shards cost less than as many calls: a lock is
/// taken for up to 6 of them at a time, and other threads may see a later key of the list before an
/// earlier one. INVALID_ARGUMENT if a value is too heavy: the others have been put in all the same,
/// and the error names the first; for any other reason: nothing has happened. INTERNAL if there is
/// no memory for a value: those before it have been put in. \[CB\] `on_evict` and `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_set_many(
    cache: *const docache_cache,
    keys: *const docache_bytes,
    values: *const docache_bytes,
    count: usize,
    ttl_ns: u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let cache = unsafe { borrow(cache, "cache") }?;
        // SAFETY: the caller's promise.
        let keys = unsafe { Spans::new(keys, count, "keys") }?;
        // SAFETY: the caller's promise.
        let values = unsafe { Spans::new(values, count, "values") }?;
        keys.check_each()?;
        values.check_each()?;
        let mut copied = Ok(());
        let pairs = keys.iter().zip(values.iter()).map_while(|(key, value)| {
            let value = Value::copy(value).map_err(|error| copied = Err(error)).ok()?;
            Some((Key::from(key), value))
        });
        let put = cache.write(|store| store.try_put_many(pairs, ttl(ttl_ns)));
        copied?;
        let refused = |(at, error): (usize, Error)| {
            Error::new(error.kind(), format!("values[{at}]: {error}"))
        };
        put.map(|()| DOCACHE_OK).map_err(refused)
    })
}

/// Takes the key out. OK if it was there and had not expired, else MISS. A share of the value goes
/// to `out_value`, which may be NULL. A failure that is kept for the key is forgotten as well, and
/// what is being fetched for it meanwhile goes to those who asked and is not kept. \[CB\]
/// `on_evict` and `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_remove(
    cache: *const docache_cache,
    key: *const u8,
    key_len: usize,
    out_value: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out_value = unsafe { Out::optional(out_value, "out_value") }?;
        if let Some(out) = &out_value {
            out.write(std::ptr::null_mut());
        }
        // SAFETY: the caller's promise.
        let cache = unsafe { borrow(cache, "cache") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        let removed = cache.write(|store| store.remove(Query::new(key)));
        let Some(value) = removed else { return Ok(DOCACHE_MISS) };
        if let Some(out) = out_value {
            out.write(value.into_ptr());
        }
        Ok(DOCACHE_OK)
    })
}

/// docache_cache_remove for `count` keys, which may be 0. OK, also if none was there; how many were
/// goes to `out_removed`, which may be NULL. \[CB\] `on_evict` and `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_remove_many(
    cache: *const docache_cache,
    keys: *const docache_bytes,
    count: usize,
    out_removed: *mut usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out_removed = unsafe { Out::optional(out_removed, "out_removed") }?;
        // SAFETY: the caller's promise.
        let cache = unsafe { borrow(cache, "cache") }?;
        // SAFETY: the caller's promise.
        let keys = unsafe { Spans::new(keys, count, "keys") }?;
        keys.check_each()?;
        let removed =
            cache.write(|store| keys.iter().map(|key| store.remove_many(&[Query::new(key)])).sum());
        if let Some(out) = out_removed {
            out.write(removed);
        }
        Ok(DOCACHE_OK)
    })
}

/// Takes everything out, and forgets the failures that are kept. What is being fetched meanwhile
/// goes to those who asked and is not kept. \[CB\] `on_evict` and `drop`
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_clear(
    cache: *const docache_cache,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        unsafe { borrow(cache, "cache") }?.write(Store::clear);
        Ok(DOCACHE_OK)
    })
}

/// Takes out what has expired, as the sweep does from time to time. How much that was goes to
/// `out_purged`, which may be NULL. \[CB\] `on_evict` and `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_purge_expired(
    cache: *const docache_cache,
    out_purged: *mut usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out_purged = unsafe { Out::optional(out_purged, "out_purged") }?;
        // SAFETY: the caller's promise.
        let purged = unsafe { borrow(cache, "cache") }?.write(Store::purge_expired);
        if let Some(out) = out_purged {
            out.write(purged);
        }
        Ok(DOCACHE_OK)
    })
}

/// Releases the values that were taken out and that no reader can see any more. PENDING if readers
/// still hold some. \[CB\] `drop`
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_flush(
    cache: *const docache_cache,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let flushed = unsafe { borrow(cache, "cache") }?.write(Store::flush);
        Ok(if flushed { DOCACHE_OK } else { DOCACHE_PENDING })
    })
}
