//! Family `store`: where an echo cache keeps its values.

// The header has what they declare in this order.
mod handle;

mod memory;

mod layers;

mod remote;

mod callbacks;
mod custom;
mod custom_call;

mod any;
mod gated;
#[cfg(feature = "serde")]
mod json;

pub use callbacks::*;
pub use custom::*;
pub use handle::*;
pub use layers::*;
pub use memory::*;
pub use remote::*;

pub(super) use any::AnyStore;
pub(super) use gated::Gated;
#[cfg(feature = "serde")]
pub(super) use json::check as check_json;

use super::super::cache::DOCACHE_NEVER;
use crate::echo::Within;
use std::time::Duration;

/// What is left of the time for a call, for a callback to heed.
fn left_ns(within: &Within<'_>) -> i64 {
    i64::try_from(within.left().as_nanos()).unwrap_or(i64::MAX)
}

/// A length of time for C; `None` is [`DOCACHE_NEVER`].
fn ns(length: Option<Duration>) -> u64 {
    length.map_or(DOCACHE_NEVER, |length| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX))
}

/// A length of time from C; [`DOCACHE_NEVER`] is `None`.
fn length(ns: u64) -> Option<Duration> {
    (ns != DOCACHE_NEVER).then(|| Duration::from_nanos(ns))
}

#[cfg(test)]
mod tests;
