//! Which entries of a shard have expired: a hierarchical timer wheel over slab indices.
//!
//! Level `l` has 64 slots of 64^l units of time each. An index is in the level of the highest
//! group of six bits in which its deadline differs from the time `elapsed`, in the slot of the
//! deadline's group there. When `elapsed` reaches a slot its indices move to lower levels, until
//! each is in a slot of a single unit.
//!
//! Removal is lazy: the wheel is not told when an entry leaves. An index keeps its slot until that
//! slot's time has come. Then the caller is asked for the deadline of the entry that the index
//! holds now, and the index moves on, or is taken out if there is none. Only an index that is
//! reused with a deadline before its slot begins is moved at once. So an index is in at most one
//! slot, whatever the traffic.
//!
//! # State
//! One word for each index: its neighbours in the slot's list, and the slot. A level's heads are
//! allocated when it is first used.
//!
//! # Invariants
//! - LISTED: an index whose word names a slot is in that slot's list, once, and in no other. A list
//!   leads from its head to [`NIL`], and back; the `prev` of its first index is undefined.
//! - EARLY: the slot of an index begins no later than the deadline of the entry that the index
//!   holds, or `elapsed` if that is later.
//! - AHEAD: a non-empty slot of a level does not begin before the slot of that level which contains
//!   `elapsed`. Non-empty slots of lower levels begin before those of higher levels, except for one
//!   that contains `elapsed` and is still being emptied.
//! - NEXT: no slot that holds an index begins before `next_expiry`.

use std::mem;

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// As many as 64 bits of time need.
const LEVELS: usize = u64::BITS.div_ceil(BITS) as usize;

/// No index. Entries of higher indices are not remembered: a shard would have to hold more than a
/// hundred million.
const NIL: u32 = (1 << INDEX_BITS) - 1;
const INDEX_BITS: u32 = 27;
const NO_SLOT: u64 = (1 << (64 - 2 * INDEX_BITS)) - 1;
const _: () = assert!((LEVELS * SLOTS) as u64 <= NO_SLOT);

/// What is known of an index: `slot:10 | prev:27 | next:27`.
#[derive(Clone, Copy, Debug)]
struct Node(u64);

impl Node {
    const OUT: Node = Node(NO_SLOT << (2 * INDEX_BITS));

    #[inline]
    fn new(slot: Slot, prev: u32, next: u32) -> Node {
        let number = (slot.level * SLOTS + slot.number) as u64;
        Node(number << (2 * INDEX_BITS) | u64::from(prev) << INDEX_BITS | u64::from(next))
    }

    #[inline]
    fn slot(self) -> Option<Slot> {
        let number = self.0 >> (2 * INDEX_BITS);
        let slot = Slot { level: number as usize / SLOTS, number: number as usize % SLOTS };
        (number != NO_SLOT).then_some(slot)
    }

    #[inline]
    fn prev(self) -> u32 {
        (self.0 >> INDEX_BITS) as u32 & NIL
    }

    #[inline]
    fn next(self) -> u32 {
        self.0 as u32 & NIL
    }

    #[inline]
    fn set_prev(&mut self, i: u32) {
        self.0 = self.0 & !(u64::from(NIL) << INDEX_BITS) | u64::from(i) << INDEX_BITS;
    }

    #[inline]
    fn set_next(&mut self, i: u32) {
        self.0 = self.0 & !u64::from(NIL) | u64::from(i);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    level: usize,
    number: usize,
}

impl Slot {
    /// Where a deadline belongs at a time; one that has expired, where the time itself does.
    #[inline]
    fn of(deadline: u64, elapsed: u64) -> Slot {
        let time = deadline.max(elapsed);
        let level = (time ^ elapsed).checked_ilog2().unwrap_or(0) / BITS;
        Slot { level: level as usize, number: group(time, level as usize) }
    }

