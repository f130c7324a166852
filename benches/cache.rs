//! Criterion benches of the cache: our own figures from one change to the next. Nobody meets here.
//!
//! `cargo bench --bench cache`; for a comparison with others see `benches/peers`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use docache::Cache;

/// Entries of the caches.
const ENTRIES: u64 = 1024;

/// Numbers spread over all of `u64`, the same ones again after `COUNT` of them.
fn keys<const COUNT: u64>() -> impl FnMut() -> u64 {
    let mut turn = 0;
    move || {
        turn = (turn + 1) % COUNT;
        (turn + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// A cache that holds all keys and could hold twice as many.
fn filled() -> Cache<u64, u64> {
    let cache = Cache::new(2 * ENTRIES as usize);
    let mut next = keys::<ENTRIES>();
    for value in 0..ENTRIES {
        cache.insert(next(), value);
    }
    assert_eq!(cache.len(), ENTRIES as usize, "nothing was evicted");
    cache
}

fn reads(c: &mut Criterion) {
    let (cache, mut next) = (filled(), keys::<ENTRIES>());
    c.bench_function("get", |b| b.iter(|| cache.get(&next())));
    c.bench_function("get, absent", |b| b.iter(|| cache.get(&!next())));
    let pinned = cache.pin();
    c.bench_function("pinned get", |b| b.iter(|| black_box(pinned.get(&next()).copied())));
    drop(pinned);
    c.bench_function("fetch, there", |b| b.iter(|| cache.fetch(&next(), || black_box(1))));
}

fn writes(c: &mut Criterion) {
    let (cache, mut next) = (filled(), keys::<ENTRIES>());
    c.bench_function("insert, there", |b| b.iter(|| cache.insert(next(), black_box(1))));
    c.bench_function("fetch, absent, and remove", |b| {
        b.iter(|| {
            let key = !next();
            cache.fetch(&key, || black_box(1));
            cache.remove(&key)
        });
    });
    let (full, mut fresh) = (Cache::new(ENTRIES as usize), keys::<{ u64::MAX }>());
    c.bench_function("insert, evicting", |b| b.iter(|| full.insert(fresh(), black_box(1))));
}

criterion_group!(benches, reads, writes);
criterion_main!(benches);
