//! Latency under load, `latency-u64` and `latency-arc`: not what an operation costs in the mean,
//! but how long a caller waits for one while others are at the same store.
//!
//! More threads than most machines have processors for them ask for popular keys; one operation in
//! ten is an insert. Each is timed alone, and both readings of the clock are part of what is noted,
//! which is the same for each subject. Subjects take turns; of each turn the quantiles are noted,
//! and of these the median over all turns counts.

use std::convert::Infallible;
use std::error::Error;
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use foldhash::fast::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::DefaultLifecycle;

use super::keys::{Keys, Recorded};
use crate::harness::{Bench, median};
use crate::verdict::Row;

const THREADS: usize = 4;
/// What a store may hold,
const CAPACITY: usize = 100_000;
/// and how many keys there are.
const KEYS: u64 = 1_000_000;
/// Operations of a thread in one turn of a subject: so many that its threads meet.
const OPERATIONS: u64 = 100_000;
/// One operation in so many is an insert.
const INSERT_EVERY: u64 = 10;
/// The fewest rounds, however long they take.
const ENOUGH: usize = 5;

const CASES: [&str; 2] = ["latency-u64", "latency-arc"];
const OPERATION_NAMES: [&str; 2] = ["get", "insert"];
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// A value, made of a number before the clock runs.
trait Value: Clone + Send + Sync + 'static {
    fn of(number: u64) -> Self;
}

impl Value for u64 {
    fn of(number: u64) -> u64 {
        number
    }
}

impl Value for Arc<u64> {
    fn of(number: u64) -> Arc<u64> {
        Arc::new(number)
    }
}

/// A store of any values.
trait Timed<V>: Sync {
    fn get(&self, key: u64) -> Option<V>;

    fn insert(&self, key: u64, value: V);
}

impl<V: Value> Timed<V> for docache::Cache<u64, V, Infallible, RandomState> {
    #[inline]
    fn get(&self, key: u64) -> Option<V> {
        self.get(&key)
    }

    #[inline]
    fn insert(&self, key: u64, value: V) {
        self.insert(key, value);
    }
}

type QuickCache<V> = quick_cache::sync::Cache<u64, V, UnitWeighter, RandomState>;

impl<V: Value> Timed<V> for QuickCache<V> {
    #[inline]
    fn get(&self, key: u64) -> Option<V> {
        self.get(&key)
    }

    #[inline]
    fn insert(&self, key: u64, value: V) {
        self.insert(key, value);
    }
}

/// Measures both cases.
pub(super) fn measure(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    if CASES.iter().any(|case| bench.wants(case)) {
        let keys = Recorded::zipf(KEYS);
        case::<u64>(bench, CASES[0], &keys)?;
        case::<Arc<u64>>(bench, CASES[1], &keys)?;
    }
    Ok(())
}

fn case<V: Value>(bench: &mut Bench, case: &str, keys: &Recorded) -> Result<(), Box<dyn Error>> {
    if !bench.wants(case) {
        return Ok(());
    }
    let hasher = RandomState::default();
    let docache = docache::Cache::builder().capacity(CAPACITY).hasher(hasher).build()?;
    let lifecycle = DefaultLifecycle::default();
    let (capacity, hasher) = (CAPACITY as u64, RandomState::default());
    let quick_cache = QuickCache::with(CAPACITY, capacity, UnitWeighter, hasher, lifecycle);
    let subjects: [(&str, &dyn Load); 2] = [
        ("docache", &Loaded::<V, _>::new(&docache, keys)),
        ("quick_cache", &Loaded::<V, _>::new(&quick_cache, keys)),
    ];
    let plan = bench.plan();
    eprintln!("{} {case}, {THREADS} thread(s), {} rounds", bench.family(), plan.rounds);
    for (subject, load) in subjects {
        bench.record_in(&format!("{case}-hits"), THREADS, subject, load.fill(), "%");
    }
    let patience = Instant::now() + plan.patience;
    // For each subject, operation and quantile what each round has shown.
    let mut rounds: [[[Vec<f64>; 3]; 2]; 2] = Default::default();
    for round in 0..plan.rounds {
        if round >= ENOUGH && Instant::now() >= patience {
            break;
        }
        for ((_, load), rounds) in subjects.iter().zip(&mut rounds) {
            for (histogram, rounds) in load.round().iter().zip(rounds) {
                for ((_, part), rounds) in QUANTILES.iter().zip(rounds) {
                    rounds.push(histogram.quantile(*part));
                }
            }
        }
    }
    for ((subject, _), rounds) in subjects.iter().zip(rounds) {
        for (operation, rounds) in OPERATION_NAMES.iter().zip(rounds) {
            for ((quantile, _), rounds) in QUANTILES.iter().zip(rounds) {
                let case = format!("{case}-{operation}-{quantile}");
                bench.record(&case, THREADS, subject, median(rounds));
            }
        }
    }
    Ok(())
}

/// What is asked: ours is as fast as the peer in each row but one.
pub(super) fn contract(bench: &Bench, rows: &mut Vec<Row>) {
    const PEER: &str = "quick_cache";
    let mut slower = Some(0.0);
    for case in CASES {
        for operation in OPERATION_NAMES {
            for (quantile, _) in QUANTILES {
                let case = format!("{case}-{operation}-{quantile}");
                let part = |subject| bench.value(&case, THREADS, subject);
                let (ours, limit) = (part("docache"), part(PEER));
                let this = ours.zip(limit).map(|(ours, limit)| f64::from(ours > limit));
                slower = slower.zip(this).map(|(slower, this)| slower + this);
                rows.push(Row::at_most(case, THREADS, ours, limit, format!("1 x {PEER}")));
            }
        }
    }
    rows.push(Row::at_most("latency, rows missed", THREADS, slower, Some(1.0), "all but one"));
}

