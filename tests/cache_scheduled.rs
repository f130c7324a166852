//! Caches whose background is a scheduler's. A program of its own, in which nothing else has
//! threads started that sweep.
#![cfg(target_os = "linux")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};

use common::SECOND;
use common::bench::{BENCH, Bench, alone, gone, thread_name};
use common::flight::{hush, until};
use common::threads::threads_called;
use docache::run::Scheduler;
use docache::{Cache, CacheBuilder, Cause};

const SWEEP: &str = "docache-sweep";

/// Caches on the bench: entries live for a second, and are swept every second.
trait Caches {
    fn cache(&self) -> CacheBuilder<u64, u64>;

    /// A cache whose listener tells the name of its thread.
    fn telling(&self) -> (Cache<u64, u64>, Receiver<String>);
}

impl Caches for Bench {
    fn cache(&self) -> CacheBuilder<u64, u64> {
        let builder = Cache::builder().time_to_live(SECOND).sweep_interval(SECOND).shards(1);
        builder.clock(self.clock.clone()).scheduler(&self.scheduler)
    }

    fn telling(&self) -> (Cache<u64, u64>, Receiver<String>) {
        let (tell, told) = channel();
        let listener = move |_: &u64, _: &u64, _| tell.send(thread_name()).unwrap();
        (self.cache().on_evict(listener).build().unwrap(), told)
    }
}

/// A listener that says when it is called, and stays there until it is let go.
fn held() -> (impl Fn(&u64, &u64, Cause) + Send + Sync, Receiver<()>, Sender<()>) {
    let ((enter, entered), (leave, left)) = (channel(), channel::<()>());
    let left = Mutex::new(left);
    let listener = move |_: &u64, _: &u64, _| {
        enter.send(()).unwrap();
        let _ = left.lock().unwrap().recv();
    };
    (listener, entered, leave)
}

#[test]
fn sweeps_are_calls_of_the_scheduler_and_need_no_other_thread() {
    let _turn = alone(SWEEP);
    let bench = Bench::new(|builder| builder);
    let (cache, told) = bench.telling();
    cache.insert(1, 1);
    let stats = bench.scheduler.stats();
    assert_eq!((stats.workers, stats.scheduled), (0, 0), "nothing is due");
    for key in 2..5 {
        bench.clock.advance(SECOND);
        assert_eq!(told.recv().unwrap(), BENCH);
        // The next sweep counts from the end of this one.
        until(|| bench.scheduler.stats().busy == 0);
        assert!(cache.is_empty());
        cache.insert(key, key);
    }
    assert_eq!(threads_called(SWEEP), 0);
    until(|| bench.scheduler.stats().workers == 0);
}

#[test]
fn a_thousand_caches_that_are_idle_cost_no_thread() {
    let _turn = alone(SWEEP);
    let bench = Bench::new(|builder| builder.workers(1).max_workers(1));
    let caches: Vec<_> = (0..1_000).map(|_| bench.cache().build().unwrap()).collect();
    caches.iter().for_each(|cache| cache.insert(1, 1));
    assert_eq!(threads_called(BENCH), 0);
    bench.clock.advance(SECOND);
    until(|| caches.iter().all(Cache::is_empty));
    // A thread that one of these has started is called so, too, until it says its name.
    until(|| threads_called(BENCH) <= 1);
    assert_eq!(threads_called(SWEEP), 0);
    until(|| bench.scheduled() == 0);
    assert_eq!(bench.scheduler.stats().calls, 1_000);
}

#[test]
fn what_a_listener_leaves_to_the_background_is_done_by_the_scheduler() {
    static CACHE: OnceLock<Cache<u64, u64>> = OnceLock::new();
    let _turn = alone(SWEEP);
    // Not the cache's clock: maintenance goes by real time.
    let scheduler = Scheduler::builder().name("upkeep").build().unwrap();
    let (tell, told) = channel();
    let listener = move |key: &u64, _: &u64, _| {
        tell.send((*key, thread_name())).unwrap();
        if *key == 1 {
            CACHE.get().unwrap().remove(&2);
        }
    };
    let builder = Cache::builder().no_sweep().on_evict(listener).scheduler(&scheduler);
    let cache = CACHE.get_or_init(|| builder.build().unwrap());
    cache.insert_many([(1, 1), (2, 2)]);
    cache.remove(&1);
    assert_eq!(told.recv().unwrap().0, 1);
    assert_eq!(told.recv().unwrap(), (2, "upkeep".to_owned()));
    assert_eq!(threads_called(SWEEP), 0);
}

