//! The way in from C (`c-latest-64`, `c-call`) and from Go (`go-latest`,
//! `go-get`).

use std::convert::Infallible;
use std::error::Error;
use std::ffi::c_void;
use std::fmt;
use std::hint::black_box;
use std::ptr::NonNull;
use std::time::Duration;

use docache::LoopCache;

use super::go;
use crate::harness::{Bench, Subject};
use crate::verdict::Row;

/// Calls are measured alone and against one other caller.
const THREADS: [usize; 2] = [1, 2];

/// The loops of `ffi.c`.
mod c {
    use super::c_void;

    unsafe extern "C" {
        pub(super) fn peers_loop_new() -> *mut c_void;
        pub(super) fn peers_loop_free(cache: *mut c_void);
        pub(super) fn peers_loop_latest_copy(cache: *const c_void, iterations: u64) -> bool;
        pub(super) fn peers_loop_latest_copy_entry(cache: *const c_void, iterations: u64) -> bool;
        pub(super) fn peers_loop_latest(cache: *const c_void, iterations: u64) -> bool;
        pub(super) safe fn peers_call(iterations: u64) -> bool;
    }
}

/// A loop of `ffi.c` over its loop cache.
type CLoop = unsafe extern "C" fn(*const c_void, u64) -> bool;

/// A loop cache made by C that holds a value of 64 bytes.
struct CLoopCache(NonNull<c_void>);

// SAFETY: the handle is a docache_loop, whose functions may be called from any thread.
unsafe impl Send for CLoopCache {}
// SAFETY: as above; shared use is what those functions are for, and only Drop frees it.
unsafe impl Sync for CLoopCache {}

impl CLoopCache {
    fn new() -> Option<Self> {
        // SAFETY: takes nothing, gives an owned handle or NULL.
        NonNull::new(unsafe { c::peers_loop_new() }).map(CLoopCache)
    }

    /// Lets C make `iterations` calls on this cache.
    fn run(&self, calls: CLoop, iterations: u64) {
        // SAFETY: the handle is alive until Drop, and each CLoop takes just such a handle.
        let right = unsafe { calls(self.0.as_ptr(), iterations) };
        assert!(right, "every call gave the value");
    }
}

impl Drop for CLoopCache {
    fn drop(&mut self) {
        // SAFETY: the handle came from peers_loop_new and is freed nowhere else.
        unsafe { c::peers_loop_free(self.0.as_ptr()) }
    }
}

impl fmt::Debug for CLoopCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CLoopCache").finish_non_exhaustive()
    }
}

/// Measures all cases.
pub(crate) fn measure(bench: &mut Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let from_c = CLoopCache::new().ok_or("the C program got no loop cache")?;
    let in_rust = LoopCache::builder(|| Ok::<[u8; 64], Infallible>([1; 64]))
        .interval(Duration::from_secs(3600))
        .build()?;
    in_rust.start()?;
    in_rust.wait_first(Duration::from_secs(10))?;
    for threads in THREADS {
        bench.case(
            "c-latest-64",
            threads,
            &[
                Subject::new("docache", |n| from_c.run(c::peers_loop_latest_copy, n)),
                Subject::new("docache_with_entry", |n| from_c.run(c::peers_loop_latest_copy_entry, n)),
                Subject::new("docache_shared", |n| from_c.run(c::peers_loop_latest, n)),
                Subject::new("rust_latest", |n| {
                    let mut buffer = [0; 64];
                    for _ in 0..n {
                        if let Some(reading) = in_rust.latest() {
                            buffer.copy_from_slice(&*reading);
                        }
                        black_box(&mut buffer);
                    }
                }),
            ],
        );
        bench.case(
            "c-call",
            threads,
            &[Subject::new("docache_abi_version", |n| {
                assert!(c::peers_call(n), "every call gave the version")
            })],
        );
    }
    go::measure(bench, "go", "^Benchmark(Latest|LatestWhileChanging|Data)$")?;
    go::measure(bench, "go/cache", "^BenchmarkGet$")?;
    Ok(contract(bench))
}

/// Section 8: what `docache` must reach, from the peers of this run.
fn contract(bench: &Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    for threads in THREADS {
        let ours = bench.value("c-latest-64", threads, "docache");
        let limit = bench.value("c-latest-64", threads, "rust_latest").map(|rust| rust + 8.0);
        rows.push(Row::at_most("c-latest-64", threads, ours, limit, "rust_latest + 8 ns"));
    }
    for threads in THREADS {
        let ours = bench.value("go-latest", threads, "docache");
        rows.push(Row::at_most("go-latest", threads, ours, Some(3.0), "3 ns"));
    }
    for threads in THREADS {
        let ours = bench.value("go-get", threads, "docache");
        let limit = bench.value("go-get", threads, "cgo_call").map(|call| call * 2.5);
        rows.push(Row::at_most("go-get", threads, ours, limit, "2.5 × cgo_call"));
    }
    rows
}
