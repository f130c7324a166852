//! What networks and servers do: no fetch that can be computed fails, and none takes longer than
//! its load, the store's budget and a little.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use docache::Context;
use docache::echo::{
    EchoCache, Life, RedisStore, RefreshLock, Status, Store, StoreErrorKind, Within, Written,
};

use crate::proxy::{Fault, Proxy};
use crate::server::{Server, url};
use crate::{LONG, call, store};

const BUDGET: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_millis(100);

type Echo = EchoCache<RedisStore, usize, String>;

fn cache(port: u16) -> Echo {
    EchoCache::builder(store(port)).store_budget(BUDGET).build().unwrap()
}

/// Fetches keys of its own and returns how long the slowest took, the best of some tries.
fn fetch_all(cache: &Echo, fetches: usize) -> Duration {
    static KEYS: AtomicUsize = AtomicUsize::new(0);
    let once = || {
        let timed = (0..fetches).map(|_| {
            let key = KEYS.fetch_add(1, Ordering::Relaxed);
            let start = Instant::now();
            let fetched = cache.fetch(&key.to_string(), || Ok(key)).unwrap();
            assert_eq!(fetched.value, key);
            start.elapsed()
        });
        timed.max().unwrap()
    };
    let mut best = once();
    for _ in 0..4 {
        if best <= LIMIT {
            break;
        }
        best = best.min(once());
    }
    best
}

fn works(cache: &Echo, key: &str) -> bool {
    cache.fetch(key, || Ok(1)).unwrap();
    cache.fetch(key, || Ok(2)).unwrap().value == 1
}

/// How long it takes until what is fetched is kept.
fn recovers(cache: &Echo) -> Duration {
    let start = Instant::now();
    for round in 0.. {
        if works(cache, &format!("recovers {round}")) {
            break;
        }
        assert!(start.elapsed() < LONG, "it does not come back");
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

#[test]
fn a_server_that_is_killed_and_started_again() {
    let mut server = Server::start();
    let cache = cache(server.port());
    recovers(&cache);
    let mut back = Vec::new();
    for _ in 0..5 {
        assert!(fetch_all(&cache, 20) <= LIMIT);
        server.kill();
        assert!(fetch_all(&cache, 20) <= LIMIT);
        server.run();
        back.push(recovers(&cache));
    }
    println!("back after {back:?}");
    assert!(*back.iter().min().unwrap() <= Duration::from_secs(1), "{back:?}");
}

#[test]
fn a_server_that_is_not_there_costs_next_to_nothing() {
    let port = Server::start().port();
    let store = store(port);
    let get = |store: &RedisStore| call(|within| Store::<u32>::get(store, "key", within));
    let error = get(&store).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    let timed = (0..100).map(|_| {
        let start = Instant::now();
        assert!(get(&store).is_err());
        start.elapsed()
    });
    let best = timed.min().unwrap();
    assert!(best < Duration::from_micros(50), "{best:?}");
}

#[test]
fn a_network_that_swallows_everything() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let cache = cache(proxy.port());
    recovers(&cache);
    proxy.set(Fault::Blackhole);
    assert!(fetch_all(&cache, 3) <= LIMIT);
    // Until the connection is given up, and after.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1_500) {
        fetch_all(&cache, 1);
    }
    let down = fetch_all(&cache, 20);
    assert!(down <= LIMIT, "{down:?}");
    proxy.set(Fault::Pass);
    let back = recovers(&cache);
    println!("back after {back:?}");
    assert!(back <= Duration::from_millis(1_500), "{back:?}");
}

#[test]
fn connections_that_are_cut() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let cache = cache(proxy.port());
    recovers(&cache);
    for _ in 0..20 {
        proxy.cut_once();
        assert!(fetch_all(&cache, 3) <= LIMIT);
    }
    proxy.set(Fault::Cut);
    assert!(fetch_all(&cache, 50) <= LIMIT);
    proxy.set(Fault::Pass);
    assert!(recovers(&cache) <= Duration::from_secs(2));
}

/// A connection that the server closed while nobody used it is replaced before the call.
#[test]
fn a_connection_that_was_closed_while_idle_is_not_noticed() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let store = store(proxy.port());
    call(|within| store.put("key", &7, Life::FOREVER, within)).unwrap();
    proxy.cut_once();
    std::thread::sleep(Duration::from_millis(700));
    let found = call(|within| Store::<u32>::get(&store, "key", within)).unwrap();
    assert_eq!((found.unwrap().value, proxy.accepted()), (7, 2));
}

