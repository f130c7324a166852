//! One published value: `reader`, `latest`, `snapshot` and `publish-100k`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use docache::{Context, LoopCache};

use crate::harness::{Bench, Subject};
use crate::verdict::Row;

/// Results kept by the small snapshot.
const SMALL: usize = 16;
/// Results kept by the large snapshot.
const LARGE: usize = 100_000;
/// Reads are measured alone and against one other reader.
const THREADS: [usize; 2] = [1, 2];

/// What the peers publish: the least that a latest value with its time is.
#[derive(Clone, Debug)]
struct Stamped {
    value: u64,
    timestamp: SystemTime,
}

impl Stamped {
    fn new(value: u64) -> Self {
        Stamped { value, timestamp: SystemTime::UNIX_EPOCH + Duration::from_secs(value) }
    }
}

/// Measures all cases.
pub(crate) fn measure(bench: &mut Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let small = Turns::filled(SMALL)?;
    for threads in THREADS {
        reader(bench, threads, &small.cache);
        latest(bench, threads, &small.cache);
        snapshot(bench, "snapshot", threads, &small.cache, SMALL);
    }
    if bench.wants("snapshot-100k") || bench.wants("publish-100k") {
        let large = Turns::filled(LARGE)?;
        for threads in THREADS {
            snapshot(bench, "snapshot-100k", threads, &large.cache, LARGE);
        }
        publish(bench, "publish-100k", &large, LARGE)?;
    }
    publish(bench, "publish-16", &small, SMALL)?;
    Ok(contract(bench))
}

/// The handle that keeps what it read, against arc-swap's.
fn reader(bench: &mut Bench, threads: usize, cache: &LoopCache<u64>) {
    let swap = ArcSwap::from_pointee(Stamped::new(1));
    bench.case(
        "reader",
        threads,
        &[
            Subject::prepared(
                "docache",
                |_| cache.reader(),
                |reader, n| {
                    for _ in 0..n {
                        if let Some(value) = reader.value() {
                            black_box(*value);
                        }
                    }
                },
            ),
            Subject::prepared(
                "arc_swap_cache",
                |_| arc_swap::Cache::new(&swap),
                |reader, n| {
                    for _ in 0..n {
                        black_box(reader.load().value);
                    }
                },
            ),
        ],
    );
}

/// One read without a handle, value and time, against the usual ways to share one.
fn latest(bench: &mut Bench, threads: usize, cache: &LoopCache<u64>) {
    let swap = ArcSwap::from_pointee(Stamped::new(1));
    let std_lock = RwLock::new(Arc::new(Stamped::new(1)));
    let parking_lot_lock = parking_lot::RwLock::new(Arc::new(Stamped::new(1)));
    let read = |stamped: &Stamped| {
        black_box(stamped.value);
        black_box(stamped.timestamp);
    };
    bench.case(
        "latest",
        threads,
        &[
            Subject::new("docache", |n| {
                for _ in 0..n {
                    if let Some(reading) = cache.latest() {
                        black_box(*reading);
                        black_box(reading.timestamp());
                    }
                }
            }),
            Subject::new("arc_swap_load", |n| (0..n).for_each(|_| read(&swap.load()))),
            Subject::new("arc_swap_load_full", |n| (0..n).for_each(|_| read(&swap.load_full()))),
            Subject::new("std_rwlock_arc", |n| {
                for _ in 0..n {
                    let shared =
                        Arc::clone(&std_lock.read().unwrap_or_else(PoisonError::into_inner));
                    read(&shared);
                }
            }),
            Subject::new("parking_lot_rwlock_arc", |n| {
                for _ in 0..n {
                    let shared = Arc::clone(&parking_lot_lock.read());
                    read(&shared);
                }
            }),
        ],
    );
}

/// A view of all results, taken and dropped.
fn snapshot(
    bench: &mut Bench,
    case: &str,
    threads: usize,
    cache: &LoopCache<u64>,
    capacity: usize,
) {
    if !bench.wants(case) {
        return;
    }
    let swap = ArcSwap::from_pointee(peer_results(capacity).collect::<Vec<_>>());
    let lock = RwLock::new(swap.load_full());
    bench.case(
        case,
        threads,
        &[
            Subject::new("docache", |n| {
                for _ in 0..n {
                    black_box(cache.snapshot());
                }
            }),
            Subject::new("arc_swap_load_full", |n| {
                for _ in 0..n {
                    black_box(swap.load_full());
                }
            }),
            Subject::new("std_rwlock_arc", |n| {
                for _ in 0..n {
                    black_box(Arc::clone(&lock.read().unwrap_or_else(PoisonError::into_inner)));
                }
            }),
        ],
    );
}

