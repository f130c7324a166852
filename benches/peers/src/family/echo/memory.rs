//! Hits in this process's memory.

use std::convert::Infallible;
use std::error::Error;
use std::hint::black_box;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use amalgam::{BlockingCache, EntryOptions, FactoryError, source};
use cached::ShardedLruTtlCache;
use docache::Cache;
use docache::echo::{EchoCache, LazyEchoCache, MemoryStore, Status, Store, TieredStore};

use super::KEYS;
use crate::harness::{Bench, Subject};

/// Everything fits.
const CAPACITY: usize = 2 * KEYS;
/// That of our builders, for peers that want to be told.
const TIME_TO_LIVE: Duration = Duration::from_secs(15 * 60);
const HOUR: Duration = Duration::from_secs(3600);
/// Reads are measured alone and against one other reader.
const THREADS: [usize; 2] = [1, 2];

type Moka = moka::sync::Cache<String, u64, foldhash::fast::RandomState>;

/// Goes through the keys, each of which `get` finds.
fn subject<'a>(
    name: &'static str,
    names: &'static [&'static str],
    get: impl Fn(&str) -> u64 + Sync + 'a,
) -> Subject<'a> {
    Subject::new(name, move |n| {
        for turn in 0..n {
            black_box(get(names[turn as usize % KEYS]));
        }
    })
}

fn none() -> Result<u64, Infallible> {
    unreachable!("it is there")
}

fn echo<S>(store: S, names: &[&str]) -> EchoCache<S, u64, Infallible>
where
    S: Store<u64> + 'static,
{
    let cache = EchoCache::new(store);
    for (name, value) in names.iter().zip(0..) {
        cache.fetch(name, || Ok(value)).unwrap_or_else(|error| panic!("{error}"));
    }
    cache
}

fn fetch<S>(cache: &EchoCache<S, u64, Infallible>, key: &str) -> u64
where
    S: Store<u64> + 'static,
{
    match cache.fetch(key, none) {
        Ok(fetched) => *fetched,
        Err(error) => panic!("{error}"),
    }
}

fn bare(names: &[&str]) -> docache::Result<Cache<Box<str>, u64>> {
    let cache = Cache::<Box<str>, u64>::builder().capacity(CAPACITY).build()?;
    for (name, value) in names.iter().zip(0..) {
        cache.insert((*name).into(), value);
    }
    Ok(cache)
}

/// Each is as its builder makes it, but that moka has the hasher that ours has by default.
pub(super) fn hits(
    bench: &mut Bench,
    names: &'static [&'static str],
) -> Result<(), Box<dyn Error>> {
    if !bench.wants("memory-hit") && !bench.wants("allocations") {
        return Ok(());
    }
    let ours = echo(MemoryStore::new(CAPACITY), names);
    let bare = bare(names)?;
    let cached = ShardedLruTtlCache::builder().max_size(CAPACITY).ttl(TIME_TO_LIVE).build()?;
    let moka: Moka = moka::sync::Cache::builder()
        .max_capacity(CAPACITY as u64)
        .time_to_live(TIME_TO_LIVE)
        .build_with_hasher(Default::default());
    let [amalgam, amalgam_bounded] = [amalgam(None)?, amalgam(Some(CAPACITY as u64))?];
    for (name, value) in names.iter().zip(0..) {
        cached.set((*name).to_owned(), value);
        moka.insert((*name).to_owned(), value);
        amalgam.get_or_set(name, source::value(value)).execute()?;
        amalgam_bounded.get_or_set(name, source::value(value)).execute()?;
    }
    let subjects = [
        subject("docache", names, |key| fetch(&ours, key)),
        subject("cache_get", names, |key| bare.get(key).expect("it is there")),
        // It takes an owned key, also for a hit.
        subject("cached", names, |key| cached.get_or_set_with(key.to_owned(), missing)),
        subject("cached_get", names, |key| cached.get(key).expect("it is there")),
        subject("moka", names, |key| moka.get_with_by_ref(key, missing)),
        subject("amalgam_cache", names, |key| fetch_amalgam(&amalgam, key)),
        subject("amalgam_cache_bounded", names, |key| fetch_amalgam(&amalgam_bounded, key)),
    ];
    for threads in THREADS {
        bench.case("memory-hit", threads, &subjects);
    }
    if bench.wants("allocations") {
        bench.allocations("allocations", "memory_hit", &subjects);
    }
    drop(subjects);
    amalgam.shutdown()?;
    amalgam_bounded.shutdown()?;
    Ok(())
}

