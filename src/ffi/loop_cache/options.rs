//! How a loop is to run.

use std::ffi::c_char;

use crate::ffi::boundary::versioned::Versioned;
use crate::ffi::logger::docache_logger;
use crate::ffi::scheduler::docache_scheduler;

/// A negative `timeout_ns`: no limit.
pub const DOCACHE_FOREVER: i64 = -1;
/// The interval counts from the end of the last call.
pub const DOCACHE_FIXED_DELAY: u32 = 0;
/// The interval counts from when the last call was due; ticks that pass during a call are skipped.
pub const DOCACHE_FIXED_RATE: u32 = 1;

/// How a loop cache is to run. Begin with DOCACHE_LOOP_OPTIONS_INIT and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_loop_options {
    /// sizeof(docache_loop_options), as the caller was compiled.
    pub size: usize,
    /// The time between calls. Required: 0 is refused.
    pub interval_ns: u64,
    /// How long after a start the first call comes; 0: at once.
    pub first_delay_ns: u64,
    /// Each wait is lengthened by a random time of up to this.
    pub jitter_ns: u64,
    /// How many results a snapshot shows at most; they take memory as they come. 0: snapshots are
    /// empty, and only the latest success is kept.
    pub capacity: usize,
    /// The thread's name, of which the system may show 15 bytes, and the target of log records;
    /// copied. "docache-loop" if `name_len` is 0.
    pub name: *const c_char,
    /// The length of `name`.
    pub name_len: usize,
    /// Who is told of failures, starts and stops, and, at DOCACHE_LEVEL_DEBUG, of each success; the
    /// loop takes a share of its own. NULL: nobody.
    pub logger: *mut docache_logger,
    /// DOCACHE_FIXED_DELAY or DOCACHE_FIXED_RATE.
    pub schedule: u32,
    /// 0.
    pub reserved: u32,
    /// What docache_loop_start runs the loop on, instead of a thread of its own; the loop takes a
    /// share. The Doer may then be called on different threads, one at a time. NULL: a thread.
    pub scheduler: *const docache_scheduler,
}

// SAFETY: it is, it is, and all of its fields are numbers and pointers.
unsafe impl Versioned for docache_loop_options {
    const NAME: &'static str = "docache_loop_options";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_loop_options>() == 80
            && offset_of!(docache_loop_options, interval_ns) == 8
    );
    assert!(
        offset_of!(docache_loop_options, name) == 40
            && offset_of!(docache_loop_options, schedule) == 64
            && offset_of!(docache_loop_options, scheduler) == 72
    );
};
