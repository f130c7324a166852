//! Where a value comes from, one status after the other, on a clock that stands still in between.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use docache::echo::{
    Breaker, EchoCache, EchoCacheBuilder, LazyEchoCache, MemoryStore, SingleStore, Status,
    TieredStore,
};
use docache::{EvictionPolicy, FlightError, ManualClock};

use crate::common::SECOND;
use crate::common::flight::{Gate, Task};
use crate::woken;

type Memory = MemoryStore<Option<u32>>;
type Echo = EchoCache<Memory, Option<u32>, String>;

fn memory(clock: &ManualClock) -> Memory {
    MemoryStore::builder().capacity(100).clock(clock.clone()).build().unwrap()
}

fn echo(clock: &ManualClock) -> Echo {
    EchoCache::builder(memory(clock))
        .ttl(10 * SECOND)
        .negative(Option::is_none, SECOND)
        .record_stats(true)
        .clock(clock.clone())
        .build()
        .unwrap()
}

#[test]
fn a_value_is_loaded_then_fresh_then_loaded_again() {
    let clock = ManualClock::new();
    let echo = echo(&clock);
    let status = |value| {
        let fetched = echo.fetch("key", || Ok(Some(value))).unwrap();
        (fetched.value.unwrap(), fetched.status)
    };
    assert_eq!(status(1), (1, Status::Loaded));
    assert_eq!(status(2), (1, Status::Fresh));
    clock.advance(10 * SECOND - Duration::from_micros(5));
    assert_eq!(status(3), (1, Status::Fresh));
    clock.advance(Duration::from_micros(5));
    assert_eq!(status(4), (4, Status::Loaded));
    echo.remove("key").unwrap();
    assert_eq!(status(5), (5, Status::Loaded));
    let stats = echo.stats();
    assert_eq!((stats.hits, stats.loads, stats.load_failures), (2, 3, 0));
}

#[test]
fn what_says_that_there_is_no_such_thing_lives_for_less() {
    let clock = ManualClock::new();
    let echo = echo(&clock);
    let status = |value| echo.fetch("key", || Ok(value)).unwrap().status;
    assert_eq!(status(None), Status::Loaded);
    clock.advance(SECOND / 2);
    assert_eq!(status(Some(1)), Status::Negative);
    clock.advance(SECOND / 2);
    assert_eq!(status(Some(1)), Status::Loaded);
    assert_eq!(status(None), Status::Fresh);
}

#[test]
fn an_error_is_not_kept() {
    let echo = echo(&ManualClock::new());
    let failed = echo.fetch("key", || Err("no route".into())).unwrap_err();
    assert_eq!(failed.failure(), Some(&"no route".to_owned()));
    assert_eq!(echo.fetch("key", || Ok(Some(1))).unwrap().status, Status::Loaded);
    assert_eq!((echo.stats().loads, echo.stats().load_failures), (2, 1));
}

#[test]
fn a_task_shares_entries_and_flights_with_threads() {
    let echo = echo(&ManualClock::new());
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let echo = &echo;
        scope.spawn(move || {
            let load = || {
                tell.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
                Ok(Some(1))
            };
            assert_eq!(echo.fetch("key", load).unwrap().status, Status::Loaded);
        });
        told.recv().unwrap();
        let task = Task::begun(echo.fetch_async("key", || async { Ok(Some(2)) }));
        open.send(()).unwrap();
        woken(&task);
        let fetched = task.ends().unwrap();
        assert_eq!((fetched.value, fetched.status), (Some(1), Status::Coalesced));
    });
    let again = Task::new(echo.fetch_async("key", || async { Ok(Some(3)) })).ends().unwrap();
    assert_eq!((again.value, again.status), (Some(1), Status::Fresh));
    Task::new(echo.remove_async("key")).ends().unwrap();
    let again = Task::new(echo.fetch_async("key", || async { Ok(Some(4)) })).ends().unwrap();
    assert_eq!((again.value, again.status), (Some(4), Status::Loaded));
}

#[test]
fn a_hook_or_a_closure_that_panics_costs_nothing() {
    let echo: Echo = EchoCache::builder(MemoryStore::new(10))
        .negative(|_| crate::common::flight::hush("a bad closure"), SECOND)
        .on_warning(|_| crate::common::flight::hush("a bad hook"))
        .build()
        .unwrap();
    assert_eq!(echo.fetch("key", || Ok(None)).unwrap().status, Status::Loaded);
    assert_eq!(echo.fetch("key", || Ok(None)).unwrap().status, Status::Fresh);
}

