//! Everything at once: 32 threads start, stop and read one loop cache at random.

use docache::{Clock, Context, LoopCache, ManualClock, SystemClock};
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const THREADS: u8 = 32;
const INTERVAL: Duration = Duration::from_millis(10);

/// A value that knows whether it is whole.
struct Checked {
    call: u64,
    double: u64,
}

/// A Doer that trips when it is called twice at once, fails now and then, and panics now and then.
fn doer() -> impl FnMut() -> Result<Checked, String> + Send {
    let (busy, mut call) = (AtomicBool::new(false), 0);
    move || {
        assert!(!busy.swap(true, Ordering::SeqCst), "two calls at once");
        call += 1;
        std::thread::yield_now();
        busy.store(false, Ordering::SeqCst);
        match call % 16 {
            7 => Err(format!("call {call} fails")),
            11 => panic!("call {call} panics"),
            _ => Ok(Checked { call, double: 2 * call }),
        }
    }
}

/// Looks at everything a reader may see; `seen` is the newest version that this thread knows of.
fn look(cache: &LoopCache<Checked>, seen: &mut u64) {
    let before = cache.version().max(*seen);
    let snapshot = cache.snapshot();
    assert!(snapshot.version() >= before, "a thread's view went back");
    *seen = snapshot.version();
    assert!(snapshot.len() <= 10);
    let first = snapshot.version() + 1 - snapshot.len() as u64;
    for (at, entry) in snapshot.iter().enumerate() {
        assert_eq!(entry.sequence(), first + at as u64);
        match entry.result() {
            Ok(value) => assert_eq!(value.double, 2 * value.call),
            Err(error) => assert!(error.is_failed() || error.is_panicked()),
        }
    }
    if let Some(reading) = cache.latest() {
        assert_eq!(reading.double, 2 * reading.call);
    }
}

/// One thread of the crowd: acts at random until `over`.
fn act(cache: &LoopCache<Checked>, seed: u8, over: &dyn Fn() -> bool, acts: &AtomicU64) {
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let (mut reader, mut seen) = (cache.reader(), 0);
    while !over() {
        match rand(&mut rng) % 8 {
            0 => drop(cache.start().unwrap()),
            1 => cache.stop(),
            2 => drop(cache.stop_within(Duration::from_nanos(1))),
            3 => drop(cache.refresh()),
            4 => {
                let limit = Context::new().with_timeout(Duration::from_micros(50));
                let _ = cache.changed(seen).wait_in(&limit);
            }
            5 => drop(reader.view().latest().map(|entry| assert!(entry.error().is_none()))),
            6 => {
                let stats = cache.stats();
                assert!(stats.calls >= stats.failures && stats.failures >= stats.panics);
            }
            _ => look(cache, &mut seen),
        }
        acts.fetch_add(1, Ordering::Relaxed);
    }
}

fn rand(rng: &mut TestRng) -> u32 {
    use proptest::prelude::Rng;
    rng.next_u32()
}

fn crowd(
    cache: &LoopCache<Checked>,
    over: &(dyn Fn() -> bool + Sync),
    beside: impl FnOnce(&AtomicU64),
) {
    let acts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for seed in 0..THREADS {
            let acts = &acts;
            scope.spawn(move || act(cache, seed, over, acts));
        }
        beside(&acts);
    });
    cache.stop();
    assert!(!cache.is_running());
    let stats = cache.stats();
    assert_eq!(stats.calls, cache.version());
    // It still works.
    cache.start().unwrap();
    cache.changed(stats.calls).wait(None).unwrap();
    cache.stop();
}

#[test]
fn two_seconds_of_manual_time() {
    let clock = ManualClock::new();
    let cache = LoopCache::builder(doer())
        .interval(INTERVAL)
        .capacity(10)
        .clock(clock.clone())
        .build()
        .unwrap();
    let end = clock.now().after(Duration::from_secs(2));
    let over = || clock.now() >= end;
    crowd(&cache, &over, |acts| {
        // Time passes no faster than the crowd acts.
        let mut seen = 0;
        while !over() {
            while acts.load(Ordering::Relaxed) < seen + 10 {
                std::thread::yield_now();
            }
            seen = acts.load(Ordering::Relaxed);
            clock.advance(INTERVAL / 10);
        }
    });
}

#[test]
fn one_second_of_real_time() {
    let cache = LoopCache::builder(doer()).interval(INTERVAL).capacity(10).build().unwrap();
    let end = SystemClock.now().after(Duration::from_secs(1));
    crowd(&cache, &|| SystemClock.now() >= end, |_| ());
}

#[test]
fn dropped_while_readers_hold_snapshots() {
    for _ in 0..50 {
        let cache = Arc::new(
            LoopCache::builder(doer())
                .interval(Duration::from_micros(10))
                .capacity(10)
                .build()
                .unwrap(),
        );
        cache.start().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let cache = cache.clone();
                scope.spawn(move || {
                    let mut reader = cache.reader();
                    let snapshots: Vec<_> = (0..20).map(|_| cache.snapshot()).collect();
                    drop(cache);
                    for snapshot in snapshots {
                        assert!(
                            snapshot.iter().all(|entry| entry.sequence() <= snapshot.version())
                        );
                    }
                    assert!(reader.value().is_none_or(|value| value.double == 2 * value.call));
                });
            }
            drop(cache);
        });
    }
}
