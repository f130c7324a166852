//! Guards that are held for long: what they lend stays, and what they hold up is kept, without a
//! write being lost.

mod common;

use common::SECOND;
use common::cache::{Counted, Tally, hold, settle, turn};
use common::flight::until;
use docache::{Cache, ManualClock};
use std::sync::Barrier;
use std::time::Duration;

type Guarded = Cache<u64, Counted, &'static str>;

fn bounded(capacity: usize) -> Guarded {
    Cache::builder().capacity(capacity).shards(1).never_expire().build().unwrap()
}

fn unbounded() -> Guarded {
    Cache::builder().shards(1).never_expire().build().unwrap()
}

#[test]
fn what_a_guard_lends_stays_whatever_happens_to_the_cache() {
    let _turn = turn();
    let tally = Tally::new();
    for cache in [bounded(100), unbounded(), Cache::builder().build().unwrap()] {
        (0..60).for_each(|key| cache.insert(key, tally.value(key)));
        let pinned = cache.pin();
        let lent: Vec<&Counted> = (0..60).filter_map(|key| pinned.get(&key)).collect();
        assert!(lent.len() >= 50, "most are there");
        let whole = || lent.iter().all(|value| value.of() < 60);
        std::thread::scope(|scope| {
            let change = || {
                (0..60).for_each(|key| cache.insert(key, tally.value(key)));
                (0..30).for_each(|key| drop(cache.remove(&key)));
                assert!(whole());
                (100..3_000).for_each(|key| cache.insert(key, tally.value(key)));
                cache.clear();
                cache.purge_expired();
                assert!(whole() && !cache.flush());
                (0..500).for_each(|key| drop(cache.try_fetch(key, || Ok(tally.value(key)))));
            };
            scope.spawn(change);
            (0..1_000).for_each(|_| assert!(whole()));
        });
        assert!(whole());
        drop(pinned);
        settle(&cache);
        assert_eq!(tally.alive(), cache.len() as u64);
        drop(cache);
        assert_eq!(tally.alive(), 0);
    }
}

/// No write is lost to a reader: what is retired beside it is kept and reported, and goes when the
/// reader has.
#[test]
fn what_is_held_up_is_kept_and_reported_and_no_write_is_lost() {
    let _turn = turn();
    for cache in [bounded(1), bounded(10), bounded(500), unbounded()] {
        let tally = Tally::new();
        let capacity = cache.capacity().unwrap_or(u64::MAX);
        std::thread::scope(|scope| {
            let leave = hold(scope, &cache);
            for step in 0..5_000 {
                // Every other write replaces.
                let key = step / 2;
                cache.insert(key, tally.value(step));
                assert_eq!(cache.get(&key).map(|value| value.of()), Some(step));
            }
            let stats = cache.stats();
            assert!(stats.len as u64 <= capacity && stats.len == cache.len());
            assert_eq!((stats.inserted, stats.refused), (5_000, 0));
            assert_eq!(stats.retired as u64, 5_000 - stats.len as u64, "all that has left");
            assert_eq!(tally.alive(), 5_000);
            assert!(!cache.flush());
            drop(leave);
        });
        // Nobody calls the cache any more.
        until(|| tally.alive() <= capacity.min(2_500));
        settle(&cache);
        assert_eq!(tally.alive(), cache.len() as u64);
    }
}

#[test]
fn memory_is_back_soon_after_the_last_guard_has_gone_with_no_call() {
    let _turn = turn();
    let cache: Cache<u64, u64> =
        Cache::builder().capacity(20_000).never_expire().no_sweep().build().unwrap();
    (0..40_000).for_each(|key| cache.insert(key, key));
    until(|| cache.flush());
    let before = cache.stats().memory;
    let pinned = cache.pin();
    (0..1_000_000).for_each(|key| cache.insert(key % 60_000, key));
    assert!(cache.stats().memory > 10 * before);
    drop(pinned);
    // Nothing that is called here writes or reclaims. Entries do not move, so some of their chunks
    // are not full now.
    until(|| cache.stats().memory < 4 * before);
}

/// Without readers places are used again while the writes go on, long before the background looks
/// after them; also by way of a listener.
#[test]
fn without_guards_writes_reclaim_what_they_retire() {
    let _turn = turn();
    let builder = || Cache::<u64, u64>::builder().shards(1).never_expire().no_sweep();
    for builder in [builder(), builder().on_evict(|_, _, _| ())] {
        let cache = builder.build().unwrap();
        let most = (0..64).map(|_| {
            (0..16).for_each(|value| cache.insert(1, value));
            // So that it is worth while to look.
            std::thread::sleep(Duration::from_millis(1));
            cache.stats().retired
        });
        assert!(most.max() <= Some(64));
    }
}

