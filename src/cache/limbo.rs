//! What was taken out of a shard's table and may still be in some reader's sight.
//!
//! # State
//! `places` are the retired entries, oldest first. They go in batches: the first of them are counted in `batches`, each
//! with the era in which it was closed, and the last `open` are not in a batch yet. (An era costs a fence; a batch shares
//! one.) `tables` are tables that were replaced.
//!
//! # Invariants
//! - UNLINKED: what is here is in no table that is published, and in no queue.
//! - ONCE: an entry comes here once, and leaves when its era is over; then it is the shard's alone.

use std::collections::VecDeque;

use super::reclaim::Era;
use super::table::Table;

/// How many entries share an era.
const BATCH: u32 = if cfg!(docache_loom) { 1 } else { 16 };

#[derive(Debug, Default)]
pub(crate) struct Limbo {
    places: VecDeque<u32>,
    batches: VecDeque<(Era, u32)>,
    open: u32,
    tables: Vec<(Era, Table)>,
}

impl Limbo {
    /// How many entries wait.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.tables.is_empty()
    }

    /// Takes an entry in. Whether a batch is full, so that it is time for a [`hint`](super::reclaim::hint).
    #[inline]
    pub(crate) fn retire(&mut self, place: u32) -> bool {
        self.places.push_back(place);
        self.open += 1;
        self.open >= BATCH && self.close()
    }

    pub(crate) fn retire_table(&mut self, table: Table) {
        self.tables.push((Era::now(), table));
    }

    /// Closes the batch that is open; whether there is anything to wait for.
    pub(crate) fn close(&mut self) -> bool {
        if self.open > 0 {
            self.batches.push_back((Era::now(), self.open));
            self.open = 0;
        }
        !self.is_empty()
    }

    /// The oldest entry, if nobody can see it any more.
    #[inline]
    pub(crate) fn release(&mut self) -> Option<u32> {
        let (era, left) = self.batches.front_mut()?;
        if !era.is_over() {
            return None;
        }
        *left -= 1;
        if *left == 0 {
            self.batches.pop_front();
        }
        self.places.pop_front()
    }

    /// Frees the tables that nobody can see any more.
    pub(crate) fn free_tables(&mut self) {
        self.tables.retain(|(era, table)| {
            let over = era.is_over();
            if over {
                // SAFETY: it was unpublished before its era, which is over, and leaves the list.
                unsafe { table.free() };
            }
            !over
        });
    }

    /// Bytes of the tables that wait.
    pub(crate) fn memory(&self) -> usize {
        self.tables.iter().map(|(_, table)| table.memory()).sum()
    }

    /// Everything, for an owner that nobody shares with.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = u32> + '_ {
        for (_, table) in self.tables.drain(..) {
            // SAFETY: the owner is alone, and the table leaves the list.
            unsafe { table.free() };
        }
        self.batches.clear();
        self.open = 0;
        self.places.drain(..)
    }
}
