//! The tests of loop caches once more, with the loops on schedulers: on one of their own that goes
//! by the same clock, and on one that all share and goes by another. Only what they run on differs
//! (see `common`).

#![allow(clippy::duplicate_mod, reason = "each of these files says `mod common`")]

#[path = "loop_life.rs"]
mod life;
#[path = "loop_cache.rs"]
mod results;
#[path = "loop_wakers.rs"]
mod wakers;
