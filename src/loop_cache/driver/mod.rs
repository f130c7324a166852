//! What calls a Doer: a thread of the loop's own, or its host.
//!
//! From the bottom up: `ticker` says when, `forked` what is left after a fork, `runner` what a run
//! does, on its thread; in `host` the host does that.

mod forked;
#[cfg(feature = "capi")]
mod host;
mod runner;
mod ticker;

#[cfg(feature = "capi")]
pub(crate) use host::{Driven, Next};
