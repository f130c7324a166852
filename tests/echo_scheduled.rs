//! Echo caches whose background is a scheduler's: the tests of lazy caches once more, on schedulers
//! that go by the same clock (see `common`), and what schedulers add. A program of its own, in
//! which nothing else has threads `docache-echo` started.
#![cfg(target_os = "linux")]
#![allow(clippy::duplicate_mod, reason = "each of these files says `mod common`")]

mod common;
#[path = "echo/lazy.rs"]
mod lazy;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::SECOND;
use common::bench::{BENCH, Bench, alone, gone, thread_name};
use common::flight::until;
use common::threads::threads_called;
use docache::Context;
use docache::echo::{
    Chaos, EchoCache, Fault, LazyEchoCache, LazyEchoCacheBuilder, MemoryStore, Operation,
    RefreshLock, Status, Store, Within,
};

type Memory = MemoryStore<u32>;
type Lazy = LazyEchoCache<Memory, u32, String>;

const THREAD: &str = "docache-echo";
const LONG: Duration = Duration::from_secs(60);

/// Caches on the bench.
trait Caches {
    fn store(&self) -> Memory;
    fn lazy(&self) -> LazyEchoCacheBuilder<Memory, u32, String>;

    /// Loads the keys, and lets them become stale.
    fn make_stale(&self, caches: &[&Lazy], keys: &[&str]);
}

impl Caches for Bench {
    fn store(&self) -> Memory {
        let builder = MemoryStore::builder().clock(self.clock.clone());
        builder.scheduler(&self.scheduler).build().unwrap()
    }

    fn lazy(&self) -> LazyEchoCacheBuilder<Memory, u32, String> {
        let builder = LazyEchoCache::builder(self.store()).refresh_after(SECOND);
        builder.clock(self.clock.clone()).scheduler(&self.scheduler)
    }

    fn make_stale(&self, caches: &[&Lazy], keys: &[&str]) {
        for (lazy, key) in caches.iter().flat_map(|lazy| keys.iter().map(move |key| (lazy, key))) {
            lazy.fetch(key, || Ok(1)).unwrap();
        }
        self.clock.advance(SECOND);
    }
}

/// Refreshes that tell their thread's name, and then wait until the sender is dropped.
struct Refreshes {
    tell: Sender<String>,
    told: Receiver<String>,
    gate: Arc<Mutex<Receiver<()>>>,
    /// Some until they are let go.
    leave: Option<Sender<()>>,
}

impl Refreshes {
    fn held() -> Refreshes {
        let ((tell, told), (leave, gate)) = (channel(), channel());
        Refreshes { tell, told, gate: Arc::new(Mutex::new(gate)), leave: Some(leave) }
    }

    fn free() -> Refreshes {
        Refreshes { leave: None, ..Refreshes::held() }
    }

    #[track_caller]
    fn ask(&self, lazy: &Lazy, key: &str) {
        let (tell, gate) = (self.tell.clone(), self.gate.clone());
        let refresh = move || {
            tell.send(thread_name()).unwrap();
            let _ = gate.lock().unwrap().recv();
            Ok(2)
        };
        let fetched = lazy.fetch(key, refresh).unwrap();
        assert_eq!(fetched.status, Status::Stale { age: SECOND });
    }

    /// The name of the thread of the next one.
    fn next(&self) -> String {
        self.told.recv().unwrap()
    }
}

fn value(lazy: &Lazy, key: &str) -> u32 {
    *lazy.fetch(key, || unreachable!("it is there")).unwrap()
}

#[test]
fn refreshes_are_calls_of_the_scheduler_and_need_no_other_thread() {
    let _turn = alone(THREAD);
    let bench = Bench::new(|builder| builder);
    let lazy = bench.lazy().build().unwrap();
    bench.make_stale(&[&lazy], &["a", "b"]);
    let stats = bench.scheduler.stats();
    assert_eq!((stats.workers, stats.scheduled), (0, 0), "nothing is due");
    let refreshes = Refreshes::free();
    for key in ["a", "b"] {
        refreshes.ask(&lazy, key);
        assert_eq!(refreshes.next(), BENCH);
    }
    until(|| lazy.refreshing() == 0 && bench.scheduled() == 0);
    assert_eq!((value(&lazy, "a"), value(&lazy, "b")), (2, 2));
    assert_eq!(threads_called(THREAD), 0);
    until(|| bench.scheduler.stats().workers == 0);
}

