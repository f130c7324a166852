//! `retain`: what it is shown, what it takes out, and what happens meanwhile.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use common::flight::{Task, hush, until};
use docache::{Cache, Cause, ManualClock};

#[test]
fn what_is_not_wanted_leaves_and_the_listener_hears_of_it() {
    let heard = Arc::new(AtomicUsize::new(0));
    let tell = heard.clone();
    let cache: Cache<u64, u64> = Cache::builder()
        .on_evict(move |key, _, cause| {
            assert!(key % 3 == 0 && cause == Cause::Removed);
            tell.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    cache.insert_many((0..10_000).map(|key| (key, key)));
    assert_eq!(cache.retain(|key, value| key == value && key % 3 > 0), 3_334);
    assert_eq!((cache.len(), heard.load(Ordering::Relaxed)), (6_666, 3_334));
    assert!((0..10_000).all(|key| cache.contains_key(&key) == (key % 3 > 0)));
    assert_eq!(cache.retain(|_, _| true), 0);
    assert_eq!((cache.retain(|_, _| false), cache.len()), (6_666, 0));
}

#[test]
fn what_has_expired_is_not_shown() {
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder().clock(clock.clone()).build().unwrap();
    cache.insert_with_ttl(1, 1, Duration::from_secs(1));
    cache.insert(2, 2);
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.retain(|key, _| *key != 2), 1, "only the other one was shown");
    assert_eq!(cache.len(), 1, "the sweep will take it");
}

#[test]
fn it_may_use_the_cache_and_what_was_replaced_meanwhile_stays() {
    let cache: Cache<u64, u64> = Cache::builder().shards(1).build().unwrap();
    cache.insert_many((0..100).map(|key| (key, 0)));
    let removed = cache.retain(|key, value| {
        if key % 2 == 0 && *value == 0 {
            cache.insert(*key, 1);
        } else if key % 10 == 1 {
            cache.remove(key);
        }
        *value > 0
    });
    // 50 were replaced before they could be removed, 10 removed by the call itself.
    assert_eq!((removed, cache.len()), (40, 50));
    assert!(cache.iter().all(|(key, value)| key % 2 == 0 && value == 1));
}

#[test]
fn a_load_of_a_removed_key_is_not_kept() {
    let cache: Cache<u64, u64> = Cache::builder().build().unwrap();
    let (begun, go) = (Barrier::new(2), Barrier::new(2));
    let load = || {
        begun.wait();
        go.wait();
        1
    };
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| cache.fetch(1, &load));
        begun.wait();
        // The key is there by a write, which ends the load for those who come later; a new load
        // cannot begin while it is there. So only the write is left to be removed.
        cache.insert(1, 2);
        assert_eq!(cache.retain(|_, _| false), 1);
        go.wait();
        assert_eq!(leader.join().unwrap(), 1);
    });
    assert_eq!(cache.get(&1), None);
    assert_eq!(Task::new(cache.fetch_async(1, || async { 3 })).ends(), 3);
}

#[test]
fn a_panic_goes_to_the_caller_and_the_cache_goes_on() {
    let cache: Cache<u64, Arc<u64>> = Cache::builder().shards(1).build().unwrap();
    cache.insert_many((0..100).map(|key| (key, Arc::new(key))));
    let mut shown = 0;
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cache.retain(|_, _| {
            shown += 1;
            if shown == 50 { hush("no fuel") } else { false }
        })
    }));
    assert!(outcome.is_err());
    assert!((50..=100).contains(&cache.len()));
    assert_eq!(cache.len(), cache.iter().count());
    cache.retain(|_, _| false);
    assert!(cache.is_empty());
}

/// While a listener stands still in `retain`, another cache gives back what was retired there.
#[test]
fn the_listener_is_shown_what_was_removed_without_a_guard() {
    let (came, standing) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let stand_still = move |_: &u64, _: &u64, _| {
        let _ = came.send(());
        let _ = gate.lock().unwrap().recv();
    };
    let cache: Cache<u64, u64> = Cache::builder().shards(1).on_evict(stand_still).build().unwrap();
    cache.insert(1, 1);
    let other: Cache<u64, Arc<u64>> = Cache::builder().shards(1).build().unwrap();
    std::thread::scope(|scope| {
        let removed = scope.spawn(|| cache.retain(|_, _| false));
        standing.recv().unwrap();
        (0..1_000).for_each(|value| other.insert(1, Arc::new(value)));
        until(|| other.stats().retired == 0);
        drop(go);
        assert_eq!(removed.join().unwrap(), 1);
    });
}

#[test]
fn each_entry_is_shown_once_if_nobody_writes_meanwhile() {
    let cache: Cache<u64, u64> = Cache::builder().shards(2).build().unwrap();
    cache.insert_many((0..20_000).map(|key| (key, key)));
    let mut seen = Vec::new();
    let removed = cache.retain(|key, _| {
        seen.push(*key);
        key % 100 == 0
    });
    seen.sort_unstable();
    assert!(removed == 19_800 && seen.into_iter().eq(0..20_000));
}

#[test]
fn writers_and_removals_at_once_lose_nothing() {
    let cache: Cache<u64, u64> = Cache::builder().shards(2).build().unwrap();
    let removed = AtomicUsize::new(0);
    let begin = Barrier::new(3);
    std::thread::scope(|scope| {
        for own in 0..2 {
            let (cache, begin, removed) = (&cache, &begin, &removed);
            scope.spawn(move || {
                begin.wait();
                for key in 0..20_000 {
                    cache.insert(2 * (key % 500) + own, key);
                    let gone = cache.remove(&(2 * ((key * 7) % 500) + own)).is_some();
                    removed.fetch_add(usize::from(gone), Ordering::Relaxed);
                }
            });
        }
        begin.wait();
        for _ in 0..100 {
            removed.fetch_add(cache.retain(|_, value| value % 2 == 0), Ordering::Relaxed);
        }
    });
    let stats = cache.stats();
    assert_eq!(stats.removed, removed.load(Ordering::Relaxed) as u64, "each is counted once");
    assert_eq!(stats.inserted, stats.removed + stats.replaced + cache.len() as u64);
}
