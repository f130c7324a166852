//! The library in the world of its users: more threads than cores, readers that the system
//! suspends, user code that blocks, panics and calls back. The models cannot see these.
//!
//! `DOCACHE_HOST_SECONDS` says for how long each of the longer tests runs; 2 if it is not set.

#[path = "../common/mod.rs"]
mod common;

mod oversubscribed;
mod schedulers;
mod standing;
mod user_code;

use std::time::Duration;

/// How long a test that needs time takes.
fn span() -> Duration {
    let seconds =
        std::env::var("DOCACHE_HOST_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}
