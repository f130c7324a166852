//! Hits of echo caches over stores in memory allocate nothing.

mod common;

use common::allocations::{self, Counting};
use docache::ManualClock;
use docache::echo::{EchoCache, LazyEchoCache, MemoryStore, SingleStore, Status, TieredStore};
use std::sync::mpsc;
use std::time::Duration;

#[global_allocator]
static GLOBAL: Counting = Counting;

const HITS: usize = 10_000;

/// Counts the allocations of this thread in many hits, after one to warm up.
fn hits(what: &str, hit: impl Fn()) {
    hit();
    let before = allocations::on_this_thread();
    (0..HITS).for_each(|_| hit());
    assert_eq!(allocations::on_this_thread() - before, 0, "{what}");
}

type Load = fn() -> Result<u64, String>;

fn none() -> Result<u64, String> {
    unreachable!("it is there")
}

/// One test, so that nothing else runs in the process.
#[test]
fn hits_allocate_nothing() {
    let echo: EchoCache<_, u64, String> = EchoCache::new(MemoryStore::new(100));
    echo.fetch("key", || Ok(1)).unwrap();
    hits("memory", || assert_eq!(echo.fetch("key", none as Load).unwrap().value, 1));

    let echo: EchoCache<_, u64, String> = EchoCache::new(SingleStore::new());
    echo.fetch("key", || Ok(1)).unwrap();
    hits("single", || assert_eq!(echo.fetch("key", none as Load).unwrap().value, 1));

    let tiers = TieredStore::new(MemoryStore::new(9), MemoryStore::new(9), Duration::MAX);
    let echo: EchoCache<_, u64, String> = EchoCache::new(tiers);
    echo.fetch("key", || Ok(1)).unwrap();
    hits("through a tier", || assert_eq!(echo.fetch("key", none as Load).unwrap().value, 1));

    let clock = ManualClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build().unwrap();
    let lazy: LazyEchoCache<_, u64, String> =
        LazyEchoCache::builder(store).clock(clock.clone()).build().unwrap();
    lazy.fetch("key", || Ok(1)).unwrap();
    hits("lazy", || assert_eq!(lazy.fetch("key", none as Load).unwrap().value, 1));
    clock.advance(Duration::from_secs(60));
    let (leave, left) = mpsc::channel::<()>();
    let refresh = move || {
        let _ = left.recv();
        Ok(2)
    };
    lazy.fetch("key", refresh).unwrap();
    hits("stale", || {
        let fetched = lazy.fetch("key", none as Load).unwrap();
        assert!(matches!(fetched.status, Status::Stale { .. }));
    });
    leave.send(()).unwrap();

    let before = allocations::on_this_thread();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(allocations::on_this_thread() - before, 1, "the counter counts");
}
