//! Queues against lists.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::super::weights::{PerEntryWeight, UnitWeight};
use super::*;

/// What is done, by numbers that are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Push(bool, u32),
    Unlink(usize),
    /// The first of a list.
    UnlinkFirst(bool),
    HandOver,
    Promote,
    /// At most so many, as long as fewer went than the second number says.
    Rotate(usize, usize),
    Substitute(usize, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<bool>(), 1_u32..9).prop_map(|(main, weight)| Step::Push(main, weight)),
        4 => any::<usize>().prop_map(Step::Unlink),
        1 => any::<bool>().prop_map(Step::UnlinkFirst),
        2 => Just(Step::HandOver),
        1 => Just(Step::Promote),
        2 => (0..20_usize, 0..20_usize).prop_map(|(most, go)| Step::Rotate(most, go)),
        2 => (any::<usize>(), 1_u32..9).prop_map(|(at, weight)| Step::Substitute(at, weight)),
    ];
    prop::collection::vec(step, 0..400)
}

/// The queues, and the same as lists of indices and weights.
struct Both<W: Weights> {
    queues: Queues<W, 3>,
    lists: [VecDeque<(u32, u32)>; 3],
    free: Vec<u32>,
    next: u32,
}

impl<W: Weights> Both<W> {
    fn new() -> Both<W> {
        Both { queues: Queues::new(100), lists: Default::default(), free: Vec::new(), next: 0 }
    }

    /// Free indices come again, the last first; some are far from the others.
    fn index(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            if self.next % 7 == 0 { self.next * 1_000 } else { self.next }
        })
    }

    /// An entry: its queue, and where it is in that.
    fn find(&self, at: usize) -> Option<(usize, usize)> {
        let len: usize = self.lists.iter().map(VecDeque::len).sum();
        let mut at = at.checked_rem(len)?;
        for (number, list) in self.lists.iter().enumerate() {
            if at < list.len() {
                return Some((number, at));
            }
            at -= list.len();
        }
        None
    }

    fn eldest(&self) -> usize {
        usize::from(!self.lists[1].is_empty())
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Push(main, weight) => {
                let (number, i) = (if main { 2 } else { 0 }, self.index());
                let weight = if W::DIFFER { weight } else { 1 };
                self.queues.push(number, i, weight);
                self.lists[number].push_back((i, weight));
            }
            Step::Unlink(at) => {
                let Some((number, at)) = self.find(at) else { return };
                let (i, _) = self.lists[number].remove(at).expect("it is there");
                assert_eq!(self.queues.queue_of(i), Some(number));
                self.queues.unlink(i);
                assert_eq!(self.queues.queue_of(i), None);
                self.queues.unlink(i);
                self.free.push(i);
            }
            Step::UnlinkFirst(main) => {
                let number = if main { 2 } else { self.eldest() };
                let Some((i, _)) = self.lists[number].pop_front() else { return };
                self.queues.unlink_first(number, i);
                self.free.push(i);
            }
            Step::HandOver => {
                let Some(first) = self.lists[0].pop_front() else { return };
                self.queues.hand_over();
                self.lists[1].push_back(first);
            }
            Step::Promote => {
                let from = self.eldest();
                let Some((i, weight)) = self.lists[from].pop_front() else { return };
                self.queues.move_first(from, 2, i);
                self.lists[2].push_back((i, weight));
            }
            Step::Rotate(most, go) => {
                let (mut asked, list) = (Vec::new(), &mut self.lists[2]);
                let moved = self.queues.rotate_while(2, most, |i| {
                    asked.push(i);
                    asked.len() <= go
                });
                if list.is_empty() {
                    return assert_eq!((moved, asked.len()), (0, 0));
                }
                assert_eq!((moved, asked.len()), (most.min(go), most.min(go + 1)));
                for i in asked {
                    assert_eq!(i, list[0].0);
                    list.rotate_left(1);
                }
                // The last one asked about stayed.
                list.rotate_right(most.min(go + 1) - moved);
            }
            Step::Substitute(at, weight) => {
                let Some((number, at)) = self.find(at) else { return };
                let (old, new) = (self.lists[number][at].0, self.index());
                let weight = if W::DIFFER { weight } else { 1 };
                self.queues.substitute(old, new, weight);
                self.lists[number][at] = (new, weight);
                self.free.push(old);
            }
        }
    }

    fn check(&self) {
        let expected = self.lists.each_ref().map(|list| Vec::from_iter(list.iter().map(|it| it.0)));
        assert_eq!(self.queues.check(), expected);
        for (number, list) in self.lists.iter().enumerate() {
            assert_eq!(self.queues.first(number), list.front().map(|it| it.0));
            if !list.is_empty() {
                let mut behind = expected[number][1..].to_vec();
                if number == 1 {
                    behind.extend(&expected[0]);
                }
                let beside = self.queues.beside_first(number);
                let next: Vec<u32> = beside.chain(self.queues.next_block(number)).collect();
                assert!(next.len() < 2 * SLOTS && behind.starts_with(&next));
                assert!(!next.is_empty() || behind.is_empty());
            }
            let weight: u64 = list.iter().map(|it| u64::from(it.1)).sum();
            assert_eq!(self.queues.weight_of(number), weight);
        }
    }
}

proptest! {
    #[test]
    fn queues_do_as_lists_do(steps in steps(), weighted in any::<bool>()) {
        fn run<W: Weights>(steps: &[Step]) {
            let mut both = Both::<W>::new();
            for step in steps {
                both.step(step);
                both.check();
            }
        }
        if weighted { run::<PerEntryWeight>(&steps) } else { run::<UnitWeight>(&steps) }
    }
}

#[test]
fn few_entries_need_few_blocks_whichever_were_removed() {
    for every in [2, 10, 100] {
        let mut queues = Queues::<UnitWeight, 1>::new(10_000);
        (0..10_000).for_each(|i| queues.push(0, i, 1));
        assert_eq!(queues.blocks.in_use(), 10_000_usize.div_ceil(SLOTS));
        // In an order that is not theirs.
        let scattered = (0..10_000_u32).map(|n| n * 7_919 % 10_000);
        scattered.filter(|i| i % every > 0).for_each(|i| queues.unlink(i));
        let left = queues.check()[0].len();
        let most = 2 * left.div_ceil(SLOTS) + 2;
        assert!(queues.blocks.in_use() <= most, "{} for {left}", queues.blocks.in_use());
        (0..10_000).for_each(|i| queues.unlink(i));
        assert_eq!((queues.len(), queues.blocks.in_use()), (0, 0));
    }
}

#[test]
fn blocks_are_used_again() {
    let mut queues = Queues::<UnitWeight, 1>::new(100);
    (0..100).for_each(|i| queues.push(0, i, 1));
    let memory = queues.memory();
    for _ in 0..1_000 {
        let first = queues.first(0).expect("there are 100");
        assert_eq!(queues.rotate_while(0, 1, |_| true), 1);
        queues.unlink_first(0, (first + 1) % 100);
        queues.push(0, (first + 1) % 100, 1);
    }
    assert_eq!((queues.len(), queues.memory()), (100, memory));
}
