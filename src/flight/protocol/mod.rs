//! The protocol of flights that the documentation of [`flight`](super) states: calls, their lists,
//! and what happens under the lock.
//!
//! From the bottom up: `outcome`, `call`, `ring`, `registry`, `domain`, `deliver`, `wait`. Each
//! module uses only those before it.

pub(super) mod call;
pub(super) mod deliver;
pub(super) mod domain;
pub(super) mod outcome;
pub(super) mod registry;
mod ring;
pub(super) mod wait;