    /// When it begins, if it holds something at this time.
    #[inline]
    fn begins(self, elapsed: u64) -> u64 {
        let below = self.level as u32 * BITS;
        let above =
            elapsed.checked_shr(below + BITS).unwrap_or(0).checked_shl(below + BITS).unwrap_or(0);
        above | (self.number as u64) << below
    }
}

/// The six bits of a time that say which slot of a level it is in.
#[inline]
fn group(time: u64, level: usize) -> usize {
    (time >> (level as u32 * BITS)) as usize % SLOTS
}

/// The deadlines of the entries of a shard.
#[derive(Debug)]
pub(crate) struct TimerWheel {
    /// The time of the wheel.
    elapsed: u64,
    /// A lower bound of the times at which slots that hold something begin (NEXT).
    next_expiry: u64,
    nodes: Vec<Node>,
    levels: [Level; LEVELS],
}

#[derive(Debug, Default)]
struct Level {
    /// A bit for each slot that holds something.
    filled: u64,
    /// The first index of each slot that does.
    heads: Option<Box<[u32; SLOTS]>>,
}

impl TimerWheel {
    /// An empty wheel; allocates nothing.
    pub(crate) fn new() -> Self {
        TimerWheel {
            elapsed: 0,
            next_expiry: u64::MAX,
            nodes: Vec::new(),
            levels: Default::default(),
        }
    }

    /// Index `i` now holds an entry with this deadline; `u64::MAX` is none. O(1).
    #[inline]
    pub(crate) fn set(&mut self, i: u32, deadline: u64) {
        if deadline == u64::MAX || i >= NIL {
            return;
        }
        if i as usize >= self.nodes.len() {
            self.grow(i as usize + 1);
        }
        if let Some(slot) = self.nodes[i as usize].slot() {
            if slot.begins(self.elapsed) <= deadline.max(self.elapsed) {
                return;
            }
            self.unlink(i, slot);
        }
        self.link(i, deadline);
    }

    /// An index whose entry has expired at `now`, if there is one. `deadline_of` returns the
    /// deadline of the entry at an index, or `None` if that has left. The index is returned again
    /// until `deadline_of` returns `None` for it. O(1), amortized.
    #[inline]
    pub(crate) fn expired(
        &mut self,
        now: u64,
        deadline_of: impl Fn(u32) -> Option<u64>,
    ) -> Option<u32> {
        if now < self.next_expiry { None } else { self.search(now, deadline_of) }
    }

    /// Bytes on the heap.
    pub(crate) fn memory(&self) -> usize {
        let heads = self.levels.iter().filter(|level| level.heads.is_some()).count();
        self.nodes.capacity() * mem::size_of::<Node>() + heads * mem::size_of::<[u32; SLOTS]>()
    }

    fn search(&mut self, now: u64, deadline_of: impl Fn(u32) -> Option<u64>) -> Option<u32> {
        while let Some((begin, slot)) = self.next_slot() {
            self.next_expiry = begin;
            if begin > now {
                break;
            }
            self.elapsed = self.elapsed.max(begin);
            while let Some(i) = self.head(slot) {
                let deadline = deadline_of(i).filter(|&deadline| deadline != u64::MAX);
                if deadline.is_some_and(|deadline| deadline <= now) {
                    return Some(i);
                }
                self.unlink(i, slot);
                deadline.into_iter().for_each(|deadline| self.link(i, deadline));
            }
        }
        if self.next_slot().is_none() {
            self.next_expiry = u64::MAX;
        }
        // No non-empty slot begins at or before `now` any more, so AHEAD still holds.
        self.elapsed = self.elapsed.max(now);
        None
    }

    /// The slot that begins first of those that hold something, and when it begins.
    fn next_slot(&self) -> Option<(u64, Slot)> {
        let filled = self.levels.iter().enumerate().filter(|(_, level)| level.filled != 0);
        let slots =
            filled.map(|(level, of)| Slot { level, number: of.filled.trailing_zeros() as usize });
        slots.map(|slot| (slot.begins(self.elapsed), slot)).min_by_key(|&(begin, _)| begin)
    }

    #[inline]
    fn head(&self, slot: Slot) -> Option<u32> {
        let level = &self.levels[slot.level];
        let filled = level.filled & 1 << slot.number != 0;
        level.heads.as_ref().filter(|_| filled).map(|heads| heads[slot.number])
    }

