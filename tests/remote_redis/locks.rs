//! Refresh locks between stores that share a server.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use docache::echo::{Begun, EchoCache, Life, RedisStore, RefreshLock, Status, Store, Written};

use crate::server::Server;
use crate::{LONG, call, store};

fn begin(store: &RedisStore, lock: &RefreshLock) -> Begun<u32> {
    call(|within| store.begin_refresh("key", lock, within)).unwrap()
}

fn finish(store: &RedisStore, value: u32, lock: &RefreshLock) -> Written {
    call(|within| store.finish_refresh("key", &value, Life::FOREVER, lock, within)).unwrap()
}

fn get(store: &RedisStore) -> Option<u32> {
    call(|within| store.get("key", within)).unwrap().map(|found| found.value)
}

#[test]
fn one_of_two_stores_has_the_lock_and_the_other_sees_whose_it_is() {
    let server = Server::start();
    let (ours, theirs) = (store(server.port()), store(server.port()));
    let (lock, other) = (RefreshLock::new(LONG), RefreshLock::new(LONG));
    assert!(begin(&ours, &lock).granted);
    let begun = begin(&theirs, &other);
    assert_eq!((begun.granted, begun.holder), (false, Some(lock.token().fingerprint())));
    assert_eq!(finish(&theirs, 8, &other), Written::Lost);
    assert_eq!(finish(&ours, 7, &lock), Written::Yes);
    let begun = begin(&theirs, &other);
    assert_eq!(begun.found.map(|found| found.value), Some(7));
    assert!(begun.granted && begun.holder.is_none());
    assert!(begin(&theirs, &other).granted, "it is theirs already");
    let begun = begin(&ours, &lock);
    assert_eq!((begun.granted, begun.holder), (false, Some(other.token().fingerprint())));
}

#[test]
fn who_overran_its_lock_never_overwrites_what_is_newer() {
    let server = Server::start();
    let (slow, quick) = (store(server.port()), store(server.port()));
    let overran = RefreshLock::new(Duration::from_millis(30));
    assert!(begin(&slow, &overran).granted);
    let lock = RefreshLock::new(LONG);
    while !begin(&quick, &lock).granted {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(finish(&slow, 1, &overran), Written::Lost, "another has the lock");
    assert_eq!(get(&quick), None);
    assert_eq!(finish(&quick, 2, &lock), Written::Yes);
    assert_eq!(finish(&slow, 1, &overran), Written::Lost, "nobody has it");
    assert_eq!(get(&slow), Some(2));
    assert!(!call(|within| Store::<u32>::renew(&slow, "key", &overran, within)).unwrap());
}

/// Two clients of the store's server: a lock that is the caller's already is held anew.
#[test]
fn a_lock_that_is_granted_again_lasts_for_its_time() {
    let server = Server::start();
    let (ours, mut client) = (store(server.port()), server.client());
    let lock = RefreshLock::new(LONG);
    assert!(begin(&ours, &lock).granted);
    client.ask(&["PEXPIRE", "app:lock:key", "1000"]);
    assert!(begin(&ours, &lock).granted);
    let left = client.left("app:lock:key");
    assert!(left > 5_000, "{left}");
    client.ask(&["DEL", "app:lock:key"]);
    client.ask(&["RPUSH", "app:lock:key", "a list"]);
    let begun = begin(&ours, &lock);
    assert!(!begun.granted && begun.holder.is_none());
}

/// Of eight caches, each with a connection of its own, one loads.
#[test]
fn caches_that_share_a_server_load_once() {
    const CACHES: usize = 8;
    let server = Server::start();
    let (loads, barrier) = (AtomicUsize::new(0), Barrier::new(CACHES));
    let loaded: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CACHES)
            .map(|_| {
                let store = store(server.port());
                let (loads, barrier) = (&loads, &barrier);
                scope.spawn(move || {
                    let cache: EchoCache<_, u32, String> =
                        EchoCache::builder(store).store_budget(LONG).build().unwrap();
                    barrier.wait();
                    let load = || {
                        loads.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(50));
                        Ok(7)
                    };
                    let fetched = cache.fetch("key", load).unwrap();
                    assert_eq!(fetched.value, 7);
                    usize::from(fetched.status == Status::Loaded)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((loads.into_inner(), loaded), (1, 1));
    assert_eq!(server.client().text("app:lock:key"), None);
}
