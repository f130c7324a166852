//! Counters.

use super::handle::docache_scheduler;
use crate::clock::saturating_nanos;
use crate::ffi::boundary::versioned::{self, Versioned};
use crate::ffi::boundary::{DOCACHE_OK, borrow, docache_error, docache_status, guard};

/// What a scheduler has now, and counters since it was made.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_scheduler_counters {
    /// In: sizeof(docache_scheduler_counters), as the caller was compiled. Stays as it is.
    pub size: usize,
    /// Worker threads.
    pub workers: u64,
    /// Those that are in a callback.
    pub busy: u64,
    /// Loops and calls that are scheduled, including those that are called now.
    pub scheduled: u64,
    /// Calls that have ended, those of loops included.
    pub calls: u64,
    /// Callbacks that unwound, against their contract; those of loops are in docache_loop_counters.
    pub panics: u64,
    /// The greatest time by which a call began after it was due.
    pub max_lateness_ns: u64,
    /// How often something was due, and all workers had been in callbacks that did not return for
    /// longer than the grace.
    pub stuck: u64,
    /// Workers started because of that, beyond the usual number.
    pub grown: u64,
}

// SAFETY: it is, it is, and all of its fields are numbers.
unsafe impl Versioned for docache_scheduler_counters {
    const NAME: &'static str = "docache_scheduler_counters";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_scheduler_counters>() == 72
            && offset_of!(docache_scheduler_counters, grown) == 64
    );
};

/// Fills `out`; a part of it that this library does not know becomes zero. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_scheduler_stats(
    scheduler: *const docache_scheduler,
    out: *mut docache_scheduler_counters,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let scheduler = unsafe { borrow(scheduler, "scheduler") }?.scheduler();
        let make = |size| {
            let stats = scheduler.stats();
            docache_scheduler_counters {
                size,
                workers: stats.workers as u64,
                busy: stats.busy as u64,
                scheduled: stats.scheduled as u64,
                calls: stats.calls,
                panics: stats.panics,
                max_lateness_ns: saturating_nanos(stats.late),
                stuck: stats.stuck,
                grown: stats.grown,
            }
        };
        // SAFETY: the caller's promise.
        unsafe { versioned::fill(out, make) }?;
        Ok(DOCACHE_OK)
    })
}
