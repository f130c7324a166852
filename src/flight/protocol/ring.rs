//! The ring of a flight: the call that leads, or that relays, and those that wait.
//!
//! It is drawn in the documentation of [`flight`](crate::flight). All of this runs under the lock
//! (LINKS), and keeps RING.

use super::call::{CallPtr, WaitKind};

impl<K: ?Sized, T, E> CallPtr<K, T, E> {
    /// The call behind this one in its ring; `None` if it is alone.
    #[inline]
    pub(super) fn next(self) -> Option<Self> {
        self.links(|links| links.ring_next)
    }

    /// The call before this one in its ring; `None` if it is alone.
    pub(super) fn prev(self) -> Option<Self> {
        self.links(|links| links.ring_prev)
    }

    /// The heir: the first call behind this one that is not inside its work, which might wait for
    /// one of the others. (Parked threads never are.) If all are, the last to come; see step 5 in
    /// the module's documentation.
    pub(super) fn heir(self) -> Option<Self> {
        let mut heir = self.next()?;
        while heir.call().is_in_work() {
            match heir.next() {
                Some(next) if next != self => heir = next,
                _ => break,
            }
        }
        Some(heir)
    }

    /// Puts `heir`, from somewhere in this call's ring, into this call's place; this one is alone
    /// afterwards. The others stay in their order.
    pub(super) fn replace_by(self, heir: Self) {
        heir.unlink();
        self.insert_after(heir);
        self.unlink();
    }

    /// Puts `call`, which is alone, right behind this one.
    pub(super) fn insert_after(self, call: Self) {
        let next = self.next().unwrap_or(self);
        self.bind(call);
        call.bind(next);
    }

    /// Puts `call`, which is alone, right before this one.
    pub(super) fn insert_before(self, call: Self) {
        self.prev().unwrap_or(self).insert_after(call);
    }

    /// Takes this call out of its ring.
    pub(super) fn unlink(self) {
        let (Some(prev), Some(next)) =
            self.links(|links| (links.ring_prev.take(), links.ring_next.take()))
        else {
            return;
        };
        if prev == next {
            prev.links(|links| (links.ring_prev, links.ring_next) = (None, None));
        } else {
            prev.bind(next);
        }
    }

    /// The parked thread right behind this call, if there is one.
    pub(super) fn parked_next(self) -> Option<Self> {
        self.next().filter(|next| *next != self && next.call().wait_kind == WaitKind::Parked)
    }

    /// Makes `next` the one behind this call.
    fn bind(self, next: Self) {
        self.links(|links| links.ring_next = Some(next));
        next.links(|links| links.ring_prev = Some(self));
    }
}
