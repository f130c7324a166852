//! Family `run`: schedulers. Below the loop caches, which may run on one.
//!
//! # State
//! The calls lie in a [table](calls::Calls) by number, each with its registration, until they have
//! been made; the scheduler of `crate::run` has closures that know a number. In the child of a fork
//! nobody makes them, but they are still let go of.
//!
//! # Invariants
//! - ONCE: a call leaves the table once: when it has been made, when it is cancelled, or with the
//!   scheduler. Whoever takes it out drops its registration.
//! - HELD: a call is made, and its registration dropped, with a hold of the scheduler's gate. So a
//!   free, after which nobody gets one, waits for that.

// The header has what they declare in this order.
mod options;

mod handle;

mod calls;

mod stats;

pub use calls::*;
pub use handle::*;
pub use options::*;
pub use stats::*;
