//! Guards that are held for long: what they lend stays, and what they hold up stays within bounds.

#[path = "common/mod.rs"]
mod common;

use common::SECOND;
use common::cache::{Counted, Tally, settle, turn};
use common::flight::until;
use docache::{Cache, ManualClock};
use std::sync::Barrier;
use std::sync::mpsc::{self, Sender};
use std::thread::Scope;

type Guarded = Cache<u64, Counted, &'static str>;

fn bounded(capacity: usize) -> Guarded {
    Cache::builder().capacity(capacity).shards(1).never_expire().build().unwrap()
}

fn unbounded() -> Guarded {
    Cache::builder().shards(1).never_expire().build().unwrap()
}

/// Has another thread hold a guard until the result is dropped or told.
fn hold<'scope>(scope: &'scope Scope<'scope, '_>, cache: &'scope Guarded) -> Sender<()> {
    let (leave, left) = mpsc::channel();
    let (enter, entered) = mpsc::channel();
    scope.spawn(move || {
        let pinned = cache.pin();
        enter.send(()).unwrap();
        // An error says that the sender is gone, which ends the guard too.
        let _ = left.recv();
        drop(pinned);
    });
    entered.recv().unwrap();
    leave
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
                (0..500).for_each(|key| drop(cache.try_fetch(&key, || Ok(tally.value(key)))));
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

#[test]
fn what_is_held_up_in_a_bounded_cache_is_bounded_and_reported() {
    let _turn = turn();
    for capacity in [1_usize, 10, 64, 500] {
        let (tally, cache) = (Tally::new(), bounded(capacity));
        let most = capacity.max(64);
        std::thread::scope(|scope| {
            let leave = hold(scope, &cache);
            for key in 0..5_000 {
                cache.insert(key, tally.value(key));
                let stats = cache.stats();
                assert!(stats.retired <= most + 1, "{} of {most}", stats.retired);
                assert!(cache.len() <= capacity && stats.len == cache.len());
                assert_eq!(tally.alive(), (stats.len + stats.retired) as u64);
                assert_eq!(stats.inserted + stats.refused, key + 1);
            }
            let stats = cache.stats();
            assert!(stats.refused > 0 && stats.retired > 0 && !cache.flush());
            drop(leave);
        });
        settle(&cache);
        assert_eq!(tally.alive(), cache.len() as u64);
        (0..5_000).for_each(|key| cache.insert(key, tally.value(key)));
        settle(&cache);
        assert_eq!((cache.len(), tally.alive()), (capacity, capacity as u64));
    }
}

#[test]
fn what_is_held_up_in_an_unbounded_cache_is_bounded_too() {
    let _turn = turn();
    let (tally, cache) = (Tally::new(), unbounded());
    std::thread::scope(|scope| {
        let leave = hold(scope, &cache);
        for step in 0..20_000_u64 {
            cache.insert(step % 50, tally.value(step % 50));
            assert!(tally.alive() <= 2 * 1_024 + 50, "{} values", tally.alive());
        }
        let stats = cache.stats();
        assert!(stats.refused > 0 && stats.retired > 0);
        assert_eq!(tally.alive(), (stats.len + stats.retired) as u64);
        drop(leave);
    });
    settle(&cache);
    assert_eq!(tally.alive(), cache.len() as u64);
}

#[test]
fn a_value_that_is_refused_does_not_leave_an_older_one_behind() {
    let _turn = turn();
    let tally = Tally::new();
    for cache in [bounded(8), unbounded()] {
        std::thread::scope(|scope| {
            let leave = hold(scope, &cache);
            for step in 0..4_000 {
                let refused = cache.stats().refused;
                let key = step % 4;
                cache.insert(key, tally.value(step));
                let got = cache.get(&key).map(|value| value.of());
                assert_eq!(got, (cache.stats().refused == refused).then_some(step));
            }
            assert!(cache.stats().refused > 0);
            // What is loaded is given to its callers in any case.
            let loaded = cache.try_fetch(&77, || Ok(tally.value(77))).unwrap();
            assert_eq!(loaded.of(), 77);
            drop(leave);
        });
    }
}

#[test]
fn a_cache_takes_values_in_again_as_soon_as_the_guard_is_gone() {
    let _turn = turn();
    let tally = Tally::new();
    for cache in [bounded(64), unbounded()] {
        std::thread::scope(|scope| {
            let leave = hold(scope, &cache);
            (0..20_000).for_each(|step| cache.insert(step % 100, tally.value(step % 100)));
            assert!(cache.stats().refused > 0);
            drop(leave);
        });
        // The thread of the guard pins once more when it ends, so it may take some tries, but no flush.
        until(|| {
            cache.insert(7, tally.value(7));
            cache.contains_key(&7)
        });
    }
}

#[test]
fn a_cache_that_was_cleared_beside_a_guard_takes_values_in_when_it_is_gone() {
    let _turn = turn();
    let (tally, cache) = (Tally::new(), unbounded());
    (0..20_000).for_each(|key| cache.insert(key, tally.value(key)));
    std::thread::scope(|scope| {
        let leave = hold(scope, &cache);
        cache.clear();
        assert_eq!((cache.len(), cache.stats().retired), (0, 20_000));
        drop(leave);
    });
    (0..100).for_each(|key| cache.insert(key, tally.value(key)));
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
        while !pinned.contains_key(&key) {
            // It was refused: what is retired is not let go yet.
            pinned.repin();
            cache.insert(key, tally.value(key));
        }
        assert_eq!(pinned.get(&key).map(Counted::of), Some(key));
        assert!(tally.alive() <= 10 + 64);
    }
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
        drop(cache.try_fetch(&(key % 30), || Ok(tally.value(key % 30))));
        drop(cache.remove(&(key % 7)));
        assert!(tally.alive() <= 20 + 64 + 1);
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