#[test]
fn one_entry_for_all_keys() {
    let clock = ManualClock::new();
    let single = EchoCache::<_, u32, String>::builder(SingleStore::with_clock(clock.clone()))
        .ttl(SECOND)
        .build()
        .unwrap();
    assert_eq!(single.fetch("a", || Ok(1)).unwrap().status, Status::Loaded);
    assert_eq!(single.fetch("b", || Ok(2)).unwrap().value, 1);
    clock.advance(SECOND);
    assert_eq!(single.fetch("c", || Ok(3)).unwrap().value, 3);
}

#[test]
fn a_strict_lru_evicts_what_was_not_used_for_longest() {
    let store =
        MemoryStore::builder().capacity(2).shards(1).policy(EvictionPolicy::Lru).build().unwrap();
    let echo = EchoCache::<_, u32, String>::new(store);
    for key in ["a", "b", "a", "c"] {
        echo.fetch(key, || Ok(1)).unwrap();
    }
    assert_eq!(echo.fetch("a", || Ok(2)).unwrap().status, Status::Fresh);
    assert_eq!(echo.fetch("b", || Ok(2)).unwrap().status, Status::Loaded);
}

#[test]
fn a_fetch_inside_its_own_work_is_found_out() {
    let echo = EchoCache::<_, u32, String>::new(MemoryStore::new(10));
    let inner = echo.fetch("key", || match echo.fetch("key", || Ok(1)) {
        Err(FlightError::Reentrant(_)) => Ok(2),
        other => panic!("{other:?}"),
    });
    assert_eq!(inner.unwrap().value, 2);
}

#[test]
fn whoever_waits_for_a_negative_value_is_told_so() {
    let cache: EchoCache<_, Option<u32>, String> = EchoCache::builder(MemoryStore::new(10))
        .negative(Option::is_none, Duration::from_secs(5))
        .build()
        .unwrap();
    let gate = Gate::default();
    let mut leads = Task::begun(cache.fetch_async("key", || gate.then(Ok(None))));
    let waits = Task::begun(cache.fetch_async("key", || async { unreachable!() }));
    leads.waits();
    gate.open();
    assert_eq!(leads.ends().unwrap().status, Status::Loaded);
    assert_eq!(waits.ends().unwrap().status, Status::Negative);
}

#[test]
fn a_removal_from_a_store_of_one_entry_beats_loads_of_all_keys() {
    let cache: EchoCache<_, u32, String> = EchoCache::new(SingleStore::new());
    let mut old = Task::begun(cache.fetch_async("a", std::future::pending::<Result<_, _>>));
    cache.remove("b").unwrap();
    let new = Task::new(cache.fetch_async("a", || async { Ok(2) }));
    assert_eq!(new.ends().unwrap().status, Status::Loaded);
    old.waits();
    let tiers = TieredStore::new(MemoryStore::new(10), SingleStore::new(), Duration::MAX);
    let cache: EchoCache<_, u32, String> = EchoCache::new(Breaker::new(tiers));
    let leads = Task::begun(cache.fetch_async("a", std::future::pending::<Result<_, _>>));
    let joins = Task::begun(cache.fetch_async("b", || async { Ok(3) }));
    drop(leads);
    assert_eq!(joins.ends().unwrap().value, 3);
}

#[test]
fn durations_that_make_no_sense_are_refused() {
    let text = |builder: EchoCacheBuilder<MemoryStore<u32>, u32, String>| {
        builder.build().unwrap_err().to_string()
    };
    let builder = || EchoCache::builder(MemoryStore::new(1));
    let zero = "ttl: 0ns is not accepted; give at least 1ns";
    assert_eq!(text(builder().ttl(Duration::ZERO)), zero);
    let short = "lock_ttl: 2ns is not accepted; give at least 1ms";
    assert_eq!(text(builder().lock_ttl(Duration::from_nanos(2))), short);
    assert!(builder().lock_ttl(Duration::from_millis(1)).build().is_ok());
    let lazy = LazyEchoCache::<_, u32, String>::builder(MemoryStore::<u32>::new(1))
        .refresh_timeout(Duration::from_nanos(1))
        .lock_ttl(Duration::from_nanos(2));
    assert_eq!(lazy.build().unwrap_err().to_string(), short);
}