#[test]
fn as_many_refreshes_run_as_the_cache_has_workers() {
    let _turn = alone(THREAD);
    let bench = Bench::new(|builder| builder.workers(4));
    let lazy = bench.lazy().workers(2).build().unwrap();
    let keys = ["a", "b", "c", "d", "e"];
    bench.make_stale(&[&lazy], &keys);
    let refreshes = Refreshes::held();
    keys.iter().for_each(|key| refreshes.ask(&lazy, key));
    assert_eq!((refreshes.next(), refreshes.next()), (BENCH.to_owned(), BENCH.to_owned()));
    until(|| bench.scheduler.stats().busy == 2);
    assert_eq!((lazy.refreshing(), bench.scheduled()), (5, 2));
    assert!(refreshes.told.try_recv().is_err());
    let Refreshes { leave, told, .. } = refreshes;
    drop(leave);
    let report = lazy.shutdown(LONG);
    assert!(report.dropped.is_empty() && report.running.is_empty());
    assert_eq!(told.try_iter().filter(|name| name == BENCH).count(), 3);
}

#[test]
fn a_refresh_that_blocks_leaves_others_working() {
    let _turn = alone(THREAD);
    let bench = Bench::new(|builder| builder.workers(1).max_workers(4));
    let stuck: Vec<_> = (0..3).map(|_| bench.lazy().build().unwrap()).collect();
    let other = bench.lazy().build().unwrap();
    bench.make_stale(&[&stuck[0], &stuck[1], &stuck[2], &other], &["key"]);
    let (held, free) = (Refreshes::held(), Refreshes::free());
    stuck.iter().for_each(|lazy| held.ask(lazy, "key"));
    (0..3).for_each(|_| assert_eq!(held.next(), BENCH));
    free.ask(&other, "key");
    assert_eq!(free.next(), BENCH);
    until(|| other.refreshing() == 0);
    assert_eq!(value(&other, "key"), 2);
    assert_eq!((value(&stuck[0], "key"), threads_called(THREAD)), (1, 0));
    assert_eq!(stuck[0].shutdown(Duration::ZERO).running, ["key"]);
    drop(held);
    until(|| bench.scheduled() == 0);
}

#[test]
fn after_the_scheduler_has_ended_refreshes_have_threads() {
    let _turn = alone(THREAD);
    let bench = Bench::new(|builder| builder);
    let lazy = bench.lazy().build().unwrap();
    bench.make_stale(&[&lazy], &["key"]);
    bench.scheduler.shutdown();
    let refreshes = Refreshes::free();
    refreshes.ask(&lazy, "key");
    assert_eq!(refreshes.next(), THREAD);
    until(|| lazy.refreshing() == 0);
    assert_eq!((value(&lazy, "key"), lazy.stats().refused), (2, 0));
    drop(lazy);
    gone(THREAD);
}

#[test]
fn refreshes_that_wait_when_the_scheduler_ends_go_on() {
    let _turn = alone(THREAD);
    let bench = Bench::new(|builder| builder.workers(1).max_workers(1));
    let (runs, waits) = (bench.lazy().build().unwrap(), bench.lazy().build().unwrap());
    bench.make_stale(&[&runs, &waits], &["a", "b"]);
    // One of these runs, and the other two wait in their queues.
    let (held, free) = (Refreshes::held(), Refreshes::free());
    held.ask(&runs, "a");
    assert_eq!(held.next(), BENCH);
    runs.fetch("b", || Ok(3)).unwrap();
    free.ask(&waits, "a");
    assert_eq!(bench.scheduled(), 2);
    std::thread::scope(|scope| {
        scope.spawn(|| bench.scheduler.shutdown());
        assert_eq!(free.next(), THREAD, "the worker that was dropped is a thread now");
        drop(held);
    });
    until(|| runs.refreshing() == 0 && waits.refreshing() == 0);
    assert_eq!((value(&runs, "a"), value(&runs, "b"), value(&waits, "a")), (2, 3, 2));
    drop((runs, waits));
    gone(THREAD);
}

#[test]
fn a_shutdown_drops_what_no_worker_has_taken() {
    let _turn = alone(THREAD);
    let bench = Bench::new(|builder| builder.workers(1).max_workers(1));
    let lazy = bench.lazy().build().unwrap();
    bench.make_stale(&[&lazy], &["a", "b"]);
    let leave = bench.block();
    for key in ["a", "b"] {
        lazy.fetch(key, || unreachable!("it is dropped")).unwrap();
    }
    let report = lazy.shutdown(Duration::ZERO);
    assert_eq!((report.dropped.len(), report.running.len()), (2, 0));
    drop(leave);
    until(|| bench.scheduled() == 0);
    assert_eq!(threads_called(THREAD), 0);
}

