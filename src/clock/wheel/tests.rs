use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Wake, Waker};

use proptest::prelude::*;

use super::*;

/// Notes its name where all do.
struct Named(u64, Arc<Mutex<Vec<u64>>>);

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

/// A wheel beside a map of what it should hold.
#[derive(Default)]
struct Model {
    wheel: Wheel<Waker>,
    /// By tick, and by number within one.
    alarms: BTreeMap<(u64, u64), TimerId>,
    /// All that there ever were.
    ids: Vec<((u64, u64), TimerId)>,
    rung: Arc<Mutex<Vec<u64>>>,
    now: u64,
    taken_back: usize,
    looked_early: usize,
}

impl Model {
    fn insert(&mut self, at: u64) {
        let name = self.ids.len() as u64;
        let waker = Arc::new(Named(name, self.rung.clone())).into();
        // What is past counts as set for the last time that was served.
        let key = (at.max(self.wheel.elapsed), name);
        let id = self.wheel.insert(Tick::from_nanos(at), waker);
        self.alarms.insert(key, id);
        self.ids.push((key, id));
    }

    fn remove(&mut self, n: usize) {
        if self.ids.is_empty() {
            return;
        }
        let (key, id) = self.ids[n % self.ids.len()];
        let held = self.alarms.remove(&key).is_some();
        assert_eq!(self.wheel.contains(id), held);
        let waker = self.wheel.remove(id);
        assert_eq!(waker.is_some(), held);
        self.taken_back += usize::from(held);
        if let Some(waker) = waker {
            waker.wake();
            assert_eq!(self.rung.lock().unwrap().pop(), Some(key.1), "its own waker");
        }
    }

    /// Rings one at most. Whether one did.
    fn ring(&mut self) -> bool {
        let due = self.alarms.first_key_value().filter(|(key, _)| key.0 <= self.now);
        let due = due.map(|(&key, _)| key);
        let early = self.wheel.next().is_some_and(|at| at.as_nanos() <= self.now) && due.is_none();
        self.looked_early += usize::from(early);
        let waker = self.wheel.pop_due(Tick::from_nanos(self.now));
        assert_eq!(waker.is_some(), due.is_some(), "at {}", self.now);
        let Some(key) = due else {
            let next = self.wheel.next().map(Tick::as_nanos);
            assert!(next.is_none_or(|next| next > self.now), "it would look again at once");
            return false;
        };
        self.alarms.remove(&key);
        waker.unwrap().wake();
        assert_eq!(self.rung.lock().unwrap().pop(), Some(key.1), "in order, at {}", self.now);
        true
    }

    /// LISTED, PLACED and BOUND, and what `next` promises.
    fn check(&self) {
        let wheel = &self.wheel;
        let (mut listed, mut occupied) = (0, 0);
        for (number, slot) in wheel.slots.iter().enumerate() {
            let (level, bit) = (number / SLOTS, number % SLOTS);
            if wheel.filled[level] & 1 << bit == 0 {
                continue;
            }
            occupied |= 1 << level;
            let (mut i, mut prev) = (slot.first, NIL);
            while i != NIL {
                let node = &wheel.nodes[i as usize];
                assert!(node.item.is_some() && node.prev == prev);
                assert_eq!(node.slot as usize, number);
                assert_eq!(place(node.at, wheel.elapsed), node.slot);
                assert!(slot.earliest <= node.at && node.at >= wheel.elapsed);
                assert_eq!(
                    begin(level as u32, slot.earliest),
                    begin(level as u32, node.at),
                    "the bound lies in the slot"
                );
                listed += 1;
                (prev, i) = (i, node.next);
            }
            assert_eq!(slot.last, prev);
        }
        assert_eq!((listed, occupied), (self.alarms.len(), wheel.occupied));
        assert_eq!((wheel.len, wheel.is_empty()), (listed, listed == 0));
        let (mut free, mut i) = (0, wheel.free);
        while i != NIL {
            assert!(wheel.nodes[i as usize].item.is_none());
            (free, i) = (free + 1, wheel.nodes[i as usize].next);
        }
        assert_eq!(free + listed, wheel.nodes.len());
        let (next, first) = (wheel.next(), self.alarms.keys().next());
        assert_eq!(next.is_some(), first.is_some());
        assert!(next.is_none_or(|next| next.as_nanos() <= first.unwrap().0), "too late");
        assert!(wheel.elapsed <= self.now, "PAST");
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u64),
    Past(u64),
    Remove(usize),
    Wait(u64),
    Until,
    Ring(usize),
    Shrink,
}

