//! Caches under stress: many threads that do everything at once, destructors and listeners that
//! misbehave, and keys and values of the odd kind.

#[path = "../common/mod.rs"]
mod common;

mod kinds;
mod misbehaved;
mod storm;
