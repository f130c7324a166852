//! Threads that do everything at once, with values that count their drops.

use crate::common::cache::{Counted, Tally, settle, turn};
use crate::common::flight::{Dice, Seed};
use docache::{Cache, CacheBuilder, Cause, Clock, EvictionPolicy, ManualClock, SystemClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const THREADS: u64 = 8;
const STEPS: usize = 4_000;
const KEYS: usize = 400;

type Stressed = Cache<u64, Counted, &'static str>;
type Builder = CacheBuilder<u64, Counted, &'static str>;

/// How long each storm is repeated: `DOCACHE_STRESS_SECONDS`; once if it is not set.
fn patience() -> Duration {
    let seconds = std::env::var("DOCACHE_STRESS_SECONDS").ok();
    Duration::from_secs(seconds.map_or(0, |seconds| seconds.parse().expect("a number of seconds")))
}

/// What a cache of a storm may hold.
#[derive(Clone, Copy, Default)]
struct Limits {
    len: Option<usize>,
    weight: Option<u64>,
}

struct Stage {
    cache: Stressed,
    limits: Limits,
    clock: ManualClock,
    tally: &'static Tally,
}

impl Stage {
    fn value(&self, key: u64) -> Counted {
        self.tally.value(key)
    }

    fn check(&self) {
        if let Some(most) = self.limits.len {
            assert!(self.cache.len() <= most, "more than {most}");
        }
        if let Some(most) = self.limits.weight {
            assert!(self.cache.weight() <= most, "heavier than {most}");
        }
    }

    fn load(&self, dice: &mut Dice, key: u64) -> Result<Counted, &'static str> {
        match dice.below(8) {
            0 => Err("no luck"),
            1 => {
                drop(self.cache.remove(&key));
                Ok(self.value(key))
            }
            2 => {
                self.cache.insert(key, self.value(key));
                Ok(self.value(key))
            }
            _ => Ok(self.value(key)),
        }
    }

    fn load_many(&self, dice: &mut Dice, keys: &[&u64]) -> Result<Vec<Counted>, &'static str> {
        if dice.once_in(4) {
            Err("no luck")
        } else {
            Ok(keys.iter().map(|key| self.value(**key)).collect())
        }
    }

    fn step(&self, dice: &mut Dice) {
        let (cache, key) = (&self.cache, dice.below(KEYS) as u64);
        let keys: [u64; 4] = std::array::from_fn(|at| (key + at as u64) % KEYS as u64);
        let is_of = |key: &u64, value: Option<&Counted>| {
            assert!(value.is_none_or(|value| value.of() == *key), "a value of another key");
        };
        match dice.below(64) {
            0..=15 => is_of(&key, cache.get(&key).as_ref()),
            16..=22 => is_of(&key, cache.pin().get(&key)),
            23..=24 => drop(cache.contains_key(&key)),
            25..=36 => cache.insert(key, self.value(key)),
            37..=39 => {
                cache.insert_with_ttl(
                    key,
                    self.value(key),
                    Duration::from_millis(dice.below(20) as u64),
                );
            }
            40..=45 => is_of(&key, cache.remove(&key).as_ref()),
            46..=51 => is_of(&key, cache.try_fetch(key, || self.load(dice, key)).ok().as_ref()),
            52 => {
                let found =
                    cache.try_fetch_many(&keys.each_ref(), |keys| self.load_many(dice, keys));
                keys.iter().zip(found).for_each(|(key, found)| is_of(key, found.ok().as_ref()));
            }
            53 => {
                let found = cache.get_many(&keys.each_ref());
                keys.iter().zip(&found).for_each(|(key, found)| is_of(key, found.as_ref()));
            }
            54 => cache.insert_many(keys.map(|key| (key, self.value(key)))),
            55 => drop(cache.remove_many(&keys.each_ref())),
            56 => self.clock.advance(Duration::from_millis(1)),
            57 if dice.once_in(8) => drop(cache.purge_expired()),
            58 if dice.once_in(16) => cache.clear(),
            59 if dice.once_in(16) => drop(cache.flush()),
            60 if dice.once_in(8) => {
                cache.iter().for_each(|(key, value)| is_of(&key, Some(&value)))
            }
            61 => self.look_for_long(dice),
            _ => self.check(),
        }
    }

    /// Reads by one guard, while others write.
    fn look_for_long(&self, dice: &mut Dice) {
        let mut pinned = self.cache.pin();
        for _ in 0..dice.below(4) {
            let found: Vec<_> = pinned.iter().take(20).collect();
            std::thread::yield_now();
            found.iter().for_each(|(key, value)| assert_eq!(**key, value.of()));
            pinned.repin();
        }
    }

    /// What holds when nobody does anything.
    fn rest(self, weighs: impl Fn(u64) -> u64) {
        settle(&self.cache);
        self.check();
        self.cache.purge_expired();
        settle(&self.cache);
        let (mut count, mut weight) = (0, 0);
        self.cache.pin().iter().for_each(|(key, value)| {
            assert_eq!(*key, value.of());
            (count, weight) = (count + 1, weight + weighs(*key));
        });
        let stats = self.cache.stats();
        assert_eq!((self.cache.len(), self.cache.weight()), (count, weight));
        assert_eq!((stats.len, stats.weight, self.tally.alive()), (count, weight, count as u64));
        let left = stats.evicted + stats.expired + stats.removed + stats.replaced;
        assert_eq!(stats.inserted, left + count as u64, "each that came has left or is there");
        drop(self.cache);
        assert_eq!(self.tally.alive(), 0);
    }
}