/// How long until something: often the same, often soon, sometimes years.
fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => Just(100_000_000),
        2 => 0_u64..4,
        2 => 0_u64..5_000,
        4 => (0_u32..64).prop_flat_map(|bits| 0..1_u64 << bits),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => span().prop_map(Step::Insert),
        1 => span().prop_map(Step::Past),
        4 => any::<usize>().prop_map(Step::Remove),
        2 => span().prop_map(Step::Wait),
        2 => Just(Step::Until),
        4 => (1_usize..20).prop_map(Step::Ring),
        1 => Just(Step::Shrink),
    ]
}

proptest! {
    #[test]
    fn alarms_ring_as_a_sorted_map_would_have_it(
        start in prop_oneof![Just(0), any::<u32>().prop_map(u64::from), any::<u64>()],
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        let mut model = Model { now: start, ..Model::default() };
        for step in steps {
            match step {
                // One that never comes is not for the wheel.
                Step::Insert(span) => {
                    model.insert(model.now.saturating_add(span).min(u64::MAX - 1));
                }
                Step::Past(span) => model.insert(model.now.saturating_sub(span).min(u64::MAX - 1)),
                Step::Remove(n) => model.remove(n),
                Step::Wait(span) => model.now = model.now.saturating_add(span),
                Step::Until => {
                    model.now = model.wheel.next().map_or(model.now, |next| {
                        next.as_nanos().max(model.now)
                    });
                }
                Step::Ring(times) => {
                    let _ = (0..times).all(|_| model.ring());
                }
                Step::Shrink => model.wheel.shrink(),
            }
            model.check();
        }
        model.now = u64::MAX;
        while model.ring() {}
        model.check();
        prop_assert!(model.looked_early <= model.taken_back);
    }
}

#[test]
fn a_sleeper_wakes_at_the_ticks_of_alarms_and_not_between() {
    let mut model = Model::default();
    let spans = [1, 63, 64, 4_095, 1_000_000, 100_000_001, 3_600_000_000_007, 1 << 62];
    spans.iter().for_each(|&span| model.insert(span));
    for span in spans {
        assert_eq!(model.wheel.next(), Some(Tick::from_nanos(span)));
        model.now = span - 1;
        assert!(!model.ring());
        model.now = span;
        assert!(model.ring());
    }
    assert_eq!(model.wheel.next(), None);
}

#[test]
fn many_alarms_of_one_tick_ring_in_the_order_in_which_they_were_set() {
    let mut model = Model::default();
    for round in 0..4 {
        (0..1000).for_each(|_| model.insert(1 << 40));
        model.now = (1 << 40) - 1 - (100 >> round);
        assert!(!model.ring());
    }
    (0..4000).step_by(3).for_each(|n| model.remove(n));
    model.check();
    model.now = 1 << 50;
    assert_eq!((0..4000).take_while(|_| model.ring()).count(), 4000 - 1334);
}

#[test]
fn the_name_of_an_alarm_is_never_that_of_another() {
    let mut model = Model::default();
    model.insert(5);
    let (_, first) = model.ids[0];
    model.remove(0);
    model.insert(5);
    assert_eq!(model.ids[1].1.node, first.node, "the place is used again");
    assert!(!model.wheel.contains(first) && model.wheel.remove(first).is_none());
    model.remove(1);
    model.wheel.shrink();
    model.insert(5);
    assert!(!model.wheel.contains(first) && !model.wheel.contains(model.ids[1].1));
    assert!(!model.wheel.contains(TimerId::NONE));
}

#[test]
fn those_that_come_next_are_foreseen_across_two_slots() {
    let mut wheel = Wheel::default();
    assert_eq!(wheel.upcoming(), [None; 3]);
    for (at, item) in [(9, 'c'), (5, 'a'), (5, 'b'), (9, 'd'), (11, 'e')] {
        wheel.insert(Tick::from_nanos(at), item);
    }
    let mut order = Vec::new();
    loop {
        let foreseen = wheel.upcoming().map(|item| item.copied());
        let Some(popped) = wheel.pop_due(Tick::from_nanos(20)) else { break };
        order.push((popped, foreseen));
    }
    let foreseen: Vec<String> =
        order.iter().map(|(_, foreseen)| foreseen.iter().flatten().collect()).collect();
    assert_eq!(order.iter().map(|(popped, _)| *popped).collect::<String>(), "abcde");
    assert_eq!(foreseen, ["abc", "bcd", "cde", "de", "e"]);
}
