//! The protocol of flights that the documentation of [`flight`](super) states: calls, their lists,
//! and what happens under the lock.
//!
//! Each module uses only those above it.

pub(super) mod call;
pub(super) mod deliver;
pub(super) mod domain;
pub(super) mod leave;
pub(super) mod outcome;
pub(super) mod registry;
mod ring;
