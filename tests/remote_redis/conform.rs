//! The suite for stores, for threads and for tasks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use docache::echo::codec::{Codec, Json, LazyJson};
use docache::echo::conformance::Suite;
use docache::echo::{Breaker, Life, MemoryStore, RedisStore, Store, TieredStore};

use crate::call;
use crate::server::Server;

/// Stores with keys of their own.
fn make<C: Codec<String> + Clone>(server: &Server, codec: C) -> impl Fn() -> RedisStore<C> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let url = server.url();
    move || {
        let prefix = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
        RedisStore::builder(&url).prefix(prefix).codec(codec.clone()).build().unwrap()
    }
}

fn suite() -> Suite<'static> {
    Suite::new().ttl(Duration::from_millis(300)).locks_beside_keys()
}

#[test]
fn it_conforms_for_threads() {
    let server = Server::start();
    suite().run(make(&server, Json)).unwrap();
    suite().run(make(&server, LazyJson)).unwrap();
}

#[test]
fn it_conforms_for_tasks() {
    let server = Server::start();
    suite().run_async(make(&server, Json)).unwrap();
    suite().run_async(make(&server, LazyJson)).unwrap();
}

#[test]
fn it_conforms_behind_others() {
    let server = Server::start();
    let make = make(&server, LazyJson);
    suite().run(|| Breaker::new(make())).unwrap();
    let tiers = || TieredStore::new(MemoryStore::new(100), make(), Duration::from_millis(1));
    suite().run(tiers).unwrap();
}

#[test]
fn keys_that_are_long_are_kept_apart() {
    let server = Server::start();
    let store = make(&server, Json)();
    let long = "k".repeat(100_000);
    let keys = ["key", "KEY", "key ", "a:b", "a.b", "a*", "å日本", "\r\n", "\0", "", &long];
    for key in keys {
        call(|within| store.put(key, &format!("of {key}"), Life::FOREVER, within)).unwrap();
    }
    for key in keys {
        let found = call(|within| Store::<String>::get(&store, key, within)).unwrap();
        assert_eq!(found.unwrap().value, format!("of {key}"));
    }
}
