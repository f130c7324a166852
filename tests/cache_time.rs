//! Times to live at their limits, clocks of any origin, and who goes first when the time is over.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::SECOND;
use docache::{Cache, CacheBuilder, Cause, Clock, EvictionPolicy, ManualClock, Tick};

const POLICIES: [EvictionPolicy; 2] = [EvictionPolicy::Adaptive, EvictionPolicy::Lru];

fn builder(policy: EvictionPolicy, clock: &ManualClock) -> CacheBuilder<u64, u64> {
    Cache::builder().shards(1).policy(policy).clock(clock.clone()).no_sweep()
}

#[test]
fn what_has_expired_goes_before_what_is_alive() {
    for policy in POLICIES {
        let clock = ManualClock::new();
        let cache: Cache<u64, u64> = builder(policy, &clock).capacity(1_000).build().unwrap();
        let long = 10_000 * SECOND;
        (0..500).for_each(|key| cache.insert_with_ttl(key, key, long));
        (500..1_000).for_each(|key| cache.insert_with_ttl(key, key, SECOND));
        clock.advance(2 * SECOND);
        (1_000..1_500).for_each(|key| cache.insert_with_ttl(key, key, long));
        let alive = (0..500).chain(1_000..1_500).filter(|key| cache.contains_key(key)).count();
        let stats = cache.stats();
        assert_eq!((alive, stats.expired, stats.evicted), (1_000, 500, 0), "{policy:?}");
        // From here on somebody alive must go.
        cache.insert(5_000, 0);
        assert_eq!((cache.len(), cache.stats().evicted), (1_000, 1));
    }
}

/// What is replaced makes room for as much as it weighed: here for nothing.
#[test]
fn an_entry_that_becomes_heavier_takes_the_room_of_what_has_expired() {
    for policy in POLICIES {
        let clock = ManualClock::new();
        let builder = builder(policy, &clock).weigher(|_, weight| *weight as u32).max_weight(10);
        let cache: Cache<u64, u64> = builder.build().unwrap();
        for (key, weight, ttl) in [(1, 9, 100 * SECOND), (2, 1, SECOND), (3, 0, 100 * SECOND)] {
            cache.insert_with_ttl(key, weight, ttl);
        }
        clock.advance(2 * SECOND);
        cache.insert_with_ttl(3, 1, 100 * SECOND);
        let stats = cache.stats();
        assert_eq!((stats.expired, stats.evicted, stats.len), (1, 0, 2), "{policy:?}");
        assert_eq!([1, 2, 3].map(|key| cache.get(&key)), [Some(9), None, Some(1)]);
    }
}

fn weight(key: u64, weighted: bool) -> u64 {
    if weighted { key % 3 * 2 } else { 1 }
}

/// Entries that come and go, are replaced and removed, with times of their own: whenever one is
/// evicted alive, none was expired.
#[test]
fn nobody_is_evicted_while_somebody_is_expired() {
    for (policy, weighted) in [(POLICIES[0], false), (POLICIES[1], false), (POLICIES[0], true)] {
        static NOW: AtomicU64 = AtomicU64::new(0);
        let clock = ManualClock::new();
        let mut builder = builder(policy, &clock).on_evict(|key: &u64, end: &u64, cause| {
            let over = *end <= NOW.load(Ordering::Relaxed);
            assert!(cause != Cause::Size || !over, "{key} had expired");
            assert!(cause != Cause::Expired || over, "{key} was alive");
        });
        builder = if weighted {
            builder.weigher(|key, _| weight(*key, true) as u32).max_weight(300)
        } else {
            builder.capacity(150)
        };
        let cache: Cache<u64, u64> = builder.build().unwrap();
        let mut dice = common::flight::Dice::new(7);
        for _ in 0..60_000 {
            let key = dice.below(400) as u64;
            let evicted = cache.stats().evicted;
            let ttl = [1, 10, 10, 10, 100, 5_000][dice.below(6)] + dice.below(5) as u64;
            match dice.below(8) {
                0 => drop(cache.remove(&key)),
                1 => {
                    clock.advance(dice.below(4) as u32 * SECOND);
                    NOW.store(clock.now().as_nanos(), Ordering::Relaxed);
                }
                2 => drop(cache.get(&key)),
                _ => {
                    let end = clock.now().after(Duration::from_secs(ttl)).as_nanos();
                    cache.insert_with_ttl(key, end, Duration::from_secs(ttl));
                }
            }
            if cache.stats().evicted > evicted {
                // Iterators show what is alive; what weighs nothing takes no room from anybody.
                let alive = cache.pin().iter().count();
                assert!(cache.len() == alive || weighted, "{} of {} are alive", alive, cache.len());
                assert_eq!(
                    cache.weight(),
                    cache.pin().iter().map(|(key, _)| weight(*key, weighted)).sum::<u64>()
                );
            }
        }
        assert!(cache.stats().expired > 1_000 && cache.stats().evicted > 50, "{:?}", cache.stats());
        assert_eq!(cache.stats().listener_panics, 0, "the listener's assertions hold");
    }
}