fn missing() -> u64 {
    unreachable!("it is there")
}

/// Its blocking face. Hits are faster without a bound, which is its default.
fn amalgam(capacity: Option<u64>) -> Result<BlockingCache<u64>, Box<dyn Error>> {
    let mut builder = amalgam::Cache::builder().default_options(EntryOptions::new(TIME_TO_LIVE));
    if let Some(capacity) = capacity {
        builder = builder.max_capacity(capacity);
    }
    Ok(BlockingCache::from_builder(builder)?)
}

fn fetch_amalgam(cache: &BlockingCache<u64>, key: &str) -> u64 {
    let work = source::factory(|context| Err::<u64, FactoryError>(context.fail("missing")));
    cache.get_or_set(key, work).execute().expect("it is there")
}

/// Hits of values that are stale, while their refreshes are queued behind one that does not end.
pub(super) fn stale(
    bench: &mut Bench,
    names: &'static [&'static str],
) -> Result<(), Box<dyn Error>> {
    if !bench.wants("stale-hit") && !bench.wants("allocations") {
        return Ok(());
    }
    let lazy = |refresh_after| {
        let builder = LazyEchoCache::<_, u64, Infallible>::builder(MemoryStore::new(CAPACITY));
        builder
            .refresh_after(refresh_after)
            .expires(HOUR)
            .refresh_timeout(HOUR)
            .queue_size(CAPACITY)
            .build()
    };
    let (stale, fresh) = (lazy(Duration::from_millis(1))?, lazy(HOUR)?);
    for (name, value) in names.iter().zip(0..) {
        for cache in [&stale, &fresh] {
            cache.fetch(name, move || Ok(value)).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    // Longer than the clock of the store lags behind.
    thread::sleep(Duration::from_millis(100));
    let (leave, left) = mpsc::channel::<()>();
    let mut blocks = Some(move || {
        let _ = left.recv();
        Ok(0)
    });
    for name in names {
        let fetched = match blocks.take() {
            Some(blocks) => stale.fetch(name, blocks),
            None => stale.fetch(name, none),
        };
        assert!(matches!(fetched.map(|f| f.status), Ok(Status::Stale { .. })), "{name}");
    }
    assert_eq!(stale.refreshing(), names.len(), "refreshes queued");
    let ours = echo(MemoryStore::new(CAPACITY), names);
    let fetch_lazy = |cache: &LazyEchoCache<MemoryStore<u64>, u64, Infallible>, key: &str| {
        cache.fetch(key, none).map_or_else(|error| panic!("{error}"), |fetched| *fetched)
    };
    let subjects = [
        subject("docache", names, |key| fetch_lazy(&stale, key)),
        subject("docache_fresh", names, |key| fetch_lazy(&fresh, key)),
        subject("docache_hit", names, |key| fetch(&ours, key)),
    ];
    bench.case("stale-hit", 1, &subjects);
    if bench.wants("allocations") {
        bench.allocations("allocations", "stale_hit", &subjects[..1]);
    }
    drop(subjects);
    // What waits in the queue goes with the cache.
    drop(stale);
    drop(leave);
    Ok(())
}

/// Hits in the near one of two stores.
pub(super) fn tiered(
    bench: &mut Bench,
    names: &'static [&'static str],
) -> Result<(), Box<dyn Error>> {
    if !bench.wants("tiered-hit") && !bench.wants("allocations") {
        return Ok(());
    }
    let far = MemoryStore::new(CAPACITY);
    let ours = echo(TieredStore::new(MemoryStore::new(CAPACITY), far.clone(), HOUR), names);
    far.clear();
    let bare = bare(names)?;
    let subjects = [
        subject("docache", names, |key| fetch(&ours, key)),
        subject("cache_get", names, |key| bare.get(key).expect("it is there")),
    ];
    for threads in THREADS {
        bench.case("tiered-hit", threads, &subjects);
    }
    if bench.wants("allocations") {
        bench.allocations("allocations", "tiered_hit", &subjects[..1]);
    }
    Ok(())
}
