//! `insert_many`: it does what as many insertions would, and holds a lock for a few pairs at a
//! time.

mod common;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Builder;

use common::SECOND;
use common::cache::{Counted, Tally, hold, settle, turn};
use common::flight::{hush, panic_of, until};
use docache::{Cache, CacheBuilder, Cause, EvictionPolicy, ManualClock};

/// Pairs under one lock.
const SECTION: u64 = 8;
/// Pairs that are taken from the iterator at a time.
const BATCH: u64 = 1024;

type Heard = Arc<Mutex<Vec<(u64, u64, Cause)>>>;
/// What evicts the same in each run.
type Same = BuildHasherDefault<DefaultHasher>;
type SameCache = Cache<u64, u64, Infallible, Same>;

/// A cache whose listener notes what it hears.
fn listened(builder: CacheBuilder<u64, u64>) -> (SameCache, Heard) {
    let builder = builder.hasher(Same::default());
    let heard = Heard::default();
    let told = heard.clone();
    let tell =
        move |key: &u64, value: &u64, cause| told.lock().unwrap().push((*key, *value, cause));
    (builder.never_expire().no_sweep().on_evict(tell).build().unwrap(), heard)
}

/// As many numbers that look random, the same each time.
fn numbers(count: u64) -> impl Iterator<Item = u64> + Clone {
    (1..=count).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)
}

