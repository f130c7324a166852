//! Which keys have a refresh, as far as can be told without a lock.
//!
//! # State
//! A slot for each few hashes, with the tag of a key that has a refresh, or with none.
//!
//! # Invariants
//! - HINT: a tag is put into its slot when its key is marked, and taken out when the key is
//!   unmarked, if it is still there, both under the queue's lock. So whoever finds a key's tag has
//!   found what a look under the lock would have found, but for another key of the same hash, which
//!   then has its refresh a little later. Whoever does not find it has to look.
//! - In the child of a fork all tags are others: the parent's say nothing there.
//!
//! # Orderings
//! Relaxed: a tag decides only whether a refresh is asked for. That it is gone is seen by whoever
//! comes after that, since a slot's values are seen in their order.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::fork::forks;

/// No tag: those are odd.
const NONE: u64 = 0;

pub(super) struct Hints {
    /// As many as a power of two.
    slots: Box<[AtomicU64]>,
}

impl Hints {
    /// For a queue of this size. One without a bound runs calls, and is not asked for keys.
    pub(super) fn new(size: usize) -> Hints {
        let slots = if cfg!(docache_loom) || size == usize::MAX {
            1
        } else {
            size.clamp(32, 1024).next_power_of_two() * 4
        };
        Hints { slots: (0..slots).map(|_| AtomicU64::new(NONE)).collect() }
    }

    /// Whether the key of this hash has a refresh, if that can be told.
    #[inline]
    pub(super) fn is_marked(&self, hash: u64) -> bool {
        self.slot(hash).load(Ordering::Relaxed) == tag(hash)
    }

    pub(super) fn mark(&self, hash: u64) {
        self.slot(hash).store(tag(hash), Ordering::Relaxed);
    }

    pub(super) fn unmark(&self, hash: u64) {
        let slot = self.slot(hash);
        if slot.load(Ordering::Relaxed) == tag(hash) {
            slot.store(NONE, Ordering::Relaxed);
        }
    }

    #[inline]
    fn slot(&self, hash: u64) -> &AtomicU64 {
        // The tag's lowest bit is not the hash's.
        &self.slots[(hash >> 1) as usize & (self.slots.len() - 1)]
    }
}

#[inline]
fn tag(hash: u64) -> u64 {
    hash.wrapping_add(u64::from(forks()) << 32) | 1
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_of_one_key() {
        let hints = Hints::new(32);
        let (one, same_slot) = (0x1234_5678, 0x1234_5678 + (128 << 1));
        assert!(!hints.is_marked(one) && !hints.is_marked(0));
        hints.mark(one);
        assert!(hints.is_marked(one) && !hints.is_marked(same_slot));
        hints.mark(same_slot);
        assert!(!hints.is_marked(one) && hints.is_marked(same_slot));
        hints.unmark(one);
        assert!(hints.is_marked(same_slot), "that of the other stays");
        hints.unmark(same_slot);
        assert!(!hints.is_marked(same_slot));
    }
}
