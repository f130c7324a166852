//! Calls that allocate nothing: a million that lead, and a million that lead or wait. And bulk
//! calls, which do.

mod common;

use common::allocations::{self, Counting};
use common::flight::{Joins, Key, until};
use docache::{Context, Group, KeyedGroup};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static GLOBAL: Counting = Counting;

/// Counts the allocations of this thread in `f`.
fn counted(f: impl FnOnce()) {
    let before = allocations::on_this_thread();
    f();
    ALLOCATIONS.fetch_add(allocations::on_this_thread() - before, Ordering::Relaxed);
}

/// Says how many allocations there were since it was last asked.
fn noted() -> u64 {
    ALLOCATIONS.swap(0, Ordering::SeqCst)
}

const CALLS: usize = 1_000_000;

/// A million calls, after one to warm up.
fn lead(mut call: impl FnMut(usize)) {
    call(0);
    counted(|| (0..CALLS).for_each(&mut call));
    assert_eq!(noted(), 0);
}

fn leaders_allocate_nothing() {
    let group = Group::new();
    lead(|call| assert_eq!(*group.run(|| call), call));
    let group = Group::<usize, String>::new();
    lead(|call| assert_eq!(*group.try_run(|| Ok(call)).unwrap(), call));
    let group = KeyedGroup::<u64, usize>::new();
    lead(|call| assert_eq!(*group.run(&(call as u64), || call), call));
    let group = KeyedGroup::<str, usize>::new();
    let keys = ["a", "key", "a longer key, of the length of a path or a query"];
    lead(|call| assert_eq!(*group.run(keys[call % 3], || call), call));
    let group = KeyedGroup::<str, usize, String>::new();
    lead(|call| assert_eq!(*group.try_run(keys[call % 3], || Ok(call)).unwrap(), call));
}

const THREADS: usize = 4;

/// Has `THREADS` threads make `calls` calls in all after some to warm up, and says how many of them
/// waited. `call` says whether it led.
fn crowd(calls: usize, call: impl Fn() -> bool + Sync) -> usize {
    let each = calls / THREADS;
    let (barrier, waited) = (Barrier::new(THREADS), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // A thread's parking place is made once in its life.
                Context::new().with_timeout(Duration::ZERO).wait(None);
                (0..each / 100).for_each(|_| {
                    call();
                });
                barrier.wait();
                counted(|| {
                    let led = (0..each).filter(|_| call()).count();
                    waited.fetch_add(each - led, Ordering::SeqCst);
                });
            });
        }
    });
    assert_eq!(noted(), 0);
    waited.into_inner()
}

fn waiters_allocate_nothing() {
    // The leader of each run stays in it until all the other threads have joined.
    let (group, joins, led) =
        (KeyedGroup::<Key, usize>::new(), Joins::default(), AtomicUsize::new(0));
    let key = joins.key("key");
    let all_join = || {
        let run = led.fetch_add(1, Ordering::SeqCst) + 1;
        until(|| joins.count() >= run * (THREADS - 1));
        run
    };
    let waited = crowd(CALLS, || group.run(&key, all_join).led());
    assert_eq!(waited, CALLS / THREADS * (THREADS - 1));

    // No other kind of key says when somebody joins, but most will, given some time.
    let some_join = || {
        (0..20).for_each(|_| std::thread::yield_now());
        1
    };
    let some = CALLS / 20;
    let group = Group::new();
    assert!(crowd(some, || group.run(some_join).led()) > some / 100);
    let group = KeyedGroup::<str, usize>::new();
    assert!(crowd(some, || group.run("key", some_join).led()) > some / 100);
    let group = KeyedGroup::<u64, usize, String>::new();
    assert!(crowd(some, || group.try_run(&7, || Ok(some_join())).unwrap().led()) > some / 100);
}

fn bulk_calls_allocate_as_often_for_many_keys_as_for_few() {
    let group = KeyedGroup::<u64, u64, String>::builder().shards(1).build().unwrap();
    let keys: Vec<u64> = (0..1_000).collect();
    for len in [1_000, 1, 10, 100, 1_000] {
        let keys: Vec<&u64> = keys[..len].iter().collect();
        let mut values = keys.iter().map(|key| **key).collect();
        let call =
            |values: &mut Vec<u64>| group.try_run_many(&keys, |_| Ok(std::mem::take(values)));
        // The shard makes room for as many flights as there are.
        drop(call(&mut keys.iter().map(|key| **key).collect()));
        let mut ends = Vec::new();
        counted(|| ends = call(&mut values));
        assert_eq!((noted(), ends.len(), ends.capacity()), (4, len, len));
    }
}

/// One test, so that nothing else runs in the process.
#[test]
fn neither_leaders_nor_waiters_allocate() {
    leaders_allocate_nothing();
    waiters_allocate_nothing();
    bulk_calls_allocate_as_often_for_many_keys_as_for_few();
    counted(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(noted(), 1, "the counter counts");
}
