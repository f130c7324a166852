//! Things by the time at which they are due: a hierarchical timer wheel over a slab.
//!
//! Level `l` has 64 slots of 64^l ns each, and eleven levels span all of time. An alarm is in the
//! level of the highest group of six bits in which its tick differs from the time `elapsed`, in the
//! slot of the tick's group there. When `elapsed` reaches a slot, its alarms move to lower levels.
//! A slot of level 0 is one tick, so alarms ring at their exact tick and in the order of their
//! ticks, and in the order in which they were set within a tick. There is nothing to sort.
//!
//! Setting and taking back are O(1); an alarm that rings was moved at most ten times before. Nearly
//! all alarms are timeouts that are taken back before they have ever been moved.
//!
//! # Resolution
//! Slots say where alarms are, not when to look: each slot knows a lower bound of its ticks. The
//! thread that sleeps until [`next`](Wheel::next) therefore wakes at the tick of an alarm and not
//! at the beginning of a slot; only when the first alarm of a slot was taken back may it wake once
//! for nothing.
//!
//! # State
//! Nodes lie in a slab, which grows and is given back as a whole ([`shrink`](Wheel::shrink)); what
//! is not in use is in a list of its own. The slots are allocated with the first nodes. An alarm is
//! named by its node and a number that no other alarm of the wheel ever has.
//!
//! # Invariants
//! - LISTED: a node that holds an item is in the list of the slot that it names, once, and in no
//!   other; one that holds none is in the list of free nodes. `first` and `last` of a slot mean
//!   something only while its bit in `filled` is set; a bit of `occupied` is set while any bit of
//!   that level is.
//! - PLACED: a node is in the slot of its tick ([`place`]) at the time `elapsed`. Hence slots of
//!   lower levels begin before those of higher ones, those of one level are in the order of their
//!   numbers, and none above level 0 contains `elapsed`.
//! - BOUND: no tick in a slot is before its `earliest`, which lies in the slot.
//! - STABLE: a list has the nodes of one tick in the order in which they were set. A slot is
//!   emptied into lower levels only while these are empty, in the order of its list.
//! - PAST: `elapsed` is never after the latest time that was asked about.

use std::fmt;

use super::Tick;
use crate::sync::prefetch::prefetch;

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// As many as 64 bits of time need.
const LEVELS: usize = u64::BITS.div_ceil(BITS) as usize;

/// No node.
const NIL: u32 = u32::MAX;

/// Names one alarm of a wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId {
    number: u64,
    node: u32,
}

impl TimerId {
    /// No alarm.
    pub(crate) const NONE: TimerId = TimerId { number: 0, node: NIL };
}

#[derive(Debug)]
struct Node<T> {
    /// When it rings; a tick that was past when it was set is the `elapsed` of then.
    at: u64,
    /// That of its alarm.
    number: u64,
    item: Option<T>,
    prev: u32,
    /// In its slot, or of the free nodes.
    next: u32,
    slot: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    first: u32,
    last: u32,
    earliest: u64,
}

const EMPTY: Slot = Slot { first: NIL, last: NIL, earliest: 0 };

/// The number of the slot of a tick, among those of all levels, at the time `elapsed`.
#[inline]
fn place(at: u64, elapsed: u64) -> u32 {
    let level = (at ^ elapsed).checked_ilog2().unwrap_or(0) / BITS;
    level * SLOTS as u32 + (at >> (level * BITS)) as u32 % SLOTS as u32
}

/// See the module.
pub(crate) struct Wheel<T> {
    elapsed: u64,
    /// How many alarms were ever set.
    numbered: u64,
    len: usize,
    nodes: Vec<Node<T>>,
    /// The first free node.
    free: u32,
    /// The levels that hold something.
    occupied: u32,
    /// The slots of each level that do.
    filled: [u64; LEVELS],
    slots: Box<[Slot]>,
}

impl<T> Default for Wheel<T> {
    fn default() -> Wheel<T> {
        Wheel {
            elapsed: 0,
            numbered: 0,
            len: 0,
            nodes: Vec::new(),
            free: NIL,
            occupied: 0,
            filled: [0; LEVELS],
            slots: Box::default(),
        }
    }
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("len", &self.len)
            .field("next", &self.next())
            .finish_non_exhaustive()
    }
}

