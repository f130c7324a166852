//! Readers that stand still in the midst of a read, as any does whom the system suspends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use docache::Cache;

use crate::common::cache::{hold, turn};
use crate::common::flight::until;

/// Its clone stands still until it is let go. It has a destructor: what has none may stay, a few
/// dozen to a shard.
struct Standing;

impl Drop for Standing {
    fn drop(&mut self) {}
}

static STANDS: AtomicBool = AtomicBool::new(false);
static GO: AtomicBool = AtomicBool::new(false);

impl Clone for Standing {
    fn clone(&self) -> Standing {
        STANDS.store(true, Ordering::SeqCst);
        until(|| GO.load(Ordering::SeqCst));
        Standing
    }
}

/// Writes to a cache, reads each write back, and says how many were not there.
fn lost(cache: &Cache<u64, Box<u64>>, writes: u64) -> u64 {
    let write = |number: u64| {
        cache.try_insert(number % 50, Box::new(number)).expect("nothing is refused");
        u64::from(cache.get(&(number % 50)).as_deref() != Some(&number))
    };
    (0..writes).map(write).sum()
}

/// What writes come to beside a reader that stands still: in its own cache and in others, bounded
/// by number or by weight.
fn writes_beside_a_reader(stand: impl FnOnce(&Cache<u64, Standing>) + Send) {
    let own: Cache<u64, Standing> = Cache::new(10);
    own.insert(0, Standing);
    let bounded: Cache<u64, Box<u64>> = Cache::new(100);
    let weighed: Cache<u64, Box<u64>> =
        Cache::builder().weigher(|_, _| 7).max_weight(7 * 400).build().unwrap();
    let unbounded: Cache<u64, Box<u64>> = Cache::builder().build().unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| stand(&own));
        until(|| STANDS.load(Ordering::SeqCst));
        for cache in [&bounded, &weighed, &unbounded] {
            assert_eq!(lost(cache, 30_000), 0);
            assert!(cache.stats().retired > 20_000, "it is held up: {:?}", cache.stats());
        }
        for key in 0..1_000 {
            own.insert(key % 5, Standing);
            assert!(own.contains_key(&(key % 5)));
        }
        assert_eq!(own.stats().refused, 0);
        GO.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
    // Nobody calls them, and what was retired goes.
    until(|| [&bounded, &weighed, &unbounded].iter().all(|cache| cache.stats().retired == 0));
    until(|| own.stats().retired == 0);
    STANDS.store(false, Ordering::SeqCst);
    GO.store(false, Ordering::SeqCst);
}

#[test]
fn no_write_is_lost_beside_a_clone_that_stands_still() {
    let _turn = turn();
    writes_beside_a_reader(|own| drop(own.get(&0)));
}

#[test]
fn no_write_is_lost_beside_a_guard_that_stands_still() {
    let _turn = turn();
    writes_beside_a_reader(|own| {
        let pinned = own.pin();
        STANDS.store(true, Ordering::SeqCst);
        until(|| GO.load(Ordering::SeqCst));
        drop(pinned);
    });
}

/// The longest of many writes, in the best of some tries: others may take the processor away from
/// one.
fn longest_write(cache: &Cache<u64, Box<u64>>) -> Duration {
    let longest = |_| {
        let write = |number: u64| {
            let begun = Instant::now();
            cache.insert(number % 500, Box::new(number));
            begun.elapsed()
        };
        (0..2_000).map(write).max().unwrap_or_default()
    };
    (0..50).map(longest).min().unwrap_or_default()
}

#[test]
fn a_writer_does_not_wait_for_a_reader_that_stands_still() {
    let _turn = turn();
    let number: Cache<u64, Box<u64>> = Cache::builder().capacity(1_000).shards(1).build().unwrap();
    let weight: Cache<u64, Box<u64>> =
        Cache::builder().weigher(|_, _| 10).max_weight(2_000).shards(1).build().unwrap();
    for cache in [&number, &weight] {
        std::thread::scope(|scope| {
            let leave = hold(scope, cache);
            let longest = longest_write(cache);
            assert!(longest < Duration::from_millis(10), "{longest:?}");
            assert!(cache.stats().retired > 10_000);
            drop(leave);
        });
        until(|| cache.stats().retired < 100);
    }
}

/// Loads go on, too, and the sweep.
#[test]
fn loads_and_expiry_go_on_beside_a_guard() {
    let _turn = turn();
    let time = Duration::from_millis(20);
    let cache: Cache<u64, Box<u64>> =
        Cache::builder().time_to_live(time).sweep_interval(time).build().unwrap();
    let pinned = cache.pin();
    let loads = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for key in 0..1_000 {
                    let value = cache.fetch(&key, || {
                        loads.fetch_add(1, Ordering::Relaxed);
                        Box::new(key)
                    });
                    assert_eq!(*value, key);
                }
            });
        }
    });
    assert!(loads.load(Ordering::Relaxed) >= 1_000);
    until(|| cache.is_empty());
    assert_eq!(cache.stats().retired, loads.load(Ordering::Relaxed));
    drop(pinned);
    until(|| cache.stats().retired == 0);
}
