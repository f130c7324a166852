//! What a read answers and counts, by the clocks that there are: most are done at a glance, and
//! those must not differ from the others.

use docache::{Cache, CacheBuilder, EvictionPolicy, ManualClock};
use std::convert::Infallible;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Duration;

type Hasher = BuildHasherDefault<DefaultHasher>;
type Builder = CacheBuilder<u64, u64, Infallible, Hasher>;
type Store = Cache<u64, u64, Infallible, Hasher>;

/// One whose policy sees the same hashes each time.
fn builder() -> Builder {
    Cache::builder().no_sweep().hasher(BuildHasherDefault::default())
}

/// Looked at in different ways.
fn all(with: impl Fn(Builder) -> Builder) -> [Store; 4] {
    [
        with(builder()),
        with(builder()).clock(ManualClock::new()),
        with(builder()).record_stats(true),
        with(builder()).expire_on_sweep_only(true),
    ]
    .map(|builder| builder.build().unwrap())
}

#[test]
fn hits_and_misses_are_counted_by_any_clock() {
    for cache in all(|builder| builder.record_stats(true)) {
        cache.insert(1, 10);
        cache.insert_with_ttl(2, 20, Duration::ZERO);
        assert_eq!((cache.get(&1), cache.get(&3), cache.pin().get(&4)), (Some(10), None, None));
        assert!(cache.contains_key(&1) && !cache.contains_key(&3), "which is not counted");
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses), (1, 2));
    }
    let clock = ManualClock::new();
    let cache = builder().record_stats(true).clock(clock.clone()).build().unwrap();
    cache.insert_with_ttl(1, 10, Duration::from_secs(1));
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.get(&1), None);
    assert_eq!((cache.stats().hits, cache.stats().misses), (0, 1), "an expired one is a miss");
}

#[test]
fn a_strict_lru_is_told_of_reads_by_any_clock() {
    for cache in all(|builder| builder.capacity(2).shards(1).policy(EvictionPolicy::Lru)) {
        (0..2).for_each(|key| cache.insert(key, key));
        assert_eq!(cache.get(&0), Some(0));
        cache.insert(2, 2);
        assert_eq!([0, 1, 2].map(|key| cache.contains_key(&key)), [true, false, true]);
    }
}

/// Which keys are left of a stream of new ones, when some are looked at again and again.
fn left(cache: &Store, look: impl Fn(&Store, u64)) -> Vec<u64> {
    for key in 0..2_000 {
        cache.insert(key, key);
        (0..10).for_each(|favorite| look(cache, favorite * 37 + key / 500 * 500));
    }
    (0..2_000).filter(|key| cache.contains_key(key)).collect()
}

#[test]
fn a_use_counts_with_the_policy_by_any_clock_and_a_question_does_not() {
    let caches = || all(|builder| builder.capacity(100).shards(1));
    let unread = left(&caches()[0], |_, _| ());
    let read = left(&caches()[0], |cache, key| _ = cache.get(&key));
    assert_ne!(unread, read);
    for (asked, used) in caches().into_iter().zip(caches()) {
        assert_eq!(left(&asked, |cache, key| _ = cache.contains_key(&key)), unread);
        assert_eq!(left(&used, |cache, key| _ = cache.get(&key)), read);
    }
}

#[test]
fn the_coarse_clock_expires_what_is_read_all_the_time() {
    for ttl in [1, 150].map(Duration::from_millis) {
        let cache = builder().build().unwrap();
        cache.insert_with_ttl(1, 10, ttl);
        cache.insert(2, 20);
        // The longer one is longer than the clock goes on for such reads.
        while cache.get(&1).is_some() {
            std::thread::yield_now();
        }
        assert_eq!(cache.get(&2), Some(20));
    }
}

#[test]
fn what_never_expires_is_there_at_the_end_of_time() {
    let clock = ManualClock::new();
    let cache = builder().never_expire().clock(clock.clone()).build().unwrap();
    cache.insert(1, 10);
    // 36 years is what a deadline can hold, 584 what a clock can.
    for years in [35, 37, 600] {
        clock.advance(Duration::from_secs(years * 365 * 24 * 3600));
        assert_eq!((cache.get(&1), cache.purge_expired()), (Some(10), 0));
        cache.insert(1, 10);
        assert_eq!((cache.stats().expired, cache.get(&1)), (0, Some(10)));
    }
    cache.insert_with_ttl(2, 20, Duration::from_secs(1));
    assert_eq!(cache.get(&2), None, "the time of those that do expire is over");
}

/// So it is with a policy that knows how often its entries were used before.
#[test]
fn of_a_loop_that_does_not_fit_most_is_there() {
    let cache = builder().capacity(1_000).shards(1).build().unwrap();
    let hits = (0..100_000).map(|turn| turn % 1_200).filter(|&key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, key);
        }
        hit
    });
    let hits = hits.count();
    assert!(hits > 75_000, "{hits}");
}

#[test]
fn a_cache_that_has_lost_most_of_its_entries_gives_their_memory_back() {
    let cache: Cache<u64, u64> = Cache::builder().shards(1).never_expire().build().unwrap();
    cache.insert_many((0..50_000).map(|key| (key, key)));
    let full = cache.stats().memory;
    assert!(full > 50_000 * 16);
    (10..50_000).for_each(|key| assert_eq!(cache.remove(&key), Some(key)));
    while !cache.flush() {}
    let left = cache.stats().memory;
    assert!(left < full / 16, "{left} bytes are left of {full}");
    assert!((0..10).all(|key| cache.get(&key) == Some(key)));
}