/// What weighs much is not kept longer than it must be, and without readers no more than as much as
/// the limit again.
#[test]
fn what_is_retired_by_weight_is_bounded_without_guards() {
    let _turn = turn();
    for (shards, heavy) in [(1, 10), (1, 100), (8, 7), (8, 12)] {
        let tally = Tally::new();
        let builder =
            Cache::builder().max_weight(100).weigher(move |_, _: &Counted| heavy).shards(shards);
        let cache: Cache<u64, Counted> = builder.never_expire().build().unwrap();
        for key in 0..2_000 {
            cache.insert(key, tally.value(key));
            assert!(cache.weight() <= 100);
            assert!(tally.alive() * u64::from(heavy) <= 200, "{} of weight {heavy}", tally.alive());
        }
        let pinned = cache.pin();
        (0..500).for_each(|key| cache.insert(key, tally.value(key)));
        let stats = cache.stats();
        assert_eq!((stats.refused, tally.alive()), (0, (stats.len + stats.retired) as u64));
        assert!(stats.retired_weight >= 300 * u64::from(heavy), "{}", stats.retired_weight);
        drop(pinned);
        until(|| tally.alive() * u64::from(heavy) <= 100);
    }
}

#[test]
fn a_cache_that_was_cleared_beside_a_guard_is_empty_and_takes_values_in() {
    let _turn = turn();
    let (tally, cache) = (Tally::new(), unbounded());
    (0..20_000).for_each(|key| cache.insert(key, tally.value(key)));
    std::thread::scope(|scope| {
        let leave = hold(scope, &cache);
        cache.clear();
        assert_eq!((cache.len(), cache.stats().retired), (0, 20_000));
        (0..100).for_each(|key| cache.insert(key, tally.value(key)));
        drop(leave);
    });
    assert_eq!((cache.stats().refused, cache.len()), (0, 100));
}

#[test]
fn a_cache_whose_entries_have_all_expired_takes_values_in() {
    let _turn = turn();
    let (tally, clock) = (Tally::new(), ManualClock::new());
    let builder = Cache::builder().shards(1).clock(clock.clone()).time_to_live(SECOND).no_sweep();
    let cache: Guarded = builder.build().unwrap();
    (0..20_000).for_each(|key| cache.insert(key, tally.value(key)));
    clock.advance(SECOND);
    assert_eq!(cache.purge_expired(), 20_000);
    (0..100).for_each(|key| cache.insert(key, tally.value(key)));
    assert_eq!((cache.stats().refused, cache.len()), (0, 100));
}

#[test]
fn a_cache_whose_entries_were_all_removed_takes_values_in() {
    let _turn = turn();
    let (tally, cache) = (Tally::new(), unbounded());
    (0..20_000).for_each(|key| cache.insert(key, tally.value(key)));
    (0..20_000).for_each(|key| drop(cache.remove(&key)));
    (0..100).for_each(|key| cache.insert(key, tally.value(key)));
    assert_eq!((cache.stats().refused, cache.len()), (0, 100));
}

#[test]
fn repin_lets_go() {
    let _turn = turn();
    let (tally, cache) = (Tally::new(), bounded(10));
    let mut pinned = cache.pin();
    for key in 0..10_000 {
        if key % 8 == 0 {
            pinned.repin();
        }
        cache.insert(key, tally.value(key));
        assert_eq!(pinned.get(&key).map(Counted::of), Some(key));
    }
    // Other threads' guards may have held some of it up, but none for long.
    assert!(tally.alive() < 5_000, "{}", tally.alive());
    // Two guards of a thread: what the other lends stays.
    let other = cache.pin();
    let lent = other.get(&9_999).expect("it was taken in");
    cache.clear();
    pinned.repin();
    assert!(!cache.flush());
    assert_eq!(lent.of(), 9_999);
    drop(other);
    pinned.repin();
    drop(pinned);
    settle(&cache);
    assert_eq!(tally.alive(), 0);
}

#[test]
fn a_guard_of_a_thread_may_stand_beside_its_own_writes() {
    let _turn = turn();
    let (tally, cache) = (Tally::new(), bounded(20));
    let pinned = cache.pin();
    cache.insert(0, tally.value(0));
    let lent = pinned.get(&0).unwrap();
    for key in 0..1_000 {
        cache.insert(key % 40, tally.value(key % 40));
        drop(cache.try_fetch(key % 30, || Ok(tally.value(key % 30))));
        drop(cache.remove(&(key % 7)));
    }
    cache.clear();
    assert!(!cache.flush() && cache.is_empty());
    assert_eq!(lent.of(), 0);
    drop(pinned);
    settle(&cache);
    assert_eq!(tally.alive(), 0);
}

#[test]
fn an_iterator_goes_on_while_everything_changes_under_it() {
    let _turn = turn();
    let (tally, cache) = (Tally::new(), unbounded());
    (0..2_000).for_each(|key| cache.insert(key, tally.value(key)));
    let pinned = cache.pin();
    let mut entries = pinned.iter();
    let first: Vec<_> = entries.by_ref().take(500).collect();
    cache.clear();
    (5_000..6_000).for_each(|key| cache.insert(key, tally.value(key)));
    let rest: Vec<_> = entries.collect();
    for (key, value) in first.iter().chain(&rest) {
        assert_eq!(**key, value.of());
    }
    drop(pinned);
    settle(&cache);
    assert_eq!(tally.alive(), cache.len() as u64);
}

