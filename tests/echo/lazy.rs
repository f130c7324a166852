//! Lazy caches: what is served stale, what is refreshed, and what becomes of refreshes.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use docache::ManualClock;
use docache::echo::{
    LazyEchoCache, LazyEchoCacheBuilder, MemoryStore, ShutdownReport, Status, Warning,
};

use crate::common::flight::{Task, hush, message_of, until};
use crate::common::{SECOND, is_scheduled, scheduler_of};

type Memory = MemoryStore<u32>;
type Lazy = LazyEchoCache<Memory, u32, String>;

const LONG: Duration = Duration::from_secs(60);

/// Fresh for 1 s, stale for 2 s, and for 4 s if it cannot be loaded.
fn builder(clock: &ManualClock) -> LazyEchoCacheBuilder<Memory, u32, String> {
    let store = MemoryStore::builder().clock(clock.clone()).build().unwrap();
    builder_over(store, clock)
}

/// In the program `echo_scheduled` its refreshes run on a scheduler.
fn builder_over(store: Memory, clock: &ManualClock) -> LazyEchoCacheBuilder<Memory, u32, String> {
    let builder = LazyEchoCache::builder(store)
        .refresh_after(SECOND)
        .expires(2 * SECOND)
        .stale_until(4 * SECOND)
        .record_stats(true)
        .clock(clock.clone());
    if is_scheduled() { builder.scheduler(&scheduler_of(clock)) } else { builder }
}

fn stale(age: Duration) -> Status {
    Status::Stale { age }
}

fn idle(lazy: &Lazy) {
    until(|| lazy.refreshing() == 0);
}

/// A refresh that says when it begins, and goes on when it is told or nobody will tell it.
fn held() -> (impl FnOnce() -> Result<u32, String> + Send, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (enter, entered) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let refresh = move || {
        enter.send(()).unwrap();
        let _ = left.recv();
        Ok(2)
    };
    (refresh, entered, leave)
}

#[test]
fn a_value_goes_through_its_three_clocks() {
    let clock = ManualClock::new();
    let lazy = builder(&clock).build().unwrap();
    let fetch = |result: Result<u32, &str>| {
        let result = result.map_err(str::to_owned);
        lazy.fetch("key", move || result).map(|fetched| (fetched.value, fetched.status))
    };
    assert_eq!(fetch(Ok(1)).unwrap(), (1, Status::Loaded));
    assert_eq!(fetch(Ok(2)).unwrap(), (1, Status::Fresh));
    clock.advance(SECOND);
    assert_eq!(fetch(Err("down")).unwrap(), (1, stale(SECOND)));
    idle(&lazy);
    clock.advance(SECOND);
    assert_eq!(fetch(Err("down")).unwrap(), (1, stale(2 * SECOND)), "its load failed");
    clock.advance(SECOND);
    assert_eq!(fetch(Err("down")).unwrap(), (1, stale(3 * SECOND)));
    clock.advance(SECOND);
    assert!(fetch(Err("down")).unwrap_err().is_failed(), "failures have prolonged nothing");
    assert_eq!(fetch(Ok(3)).unwrap(), (3, Status::Loaded));
    clock.advance(SECOND);
    assert_eq!(fetch(Ok(4)).unwrap(), (3, stale(SECOND)));
    idle(&lazy);
    assert_eq!(fetch(Ok(5)).unwrap(), (4, Status::Fresh));
    clock.advance(2 * SECOND);
    assert_eq!(fetch(Ok(6)).unwrap(), (6, Status::Loaded), "it has expired, and is waited for");
    let stats = lazy.stats();
    assert_eq!((stats.refreshes, stats.refresh_failures), (2, 1));
}

