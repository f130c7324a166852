//! Criterion benches of the loop cache: our own figures from one change to the next.
//!
//! `cargo bench --bench loop_cache`; for a comparison with others see `benches/peers`.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use docache::{Context, LoopCache};

/// How many results the caches keep.
const CAPACITIES: [usize; 4] = [0, 16, 1_000, 100_000];

/// A loop cache whose Doer ends the run after as many calls as were asked for.
struct Turns {
    cache: LoopCache<u64>,
    left: Arc<AtomicU64>,
    run: Arc<Mutex<Context>>,
}

impl Turns {
    /// A cache that keeps `capacity` results and is full of them.
    fn filled(capacity: usize) -> Self {
        let left = Arc::new(AtomicU64::new(0));
        let run = Arc::new(Mutex::new(Context::new()));
        let (doer_left, doer_run) = (Arc::clone(&left), Arc::clone(&run));
        let doer = move || {
            // Only the thread that runs the loop counts.
            let left = doer_left.load(Ordering::Relaxed);
            if left <= 1 {
                doer_run.lock().unwrap_or_else(PoisonError::into_inner).cancel();
            }
            doer_left.store(left.saturating_sub(1), Ordering::Relaxed);
            Ok::<_, Infallible>(left)
        };
        let cache =
            LoopCache::builder(doer).interval(Duration::from_nanos(1)).capacity(capacity).build();
        let turns = Turns { cache: cache.expect("the options are right"), left, run };
        turns.make(capacity as u64 + 1);
        turns
    }

    /// Runs the loop on this thread for `turns` turns.
    fn make(&self, turns: u64) -> Duration {
        let context = Context::new();
        self.left.store(turns, Ordering::Relaxed);
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = context.clone();
        let begin = Instant::now();
        // Ends by its context, which is the only way this run ends.
        let _ = self.cache.run(&context);
        begin.elapsed()
    }
}

fn reads(c: &mut Criterion) {
    let cache = Turns::filled(16).cache;
    let mut reader = cache.reader();
    c.bench_function("reader", |b| {
        b.iter(|| black_box(reader.value().copied()));
    });
    c.bench_function("latest", |b| {
        b.iter(|| cache.latest().map(|reading| black_box((*reading, reading.timestamp()))));
    });
    c.bench_function("latest and age", |b| {
        b.iter(|| cache.latest().map(|reading| black_box((*reading, reading.age()))));
    });
}

fn snapshots(c: &mut Criterion) {
    let mut group = c.benchmark_group("snapshot");
    for capacity in CAPACITIES {
        let cache = Turns::filled(capacity).cache;
        group.bench_function(BenchmarkId::new("take and drop", capacity), |b| {
            b.iter(|| black_box(cache.snapshot()));
        });
        let snapshot = cache.snapshot();
        group.bench_function(BenchmarkId::new("iterate", capacity), |b| {
            b.iter(|| snapshot.iter().filter_map(|entry| entry.value()).sum::<u64>());
        });
    }
    group.finish();
}

/// A whole turn of the loop: clock readings, the call of the Doer, publishing.
fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    for capacity in CAPACITIES {
        let turns = Turns::filled(capacity);
        group.bench_function(BenchmarkId::from_parameter(capacity), |b| {
            b.iter_custom(|iterations| turns.make(iterations));
        });
    }
    group.finish();
}

criterion_group!(benches, reads, snapshots, publish);
criterion_main!(benches);
