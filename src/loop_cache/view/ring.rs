//! A persistent ring: the newest `capacity` items, where pushing leaves every clone as it was.
//!
//! A tree of fixed fan-out is indexed by place (`item number % capacity`). Clones share it. A push
//! copies what they share of the path from the root to that place, and changes the rest in place:
//! O(log capacity) time and memory, whatever the ring holds. This is the path copying of Driscoll,
//! Sarnak, Sleator and Tarjan (1989) on the array trie of Bagwell (2001). It keeps exactly the
//! items it shows: the item that a push overwrites is released with the last version that has it.
//!
//! # Invariants
//! - PLACE: item number `n` (from 0) stands at place `n % capacity`; the ring shows the numbers
//!   `end - len .. end`.
//! - HEIGHT: the tree's places reach `FANOUT ^ height`, enough for every place ever filled;
//!   `height` grows with the ring and never exceeds what `capacity` needs.

use std::sync::Arc;

/// Children of a node: a power of two. Eight measured best for a push: fewer make the path longer,
/// more make its copies wider.
const FANOUT: usize = 8;
const BITS: u32 = FANOUT.trailing_zeros();

#[derive(Clone)]
enum Node<T> {
    Empty,
    Item(T),
    Branch(Arc<[Node<T>; FANOUT]>),
}

/// The newest `capacity` items pushed; see the module's head.
#[derive(Clone)]
pub(super) struct Ring<T> {
    root: Node<T>,
    height: u32,
    capacity: usize,
    /// Items ever pushed.
    end: u64,
}

impl<T: Clone> Ring<T> {
    pub(super) fn new(capacity: usize) -> Ring<T> {
        Ring { root: Node::Empty, height: 0, capacity, end: 0 }
    }

    pub(super) fn len(&self) -> usize {
        usize::try_from(self.end).map_or(self.capacity, |end| end.min(self.capacity))
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    fn place(&self, number: u64) -> usize {
        // The remainder is below `capacity`, a usize.
        (number % self.capacity as u64) as usize
    }

    /// Adds `item` as the newest, and drops the oldest if the ring was full.
    pub(super) fn push(&mut self, item: T) {
        let number = self.end;
        self.end += 1;
        if self.capacity == 0 {
            return;
        }
        let place = self.place(number);
        while !reaches(self.height, place) {
            let first = std::mem::replace(&mut self.root, Node::Empty);
            self.root = Node::Branch(Arc::new(with_first(first)));
            self.height += 1;
        }
        self.root.put(self.height, place, item);
    }

    /// The `index`-th item, counted from the oldest.
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        if index >= self.len() {
            return None;
        }
        let first = self.end - self.len() as u64;
        self.root.get(self.height, self.place(first + index as u64))
    }
}

/// Whether a tree of this height has the place.
fn reaches(height: u32, place: usize) -> bool {
    place.checked_shr(height * BITS).is_none_or(|rest| rest == 0)
}

/// The child through which a node of `height` leads to `place`.
fn child(height: u32, place: usize) -> usize {
    (place >> ((height - 1) * BITS)) % FANOUT
}

fn with_first<T>(node: Node<T>) -> [Node<T>; FANOUT] {
    let mut children = [const { Node::Empty }; FANOUT];
    children[0] = node;
    children
}

impl<T: Clone> Node<T> {
    /// Puts `item` at `place` of this subtree; what other trees share of it is copied first.
    fn put(&mut self, height: u32, place: usize, item: T) {
        if height == 0 {
            *self = Node::Item(item);
            return;
        }
        if !matches!(self, Node::Branch(_)) {
            *self = Node::Branch(Arc::new(with_first(Node::Empty)));
        }
        if let Node::Branch(children) = self {
            Arc::make_mut(children)[child(height, place)].put(height - 1, place, item);
        }
    }

    fn get(&self, height: u32, place: usize) -> Option<&T> {
        let mut node = self;
        for height in (1..=height).rev() {
            let Node::Branch(children) = node else { return None };
            node = &children[child(height, place)];
        }
        match node {
            Node::Item(item) => Some(item),
            Node::Empty | Node::Branch(_) => None,
        }
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn every_version_stays_what_it_was(
            capacity in 0_usize..150,
            pushes in 0_usize..400,
            keep_every in 1_usize..5,
        ) {
            let mut model = VecDeque::new();
            let mut versions = vec![(Ring::new(capacity), model.clone())];
            for item in 0..pushes {
                model.push_back(item);
                if model.len() > capacity {
                    model.pop_front();
                }
                // What an older version shares is copied; what none does, changed in place.
                let mut ring = if item % keep_every == 0 {
                    versions.last().map(|(ring, _)| ring.clone()).unwrap()
                } else {
                    versions.pop().unwrap().0
                };
                ring.push(item);
                versions.push((ring, model.clone()));
            }
            for (ring, model) in versions {
                let items: Vec<_> = (0..ring.len()).filter_map(|index| ring.get(index).copied()).collect();
                prop_assert_eq!(items, model.into_iter().collect::<Vec<_>>());
                prop_assert_eq!(ring.get(ring.len()), None);
            }
        }
    }

    #[test]
    fn an_item_is_released_with_the_last_version_that_shows_it() {
        let item = Arc::new(());
        let mut old = Ring::new(2);
        old.push(item.clone());
        let mut newer = old.clone();
        newer.push(Arc::new(()));
        newer.push(Arc::new(()));
        assert_eq!(Arc::strong_count(&item), 2);
        drop(old);
        assert_eq!(Arc::strong_count(&item), 1);
        assert_eq!(newer.len(), 2);
    }

    #[test]
    fn a_huge_capacity_costs_only_what_is_pushed() {
        let mut ring = Ring::new(usize::MAX);
        for item in 0..1_000 {
            ring.push(item);
        }
        assert_eq!((ring.len(), ring.get(999)), (1_000, Some(&999)));
    }
}
