//! What the fuzz targets are made of. A target in `fuzz_targets/` turns its input into a case and
//! runs it:
//!
//! - [`abi`]: sequences of C ABI calls with hostile arguments, each checked against the ABI's
//!   conventions and against a model of the objects behind the handles: [`abi::loops`],
//!   [`abi::group`] and [`abi::cache`]. The models of the last two are exact.
//! - [`cache`]: operations on a cache and within its loaders, against the sequential model of
//!   `tests/cache_model`.
//! - [`flight`]: schedules of calls of a keyed group, with work inside work, against a sequential
//!   model.
//! - [`timeline`]: the loop cache under a manual clock, against a sequential model that predicts
//!   every call of the Doer.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run TARGET -- -max_total_time=30 -timeout=30` runs one on a stable
//! toolchain.
//!
//! [`input`] has the pieces that inputs are made of, [`patience`] waits for other threads.

pub mod abi;
pub mod cache;
pub mod flight;
pub mod input;
pub mod patience;
pub mod timeline;
