//! How an echo cache is to be.

use std::time::Duration;

use super::warning::docache_echo_warning_fn;
use crate::error::{Error, Result};
use crate::ffi::boundary::versioned::Versioned;
use crate::ffi::cache::DOCACHE_NEVER;

/// Counts hits, which costs each of them a few nanoseconds.
pub const DOCACHE_ECHO_RECORD_STATS: u32 = 1;

/// How a cache of docache_echo_new is to be. Begin with DOCACHE_ECHO_OPTIONS_INIT and set what you
/// need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_echo_options {
    /// sizeof(docache_echo_options), as the caller was compiled.
    pub size: usize,
    /// How long values live. 0: 15 minutes; DOCACHE_NEVER: as long as the store keeps them.
    pub time_to_live_ns: u64,
    /// How long values live that say that there is no such thing; they are those of no bytes, and,
    /// in a store of JSON, `null`. 0: there are no such values.
    pub negative_ttl_ns: u64,
    /// How long a refresh lock is held if its holder dies; while that lives the lock is renewed. 0:
    /// 10 s.
    pub lock_ttl_ns: u64,
    /// How long a fetch waits for another process that loads the value, before it loads beside it.
    /// 0: the time to live of the lock, and 50 ms.
    pub lock_wait_ns: u64,
    /// How long the calls of one fetch to its store may take together. 0: 50 ms.
    pub store_budget_ns: u64,
    /// Told of what fails and fails no fetch; NULL: nobody is.
    pub on_warning: docache_echo_warning_fn,
    /// DOCACHE_ECHO_ flags.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

/// How a cache of docache_echo_lazy_new is to be. Begin with DOCACHE_ECHO_LAZY_OPTIONS_INIT and set
/// what you need. The three ages count from the load of a value, each at least the one before.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_echo_lazy_options {
    /// sizeof(docache_echo_lazy_options), as the caller was compiled.
    pub size: usize,
    /// From this age on a value is served as stale and refreshed in the background. 0: 1 minute.
    pub refresh_after_ns: u64,
    /// From this age on a fetch waits for the load, and gets the stale value only if that fails. 0:
    /// 15 minutes, or `refresh_after_ns` if that is more; DOCACHE_NEVER: never.
    pub expires_ns: u64,
    /// From this age on a value is gone. 0: `expires_ns`; DOCACHE_NEVER: never.
    pub stale_until_ns: u64,
    /// As in docache_echo_options.
    pub negative_ttl_ns: u64,
    /// As in docache_echo_options, at least `refresh_timeout_ns`. 0: that, and 1 s.
    pub lock_ttl_ns: u64,
    /// As in docache_echo_options.
    pub lock_wait_ns: u64,
    /// As in docache_echo_options.
    pub store_budget_ns: u64,
    /// How long a refresh may take. One that takes longer is not stopped, but its lock is not
    /// renewed any more; one that its host performs is given up. 0: 30 s.
    pub refresh_timeout_ns: u64,
    /// After a load has failed, it is not tried again while something stale can be served, for a
    /// time at random of up to this long, doubled with each failure in a row. 0: it is tried again
    /// at once.
    pub backoff_first_ns: u64,
    /// The most that it is doubled to, up to a day. 0: `backoff_first_ns`.
    pub backoff_most_ns: u64,
    /// How many refreshes can wait for a worker, or be with their host; what finds no room is
    /// dropped and counted. 0: 1,000.
    pub queue_size: usize,
    /// How many threads refresh at most. 0: 1.
    pub workers: usize,
    /// As in docache_echo_options.
    pub on_warning: docache_echo_warning_fn,
    /// Refreshes values before they are stale, by chance, the sooner the longer their loads take
    /// (XFetch), by a weight in thousandths: 1,000 suits most. 0: not.
    pub early_refresh_permille: u32,
    /// DOCACHE_ECHO_ flags.
    pub flags: u32,
}

// SAFETY: it is, it is, and all of its fields are numbers or pointers to functions or NULL.
unsafe impl Versioned for docache_echo_options {
    const NAME: &'static str = "docache_echo_options";
}

// SAFETY: as above.
unsafe impl Versioned for docache_echo_lazy_options {
    const NAME: &'static str = "docache_echo_lazy_options";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_echo_options>() == 64 && offset_of!(docache_echo_options, flags) == 56
    );
    assert!(
        size_of::<docache_echo_lazy_options>() == 120
            && offset_of!(docache_echo_lazy_options, queue_size) == 88
    );
    assert!(offset_of!(docache_echo_lazy_options, early_refresh_permille) == 112);
};

/// A length of time that is not the default.
pub(super) fn given(ns: u64) -> Option<Duration> {
    match ns {
        0 => None,
        DOCACHE_NEVER => Some(Duration::MAX),
        ns => Some(Duration::from_nanos(ns)),
    }
}

pub(super) fn check_flags(flags: u32) -> Result<()> {
    if flags & !DOCACHE_ECHO_RECORD_STATS == 0 {
        return Ok(());
    }
    Err(Error::invalid_argument("options.flags", flags, "give DOCACHE_ECHO_ flags, 0 or 1"))
}

impl docache_echo_lazy_options {
    /// All defaults.
    pub(super) fn defaults() -> docache_echo_lazy_options {
        docache_echo_lazy_options {
            size: size_of::<docache_echo_lazy_options>(),
            refresh_after_ns: 0,
            expires_ns: 0,
            stale_until_ns: 0,
            negative_ttl_ns: 0,
            lock_ttl_ns: 0,
            lock_wait_ns: 0,
            store_budget_ns: 0,
            refresh_timeout_ns: 0,
            backoff_first_ns: 0,
            backoff_most_ns: 0,
            queue_size: 0,
            workers: 0,
            on_warning: None,
            early_refresh_permille: 0,
            flags: 0,
        }
    }
}

impl docache_echo_options {
    /// All defaults.
    pub(super) fn defaults() -> docache_echo_options {
        docache_echo_options {
            size: size_of::<docache_echo_options>(),
            time_to_live_ns: 0,
            negative_ttl_ns: 0,
            lock_ttl_ns: 0,
            lock_wait_ns: 0,
            store_budget_ns: 0,
            on_warning: None,
            flags: 0,
            reserved: 0,
        }
    }
}