fn contents(cache: &SameCache) -> Vec<(u64, u64)> {
    let mut pairs: Vec<_> = cache.iter().collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn of_several_pairs_with_one_key_the_last_stays_however_many_there_are() {
    let _turn = turn();
    for shards in [1, 64, 1024] {
        for count in [0, 1, 2, 7, 8, 9, 100, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 5] {
            for keys in [1, 5, u64::MAX] {
                let (cache, heard) = listened(Cache::builder().shards(shards));
                let pairs = numbers(count).map(|n| n % keys).zip(0..);
                cache.insert_many(pairs.clone());
                let expected: BTreeMap<u64, u64> = pairs.clone().collect();
                assert!(contents(&cache).into_iter().eq(expected));
                // Of each key the values left in their order.
                let mut left = heard.lock().unwrap().clone();
                left.sort_by_key(|(key, ..)| *key);
                let mut replaced: Vec<_> =
                    pairs.map(|(key, n)| (key, n, Cause::Replaced)).collect();
                replaced.retain(|(key, n, _)| cache.get(key) != Some(*n));
                replaced.sort_by_key(|(key, ..)| *key);
                assert_eq!(left, replaced, "{shards} shards, {count} pairs");
                assert_eq!(cache.stats().inserted, count);
            }
        }
    }
}

/// Where there is one shard, all that can be seen is what as many insertions do, in the same order.
#[test]
fn one_shard_evicts_refuses_and_tells_as_for_single_insertions() {
    let _turn = turn();
    type Make = fn(CacheBuilder<u64, u64>) -> CacheBuilder<u64, u64>;
    let kinds: [Make; 4] = [
        |builder| builder.capacity(100),
        |builder| builder.capacity(1),
        |builder| builder.capacity(50).policy(EvictionPolicy::Lru),
        // A hundredth of them is too heavy.
        |builder| {
            builder.weigher(|_, n| if n % 100 == 0 { 900 } else { *n as u32 % 7 }).max_weight(200)
        },
    ];
    for make in kinds {
        let (one_by_one, expected) = listened(make(Cache::builder().shards(1)));
        let (at_once, heard) = listened(make(Cache::builder().shards(1)));
        let pairs = numbers(5_000).map(|n| n % 300).zip(0..);
        pairs.clone().for_each(|(key, value)| one_by_one.insert(key, value));
        at_once.insert_many(pairs);
        assert_eq!(contents(&at_once), contents(&one_by_one));
        assert_eq!(*heard.lock().unwrap(), *expected.lock().unwrap());
        let counts = |cache: &SameCache| {
            let stats = cache.stats();
            (stats.inserted, stats.evicted, stats.replaced, stats.refused, stats.weight)
        };
        assert_eq!(counts(&at_once), counts(&one_by_one));
    }
}

#[test]
fn each_write_ends_the_load_and_the_cached_error_of_its_key() {
    let _turn = turn();
    let clock = ManualClock::new();
    let builder = Cache::<u64, u64, &str>::builder().shards(2).clock(clock.clone());
    let cache = builder.time_to_live(SECOND).negative_ttl(10 * SECOND).build().unwrap();
    for key in 0..40 {
        assert!(cache.try_fetch(key, || Err("down")).is_err());
    }
    let pairs = || (0..80).map(|key| (key, key));
    for key in 40..80 {
        cache.remove(&key);
        let loaded = cache.try_fetch(key, || {
            cache.insert_many(pairs());
            Ok(1_000)
        });
        assert_eq!((loaded.unwrap(), cache.get(&key)), (1_000, Some(key)), "the write has won");
    }
    clock.advance(SECOND);
    assert!((0..80).all(|key| cache.try_fetch(key, || Ok(2_000)).unwrap() == 2_000));
}

/// The listener is called when a lock was given back, and asks for it.
#[test]
fn a_lock_is_given_back_after_a_few_pairs() {
    let _turn = turn();
    static CACHE: OnceLock<Cache<u64, u64>> = OnceLock::new();
    static SEEN: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let tell = |_: &u64, _: &u64, _| {
        let inserted = CACHE.get().unwrap().stats().inserted;
        SEEN.lock().unwrap().push(inserted);
    };
    let builder = Cache::builder().capacity(4).shards(1).on_evict(tell);
    let cache = CACHE.get_or_init(|| builder.build().unwrap());
    cache.insert_many((0..4 + 2_000).map(|key| (key, key)));
    let seen = SEEN.lock().unwrap();
    assert_eq!(seen.len(), 2_000);
    let mut before = 0;
    for inserted in seen.iter() {
        assert!(*inserted <= before + SECTION, "{inserted} after {before}");
        before = *inserted;
    }
    assert!(seen.iter().any(|inserted| inserted % SECTION == 0), "it takes several at once");
}

#[test]
fn the_iterator_and_the_listener_may_use_the_cache() {
    let _turn = turn();
    static CACHE: OnceLock<Cache<u64, u64>> = OnceLock::new();
    static LEFT: AtomicUsize = AtomicUsize::new(500);
    let tell = |key: &u64, _: &u64, _| {
        let cache = CACHE.get().unwrap();
        let more = LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if more.is_ok() {
            cache.insert_many((0..20).map(|n| (key + n, 7)));
        }
        cache.remove(key);
    };
    let builder = Cache::builder().capacity(10).shards(1).on_evict(tell);
    let cache = CACHE.get_or_init(|| builder.build().unwrap());
    cache.insert_many((0..3_000_u64).map(|n| {
        cache.insert(n / 2, 1);
        cache.insert_many([(n / 3, 1), (n, 2)]);
        cache.get(&n);
        (n, cache.len() as u64)
    }));
    assert!(cache.len() <= 10);
    until(|| cache.flush());
    assert_eq!(LEFT.load(Ordering::Relaxed), 0);
}

static REFILLED: OnceLock<Cache<u64, Refill>> = OnceLock::new();
static REFILLS: AtomicUsize = AtomicUsize::new(20_000);

/// A value whose destructor puts others in.
struct Refill;

impl Drop for Refill {
    fn drop(&mut self) {
        let more = REFILLS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if let (Some(cache), Ok(_)) = (REFILLED.get(), more) {
            cache.insert_many((0..3).map(|key| (key, Refill)));
        }
    }
}

#[test]
fn destructors_may_use_the_cache_and_take_no_more_stack_the_more_there_are() {
    let _turn = turn();
    let cache = REFILLED.get_or_init(|| Cache::builder().capacity(2).shards(1).build().unwrap());
    let refill = || {
        cache.insert_many((0..30).map(|key| (key, Refill)));
        until(|| cache.flush() && REFILLS.load(Ordering::Relaxed) == 0);
    };
    std::thread::scope(|scope| {
        Builder::new().stack_size(512 << 10).spawn_scoped(scope, refill).unwrap().join().unwrap();
    });
}

thread_local!(static FUSE: Cell<u64> = const { Cell::new(u64::MAX) });

/// Panics if it is this one's turn, once.
fn burn(of: u64) {
    if FUSE.get() == of {
        FUSE.set(u64::MAX);
        hush("burnt");
    }
}

/// A key that may panic when it is hashed, or found.
#[derive(Clone, Debug)]
struct Touchy {
    of: u64,
    from: Breaks,
}

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.from == Breaks::Hash {
            burn(self.of);
        }
        self.of.hash(state);
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Touchy) -> bool {
        if self.from == Breaks::Eq && self.of == other.of {
            burn(self.of);
        }
        self.of == other.of
    }
}

