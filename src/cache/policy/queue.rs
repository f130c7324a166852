//! Queues of slab indices: where each entry of a shard stands.
//!
//! They are unrolled linked lists (Shao, Reppy & Appel 1994): a queue is a list of
//! [blocks](super::blocks), each a cache line with up to 14 entries. So the entries that are next
//! to go lie side by side, and who goes through them need not wait for each before the next is
//! known. `positions` says for each entry which slot it has, so that it can be taken out, or
//! another be put in its place, without a search.
//!
//! Where there is more than one queue, queue 0 stands behind queue 1 in one list: the first of the
//! former goes over to the end of the latter without moving.
//!
//! # Invariants
//! - LINKED: every index that was pushed and not removed since is in one slot, the one that its
//!   position names, and in no other. Positions of other indices are undefined: that such a slot
//!   has another index, or none, tells that an index is in no queue.
//! - ENDS: unless a queue is empty, `head` is the slot of its first entry. The `tail` of a list is
//!   the slot that comes next; if it is no slot but the beginning of a block, the block before that
//!   is full, or counts as full. With `tail` 0 the list has no block. That of queues 0 and 1 is the
//!   `tail` of queue 0.
//! - JOINED: unless queue 0 is empty, its `head` parts the list: in the block of that slot what is
//!   before it is in queue 1, blocks before it have the number 1, and blocks behind it 0. If queue
//!   0 is empty, all blocks have the number 1 but for the last, whose number means nothing.
//! - USED: no block is empty. When an entry is taken out of a block and leaves half of it or less,
//!   the block is merged with a neighbour if both fit into one, unless a queue begins or ends in
//!   either. So a queue of whose entries most were removed needs few blocks.
//! - WEIGHTLESS: those of weight 0 are in no queue, for queues say which entry goes when there is
//!   too much.
//! - WEIGHT: a queue's weight is the sum of its entries' weights.

use super::blocks::{Blocks, NO_BLOCK, Position, SLOTS};
use super::by_index::{ByIndex, some_more};
use super::weights::{Total, Weights};

/// One queue; entries join it behind the last.
#[derive(Clone, Copy, Debug, Default)]
struct Queue<T> {
    head: Position,
    tail: Position,
    len: u32,
    /// What the entries weigh, unless that is their number.
    weight: T,
}

impl<T: Total> Queue<T> {
    #[inline]
    fn weight(&self) -> u64 {
        self.weight.get(self.len)
    }
}

/// So many positions are near in any case.
const NEAR: usize = 1024;

/// `N` queues (one, or three) and the entries in them. What is looked at when one entry takes the
/// place of another comes first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Queues<W: Weights, const N: usize> {
    blocks: Blocks,
    positions: ByIndex<Position>,
    queues: [Queue<W::Total>; N],
    /// How many entries there will be, if that is known.
    expected: u32,
    weights: W,
}

impl<W: Weights, const N: usize> Queues<W, N> {
    /// How many bytes [`substitute`](Self::substitute) looks at, where weights do not differ.
    #[cfg(target_pointer_width = "64")]
    pub(super) const SUBSTITUTED_BYTES: usize = std::mem::offset_of!(Self, queues);

