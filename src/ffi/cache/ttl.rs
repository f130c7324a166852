//! Times to live, as C gives them.

use std::time::Duration;

/// A length of time that does not end.
pub const DOCACHE_NEVER: u64 = u64::MAX;

/// A time to live of an entry's own; 0 is the cache's.
pub(super) fn ttl(ns: u64) -> Option<Duration> {
    match ns {
        0 => None,
        DOCACHE_NEVER => Some(Duration::MAX),
        ns => Some(Duration::from_nanos(ns)),
    }
}