#[test]
fn a_stale_value_is_refreshed_once_however_many_ask() {
    let clock = ManualClock::new();
    let lazy = builder(&clock).build().unwrap();
    lazy.fetch("key", || Ok(1)).unwrap();
    clock.advance(SECOND);
    let (refresh, entered, leave) = held();
    assert_eq!(lazy.fetch("key", refresh).unwrap().status, stale(SECOND));
    entered.recv().unwrap();
    for _ in 0..10 {
        let fetched = lazy.fetch("key", || unreachable!("it has a refresh")).unwrap();
        assert_eq!((fetched.value, fetched.status), (1, stale(SECOND)));
    }
    // Whoever cannot do with the stale value waits for that refresh.
    clock.advance(SECOND);
    let mut waits = Task::begun(lazy.fetch_async("key", || async { unreachable!() }));
    waits.waits();
    leave.send(()).unwrap();
    idle(&lazy);
    assert_eq!(waits.ends().unwrap().value, 2);
    assert_eq!(lazy.stats().loads, 2);
}

#[test]
fn a_refresh_that_panics_is_told_and_the_next_one_works() {
    let clock = ManualClock::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    let lazy = builder(&clock)
        .on_warning(move |warning| {
            if let Warning::Refresh { key, message } = warning {
                hears.lock().unwrap().push(format!("{key}: {message}"));
            }
        })
        .build()
        .unwrap();
    lazy.fetch("key", || Ok(1)).unwrap();
    clock.advance(SECOND);
    assert_eq!(lazy.fetch("key", || hush("boom")).unwrap().status, stale(SECOND));
    idle(&lazy);
    assert_eq!(*told.lock().unwrap(), ["key: panicked: boom"]);
    assert_eq!(lazy.stats().refresh_failures, 1);
    assert_eq!(lazy.fetch("key", || Ok(2)).unwrap().status, stale(SECOND));
    idle(&lazy);
    assert_eq!(lazy.fetch("key", || Ok(3)).unwrap().value, 2);
}

/// A lazy cache with one worker that is in the midst of the refresh of the key "busy".
fn busy(clock: &ManualClock, keys: &[&str], queue: usize) -> (Lazy, mpsc::Sender<()>) {
    let lazy = builder(clock).queue_size(queue).build().unwrap();
    for key in ["busy"].iter().chain(keys) {
        lazy.fetch(key, || Ok(1)).unwrap();
    }
    clock.advance(SECOND);
    let (refresh, entered, leave) = held();
    lazy.fetch("busy", refresh).unwrap();
    entered.recv().unwrap();
    (lazy, leave)
}

#[test]
fn a_full_queue_drops_the_request_and_frees_the_key() {
    let clock = ManualClock::new();
    let (lazy, leave) = busy(&clock, &["a", "b"], 1);
    assert_eq!(lazy.fetch("a", || Ok(2)).unwrap().status, stale(SECOND));
    assert_eq!(lazy.fetch("b", || Ok(2)).unwrap().status, stale(SECOND));
    assert_eq!((lazy.stats().refused, lazy.refreshing()), (1, 2));
    leave.send(()).unwrap();
    idle(&lazy);
    assert_eq!(lazy.fetch("a", || Ok(3)).unwrap().value, 2);
    assert_eq!(lazy.fetch("b", || Ok(3)).unwrap().value, 1, "it is tried again");
    idle(&lazy);
    assert_eq!(lazy.fetch("b", || Ok(4)).unwrap().value, 3);
}

#[test]
fn a_shutdown_lets_refreshes_end() {
    let clock = ManualClock::new();
    let (lazy, leave) = busy(&clock, &["a"], 10);
    lazy.fetch("a", || Ok(2)).unwrap();
    leave.send(()).unwrap();
    let report = lazy.shutdown(LONG);
    // What ended before it began is not its own.
    assert!(report.drained <= 2 && report.dropped.is_empty() && report.running.is_empty());
    assert_eq!(lazy.fetch("a", || unreachable!()).unwrap().value, 2);
    assert_eq!(lazy.shutdown(LONG), ShutdownReport::default());
}

