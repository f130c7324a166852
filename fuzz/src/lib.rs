//! What the fuzz targets are made of. A target in `fuzz_targets/` turns its input into a case and
//! runs it:
//!
//! - [`abi`]: sequences of C ABI calls with hostile arguments, each checked against the ABI's
//!   conventions and against a model of the objects behind the handles: [`abi::loops`],
//!   [`abi::group`], [`abi::cache`], [`abi::echo`] and [`abi::run`]. The models of groups, caches
//!   and retries are exact.
//! - [`cache`]: operations on a cache and within its loaders, against the sequential model of
//!   `tests/cache_model`.
//! - [`echo`]: what is read from stores that other programs share, and what is written there.
//! - [`flight`]: schedules of calls of a keyed group, with work inside work, against a sequential
//!   model.
//! - [`timeline`]: the loop cache under a manual clock, against a sequential model that predicts
//!   every call of the Doer.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run TARGET -- -max_total_time=30 -timeout=30` runs one on a stable
//! toolchain.
//!
//! [`input`] has the pieces that inputs are made of, [`patience`] waits for other threads.

use std::ffi::{CStr, c_char};

pub mod abi;
pub mod cache;
pub mod echo;
pub mod flight;
pub mod input;
pub mod patience;
pub mod timeline;

/// What looks like a leak and is none. While one of the library's own threads begins, or ends, the
/// leak checker may come when it does not know the thread, and so misses what only the thread
/// leads to: its closure, and the list of its destructors.
const NO_LEAKS: &CStr = c"leak:docache::housekeeping::spawn\nleak:__cxa_thread_atexit_impl\n";

/// Asked by the leak checker.
#[unsafe(no_mangle)]
pub extern "C" fn __lsan_default_suppressions() -> *const c_char {
    NO_LEAKS.as_ptr()
}