impl Eq for Touchy {}

/// What panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Breaks {
    Iterator,
    Weigher,
    Hash,
    Eq,
}

#[test]
fn whatever_panics_what_came_before_is_in_and_nothing_is_lost() {
    let _turn = turn();
    for from in [Breaks::Iterator, Breaks::Weigher, Breaks::Hash, Breaks::Eq] {
        for at in [0, 1, 7, 8, 500, BATCH - 1, BATCH, BATCH + 1, 2_500] {
            check_panic(from, at);
        }
    }
}

/// Has the pair of this number panic.
fn check_panic(from: Breaks, at: u64) {
    const COUNT: u64 = 3_000;
    let tally = Tally::new();
    let weigh = move |key: &Touchy, _: &Counted| {
        if from == Breaks::Weigher {
            burn(key.of);
        }
        1
    };
    let cache: Cache<Touchy, Counted> =
        Cache::builder().weigher(weigh).max_weight(1 << 20).build().unwrap();
    let pair = |of| (Touchy { of, from }, tally.value(of));
    if from == Breaks::Eq {
        // So that each is found.
        cache.insert_many((0..COUNT).map(|of| (pair(of).0, tally.value(COUNT))));
    }
    let pairs = (0..COUNT).map(|of| {
        if from == Breaks::Iterator {
            burn(of);
        }
        pair(of)
    });
    FUSE.set(at);
    let payload = panic_of(|| cache.insert_many(pairs));
    assert_eq!(payload.downcast_ref(), Some(&"burnt".to_owned()), "{from:?} {at}");
    let is_in = |of: &u64| cache.get(&pair(*of).0).is_some_and(|value| value.of() == *of);
    let there: Vec<u64> = (0..COUNT).filter(is_in).collect();
    if from == Breaks::Eq {
        let (begin, end) = (at - at % BATCH, at - at % BATCH + BATCH);
        assert!((0..begin).eq(there.iter().copied().filter(|of| *of < begin)));
        assert!(there.iter().all(|of| *of < end && *of != at));
    } else {
        assert!((0..at).eq(there), "{from:?} {at}");
        assert_eq!(cache.len() as u64, at, "{from:?}");
    }
    cache.insert_many((0..50).map(pair));
    assert!((0..50).all(|of| is_in(&of)), "it works on");
    settle(&cache);
    assert_eq!(tally.alive(), cache.len() as u64);
    drop(cache);
    assert_eq!(tally.alive(), 0);
}

#[test]
fn a_large_value_takes_no_more_of_the_stack_the_more_there_are() {
    let _turn = turn();
    const LEN: usize = 128 << 10;
    let work = || {
        let cache: Cache<u64, [u8; LEN]> = Cache::builder().shards(2).build().unwrap();
        cache.insert_many((0..20).map(|key| (key, [key as u8; LEN])));
        let pinned = cache.pin();
        assert!((0..20).all(|key| pinned.get(&key).unwrap().iter().all(|b| *b == key as u8)));
    };
    // A few copies on the way, more without optimization.
    let stack = if cfg!(debug_assertions) { 3 << 20 } else { 1 << 20 };
    std::thread::scope(|scope| {
        Builder::new().stack_size(stack).spawn_scoped(scope, work).unwrap().join().unwrap();
    });
}

