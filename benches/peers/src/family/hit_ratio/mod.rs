//! How much of a trace each cache answers, with a capacity of 0.1, 1 and 10 % of the trace's keys,
//! but at least 32: `TRACE@0.1` and so on; and of made-up traffic, with a capacity in entries:
//! `loop-1.20/1000` and so on.
//!
//! One thread reads each key of the trace and inserts it if it is missing. All caches hash alike,
//! with given seeds, so that a run can be repeated. What a cache puts off, it does when it likes;
//! `moka_settled` does it after each insert, so that it holds no more than its capacity.

mod synthetic;
mod traces;

use std::error::Error;

use foldhash::fast::FixedState;

use self::traces::Trace;
use super::cache::docache::Docache;
use super::cache::stores::{FibreCache, Make, Moka, MutexLru, QuickCache, Read, Store};
use crate::harness::Bench;
use crate::verdict::Row;

/// Capacities, in percent of a trace's keys, and their names.
const SHARES: [(&str, f64); 3] = [("0.1", 0.1), ("1", 1.0), ("10", 10.0)];
/// The least capacity.
const LEAST: u64 = 32;
/// The peers that the contract names.
const PEERS: [&str; 4] = ["lru", "quick_cache", "moka", "moka_settled"];
/// Where the mean over all traces stands.
const MEAN: &str = "mean";
/// Where it stands how far, at most, a subject is behind the best of the peers, in points.
const WORST: &str = "worst";
/// How far below the best peer ours may be, in points.
const BEHIND: f64 = 2.0;

/// What a subject makes of a trace: hits in percent, with a capacity and a seed.
type Replay = fn(&Trace, u64, u64) -> f64;

/// Who takes part.
const SUBJECTS: [(&str, Replay); 7] = [
    ("docache", replay::<Docache<FixedState>>),
    ("docache_1_shard", replay::<OneShard>),
    ("lru", replay::<MutexLru<FixedState>>),
    ("quick_cache", replay::<QuickCache<FixedState>>),
    ("moka", replay::<Moka<FixedState>>),
    ("moka_settled", replay_settled::<Moka<FixedState>>),
    ("fibre_cache", replay_settled::<FibreCache<FixedState>>),
];

/// Measures all cases.
pub(crate) fn measure(bench: &mut Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let (mut cases, mut made_up) = (Vec::new(), Vec::new());
    for trace in traces::all()? {
        let unique = trace.unique() as f64;
        for (share, percent) in SHARES {
            let case = format!("{}@{share}", trace.name);
            if bench.wants(&case) || bench.wants(MEAN) || bench.wants(WORST) {
                let capacity = ((unique * percent / 100.0).round() as u64).max(LEAST);
                replays(bench, &case, &trace, capacity);
                cases.push(case);
            }
        }
    }
    mean(bench, &cases);
    for (trace, capacity) in synthetic::all() {
        if bench.wants(&trace.name) || bench.wants(WORST) {
            replays(bench, &trace.name, &trace, capacity);
            made_up.push(trace.name);
        }
    }
    cases.append(&mut made_up);
    worst(bench, &cases);
    Ok(contract(bench, &cases))
}

/// One trace, before all caches.
fn replays(bench: &mut Bench, case: &str, trace: &Trace, capacity: u64) {
    eprintln!("{} {case}, {capacity} entries", bench.family());
    for (subject, replay) in SUBJECTS {
        // The others, which take most of the time, hardly depend on it.
        let seeds =
            if subject == "docache" { bench.plan().seeds } else { bench.plan().seeds.div_ceil(3) };
        let sum: f64 = (1..=seeds).map(|seed| replay(trace, capacity, seed)).sum();
        bench.record_in(case, 1, subject, sum / seeds as f64, "%");
    }
}

/// Hits in percent.
fn replay<T: Make<FixedState> + Store>(trace: &Trace, capacity: u64, seed: u64) -> f64 {
    replay_and(trace, &T::make(capacity, FixedState::with_seed(seed)), |_| {})
}

