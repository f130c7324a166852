//! The way in from C (`c-latest-64`, `c-get-64`, `c-call`) and from Go (`go-latest`, and `go-get`
//! and `go-set` beside Go's own caches).

use std::convert::Infallible;
use std::error::Error;
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr::NonNull;
use std::time::Duration;

use docache::{Cache, LoopCache};

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
        pub(super) fn peers_cache_new() -> *mut c_void;
        pub(super) fn peers_cache_free(cache: *mut c_void);
        pub(super) fn peers_cache_try_get(cache: *const c_void, iterations: u64) -> bool;
        pub(super) fn peers_cache_get(cache: *const c_void, iterations: u64) -> bool;
        pub(super) safe fn peers_call(iterations: u64) -> bool;
    }
}

/// A loop of `ffi.c` over an object of its own.
type CLoop = unsafe extern "C" fn(*const c_void, u64) -> bool;

/// A loop cache or a cache that C made, with values of 64 bytes in it.
#[derive(Debug)]
struct CObject {
    handle: NonNull<c_void>,
    free: unsafe extern "C" fn(*mut c_void),
}

// SAFETY: the handle is a docache_loop, or a docache_cache with keys that stay as they are, whose
// functions may be called from any thread.
unsafe impl Send for CObject {}
// SAFETY: as above; shared use is what those functions are for, and only Drop frees it.
unsafe impl Sync for CObject {}

impl CObject {
    fn new_loop() -> Option<Self> {
        // SAFETY: takes nothing, gives an owned handle or NULL.
        let handle = NonNull::new(unsafe { c::peers_loop_new() })?;
        Some(CObject { handle, free: c::peers_loop_free })
    }

    fn new_cache() -> Option<Self> {
        // SAFETY: takes nothing, gives an owned handle or NULL.
        let handle = NonNull::new(unsafe { c::peers_cache_new() })?;
        Some(CObject { handle, free: c::peers_cache_free })
    }

    /// Lets C make `iterations` calls on this object, whose kind `calls` is for.
    fn run(&self, calls: CLoop, iterations: u64) {
        // SAFETY: the handle is alive until Drop, and each CLoop is used with the kind of handle
        // that it takes.
        let right = unsafe { calls(self.handle.as_ptr(), iterations) };
        assert!(right, "every call gave the value");
    }
}

impl Drop for CObject {
    fn drop(&mut self) {
        // SAFETY: the handle came from the `new` that belongs to `free`, and is freed nowhere else.
        unsafe { (self.free)(self.handle.as_ptr()) }
    }
}

/// How many keys the caches have.
const KEYS: u64 = 1024;

/// A cache, and the keys that are in it: in one piece, as those of `ffi.c`.
type Filled = (Cache<Box<[u8]>, [u8; 64]>, Vec<[u8; 16]>);

/// The cache of `ffi.c` in Rust: keys and all.
fn cache_in_rust() -> Result<Filled, Box<dyn Error>> {
    let cache = Cache::builder().build()?;
    let key = |number| format!("key-{number:012}").into_bytes().try_into();
    let keys: Vec<[u8; 16]> =
        (0..KEYS).map(key).collect::<Result<_, _>>().map_err(|_| "a key has 16 bytes")?;
    cache.insert_many(keys.iter().map(|key| ((*key).into(), [1; 64])));
    Ok((cache, keys))
}

/// Measures all cases.
pub(crate) fn measure(bench: &mut Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let from_c = CObject::new_loop().ok_or("the C program got no loop cache")?;
    let cache_from_c = CObject::new_cache().ok_or("the C program got no cache")?;
    let (cache, keys) = cache_in_rust()?;
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
                Subject::new("docache_with_entry", |n| {
                    from_c.run(c::peers_loop_latest_copy_entry, n)
                }),
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
            "c-get-64",
            threads,
            &[
                Subject::new("docache", |n| cache_from_c.run(c::peers_cache_try_get, n)),
                Subject::new("docache_shared", |n| cache_from_c.run(c::peers_cache_get, n)),
                Subject::new("rust_get", |n| {
                    for i in 0..n {
                        let value = cache.get(keys[(i % KEYS) as usize].as_slice());
                        black_box(&value);
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
    go::measure_slow(bench, "go", "^Benchmark(Tick(8|60|10000)?|Lateness(8|60)?)$")?;
    go::measure(bench, "benches/peers/go", "^Benchmark(Get|Set)$")?;
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
    for (case, subject, peer, parts, from) in [
        ("c-get-64", "docache", "rust_get", [1.6, 1.6], "1.6 x rust_get"),
        ("go-latest", "docache", "cgo_call", [0.12, 0.12], "0.12 x cgo_call"),
        ("go-get", "docache", "cgo_call", [2.0, 2.0], "2 x cgo_call"),
        ("go-get", "docache", "otter", [1.1, 1.1], "1.1 x otter"),
        ("go-set", "docache", "otter", [1.0, 1.2], "1 x otter; 1.2 x for two"),
        ("go-set", "docache_any", "otter_any", [1.5, 1.5], "1.5 x otter_any"),
    ] {
        for (threads, part) in THREADS.into_iter().zip(parts) {
            let ours = bench.value(case, threads, subject);
            let limit = bench.value(case, threads, peer).map(|peer| part * peer);
            let name = subject.replace("docache", case).replace('_', ", ");
            rows.push(Row::at_most(name, threads, ours, limit, from));
        }
    }
    rows
}
