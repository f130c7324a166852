//! Queues over one array of links: where each entry of a shard stands.
//!
//! An entry is known by its slab index; its node says which queue it is in and who stands before and behind it. There
//! is no end mark: a queue's length says where it ends, so the `before` of a first node and the `behind` of a last one
//! hold rubbish, as the nodes of free indices do. Taking out the first entry, which is what a full shard does all day,
//! therefore touches no node but its own.
//!
//! # Invariants
//! - LINKED: every index that was pushed and not removed since is in exactly one queue, the one its node names, and a
//!   queue reaches all its `len` entries from `first` as well as, backwards, from `last`.
//! - WEIGHT: a queue's weight is the sum of its entries' weights.

use std::mem;

/// Low bits of [`Node::behind`]: an index. The two above them: the number of the queue.
const INDEX: u32 = (1 << QUEUE_SHIFT) - 1;
const QUEUE_SHIFT: u32 = 30;

/// The links of one entry.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    before: u32,
    /// The index behind it and, in the upper two bits, the number of its queue.
    behind: u32,
}

impl Node {
    #[inline]
    fn behind(self) -> u32 {
        self.behind & INDEX
    }

    #[inline]
    fn queue(self) -> usize {
        (self.behind >> QUEUE_SHIFT) as usize
    }

    #[inline]
    fn set_behind(&mut self, i: u32) {
        self.behind = self.behind & !INDEX | i;
    }
}

/// One queue; entries join it behind the last.
#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    /// The oldest; rubbish if the queue is empty.
    first: u32,
    /// The youngest; rubbish if the queue is empty.
    last: u32,
    len: u32,
    weight: u64,
}

/// What each entry weighs.
#[derive(Debug)]
enum Weights {
    /// One.
    Unit,
    /// As it was said; the weights of free indices are rubbish.
    Each(Vec<u32>),
}

/// `N` queues (at most four) and the entries in them.
#[derive(Debug)]
pub(super) struct Queues<const N: usize> {
    nodes: Vec<Node>,
    weights: Weights,
    queues: [Queue; N],
    /// How many nodes there will be, if that is known.
    expected: usize,
}

impl<const N: usize> Queues<N> {
    /// `expected`: as many entries as there will be, usually, or `usize::MAX`.
    pub(super) fn new(weighted: bool, expected: usize) -> Self {
        const { assert!(N <= 4, "two bits say which queue") };
        let weights = if weighted { Weights::Each(Vec::new()) } else { Weights::Unit };
        Queues { nodes: Vec::new(), weights, queues: [Queue::default(); N], expected }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.queues.iter().map(|queue| queue.len as usize).sum()
    }

    #[inline]
    pub(super) fn weight(&self) -> u64 {
        self.queues.iter().map(|queue| queue.weight).sum()
    }

    #[inline]
    pub(super) fn weighted(&self) -> bool {
        matches!(self.weights, Weights::Each(_))
    }

    #[inline]
    pub(super) fn len_of(&self, queue: usize) -> u32 {
        self.queues[queue].len
    }

    #[inline]
    pub(super) fn weight_of(&self, queue: usize) -> u64 {
        self.queues[queue].weight
    }

    #[inline]
    pub(super) fn entry_weight(&self, i: u32) -> u32 {
        match &self.weights {
            Weights::Unit => 1,
            Weights::Each(weights) => weights[i as usize],
        }
    }

    /// The entry that has been in the queue for longest.
    #[inline]
    pub(super) fn first(&self, queue: usize) -> Option<u32> {
        let queue = &self.queues[queue];
        (queue.len > 0).then_some(queue.first)
    }

    /// The queue that `i`, which must be in one, is in.
    #[inline]
    pub(super) fn queue_of(&self, i: u32) -> usize {
        self.nodes[i as usize].queue()
    }

    /// Puts `i`, which must be in no queue, behind the last.
    #[inline]
    pub(super) fn push(&mut self, queue: usize, i: u32, weight: u32) {
        self.make_node(i, weight);
        self.link(queue, i, weight);
    }

    /// Takes `i`, which must be in a queue, out of it.
    #[inline]
    pub(super) fn unlink(&mut self, i: u32) {
        let weight = self.entry_weight(i);
        let node = self.nodes[i as usize];
        let queue = &mut self.queues[node.queue()];
        debug_assert!(queue.len > 0, "{i} is in no queue");
        if queue.first == i {
            queue.first = node.behind();
        } else if queue.last == i {
            queue.last = node.before;
        } else {
            self.nodes[node.before as usize].set_behind(node.behind());
            self.nodes[node.behind() as usize].before = node.before;
        }
        queue.len -= 1;
        queue.weight -= u64::from(weight);
    }

