//! Family `loop`: counters, and the last failure.

use super::handle::docache_loop;
use crate::clock::saturating_nanos;
use crate::ffi::boundary::versioned::{self, Versioned};
use crate::ffi::boundary::{
    DOCACHE_MISS, DOCACHE_OK, Out, borrow, docache_error, docache_status, guard,
};

/// Counters since the loop cache was made.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_loop_counters {
    /// In: sizeof(docache_loop_counters), as the caller was compiled. Stays as it is.
    pub size: usize,
    /// Calls of the Doer that have ended.
    pub calls: u64,
    /// Those that failed or panicked.
    pub failures: u64,
    /// Those that panicked.
    pub panics: u64,
    /// Failures since the last success.
    pub consecutive_failures: u64,
    /// Ticks of a fixed rate that were left out because they had passed when a call ended.
    pub skipped_ticks: u64,
    /// How long the last call took.
    pub last_duration_ns: u64,
    /// How long after it was due the last call began.
    pub last_lateness_ns: u64,
    /// The greatest lateness of all calls.
    pub max_lateness_ns: u64,
    /// 1 while the loop is running.
    pub running: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: it is, it is, and all of its fields are numbers.
unsafe impl Versioned for docache_loop_counters {
    const NAME: &'static str = "docache_loop_counters";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_loop_counters>() == 80
            && offset_of!(docache_loop_counters, running) == 72
    );
};

/// Fills `out`; a part of it that this library does not know becomes zero. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_stats(
    handle: *const docache_loop,
    out: *mut docache_loop_counters,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(handle, "handle") }?;
        let make = |size| {
            let stats = handle.cache.stats();
            docache_loop_counters {
                size,
                calls: stats.calls,
                failures: stats.failures,
                panics: stats.panics,
                consecutive_failures: stats.consecutive_failures,
                skipped_ticks: stats.skipped_ticks,
                last_duration_ns: saturating_nanos(stats.last_duration),
                last_lateness_ns: saturating_nanos(stats.last_lateness),
                max_lateness_ns: saturating_nanos(stats.max_lateness),
                running: u32::from(stats.running),
                reserved: 0,
            }
        };
        // SAFETY: the caller's promise.
        unsafe { versioned::fill(out, make) }?;
        Ok(DOCACHE_OK)
    })
}

/// The last failure's error, also after later successes; MISS if there was none. The caller
/// releases it. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_last_error(
    handle: *const docache_loop,
    out: *mut *mut docache_error,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let Some(error) = unsafe { borrow(handle, "handle") }?.cache.stats().last_error else {
            return Ok(DOCACHE_MISS);
        };
        out.write(docache_error::into_handle(error));
        Ok(DOCACHE_OK)
    })
}
