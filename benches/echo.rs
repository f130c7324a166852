//! Criterion benches of the echo cache: hits beside those of a bare cache with the same keys.
//!
//! `cargo bench --bench echo`; for a comparison with others see `benches/peers`.

use std::hint::black_box;
use std::sync::mpsc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use docache::echo::{EchoCache, LazyEchoCache, MemoryStore, Status, TieredStore};
use docache::{Cache, ManualClock};

/// Keys that are gone through.
const KEYS: usize = 1024;

fn names() -> Vec<&'static str> {
    (0..KEYS).map(|n| &*format!("user:{n:08}").leak()).collect()
}

fn none() -> Result<u64, String> {
    unreachable!("it is there")
}

fn turns() -> impl FnMut() -> &'static str {
    let (names, mut turn) = (names(), 0);
    move || {
        turn = (turn + 1) % KEYS;
        names[turn]
    }
}

fn hits(c: &mut Criterion) {
    let mut bench = c.benchmark_group("hit");

    let bare = Cache::<Box<str>, u64>::builder().capacity(2 * KEYS).build().expect("a cache");
    names().iter().for_each(|name| bare.insert((*name).into(), 1));
    let mut next = turns();
    bench.bench_function("Cache::get", |b| b.iter(|| black_box(bare.get(next()))));

    let echo = EchoCache::<_, u64, String>::new(MemoryStore::new(2 * KEYS));
    names().iter().for_each(|name| drop(echo.fetch(name, || Ok(1))));
    let mut next = turns();
    bench.bench_function("memory", |b| b.iter(|| black_box(echo.fetch(next(), none))));

    let tiers =
        TieredStore::new(MemoryStore::new(2 * KEYS), MemoryStore::new(2 * KEYS), Duration::MAX);
    let echo = EchoCache::<_, u64, String>::new(tiers);
    names().iter().for_each(|name| drop(echo.fetch(name, || Ok(1))));
    let mut next = turns();
    bench.bench_function("tiered", |b| b.iter(|| black_box(echo.fetch(next(), none))));

    let lazy: LazyEchoCache<_, u64, String> =
        LazyEchoCache::builder(MemoryStore::new(2 * KEYS)).build().expect("a cache");
    names().iter().for_each(|name| drop(lazy.fetch(name, || Ok(1))));
    let mut next = turns();
    bench.bench_function("lazy", |b| b.iter(|| black_box(lazy.fetch(next(), none))));
    bench.finish();
}

/// Hits of values that are stale, once their refreshes are queued.
fn stale(c: &mut Criterion) {
    let clock = ManualClock::new();
    let lazy: LazyEchoCache<_, u64, String> = LazyEchoCache::builder(
        MemoryStore::builder().capacity(2 * KEYS).clock(clock.clone()).build().expect("a store"),
    )
    .queue_size(2 * KEYS)
    .clock(clock.clone())
    .build()
    .expect("a cache");
    names().iter().for_each(|name| drop(lazy.fetch(name, || Ok(1))));
    let mut next = turns();
    c.bench_function("hit/lazy, manual clock", |b| b.iter(|| black_box(lazy.fetch(next(), none))));
    clock.advance(Duration::from_secs(60));
    let (leave, left) = mpsc::channel::<()>();
    let refresh = move || {
        let _ = left.recv();
        Ok(2)
    };
    drop(lazy.fetch(names()[0], refresh));
    names().iter().for_each(|name| drop(lazy.fetch(name, || Ok(2))));
    let mut next = turns();
    c.bench_function("hit/stale, manual clock", |b| {
        b.iter(|| {
            let fetched = lazy.fetch(next(), none);
            debug_assert!(matches!(fetched.as_ref().unwrap().status, Status::Stale { .. }));
            black_box(fetched)
        });
    });
    drop(leave);
}

criterion_group!(benches, hits, stale);
criterion_main!(benches);