#[test]
fn a_listener_that_blocks_or_panics_holds_up_no_other_cache() {
    let _turn = alone(SWEEP);
    let bench = Bench::new(|builder| builder.workers(1).max_workers(4));
    let held: Vec<_> = (0..3).map(|_| held()).collect();
    let (mut stuck, mut gates) = (Vec::new(), Vec::new());
    for (listener, entered, leave) in held {
        stuck.push(bench.cache().on_evict(listener).build().unwrap());
        gates.push((entered, leave));
    }
    let bad = bench.cache().on_evict(|_, _, _| hush("a bad listener")).build().unwrap();
    let others: Vec<_> = (0..10).map(|_| bench.cache().build().unwrap()).collect();
    let all = || stuck.iter().chain(&others).chain([&bad]);
    all().for_each(|cache| cache.insert(1, 1));
    bench.clock.advance(SECOND);
    gates.iter().for_each(|(entered, _)| entered.recv().unwrap());
    until(|| others.iter().all(Cache::is_empty) && bad.is_empty());
    assert_eq!(bad.stats().listener_panics, 1);
    until(|| bench.scheduled() == 3);
    stuck.iter().for_each(|cache| cache.insert(2, 2));
    assert_eq!(threads_called(SWEEP), 0);
    drop(gates);
    until(|| bench.scheduled() == 0);
}

#[test]
fn after_the_scheduler_has_ended_the_librarys_threads_sweep() {
    let _turn = alone(SWEEP);
    let bench = Bench::new(|builder| builder);
    let (cache, told) = bench.telling();
    bench.scheduler.shutdown();
    cache.insert(1, 1);
    bench.clock.advance(SECOND);
    assert_eq!(told.recv().unwrap(), SWEEP);
    assert!(cache.is_empty());
    gone(SWEEP);
}

#[test]
fn a_sweep_that_waits_when_the_scheduler_ends_is_done_all_the_same() {
    let _turn = alone(SWEEP);
    let bench = Bench::new(|builder| builder.workers(1).max_workers(1));
    let leave = bench.block();
    let (cache, told) = bench.telling();
    cache.insert(1, 1);
    bench.clock.advance(SECOND);
    assert_eq!(bench.scheduled(), 2, "it waits for the only worker");
    std::thread::scope(|scope| {
        scope.spawn(|| bench.scheduler.shutdown());
        assert_eq!(told.recv().unwrap(), SWEEP);
        drop(leave);
    });
    gone(SWEEP);
}

#[test]
fn a_sweep_of_a_cache_that_is_gone_is_nobodys() {
    let _turn = alone(SWEEP);
    let bench = Bench::new(|builder| builder.workers(1).max_workers(1));
    let leave = bench.block();
    let caches: Vec<_> = (0..2).map(|_| bench.cache().build().unwrap()).collect();
    caches.iter().for_each(|cache| cache.insert(1, 1));
    bench.clock.advance(SECOND);
    drop(caches);
    assert_eq!(bench.scheduled(), 3);
    std::thread::scope(|scope| {
        scope.spawn(|| bench.scheduler.shutdown());
        until(|| bench.scheduled() == 0);
        drop(leave);
    });
    assert_eq!(threads_called(SWEEP), 0);
}

#[test]
fn a_cache_may_go_in_its_own_listener_and_its_scheduler_with_it() {
    let _turn = alone(SWEEP);
    let bench = Bench::new(|builder| builder);
    let slot: Arc<Mutex<Option<Cache<u64, u64>>>> = Arc::default();
    let (own, calls) = (slot.clone(), Arc::new(AtomicUsize::new(0)));
    let called = calls.clone();
    let listener = move |_: &u64, _: &u64, _| {
        called.fetch_add(1, Ordering::SeqCst);
        drop(own.lock().unwrap().take());
    };
    let cache = bench.cache().on_evict(listener).build().unwrap();
    cache.insert_many([(1, 1), (2, 2)]);
    *slot.lock().unwrap() = Some(cache);
    let Bench { clock, scheduler } = bench;
    // The cache has the last handle.
    drop(scheduler);
    clock.advance(SECOND);
    until(|| calls.load(Ordering::SeqCst) == 2);
    until(|| Arc::strong_count(&slot) == 1);
    gone(BENCH);
    assert_eq!(threads_called(SWEEP), 0);
}

#[test]
fn a_scheduler_ends_after_its_caches() {
    let _turn = alone(SWEEP);
    let bench = Bench::new(|builder| builder);
    let (cache, told) = bench.telling();
    cache.insert(1, 1);
    bench.clock.advance(SECOND);
    told.recv().unwrap();
    drop(cache);
    bench.scheduler.shutdown();
    assert_eq!(bench.scheduled(), 0);
    bench.clock.advance(SECOND);
    until(|| bench.scheduler.stats().workers == 0);
    assert_eq!(threads_called(SWEEP), 0);
}
