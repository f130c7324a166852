//! What networks and servers do: no fetch that can be computed fails, and none takes longer than
//! its load, the store's budget and a little.

use std::time::{Duration, Instant};

use docache::Context;
use docache::echo::{
    Life, RedisStore, RefreshLock, Status, Store, StoreErrorKind, Within, Written,
};

use crate::proxy::{Fault, Proxy};
use crate::server::{Server, url};
use crate::{LONG, call, store};

#[path = "../common/faults.rs"]
mod common;
use common::{BUDGET, LIMIT, Trial, leaves_with_its_context};

fn trial(port: u16) -> Trial<RedisStore> {
    Trial::new(store(port), BUDGET, 4, LONG)
}

#[test]
fn a_server_that_is_killed_and_started_again() {
    let mut server = Server::start();
    trial(server.port()).survives_kills(&mut server, Server::kill, Server::run);
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
    trial(proxy.port()).survives_a_blackhole(&proxy, LIMIT);
}

#[test]
fn connections_that_are_cut() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    trial(proxy.port()).survives_cuts(&proxy);
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
    let trial = trial(proxy.port());
    trial.survives_late_replies(&proxy);
    let store = trial.cache.store();
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
    trial(proxy.port()).survives_garbage(&proxy);
}

#[test]
fn values_that_are_none_are_replaced() {
    let server = Server::start();
    let (trial, mut client) = (trial(server.port()), server.client());
    trial.recovers();
    let cache = &trial.cache;
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
    leaves_with_its_context(&store);
    let context = Context::new();
    context.cancel();
    let error = Store::<u32>::get(&store, "key", &Within::new(&context, LONG)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    proxy.set(Fault::Pass);
    // Those who left have cost the connection nothing.
    let found = call(|within| Store::<u32>::get(&store, "key", within)).unwrap();
    assert_eq!((found.unwrap().value, proxy.accepted()), (7, 1));
}
