//! Family `cache`: reading. None of these waits for a writer or for another reader, but those that
//! say so.

use super::handle::docache_cache;
use crate::clock::saturating_nanos;
use crate::error::Error;
use crate::ffi::boundary::versioned::{self, Versioned};
use crate::ffi::boundary::{
    DOCACHE_MISS, DOCACHE_OK, Out, Spans, borrow, bytes, check, docache_bytes, docache_error,
    docache_status, guard, quietly, too_small,
};
use crate::ffi::store::Query;
use crate::ffi::value::{docache_value, start};

/// Counters of a cache since it was made. New ones are added at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_cache_counters {
    /// sizeof(docache_cache_counters), set by the caller.
    pub size: usize,
    /// Reads (get, try_get, get_many, fetch) that found something; 0 without
    /// DOCACHE_CACHE_RECORD_STATS.
    pub hits: u64,
    /// Reads that did not; 0 without DOCACHE_CACHE_RECORD_STATS.
    pub misses: u64,
    /// Loads that fetches ran, to their end.
    pub loads: u64,
    /// Those of them that failed, panicked or were given up by their callers.
    pub load_failures: u64,
    /// The time that loads took in all, by a clock of one millisecond.
    pub load_time_ns: u64,
    /// Fetches that shared what somebody else loaded.
    pub coalesced: u64,
    /// Values taken in.
    pub inserted: u64,
    /// Entries that left for DOCACHE_CAUSE_SIZE.
    pub evicted: u64,
    /// Entries that left for DOCACHE_CAUSE_EXPIRED.
    pub expired: u64,
    /// Entries that left for DOCACHE_CAUSE_REMOVED.
    pub removed: u64,
    /// Entries that left for DOCACHE_CAUSE_REPLACED.
    pub replaced: u64,
    /// Values that were not taken in: DOCACHE_CAUSE_REFUSED.
    pub refused: u64,
    /// Entries, those included that have expired and were not yet swept.
    pub len: u64,
    /// Their weight; without `max_weight`, their number.
    pub weight: u64,
    /// Entries that have left and whose values are not released yet, because readers may still see
    /// them or nobody came by.
    pub retired: u64,
    /// Bytes that the cache itself takes, without keys and values.
    pub memory: u64,
}

// SAFETY: it is, it is, and all of its fields are numbers.
unsafe impl Versioned for docache_cache_counters {
    const NAME: &'static str = "docache_cache_counters";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_cache_counters>() == 136
            && offset_of!(docache_cache_counters, len) == 104
    );
};

/// The copying form of docache_cache_get: writes the key's value to `buffer` and its length to
/// `out_len`. MISS if it is not there or has expired. BUFFER_TOO_SMALL if it is longer than
/// `capacity`: then only `out_len` is written. Lock-free, but for LRU. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_try_get(
    cache: *const docache_cache,
    key: *const u8,
    key_len: usize,
    buffer: *mut u8,
    capacity: usize,
    out_len: *mut usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let store = &unsafe { borrow(cache, "cache") }?.store;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        // SAFETY: the caller's promise.
        let out_len = unsafe { Out::required(out_len, "out_len") }?;
        if capacity > 0 {
            check(buffer, "buffer")?;
        }
        let found = store.with(Query::new(key), |value| {
            let found = value.bytes();
            out_len.write(found.len());
            if found.len() <= capacity {
                // SAFETY: SPAN: `buffer` has `capacity` bytes, and no value lies in a buffer that
                // the caller has written to.
                unsafe { std::ptr::copy_nonoverlapping(found.as_ptr(), buffer, found.len()) };
            }
            found.len()
        });
        match found {
            Some(len) if len > capacity => Err(too_small(capacity, len)),
            Some(_) => Ok(DOCACHE_OK),
            None => Ok(DOCACHE_MISS),
        }
    })
}

/// The key's value, shared, not copied: a share that the caller releases. MISS if it is not there
/// or has expired. Lock-free, but for LRU. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_get(
    cache: *const docache_cache,
    key: *const u8,
    key_len: usize,
    out_value: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out_value = unsafe { Out::handle(out_value, "out_value") }?;
        // SAFETY: the caller's promise.
        let store = &unsafe { borrow(cache, "cache") }?.store;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        let Some(value) = store.get(Query::new(key)) else { return Ok(DOCACHE_MISS) };
        out_value.write(value.into_ptr());
        Ok(DOCACHE_OK)
    })
}

/// OK if the key is there and has not expired, else MISS. Does not count as a use. Lock-free.
/// \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_contains(
    cache: *const docache_cache,
    key: *const u8,
    key_len: usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let store = &unsafe { borrow(cache, "cache") }?.store;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key, key_len, "key") }?;
        Ok(if store.contains_key(Query::new(key)) { DOCACHE_OK } else { DOCACHE_MISS })
    })
}