#[test]
fn a_clock_may_count_from_anywhere() {
    #[derive(Debug)]
    struct Far(ManualClock, u64);
    impl Clock for Far {
        fn now(&self) -> Tick {
            Tick::from_nanos(self.0.now().as_nanos().saturating_add(self.1))
        }
    }
    // The origin of the wall clock is 56 years away.
    for origin in
        [0, 1, 56 * 365 * 86_400 * 1_000_000_000, u64::MAX / 2, u64::MAX - 3_600_000_000_000]
    {
        let clock = ManualClock::new();
        let cache: Cache<u64, u64> = Cache::builder()
            .clock(Far(clock.clone(), origin))
            .time_to_live(600 * SECOND)
            .sweep_interval(100_000 * SECOND)
            .build()
            .unwrap();
        cache.insert(1, 1);
        clock.advance(599 * SECOND);
        assert_eq!(cache.get(&1), Some(1), "{origin}");
        clock.advance(SECOND);
        assert_eq!((cache.get(&1), cache.purge_expired()), (None, 1), "{origin}");
    }
    // Time that has come to its end stands still, and nobody spins.
    let stopped = Far(ManualClock::new(), u64::MAX);
    let cache: Cache<u64, u64> = Cache::builder()
        .clock(stopped)
        .time_to_live(SECOND)
        .sweep_interval(SECOND)
        .build()
        .unwrap();
    cache.insert(1, 1);
    assert_eq!(cache.get(&1), Some(1));
}

#[test]
fn without_being_told_a_cache_keeps_what_it_has_for_fifteen_minutes() {
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder().clock(clock.clone()).no_sweep().build().unwrap();
    cache.insert(1, 1);
    clock.advance(15 * 60 * SECOND - SECOND / 1_000);
    assert_eq!(cache.get(&1), Some(1));
    clock.advance(SECOND / 500);
    assert_eq!(cache.get(&1), None);
}

#[test]
fn without_being_told_a_cache_is_swept_every_twenty_minutes() {
    let clock = ManualClock::new();
    let build = |builder: CacheBuilder<u64, u64>| builder.clock(clock.clone()).build().unwrap();
    let cache: Cache<u64, u64> = build(Cache::builder());
    let often: Cache<u64, u64> = build(Cache::builder().sweep_interval(600 * SECOND));
    for cache in [&cache, &often] {
        cache.insert_with_ttl(1, 1, SECOND);
    }
    clock.advance(1_199 * SECOND);
    common::flight::until(|| often.stats().expired == 1);
    assert_eq!(cache.stats().expired, 0);
    clock.advance(2 * SECOND);
    common::flight::until(|| cache.stats().expired == 1);
}

