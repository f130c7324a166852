//! The retired entries and tables of a shard, which some reader may still see.
//!
//! # State
//! `indices` are the retired entries, oldest first. They wait in batches, because taking a cookie
//! costs a fence: `in_front` counts those that are left of the first batch, and `batches` has the
//! others, each batch with the cookie that was taken when it was sealed; the last `unsealed` of
//! them are in no batch yet. If there is a batch, there is one in front. If entries have weights, a
//! batch counts with its whole weight until its last entry has left. `tables` are tables that were
//! replaced.
//!
//! # Invariants
//! - UNLINKED: what is here is in no table that is published, and in no queue.
//! - FIFO: cookies are taken from front to back, under the lock. So it is enough to look at the
//!   first batch: those behind it elapse with it or later. (One whose period was cancelled may
//!   elapse later than those behind it, which then wait for it.)
//! - ONCE: an entry comes here once, and leaves when its cookie has elapsed; then it is the shard's
//!   alone.

use std::collections::VecDeque;

use super::table::Table;
use crate::cache::reclaim::GraceCookie;

/// How many entries share a cookie at most.
const BATCH: u32 = if cfg!(docache_loom) { 1 } else { 16 };

/// Places that were sealed together.
#[derive(Clone, Copy, Debug)]
struct Batch {
    cookie: GraceCookie,
    places: u32,
    weight: u64,
}

/// Queues for fewer places are not made smaller.
const MIN_SHRINK_LEN: usize = 1024;

/// A table of more bytes than this is reason enough to wake the background; smaller ones wait for
/// the next table.
const EAGER_TABLE_BYTES: usize = 16 << 10;

fn is_large(table: Table) -> bool {
    table.memory() > EAGER_TABLE_BYTES
}

/// What each write changes comes first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Limbo {
    indices: VecDeque<u32>,
    front_cookie: GraceCookie,
    in_front: u32,
    unsealed: u32,
    front_weight: u64,
    /// The weight of all that waits, in batches and in none.
    weight: u64,
    /// The weight of what is in no batch.
    unsealed_weight: u64,
    /// The weight that makes a batch full.
    batch_weight: u64,
    batches: VecDeque<Batch>,
    tables: Vec<(GraceCookie, Table)>,
}

impl Limbo {
    pub(crate) fn new(batch_weight: u64) -> Limbo {
        Limbo {
            indices: VecDeque::new(),
            front_cookie: GraceCookie::default(),
            in_front: 0,
            unsealed: 0,
            front_weight: 0,
            weight: 0,
            unsealed_weight: 0,
            batch_weight,
            batches: VecDeque::new(),
            tables: Vec::new(),
        }
    }

    /// How many entries wait.
    pub(crate) fn len(&self) -> usize {
        self.indices.len()
    }

    /// What they weigh.
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.indices.is_empty() && self.tables.is_empty()
    }

    /// Whether there are tables among what waits, and not only small ones.
    #[cfg_attr(docache_loom, allow(dead_code, reason = "models have no background"))]
    pub(crate) fn has_large_tables(&self) -> bool {
        self.tables.iter().any(|(_, table)| is_large(*table))
    }

    /// Adds an entry. Returns whether this has filled a batch, so that
    /// [`advance_throttled`](crate::cache::reclaim::advance_throttled) is due.
    #[inline]
    pub(crate) fn retire(&mut self, index: u32) -> bool {
        self.indices.push_back(index);
        self.unsealed += 1;
        let full = self.unsealed >= BATCH;
        if full {
            self.seal();
        }
        full
    }

    /// Adds the weight of the entries that were retired since the last call. True if that filled a
    /// batch, as for [`retire`](Limbo::retire).
    #[inline]
    pub(crate) fn add_weight(&mut self, weight: u64) -> bool {
        self.weight += weight;
        if self.unsealed > 0 || self.in_front == 0 {
            self.unsealed_weight += weight;
        } else {
            // The entries that weigh this have just filled, and sealed, the last batch.
            let last = self.batches.back_mut().map(|last| &mut last.weight);
            *last.unwrap_or(&mut self.front_weight) += weight;
        }
        let full = self.unsealed_weight >= self.batch_weight;
        if full {
            self.seal();
        }
        full
    }

    /// Takes a table in. Whether it is a large one, which should not wait for the next.
    pub(crate) fn retire_table(&mut self, table: Table) -> bool {
        self.tables.push((GraceCookie::take(), table));
        is_large(table)
    }

    /// Seals the entries that are in no batch yet, if there are any.
    pub(crate) fn seal(&mut self) {
        if self.unsealed > 0 {
            let cookie = GraceCookie::take();
            let batch = Batch { cookie, places: self.unsealed, weight: self.unsealed_weight };
            if self.in_front == 0 {
                self.put_in_front(batch);
            } else {
                self.batches.push_back(batch);
            }
            (self.unsealed, self.unsealed_weight) = (0, 0);
        }
    }

    /// The oldest entry, if nobody can see it any more.
    #[inline]
    pub(crate) fn pop_elapsed(&mut self) -> Option<u32> {
        if self.in_front == 0 || !self.front_cookie.has_elapsed() {
            return None;
        }
        self.in_front -= 1;
        if self.in_front == 0 {
            self.next_batch();
        }
        self.indices.pop_front()
    }

    fn put_in_front(&mut self, batch: Batch) {
        self.front_cookie = batch.cookie;
        (self.in_front, self.front_weight) = (batch.places, batch.weight);
    }

    /// The first batch has left. Gives memory back that the queues needed while a guard was held
    /// for long.
    #[inline(never)]
    fn next_batch(&mut self) {
        self.weight -= self.front_weight;
        if let Some(batch) = self.batches.pop_front() {
            self.put_in_front(batch);
        }
        if self.indices.capacity() > MIN_SHRINK_LEN
            && self.indices.len() < self.indices.capacity() / 8
        {
            self.indices.shrink_to(self.indices.capacity() / 2);
            self.batches.shrink_to(self.batches.len());
        }
    }

    /// Frees the tables that nobody can see any more.
    pub(crate) fn free_tables(&mut self) {
        self.tables.retain(|(cookie, table)| {
            let elapsed = cookie.has_elapsed();
            if elapsed {
                // SAFETY: it was unpublished before its cookie was taken, which has elapsed, and
                // leaves the list.
                unsafe { table.free() };
            }
            !elapsed
        });
    }

    /// Bytes of the queues and of the tables that wait.
    pub(crate) fn memory(&self) -> usize {
        let queues = self.indices.capacity() * size_of::<u32>()
            + self.batches.capacity() * size_of::<Batch>();
        queues + self.tables.iter().map(|(_, table)| table.memory()).sum::<usize>()
    }

    /// Everything, for an owner that nobody shares with.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = u32> + '_ {
        for (_, table) in self.tables.drain(..) {
            // SAFETY: the owner is alone, and the table leaves the list.
            unsafe { table.free() };
        }
        self.batches.clear();
        self.in_front = 0;
        (self.unsealed, self.unsealed_weight, self.weight) = (0, 0, 0);
        self.indices.drain(..)
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests;
