//! What lies behind a gate: a stack without a lock, so that no fork can leave one locked.
//!
//! # Invariants
//! - OWNED: each node from `top` on belongs to the stack, as a box that nobody else points to.
//! - ONE-POPPER: only the thread that gave back the gate's last hold pops, and the stack's `drop`
//!   comes after that; so a node does not go, or come back, between a look at `top` and its
//!   exchange.
//!
//! # Orderings
//! A push releases what a pop acquires: the node.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

struct Node {
    what: Box<dyn Send>,
    next: *mut Node,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Behind {
    top: AtomicPtr<Node>,
}

// SAFETY: what is pushed is Send, and is touched by the thread that pops it only.
unsafe impl Send for Behind {}
// SAFETY: as above.
unsafe impl Sync for Behind {}

impl Behind {
    /// From any thread.
    pub(super) fn push(&self, what: Box<dyn Send>) {
        let node = Box::into_raw(Box::new(Node { what, next: ptr::null_mut() }));
        let push = |top| {
            // SAFETY: it is not in the stack yet.
            unsafe { (*node).next = top };
            Some(node)
        };
        let _ = self.top.fetch_update(Ordering::Release, Ordering::Relaxed, push);
    }

    /// The one that was pushed last (ONE-POPPER).
    pub(super) fn pop(&self) -> Option<Box<dyn Send>> {
        // SAFETY: OWNED; ONE-POPPER: it stays.
        let next = |top: *mut Node| unsafe { top.as_ref() }.map(|node| node.next);
        let top = self.top.fetch_update(Ordering::Acquire, Ordering::Acquire, next).ok()?;
        // SAFETY: OWNED, and it is out of the stack now.
        Some(unsafe { Box::from_raw(top) }.what)
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
