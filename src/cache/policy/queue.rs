//! Queues over one array of links: where each entry of a shard stands.
//!
//! An entry is known by its slab index; its node says which queue it is in and what stands before
//! and behind it. There is no end mark: a queue's length says where it ends, so the `prev` of a
//! first node and the `next` of a last one are undefined, as the nodes of free indices are. Taking
//! out the first entry, which is what a full shard does all day, therefore touches no node but its
//! own.
//!
//! Where there is more than one queue, queue 0 stands behind queue 1 in one list: the first of the
//! former goes over to the end of the latter without moving, also all day long.
//!
//! # Invariants
//! - LINKED: every index that was pushed and not removed since is in exactly one queue, the one its
//!   node names, and a queue reaches all its `len` entries from `first` as well as, backwards, from
//!   `last`.
//! - JOINED: in the list of queues 1 and 0, the last of queue 1 and the first of queue 0, if there
//!   are both, are neighbours.
//! - WEIGHTLESS: but those of weight 0 are in none, for queues say which entry goes when there is
//!   too much.
//! - WEIGHT: a queue's weight is the sum of its entries' weights.

use std::fmt::Debug;

use super::by_index::ByIndex;

/// Low bits of [`Node::next`]: an index. The two above them: the number of the queue.
const INDEX: u32 = (1 << QUEUE_SHIFT) - 1;
const QUEUE_SHIFT: u32 = 30;

/// What is in the place of a queue's number where an entry is in none.
const NOWHERE: usize = 3;

/// The links of one entry.
#[derive(Clone, Copy, Debug)]
struct Node {
    prev: u32,
    /// The index after it and, in the upper two bits, the number of its queue.
    next: u32,
}

impl Default for Node {
    fn default() -> Node {
        Node { prev: 0, next: (NOWHERE as u32) << QUEUE_SHIFT }
    }
}

impl Node {
    #[inline]
    fn next(self) -> u32 {
        self.next & INDEX
    }

    #[inline]
    fn queue(self) -> usize {
        (self.next >> QUEUE_SHIFT) as usize
    }

    #[inline]
    fn set_next(&mut self, i: u32) {
        self.next = self.next & !INDEX | i;
    }
}

/// One queue; entries join it behind the last.
#[derive(Clone, Copy, Debug, Default)]
struct Queue<T> {
    /// The oldest; undefined if the queue is empty.
    first: u32,
    /// The youngest; undefined if the queue is empty.
    last: u32,
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

/// What the entries of a queue weigh together.
pub(super) trait Total: Copy + Debug + Default {
    fn get(self, len: u32) -> u64;
    /// Some weight more, some less.
    fn change(&mut self, more: u32, less: u32);
}

/// Their number.
impl Total for () {
    #[inline]
    fn get(self, len: u32) -> u64 {
        u64::from(len)
    }

    #[inline]
    fn change(&mut self, _: u32, _: u32) {}
}

impl Total for u64 {
    #[inline]
    fn get(self, _: u32) -> u64 {
        self
    }

    #[inline]
    fn change(&mut self, more: u32, less: u32) {
        *self = *self + u64::from(more) - u64::from(less);
    }
}

/// What each entry weighs.
pub(super) trait Weights: Debug + Default {
    /// Whether weights differ; else each is 1.
    const DIFFER: bool;
    type Total: Total;
    fn get(&self, i: u32) -> u32;
    fn set(&mut self, i: u32, weight: u32);
    fn clear(&mut self, i: u32);
    /// Makes so many indices near; see [`ByIndex`].
    fn grow(&mut self, near: usize);
    /// Bytes on the heap.
    fn memory(&self) -> usize;
}

/// One.
#[derive(Debug, Default)]
pub(super) struct UnitWeight;

impl Weights for UnitWeight {
    const DIFFER: bool = false;
    type Total = ();

    #[inline]
    fn get(&self, _: u32) -> u32 {
        1
    }

    #[inline]
    fn set(&mut self, _: u32, weight: u32) {
        debug_assert_eq!(weight, 1);
    }

    fn clear(&mut self, _: u32) {}

    fn grow(&mut self, _: usize) {}

    fn memory(&self) -> usize {
        0
    }
}

/// As it was said; that of free indices is 0.
#[derive(Debug, Default)]
pub(super) struct PerEntryWeight(ByIndex<u32>);

impl Weights for PerEntryWeight {
    const DIFFER: bool = true;
    type Total = u64;

    #[inline]
    fn get(&self, i: u32) -> u32 {
        self.0.get(i)
    }

