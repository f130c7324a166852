//! Family `run`: groups of actors, loops, retries.
//!
//! # State
//! A handle has a [`Runner`](runner::Runner): what is to run, until that is taken by the one run
//! that there can be, and the gate that its callbacks go through. Actors are plain data until then:
//! the actors of `crate::run` are made of them when the run begins, in the process that runs them.
//!
//! # Invariants
//! - REGISTERED: the registration of an actor lies behind the gate of the handle that it was added
//!   to, and all that calls it has a [hold](crate::ffi::gate::KeptHold) of the gate of the handle
//!   that runs it. So its `drop` comes after all of its callbacks, and before the wait of a free
//!   ends, also if an actor was left behind by its run.
//! - OUTERMOST: callbacks of a group that was added to another one have holds of the outermost
//!   group's gate, behind which the handles of the inner ones lie. So they are callbacks of that
//!   group's own.

// The header has what they declare in this order.
mod stop_token;

mod backoff;
mod cause;

mod actor;

mod report;

mod handle;

mod options;
mod runner;
mod runs;

mod group;
mod repeat;

mod retry;

pub use actor::*;
pub use backoff::*;
pub use cause::*;
pub use group::*;
pub use handle::*;
pub use options::*;
pub use repeat::*;
pub use report::*;
pub use retry::*;
pub use stop_token::*;

use super::boundary::{
    DOCACHE_DOER_FAILED, DOCACHE_INTERNAL, DOCACHE_OK, DOCACHE_PANIC, DOCACHE_TIMEOUT,
    docache_error, docache_status, is_usable, status_of,
};
use super::error::take_error;
use super::perform::reported;
use crate::error::{BoxError, Error};

/// What a callback came to that returns a status and may write an error, which is given away.
///
/// # Safety
/// HANDLE, or NULL.
unsafe fn outcome(
    status: docache_status,
    error: *mut docache_error,
    who: &str,
) -> Result<(), BoxError> {
    // SAFETY: the caller's promise.
    let error = is_usable(error).then(|| unsafe { take_error(error) });
    if status == DOCACHE_OK { Ok(()) } else { Err(reported(status, error, who)) }
}

/// What a failure of an actor counts as, whatever the kind of its error.
fn counts_as(error: &Error) -> docache_status {
    match status_of(error) {
        status @ (DOCACHE_PANIC | DOCACHE_INTERNAL | DOCACHE_TIMEOUT) => status,
        _ => DOCACHE_DOER_FAILED,
    }
}

/// The error that a callback gave, of the one that it was noted as; that itself, if there was none.
fn given(error: &Error) -> &Error {
    error.downcast_ref::<Error>().unwrap_or(error)
}
