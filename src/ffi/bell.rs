//! A bell: what wakes a call of a group that somebody behind the boundary waits with.
//!
//! # Invariants
//! - USE: a bell serves one use of a call. It is used again only if nobody else has a share of it, so a wake of an
//!   earlier use, which has one, rings no bell of a later use.
//! - LANDED: a group wakes a call only when its outcome or its lead is there. So a bell rings, if it was armed, without a
//!   look at the call, which may be gone.

use std::sync::Arc;
use std::task::Wake;

use super::notify::Notify;
use crate::lock::Lock;

pub(super) struct Bell(Lock<Notify>);

impl Bell {
    /// A bell that nobody else knows, made from the one of an earlier use if that can be (USE).
    pub(super) fn renew(old: Option<Arc<Bell>>) -> Option<Arc<Bell>> {
        let mut bell = old?;
        *Arc::get_mut(&mut bell)?.0.get_mut() = Notify::None;
        Some(bell)
    }

    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Notify) -> R) -> R {
        f(&mut self.0.lock())
    }
}

impl Default for Bell {
    fn default() -> Bell {
        Bell(Lock::new(Notify::None))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Bell>) {
        let due = self.with(Notify::fire);
        if let Some(due) = due {
            due.call();
        }
    }
}