#[test]
fn a_shutdown_whose_deadline_comes_drops_and_says_so() {
    let clock = ManualClock::new();
    let (lazy, leave) = busy(&clock, &["a", "b"], 10);
    lazy.fetch("a", || unreachable!("it is dropped")).unwrap();
    lazy.fetch("b", || unreachable!("it is dropped")).unwrap();
    let report = lazy.shutdown(Duration::ZERO);
    assert_eq!((report.drained, &report.dropped[..]), (0, &["a".to_owned(), "b".to_owned()][..]));
    assert_eq!(report.running, ["busy"]);
    // It still hits, and computes what is missing.
    assert_eq!(lazy.fetch("a", || unreachable!()).unwrap().status, stale(SECOND));
    assert_eq!(lazy.fetch("new", || Ok(5)).unwrap().status, Status::Loaded);
    clock.advance(SECOND);
    assert_eq!(lazy.fetch("a", || Ok(6)).unwrap().status, Status::Loaded);
    leave.send(()).unwrap();
    idle(&lazy);
}

#[test]
fn the_last_handle_drops_what_waits() {
    let clock = ManualClock::new();
    let (lazy, leave) = busy(&clock, &["a"], 10);
    let (tell, told) = mpsc::channel::<()>();
    lazy.fetch("a", move || {
        tell.send(()).unwrap();
        Ok(2)
    })
    .unwrap();
    let other = lazy.clone();
    drop(lazy);
    assert_eq!(other.refreshing(), 2);
    drop(other);
    assert!(told.recv().is_err(), "it was dropped and not run");
    leave.send(()).unwrap();
}

#[test]
fn two_processes_refresh_once() {
    let clock = ManualClock::new();
    let ours = builder(&clock).build().unwrap();
    let theirs = builder_over(ours.store().clone(), &clock).build().unwrap();
    ours.fetch("key", || Ok(1)).unwrap();
    clock.advance(SECOND);
    let (refresh, entered, leave) = held();
    ours.fetch("key", refresh).unwrap();
    entered.recv().unwrap();
    let stale_hits = |age| {
        for _ in 0..10 {
            assert_eq!(theirs.fetch("key", || unreachable!()).unwrap().status, stale(age));
            idle(&theirs);
        }
        (theirs.stats().refreshes, theirs.stats().loads)
    };
    assert_eq!(stale_hits(SECOND), (1, 0), "it is left to us, and not asked for at every hit");
    let a_while = Duration::from_millis(200);
    clock.advance(a_while);
    assert_eq!(stale_hits(SECOND + a_while), (2, 0), "we might have died");
    leave.send(()).unwrap();
    idle(&ours);
    let fetched = theirs.fetch("key", || unreachable!()).unwrap();
    assert_eq!((fetched.value, fetched.status), (2, Status::Fresh));
}

#[test]
fn a_key_that_fails_is_left_alone_for_a_while() {
    let clock = ManualClock::new();
    let lazy = builder(&clock).failure_backoff(LONG, LONG).build().unwrap();
    lazy.fetch("key", || Ok(1)).unwrap();
    clock.advance(SECOND);
    lazy.fetch("key", || Err("down".to_owned())).unwrap();
    idle(&lazy);
    // A delay at random is of some length almost always; nobody tries for some of it.
    let loads = lazy.stats().loads;
    assert_eq!(lazy.fetch("key", || Err("down".to_owned())).unwrap().value, 1);
    idle(&lazy);
    let tries = lazy.stats().loads - loads;
    clock.advance(SECOND);
    assert_eq!(lazy.fetch("key", || Err("down".to_owned())).unwrap().status, stale(2 * SECOND));
    assert!(lazy.stats().loads - loads <= 1 + tries, "{tries}");
    clock.advance(2 * SECOND);
    assert_eq!(lazy.fetch("key", || Ok(2)).unwrap().status, Status::Loaded, "nothing is there");
    clock.advance(SECOND);
    assert_eq!(lazy.fetch("key", || Ok(3)).unwrap().status, stale(SECOND));
    idle(&lazy);
    assert_eq!(lazy.fetch("key", || unreachable!()).unwrap().value, 3, "a success ends it");
}

