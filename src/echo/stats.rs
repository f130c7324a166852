//! What an echo cache has counted.

/// What an echo cache has counted since it was built; each number by itself.
///
/// ```
/// use docache::echo::{EchoCache, MemoryStore};
/// let cache = EchoCache::<_, u32, String>::new(MemoryStore::new(100));
/// cache.fetch("key", || Ok(1)).unwrap();
/// assert_eq!(cache.stats().loads, 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EchoStats {
    /// Fetches that the store answered, but for stale ones; if they are
    /// [recorded](super::EchoCacheBuilder::record_stats).
    pub hits: u64,
    /// Fetches that were answered with a stale value; if they are
    /// [recorded](super::EchoCacheBuilder::record_stats).
    pub stale_hits: u64,
    /// Fetches that shared what another call loaded.
    pub coalesced: u64,
    /// Loads, those of refreshes included, and those whose callers left them.
    pub loads: u64,
    /// Loads that returned an error or panicked.
    pub load_failures: u64,
    /// Calls to the store that failed or came too late.
    pub store_errors: u64,
    /// Fetches that waited for another process to load.
    pub lock_waits: u64,
    /// Values that were not written since their lock was lost.
    pub lost_writes: u64,
    /// Refreshes in the background that were begun.
    pub refreshes: u64,
    /// Those that failed or panicked.
    pub refresh_failures: u64,
    /// Those that were refused: the queue was full or closed, or the system gave no thread.
    pub refused: u64,
    /// Renewals and releases of refresh locks that were not made: the system gave no thread, or too
    /// many waited.
    pub unattended: u64,
}