    #[inline]
    fn set(&mut self, i: u32, weight: u32) {
        if weight == 0 { self.0.clear(i) } else { self.0.set(i, weight) }
    }

    #[inline]
    fn clear(&mut self, i: u32) {
        self.0.clear(i);
    }

    fn grow(&mut self, near: usize) {
        self.0.grow(near);
    }

    fn memory(&self) -> usize {
        self.0.memory()
    }
}

/// So many nodes are near in any case.
const NEAR: usize = 1024;

/// `N` queues (at most three) and the entries in them. What each write looks at comes first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Queues<W: Weights, const N: usize> {
    queues: [Queue<W::Total>; N],
    /// How many nodes there will be, if that is known.
    expected: u32,
    nodes: ByIndex<Node>,
    weights: W,
}

impl<W: Weights, const N: usize> Queues<W, N> {
    /// `limit`: that of the weights.
    pub(super) fn new(limit: u64) -> Self {
        const { assert!(N <= NOWHERE, "two bits say which queue") };
        let expected = if W::DIFFER { u32::MAX } else { u32::try_from(limit).unwrap_or(u32::MAX) };
        Queues {
            queues: [Queue::default(); N],
            nodes: ByIndex::default(),
            weights: W::default(),
            expected,
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
        (queue.len > 0).then_some(queue.first)
    }

    /// The queue that `i` is in, if it is in one.
    #[inline]
    pub(super) fn queue_of(&self, i: u32) -> Option<usize> {
        let queue = self.nodes.get(i).queue();
        (queue != NOWHERE).then_some(queue)
    }

    /// Puts `i`, which must be in no queue, behind the last, unless it weighs nothing.
    #[inline(always)]
    pub(super) fn push(&mut self, queue: usize, i: u32, weight: u32) {
        self.make_node(i, weight);
        if !W::DIFFER || weight > 0 {
            self.link(queue, i, weight);
        }
    }

    /// Takes `i` out of its queue, if it is in one.
    #[inline]
    pub(super) fn unlink(&mut self, i: u32) {
        let node = self.nodes.get(i);
        let weight = self.entry_weight(i);
        let (follows, leads) = (self.joined(1), self.joined(0));
        let number = node.queue();
        let Some(queue) = self.queues.get_mut(number) else { return };
        queue.len -= 1;
        queue.weight.change(0, weight);
        let mut prev = true;
        if queue.first == i {
            queue.first = node.next();
            prev = number == 0 && follows;
        }
        let mut next = true;
        if queue.last == i {
            queue.last = node.prev;
            next = number == 1 && leads;
        }
        if prev {
            self.nodes.update(node.prev, |prev| prev.set_next(node.next()));
        }
        if next {
            self.nodes.update(node.next(), |next| next.prev = node.prev);
        }
        self.nodes.clear(i);
        self.weights.clear(i);
    }

    /// Takes `i` out, which must be the first of its queue, and of the list.
    #[inline]
    pub(super) fn unlink_first(&mut self, i: u32) {
        let weight = self.entry_weight(i);
        self.leave_first(i, weight);
        self.nodes.clear(i);
        self.weights.clear(i);
    }

    /// Moves `i`, which must be in a queue, behind the last of `queue`.
    pub(super) fn move_to(&mut self, queue: usize, i: u32) {
        let weight = self.entry_weight(i);
        self.unlink(i);
        self.weights.set(i, weight);
        self.link(queue, i, weight);
    }

    /// Moves `i`, which must be the first of its queue, and of the list, behind the last of
    /// `queue`.
    #[inline]
    pub(super) fn move_first(&mut self, queue: usize, i: u32) {
        let weight = self.entry_weight(i);
        self.leave_first(i, weight);
        self.link(queue, i, weight);
    }

    /// Has the first of queue 0, which there must be, be the last of queue 1: it stays where it is
    /// in the list (JOINED).
    #[inline]
    pub(super) fn hand_over(&mut self) {
        let i = self.queues[0].first;
        let (weight, node) = (self.entry_weight(i), self.nodes.get(i));
        let from = &mut self.queues[0];
        from.first = node.next();
        from.len -= 1;
        from.weight.change(0, weight);
        let to = &mut self.queues[1];
        if to.len == 0 {
            to.first = i;
        }
        to.last = i;
        to.len += 1;
        to.weight.change(weight, 0);
        self.nodes.set(i, Node { prev: node.prev, next: node.next() | 1 << QUEUE_SHIFT });
    }

    /// Puts `new`, which must be in no queue and weigh something, where `old`, which must be in
    /// one, is, and takes `old` out.
    #[inline]
    pub(super) fn substitute(&mut self, old: u32, new: u32, weight: u32) {
        self.make_node(new, weight);
        let node = self.nodes.get(old);
        let old_weight = self.entry_weight(old);
        let (follows, leads) = (self.joined(1), self.joined(0));
        let number = node.queue();
        let queue = &mut self.queues[number];
        queue.weight.change(weight, old_weight);
        let mut prev = true;
        if queue.first == old {
            queue.first = new;
            prev = number == 0 && follows;
        }
        let mut next = true;
        if queue.last == old {
            queue.last = new;
            next = number == 1 && leads;
        }
        if prev {
            self.nodes.update(node.prev, |prev| prev.set_next(new));
        }
        if next {
            self.nodes.update(node.next(), |next| next.prev = new);
        }
        self.nodes.set(new, node);
        self.nodes.clear(old);
        self.weights.clear(old);
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        self.nodes.memory() + self.weights.memory()
    }

    /// Whether there are entries of this queue, 0 or 1, in a list with those of the other.
    #[inline]
    fn joined(&self, number: usize) -> bool {
        N > 1 && self.queues[number].len > 0
    }

    #[inline]
    fn leave_first(&mut self, i: u32, weight: u32) {
        let node = self.nodes.get(i);
        let queue = &mut self.queues[node.queue()];
        debug_assert_eq!(queue.first, i);
        queue.first = node.next();
        queue.len -= 1;
        queue.weight.change(0, weight);
        debug_assert!(node.queue() != 0 || !self.joined(1));
    }

    #[inline(always)]
    fn link(&mut self, number: usize, i: u32, weight: u32) {
        let before = match number {
            0 if self.queues[0].len == 0 && self.joined(1) => &self.queues[1],
            _ => &self.queues[number],
        };
        let prev = (before.len > 0).then_some(before.last);
        let next = (number == 1 && self.joined(0)).then(|| self.queues[0].first);
        let queue = &mut self.queues[number];
        if queue.len == 0 {
            queue.first = i;
        }
        queue.last = i;
        queue.len += 1;
        queue.weight.change(weight, 0);
        if let Some(prev) = prev {
            self.nodes.update(prev, |prev| prev.set_next(i));
        }
        if let Some(next) = next {
            self.nodes.update(next, |next| next.prev = i);
        }
        let (prev, next) = (prev.unwrap_or_default(), next.unwrap_or_default());
        self.nodes.set(i, Node { prev, next: next | (number as u32) << QUEUE_SHIFT });
    }

    #[inline]
    fn make_node(&mut self, i: u32, weight: u32) {
        debug_assert!(i <= INDEX);
        if i as usize >= self.nodes.near() {
            self.grow(i as usize + 1);
        }
        self.weights.set(i, weight);
    }

    /// Makes `needed` nodes near and some more: twice as many as before up to the expected number,
    /// beyond it a sixteenth (entries that were evicted keep their index until their memory is
    /// free again). But not many more than there are entries: others are far.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, needed: usize) {
        if needed > 2 * self.len() + NEAR {
            return;
        }
        let (had, expected) = (self.nodes.near(), self.expected as usize);
        let some_more =
            if had < expected { (2 * had).max(16).min(expected) } else { had + had / 16 + 4 };
        let wanted = needed.max(some_more);
        self.nodes.grow(wanted);
        self.weights.grow(wanted);
    }
}

#[cfg(all(test, not(docache_loom)))]
impl<W: Weights, const N: usize> Queues<W, N> {
    /// The entries of each queue, oldest first.
    ///
    /// # Panics
    /// If LINKED, JOINED or WEIGHT does not hold.
    pub(super) fn check(&self) -> [Vec<u32>; N] {
        if self.joined(0) && self.joined(1) {
            let (last, first) = (self.queues[1].last, self.queues[0].first);
            assert_eq!((self.nodes.get(last).next(), self.nodes.get(first).prev), (first, last));
        }
        std::array::from_fn(|number| {
            let queue = &self.queues[number];
            let (mut entries, mut at) = (Vec::new(), queue.first);
            for place in 0..queue.len {
                let node = self.nodes.get(at);
                assert_eq!(node.queue(), number, "{at} names another queue than the one it is in");
                assert!(
                    place == 0 || entries.last() == Some(&node.prev),
                    "{at} does not know its elder"
                );
                entries.push(at);
                at = node.next();
            }
            assert!(entries.is_empty() || entries.last() == Some(&queue.last));
            let weight: u64 = entries.iter().map(|&i| u64::from(self.entry_weight(i))).sum();
            assert_eq!(weight, queue.weight());
            entries
        })
    }
}
