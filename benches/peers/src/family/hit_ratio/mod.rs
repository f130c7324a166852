//! How much of a trace each cache answers, with a capacity of 0.1, 1 and 10 % of the trace's keys: `TRACE@0.1` and so on.
//!
//! One thread reads each key of the trace and inserts it if it is missing. All caches hash alike, with given seeds, so
//! that a run can be repeated.

mod traces;

use std::error::Error;

use foldhash::fast::FixedState;

use self::traces::Trace;
use super::cache::docache::Docache;
use super::cache::stores::{FibreCache, Make, Moka, MutexLru, QuickCache, Store};
use crate::harness::Bench;
use crate::verdict::Row;

/// Capacities, in percent of a trace's keys, and their names.
const SHARES: [(&str, f64); 3] = [("0.1", 0.1), ("1", 1.0), ("10", 10.0)];
/// The peers that the contract names.
const PEERS: [&str; 3] = ["lru", "quick_cache", "moka"];
/// Where the mean over all cases stands.
const MEAN: &str = "mean";
/// How far below the best peer ours may be, in points.
const BEHIND: f64 = 2.0;

/// What a subject makes of a trace: hits in percent, with a capacity and a seed.
type Replay = fn(&Trace, u64, u64) -> f64;

/// Who takes part.
const SUBJECTS: [(&str, Replay); 5] = [
    ("docache", replay::<Docache<FixedState>>),
    ("lru", replay::<MutexLru<FixedState>>),
    ("quick_cache", replay::<QuickCache<FixedState>>),
    ("moka", replay::<Moka<FixedState>>),
    ("fibre_cache", replay::<FibreCache<FixedState>>),
];

/// Measures all cases.
pub(crate) fn measure(bench: &mut Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut cases = Vec::new();
    for trace in traces::all()? {
        let unique = trace.unique() as f64;
        for (share, percent) in SHARES {
            let case = format!("{}@{share}", trace.name);
            if bench.wants(&case) || bench.wants(MEAN) {
                let capacity = (unique * percent / 100.0).round().max(1.0) as u64;
                eprintln!("{} {case}, {capacity} entries", bench.family());
                replays(bench, &case, &trace, capacity);
                cases.push(case);
            }
        }
    }
    mean(bench, &cases);
    Ok(contract(bench, &cases))
}

/// One trace, before all caches.
fn replays(bench: &mut Bench, case: &str, trace: &Trace, capacity: u64) {
    let seeds = bench.plan().seeds;
    for (subject, replay) in SUBJECTS {
        let sum: f64 = (1..=seeds).map(|seed| replay(trace, capacity, seed)).sum();
        bench.record_in(case, 1, subject, sum / seeds as f64, "%");
    }
}

/// Hits in percent. What a cache puts off is done after each insert, so that none holds more than its capacity.
fn replay<T: Make<FixedState> + Store>(trace: &Trace, capacity: u64, seed: u64) -> f64 {
    let cache = T::make(capacity, FixedState::with_seed(seed));
    let mut hits = 0_u64;
    for key in &trace.keys {
        if cache.get(*key).is_some() {
            hits += 1;
        } else {
            cache.insert(*key, *key);
            cache.settle();
        }
    }
    100.0 * hits as f64 / trace.keys.len() as f64
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
    for (peer, from) in
        PEERS.into_iter().zip(["the mean of lru", "the mean of quick_cache", "the mean of moka"])
    {
        rows.push(Row::at_least(MEAN, 1, ours, bench.value(MEAN, 1, peer), from));
    }
    for case in cases {
        let best = PEERS.into_iter().filter_map(|peer| bench.value(case, 1, peer)).reduce(f64::max);
        let ours = bench.value(case, 1, "docache");
        rows.push(Row::at_least(
            case,
            1,
            ours,
            best.map(|best| best - BEHIND),
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
