//! Family `echo`: what was counted, and the end of refreshes.

use std::time::Duration;

use super::handle::{Kind, Refreshes, docache_echo};
use crate::error::Error;
use crate::ffi::boundary::versioned::{self, Versioned};
use crate::ffi::boundary::{
    DOCACHE_OK, Out, borrow, docache_error, docache_status, guard, timeout,
};

/// What a cache has counted since it was made; each number by itself. Begin with
/// DOCACHE_ECHO_COUNTERS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_echo_counters {
    /// sizeof(docache_echo_counters), as the caller was compiled.
    pub size: usize,
    /// Fetches that the store answered, but for stale ones; 0 without DOCACHE_ECHO_RECORD_STATS.
    pub hits: u64,
    /// Fetches that were answered with a stale value; 0 without DOCACHE_ECHO_RECORD_STATS.
    pub stale_hits: u64,
    /// Fetches that shared what another call loaded.
    pub coalesced: u64,
    /// Loads, those of refreshes included, and those that were given up.
    pub loads: u64,
    /// Those that failed.
    pub load_failures: u64,
    /// Calls to the store that failed or came too late.
    pub store_errors: u64,
    /// Fetches that waited for another process to load.
    pub lock_waits: u64,
    /// Values that were not written since their lock was lost.
    pub lost_writes: u64,
    /// Refreshes in the background that were begun.
    pub refreshes: u64,
    /// Those that failed.
    pub refresh_failures: u64,
    /// Those that were dropped: there was no room, or no thread, or the cache was shut down.
    pub refused: u64,
    /// Locks that were not renewed or given back in the background: there was no thread, or too
    /// many waited.
    pub unattended: u64,
    /// Refreshes that wait or run now.
    pub refreshing: u64,
}

// SAFETY: it is, it is, and all of its fields are numbers.
unsafe impl Versioned for docache_echo_counters {
    const NAME: &'static str = "docache_echo_counters";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_echo_counters>() == 112
            && offset_of!(docache_echo_counters, refreshing) == 104
    );
};

/// Fills `out`; a part of it that this library does not know becomes zero. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_stats(
    echo: *const docache_echo,
    out: *mut docache_echo_counters,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let echo = unsafe { borrow(echo, "echo") }?;
        let (stats, refreshing) = match &echo.kind {
            Kind::Memo(memo) => (memo.stats(), 0),
            Kind::Lazy(lazy) => (lazy.stats(), lazy.refreshing()),
        };
        let make = |size| docache_echo_counters {
            size,
            hits: stats.hits,
            stale_hits: stats.stale_hits,
            coalesced: stats.coalesced,
            loads: stats.loads,
            load_failures: stats.load_failures,
            store_errors: stats.store_errors,
            lock_waits: stats.lock_waits,
            lost_writes: stats.lost_writes,
            refreshes: stats.refreshes,
            refresh_failures: stats.refresh_failures,
            refused: stats.refused,
            unattended: stats.unattended,
            refreshing: refreshing as u64,
        };
        // SAFETY: the caller's promise.
        unsafe { versioned::fill(out, make) }?;
        Ok(DOCACHE_OK)
    })
}

/// Takes no refreshes any more, and gives those that wait or run until `timeout_ns` to end. OK:
/// none runs any more. TIMEOUT: some still do, and go on. What has not begun by then is dropped.
/// How many ended, were dropped and still run goes to the outputs, each of which may be NULL; they
/// are written with TIMEOUT as well. Fetches still work afterwards: what is stale stays so, and
/// what is missing is loaded. A later call, and one of a cache that is not lazy, has nothing to do
/// and says OK. Called inside a refresh it waits in vain for that one. \[CB\] \[BLK\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_shutdown(
    echo: *const docache_echo,
    timeout_ns: i64,
    out_drained: *mut usize,
    out_dropped: *mut usize,
    out_running: *mut usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out_drained = unsafe { Out::optional(out_drained, "out_drained") }?;
        // SAFETY: the caller's promise.
        let out_dropped = unsafe { Out::optional(out_dropped, "out_dropped") }?;
        // SAFETY: the caller's promise.
        let out_running = unsafe { Out::optional(out_running, "out_running") }?;
        // SAFETY: the caller's promise.
        let echo = unsafe { borrow(echo, "echo") }?;
        let (drained, dropped, running) = echo.gate.call(|| {
            let Kind::Lazy(lazy) = &echo.kind else { return (0, 0, 0) };
            let report = lazy.shutdown(timeout(timeout_ns).unwrap_or(Duration::MAX));
            // What no host has asked for has not begun.
            let left = match &echo.refreshes {
                Some(Refreshes::Host(queue)) => queue.close(),
                _ => 0,
            };
            let running = report.running.len().saturating_sub(left);
            (report.drained, report.dropped.len() + left, running)
        });
        for (out, count) in [(out_drained, drained), (out_dropped, dropped), (out_running, running)]
        {
            if let Some(out) = out {
                out.write(count);
            }
        }
        if running > 0 {
            return Err(Error::timeout("the refreshes that run"));
        }
        Ok(DOCACHE_OK)
    })
}
