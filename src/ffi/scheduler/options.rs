//! How a scheduler is to be.

use std::ffi::c_char;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::ffi::boundary::text;
use crate::ffi::boundary::versioned::Versioned;
use crate::run::Scheduler;

/// How a scheduler is to be. Begin with DOCACHE_SCHEDULER_OPTIONS_INIT and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_scheduler_options {
    /// sizeof(docache_scheduler_options), as the caller was compiled.
    pub size: usize,
    /// The name of the threads, of which the system may show 15 bytes; copied. "docache-sched" if
    /// `name_len` is 0.
    pub name: *const c_char,
    /// The length of `name`.
    pub name_len: usize,
    /// For how long all workers may be in callbacks while something is due, before they count as
    /// stuck and there is one more. 0: 20 ms.
    pub grace_ns: u64,
    /// How many threads there are at most while none of them is stuck. 0: 2.
    pub workers: usize,
    /// How many there may be when others are stuck, at least `workers`. A callback that stops or
    /// frees a loop on the same scheduler needs another worker to be there. 0: 64, or `workers` if
    /// that is more.
    pub max_workers: usize,
}

// SAFETY: it is, it is, and all of its fields are numbers and pointers.
unsafe impl Versioned for docache_scheduler_options {
    const NAME: &'static str = "docache_scheduler_options";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_scheduler_options>() == 48
            && offset_of!(docache_scheduler_options, workers) == 32
    );
};

/// # Safety
/// SPAN for what the options point to.
pub(super) unsafe fn build(options: Option<&docache_scheduler_options>) -> Result<Scheduler> {
    let mut builder = Scheduler::builder();
    let Some(options) = options else { return builder.build() };
    // SAFETY: the caller's promise.
    let name = unsafe { text(options.name, options.name_len, "options.name") }?;
    if name.contains('\0') {
        let given = format_args!("{name:?}");
        return Err(Error::invalid_argument("options.name", given, "give a name without NUL"));
    }
    if !name.is_empty() {
        builder = builder.name(name);
    }
    if options.grace_ns != 0 {
        builder = builder.grace(Duration::from_nanos(options.grace_ns));
    }
    if options.workers != 0 {
        builder = builder.workers(options.workers);
    }
    if options.max_workers != 0 {
        builder = builder.max_workers(options.max_workers);
    }
    builder.build()
}
