//! The policies at work in a cache that is nothing but a map.

use std::cell::Cell;
use std::collections::{HashMap, HashSet, VecDeque};

use proptest::prelude::*;

use super::*;
use naive::Naive;

mod naive;

/// The entries: the key, hits and history of each index.
#[derive(Debug, Default)]
struct Cells(Vec<(u64, Cell<u8>, Cell<u8>)>);

impl PolicyEntries for Cells {
    type Entry = u32;

    fn entry(&self, i: u32) -> u32 {
        i
    }

    fn mark(&self, i: u32) -> Mark {
        let (_, hits, history) = &self.0[i as usize];
        Mark { hits: hits.get(), history: history.get() }
    }

    fn set_mark(&self, i: u32, mark: Mark) {
        self.0[i as usize].1.set(mark.hits);
        self.0[i as usize].2.set(mark.history);
    }

    fn hash(&self, i: u32) -> Option<u64> {
        let key = self.0[i as usize].0;
        (key % BAD != BAD - 1).then(|| hash(key))
    }
}

/// One of so many keys has no hash when it is evicted: it had panicked.
const BAD: u64 = 16;

fn hash(key: u64) -> u64 {
    let mixed = (key ^ key >> 29).wrapping_add(1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ mixed >> 32).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// A shard as the policy sees it.
struct Shard {
    policy: Policy,
    cells: Cells,
    map: HashMap<u64, (u32, u32)>,
    free: Vec<u32>,
}

impl Shard {
    fn new(kind: PolicyKind, limit: Option<u64>, weighted: bool) -> Shard {
        let policy = Policy::new(kind, limit, weighted);
        Shard { policy, cells: Cells::default(), map: HashMap::new(), free: Vec::new() }
    }

    fn index(&mut self, key: u64) -> u32 {
        let i = self.free.pop().unwrap_or_else(|| {
            self.cells.0.push(Default::default());
            self.cells.0.len() as u32 - 1
        });
        self.cells.0[i as usize] = (key, Cell::new(77), Cell::new(77));
        i
    }

    fn get(&mut self, key: u64) -> bool {
        let Some(&(i, _)) = self.map.get(&key) else { return false };
        let hits = &self.cells.0[i as usize].1;
        hits.set((hits.get() + 1).min(MAX_HITS));
        self.policy.touch(i);
        true
    }

    fn make_room(&mut self, weight: u32) -> Vec<u32> {
        let next = || self.policy.next_victim(&self.cells, weight).map(|victim| victim.i);
        std::iter::from_fn(next).collect()
    }

    /// The keys that were evicted for it.
    fn insert(&mut self, key: u64, weight: u32) -> Vec<u64> {
        let (i, mut evicted) = (self.index(key), Vec::new());
        if let Some((old, _)) = self.map.get(&key).copied() {
            self.free.push(old);
            let (admission, mark) = self.policy.replace(&self.cells, old, i, weight);
            self.cells.set_mark(i, mark);
            if admission != Admission::Done {
                evicted = self.make_room(weight);
                self.policy.enqueue(&self.cells, i, weight, admission);
            }
        } else {
            evicted = self.make_room(weight);
            let mark = self.policy.admit(&self.cells, i, hash(key), weight);
            self.cells.set_mark(i, mark);
        }
        self.map.insert(key, (i, weight));
        self.free.extend(&evicted);
        let keys: Vec<_> = evicted.into_iter().map(|j| self.cells.0[j as usize].0).collect();
        for evicted in &keys {
            assert!(
                *evicted != key && self.map.remove(evicted).is_some(),
                "{evicted} was evicted twice"
            );
        }
        keys
    }

    fn remove(&mut self, key: u64) {
        if let Some((i, _)) = self.map.remove(&key) {
            self.policy.remove(i);
            self.free.push(i);
        }
    }

    fn clear(&mut self) {
        for (_, (i, _)) in self.map.drain() {
            self.policy.remove(i);
            self.free.push(i);
        }
    }

    /// A hit, or a miss and its insertion.
    fn access(&mut self, key: u64) -> bool {
        let hit = self.get(key);
        if !hit {
            self.insert(key, 1);
        }
        hit
    }

    fn hits(&mut self, keys: impl IntoIterator<Item = u64>) -> usize {
        keys.into_iter().filter(|&key| self.access(key)).count()
    }

    /// The queues, by keys.
    fn order(&self) -> Vec<Vec<u64>> {
        let queues = with!(&self.policy.0, unbounded _ => Vec::new(), bounded it => it.queues().check().to_vec());
        queues
            .iter()
            .map(|queue| queue.iter().map(|&i| self.cells.0[i as usize].0).collect())
            .collect()
    }

    /// The room for those on probation, in 16.16.
    fn p(&self) -> u64 {
        with!(&self.policy.0, unbounded _ => 0, adaptive it => it.balance().p(), lru _ => 0)
    }

    /// That the policy knows exactly the entries that are there, each once, and never too many.
    fn check(&self) {
        let weight: u64 = self.map.values().map(|&(_, weight)| u64::from(weight)).sum();
        assert_eq!(self.policy.weight(), weight);
        let Some(limit) = self.policy.limit() else {
            return assert_eq!(self.policy.len(), self.map.len());
        };
        assert!(weight <= limit, "{weight} > {limit}");
        let mut queued: Vec<_> = self.order().concat();
        let heavy = self.map.iter().filter(|(_, (_, weight))| *weight > 0);
        let mut there: Vec<_> = heavy.map(|(&key, _)| key).collect();
        assert_eq!(self.policy.len(), there.len());
        queued.sort_unstable();
        there.sort_unstable();
        assert_eq!(queued, there);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Get(u64),
    Insert(u64, u32),
    Remove(u64),
    Clear,
}

/// Some of `keys` keys, small ones more often.
fn steps(keys: u64, length: usize) -> impl Strategy<Value = Vec<Step>> {
    let key = (0..keys, 0..keys).prop_map(|(a, b)| a.min(b));
    let step = (0_u32..100, key, any::<u32>()).prop_map(|(what, key, weight)| match what {
        0..45 => Step::Get(key),
        45..92 => Step::Insert(key, weight),
        92..99 => Step::Remove(key),
        _ => Step::Clear,
    });
    proptest::collection::vec(step, 1..length)
}

/// A weight for a limit, often a large one; 1 if entries have none.
fn weight_for(limit: u64, weighted: bool, random: u32) -> u32 {
    let most = match random % 16 {
        0 => limit,
        1..4 => 0,
        _ => limit.div_ceil(6),
    };
    if weighted { (u64::from(random / 16) % (most + 1)) as u32 } else { 1 }
}

#[test]
fn links_are_moved_to_larger_memory_a_few_times_however_many_there_are() {
    let mut shard = Shard::new(PolicyKind::Lru, Some(100_000), false);
    let mut sizes = HashSet::new();
    for key in 0..20_000 {
        shard.insert(key, 1);
        sizes.insert(shard.policy.memory());
    }
    // Positions and blocks.
    assert!(sizes.len() < 2 * 20, "{} sizes", sizes.len());
}

/// What the queues of so many entries need, of which there are so many: each has a position of 4
/// bytes, and 14 a block of 64.
fn memory_of_queues(entries: usize, queues: usize) -> usize {
    4 * entries + 64 * (entries / 14 + 2 * queues + 1)
}

/// A weight has 4 bytes.
#[test]
fn memory_grows_with_the_entries_and_with_their_weights() {
    let grown = |kind, weighted| {
        let mut shard = Shard::new(kind, Some(10_000), weighted);
        (0..10_000).for_each(|key| drop(shard.insert(key, 1)));
        shard.policy.memory()
    };
    for (kind, queues) in [(PolicyKind::Lru, 1), (PolicyKind::Adaptive, 3)] {
        let (unit, each) = (grown(kind, false), grown(kind, true));
        let expected = memory_of_queues(10_000, queues);
        assert_eq!(unit, expected, "{kind:?}");
        let least = expected + 10_000 * 4;
        assert!((least..2 * least).contains(&each), "{kind:?}: {each}");
    }
}

#[test]
fn without_a_limit_memory_is_that_of_the_weights() {
    for (weighted, least) in [(false, 0), (true, 4_000)] {
        let mut shard = Shard::new(PolicyKind::Adaptive, None, weighted);
        (0..1_000).for_each(|key| drop(shard.insert(key, 1)));
        let memory = shard.policy.memory();
        assert!((least..=2 * least).contains(&memory), "{memory}, of at least {least}");
    }
}

proptest! {
    #[test]
    fn the_queues_hold_the_entries_and_never_too_many(
        lru in any::<bool>(),
        limit in prop_oneof![1 => Just(None), 9 => (1_u64..40).prop_map(Some)],
        weighted in any::<bool>(),
        steps in steps(80, 400),
    ) {
        let mut shard = Shard::new(if lru { PolicyKind::Lru } else { PolicyKind::Adaptive }, limit, weighted);
        let mut weights = HashMap::new();
        for step in steps {
            match step {
                Step::Get(key) => drop(shard.get(key)),
                Step::Insert(key, random) => {
                    let weight = weight_for(limit.unwrap_or(1_000), weighted, random);
                    let (before, old) = (shard.policy.weight(), shard.map.get(&key).map_or(0, |entry| entry.1));
                    let evicted = shard.insert(key, weight);
                    prop_assert!(evicted.iter().all(|key| weights.remove(key) != Some(0)), "{evicted:?}: one weighs nothing");
                    weights.insert(key, weight);
                    let needless = before - u64::from(old) + u64::from(weight) <= limit.unwrap_or(u64::MAX);
                    prop_assert!(evicted.is_empty() || !needless, "{evicted:?} need not have gone");
                }
                Step::Remove(key) => shard.remove(key),
                Step::Clear => shard.clear(),
            }
            shard.check();
        }
    }

    #[test]
    fn what_was_just_put_in_survives_the_next_insertion(
        lru in any::<bool>(),
        limit in prop_oneof![2_u64..8, 8_u64..=200],
        weighted in any::<bool>(),
        steps in steps(300, 2_000),
    ) {
        let mut shard = Shard::new(if lru { PolicyKind::Lru } else { PolicyKind::Adaptive }, Some(limit), weighted);
        let mut newest = None;
        for step in steps {
            match step {
                // LRU goes by the last use, whatever came in when.
                Step::Get(key) => newest = newest.filter(|_| !shard.get(key) || !lru),
                Step::Insert(key, random) => {
                    let weight = weight_for(limit, weighted, random);
                    shard.insert(key, weight);
                    if let Some((other, before)) = newest.replace((key, weight)) {
                        let fits = u64::from(before) + u64::from(weight) <= limit;
                        prop_assert!(!fits || shard.map.contains_key(&other), "{other} made room for {key}");
                    }
                }
                Step::Remove(key) => {
                    shard.remove(key);
                    newest = newest.filter(|newest| newest.0 != key);
                }
                Step::Clear => {
                    shard.clear();
                    newest = None;
                }
            }
        }
    }

    #[test]
    fn the_adaptive_policy_decides_as_it_was_written_down(
        limit in prop_oneof![1_u64..8, 8_u64..64],
        weighted in any::<bool>(),
        steps in steps(150, 3_000),
    ) {
        let mut shard = Shard::new(PolicyKind::Adaptive, Some(limit), weighted);
        let mut naive = Naive::new(limit, weighted, 200);
        for step in steps {
            follow(&mut shard, &mut naive, step, limit, weighted);
        }
    }

    #[test]
    fn lru_evicts_whoever_was_not_used_for_longest(capacity in 1_usize..20, steps in steps(40, 400)) {
        let mut shard = Shard::new(PolicyKind::Lru, Some(capacity as u64), false);
        let mut model = VecDeque::new();
        for step in steps {
            match step {
                Step::Get(key) => {
                    let there = model.contains(&key);
                    prop_assert_eq!(shard.get(key), there);
                    if there {
                        model.retain(|&other| other != key);
                        model.push_back(key);
                    }
                }
                Step::Insert(key, _) => {
                    model.retain(|&other| other != key);
                    let evicted: Vec<_> = (model.len() == capacity).then(|| model.pop_front().unwrap()).into_iter().collect();
                    model.push_back(key);
                    prop_assert_eq!(shard.insert(key, 1), evicted);
                }
                Step::Remove(key) => {
                    shard.remove(key);
                    model.retain(|&other| other != key);
                }
                Step::Clear => {
                    shard.clear();
                    model.clear();
                }
            }
            prop_assert_eq!(VecDeque::from(shard.order().remove(0)), model.clone());
        }
    }
}

/// Takes a step with both, and compares all they know.
fn follow(shard: &mut Shard, naive: &mut Naive, step: Step, limit: u64, weighted: bool) {
    match step {
        Step::Get(key) => {
            if let Some(&(i, _)) = shard.map.get(&key) {
                naive.entries[i as usize].f = (naive.entries[i as usize].f + 1).min(3);
            }
            shard.get(key);
        }
        Step::Insert(key, random) => {
            let weight = weight_for(limit, weighted, random);
            let old = shard.map.get(&key).map(|entry| entry.0);
            let evicted = shard.insert(key, weight);
            let i = shard.map[&key].0;
            let expected = match old {
                None => naive.admit(&shard.cells, i, hash(key), weight),
                Some(old) => naive.replace(&shard.cells, old, i, weight),
            };
            let expected: Vec<_> = expected.iter().map(|&i| shard.cells.0[i as usize].0).collect();
            assert_eq!(evicted, expected);
        }
        Step::Remove(key) => {
            if let Some(&(i, _)) = shard.map.get(&key) {
                naive.remove(i);
            }
            shard.remove(key);
        }
        Step::Clear => {
            shard.clear();
            naive.clear();
        }
    }
    assert_eq!(shard.p(), naive.p);
    let queues = [&naive.window, &naive.small, &naive.main]
        .map(|queue| queue.iter().map(|&i| shard.cells.0[i as usize].0).collect::<Vec<_>>());
    assert_eq!(shard.order(), queues);
    for &(i, _) in shard.map.values() {
        let entry = naive.entries[i as usize];
        assert_eq!(shard.cells.mark(i), Mark { hits: entry.f, history: entry.h << 4 | entry.ep });
    }
}

/// Numbers below `range`, small ones more often; always the same.
fn skewed(range: u64, count: usize) -> impl Iterator<Item = u64> {
    (0..count as u64).map(move |n| {
        let (a, b) = (hash(2 * n) >> 33, hash(2 * n + 1) >> 33);
        (a % range).min(b % range).min((a ^ b) % range)
    })
}

#[test]
fn the_adaptive_policy_decides_as_it_was_written_down_for_many_epochs() {
    for (limit, weighted) in [(1, false), (7, false), (30, false), (30, true)] {
        let mut shard = Shard::new(PolicyKind::Adaptive, Some(limit), weighted);
        let mut naive = Naive::new(limit, weighted, 200);
        for (n, key) in skewed(120, 20_000).enumerate() {
            let step = match shard.map.contains_key(&key) && n % 8 != 0 {
                true => Step::Get(key),
                false => Step::Insert(key, hash(n as u64) as u32),
            };
            follow(&mut shard, &mut naive, step, limit, weighted);
        }
        assert!(!weighted || naive.weight() > 0);
    }
}

#[test]
fn the_smallest_shards_work() {
    for kind in [PolicyKind::Adaptive, PolicyKind::Lru] {
        for capacity in 1..=3 {
            let mut shard = Shard::new(kind, Some(capacity), false);
            for key in 0..100 {
                assert!(!shard.access(key) && shard.get(key));
                assert_eq!(shard.policy.len() as u64, capacity.min(key + 1));
                shard.check();
            }
        }
    }
}

#[test]
fn one_heavy_entry_may_evict_all_others() {
    for kind in [PolicyKind::Adaptive, PolicyKind::Lru] {
        let mut shard = Shard::new(kind, Some(100), true);
        for key in 0..200 {
            shard.insert(key, 1);
            shard.get(key);
        }
        let mut evicted = shard.insert(1_000, 100);
        evicted.sort_unstable();
        evicted.dedup();
        assert_eq!((evicted.len(), shard.map.len(), shard.policy.weight()), (100, 1, 100));
        shard.check();
        assert_eq!(shard.insert(1_001, 1), [1_000]);
        assert_eq!(shard.insert(1_002, 0), [0_u64; 0]);
        shard.check();
    }
}

#[test]
fn what_weighs_nothing_stays() {
    for kind in [PolicyKind::Adaptive, PolicyKind::Lru] {
        let mut shard = Shard::new(kind, Some(100), true);
        (0..1_000).for_each(|key| drop(shard.insert(key, 0)));
        (0..200).for_each(|key| drop(shard.insert(key, 1)));
        let evicted = |keys: &[u64]| keys.iter().all(|key| !(200..1_000).contains(key));
        assert!((1_000..1_500).all(|key| evicted(&shard.insert(key, 3))));
        assert!((200..1_000).all(|key| shard.map.contains_key(&key)));
        assert!((98..=100).contains(&shard.policy.weight()), "{}", shard.policy.weight());
        (0..2_000).for_each(|key| shard.remove(key));
        assert_eq!((shard.policy.len(), shard.policy.weight()), (0, 0));
    }
}

#[test]
fn a_value_that_grows_evicts_others_but_never_itself() {
    for kind in [PolicyKind::Adaptive, PolicyKind::Lru] {
        let mut shard = Shard::new(kind, Some(10), true);
        for key in 0..10 {
            shard.insert(key, 1);
        }
        for weight in 1..=10 {
            shard.insert(0, weight);
            assert!(shard.map.contains_key(&0) && shard.map.len() == 11 - weight as usize);
            shard.check();
        }
        assert!(shard.insert(0, 1).is_empty());
        assert_eq!(shard.policy.weight(), 1);
    }
}

#[test]
fn a_write_counts_as_a_use() {
    let mut shard = Shard::new(PolicyKind::Lru, Some(2), false);
    shard.insert(1, 1);
    shard.insert(2, 1);
    shard.insert(1, 1);
    assert_eq!(shard.insert(3, 1), [2]);

    let mut shard = Shard::new(PolicyKind::Adaptive, Some(10), false);
    (0..10).for_each(|key| drop(shard.insert(key, 1)));
    let order = shard.order();
    for _ in 0..5 {
        shard.insert(4, 1);
    }
    assert_eq!(shard.order(), order, "it keeps its place");
    assert_eq!(shard.cells.mark(shard.map[&4].0).hits, MAX_HITS);
}

#[test]
fn a_scan_does_not_wash_out_what_is_used() {
    let survivors = |kind| {
        let mut shard = Shard::new(kind, Some(100), false);
        for _ in 0..10 {
            shard.hits(0..50);
        }
        shard.hits(1_000..3_000);
        (0..50).filter(|&key| shard.get(key)).count()
    };
    assert_eq!((survivors(PolicyKind::Adaptive), survivors(PolicyKind::Lru)), (50, 0));
}

#[test]
fn a_loop_that_does_not_fit_keeps_a_part() {
    // The best that can be is 100 of each lap but the first.
    for (length, kept) in [(105, 95), (120, 95), (150, 94), (200, 94), (300, 85)] {
        let hits = |kind| {
            Shard::new(kind, Some(100), false).hits((0..length).cycle().take(60 * length as usize))
        };
        assert_eq!(hits(PolicyKind::Lru), 0);
        assert!(hits(PolicyKind::Adaptive) > 59 * kept, "{length}: {}", hits(PolicyKind::Adaptive));
    }
}

#[test]
fn the_room_for_newcomers_follows_the_traffic() {
    let mut shard = Shard::new(PolicyKind::Adaptive, Some(100), false);
    assert_eq!(shard.p() >> 16, 10);
    // Each key twice, the second time a little later, and then never again: only the newest matter.
    shard.hits((0..20_000_u64).flat_map(|n| [n, n.saturating_sub(60)]));
    assert!(shard.p() >> 16 >= 60, "{}", shard.p() >> 16);
    // A few keys, and a flood of others that are used once: only the old ones matter.
    shard.hits((0..20_000_u64).flat_map(|n| [n % 120, 100_000 + n]));
    assert!(shard.p() >> 16 < 20, "{}", shard.p() >> 16);
}

#[test]
fn a_cache_of_weights_learns_as_one_of_entries_does() {
    let mut counted = Shard::new(PolicyKind::Adaptive, Some(100), false);
    let mut weighed = Shard::new(PolicyKind::Adaptive, Some(100_000), true);
    let (mut counted_hits, mut weighed_hits) = (0, 0);
    for key in skewed(1_000, 50_000) {
        counted_hits += usize::from(counted.access(key));
        let hit = weighed.get(key);
        weighed_hits += usize::from(hit);
        if !hit {
            weighed.insert(key, 1_000);
        }
    }
    assert!(
        counted_hits.abs_diff(weighed_hits) < counted_hits / 50,
        "{counted_hits}, {weighed_hits}"
    );
}

#[test]
fn what_has_no_hash_leaves_no_ghost() {
    for (key, ghost) in [(BAD - 1, false), (BAD, true)] {
        let mut shard = Shard::new(PolicyKind::Adaptive, Some(10), false);
        shard.hits(1_000..1_010);
        shard.insert(key, 1);
        shard.hits(1_010..1_020);
        assert!(!shard.map.contains_key(&key));
        shard.insert(key, 1);
        let h = shard.cells.mark(shard.map[&key].0).history >> 4;
        assert_eq!(h > 1, ghost, "{key} is remembered as {h}");
    }
}

#[test]
fn entries_cost_nine_bytes_and_ghosts_twelve() {
    let mut shard = Shard::new(PolicyKind::Adaptive, Some(10_000), false);
    shard.hits(0..10_000);
    let queues = memory_of_queues(10_000, 3);
    assert_eq!(shard.policy.memory(), queues);
    assert!(queues < 9 * 10_000);
    shard.hits(10_000..30_000);
    let least = queues + 120_000;
    // The one index more is that of the newcomer while its victim is still there.
    assert!(
        (least..=least + 4 * (10_000 / 16 + 4)).contains(&shard.policy.memory()),
        "{}",
        shard.policy.memory()
    );
    let mut unbounded = Shard::new(PolicyKind::Adaptive, None, false);
    unbounded.hits(0..10_000);
    assert_eq!((unbounded.policy.memory(), unbounded.policy.len()), (0, 10_000));
}
