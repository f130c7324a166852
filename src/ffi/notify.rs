//! Who is to be told, once, that there is something to see.

use super::boundary::quietly;
use crate::error::{Error, ErrorKind, Result};

/// Called once with its token when there is something to see, on whichever thread finds it: the one
/// that brought it about, or one that polls. It must return, and must not block. It may free the
/// docache_wait or the docache_echo_call that it was given to, but not the docache_call: whoever
/// calls it may still be inside that; free that afterwards, elsewhere.
pub type docache_notify_fn = Option<unsafe extern "C-unwind" fn(token: usize)>;

/// A notification that is due. It is called with no lock held.
pub(super) struct Due(unsafe extern "C-unwind" fn(usize), usize);

impl Due {
    pub(super) fn call(self) {
        // SAFETY: CALLBACK; `Notify` gives it out once (NOTIFY-ONCE).
        quietly((), || unsafe { (self.0)(self.1) });
    }
}

/// The state of a notification.
///
/// NOTIFY-ONCE: under the lock that it lies behind it leaves `Armed`, either to `Fired` by the
/// thread that then calls it, or to `None` by a cancellation.
pub(super) enum Notify {
    None,
    Armed(unsafe extern "C-unwind" fn(usize), usize),
    Fired,
}

/// What an `object` such as a wait ends with in the child of a fork, if a thread that is not there
/// was just at it.
pub(super) fn lost_in_fork(object: &str) -> Error {
    let why =
        format!("this is the child of a fork, and the {object} is with a thread of the parent");
    Error::new(ErrorKind::Closed, why)
}

pub(super) fn required(notify: docache_notify_fn) -> Result<unsafe extern "C-unwind" fn(usize)> {
    notify.ok_or_else(|| Error::invalid_argument("notify", "NULL", "give a function"))
}

impl Notify {
    /// There can be one, for an `object` such as a wait.
    pub(super) fn check_unused(&self, object: &str) -> Result<()> {
        if matches!(self, Notify::None) {
            return Ok(());
        }
        let accepted = format!("give one notification to a {object}, or cancel the first");
        Err(Error::invalid_argument("notify", "a second notification", &accepted))
    }

    /// What is to be called now that there is something to see.
    pub(super) fn fire(&mut self) -> Option<Due> {
        let Notify::Armed(notify, token) = *self else { return None };
        *self = Notify::Fired;
        Some(Due(notify, token))
    }

    /// Takes it back: whether it will never be called.
    pub(super) fn cancel(&mut self) -> bool {
        if matches!(self, Notify::Fired) {
            return false;
        }
        *self = Notify::None;
        true
    }
}
