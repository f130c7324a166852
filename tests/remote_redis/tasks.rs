//! Tasks of a runtime, and of none.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use docache::Context;
use docache::echo::{
    AsyncStore, EchoCache, Life, RedisStore, RefreshLock, Status, Store, StoreErrorKind, Within,
};

use crate::proxy::{Fault, Proxy};
use crate::server::Server;
use crate::{LONG, call, store};

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Drives a future on this thread, without a runtime.
pub(crate) fn drive<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, mut cx) = (pin!(future), TaskContext::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn tasks_and_threads_share_one_connection_and_its_round_trips() {
    const TASKS: usize = 100;
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let cache: EchoCache<_, usize, String> =
        EchoCache::builder(store(proxy.port())).store_budget(LONG).build().unwrap();
    let loads = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let fetch_all = || {
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..TASKS {
                let (cache, loads) = (cache.clone(), loads.clone());
                tasks.spawn(async move {
                    let key = (task % 20).to_string();
                    let load = || async move {
                        loads.fetch_add(1, Ordering::SeqCst);
                        Ok(task % 20)
                    };
                    assert_eq!(cache.fetch_async(&key, load).await.unwrap().value, task % 20);
                });
            }
            tasks.join_all().await;
        });
    };
    fetch_all();
    assert_eq!(loads.load(Ordering::SeqCst), 20, "one load of each key");
    let before = proxy.trips();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                for _ in 0..50 {
                    let fetched = cache.fetch(&thread.to_string(), || Err("it is there".into()));
                    assert_eq!(fetched.unwrap().value, thread);
                }
            });
        }
        fetch_all();
    });
    let trips = proxy.trips() - before;
    assert!(trips <= 4 * 50 + TASKS / 2, "{trips} round trips");
    assert_eq!((proxy.accepted(), cache.stats().store_errors), (1, 0));
    let again = drive(cache.fetch_async("7", || async { Err("it is there".into()) }));
    assert_eq!(again.unwrap().status, Status::Fresh, "without a runtime");
}

/// A lock is given back by a future that is polled once and dropped.
#[test]
fn a_lock_is_given_back_by_a_task_that_is_gone() {
    let server = Server::start();
    let store = store(server.port());
    let lock = RefreshLock::new(LONG);
    let begun = call(|within| Store::<u32>::begin_refresh(&store, "key", &lock, within));
    assert!(begun.unwrap().granted);
    call(|within| {
        let mut call = pin!(AsyncStore::<u32>::abandon_refresh_async(&store, "key", &lock, within));
        let _ = call.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
    });
    let (mut client, start) = (server.client(), Instant::now());
    while client.text("app:lock:key").is_some() {
        assert!(start.elapsed() < LONG, "the lock is held");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn tasks_do_not_wait_longer_than_they_may() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let store = store(proxy.port());
    call(|within| store.put("key", &7, Life::FOREVER, within)).unwrap();
    let get = |within: &Within<'_>| drive(AsyncStore::<u32>::get_async(&store, "key", within));
    assert_eq!(call(get).unwrap().unwrap().value, 7);
    proxy.set(Fault::Blackhole);
    let timed = (0..5).map(|_| {
        let (context, start) = (Context::background(), Instant::now());
        let error = get(&Within::new(&context, Duration::from_millis(10))).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Timeout);
        start.elapsed()
    });
    let best = timed.min().unwrap();
    assert!(best < Duration::from_millis(60), "{best:?}");
    proxy.set(Fault::Pass);
    assert_eq!(call(get).unwrap().unwrap().value, 7);
    assert_eq!(proxy.accepted(), 1, "late replies are dropped, the connection stays");
    proxy.set(Fault::Cut);
    let start = Instant::now();
    while call(get).is_ok() {
        assert!(start.elapsed() < LONG);
    }
    assert_eq!(call(get).unwrap_err().kind(), StoreErrorKind::Unavailable);
}

/// A task that is dropped while it waits is nobody else's loss.
#[test]
fn a_task_that_is_dropped_leaves_the_connection_as_it_was() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let store: RedisStore = store(proxy.port());
    for key in ["a", "b"] {
        call(|within| store.put(key, &key.to_owned(), Life::FOREVER, within)).unwrap();
    }
    for _ in 0..50 {
        call(|within| {
            let mut dropped = Box::pin(AsyncStore::<String>::get_async(&store, "a", within));
            let _ = dropped.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
            drop(dropped);
            let found = drive(AsyncStore::<String>::get_async(&store, "b", within)).unwrap();
            assert_eq!(found.unwrap().value, "b");
        });
    }
    assert_eq!(proxy.accepted(), 1);
}
