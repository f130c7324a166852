//! Family `run`: how long to wait before another try.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::ffi::boundary::versioned::{self, Versioned};
use crate::run::Backoff;

/// The longest delay doubles with every failure in a row.
pub const DOCACHE_BACKOFF_DOUBLING: u32 = 0;
/// The longest delay is always the same.
pub const DOCACHE_BACKOFF_CONSTANT: u32 = 1;
/// DOCACHE_JITTER_FULL for a backoff that doubles, DOCACHE_JITTER_NONE for a constant one.
pub const DOCACHE_JITTER_DEFAULT: u32 = 0;
/// Each delay is the longest that it may be.
pub const DOCACHE_JITTER_NONE: u32 = 1;
/// Each delay is drawn at random from 0 up to the longest that it may be, so that those who failed
/// together do not try again together.
pub const DOCACHE_JITTER_FULL: u32 = 2;

/// How the delays between tries grow. Begin with DOCACHE_BACKOFF_INIT and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_backoff {
    /// sizeof(docache_backoff), as the caller was compiled.
    pub size: usize,
    /// The longest delay after the first failure. Required: 0 is refused.
    pub first_ns: u64,
    /// The longest that there may ever be, at least `first_ns`. 0: no limit.
    pub most_ns: u64,
    /// DOCACHE_BACKOFF_DOUBLING or DOCACHE_BACKOFF_CONSTANT.
    pub growth: u32,
    /// DOCACHE_JITTER_DEFAULT, _NONE or _FULL.
    pub jitter: u32,
}

// SAFETY: it is, it is, and all of its fields are numbers.
unsafe impl Versioned for docache_backoff {
    const NAME: &'static str = "docache_backoff";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<docache_backoff>() == 32 && offset_of!(docache_backoff, growth) == 24);
};

/// The backoff that C gave; none for NULL.
///
/// # Safety
/// SPAN, or NULL.
pub(super) unsafe fn backoff(given: *const docache_backoff, name: &str) -> Result<Backoff> {
    if given.is_null() {
        return Ok(Backoff::NONE);
    }
    // SAFETY: the caller's promise.
    let given = unsafe { versioned::read_as(given, name) }?;
    let refuse = |field: &str, value: u64, accepted: &str| {
        Err(Error::invalid_argument(&format!("{name}.{field}"), value, accepted))
    };
    if given.first_ns == 0 {
        return refuse("first_ns", 0, "give at least 1");
    }
    if given.most_ns != 0 && given.most_ns < given.first_ns {
        return refuse("most_ns", given.most_ns, "give at least first_ns, or 0 for no limit");
    }
    let first = Duration::from_nanos(given.first_ns);
    let mut backoff = match given.growth {
        DOCACHE_BACKOFF_DOUBLING => Backoff::exponential(first),
        DOCACHE_BACKOFF_CONSTANT => Backoff::constant(first),
        other => {
            return refuse("growth", other.into(), "give DOCACHE_BACKOFF_DOUBLING or _CONSTANT");
        }
    };
    if given.most_ns != 0 {
        backoff = backoff.capped(Duration::from_nanos(given.most_ns));
    }
    match given.jitter {
        DOCACHE_JITTER_DEFAULT => Ok(backoff),
        DOCACHE_JITTER_NONE => Ok(backoff.jitter(false)),
        DOCACHE_JITTER_FULL => Ok(backoff.jitter(true)),
        other => refuse("jitter", other.into(), "give DOCACHE_JITTER_DEFAULT, _NONE or _FULL"),
    }
}
