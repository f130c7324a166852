//! The retired entries and tables of a shard, which some reader may still see.
//!
//! # State
//! Retired entries wait in [batches](Batch), because taking a cookie costs a fence. `open` has the
//! `unsealed` that were retired last. A batch is sealed when it is full: it gets a cookie, and
//! joins `batches` behind the others. If entries have weights, a batch counts with its whole weight
//! until its last entry has left. `tables` are tables that were replaced.
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
use crate::sync::prefetch::prefetch;

/// How many entries share a cookie at most: with their number they fill a cache line.
const BATCH: usize = if cfg!(docache_loom) { 1 } else { 14 };

/// Places that were sealed together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    cookie: GraceCookie,
    weight: u64,
    /// Those that are left of it are `places[begin..end]`.
    begin: u32,
    end: u32,
    places: [u32; BATCH],
}

impl Batch {
    /// What is left of it.
    #[inline]
    pub(crate) fn places(&self) -> &[u32] {
        &self.places[self.begin as usize..self.end as usize]
    }
}

/// A queue for fewer batches is not made smaller.
const MIN_SHRINK_LEN: usize = 1024 / BATCH;

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
    unsealed: u32,
    /// How many entries are in `batches`.
    sealed: u32,
    open: [u32; BATCH],
    /// That of the first batch; if there is none, it does not elapse.
    front_cookie: GraceCookie,
    batches: VecDeque<Batch>,
    /// The weight of all that waits, sealed or not.
    weight: u64,
    /// The weight of what is not sealed.
    unsealed_weight: u64,
    /// The weight that makes a batch full.
    batch_weight: u64,
    tables: Vec<(GraceCookie, Table)>,
}

impl Limbo {
    pub(crate) fn new(batch_weight: u64) -> Limbo {
        Limbo {
            unsealed: 0,
            sealed: 0,
            open: [0; BATCH],
            front_cookie: GraceCookie::NEVER,
            batches: VecDeque::new(),
            weight: 0,
            unsealed_weight: 0,
            batch_weight,
            tables: Vec::new(),
        }
    }

    /// How many entries wait.
    pub(crate) fn len(&self) -> usize {
        (self.sealed + self.unsealed) as usize
    }

    /// What they weigh.
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0 && self.tables.is_empty()
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
        self.open[self.unsealed as usize] = index;
        self.unsealed += 1;
        let full = self.unsealed as usize == BATCH;
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
        match self.batches.back_mut() {
            // The entries that weigh this have just filled, and sealed, the last batch.
            Some(last) if self.unsealed == 0 => last.weight += weight,
            _ => self.unsealed_weight += weight,
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
    #[inline(never)]
    pub(crate) fn seal(&mut self) {
        if self.unsealed == 0 {
            return;
        }
        let batch = Batch {
            cookie: GraceCookie::take(),
            weight: self.unsealed_weight,
            begin: 0,
            end: self.unsealed,
            places: self.open,
        };
        if self.batches.is_empty() {
            self.front_cookie = batch.cookie;
        }
        self.batches.push_back(batch);
        self.sealed += self.unsealed;
        (self.unsealed, self.unsealed_weight) = (0, 0);
    }

    /// Whether nobody can see the oldest entry any more.
    #[inline]
    pub(crate) fn has_elapsed(&self) -> bool {
        self.front_cookie.has_elapsed()
    }

    /// Says that the oldest entries will soon be asked for.
    #[inline]
    pub(crate) fn prefetch_front(&self) {
        if let Some(front) = self.batches.front() {
            prefetch(front);
        }
    }

    /// What is left of the oldest batch.
    #[inline]
    pub(crate) fn front(&self) -> &[u32] {
        self.batches.front().map_or(&[], Batch::places)
    }

    /// The oldest entry, if nobody can see it any more.
    #[inline]
    pub(crate) fn pop_elapsed(&mut self) -> Option<u32> {
        if !self.has_elapsed() {
            return None;
        }
        let front = self.batches.front_mut()?;
        let index = front.places[front.begin as usize];
        front.begin += 1;
        self.sealed -= 1;
        if front.begin == front.end {
            self.pop_front();
        }
        Some(index)
    }

    /// What is left of the oldest batch, if nobody can see it any more.
    #[inline]
    pub(crate) fn pop_elapsed_batch(&mut self) -> Option<Batch> {
        if !self.has_elapsed() {
            return None;
        }
        let front = self.pop_front()?;
        self.sealed -= front.end - front.begin;
        Some(front)
    }

    /// The first batch leaves. Gives memory back that the queue needed while a guard was held for
    /// long.
    #[inline(never)]
    fn pop_front(&mut self) -> Option<Batch> {
        let front = self.batches.pop_front()?;
        self.weight -= front.weight;
        self.front_cookie = self.batches.front().map_or(GraceCookie::NEVER, |next| next.cookie);
        let (len, capacity) = (self.batches.len(), self.batches.capacity());
        if capacity > MIN_SHRINK_LEN && len < capacity / 8 {
            self.batches.shrink_to(capacity / 2);
        }
        Some(front)
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

    /// Bytes of the queue and of the tables that wait.
    pub(crate) fn memory(&self) -> usize {
        let queue = self.batches.capacity() * size_of::<Batch>();
        queue + self.tables.iter().map(|(_, table)| table.memory()).sum::<usize>()
    }

    /// Everything, for an owner that nobody shares with.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = u32> + '_ {
        for (_, table) in self.tables.drain(..) {
            // SAFETY: the owner is alone, and the table leaves the list.
            unsafe { table.free() };
        }
        let open = self.open.into_iter().take(self.unsealed as usize);
        (self.front_cookie, self.sealed, self.weight) = (GraceCookie::NEVER, 0, 0);
        (self.unsealed, self.unsealed_weight) = (0, 0);
        let left = |batch: Batch| {
            batch.places.into_iter().take(batch.end as usize).skip(batch.begin as usize)
        };
        self.batches.drain(..).flat_map(left).chain(open)
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests;
