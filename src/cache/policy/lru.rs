//! Strict LRU: one queue in the order of last use; the first is the one to go.
//!
//! Each read must tell it, under the shard's lock. Scans and loops empty it of all that is worth
//! keeping, so it is for those who need its order, not for those who want hits.

use super::queue::Queues;
use super::weights::Weights;
use super::{Evicted, PolicyEntries};

const QUEUE: usize = 0;

#[derive(Debug)]
pub(super) struct Lru<W: Weights> {
    queues: Queues<W, 1>,
    limit: u64,
}

impl<W: Weights> Lru<W> {
    pub(super) fn new(limit: u64) -> Self {
        Lru { queues: Queues::new(limit), limit }
    }

    pub(super) fn queues(&self) -> &Queues<W, 1> {
        &self.queues
    }

    #[cfg(all(test, not(docache_loom)))]
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Evicts the oldest if one more of this weight does not fit in.
    #[inline(never)]
    pub(super) fn next_victim(
        &mut self,
        entries: &impl PolicyEntries,
        weight: u32,
    ) -> Option<Evicted> {
        if self.queues.weight() + u64::from(weight) <= self.limit {
            return None;
        }
        let oldest = self.queues.first(QUEUE)?;
        self.queues.unlink_first(QUEUE, oldest);
        Some(Evicted { i: oldest, hash: entries.hash(entries.entry(oldest)) })
    }

    pub(super) fn enqueue(&mut self, i: u32, weight: u32) {
        self.queues.push(QUEUE, i, weight);
    }

    #[inline]
    pub(super) fn remove(&mut self, i: u32) {
        self.queues.unlink(i);
    }

    #[inline]
    pub(super) fn touch(&mut self, i: u32) {
        if self.queues.queue_of(i).is_some() {
            self.queues.move_to(QUEUE, i);
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.queues.memory()
    }
}
