//! How many round trips things take.

use std::sync::Barrier;
use std::time::Duration;

use docache::echo::codec::LazyJson;
use docache::echo::{
    EchoCache, LazyEchoCache, MemoryStore, RedisStore, Status, Store, TieredStore,
};

use crate::proxy::Proxy;
use crate::server::{Reply, Server, url};
use crate::{LONG, call, store};

#[test]
fn a_hit_takes_one_and_a_cold_load_three() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let cache: EchoCache<_, u32, String> =
        EchoCache::builder(store(proxy.port())).store_budget(LONG).build().unwrap();
    cache.fetch("warm", || Ok(0)).unwrap();
    let before = proxy.trips();
    assert_eq!(cache.fetch("key", || Ok(7)).unwrap().status, Status::Loaded);
    assert_eq!(proxy.trips() - before, 3, "get; lock and read; write and unlock");
    let before = proxy.trips();
    assert_eq!(cache.fetch("key", || Ok(8)).unwrap().value, 7);
    assert_eq!(proxy.trips() - before, 1);
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn what_is_left_is_asked_for_copies_only() {
    let server = Server::start();
    let mut client = server.client();
    client.ask(&["SET", "app:key", "7", "PX", "10000"]);
    let mut has_asked = || match client.ask(&["INFO", "commandstats"]) {
        Reply::Text(text) => String::from_utf8(text).unwrap().contains("cmdstat_pttl"),
        other => panic!("{other:?}"),
    };
    let cache: EchoCache<_, u32, String> =
        EchoCache::builder(store(server.port())).store_budget(LONG).build().unwrap();
    assert_eq!(cache.fetch("key", || Ok(8)).unwrap().status, Status::Fresh);
    assert!(!has_asked());
    let tiers = TieredStore::new(MemoryStore::new(10), store(server.port()), 10 * LONG);
    let cache: EchoCache<_, u32, String> =
        EchoCache::builder(tiers).store_budget(LONG).build().unwrap();
    assert_eq!(cache.fetch("key", || Ok(8)).unwrap().status, Status::Fresh);
    assert!(has_asked());
    let copy = call(|within| cache.store().near().get("key", within)).unwrap().unwrap();
    assert!(copy.left.unwrap() <= Duration::from_secs(10), "{copy:?}");
}

#[test]
fn a_refresh_takes_two() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let store = RedisStore::builder(url(proxy.port())).codec(LazyJson).build().unwrap();
    let cache: LazyEchoCache<_, u32, String> = LazyEchoCache::builder(store)
        .refresh_after(Duration::from_millis(1))
        .store_budget(LONG)
        .build()
        .unwrap();
    cache.fetch("key", || Ok(1)).unwrap();
    std::thread::sleep(Duration::from_millis(10));
    let before = proxy.trips();
    let fetched = cache.fetch("key", || Ok(2)).unwrap();
    assert!(matches!(fetched.status, Status::Stale { .. }), "{fetched:?}");
    let report = cache.shutdown(LONG);
    assert!(report.dropped.is_empty() && report.running.is_empty(), "{report:?}");
    assert_eq!(proxy.trips() - before, 1 + 2, "the hit, and then the refresh");
    assert_eq!(cache.stats().refreshes, 1);
}

/// Whoever comes while others wait shares their round trips.
#[test]
fn many_callers_are_pipelined_on_one_connection() {
    const CALLERS: usize = 16;
    const CALLS: usize = 200;
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let cache: EchoCache<_, usize, String> =
        EchoCache::builder(store(proxy.port())).store_budget(LONG).build().unwrap();
    for caller in 0..CALLERS {
        cache.fetch(&caller.to_string(), || Ok(caller)).unwrap();
    }
    let (before, barrier) = (proxy.trips(), Barrier::new(CALLERS));
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (cache, barrier) = (&cache, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for _ in 0..CALLS {
                    let fetched = cache.fetch(&caller.to_string(), || Err("it is there".into()));
                    assert_eq!(fetched.unwrap().value, caller, "another's reply");
                }
            });
        }
    });
    let trips = proxy.trips() - before;
    assert!(trips < CALLERS * CALLS / 2, "{trips} round trips for {} calls", CALLERS * CALLS);
    assert_eq!((proxy.accepted(), cache.stats().store_errors), (1, 0));
}