/// The same, while what the cache puts off is done after each insert.
fn replay_settled<T: Make<FixedState> + Store>(trace: &Trace, capacity: u64, seed: u64) -> f64 {
    replay_and(trace, &T::make(capacity, FixedState::with_seed(seed)), T::settle)
}

fn replay_and<T: Store>(trace: &Trace, cache: &T, inserted: impl Fn(&T)) -> f64 {
    let mut hits = 0_u64;
    for key in &trace.keys {
        if cache.get(*key).is_some() {
            hits += 1;
        } else {
            cache.insert(*key, *key);
            inserted(cache);
        }
    }
    100.0 * hits as f64 / trace.keys.len() as f64
}

/// Ours, undivided.
#[derive(Debug)]
struct OneShard(Docache<FixedState>);

impl Make<FixedState> for OneShard {
    fn make(capacity: u64, hasher: FixedState) -> Self {
        let builder =
            docache::Cache::builder().capacity(capacity as usize).shards(1).hasher(hasher);
        OneShard(Docache(builder.build().expect("the options are right")))
    }
}

impl Read for OneShard {
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(key)
    }
}

impl Store for OneShard {
    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    fn remove(&self, key: u64) -> bool {
        self.0.remove(key)
    }

    fn len(&self) -> u64 {
        self.0.len()
    }
}

/// How far each of ours is behind the best peer where it is furthest behind; less than nothing if
/// it is nowhere.
fn worst(bench: &mut Bench, cases: &[String]) {
    for ours in ["docache", "docache_1_shard"] {
        let behind = cases
            .iter()
            .filter_map(|case| Some((best(bench, case)? - bench.value(case, 1, ours)?, case)));
        if let Some((most, case)) = behind.max_by(|one, other| one.0.total_cmp(&other.0)) {
            eprintln!("{}: {ours} is furthest behind at {case}", bench.family());
            bench.record_in(WORST, 1, ours, most, "points");
        }
    }
}

/// What the best of the peers makes of a case.
fn best(bench: &Bench, case: &str) -> Option<f64> {
    PEERS.into_iter().filter_map(|peer| bench.value(case, 1, peer)).reduce(f64::max)
}

/// The mean over all cases, each with the same weight.
fn mean(bench: &mut Bench, cases: &[String]) {
    for (subject, _) in SUBJECTS {
        let all: Vec<f64> = cases.iter().filter_map(|case| bench.value(case, 1, subject)).collect();
        if !all.is_empty() {
            bench.record_in(MEAN, 1, subject, all.iter().sum::<f64>() / all.len() as f64, "%");
        }
    }
}

/// Section 8: what `docache` must reach, from the peers of this run.
fn contract(bench: &Bench, cases: &[String]) -> Vec<Row> {
    let mut rows = Vec::new();
    let ours = bench.value(MEAN, 1, "docache");
    let from = [
        "the mean of lru",
        "the mean of quick_cache",
        "the mean of moka",
        "the mean of moka, settled",
    ];
    for (peer, from) in PEERS.into_iter().zip(from) {
        rows.push(Row::at_least(MEAN, 1, ours, bench.value(MEAN, 1, peer), from));
    }
    for case in cases {
        let limit = best(bench, case).map(|best| best - BEHIND);
        rows.push(Row::at_least(
            case,
            1,
            bench.value(case, 1, "docache"),
            limit,
            "the best peer less 2 points",
        ));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_answers_what_it_can() {
        let keys = (0..10_u64).flat_map(|_| 0..50).collect();
        let trace = Trace { name: "rounds".to_owned(), keys };
        for (subject, replay) in SUBJECTS {
            assert_eq!(replay(&trace, 1000, 1), 90.0, "{subject}: all but the first round");
            assert!(replay(&trace, 10, 1) < 50.0, "{subject}: most of them do not fit");
        }
    }
}
