//! Which keys have a refresh, as far as can be told without a lock.
//!
//! # State
//! A table of tags, those of keys that have a refresh, in buckets of two: so one of a thousand keys
//! in a table that is a quarter full is rarely pushed out.
//!
//! # Invariants
//! - HINT: a tag is put into its bucket when its key is marked, and taken out when the key is
//!   unmarked, if it is still there, both under the queue's lock. So whoever finds a key's tag has
//!   found what a look under the lock would have found, but for another key of the same bucket and
//!   tag, some 40 bits of the hash, which then has its refresh a little later. Whoever does not
//!   find it has to look.
//! - In the child of a fork all tags are others: the parent's say nothing there.
//!
//! # Orderings
//! Relaxed: a tag decides only whether a refresh is asked for. That it is gone is seen by whoever
//! comes after that, since a slot's values are seen in their order.

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::fork::forks;

/// No tag: those are odd.
const NONE: u32 = 0;

type Bucket = [AtomicU32; 2];

pub(super) struct Hints {
    /// As many as a power of two.
    buckets: Box<[Bucket]>,
}

impl Hints {
    /// For a queue of this size. One without a bound runs calls, and is not asked for keys.
    pub(super) fn new(size: usize) -> Hints {
        let buckets = if cfg!(docache_loom) || size == usize::MAX {
            1
        } else {
            size.clamp(32, 1024).next_power_of_two() * 2
        };
        let bucket = |_| [AtomicU32::new(NONE), AtomicU32::new(NONE)];
        Hints { buckets: (0..buckets).map(bucket).collect() }
    }

    /// Whether the key of this hash has a refresh, if that can be told.
    #[inline]
    pub(super) fn is_marked(&self, hash: u64) -> bool {
        self.slot_of(hash, tag(hash)).is_some()
    }

    pub(super) fn mark(&self, hash: u64) {
        let free = self.slot_of(hash, NONE).unwrap_or(&self.bucket(hash)[0]);
        free.store(tag(hash), Ordering::Relaxed);
    }

    pub(super) fn unmark(&self, hash: u64) {
        if let Some(slot) = self.slot_of(hash, tag(hash)) {
            slot.store(NONE, Ordering::Relaxed);
        }
    }

    #[inline]
    fn bucket(&self, hash: u64) -> &Bucket {
        &self.buckets[hash as usize & (self.buckets.len() - 1)]
    }

    /// The slot of the hash's bucket that has this tag.
    #[inline]
    fn slot_of(&self, hash: u64, tag: u32) -> Option<&AtomicU32> {
        self.bucket(hash).iter().find(|slot| slot.load(Ordering::Relaxed) == tag)
    }
}

#[inline]
fn tag(hash: u64) -> u32 {
    // The lowest bit is not the hash's.
    ((hash >> 32) as u32).wrapping_add(forks() << 1) | 1
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_of_one_key() {
        let hints = Hints::new(32);
        let same_bucket = |n: u64| n << 33 | 5;
        let [one, two, three] = [1, 2, 3].map(same_bucket);
        assert!(!hints.is_marked(one) && !hints.is_marked(0));
        hints.mark(one);
        assert!(hints.is_marked(one) && !hints.is_marked(two) && !hints.is_marked(1 << 33 | 6));
        hints.mark(two);
        assert!(hints.is_marked(one) && hints.is_marked(two));
        hints.mark(three);
        assert!(!hints.is_marked(one) && hints.is_marked(two) && hints.is_marked(three));
        hints.unmark(one);
        assert!(hints.is_marked(two) && hints.is_marked(three), "those of others stay");
        hints.unmark(two);
        assert!(!hints.is_marked(two) && hints.is_marked(three));
        hints.mark(one);
        assert!(hints.is_marked(one) && hints.is_marked(three));
    }
}
