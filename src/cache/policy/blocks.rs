//! The blocks of [queues](super::queue).
//!
//! # State
//! A block is a cache line of 16 words: its head, and a slot in each of the 14 others. The head has
//! the numbers of the blocks before and behind it in its queue, the number of that queue, and how
//! many slots are in use. A [`Position`] is the number of a block and that of a word. Block 0 is
//! none: nothing is found there, and it is what is before the first block of a queue and behind the
//! last. Free blocks are linked by the words that otherwise name the next one.

use std::fmt::Debug;

use super::by_index::{longer, some_more};

/// The entries of a block.
pub(super) const SLOTS: usize = WORDS - FIRST_SLOT;
/// The number of the block that is none.
pub(super) const NO_BLOCK: u32 = 0;
/// What is in a slot that is not in use; no index is as high.
const UNUSED: u32 = u32::MAX;

const WORDS: usize = 1 << POSITION_SHIFT;
const POSITION_SHIFT: u32 = 4;
/// `queue:4 | number of the block behind:28`.
const NEXT: usize = 0;
/// `used slots:4 | number of the block before:28`.
const PREVIOUS: usize = 1;
const FIRST_SLOT: usize = 2;

const NUMBER_BITS: u32 = u32::BITS - POSITION_SHIFT;
const NUMBER: u32 = (1 << NUMBER_BITS) - 1;
const ONE_USED: u32 = 1 << NUMBER_BITS;

/// As many entries as there may be: each may have a block of its own, and no block has the last
/// number, so that there is a [`Position`] behind it.
pub(in crate::cache) const MAX_ENTRIES: usize = NUMBER as usize - 1;

/// Where a slot is; or, with one of the first words, nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(u32);

impl Position {
    #[inline]
    pub(super) fn first_of(block: u32) -> Position {
        Position(block << POSITION_SHIFT | FIRST_SLOT as u32)
    }

    /// Behind the last slot of a block.
    #[inline]
    pub(super) fn behind(block: u32) -> Position {
        if block == NO_BLOCK { Position(0) } else { Position((block + 1) << POSITION_SHIFT) }
    }

    #[inline]
    pub(super) fn block(self) -> u32 {
        self.0 >> POSITION_SHIFT
    }

    #[inline]
    fn word(self) -> usize {
        self.0 as usize % WORDS
    }

    /// Whether it is not behind the last slot of a block.
    #[inline]
    pub(super) fn is_slot(self) -> bool {
        self.word() != 0
    }

    #[inline]
    pub(super) fn next(self) -> Position {
        Position(self.0 + 1)
    }

    /// The one before; that of 0 is 0.
    #[inline]
    pub(super) fn previous(self) -> Position {
        Position(self.0.saturating_sub(1))
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Block([u32; WORDS]);

impl Block {
    const NONE: Block = Block([UNUSED; WORDS]);

    #[inline]
    fn next(&self) -> u32 {
        self.0[NEXT] & NUMBER
    }

    #[inline]
    fn set_next(&mut self, next: u32) {
        self.0[NEXT] = self.0[NEXT] & !NUMBER | next;
    }

    #[inline]
    fn queue(&self) -> usize {
        (self.0[NEXT] >> NUMBER_BITS) as usize
    }

    #[inline]
    fn previous(&self) -> u32 {
        self.0[PREVIOUS] & NUMBER
    }

    #[inline]
    fn set_previous(&mut self, previous: u32) {
        self.0[PREVIOUS] = self.0[PREVIOUS] & !NUMBER | previous;
    }

    #[inline]
    fn used(&self) -> usize {
        (self.0[PREVIOUS] >> NUMBER_BITS) as usize
    }

    /// The words of its slots that are in use, from one on.
    #[inline]
    fn used_words(&self, from: usize) -> impl Iterator<Item = usize> + '_ {
        (from..WORDS).filter(|word| self.0[*word] != UNUSED)
    }
}

/// The blocks of a shard's queues.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Blocks {
    all: Box<[Block]>,
    /// The first that is free, or [`NO_BLOCK`].
    free: u32,
    /// From this one on none was ever used.
    fresh: u32,
}

impl Blocks {
    pub(super) fn new() -> Blocks {
        Blocks { all: Box::default(), free: NO_BLOCK, fresh: NO_BLOCK + 1 }
    }

    /// What is in a slot; no index, if it is not in use.
    #[inline]
    pub(super) fn get(&self, position: Position) -> u32 {
        self.all.get(position.block() as usize).map_or(UNUSED, |block| block.0[position.word()])
    }

