//! Family `run`: schedulers. Below the loop caches, which may run on one.
//!
//! # State
//! The calls that wait lie in a [table](calls::Calls) by number, each with its registration; the
//! scheduler of `crate::run` has closures that know a number.
//!
//! # Invariants
//! - ONE-TAKER: a call leaves the table once: to be made, to be cancelled, or with the scheduler.
//!   Whoever takes it drops its registration.
//! - HELD: a call is taken and made, and its registration dropped, with a hold of the scheduler's
//!   gate. So a free, after which nobody gets one, waits for that.

// The header has what they declare in this order.
mod options;

mod handle;

mod calls;

mod stats;

pub use calls::*;
pub use handle::*;
pub use options::*;
pub use stats::*;
