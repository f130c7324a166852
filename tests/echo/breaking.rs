//! A circuit breaker around a store that is down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use docache::echo::conformance::Suite;
use docache::echo::{
    Breaker, Chaos, EchoCache, Fault, MemoryStore, Operation, Status, StoreErrorKind, Warning,
};
use docache::{Context, ManualClock};

use crate::common::flight::Task;

const PAUSE: Duration = Duration::from_millis(500);

#[test]
fn a_store_that_is_down_is_asked_by_one_probe_at_a_time() {
    let clock = ManualClock::new();
    let chaos = Chaos::new(MemoryStore::new(10));
    let (asked, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (asks, refuses) = (asked.clone(), refused.clone());
    let breaker = Breaker::new(chaos.clone()).failures(3).clock(clock.clone());
    let cache: EchoCache<_, u32, String> = EchoCache::builder(breaker)
        .on_warning(move |warning| {
            let Warning::Store { operation: Operation::Get, error, .. } = warning else { return };
            let is_open = error.kind() == StoreErrorKind::Open;
            (if is_open { &refuses } else { &asks }).fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    let fetch = || cache.fetch("key", || Ok(1)).unwrap().status;
    chaos.inject(Fault::Fail);
    (0..10).for_each(|_| assert_eq!(fetch(), Status::Loaded));
    let counts = || (asked.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    assert_eq!(counts(), (3, 7));
    clock.advance(PAUSE);
    (0..10).for_each(|_| assert_eq!(fetch(), Status::Loaded));
    assert_eq!(counts(), (4, 16), "one of them was a probe");
    chaos.calm();
    assert_eq!(fetch(), Status::Loaded);
    clock.advance(PAUSE);
    assert_eq!(fetch(), Status::Loaded);
    assert_eq!(fetch(), Status::Fresh, "it is back");
}

#[test]
fn garbage_is_no_failure() {
    let chaos = Chaos::new(MemoryStore::new(10));
    let cache: EchoCache<_, u32, String> = EchoCache::new(Breaker::new(chaos.clone()).failures(1));
    chaos.inject(Fault::Corrupt);
    cache.fetch("key", || Ok(1)).unwrap();
    assert!(!cache.store().is_open());
}

#[test]
fn callers_who_leave_are_no_failures_of_the_store() {
    let clock = ManualClock::new();
    let chaos = Chaos::new(MemoryStore::new(10));
    let breaker = Breaker::new(chaos.clone()).failures(2).clock(clock.clone());
    let cache: EchoCache<_, u32, String> =
        EchoCache::builder(breaker).clock(clock.clone()).build().unwrap();
    chaos.inject_into(Operation::Get, Fault::Hang);
    for _ in 0..5 {
        let context = Context::new();
        let options = cache.options().context(&context);
        let leaves = Task::begun(options.fetch_async("key", || async { Ok(1) }));
        context.cancel();
        assert!(leaves.ends().unwrap_err().is_cancelled());
        drop(Task::begun(cache.fetch_async("key", || async { Ok(1) })));
    }
    assert!(!cache.store().is_open());
    chaos.inject(Fault::Hang);
    for is_open in [false, true] {
        let waits = Task::begun(cache.fetch_async("key", || async { Ok(1) }));
        clock.advance(Duration::from_millis(50));
        assert_eq!(waits.ends().unwrap().value, 1);
        assert_eq!(cache.store().is_open(), is_open, "it has not answered in time");
    }
}

#[test]
fn it_conforms() {
    let clock = ManualClock::new();
    let store = || Breaker::new(MemoryStore::builder().clock(clock.clone()).build().unwrap());
    Suite::new().time(|span| clock.advance(span)).run(store).unwrap();
    Suite::new().time(|span| clock.advance(span)).run_async(store).unwrap();
}