/// docache_cache_get for `count` keys, which may be 0: the array `out_values` of as many gets a
/// share of each value, which the caller releases, and NULL for what is not there; all NULL after a
/// negative status. How many there are goes to `out_found`, which may be NULL. OK, also if none is
/// there. Lock-free, but for LRU. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_get_many(
    cache: *const docache_cache,
    keys: *const docache_bytes,
    count: usize,
    out_values: *mut *mut docache_value,
    out_found: *mut usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let keys = unsafe { Spans::new(keys, count, "keys") };
        if count > 0 {
            check(out_values, "out_values")?;
        }
        if keys.is_ok() {
            for at in 0..count {
                // SAFETY: SPAN, for as many as there are keys.
                let place = unsafe { out_values.add(at) };
                // SAFETY: as above.
                unsafe { place.write(std::ptr::null_mut()) };
            }
        }
        let keys = keys?;
        // SAFETY: the caller's promise.
        let out_found = unsafe { Out::optional(out_found, "out_found") }?;
        // SAFETY: the caller's promise.
        let store = &unsafe { borrow(cache, "cache") }?.store;
        keys.check_each()?;
        let mut found = 0;
        for (at, key) in keys.iter().enumerate() {
            let Some(value) = store.get(Query::new(key)) else { continue };
            // SAFETY: SPAN, for as many as there are keys.
            let place = unsafe { out_values.add(at) };
            // SAFETY: as above.
            unsafe { place.write(value.into_ptr()) };
            found += 1;
        }
        if let Some(out) = out_found {
            out.write(found);
        }
        Ok(DOCACHE_OK)
    })
}

/// Looks at one entry, whose key and value are borrowed for the call. Anything but 0 ends the
/// visit. It may free the cache, which ends when the visit is over; the visit goes on until then.
pub type docache_visit_fn = Option<
    unsafe extern "C-unwind" fn(
        ctx: usize,
        key: *const u8,
        key_len: usize,
        value: *const docache_value,
    ) -> i32,
>;

/// Calls `visit` for each entry that has not expired, in no order, until it returns something else
/// than 0. It sees those that were there when this function was called; what is written meanwhile
/// it may see or not. No lock is held, so `visit` may use the cache. Takes time, and memory for
/// copies of the keys, in proportion to the entries. \[CB\]
///
/// # Safety
/// HANDLE, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_each(
    cache: *const docache_cache,
    visit: docache_visit_fn,
    ctx: usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let cache = unsafe { borrow(cache, "cache") }?;
        let visit =
            visit.ok_or_else(|| Error::invalid_argument("visit", "NULL", "give a function"))?;
        cache.during(|store| {
            for (key, value) in store.iter() {
                // SAFETY: CALLBACK; key and value live through the call.
                if unsafe { visit(ctx, start(&key), key.len(), value.as_ptr()) } != 0 {
                    break;
                }
            }
        })?;
        Ok(DOCACHE_OK)
    })
}

/// How many entries there are, those included that have expired and were not yet swept; 0 for NULL.
/// Takes short locks. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_len(cache: *const docache_cache) -> u64 {
    // SAFETY: the caller's promise.
    quietly(0, || unsafe { borrow(cache, "cache") }.map_or(0, |cache| cache.store.len() as u64))
}

/// The bytes of all keys and values if there is a `max_weight`, else the number of entries; 0 for
/// NULL. Takes short locks. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_weight(cache: *const docache_cache) -> u64 {
    // SAFETY: the caller's promise.
    quietly(0, || unsafe { borrow(cache, "cache") }.map_or(0, |cache| cache.store.weight()))
}

/// Fills `out`; a part of it that this library does not know becomes zero. Takes short locks.
/// \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_stats(
    cache: *const docache_cache,
    out: *mut docache_cache_counters,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let store = &unsafe { borrow(cache, "cache") }?.store;
        let make = |size| {
            let stats = store.stats();
            docache_cache_counters {
                size,
                hits: stats.hits,
                misses: stats.misses,
                loads: stats.loads,
                load_failures: stats.load_failures,
                load_time_ns: saturating_nanos(stats.load_time),
                coalesced: stats.coalesced,
                inserted: stats.inserted,
                evicted: stats.evicted,
                expired: stats.expired,
                removed: stats.removed,
                replaced: stats.replaced,
                refused: stats.refused,
                len: stats.len as u64,
                weight: stats.weight,
                retired: stats.retired as u64,
                memory: stats.memory as u64,
            }
        };
        // SAFETY: the caller's promise.
        unsafe { versioned::fill(out, make) }?;
        Ok(DOCACHE_OK)
    })
}