/// A store under load, whatever its type.
trait Load {
    /// Fills the store, and returns what part of reads it answers then, in percent.
    fn fill(&self) -> f64;

    /// One round: how long reads and inserts took.
    fn round(&self) -> [Histogram; 2];
}

struct Loaded<'a, V, T> {
    store: &'a T,
    keys: &'a Recorded,
    value: std::marker::PhantomData<fn() -> V>,
}

impl<'a, V, T> Loaded<'a, V, T> {
    fn new(store: &'a T, keys: &'a Recorded) -> Self {
        Loaded { store, keys, value: std::marker::PhantomData }
    }
}

impl<V: Value, T: Timed<V>> Load for Loaded<'_, V, T> {
    fn fill(&self) -> f64 {
        let (mut hits, mut turns) = (0, 0);
        for key in self.keys.iter() {
            turns += 1;
            match self.store.get(key) {
                Some(_) => hits += 1,
                None => self.store.insert(key, V::of(turns)),
            }
        }
        100.0 * f64::from(hits) / turns as f64
    }

    fn round(&self) -> [Histogram; 2] {
        let barrier = Barrier::new(THREADS);
        let work = || {
            let key = self.keys.walk(OPERATIONS);
            // So that the store's memory is where this subject left it.
            let warm_up = OPERATIONS / 4;
            (0..warm_up).for_each(|turn| drop(black_box(self.store.get(key(turn)))));
            barrier.wait();
            self.operate(|turn| key(warm_up + turn))
        };
        let mut all = [Histogram::new(), Histogram::new()];
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            let join = |thread: ScopedJoinHandle<'_, [Histogram; 2]>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            for part in threads.into_iter().map(join) {
                all.iter_mut().zip(&part).for_each(|(all, part)| all.add(part));
            }
        });
        all
    }
}

impl<V: Value, T: Timed<V>> Loaded<'_, V, T> {
    /// What one thread does in a round.
    fn operate(&self, key: impl Fn(u64) -> u64) -> [Histogram; 2] {
        let [mut gets, mut inserts] = [Histogram::new(), Histogram::new()];
        let mut left = INSERT_EVERY;
        for turn in 0..OPERATIONS {
            let key = key(turn);
            left -= 1;
            if left == 0 {
                left = INSERT_EVERY;
                let value = V::of(turn);
                let begin = Instant::now();
                self.store.insert(key, value);
                inserts.note(begin.elapsed().as_nanos());
            } else {
                let begin = Instant::now();
                let got = black_box(self.store.get(key));
                gets.note(begin.elapsed().as_nanos());
                drop(got);
            }
        }
        [gets, inserts]
    }
}

/// How many buckets there are from one power of two to the next.
const PARTS: usize = 32;
/// What takes longer than about 34 s counts as that.
const BUCKETS: usize = 31 * PARTS;

/// How often something took how long. A bucket is a nanosecond wide, or, from 64 ns on, no more
/// than 1/32 of the times in it.
#[derive(Debug)]
struct Histogram {
    counts: Box<[u32; BUCKETS]>,
}

impl Histogram {
    fn new() -> Histogram {
        Histogram { counts: Box::new([0; BUCKETS]) }
    }

    #[inline]
    fn note(&mut self, nanos: u128) {
        self.counts[bucket(nanos as u64)] += 1;
    }

    fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(other.counts.iter()).for_each(|(all, part)| *all += part);
    }

    /// The time that this part of all did not exceed: the middle of its bucket. NaN if nothing was
    /// noted.
    fn quantile(&self, part: f64) -> f64 {
        let count: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let mut left = (part * count as f64).ceil() as u64;
        for (at, count) in self.counts.iter().enumerate() {
            left = left.saturating_sub(u64::from(*count));
            if left == 0 && *count > 0 {
                let (least, width) = bounds(at);
                return least as f64 + (width - 1) as f64 / 2.0;
            }
        }
        f64::NAN
    }
}

/// The bucket of a time.
#[inline]
fn bucket(nanos: u64) -> usize {
    let shift = (nanos | PARTS as u64).ilog2() - PARTS.ilog2();
    (shift as usize * PARTS + (nanos >> shift) as usize).min(BUCKETS - 1)
}

/// The least time of a bucket, and how many nanoseconds it spans.
fn bounds(bucket: usize) -> (u64, u64) {
    let shift = (bucket / PARTS).saturating_sub(1);
    (((bucket - shift * PARTS) as u64) << shift, 1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_its_bucket_and_no_bucket_is_wide() {
        let times = (0..5_000).chain((0..200).map(|n| 1 << 20 | n << 13));
        for nanos in times {
            let (least, width) = bounds(bucket(nanos));
            assert!((least..least + width).contains(&nanos), "{nanos}: {least}, {width}");
            assert!(width == 1 || width <= least / PARTS as u64);
        }
        assert!((1..BUCKETS).all(|at| bounds(at - 1).0 + bounds(at - 1).1 == bounds(at).0));
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_quantile_is_not_exceeded_by_its_part() {
        let mut histogram = Histogram::new();
        assert!(histogram.quantile(0.5).is_nan());
        (1..=50).for_each(|nanos| histogram.note(nanos));
        let quantiles = [0.02, 0.5, 0.99, 1.0].map(|part| histogram.quantile(part));
        assert_eq!(quantiles, [1.0, 25.0, 50.0, 50.0]);
        let mut all = Histogram::new();
        all.note(1_000_000);
        all.add(&histogram);
        assert_eq!(all.quantile(0.5), 26.0);
        assert!((all.quantile(1.0) - 1e6).abs() < 1e6 / PARTS as f64);
    }
}