/// Where entries have weights a batch is held up as single insertions are: nobody has a guard, so
/// never more than twice the greatest weight is there.
#[test]
fn what_is_retired_stays_within_the_limit_while_a_batch_comes() {
    let _turn = turn();
    const MOST: u64 = 4_000;
    let tally = Tally::new();
    let weigh = |_: &u64, value: &Counted| value.of() as u32;
    for listens in [false, true] {
        let mut builder = Cache::builder().weigher(weigh).max_weight(MOST).shards(1);
        if listens {
            builder = builder.on_evict(|_, _, _| ());
        }
        let cache: Cache<u64, Counted> = builder.build().unwrap();
        for _ in 0..20 {
            // Two values that are heavy between many that are light.
            let weight = |n| if n % 50 < 2 { 1_900 } else { n % 9 };
            cache.insert_many((0..500).map(|n| (n, tally.value(weight(n)))));
            let stats = cache.stats();
            // What came last may have driven out a heavy one.
            assert!(stats.weight + stats.retired_weight <= 2 * MOST + 1_900, "{stats:?}");
        }
        settle(&cache);
    }
    assert_eq!(tally.alive(), 0);
}

/// What is shown to the listener is not retired yet, but soon will be.
#[test]
fn where_entries_have_weights_a_lock_is_given_back_before_too_much_is_retired() {
    static CACHE: OnceLock<Cache<u64, u64>> = OnceLock::new();
    static SEEN: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let _turn = turn();
    let tell = |_: &u64, _: &u64, _| {
        let inserted = CACHE.get().unwrap().stats().inserted;
        SEEN.lock().unwrap().push(inserted);
    };
    // Room for four, so that no more than four may be retired.
    let builder = Cache::builder().weigher(|_, _| 10).max_weight(40).shards(1).on_evict(tell);
    let cache = CACHE.get_or_init(|| builder.build().unwrap());
    (0..4).for_each(|key| cache.insert(key, key));
    cache.insert_many((4..1_000).map(|key| (key, key)));
    let seen = SEEN.lock().unwrap();
    assert_eq!(seen.len(), 996);
    let before = [4].iter().chain(seen.iter());
    assert!(seen.iter().zip(before).all(|(seen, before)| *seen <= before + 4), "{seen:?}");
}

/// It would wait for itself.
#[test]
fn who_holds_a_guard_waits_for_nobody_and_all_is_put_in() {
    let _turn = turn();
    let tally = Tally::new();
    let weigh = |_: &u64, _: &Counted| 10;
    let cache: Cache<u64, Counted> =
        Cache::builder().weigher(weigh).max_weight(100).shards(1).build().unwrap();
    let pinned = cache.pin();
    cache.insert_many((0..3_000).map(|n| (n % 20, tally.value(n))));
    let stats = cache.stats();
    assert_eq!((stats.inserted, stats.retired, stats.refused), (3_000, 2_990, 0));
    drop(pinned);
    settle(&cache);
    assert_eq!(tally.alive(), 10);
}

/// What a reader has held up goes while others come, several for each of them.
#[test]
fn what_was_held_up_is_dropped_sooner_than_it_grows_again() {
    let _turn = turn();
    let tally = Tally::new();
    let make = || Cache::<u64, Counted>::builder().shards(1).no_sweep().build().unwrap();
    let (cache, other) = (make(), make());
    std::thread::scope(|scope| {
        let leave = hold(scope, &cache);
        (0..2_000).for_each(|n| cache.insert(n % 10, tally.value(n)));
        drop(leave);
    });
    // A grace period ends, and with it what was held up may go.
    other.insert(1, tally.value(1));
    other.remove(&1);
    until(|| other.flush());
    cache.insert_many((0..512).map(|n| (n % 10, tally.value(n))));
    let stats = cache.stats();
    assert!(stats.retired < 1_000, "{} are left", stats.retired);
}

#[test]
fn one_that_expires_at_once_is_put_in_and_gone() {
    let _turn = turn();
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> =
        Cache::builder().clock(clock.clone()).time_to_live(SECOND).build().unwrap();
    cache.insert_many((0..100).map(|key| (key, key)));
    assert!((0..100).all(|key| cache.get(&key) == Some(key)));
    clock.advance(SECOND);
    assert!((0..100).all(|key| cache.get(&key).is_none()));
    cache.insert_many((0..100).map(|key| (key, key)));
    assert_eq!((0..100).filter(|key| cache.get(key) == Some(*key)).count(), 100);
}