    /// Moves `i`, which must be in a queue, behind the last of `queue`.
    #[inline]
    pub(super) fn move_to(&mut self, queue: usize, i: u32) {
        self.unlink(i);
        self.link(queue, i, self.entry_weight(i));
    }

    /// Puts `new`, which must be in no queue, where `old` is, and takes `old` out.
    pub(super) fn substitute(&mut self, old: u32, new: u32, weight: u32) {
        self.make_node(new, weight);
        let node = self.nodes[old as usize];
        let old_weight = self.entry_weight(old);
        let queue = &mut self.queues[node.queue()];
        queue.weight = queue.weight - u64::from(old_weight) + u64::from(weight);
        self.nodes[new as usize] = node;
        if queue.first == old {
            queue.first = new;
        } else {
            self.nodes[node.before as usize].set_behind(new);
        }
        if queue.last == old {
            queue.last = new;
        } else {
            self.nodes[node.behind() as usize].before = new;
        }
        self.set_weight(new, weight);
    }

    /// Takes all entries out. The nodes stay: the slab does too.
    pub(super) fn clear(&mut self) {
        self.queues = [Queue::default(); N];
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        let weights = match &self.weights {
            Weights::Unit => 0,
            Weights::Each(weights) => weights.capacity() * mem::size_of::<u32>(),
        };
        self.nodes.capacity() * mem::size_of::<Node>() + weights
    }

    #[inline]
    fn link(&mut self, number: usize, i: u32, weight: u32) {
        let queue = &mut self.queues[number];
        let before = queue.last;
        if queue.len == 0 {
            queue.first = i;
        } else {
            self.nodes[before as usize].set_behind(i);
        }
        queue.last = i;
        queue.len += 1;
        queue.weight += u64::from(weight);
        self.nodes[i as usize] = Node { before, behind: (number as u32) << QUEUE_SHIFT };
    }

    #[inline]
    fn make_node(&mut self, i: u32, weight: u32) {
        debug_assert!(i <= INDEX);
        if i as usize >= self.nodes.len() {
            self.grow(i as usize + 1);
        }
        self.set_weight(i, weight);
    }

    #[inline]
    fn set_weight(&mut self, i: u32, weight: u32) {
        match &mut self.weights {
            Weights::Unit => debug_assert_eq!(weight, 1),
            Weights::Each(weights) => weights[i as usize] = weight,
        }
    }

    /// Makes `needed` nodes and some more: twice as many as before up to the expected number, beyond it a sixteenth
    /// (entries that were thrown out keep their index until their memory is free again).
    #[cold]
    #[inline(never)]
    fn grow(&mut self, needed: usize) {
        let had = self.nodes.len();
        let some_more =
            if had < self.expected { (2 * had).max(16).min(self.expected) } else { had + had / 16 + 4 };
        let wanted = needed.max(some_more);
        resize(&mut self.nodes, wanted);
        if let Weights::Each(weights) = &mut self.weights {
            resize(weights, wanted);
        }
    }
}

/// Makes `vec` exactly as long as said, and no larger.
pub(super) fn resize<T: Clone + Default>(vec: &mut Vec<T>, len: usize) {
    vec.reserve_exact(len.saturating_sub(vec.len()));
    vec.resize(len, T::default());
}

#[cfg(all(test, not(docache_loom)))]
impl<const N: usize> Queues<N> {
    /// The entries of each queue, oldest first.
    ///
    /// # Panics
    /// If LINKED or WEIGHT does not hold.
    pub(super) fn check(&self) -> [Vec<u32>; N] {
        std::array::from_fn(|number| {
            let queue = &self.queues[number];
            let (mut entries, mut at) = (Vec::new(), queue.first);
            for place in 0..queue.len {
                let node = self.nodes[at as usize];
                assert_eq!(node.queue(), number, "{at} names another queue than the one it is in");
                assert!(place == 0 || entries.last() == Some(&node.before), "{at} does not know its elder");
                entries.push(at);
                at = node.behind();
            }
            assert!(entries.is_empty() || entries.last() == Some(&queue.last));
            let weight: u64 = entries.iter().map(|&i| u64::from(self.entry_weight(i))).sum();
            assert_eq!(weight, queue.weight);
            entries
        })
    }
}
