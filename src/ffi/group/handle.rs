//! Family `group`: the life of a group.

use std::sync::Arc;

use crate::error::Error;
use crate::ffi::boundary::versioned::{self, Versioned};
use crate::ffi::boundary::{
    DOCACHE_OK, Out, docache_error, docache_status, guard, is_usable, quietly,
};
use crate::ffi::call::{Lanes, Source, docache_call};
use crate::ffi::gate::Gate;
use crate::ffi::value::Value;
use crate::flight::{KeyedGroup, MAX_SHARDS};

/// A group: callers who want the same thing for the same key share one run of the work. Nothing is
/// kept: a call after a run's end begins a new run.
pub struct docache_group {
    pub(super) flights: Arc<KeyedGroup<[u8], Value, Error>>,
    pub(super) lanes: Lanes<docache_call>,
    pub(super) gate: Arc<Gate>,
}

impl std::fmt::Debug for docache_group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("docache_group").field("flights", &self.flights).finish_non_exhaustive()
    }
}

/// How a group is to be. Begin with DOCACHE_GROUP_OPTIONS_INIT and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_group_options {
    /// sizeof(docache_group_options), as the caller was compiled.
    pub size: usize,
    /// Over how many locks the runs are spread, up to 65,536; 0: sixteen for each processor.
    pub shards: usize,
    /// 0.
    pub reserved: u32,
    /// 0.
    pub reserved2: u32,
}

// SAFETY: it is, it is, and all of its fields are numbers.
unsafe impl Versioned for docache_group_options {
    const NAME: &'static str = "docache_group_options";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_group_options>() == 24 && offset_of!(docache_group_options, shards) == 8
    );
    assert!(
        offset_of!(docache_group_options, reserved) == 16
            && offset_of!(docache_group_options, reserved2) == 20
    );
};

/// Makes a group. `options` may be NULL: all defaults. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_group_new(
    options: *const docache_group_options,
    out: *mut *mut docache_group,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        let mut builder = KeyedGroup::builder();
        // SAFETY: the caller's promise.
        if let Some(options) = unsafe { versioned::optional(options) }? {
            versioned::reserved("options.reserved", options.reserved)?;
            versioned::reserved("options.reserved2", options.reserved2)?;
            versioned::shards(options.shards, MAX_SHARDS)?;
            if options.shards != 0 {
                builder = builder.shards(options.shards);
            }
        }
        let flights = Arc::new(builder.build()?);
        let lanes = Lanes::new(&Source::Group(flights.clone()));
        out.write(Box::into_raw(Box::new(docache_group { flights, lanes, gate: Gate::new() })));
        Ok(DOCACHE_OK)
    })
}

/// Frees the handle. Inside `perform` of a docache_group_run of its own it returns at once; that
/// run's outcome goes to all who wait for it, and the group ends when the last of their calls is
/// over. No other docache_group_run may be under way. Calls of docache_group_begin that are out
/// stay valid, and go on among themselves, with their notifications. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE; nothing else may be going on with the handle, but calls from inside of which it is
/// freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_group_free(group: *mut docache_group) {
    if is_usable(group) {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        let owned = unsafe { Box::from_raw(group) };
        quietly((), || owned.gate.clone().close(owned));
    }
}