/// A reply that comes too late is never taken for that of another call.
#[test]
fn replies_that_come_too_late() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let cache = cache(proxy.port());
    recovers(&cache);
    proxy.set(Fault::Delay(Duration::from_millis(80)));
    assert!(fetch_all(&cache, 5) <= LIMIT);
    proxy.set(Fault::Pass);
    recovers(&cache);
    assert_eq!(proxy.accepted(), 1, "it is the same connection");
    let store = cache.store();
    for key in 0..100_u32 {
        let key = key.to_string();
        call(|within| store.put(&key, &key, Life::FOREVER, within)).unwrap();
    }
    let context = Context::background();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..10 {
                proxy.set(Fault::Delay(Duration::from_millis(15)));
                std::thread::sleep(Duration::from_millis(30));
                proxy.set(Fault::Pass);
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        for thread in 0..8_u64 {
            let context = &context;
            scope.spawn(move || {
                let start = Instant::now();
                for call in 0.. {
                    let key = ((thread * 13 + call) % 100).to_string();
                    let within = Within::new(context, Duration::from_millis(1 + call % 20));
                    if let Ok(found) = Store::<String>::get(store, &key, &within) {
                        assert_eq!(found.expect("it is there").value, key);
                    }
                    if start.elapsed() > Duration::from_millis(700) {
                        break;
                    }
                }
            });
        }
    });
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn replies_that_are_garbage_or_end_too_soon() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let cache = cache(proxy.port());
    for fault in [Fault::Garble, Fault::Truncate] {
        recovers(&cache);
        proxy.set(fault);
        assert!(fetch_all(&cache, 30) <= LIMIT);
        proxy.set(Fault::Pass);
        assert!(recovers(&cache) <= Duration::from_secs(2));
    }
}

#[test]
fn values_that_are_none_are_replaced() {
    let server = Server::start();
    let (cache, mut client) = (cache(server.port()), server.client());
    recovers(&cache);
    for raw in ["", "\u{7f}garbage", "{\"Value\":", "\"a string\"", "null", "-1", "7 7"] {
        client.ask(&["SET", "app:key", raw]);
        let error = call(|within| Store::<usize>::get(cache.store(), "key", within)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
        assert_eq!(cache.fetch("key", || Ok(7)).unwrap().status, Status::Loaded);
        assert_eq!(client.text("app:key").as_deref(), Some("7"));
    }
    client.ask(&["DEL", "app:key"]);
    client.ask(&["RPUSH", "app:key", "a", "list"]);
    let error = call(|within| Store::<usize>::get(cache.store(), "key", within)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
    assert_eq!(cache.fetch("key", || Ok(8)).unwrap().status, Status::Loaded);
    assert_eq!(client.text("app:key").as_deref(), Some("8"));
}

#[test]
fn scripts_that_the_server_has_forgotten() {
    let server = Server::start();
    let (store, mut client) = (store(server.port()), server.client());
    let lock = RefreshLock::new(LONG);
    for value in 0..3 {
        let begun = call(|within| Store::<u32>::begin_refresh(&store, "key", &lock, within));
        assert!(begun.unwrap().granted);
        client.ask(&["SCRIPT", "FLUSH"]);
        assert!(call(|within| Store::<u32>::renew(&store, "key", &lock, within)).unwrap());
        client.ask(&["SCRIPT", "FLUSH"]);
        let written =
            call(|within| store.finish_refresh("key", &value, Life::FOREVER, &lock, within));
        assert_eq!(written.unwrap(), Written::Yes);
        client.ask(&["SCRIPT", "FLUSH"]);
        call(|within| Store::<u32>::abandon_refresh(&store, "key", &lock, within)).unwrap();
        assert_eq!(client.text("app:key"), Some(value.to_string()));
    }
    // Each is loaded when the store connects, under the name by which it is called.
    let again = crate::store(server.port());
    assert!(call(|within| Store::<u32>::get(&again, "key", within)).unwrap().is_some());
    assert!(again_knows(&server, 3), "the scripts are not loaded");
}

/// Whether the server has so many scripts.
fn again_knows(server: &Server, scripts: usize) -> bool {
    let info = match server.client().ask(&["INFO", "memory"]) {
        crate::server::Reply::Text(text) => String::from_utf8(text).unwrap(),
        other => panic!("{other:?}"),
    };
    info.contains(&format!("number_of_cached_scripts:{scripts}"))
}

#[test]
fn no_caller_waits_longer_than_its_context() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let store = RedisStore::builder(url(proxy.port())).prefix("app").build().unwrap();
    call(|within| store.put("key", &7, Life::FOREVER, within)).unwrap();
    proxy.set(Fault::Blackhole);
    let timed = (0..5).map(|_| {
        let context = Context::background().with_timeout(Duration::from_millis(5));
        let start = Instant::now();
        let error = Store::<u32>::get(&store, "key", &Within::new(&context, LONG)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Timeout);
        start.elapsed()
    });
    let best = timed.min().unwrap();
    assert!(best < Duration::from_millis(55), "{best:?}");
    let context = Context::new();
    context.cancel();
    let error = Store::<u32>::get(&store, "key", &Within::new(&context, LONG)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    proxy.set(Fault::Pass);
    // Those who left have cost the connection nothing.
    let found = call(|within| Store::<u32>::get(&store, "key", within)).unwrap();
    assert_eq!((found.unwrap().value, proxy.accepted()), (7, 1));
}
