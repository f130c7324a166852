//! Many more threads than cores, so that readers and writers are suspended at any point.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use docache::{Cache, Cause};

use crate::common::cache::turn;
use crate::span;

const THREADS: u64 = 64;

/// Each thread writes a key of its own and reads it back. The cache is never full, and nothing
/// expires.
fn lost(cache: &Cache<u64, u64>, per_thread: u64, span: Duration) -> (u64, u64) {
    let (stop, lost, writes) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let start = Barrier::new(THREADS as usize + 1);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (stop, lost, writes, start) = (&stop, &lost, &writes, &start);
            scope.spawn(move || {
                start.wait();
                let (mut number, mut gone) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let key = thread * per_thread + number % per_thread;
                    cache.try_insert(key, number).expect("nothing is refused");
                    gone += u64::from(cache.get(&key) != Some(number));
                    if number % 64 == 0 {
                        assert_eq!(cache.remove(&key), Some(number));
                    }
                }
                lost.fetch_add(gone, Ordering::Relaxed);
                writes.fetch_add(number, Ordering::Relaxed);
            });
        }
        start.wait();
        let begun = Instant::now();
        while begun.elapsed() < span {
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
    });
    (lost.into_inner(), writes.into_inner())
}

#[test]
fn nobody_loses_a_write_to_a_key_of_its_own() {
    let _turn = turn();
    for (per_thread, span) in [(1, span()), (16, span() / 3)] {
        let cache = Cache::builder().capacity(10_000).never_expire().no_sweep().build().unwrap();
        let (lost, writes) = lost(&cache, per_thread, span);
        let stats = cache.stats();
        assert_eq!((lost, stats.refused, stats.evicted), (0, 0, 0), "of {writes} writes");
        assert!(writes > THREADS);
    }
}

/// As many as there is room for leave, and no more; what is taken in is in, or has left for a
/// reason.
#[test]
fn a_full_cache_accounts_for_every_write() {
    let _turn = turn();
    let (told, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let (told, refused): (&'static AtomicU64, &'static AtomicU64) =
        (Box::leak(Box::new(told)), Box::leak(Box::new(refused)));
    let listener = |_: &u64, _: &u64, cause| {
        told.fetch_add(1, Ordering::Relaxed);
        refused.fetch_add(u64::from(cause == Cause::Refused), Ordering::Relaxed);
    };
    let cache: Cache<u64, u64> =
        Cache::builder().capacity(256).never_expire().on_evict(listener).build().unwrap();
    let stop = AtomicBool::new(false);
    let writes: u64 = std::thread::scope(|scope| {
        let write = |thread: u64| {
            let (cache, stop) = (&cache, &stop);
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    cache.insert(thread * 1_000 + number % 50, number);
                    number += 1;
                }
                number
            })
        };
        let threads: Vec<_> = (0..THREADS).map(write).collect();
        std::thread::sleep(span() / 3);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let stats = cache.stats();
    assert_eq!((stats.inserted, stats.refused, refused.load(Ordering::Relaxed)), (writes, 0, 0));
    assert_eq!(
        told.load(Ordering::Relaxed) + stats.len as u64,
        writes,
        "each has left once, or is there"
    );
}
