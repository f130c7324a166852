//! What networks and servers do: no fetch that can be computed fails, and none takes longer than
//! its load, the store's budget and a little.

use std::time::{Duration, Instant};

use docache::Context;
use docache::echo::{
    AsyncStore, Begun, EchoCache, Life, NatsStore, RefreshLock, Status, Store, StoreErrorKind,
    Within,
};

use crate::proxy::{Fault, Proxy};
use crate::server::Server;
use crate::wire::Wire;
use crate::{LONG, Texts, lock};

#[path = "../common/faults.rs"]
mod common;
use common::{BUDGET, LIMIT, Trial, leaves_with_its_context};

fn url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

/// As users build it.
fn store(url: &str, bucket: &str) -> NatsStore {
    NatsStore::builder(url, bucket).prefix("app").build().unwrap()
}

fn trial(port: u16) -> Trial<NatsStore> {
    trial_with(port, BUDGET)
}

fn trial_with(port: u16, budget: Duration) -> Trial<NatsStore> {
    Trial::new(store(&url(port), "b"), budget, 20, 2 * LONG)
}

#[test]
fn a_server_that_is_killed_and_started_again() {
    let mut server = Server::start();
    let run = |server: &mut Server| {
        server.run();
        assert!(server.is_up());
    };
    trial(server.port()).survives_kills(&mut server, Server::kill, run);
}

#[test]
fn what_was_kept_is_there_after_the_server_was_killed() {
    let mut server = Server::start();
    let texts = Texts::new(&server.url(), "b");
    let held = lock(30);
    texts.put("key", "value", Life::FOREVER);
    assert!(texts.begin("other", &held).granted);
    server.kill();
    server.run();
    assert!(server.is_up());
    let start = Instant::now();
    while texts.0.ping(&texts.within()).is_err() {
        assert!(start.elapsed() < LONG);
    }
    assert_eq!(texts.get("key").as_deref(), Some("value"));
    assert!(!texts.begin("other", &lock(30)).granted, "a lock is still its holder's");
    assert!(texts.renew("other", &held));
}

#[test]
fn a_server_that_is_not_there_costs_next_to_nothing() {
    let port = Server::start().port();
    let store = store(&url(port), "b");
    let context = Context::background();
    let get = || Store::<u32>::get(&store, "key", &Within::new(&context, LONG)).unwrap_err();
    let error = get();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    let timed = (0..100).map(|_| {
        let start = Instant::now();
        get();
        start.elapsed()
    });
    let best = timed.min().unwrap();
    assert!(best < Duration::from_micros(50), "{best:?}");
}

#[test]
fn a_server_without_jetstream_is_told_from_one_that_is_not_there() {
    let server = Server::start_without_jetstream();
    let context = Context::background();
    let error = store(&server.url(), "b").ping(&Within::new(&context, LONG)).unwrap_err();
    assert!(error.to_string().contains("JetStream is not enabled"), "{error}");
}

#[test]
fn a_network_that_swallows_everything() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    // It counts as away, and nothing is waited for.
    trial(proxy.port()).survives_a_blackhole(&proxy, BUDGET / 2);
}

/// Not even for the first connection, and not tasks either.
#[test]
fn nobody_waits_for_a_first_connection_for_longer_than_he_has() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    proxy.set(Fault::Blackhole);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let timed = (0..5).map(|_| {
        let store = store(&url(proxy.port()), "b");
        let context = Context::background();
        let within = Within::new(&context, BUDGET);
        let start = Instant::now();
        let call = AsyncStore::<String>::get_async(&store, "key", &within);
        assert!(runtime.block_on(call).is_err());
        start.elapsed()
    });
    let best = timed.min().unwrap();
    assert!(best >= BUDGET / 2 && best <= LIMIT, "{best:?}");
}

#[test]
fn connections_that_are_cut() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    trial(proxy.port()).survives_cuts(&proxy);
}

/// Whoever waits for an answer when the connection is lost hears of it at once.
#[test]
fn a_call_under_way_ends_with_its_connection() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let texts = Texts::new(&url(proxy.port()), "b");
    assert_eq!(texts.get("key"), None);
    proxy.set(Fault::Blackhole);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let start = Instant::now();
            let called = Store::<String>::get(&texts.0, "key", &texts.within());
            (called.unwrap_err().kind(), start.elapsed())
        });
        std::thread::sleep(Duration::from_millis(200));
        proxy.cut_once();
        let (kind, took) = waits.join().unwrap();
        assert_eq!(kind, StoreErrorKind::Unavailable);
        assert!(took < LONG / 2, "{took:?}");
    });
}

#[test]
fn answers_that_come_too_late() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    trial(proxy.port()).survives_late_replies(&proxy);
}

