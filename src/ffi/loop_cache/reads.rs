//! Family `loop`: reading. None of these waits for the Doer, for a lock or for another reader.

use std::ptr;
use std::sync::Arc;
use std::time::SystemTime;

use super::handle::docache_loop;
use crate::clock::{Tick, saturating_nanos};
use crate::error::Error;
use crate::ffi::boundary::{
    DOCACHE_DOER_FAILED, DOCACHE_MISS, DOCACHE_OK, DOCACHE_PANIC, Out, borrow, check,
    docache_error, docache_status, guard, is_usable, quietly, too_small,
};
use crate::ffi::value::{Value, docache_value};
use crate::loop_cache::{LoopEntry, Snapshot};

/// One result of a Doer. The layout never changes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_entry {
    /// 1 for the loop cache's first result, then one more each; also the version that published it.
    pub sequence: u64,
    /// The wall clock when the Doer's call began, in nanoseconds since the Unix epoch.
    pub timestamp_ns: i64,
    /// How long the Doer took.
    pub duration_ns: u64,
    /// The monotonic time since the Doer's call began: how old the data is at most.
    pub age_ns: u64,
    /// The value, borrowed; NULL unless `status` is OK.
    pub value: *const docache_value,
    /// The error, borrowed; NULL if `status` is OK.
    pub error: *const docache_error,
    /// OK, DOER_FAILED, or PANIC.
    pub status: docache_status,
    /// 0.
    pub reserved: u32,
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<docache_entry>() == 56 && offset_of!(docache_entry, value) == 32);
    assert!(offset_of!(docache_entry, status) == 48 && offset_of!(docache_entry, age_ns) == 24);
};

/// An immutable view of the results that a loop cache kept at one moment, oldest first. Shared by
/// reference counting; the count is atomic. It keeps its values and errors valid, also when the
/// loop cache is gone.
#[derive(Debug)]
pub struct docache_snapshot {
    snapshot: Snapshot<Value>,
    /// The loop cache's time when the snapshot was taken: ages count up to it.
    taken: Tick,
}

fn unix_nanos(time: SystemTime) -> i64 {
    let nanos = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i128::try_from(after.as_nanos()).unwrap_or(i128::MAX),
        Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
    };
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

fn export(entry: &LoopEntry<Value>, now: Tick) -> docache_entry {
    let (value, error, status) = match entry.result() {
        Ok(value) => (value.as_ptr(), ptr::null(), DOCACHE_OK),
        Err(error) => {
            let status = if error.is_panicked() { DOCACHE_PANIC } else { DOCACHE_DOER_FAILED };
            (ptr::null(), error.as_ptr().cast(), status)
        }
    };
    docache_entry {
        sequence: entry.sequence(),
        timestamp_ns: unix_nanos(entry.timestamp()),
        duration_ns: saturating_nanos(entry.duration()),
        age_ns: saturating_nanos(entry.age_at(now)),
        value,
        error,
        status,
        reserved: 0,
    }
}

/// The last success: its value, whose share the caller releases, and in `out_entry`, which may be
/// NULL, what is known of it. MISS before the first. Lock-free. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_latest(
    handle: *const docache_loop,
    out_value: *mut *mut docache_value,
    out_entry: *mut docache_entry,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out_value = unsafe { Out::handle(out_value, "out_value") }?;
        // SAFETY: the caller's promise.
        let out_entry = unsafe { Out::optional(out_entry, "out_entry") }?;
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(handle, "handle") }?;
        let Some(reading) = handle.cache.latest() else { return Ok(DOCACHE_MISS) };
        if let Some(out) = out_entry {
            out.write(export(reading.entry(), handle.cache.now()));
        }
        out_value.write((*reading).clone().into_ptr());
        Ok(DOCACHE_OK)
    })
}

/// Copies the bytes of the last success into `buffer` and their number into `out_len`. MISS before
/// the first. BUFFER_TOO_SMALL if there are more than `capacity`: then only `out_len` is written.
/// `out_entry` may be NULL; its pointers are NULL here. Lock-free. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_latest_copy(
    handle: *const docache_loop,
    buffer: *mut u8,
    capacity: usize,
    out_len: *mut usize,
    out_entry: *mut docache_entry,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(handle, "handle") }?;
        // SAFETY: the caller's promise.
        let out_len = unsafe { Out::required(out_len, "out_len") }?;
        // SAFETY: the caller's promise.
        let out_entry = unsafe { Out::optional(out_entry, "out_entry") }?;
        if buffer.is_null() && capacity > 0 {
            return Err(Error::invalid_argument(
                "buffer",
                "NULL",
                "give a buffer, or a capacity of 0",
            ));
        }
        let Some(reading) = handle.cache.latest() else { return Ok(DOCACHE_MISS) };
        let bytes = reading.bytes();
        out_len.write(bytes.len());
        if bytes.len() > capacity {
            return Err(too_small(capacity, bytes.len()));
        }
        // SAFETY: SPAN: `buffer` has `capacity` bytes, and no value lies in a buffer of the
        // caller's.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, bytes.len()) };
        if let Some(out) = out_entry {
            out.write(docache_entry {
                value: ptr::null(),
                ..export(reading.entry(), handle.cache.now())
            });
        }
        Ok(DOCACHE_OK)
    })
}