#[test]
fn a_refresh_may_come_early() {
    let clock = ManualClock::new();
    let lazy = builder(&clock).early_refresh(1e9).build().unwrap();
    let slow = {
        let clock = clock.clone();
        move || {
            clock.advance(Duration::from_millis(10));
            Ok(1)
        }
    };
    lazy.fetch("key", slow).unwrap();
    let fetched = lazy.fetch("key", || Ok(2)).unwrap();
    assert_eq!((fetched.value, fetched.status), (1, Status::Fresh));
    idle(&lazy);
    assert_eq!(lazy.stats().refreshes, 1);
    // What it found was fresh, too, but no newer.
    assert_eq!(lazy.stats().loads, 2);
    assert_eq!(lazy.store().len(), 1);
}

#[test]
fn refreshes_that_are_futures_go_to_the_spawner() {
    type Spawned = Pin<Box<dyn Future<Output = ()> + Send>>;
    let clock = ManualClock::new();
    let spawned = Arc::new(Mutex::new(Vec::<Spawned>::new()));
    let place = spawned.clone();
    let lazy = builder(&clock)
        .refresh_timeout(SECOND)
        .spawner(move |refresh| place.lock().unwrap().push(refresh))
        .build()
        .unwrap();
    let fetch = |value| Task::new(lazy.fetch_async("key", move || async move { Ok(value) })).ends();
    assert_eq!(fetch(1).unwrap().status, Status::Loaded);
    clock.advance(SECOND);
    assert_eq!(fetch(2).unwrap().status, stale(SECOND));
    assert_eq!(fetch(3).unwrap().status, stale(SECOND));
    assert_eq!((spawned.lock().unwrap().len(), lazy.refreshing()), (1, 1));
    Task::new(spawned.lock().unwrap().pop().unwrap()).ends();
    assert_eq!(lazy.refreshing(), 0);
    assert_eq!(fetch(4).unwrap().value, 2);
    // One that its executor drops, and one that takes too long, free the key.
    clock.advance(SECOND);
    fetch(5).unwrap();
    drop(spawned.lock().unwrap().pop());
    assert_eq!(lazy.refreshing(), 0);
    let never = || std::future::pending::<Result<u32, String>>();
    Task::new(lazy.fetch_async("key", never)).ends().unwrap();
    let mut late = Task::begun(spawned.lock().unwrap().pop().unwrap());
    late.waits();
    clock.advance(SECOND);
    late.ends();
    assert_eq!((lazy.refreshing(), lazy.stats().refresh_failures), (0, 1));
}

#[test]
fn without_a_spawner_a_worker_drives_them() {
    let clock = ManualClock::new();
    let lazy = builder(&clock).build().unwrap();
    Task::new(lazy.fetch_async("key", || async { Ok(1) })).ends().unwrap();
    clock.advance(SECOND);
    Task::new(lazy.fetch_async("key", || async { Ok(2) })).ends().unwrap();
    idle(&lazy);
    assert_eq!(lazy.fetch("key", || unreachable!()).unwrap().value, 2);
}

#[test]
fn many_keys_and_threads_refresh_each_key_once_at_a_time() {
    const KEYS: usize = 8;
    let clock = ManualClock::new();
    let lazy = builder(&clock).workers(3).build().unwrap();
    let running: [AtomicUsize; KEYS] = std::array::from_fn(|_| AtomicUsize::new(0));
    let running = Arc::new(running);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..400 {
                    let (at, running) = (turn % KEYS, running.clone());
                    let load = move || {
                        assert_eq!(running[at].fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        running[at].fetch_sub(1, Ordering::SeqCst);
                        Ok(7)
                    };
                    assert_eq!(lazy.fetch(&at.to_string(), load).unwrap().value, 7);
                    clock.advance(Duration::from_millis(20));
                }
            });
        }
    });
    let report = lazy.shutdown(LONG);
    assert!(report.dropped.is_empty() && report.running.is_empty());
    let stats = lazy.stats();
    assert_eq!((stats.load_failures, stats.refresh_failures), (0, 0));
}