    /// Puts an index that is in no slot into that of a deadline.
    #[inline]
    fn link(&mut self, i: u32, deadline: u64) {
        let slot = Slot::of(deadline, self.elapsed);
        let next = self.head(slot).unwrap_or(NIL);
        if next != NIL {
            self.nodes[next as usize].set_prev(i);
        }
        self.nodes[i as usize] = Node::new(slot, NIL, next);
        let level = &mut self.levels[slot.level];
        level.heads.get_or_insert_with(|| Box::new([NIL; SLOTS]))[slot.number] = i;
        level.filled |= 1 << slot.number;
        self.next_expiry = self.next_expiry.min(slot.begins(self.elapsed));
    }

    /// Takes an index out of its slot.
    fn unlink(&mut self, i: u32, slot: Slot) {
        let node = mem::replace(&mut self.nodes[i as usize], Node::OUT);
        if node.next() != NIL {
            self.nodes[node.next() as usize].set_prev(node.prev());
        }
        if self.head(slot) != Some(i) {
            self.nodes[node.prev() as usize].set_next(node.next());
            return;
        }
        let level = &mut self.levels[slot.level];
        if node.next() == NIL {
            level.filled &= !(1 << slot.number);
        } else if let Some(heads) = &mut level.heads {
            heads[slot.number] = node.next();
        }
    }

    /// Makes words for `needed` indices and a few more.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, needed: usize) {
        let len = needed.max(self.nodes.len() + self.nodes.len() / 8);
        self.nodes.reserve_exact(len - self.nodes.len());
        self.nodes.resize(len, Node::OUT);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// A wheel beside what its entries really are.
    struct Model {
        wheel: TimerWheel,
        entries: Vec<Option<u64>>,
        now: u64,
        sets: usize,
        asked: Cell<usize>,
    }

    impl Model {
        fn new(indices: usize, now: u64) -> Model {
            Model {
                wheel: TimerWheel::new(),
                entries: vec![None; indices],
                now,
                sets: 0,
                asked: Cell::new(0),
            }
        }

        fn set(&mut self, i: usize, deadline: u64) {
            self.entries[i] = Some(deadline);
            self.wheel.set(i as u32, deadline);
            self.sets += 1;
        }

        fn expired(&mut self) -> Option<usize> {
            let deadline_of = |i: u32| {
                self.asked.set(self.asked.get() + 1);
                self.entries[i as usize]
            };
            let found = self.wheel.expired(self.now, deadline_of).map(|i| i as usize);
            let over = |entry: &Option<u64>| entry.is_some_and(|deadline| deadline <= self.now);
            assert_eq!(
                found.is_some(),
                self.entries.iter().any(over),
                "at {}: {:?}",
                self.now,
                self.entries
            );
            assert!(found.is_none_or(|i| over(&self.entries[i])));
            found
        }

        /// Takes out all that has expired.
        fn drain(&mut self) -> usize {
            let mut found = 0;
            while let Some(i) = self.expired() {
                self.entries[i] = None;
                found += 1;
            }
            found
        }

        /// LISTED, EARLY and NEXT, and what it costs.
        fn check(&self) {
            let (wheel, mut linked) = (&self.wheel, 0);
            for (level, number) in
                (0..LEVELS).flat_map(|level| (0..SLOTS).map(move |number| (level, number)))
            {
                let slot = Slot { level, number };
                let (mut at, mut before) = (wheel.head(slot), None);
                while let Some(i) = at.filter(|&i| i != NIL) {
                    let node = wheel.nodes[i as usize];
                    assert_eq!(node.slot(), Some(slot));
                    assert!(before.is_none_or(|before| before == node.prev()));
                    let begins = slot.begins(wheel.elapsed);
                    assert!(wheel.next_expiry <= begins);
                    if let Some(deadline) = self.entries[i as usize] {
                        assert!(begins <= deadline.max(wheel.elapsed));
                    }
                    linked += 1;
                    (at, before) = (Some(node.next()), Some(i));
                }
            }
            assert_eq!(linked, wheel.nodes.iter().filter(|node| node.slot().is_some()).count());
            let timed =
                self.entries.iter().flatten().filter(|&&deadline| deadline != u64::MAX).count();
            assert!((timed..=self.entries.len()).contains(&linked));
            assert!(wheel.memory() <= self.entries.len() * 9 + LEVELS * SLOTS * 4);
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Set(usize, u64),
        Remove(usize),
        Wait(u64),
        Expire,
    }