/// The caller has left by then.
#[test]
fn a_lock_that_is_granted_too_late_is_given_back() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let (far, near) = (Texts::new(&url(proxy.port()), "b"), Texts::new(&server.url(), "b"));
    assert_eq!((far.get("key"), near.get("key")), (None, None));
    proxy.set(Fault::Delay(Duration::from_millis(150)));
    let context = Context::background();
    let claim = lock(3600);
    let within = Within::new(&context, Duration::from_millis(220));
    // The lock is read in time, and its grant comes too late.
    let begun: Result<Begun<String>, _> = far.0.begin_refresh("key", &claim, &within);
    assert_eq!(begun.unwrap_err().kind(), StoreErrorKind::Timeout);
    proxy.set(Fault::Pass);
    let start = Instant::now();
    let next = lock(30);
    while !near.begin("key", &next).granted {
        assert!(start.elapsed() < LONG, "it is held by nobody");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!far.renew("key", &claim));
}

/// Giving a lock back does not overtake what was sent to take it.
#[test]
fn a_lock_that_is_given_back_before_it_is_granted_is_free_after_it() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let (far, mut wire) = (Texts::new(&url(proxy.port()), "b"), Wire::connect(server.port()));
    assert_eq!(far.get("key"), None);
    let context = Context::background();
    let claim = lock(3600);
    proxy.set(Fault::Delay(Duration::from_millis(150)));
    let within = Within::new(&context, Duration::from_millis(200));
    let begun: Result<Begun<String>, _> = far.0.begin_refresh("key", &claim, &within);
    assert!(begun.is_err());
    far.abandon("key", &claim);
    proxy.set(Fault::Pass);
    let lock = wire.get("b", "app.769ae7543abb0cceb363025017590909").unwrap();
    assert_eq!(lock.header("KV-Operation"), Some("DEL"), "it was granted, and given back");
}

#[test]
fn answers_that_are_garbage_or_end_too_soon() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    trial(proxy.port()).survives_garbage(&proxy);
}

#[test]
fn values_that_are_none_are_replaced() {
    const KEY: &str = "app.3c6e0b8a9c15224a8228b9a98ca1531d";
    let server = Server::start();
    let (trial, mut wire) = (trial_with(server.port(), LONG), Wire::connect(server.port()));
    trial.recovers();
    let cache = &trial.cache;
    for raw in ["", "\u{7f}garbage", "{\"Value\":", "\"a string\"", "null", "-1", "7 7"] {
        wire.put("b", KEY, raw.as_bytes());
        assert_eq!(cache.fetch("key", || Ok(7)).unwrap().status, Status::Loaded, "{raw:?}");
        assert_eq!(wire.value("b", KEY).as_deref(), Some("7"));
    }
}

/// It is computed each time, and the store counts as healthy.
#[test]
fn a_value_that_is_too_large_for_the_server() {
    let server = Server::start();
    let texts = Texts::new(&server.url(), "b");
    let value = "x".repeat(2 << 20);
    let error = texts.0.put("key", &value, Life::FOREVER, &texts.within()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
    let cache: EchoCache<_, String, String> =
        EchoCache::builder(texts.0.clone()).store_budget(LONG).build().unwrap();
    for _ in 0..2 {
        assert_eq!(cache.fetch("key", || Ok(value.clone())).unwrap().status, Status::Loaded);
    }
    assert!(texts.begin("key", &lock(30)).granted, "the lock was given back");
}

#[test]
fn no_caller_waits_longer_than_its_context() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let store = store(&url(proxy.port()), "b");
    let context = Context::background();
    store.put("key", &7, Life::FOREVER, &Within::new(&context, LONG)).unwrap();
    proxy.set(Fault::Blackhole);
    leaves_with_its_context(&store);
    let context = Context::new();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            Store::<u32>::get(&store, "key", &Within::new(&context, LONG)).unwrap_err().kind()
        });
        std::thread::sleep(Duration::from_millis(20));
        context.cancel();
        assert!(matches!(
            waits.join().unwrap(),
            StoreErrorKind::Timeout | StoreErrorKind::Unavailable
        ));
    });
}

/// A renewal whose answer is lost has been made all the same: the holder still has the lock.
#[test]
fn a_renewal_whose_answer_was_lost_does_not_lose_the_lock() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let texts = Texts::new(&url(proxy.port()), "b");
    let held = RefreshLock::new(LONG);
    assert!(texts.begin("key", &held).granted);
    let context = Context::background();
    proxy.set(Fault::Delay(Duration::from_millis(200)));
    let within = Within::new(&context, Duration::from_millis(50));
    assert!(Store::<String>::renew(&texts.0, "key", &held, &within).is_err());
    proxy.set(Fault::Pass);
    assert!(texts.renew("key", &held));
    assert_eq!(texts.finish("key", "value", &held), docache::echo::Written::Yes);
}
