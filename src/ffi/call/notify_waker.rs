//! The Waker of a call that waits: it calls the notification that was armed.
//!
//! # Invariants
//! - USE: a waker serves one use of a call. It is used again only if nobody else has a share of it,
//!   so a wake of an earlier use, which has one, notifies nobody of a later use.
//! - READY: a flight wakes a call only when its outcome or its lead is there. So an armed
//!   notification is called without a look at the call, which may be gone.

use std::sync::Arc;
use std::task::Wake;

use crate::ffi::notify::Notify;
use crate::lock::Lock;

pub(super) struct NotifyWaker(Lock<Notify>);

impl NotifyWaker {
    /// A waker that nobody else knows, made from the one of an earlier use if that can be (USE).
    pub(super) fn renew(old: Option<Arc<NotifyWaker>>) -> Option<Arc<NotifyWaker>> {
        let mut waker = old?;
        *Arc::get_mut(&mut waker)?.0.get_mut() = Notify::None;
        Some(waker)
    }

    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Notify) -> R) -> R {
        f(&mut self.0.lock())
    }
}

impl Default for NotifyWaker {
    fn default() -> NotifyWaker {
        NotifyWaker(Lock::new(Notify::None))
    }
}

impl Wake for NotifyWaker {
    fn wake(self: Arc<NotifyWaker>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<NotifyWaker>) {
        let due = self.with(Notify::fire);
        if let Some(due) = due {
            due.call();
        }
    }
}