    /// `limit`: that of the weights.
    pub(super) fn new(limit: u64) -> Self {
        let expected = if W::DIFFER { u32::MAX } else { u32::try_from(limit).unwrap_or(u32::MAX) };
        Queues {
            blocks: Blocks::new(),
            positions: ByIndex::default(),
            queues: [Queue::default(); N],
            expected,
            weights: W::default(),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.queues.iter().map(|queue| queue.len as usize).sum()
    }

    #[inline]
    pub(super) fn weight(&self) -> u64 {
        self.queues.iter().map(Queue::weight).sum()
    }

    #[inline]
    pub(super) fn len_of(&self, queue: usize) -> u32 {
        self.queues[queue].len
    }

    #[inline]
    pub(super) fn weight_of(&self, queue: usize) -> u64 {
        self.queues[queue].weight()
    }

    #[inline]
    pub(super) fn entry_weight(&self, i: u32) -> u32 {
        self.weights.get(i)
    }

    /// The entry that has been in the queue for longest.
    #[inline]
    pub(super) fn first(&self, queue: usize) -> Option<u32> {
        let queue = &self.queues[queue];
        (queue.len > 0).then(|| self.blocks.get(queue.head))
    }

    /// The slot of the first.
    #[inline]
    pub(super) fn head(&self, queue: usize) -> Position {
        self.queues[queue].head
    }

    /// Those that come after the first, as far as they lie beside it; perhaps of the queue behind.
    #[inline]
    pub(super) fn beside_first(&self, queue: usize) -> impl Iterator<Item = u32> + '_ {
        self.blocks.behind(self.head(queue))
    }