    /// What is behind it in the same block.
    #[inline]
    pub(super) fn behind(&self, position: Position) -> impl Iterator<Item = u32> + '_ {
        let block = self.block(position.block());
        block.used_words(position.word() + 1).map(|word| block.0[word])
    }

    /// What is in the block behind this one.
    #[inline]
    pub(super) fn behind_block(&self, block: u32) -> impl Iterator<Item = u32> + '_ {
        let next = self.block(self.block(block).next());
        next.used_words(FIRST_SLOT).map(|word| next.0[word])
    }

    #[inline]
    fn block(&self, number: u32) -> &Block {
        self.all.get(number as usize).unwrap_or(&Block::NONE)
    }

    #[inline]
    pub(super) fn queue(&self, block: u32) -> usize {
        self.all[block as usize].queue()
    }

    #[inline]
    pub(super) fn used(&self, block: u32) -> usize {
        self.all[block as usize].used()
    }

    /// The blocks before and behind it.
    pub(super) fn neighbours(&self, block: u32) -> (u32, u32) {
        let block = &self.all[block as usize];
        (block.previous(), block.next())
    }

    /// Gives a block to another queue of its list.
    pub(super) fn set_queue(&mut self, block: u32, queue: usize) {
        let block = &mut self.all[block as usize];
        block.0[NEXT] = block.next() | (queue as u32) << NUMBER_BITS;
    }

    /// The next slot of the list that is in use; if there is none, a slot of no block.
    #[inline]
    pub(super) fn next_used(&self, position: Position) -> Position {
        let block = &self.all[position.block() as usize];
        let mut next = position.next();
        // Mostly it is the first of them.
        while next.is_slot() {
            if block.0[next.word()] != UNUSED {
                return next;
            }
            next = next.next();
        }
        self.first_used(block.next())
    }

    /// The first slot of a block that is in use.
    #[inline(never)]
    fn first_used(&self, block: u32) -> Position {
        let word = self.all[block as usize].used_words(FIRST_SLOT).next();
        Position(block << POSITION_SHIFT | word.unwrap_or_default() as u32)
    }

    /// Puts another entry into a slot that is in use.
    #[inline]
    pub(super) fn set(&mut self, position: Position, i: u32) {
        self.all[position.block() as usize].0[position.word()] = i;
    }

    /// Puts an entry into a slot that is not in use.
    #[inline]
    pub(super) fn fill(&mut self, position: Position, i: u32) {
        let block = &mut self.all[position.block() as usize];
        block.0[position.word()] = i;
        block.0[PREVIOUS] += ONE_USED;
    }

    /// Empties a slot, and returns how many of its block are still in use.
    #[inline]
    pub(super) fn clear(&mut self, position: Position) -> usize {
        let block = &mut self.all[position.block() as usize];
        block.0[position.word()] = UNUSED;
        block.0[PREVIOUS] -= ONE_USED;
        block.used()
    }

    /// Adds an empty block behind the last of a queue. If there is none, makes
    /// [some more](some_more).
    pub(super) fn append(&mut self, queue: usize, last: u32, expected: usize) -> u32 {
        let number = if self.free != NO_BLOCK {
            let number = self.free;
            self.free = self.all[number as usize].next();
            number
        } else {
            if self.fresh as usize >= self.all.len() {
                self.grow(expected);
            }
            self.fresh += 1;
            self.fresh - 1
        };
        let block = &mut self.all[number as usize];
        *block = Block::NONE;
        (block.0[NEXT], block.0[PREVIOUS]) = ((queue as u32) << NUMBER_BITS | NO_BLOCK, last);
        if last != NO_BLOCK {
            self.all[last as usize].set_next(number);
        }
        number
    }

    #[cold]
    fn grow(&mut self, expected: usize) {
        let wanted = some_more(self.all.len(), expected, 4);
        self.all = longer(&self.all, wanted, Block::NONE);
    }

    /// Takes a block out of its queue. Returns those that were before and behind it.
    pub(super) fn free(&mut self, number: u32) -> (u32, u32) {
        let (previous, next) = self.neighbours(number);
        if previous != NO_BLOCK {
            self.all[previous as usize].set_next(next);
        }
        if next != NO_BLOCK {
            self.all[next as usize].set_previous(previous);
        }
        self.all[number as usize].set_next(self.free);
        self.free = number;
        (previous, next)
    }

    /// Puts the entries of `other`, which is behind `one`, into that, where there must be room for
    /// them, and frees `other`. All of them move.
    pub(super) fn merge(&mut self, one: u32, other: u32, mut moved: impl FnMut(u32, Position)) {
        let [to, from] = [one, other].map(|block| self.all[block as usize]);
        let used = (to.used() + from.used()) as u32;
        let mut merged = Block::NONE;
        (merged.0[NEXT], merged.0[PREVIOUS]) = (to.0[NEXT], to.previous() | used << NUMBER_BITS);
        let mut position = Position::first_of(one);
        for block in [to, from] {
            for word in block.used_words(FIRST_SLOT) {
                merged.0[position.word()] = block.0[word];
                moved(block.0[word], position);
                position = position.next();
            }
        }
        self.all[one as usize] = merged;
        let mut empty = Block::NONE;
        (empty.0[NEXT], empty.0[PREVIOUS]) = (from.0[NEXT], from.previous());
        self.all[other as usize] = empty;
        self.free(other);
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.all)
    }
}

#[cfg(all(test, not(docache_loom)))]
impl Blocks {
    /// How many blocks are in a list.
    pub(super) fn in_use(&self) -> usize {
        let (mut free, mut at) = (0, self.free);
        while at != NO_BLOCK {
            (free, at) = (free + 1, self.all[at as usize].next());
        }
        (self.fresh - 1) as usize - free
    }

    /// The slots of a list that are in use, and what is in them.
    ///
    /// # Panics
    /// If a block is empty, or something else of it is wrong.
    pub(super) fn check(&self, last: u32) -> Vec<(Position, u32)> {
        let (mut slots, mut at, mut behind) = (Vec::new(), last, NO_BLOCK);
        while at != NO_BLOCK {
            let block = &self.all[at as usize];
            assert_eq!(block.next(), behind);
            let words: Vec<usize> = block.used_words(FIRST_SLOT).collect();
            assert_eq!(block.used(), words.len());
            assert!(!words.is_empty(), "block {at} is empty");
            let slot = |word: usize| (Position(at << POSITION_SHIFT | word as u32), block.0[word]);
            slots.extend(words.into_iter().rev().map(slot));
            (behind, at) = (at, block.previous());
        }
        slots.reverse();
        slots
    }
}