    /// How long until something: often the same, often soon, sometimes far away.
    fn span() -> impl Strategy<Value = u64> {
        prop_oneof![
            3 => Just(900),
            3 => 0_u64..100,
            2 => 0_u64..10_000,
            2 => (0_u32..47).prop_flat_map(|bits| 0..1_u64 << bits),
        ]
    }

    fn step(indices: usize) -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..indices, span()).prop_map(|(i, span)| Step::Set(i, span)),
            1 => (0..indices).prop_map(|i| Step::Set(i, u64::MAX)),
            2 => (0..indices).prop_map(Step::Remove),
            3 => span().prop_map(Step::Wait),
            4 => Just(Step::Expire),
        ]
    }

    proptest! {
        #[test]
        fn what_has_expired_is_found_and_nothing_else(
            start in prop_oneof![Just(0), Just((1_u64 << 48) - 2_000), any::<u32>().prop_map(u64::from)],
            steps in proptest::collection::vec(step(40), 1..600),
        ) {
            let mut model = Model::new(40, start);
            let mut calls = 0;
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Set(i, span) => model.set(i, model.now.saturating_add(span)),
                    Step::Remove(i) => model.entries[i] = None,
                    Step::Wait(span) => model.now += span,
                    Step::Expire => {
                        calls += 1;
                        if let Some(i) = model.expired() {
                            model.entries[i] = None;
                        }
                    }
                }
                if n % 32 == 0 {
                    model.check();
                }
            }
            model.check();
            prop_assert!(model.asked.get() <= (LEVELS + 1) * model.sets + calls, "{}", model.asked.get());
            model.now = 1 << 60;
            model.drain();
            prop_assert!(model.entries.iter().flatten().all(|&deadline| deadline == u64::MAX));
        }
    }

    #[test]
    fn there_is_no_memory_before_the_first_deadline() {
        let mut wheel = TimerWheel::new();
        wheel.set(7, u64::MAX);
        assert_eq!((wheel.memory(), wheel.expired(u64::MAX, |_| Some(0))), (0, None));
        (0..10_000).for_each(|i| wheel.set(i, 900_000));
        assert!(wheel.memory() <= 10_000 * 9 + 256, "{}", wheel.memory());
    }

    #[test]
    fn an_entry_expires_to_the_unit() {
        for deadline in [1, 63, 64, 65, 4_095, 4_096, 900_000, (1 << 48) - 1, 1 << 48, u64::MAX - 1]
        {
            let mut model = Model::new(1, 0);
            model.set(0, deadline);
            model.now = deadline - 1;
            assert_eq!(model.expired(), None);
            model.now = deadline;
            assert_eq!(model.expired(), Some(0));
            assert_eq!(model.expired(), Some(0), "until it is gone");
            model.entries[0] = None;
            assert_eq!(model.expired(), None);
        }
    }

    #[test]
    fn an_index_that_is_used_again_is_found_by_its_new_deadline() {
        let mut model = Model::new(2, 0);
        model.set(0, 1 << 40);
        model.set(1, 1 << 40);
        (0..1_000).for_each(|n| model.set(0, (1 << 40) - 1_000 * n));
        model.set(0, 50);
        model.now = 50;
        assert_eq!(model.expired(), Some(0));
        model.set(0, 100);
        assert_eq!(model.expired(), None);
        model.now = 1 << 40;
        assert_eq!(model.drain(), 2);
        model.check();
    }

    #[test]
    fn entries_that_were_evicted_and_replaced_cost_little() {
        let mut model = Model::new(1_000, 0);
        for n in 0..20_000_usize {
            model.now = n as u64;
            if let Some(i) = model.wheel.expired(model.now, |i| {
                model.asked.set(model.asked.get() + 1);
                model.entries[i as usize]
            }) {
                model.entries[i as usize] = None;
            }
            model.set(n * 7 % 1_000, n as u64 + 900);
        }
        model.check();
        assert!(model.asked.get() < 3 * model.sets, "{} of {}", model.asked.get(), model.sets);
    }
}