    /// Those that come next after them and lie side by side.
    #[inline]
    pub(super) fn next_block(&self, queue: usize) -> impl Iterator<Item = u32> + '_ {
        self.blocks.behind_block(self.head(queue).block())
    }

    /// The queue that `i` is in, if it is in one.
    #[inline]
    pub(super) fn queue_of(&self, i: u32) -> Option<usize> {
        self.find(i).map(|position| self.queue_at(position))
    }

    /// The queue of a slot that is in use.
    #[inline]
    fn queue_at(&self, position: Position) -> usize {
        let number = self.blocks.queue(position.block());
        if N == 1 || number > 1 {
            return number;
        }
        let border = self.queues[0].head;
        if self.queues[0].len == 0 {
            1
        } else if position.block() == border.block() {
            usize::from(position < border)
        } else {
            number
        }
    }

    #[inline]
    fn find(&self, i: u32) -> Option<Position> {
        let position = self.positions.get(i);
        (self.blocks.get(position) == i).then_some(position)
    }

    /// Puts `i`, which must be in no queue, behind the last, unless it weighs nothing.
    #[inline(always)]
    pub(super) fn push(&mut self, queue: usize, i: u32, weight: u32) {
        self.make_position(i, weight);
        if !W::DIFFER || weight > 0 {
            self.link(queue, i, weight);
        }
    }

    /// Takes `i` out of its queue, if it is in one.
    #[inline]
    pub(super) fn unlink(&mut self, i: u32) {
        let Some(position) = self.find(i) else { return };
        let (weight, block) = (self.entry_weight(i), position.block());
        let number = self.queue_at(position);
        let left = self.leave(number, position, weight);
        if left > 0 && left <= SLOTS / 2 && block != self.last_block(number) {
            self.merge_if_small(number, block);
        }
        self.forget(i);
    }

    /// Takes `i` out, which must be the first of its queue.
    #[inline]
    pub(super) fn unlink_first(&mut self, queue: usize, i: u32) {
        let weight = self.entry_weight(i);
        debug_assert_eq!(self.first(queue), Some(i));
        self.leave(queue, self.queues[queue].head, weight);
        self.forget(i);
    }

    /// Moves `i`, which must be in a queue, behind the last of `queue`.
    pub(super) fn move_to(&mut self, queue: usize, i: u32) {
        let weight = self.entry_weight(i);
        self.unlink(i);
        self.weights.set(i, weight);
        self.link(queue, i, weight);
    }

    /// Has the first of queue 0, which there must be, be the last of queue 1: it stays where it is
    /// in the list (JOINED).
    #[inline]
    pub(super) fn hand_over(&mut self) {
        let border = self.queues[0].head;
        let weight = self.entry_weight(self.blocks.get(border));
        let next = self.blocks.next_used(border);
        if next.block() != border.block() {
            self.blocks.set_queue(border.block(), 1);
        }
        let from = &mut self.queues[0];
        from.head = next;
        from.len -= 1;
        from.weight.change(0, weight);
        let to = &mut self.queues[1];
        if to.len == 0 {
            to.head = border;
        }
        to.len += 1;
        to.weight.change(weight, 0);
    }

    /// Moves the first of `from`, which is `i`, behind the last of `to`.
    #[inline]
    pub(super) fn move_first(&mut self, from: usize, to: usize, i: u32) {
        let weight = self.entry_weight(i);
        debug_assert_eq!(self.first(from), Some(i));
        self.leave(from, self.queues[from].head, weight);
        self.link(to, i, weight);
    }

    /// Moves the first of a queue behind its last as long as `goes` says so of it, and at most so
    /// many: how many it were. It is not asked about more than it may move.
    #[inline(always)]
    pub(super) fn rotate_while(
        &mut self,
        number: usize,
        most: usize,
        mut goes: impl FnMut(u32) -> bool,
    ) -> usize {
        let Queue { mut head, mut tail, len, .. } = self.queues[number];
        let mut moved = 0;
        while len > 0 && moved < most {
            let i = self.blocks.get(head);
            if !goes(i) {
                break;
            }
            if !tail.is_slot() {
                (self.queues[number].head, self.queues[number].tail) = (head, tail);
                tail = self.append_block(number);
            }
            self.blocks.fill(tail, i);
            self.positions.set(i, tail);
            let from = head;
            (head, tail) = (self.blocks.next_used(from), tail.next());
            if self.blocks.clear(from) == 0 {
                self.queues[number].tail = tail;
                self.free(number, from.block());
            }
            moved += 1;
        }
        (self.queues[number].head, self.queues[number].tail) = (head, tail);
        moved
    }

    /// Puts `new`, which must be in no queue and weigh something, where `old`, which must be in
    /// one, is, and takes `old` out.
    #[inline]
    pub(super) fn substitute(&mut self, old: u32, new: u32, weight: u32) {
        self.make_position(new, weight);
        let position = self.positions.get(old);
        debug_assert_eq!(self.blocks.get(position), old);
        self.blocks.set(position, new);
        self.positions.set(new, position);
        if W::DIFFER {
            let number = self.queue_at(position);
            self.queues[number].weight.change(weight, self.weights.get(old));
        }
        self.forget(old);
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        self.blocks.memory() + self.positions.memory() + self.weights.memory()
    }

    /// Empties the slot of a queue. How many entries are left in its block.
    #[inline(always)]
    fn leave(&mut self, number: usize, position: Position, weight: u32) -> usize {
        let left = self.blocks.clear(position);
        let queue = &mut self.queues[number];
        queue.len -= 1;
        queue.weight.change(0, weight);
        if queue.head == position {
            queue.head = self.blocks.next_used(position);
            if N > 1 && number == 0 && queue.head.block() != position.block() {
                self.blocks.set_queue(position.block(), 1);
            }
        }
        if left == 0 {
            self.free(number, position.block());
        }
        left
    }

    #[inline(always)]
    fn link(&mut self, number: usize, i: u32, weight: u32) {
        debug_assert!(N == 1 || number != 1);
        let position = self.fill_last(number, i);
        let queue = &mut self.queues[number];
        if queue.len == 0 {
            queue.head = position;
        }
        queue.len += 1;
        queue.weight.change(weight, 0);
    }

    /// Puts an entry into the slot at the end of a list.
    #[inline(always)]
    fn fill_last(&mut self, number: usize, i: u32) -> Position {
        let mut position = self.queues[number].tail;
        if !position.is_slot() {
            position = self.append_block(number);
        }
        self.blocks.fill(position, i);
        self.positions.set(i, position);
        self.queues[number].tail = position.next();
        position
    }

    /// Adds a block to a list whose last is full, and returns the first slot of it.
    #[inline(never)]
    fn append_block(&mut self, number: usize) -> Position {
        let last = self.last_block(number);
        // Of each list the first and the last block may have room, and there is one that is none.
        let expected = self.expected as usize / SLOTS + 2 * N + 1;
        let block = self.blocks.append(number, last, expected);
        self.queues[number].tail = Position::first_of(block);
        if last != NO_BLOCK {
            if N > 1 && number == 0 && self.queues[0].len == 0 {
                // What is in it is in queue 1 (JOINED).
                self.blocks.set_queue(last, 1);
            }
            // It is at the end no more.
            self.merge_if_small(number, last);
        }
        Position::first_of(block)
    }

    /// The list of a queue, by the number of the one that has its tail.
    #[inline]
    fn list(number: usize) -> usize {
        if N > 1 && number == 1 { 0 } else { number }
    }

    /// The block at the end of a queue's list.
    #[inline]
    fn last_block(&self, number: usize) -> u32 {
        self.queues[Self::list(number)].tail.previous().block()
    }

    /// Gives back a block that has become empty.
    #[inline(never)]
    fn free(&mut self, number: usize, block: u32) {
        let last = self.last_block(number);
        let (previous, _) = self.blocks.free(block);
        if last == block {
            self.queues[Self::list(number)].tail = Position::behind(previous);
        }
    }

    /// Puts the entries of two neighbours into one block, if they fit and no queue begins or ends
    /// in either.
    #[inline(never)]
    fn merge_if_small(&mut self, number: usize, block: u32) {
        let (previous, next) = self.blocks.neighbours(block);
        let heads =
            self.queues.map(|queue| if queue.len > 0 { queue.head.block() } else { NO_BLOCK });
        let last = self.last_block(number);
        for (one, other) in [(block, next), (previous, block)] {
            let stays = |block| block == NO_BLOCK || block == last || heads.contains(&block);
            if stays(one) || stays(other) {
                continue;
            }
            if self.blocks.used(one) + self.blocks.used(other) <= SLOTS {
                let positions = &mut self.positions;
                return self.blocks.merge(one, other, |i, position| positions.set(i, position));
            }
        }
    }

    /// `i` is in no queue any more.
    #[inline]
    fn forget(&mut self, i: u32) {
        self.positions.forget(i);
        self.weights.clear(i);
    }

    #[inline]
    fn make_position(&mut self, i: u32, weight: u32) {
        if i as usize >= self.positions.near() {
            self.grow(i as usize + 1);
        }
        self.weights.set(i, weight);
    }

    /// Makes `needed` positions near and [some more](some_more): beyond the expected number, too,
    /// since entries that were evicted keep their index until their memory is free again. But not
    /// many more than there are entries: others are far.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, needed: usize) {
        if needed > 2 * self.len() + NEAR {
            return;
        }
        let wanted = needed.max(some_more(self.positions.near(), self.expected as usize, 16));
        self.positions.grow(wanted);
        self.weights.grow(wanted);
    }
}

#[cfg(all(test, not(docache_loom)))]
impl<W: Weights, const N: usize> Queues<W, N> {
    /// The entries of each queue, oldest first.
    ///
    /// # Panics
    /// If LINKED, ENDS, JOINED or WEIGHT does not hold, or a block is empty.
    pub(super) fn check(&self) -> [Vec<u32>; N] {
        let slots: Vec<_> = (0..N)
            .filter(|&number| Self::list(number) == number)
            .flat_map(|number| self.blocks.check(self.last_block(number)))
            .collect();
        std::array::from_fn(|number| {
            let queue = &self.queues[number];
            let slots: Vec<_> =
                slots.iter().filter(|(position, _)| self.queue_at(*position) == number).collect();
            let entries: Vec<u32> = slots.iter().map(|(_, i)| *i).collect();
            for (position, i) in &slots {
                assert_eq!(self.find(*i), Some(*position), "{i} does not know where it is");
            }
            assert_eq!(queue.len as usize, entries.len());
            if let Some((head, _)) = slots.first() {
                assert_eq!(queue.head, *head);
            }
            let weight: u64 = entries.iter().map(|&i| u64::from(self.entry_weight(i))).sum();
            assert_eq!(weight, queue.weight());
            entries
        })
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests;
