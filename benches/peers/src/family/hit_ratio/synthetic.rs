//! Traffic that is made up, the same in each run: what is hard for one policy or another.

use super::Trace;
use crate::family::cache::keys::{Dice, key};

/// Capacities.
const CAPACITIES: [u64; 2] = [100, 1000];
/// How long a loop is, in hundredths of the capacity.
const LOOPS: [u64; 4] = [105, 120, 150, 200];
/// How often it is gone through.
const LAPS: u64 = 60;
/// Where the numbers begin that are used once.
const ONCE: u64 = 1 << 40;
/// How far apart sets of keys are of which one follows the other.
const SET: u64 = 1 << 32;

/// All made-up traffic, and the capacity for each.
pub(super) fn all() -> impl Iterator<Item = (Trace, u64)> {
    CAPACITIES.into_iter().flat_map(|capacity| {
        let loops = LOOPS.map(|percent| a_loop(capacity, percent));
        loops.into_iter().chain(popular(capacity)).map(move |(name, keys)| {
            (
                Trace {
                    name: format!("{name}/{capacity}"),
                    keys: keys.into_iter().map(key).collect(),
                },
                capacity,
            )
        })
    })
}

fn a_loop(capacity: u64, percent: u64) -> (String, Vec<u64>) {
    let length = capacity * percent / 100;
    (
        format!("loop-{:.2}", percent as f64 / 100.0),
        (0..LAPS * length).map(|turn| turn % length).collect(),
    )
}

/// Ten times as many keys as fit in, the `n`th with a chance that is proportional to n^-0.9: alone;
/// with scans, which use each key once, among them and in between; and with other keys after a
/// while.
fn popular(capacity: u64) -> [(String, Vec<u64>); 5] {
    let zipf = Zipf::new(10 * capacity);
    let turns = || 0..(200 * capacity).max(100_000);
    let mut dice = Dice::new(1);
    let mut next = || zipf.next(&mut dice);
    [
        ("zipf", turns().map(|_| next()).collect()),
        (
            "zipf-scanned",
            turns().map(|turn| if turn % 2 == 0 { next() } else { ONCE + turn }).collect(),
        ),
        (
            "zipf-scans",
            turns()
                .map(|turn| if turn / capacity % 7 < 5 { next() } else { ONCE + turn })
                .collect(),
        ),
        ("zipf-shifts", turns().map(|turn| turn / capacity / 20 * SET + next()).collect()),
        ("zipf-shifts-often", turns().map(|turn| turn / capacity / 5 * SET + next()).collect()),
    ]
    .map(|(name, keys)| (name.to_owned(), keys))
}

/// Numbers of which the smaller are the more frequent.
struct Zipf {
    /// The chances of all numbers up to each.
    sums: Vec<f64>,
}

impl Zipf {
    fn new(count: u64) -> Zipf {
        let chances = (1..=count).map(|rank| (rank as f64).powf(-0.9));
        let sums = chances.scan(0.0, |sum, chance| {
            *sum += chance;
            Some(*sum)
        });
        Zipf { sums: sums.collect() }
    }

    fn next(&self, dice: &mut Dice) -> u64 {
        let at = dice.roll() as f64 / u64::MAX as f64 * self.sums.last().unwrap_or(&0.0);
        self.sums.partition_point(|sum| *sum < at).min(self.sums.len() - 1) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn named(name: &str) -> Vec<u64> {
        all().find(|(trace, _)| trace.name == name).map(|(trace, _)| trace.keys).unwrap_or_default()
    }

    #[test]
    fn a_loop_is_as_long_as_its_name_says() {
        let keys = named("loop-1.05/1000");
        assert_eq!((keys.len(), keys.iter().collect::<HashSet<_>>().len()), (63_000, 1050));
        assert_eq!(keys[..1050], keys[1050..2100]);
    }

    #[test]
    fn a_scan_uses_each_key_once() {
        let keys = named("zipf-scanned/1000");
        let mut uses = HashMap::new();
        keys.iter().for_each(|key| *uses.entry(key).or_insert(0) += 1);
        assert!(uses.values().filter(|&&uses| uses == 1).count() >= keys.len() / 2);
        assert!(uses.values().any(|&uses| uses > 1000));
    }

    #[test]
    fn what_is_popular_changes() {
        let keys = named("zipf-shifts/1000");
        let (one, other) = keys.split_at(20_000);
        let one: HashSet<_> = one.iter().collect();
        assert!(other[..20_000].iter().all(|key| !one.contains(key)));
    }
}