#[test]
fn times_to_live_may_be_as_long_and_as_shortened_as_one_likes() {
    for ttl in [u64::MAX, u64::MAX - 1, 1 << 62, 1_000_000_000, 1] {
        for jitter in [1e-17, 0.5, 1.0] {
            let cache: Cache<u64, u64> = Cache::builder()
                .time_to_live(Duration::from_secs(ttl))
                .ttl_jitter(jitter)
                .no_sweep()
                .build()
                .unwrap();
            (0..100).for_each(|key| cache.insert(key, key));
            assert!(jitter > 0.9 || cache.get(&7) == Some(7), "{ttl} s, shortened by {jitter}");
        }
    }
}

#[test]
fn jitter_spreads_deadlines_and_only_shortens_lives() {
    let clock = ManualClock::new();
    let builder = Cache::builder().time_to_live(100 * SECOND).ttl_jitter(0.5);
    let cache: Cache<u64, u64> = builder.clock(clock.clone()).no_sweep().build().unwrap();
    (0..1_000).for_each(|key| cache.insert(key, key));
    for (step, left) in [(49, 1_000..=1_000), (26, 400..=600), (26, 0..=0)] {
        clock.advance(step * SECOND);
        cache.purge_expired();
        assert!(left.contains(&cache.len()), "{} {step} s later", cache.len());
    }
}

/// A write that is over its limit may wait, or drop what others have left: time goes by meanwhile.
#[test]
fn a_time_to_live_counts_from_when_the_value_is_stored() {
    struct TakesTime(ManualClock);
    impl Drop for TakesTime {
        fn drop(&mut self) {
            self.0.advance(10 * SECOND);
        }
    }
    let clock = ManualClock::new();
    let builder = Cache::builder().max_weight(10).weigher(|_, _: &Arc<TakesTime>| 10).shards(1);
    let cache: Cache<u64, Arc<TakesTime>> =
        builder.time_to_live(5 * SECOND).clock(clock.clone()).no_sweep().build().unwrap();
    let value = || Arc::new(TakesTime(clock.clone()));
    for fetches in [false, true] {
        let pinned = cache.pin();
        (0..10).for_each(|_| cache.insert(0, value()));
        drop(pinned);
        let before = clock.now();
        if fetches {
            cache.fetch(1, value);
        } else {
            cache.insert(1, value());
        }
        assert!(clock.now() >= before.after(5 * SECOND), "what was retired was dropped first");
        assert!(cache.contains_key(&1), "fetched: {fetches}");
        cache.remove(&1);
    }
}

/// A table that is replaced while it is purged is purged from its beginning.
#[test]
fn a_purge_misses_nothing_when_the_table_changes_under_it() {
    let clock = ManualClock::new();
    let cache: std::sync::Arc<std::sync::OnceLock<Cache<u64, u64>>> = std::sync::Arc::default();
    let own = cache.clone();
    // The listener of the first entries makes the table shrink, or grow, between two steps of the
    // purge.
    let told = AtomicU64::new(0);
    let listener = move |_: &u64, _: &u64, cause: Cause| {
        if cause == Cause::Expired && told.fetch_add(1, Ordering::Relaxed) == 0 {
            let cache = own.get().unwrap();
            (100_000..110_000).for_each(|key| assert!(cache.remove(&key).is_some()));
            (200_000..200_100).for_each(|key| cache.insert_with_ttl(key, 0, 10_000 * SECOND));
        }
    };
    let built =
        Cache::builder().shards(1).clock(clock.clone()).no_sweep().on_evict(listener).build();
    let cache = cache.get_or_init(|| built.unwrap());
    (0..1_000).for_each(|key| cache.insert_with_ttl(key, 0, SECOND));
    (100_000..110_000).for_each(|key| cache.insert_with_ttl(key, 0, 10_000 * SECOND));
    clock.advance(2 * SECOND);
    assert_eq!(cache.purge_expired(), 1_000);
    assert_eq!(cache.len(), 100);
}
