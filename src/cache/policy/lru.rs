//! Strict LRU: one queue in the order of last use; the first is the one to go.
//!
//! Each read must tell it, under the shard's lock. Scans and loops empty it of all that is worth
//! keeping, so it is for those who need its order, not for those who want hits.

use super::PolicyEntries;
use super::queue::{Queues, Weights};

const QUEUE: usize = 0;

#[derive(Debug)]
pub(super) struct Lru<W> {
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

    #[inline]
    pub(super) fn admit(
        &mut self,
        entries: &impl PolicyEntries,
        i: u32,
        weight: u32,
        mut evict: impl FnMut(u32, Option<u64>),
    ) {
        while self.queues.weight() + u64::from(weight) > self.limit {
            let Some(oldest) = self.queues.first(QUEUE) else { break };
            self.queues.unlink(oldest);
            evict(oldest, entries.hash(oldest));
        }
        self.queues.push(QUEUE, i, weight);
    }

    pub(super) fn replace(
        &mut self,
        entries: &impl PolicyEntries,
        old: u32,
        new: u32,
        weight: u32,
        evict: impl FnMut(u32, Option<u64>),
    ) {
        self.queues.unlink(old);
        self.admit(entries, new, weight, evict);
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
