//! Family `echo`: what is fetched is kept in a store, which many processes may share.
//!
//! # Frees inside callbacks
//! Calls of a handle lie in frames of its gate, so that the handle, and with it its cache and its
//! share of the store, is there until they are over, whatever their callbacks free. Calls of a
//! store of callbacks take holds of the gate of the cache that they are made for.

// The header has what they declare in this order.
mod store;

mod warning;

mod options;

mod host_queue;

mod handle;

mod fetch;
mod writes;

mod task;

mod begin;
mod host;

mod counters;

pub use begin::*;
pub use counters::*;
pub use fetch::*;
pub use handle::*;
pub use host::*;
pub use options::*;
pub use store::*;
pub use task::docache_echo_call;
pub use warning::*;
pub use writes::*;

use super::boundary::bytes;
use crate::error::{Error, Result};

/// A key of an echo cache.
///
/// # Safety
/// SPAN.
#[inline]
unsafe fn key<'a>(start: *const u8, len: usize) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(start, len, "key") }?;
    std::str::from_utf8(bytes).map_err(|error| not_utf8(error.valid_up_to()))
}

#[cold]
fn not_utf8(at: usize) -> Error {
    let found = format!("bytes that are no text, at {at},");
    Error::invalid_argument("key", found, "give UTF-8, since other processes may read it")
}