fn storm(limits: Limits, weighs: fn(u64) -> u64, build: impl Fn(Builder) -> Builder) {
    let (begun, mut seed) = (SystemClock.now(), 0);
    loop {
        let _seed = Seed(seed);
        let (clock, tally) = (ManualClock::new(), Tally::new());
        let builder = Cache::builder()
            .clock(clock.clone())
            .time_to_live(Duration::from_millis(100))
            .no_sweep();
        let stage = Stage { cache: build(builder).build().unwrap(), limits, clock, tally };
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let stage = &stage;
                scope.spawn(move || {
                    let mut dice = Dice::new(seed * THREADS + thread);
                    (0..STEPS).for_each(|_| stage.step(&mut dice));
                });
            }
        });
        stage.rest(weighs);
        seed += 1;
        if SystemClock.now().since(begun) >= patience() {
            return;
        }
    }
}

#[test]
fn an_unbounded_cache_in_a_storm() {
    let _turn = turn();
    storm(Limits::default(), |_| 1, |builder| builder.shards(4));
}

#[test]
fn caches_of_a_capacity_in_a_storm() {
    let _turn = turn();
    for (capacity, policy) in [
        (1, EvictionPolicy::Lru),
        (40, EvictionPolicy::Lru),
        (40, EvictionPolicy::Adaptive),
        (300, EvictionPolicy::Adaptive),
    ] {
        let limits = Limits { len: Some(capacity), ..Limits::default() };
        storm(limits, |_| 1, |builder| builder.capacity(capacity).policy(policy));
    }
}

#[test]
fn a_cache_of_a_weight_in_a_storm() {
    let _turn = turn();
    let limits = Limits { weight: Some(1_000), ..Limits::default() };
    let weighs = |key: u64| key % 9;
    storm(limits, weighs, |builder| {
        builder
            .weigher(move |key: &u64, _: &Counted| weighs(*key) as u32)
            .max_weight(1_000)
            .shards(2)
    });
}

#[test]
fn a_listener_in_a_storm_is_told_of_all_that_left() {
    let _turn = turn();
    let told: Arc<[AtomicU64; 5]> = Arc::default();
    let (clock, tally) = (ManualClock::new(), Tally::new());
    let count = told.clone();
    let listener = move |key: &u64, value: &Counted, cause: Cause| {
        assert_eq!(*key, value.of());
        let causes = [Cause::Size, Cause::Expired, Cause::Removed, Cause::Replaced, Cause::Refused];
        let cause = causes.iter().position(|other| *other == cause).expect("a cause");
        count[cause].fetch_add(1, Ordering::SeqCst);
    };
    let builder =
        Cache::builder().clock(clock.clone()).time_to_live(Duration::from_millis(100)).no_sweep();
    let cache = builder.capacity(100).on_evict(listener).build().unwrap();
    let limits = Limits { len: Some(100), ..Limits::default() };
    let stage = Stage { cache, limits, clock, tally };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let stage = &stage;
            scope.spawn(move || {
                let mut dice = Dice::new(thread);
                (0..STEPS).for_each(|_| stage.step(&mut dice));
            });
        }
    });
    let stats = stage.cache.stats();
    let counted = [stats.evicted, stats.expired, stats.removed, stats.replaced, stats.refused];
    assert_eq!(counted, told.each_ref().map(|count| count.load(Ordering::SeqCst)));
    assert_eq!(stats.listener_panics, 0);
    stage.rest(|_| 1);
}

#[test]
fn readers_that_come_and_go_cost_no_insertions() {
    let _turn = turn();
    // More threads than processors: some reader is always interrupted in the midst of a read.
    let cache: Cache<u64, u64> = Cache::builder().capacity(100).build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let cache = &cache;
            scope.spawn(move || {
                let mut dice = Dice::new(thread);
                for _ in 0..50_000 {
                    let key = dice.below(KEYS) as u64;
                    if cache.get(&key).is_none() {
                        cache.insert(key, key);
                    }
                }
            });
        }
    });
    let stats = cache.stats();
    assert!(
        stats.refused < stats.inserted / 50,
        "{} of {} were refused",
        stats.refused,
        stats.inserted
    );
}