#[test]
fn a_load_that_fails_counts_once_however_many_wait_for_it() {
    let clock = ManualClock::new();
    // Each failure in a row doubles the pause: after one it is at most a second.
    let lazy = builder(&clock).failure_backoff(SECOND, 3600 * SECOND).build().unwrap();
    for turn in 0..20 {
        let key = turn.to_string();
        lazy.fetch(&key, || Ok(1)).unwrap();
        clock.advance(2 * SECOND);
        let (leave, left) = tokio::sync::oneshot::channel::<()>();
        let load = move || async move {
            left.await.unwrap();
            if turn % 2 == 0 { hush("boom") } else { Err("down".to_owned()) }
        };
        let mut leads = Task::begun(lazy.fetch_async(&key, load));
        let waits: Vec<_> = (0..16)
            .map(|_| Task::begun(lazy.fetch_async(&key, || async { unreachable!() })))
            .collect();
        leave.send(()).unwrap();
        if turn % 2 == 0 {
            assert_eq!(message_of(|| leads.poll().map(drop)), "boom");
        } else {
            assert_eq!(leads.ends().unwrap().status, stale(2 * SECOND));
        }
        for wait in waits {
            assert_eq!(wait.ends().unwrap().status, stale(2 * SECOND));
        }
        assert_eq!(lazy.stats().load_failures, turn + 1);
        clock.advance(SECOND);
        assert_eq!(lazy.fetch(&key, || Ok(2)).unwrap().status, Status::Loaded, "{turn}");
    }
}

#[test]
fn a_load_that_is_left_is_no_failure() {
    let clock = ManualClock::new();
    let lazy = builder(&clock).failure_backoff(LONG, LONG).build().unwrap();
    lazy.fetch("key", || Ok(1)).unwrap();
    clock.advance(2 * SECOND);
    drop(Task::begun(lazy.fetch_async("key", std::future::pending::<Result<_, _>>)));
    assert_eq!((lazy.stats().loads, lazy.stats().load_failures), (2, 0));
    assert_eq!(lazy.fetch("key", || Ok(2)).unwrap().status, Status::Loaded);
}

#[test]
fn a_refresh_whose_destructor_panics_frees_its_key() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            hush("a bad destructor")
        }
    }
    type Spawned = Pin<Box<dyn Future<Output = ()> + Send>>;
    let clock = ManualClock::new();
    let spawned = Arc::new(Mutex::new(Vec::<Spawned>::new()));
    let place = spawned.clone();
    let lazy = builder(&clock)
        .spawner(move |refresh| place.lock().unwrap().push(refresh))
        .build()
        .unwrap();
    lazy.fetch("key", || Ok(1)).unwrap();
    clock.advance(SECOND);
    for is_polled in [false, true] {
        let bad = Bad;
        let work = move || async move {
            let _bad = bad;
            std::future::pending::<Result<u32, String>>().await
        };
        Task::new(lazy.fetch_async("key", work)).ends().unwrap();
        let refresh = spawned.lock().unwrap().pop().unwrap();
        assert_eq!(lazy.refreshing(), 1);
        if is_polled {
            let task = Task::begun(refresh);
            assert_eq!(message_of(|| drop(task)), "a bad destructor");
        } else {
            assert_eq!(message_of(|| drop(refresh)), "a bad destructor");
        }
        assert_eq!(lazy.refreshing(), 0);
    }
}
