//! Family `run`: how groups and loops are to be.

use std::ffi::c_char;

use crate::ffi::boundary::versioned::Versioned;
use crate::ffi::logger::docache_logger;

/// A group stops when the first actor fails, or when all have returned.
pub const DOCACHE_STOP_ON_FAILURE: u32 = 0;
/// A group stops when the first actor returns, with an error or without.
pub const DOCACHE_STOP_ON_RETURN: u32 = 1;

/// How a group is to be. Begin with DOCACHE_RUN_GROUP_OPTIONS_INIT and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_run_group_options {
    /// sizeof(docache_run_group_options), as the caller was compiled.
    pub size: usize,
    /// The target of log records; copied. "docache-run" if `name_len` is 0.
    pub name: *const c_char,
    /// The length of `name`.
    pub name_len: usize,
    /// Who is told why the group stops, of failures, and of who has not stopped; the group takes a
    /// share of its own. NULL: nobody.
    pub logger: *mut docache_logger,
    /// How long the actors of each stage may take to stop, counted from their interrupts. 0: any
    /// time. See docache_run_group_stage_deadline.
    pub deadline_ns: u64,
    /// DOCACHE_STOP_ON_FAILURE or DOCACHE_STOP_ON_RETURN.
    pub stop_on: u32,
    /// 0.
    pub reserved: u32,
}

/// How a loop is to be. Begin with DOCACHE_RUN_LOOP_OPTIONS_INIT and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_run_loop_options {
    /// sizeof(docache_run_loop_options), as the caller was compiled.
    pub size: usize,
    /// The target of log records; copied. "docache-loop" if `name_len` is 0.
    pub name: *const c_char,
    /// The length of `name`.
    pub name_len: usize,
    /// As in docache_run_group_options.
    pub logger: *mut docache_logger,
    /// As in docache_run_group_options.
    pub deadline_ns: u64,
}

// SAFETY: it is, it is, and all of its fields are numbers and pointers.
unsafe impl Versioned for docache_run_group_options {
    const NAME: &'static str = "docache_run_group_options";
}

// SAFETY: as above.
unsafe impl Versioned for docache_run_loop_options {
    const NAME: &'static str = "docache_run_loop_options";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_run_group_options>() == 48
            && offset_of!(docache_run_group_options, stop_on) == 40
    );
    assert!(
        size_of::<docache_run_loop_options>() == 40
            && offset_of!(docache_run_loop_options, deadline_ns) == 32
    );
};

impl docache_run_group_options {
    /// All defaults.
    pub(super) fn defaults() -> docache_run_group_options {
        docache_run_group_options {
            size: size_of::<docache_run_group_options>(),
            name: std::ptr::null(),
            name_len: 0,
            logger: std::ptr::null_mut(),
            deadline_ns: 0,
            stop_on: DOCACHE_STOP_ON_FAILURE,
            reserved: 0,
        }
    }
}

impl docache_run_loop_options {
    /// All defaults.
    pub(super) fn defaults() -> docache_run_loop_options {
        docache_run_loop_options {
            size: size_of::<docache_run_loop_options>(),
            name: std::ptr::null(),
            name_len: 0,
            logger: std::ptr::null_mut(),
            deadline_ns: 0,
        }
    }
}