impl<T> Wheel<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many alarms were ever set.
    pub(crate) fn numbered(&self) -> u64 {
        self.numbered
    }

    /// Sets an alarm, which must not be for [`Tick::MAX`]. O(1); allocates only when it holds more
    /// alarms than ever before.
    #[inline]
    pub(crate) fn insert(&mut self, at: Tick, item: T) -> TimerId {
        debug_assert_ne!(at, Tick::MAX);
        if self.free == NIL {
            self.grow();
        }
        let i = self.free;
        self.numbered += 1;
        let node = &mut self.nodes[i as usize];
        self.free = node.next;
        node.at = at.as_nanos().max(self.elapsed);
        node.number = self.numbered;
        node.item = Some(item);
        self.len += 1;
        self.link(i);
        TimerId { number: self.numbered, node: i }
    }

    /// Takes an alarm back, if it has not rung. O(1).
    #[inline]
    pub(crate) fn remove(&mut self, id: TimerId) -> Option<T> {
        if self.contains(id) { self.take(id.node) } else { None }
    }

    /// Whether an alarm is still to ring.
    #[inline]
    pub(crate) fn contains(&self, id: TimerId) -> bool {
        let node = self.nodes.get(id.node as usize);
        node.is_some_and(|node| node.number == id.number && node.item.is_some())
    }

    /// The first of those that are due at `now`. O(1), amortized.
    pub(crate) fn pop_due(&mut self, now: Tick) -> Option<T> {
        let now = now.as_nanos();
        while let Some((level, slot)) = self.first() {
            let Slot { first, earliest, .. } = self.slots[slot as usize];
            let begin = if level == 0 { earliest } else { begin(level, earliest) };
            if earliest <= now {
                // PLACED: this slot begins first of all.
                self.elapsed = begin;
                if level == 0 {
                    return self.take(first);
                }
                self.lower(level, slot);
            } else {
                // No slot that holds something begins at or before this time, so each node stays in
                // the level of the highest group in which its tick differs (PLACED).
                self.elapsed = self.elapsed.max(now.min(begin.saturating_sub(1)));
                return None;
            }
        }
        self.elapsed = self.elapsed.max(now);
        None
    }

    /// When to look again: never after the first alarm, and before it at most once for each that
    /// was taken back.
    #[inline]
    pub(crate) fn next(&self) -> Option<Tick> {
        self.first().map(|(_, slot)| Tick::from_nanos(self.slots[slot as usize].earliest))
    }

    /// The three that are likely to be due next. A hint: it looks into two slots at the most. Asks
    /// for the node of the one after them.
    #[inline]
    pub(crate) fn upcoming(&self) -> [Option<&T>; 3] {
        let Some((level, slot)) = self.first() else { return [None; 3] };
        let mut others = self.filled[level as usize];
        others &= others.wrapping_sub(1);
        let mut i = self.slots[slot as usize].first;
        let mut upcoming = [None; 3];
        for place in &mut upcoming {
            let Some(node) = self.nodes.get(i as usize) else { return upcoming };
            *place = node.item.as_ref();
            i = node.next;
            if i == NIL && others != 0 {
                i = self.slots[(level * SLOTS as u32 + others.trailing_zeros()) as usize].first;
                others = 0;
            }
        }
        if let Some(node) = self.nodes.get(i as usize) {
            prefetch(node);
        }
        upcoming
    }

    /// Gives back the memory of a wheel that is empty.
    pub(crate) fn shrink(&mut self) {
        if self.len == 0 {
            self.nodes = Vec::new();
            self.free = NIL;
            self.slots = Box::default();
        }
    }

    /// The slot that begins first of those that hold something, and its level.
    #[inline]
    fn first(&self) -> Option<(u32, u32)> {
        if self.occupied == 0 {
            return None;
        }
        let level = self.occupied.trailing_zeros();
        let slot = self.filled[level as usize].trailing_zeros();
        Some((level, level * SLOTS as u32 + slot))
    }

    /// Empties a slot that `elapsed` has just reached into lower levels.
    fn lower(&mut self, level: u32, slot: u32) {
        let mut i = self.slots[slot as usize].first;
        self.clear(level, slot % SLOTS as u32);
        while i != NIL {
            let next = self.nodes[i as usize].next;
            self.link(i);
            i = next;
        }
    }

    #[inline]
    fn clear(&mut self, level: u32, number: u32) {
        let filled = &mut self.filled[level as usize];
        *filled &= !(1 << number);
        if *filled == 0 {
            self.occupied &= !(1 << level);
        }
    }

    /// Appends a node to the slot of its tick.
    #[inline]
    fn link(&mut self, i: u32) {
        let node = &mut self.nodes[i as usize];
        let (at, place) = (node.at, place(node.at, self.elapsed));
        let slot = &mut self.slots[place as usize];
        let (level, bit) = (place / SLOTS as u32, 1 << (place % SLOTS as u32));
        (node.slot, node.next) = (place, NIL);
        let filled = &mut self.filled[level as usize];
        if *filled & bit == 0 {
            *filled |= bit;
            self.occupied |= 1 << level;
            node.prev = NIL;
            *slot = Slot { first: i, last: i, earliest: at };
        } else {
            let last = slot.last;
            node.prev = last;
            slot.last = i;
            slot.earliest = slot.earliest.min(at);
            self.nodes[last as usize].next = i;
        }
    }

    /// Takes the item of a node that is in a slot, and the node out of it.
    #[inline]
    fn take(&mut self, i: u32) -> Option<T> {
        let node = &mut self.nodes[i as usize];
        let (prev, next, slot, item) = (node.prev, node.next, node.slot, node.item.take());
        node.next = self.free;
        self.free = i;
        self.len -= 1;
        if prev == NIL && next == NIL {
            self.clear(slot / SLOTS as u32, slot % SLOTS as u32);
            return item;
        }
        match prev {
            NIL => self.slots[slot as usize].first = next,
            _ => self.nodes[prev as usize].next = next,
        }
        match next {
            NIL => self.slots[slot as usize].last = prev,
            _ => self.nodes[next as usize].prev = prev,
        }
        item
    }

    /// Makes a free node where there is none.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        if self.slots.is_empty() {
            self.slots = vec![EMPTY; LEVELS * SLOTS].into_boxed_slice();
        }
        let i = self.nodes.len() as u32;
        assert!(i < NIL, "more alarms than can be numbered");
        self.nodes.push(Node { at: 0, number: 0, item: None, prev: NIL, next: NIL, slot: 0 });
        self.free = i;
    }
}

/// When the slot of a level begins that contains a time.
#[inline]
fn begin(level: u32, time: u64) -> u64 {
    time >> (level * BITS) << (level * BITS)
}

#[cfg(all(test, not(docache_loom)))]
mod tests;