#[test]
fn other_handles_may_go_while_a_guard_lends() {
    let _turn = turn();
    let tally = Tally::new();
    let cache = bounded(50);
    (0..50).for_each(|key| cache.insert(key, tally.value(key)));
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        let own = cache.clone();
        let barrier = &barrier;
        let reader = scope.spawn(move || {
            let pinned = own.pin();
            let lent: Vec<_> = pinned.iter().collect();
            barrier.wait();
            barrier.wait();
            lent.iter().for_each(|(key, value)| assert_eq!(**key, value.of()));
            assert_eq!(lent.len(), 50);
        });
        barrier.wait();
        cache.clear();
        drop(cache);
        barrier.wait();
        reader.join().unwrap();
    });
    assert_eq!(tally.alive(), 0, "the last handle has dropped everything");
}

#[test]
fn the_guards_of_one_cache_do_not_keep_another_from_being_dropped() {
    let _turn = turn();
    let tally = Tally::new();
    let (kept, gone) = (bounded(10), bounded(10));
    kept.insert(1, tally.value(1));
    let pinned = kept.pin();
    (0..100).for_each(|key| gone.insert(key, tally.value(key)));
    drop(gone);
    assert_eq!((tally.alive(), pinned.get(&1).map(Counted::of)), (1, Some(1)));
}

/// With a listener and without, however it goes.
#[test]
fn what_is_retired_beside_a_guard_weighs_what_it_weighed() {
    let _turn = turn();
    for listener in [false, true] {
        let builder = Cache::<u64, u64>::builder().weigher(|_, value| *value as u32);
        let mut builder = builder.max_weight(100_000).shards(1);
        if listener {
            builder = builder.on_evict(|_, _, _| ());
        }
        let cache: Cache<u64, u64> = builder.never_expire().no_sweep().build().unwrap();
        (0..1_000).for_each(|key| cache.insert(key, 1 + key % 3));
        let pinned = cache.pin();
        assert!((0..10).all(|key| cache.remove(&key).is_some()));
        assert_eq!(cache.stats().retired_weight, 19);
        cache.insert(10, 1);
        assert_eq!(cache.stats().retired_weight, 21);
        cache.clear();
        assert_eq!(cache.stats().retired_weight, 2_000);
        drop(pinned);
    }
}

#[test]
fn what_has_gone_weighs_nothing_any_more() {
    let _turn = turn();
    // As many as go together, fewer, more, and so many that they go by turns.
    for entries in [1, 15, 16, 17, 32, 1_000] {
        let builder =
            Cache::builder().max_weight(10 * entries).weigher(|_, _| 10).shards(1).no_sweep();
        let cache: Cache<u64, Box<u64>> = builder.build().unwrap();
        (0..entries).for_each(|key| cache.insert(key, Box::new(key)));
        cache.clear();
        settle(&cache);
        assert_eq!(cache.stats().retired_weight, 0, "{entries}");
        // One value that takes the room of many.
        let builder = Cache::<u64, Box<u64>>::builder().weigher(|_, value| **value as u32);
        let cache = builder.max_weight(entries).shards(1).no_sweep().build().unwrap();
        (0..entries).for_each(|key| cache.insert(key, Box::new(1)));
        cache.insert(entries, Box::new(entries));
        settle(&cache);
        assert_eq!((cache.stats().weight, cache.stats().retired_weight), (entries, 0));
    }
}

#[test]
fn tables_that_were_outgrown_go_when_nobody_calls() {
    let _turn = turn();
    let cache: Cache<u64, u64> = Cache::builder().shards(1).no_sweep().build().unwrap();
    let pinned = cache.pin();
    (0..20_000).for_each(|key| cache.insert(key, key));
    let held = cache.stats().memory;
    drop(pinned);
    // Of that, the tables are more than a quarter, and only the last one is left.
    until(|| cache.stats().memory < held - held / 6);
    let left = cache.stats().memory;
    assert!(cache.flush());
    assert_eq!(cache.stats().memory, left, "nothing was left to be done");
}

#[test]
fn what_is_known_of_deadlines_shrinks_when_the_guard_has_gone() {
    let _turn = turn();
    let clock = ManualClock::new();
    let builder = Cache::builder().capacity(100).shards(1).no_sweep().clock(clock.clone());
    let cache: Cache<u64, u64> = builder.build().unwrap();
    (0..100).for_each(|key| cache.insert_with_ttl(key, key, SECOND));
    clock.advance(SECOND);
    let pinned = cache.pin();
    (0..30_000).for_each(|key| cache.insert(key, key));
    drop(pinned);
    assert!(cache.flush());
    let memory = cache.stats().memory;
    assert!(memory < 100_000, "{memory}");
}