/// Takes a snapshot: O(1), sharing the results and not copying them. Lock-free. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_snapshot(
    handle: *const docache_loop,
    out: *mut *mut docache_snapshot,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(handle, "handle") }?;
        let snapshot =
            docache_snapshot { snapshot: handle.cache.snapshot(), taken: handle.cache.now() };
        out.write(Arc::into_raw(Arc::new(snapshot)).cast_mut());
        Ok(DOCACHE_OK)
    })
}

/// Takes one more share; returns its argument. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_snapshot_retain(
    snapshot: *const docache_snapshot,
) -> *mut docache_snapshot {
    if is_usable(snapshot) {
        // SAFETY: HANDLE: the caller has a share.
        unsafe { Arc::increment_strong_count(snapshot) };
    }
    snapshot.cast_mut()
}

/// Gives a share back. With the last one, results that nobody else has are released. NULL is fine.
/// \[CB\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_snapshot_release(snapshot: *const docache_snapshot) {
    if is_usable(snapshot) {
        // SAFETY: HANDLE: the share given back is the caller's.
        quietly((), || drop(unsafe { Arc::from_raw(snapshot) }));
    }
}

/// How many results there are; 0 for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_snapshot_len(snapshot: *const docache_snapshot) -> usize {
    // SAFETY: the caller's promise.
    unsafe { borrow(snapshot, "snapshot") }.map_or(0, |snapshot| snapshot.snapshot.len())
}

/// The version that the snapshot shows; 0 for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_snapshot_version(snapshot: *const docache_snapshot) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { borrow(snapshot, "snapshot") }.map_or(0, |snapshot| snapshot.snapshot.version())
}

/// Copies up to `count` entries from the `first` on, oldest first, into the array `out`, and their
/// number into `out_count`. Their values and errors are borrowed from the snapshot; their ages
/// count up to when it was taken. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_snapshot_read(
    snapshot: *const docache_snapshot,
    first: usize,
    out: *mut docache_entry,
    count: usize,
    out_count: *mut usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let snapshot = unsafe { borrow(snapshot, "snapshot") }?;
        // SAFETY: the caller's promise.
        let out_count = unsafe { Out::required(out_count, "out_count") }?;
        if count > 0 {
            check(out, "out")?;
        }
        let len = snapshot.snapshot.len();
        if first > len {
            return Err(Error::invalid_argument(
                "first",
                first,
                &format!("give 0 to {len}, the length"),
            ));
        }
        let entries = snapshot.snapshot.iter().skip(first).take(count);
        let written = entries.len();
        for (at, entry) in entries.enumerate() {
            let exported = export(entry, snapshot.taken);
            // SAFETY: SPAN: `at` is below `count`.
            let place = unsafe { out.add(at) };
            // SAFETY: as above.
            unsafe { place.write(exported) };
        }
        out_count.write(written);
        Ok(DOCACHE_OK)
    })
}

/// How many results have been published; 0 for NULL. Wait-free. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_version(handle: *const docache_loop) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { borrow(handle, "handle") }.map_or(0, |handle| handle.cache.version())
}

/// The version word itself, so that a binding can keep its own copy of the latest value and cross
/// the boundary only when there is a newer one. Load it atomically with acquire ordering; never
/// write it. Valid until the loop cache is freed. NULL for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_version_word(handle: *const docache_loop) -> *const u64 {
    // SAFETY: the caller's promise.
    unsafe { borrow(handle, "handle") }.map_or(ptr::null(), |handle| handle.cache.version_word())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_of_a_wall_clock_counts_from_the_epoch_either_way() {
        let (epoch, span) = (SystemTime::UNIX_EPOCH, Duration::from_nanos(1_700));
        assert_eq!([epoch + span, epoch, epoch - span].map(unix_nanos), [1_700, 0, -1_700]);
        let far = Duration::from_secs(1 << 40);
        assert_eq!([epoch + far, epoch - far].map(unix_nanos), [i64::MAX, i64::MIN]);
    }
}