#[test]
fn a_cache_may_go_in_its_own_refresh_and_its_scheduler_with_it() {
    let _turn = alone(THREAD);
    let bench = Bench::new(|builder| builder);
    let lazy = bench.lazy().build().unwrap();
    bench.make_stale(&[&lazy], &["key"]);
    let ((come, came), slot) = (channel(), Arc::new(Mutex::new(None)));
    let own: Arc<Mutex<Option<Lazy>>> = slot.clone();
    let (tell, told) = channel::<()>();
    let refresh = move || {
        came.recv().unwrap();
        drop(own.lock().unwrap().take());
        drop(tell);
        Ok(2)
    };
    lazy.fetch("key", refresh).unwrap();
    *slot.lock().unwrap() = Some(lazy);
    drop(bench);
    come.send(()).unwrap();
    told.recv().unwrap_err();
    gone(BENCH);
    assert_eq!(threads_called(THREAD), 0);
}

/// Whether nobody has the key's lock; it is free afterwards.
fn is_free(store: &Chaos<Memory>, key: &str) -> bool {
    let (context, lock) = (Context::new(), RefreshLock::new(SECOND));
    let within = Within::new(&context, LONG);
    let granted = Store::<u32>::begin_refresh(store.inner(), key, &lock, &within).unwrap().granted;
    if granted {
        Store::<u32>::abandon_refresh(store.inner(), key, &lock, &within).unwrap();
    }
    granted
}

/// A cache that could not give the lock of "key" back, and tries again and again.
fn owing(bench: &Bench) -> (EchoCache<Chaos<Memory>, u32, String>, Chaos<Memory>) {
    let store = Chaos::new(bench.store());
    let echo = EchoCache::builder(store.clone()).lock_ttl(3600 * SECOND);
    let echo = echo.clock(bench.clock.clone()).scheduler(&bench.scheduler).build().unwrap();
    store.inject_into(Operation::AbandonRefresh, Fault::Fail);
    echo.fetch("key", || Err("no route".to_owned())).unwrap_err();
    // After some tries it naps.
    for calls in 1..4 {
        until(|| bench.scheduler.stats().calls >= calls && bench.scheduler.stats().busy == 0);
        bench.clock.advance(SECOND);
    }
    until(|| bench.scheduler.stats().busy == 0 && bench.scheduler.stats().calls >= 4);
    assert_eq!(bench.scheduled(), 1);
    assert!(!is_free(&store, "key"));
    store.calm();
    (echo, store)
}

#[test]
fn between_two_tries_to_give_a_lock_back_no_worker_waits() {
    let _turn = alone(THREAD);
    let bench = Bench::new(|builder| builder.workers(1).max_workers(1));
    let (_echo, store) = owing(&bench);
    bench.clock.advance(SECOND);
    until(|| is_free(&store, "key"));
    until(|| bench.scheduled() == 0);
    assert_eq!(threads_called(THREAD), 0);
}

#[test]
fn a_lock_that_is_owed_when_the_scheduler_ends_is_given_back() {
    let _turn = alone(THREAD);
    let bench = Bench::new(|builder| builder);
    let (echo, store) = owing(&bench);
    bench.scheduler.shutdown();
    until(|| is_free(&store, "key"));
    drop(echo);
    gone(THREAD);
}

#[test]
fn locks_are_renewed_by_the_scheduler() {
    let _turn = alone(THREAD);
    let bench = Bench::new(|builder| builder);
    let store = Chaos::new(bench.store());
    let echo: EchoCache<_, u32, String> = EchoCache::builder(store.clone())
        .lock_ttl(3 * SECOND)
        .clock(bench.clock.clone())
        .scheduler(&bench.scheduler)
        .build()
        .unwrap();
    let ((enter, entered), (leave, left)) = (channel(), channel::<()>());
    std::thread::scope(|scope| {
        let load = move || {
            enter.send(()).unwrap();
            let _ = left.recv();
            Ok(1)
        };
        let echo = &echo;
        let fetched = scope.spawn(move || echo.fetch("key", load).unwrap().status);
        entered.recv().unwrap();
        for renewals in 1..8 {
            bench.clock.advance(SECOND);
            until(|| bench.scheduler.stats().calls == renewals);
            assert!(!is_free(&store, "key"), "it is held for longer than it would live");
        }
        drop(leave);
        assert_eq!(fetched.join().unwrap(), Status::Loaded);
    });
    assert_eq!((echo.stats().lost_writes, threads_called(THREAD)), (0, 0));
    assert!(is_free(&store, "key"));
}