/// One more result into a full ring.
///
/// Publishing is the loop's own business, so ours is measured through it: `docache_turn` is a whole
/// turn of the loop, with its clock readings, its locks and the call of the Doer;
/// `docache_turn_capacity_0` the same of a cache that keeps nothing but the latest value. `docache`
/// is the difference plus `arc_swap_store`, a bare publication of one value, which is in both. The
/// peers only publish.
fn publish(
    bench: &mut Bench,
    case: &str,
    turns: &Turns,
    capacity: usize,
) -> Result<(), Box<dyn Error>> {
    if !bench.wants(case) {
        return Ok(());
    }
    let latest_only = Turns::filled(0)?;
    let single = ArcSwap::from_pointee(Arc::new(Stamped::new(0)));
    let tree = ArcSwap::from_pointee(peer_results(capacity).collect::<imbl::Vector<_>>());
    let list = ArcSwap::from_pointee(peer_results(capacity).collect::<VecDeque<_>>());
    bench.case(
        case,
        1,
        &[
            Subject::prepared("docache_turn", |n| turns.count_out(n), |run, n| turns.make(run, n)),
            Subject::prepared(
                "docache_turn_capacity_0",
                |n| latest_only.count_out(n),
                |run, n| latest_only.make(run, n),
            ),
            Subject::new("arc_swap_store", |n| {
                (0..n).for_each(|turn| single.store(Arc::new(Arc::new(Stamped::new(turn)))));
            }),
            Subject::new("imbl", |n| {
                for turn in 0..n {
                    let mut next = imbl::Vector::clone(&tree.load());
                    next.pop_front();
                    next.push_back(Arc::new(Stamped::new(turn)));
                    tree.store(Arc::new(next));
                }
            }),
            Subject::new("copy_all", |n| {
                for turn in 0..n {
                    let old = list.load_full();
                    let mut next = VecDeque::with_capacity(capacity);
                    next.extend(old.iter().skip(1).cloned());
                    next.push_back(Arc::new(Stamped::new(turn)));
                    list.store(Arc::new(next));
                }
            }),
        ],
    );
    let parts = ["docache_turn", "docache_turn_capacity_0", "arc_swap_store"];
    if let [Some(full), Some(bare), Some(store)] =
        parts.map(|subject| bench.value(case, 1, subject))
    {
        bench.record(case, 1, "docache", full - bare + store);
    }
    Ok(())
}

/// As many results as a full ring holds.
fn peer_results(capacity: usize) -> impl Iterator<Item = Arc<Stamped>> {
    (0..capacity as u64).map(|value| Arc::new(Stamped::new(value)))
}

/// A loop cache whose turns are counted out: its Doer ends the run after the last one asked for.
struct Turns {
    cache: LoopCache<u64>,
    state: Arc<TurnState>,
}

struct TurnState {
    left: AtomicU64,
    run: Mutex<Context>,
}

impl Turns {
    /// A cache that keeps `capacity` results and is full of them.
    fn filled(capacity: usize) -> Result<Self, docache::Error> {
        let state =
            Arc::new(TurnState { left: AtomicU64::new(0), run: Mutex::new(Context::new()) });
        let doer_state = Arc::clone(&state);
        let doer = move || {
            // Only the thread that runs the loop counts.
            let left = doer_state.left.load(Ordering::Relaxed);
            if left <= 1 {
                doer_state.run.lock().unwrap_or_else(PoisonError::into_inner).cancel();
            }
            doer_state.left.store(left.saturating_sub(1), Ordering::Relaxed);
            Ok::<_, Infallible>(left)
        };
        let cache = LoopCache::builder(doer)
            .interval(Duration::from_nanos(1))
            .capacity(capacity)
            .build()?;
        let turns = Turns { cache, state };
        let first = capacity as u64 + 1;
        turns.make(&turns.count_out(first), first);
        assert!(turns.cache.snapshot().len() >= capacity, "the ring is full");
        Ok(turns)
    }

    /// Prepares `turns` turns, at least one; they end the run of the context.
    fn count_out(&self, turns: u64) -> Context {
        let run = Context::new();
        self.state.left.store(turns, Ordering::Relaxed);
        *self.state.run.lock().unwrap_or_else(PoisonError::into_inner) = run.clone();
        run
    }

    /// Runs the loop on this thread for the turns that were prepared.
    fn make(&self, run: &Context, turns: u64) {
        let before = self.cache.version();
        // Ends by its context, which is the only way this run ends.
        let _ = self.cache.run(run);
        assert_eq!(self.cache.version() - before, turns, "turns made");
    }
}

/// Section 8: what `docache` must reach, from the peers of this run.
fn contract(bench: &Bench) -> Vec<Row> {
    let ours = |case: &str, threads| bench.value(case, threads, "docache");
    let mut rows = Vec::new();
    let mut row = |case: &str, threads, ours, limit, from| {
        rows.push(Row::at_most(case, threads, ours, limit, from));
    };
    for threads in THREADS {
        let limit = bench.value("reader", threads, "arc_swap_cache").map(|peer| 2.0 * peer);
        row("reader", threads, ours("reader", threads), limit, "2 x arc_swap_cache");
    }
    let flat = ours("reader", 2).zip(ours("reader", 1)).map(|(two, one)| two / one);
    row("reader, 2 to 1", 2, flat, Some(1.15), "flat: 1.15 x 1 thread");
    for threads in THREADS {
        let limit = bench.value("latest", threads, "arc_swap_load").map(|peer| 1.1 * peer);
        row("latest", threads, ours("latest", threads), limit, "1.1 x arc_swap_load");
    }
    for case in ["snapshot", "snapshot-100k"] {
        for threads in THREADS {
            let limit = bench.value(case, threads, "arc_swap_load_full").map(|peer| 1.1 * peer);
            row(case, threads, ours(case, threads), limit, "1.1 x arc_swap_load_full");
        }
    }
    row(
        "publish-100k",
        1,
        ours("publish-100k", 1),
        bench.value("publish-100k", 1, "imbl"),
        "1 x imbl",
    );
    rows
}
