//! How many round trips things take.

use std::time::Duration;

use docache::echo::codec::LazyJson;
use docache::echo::{EchoCache, LazyEchoCache, Life, Status};

use crate::proxy::Proxy;
use crate::server::Server;
use crate::{LONG, Texts, lock, store};

fn url(proxy: &Proxy) -> String {
    format!("nats://127.0.0.1:{}", proxy.port())
}

/// What a call takes. The client asks from time to time whether the server is there, and each
/// answer may come in parts: so the best of some tries.
fn trips(proxy: &Proxy, wanted: usize, mut call: impl FnMut()) {
    let mut counted = Vec::new();
    for _ in 0..5 {
        // So that what was sent after the last answer is counted with that.
        std::thread::sleep(Duration::from_millis(20));
        let before = proxy.trips();
        call();
        counted.push(proxy.trips() - before);
    }
    assert_eq!(counted.iter().min(), Some(&wanted), "{counted:?}");
}

#[test]
fn a_hit_takes_one_and_a_cold_load_five() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let cache: EchoCache<_, u32, String> =
        EchoCache::builder(store(&url(&proxy), "b")).store_budget(LONG).build().unwrap();
    cache.fetch("warm", || Ok(0)).unwrap();
    let mut key = 0;
    trips(&proxy, 5, || {
        key += 1;
        assert_eq!(cache.fetch(&key.to_string(), || Ok(7)).unwrap().status, Status::Loaded);
    });
    trips(&proxy, 1, || assert_eq!(cache.fetch("1", || Ok(8)).unwrap().value, 7));
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn a_refresh_takes_four() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let store = crate::builder(&url(&proxy), "b").codec(LazyJson).build().unwrap();
    let mut key = 0;
    // A cold load, a hit, and its refresh.
    trips(&proxy, 5 + 1 + 4, || {
        key += 1;
        let key = key.to_string();
        let cache: LazyEchoCache<_, u32, String> = LazyEchoCache::builder(store.clone())
            .refresh_after(Duration::from_millis(1))
            .store_budget(LONG)
            .build()
            .unwrap();
        cache.fetch(&key, || Ok(1)).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        let fetched = cache.fetch(&key, || Ok(2)).unwrap();
        assert!(matches!(fetched.status, Status::Stale { .. }), "{fetched:?}");
        let report = cache.shutdown(LONG);
        assert!(report.dropped.is_empty() && report.running.is_empty(), "{report:?}");
        assert_eq!(cache.stats().refreshes, 1);
    });
}

#[test]
fn each_call_takes_what_its_documentation_says() {
    let server = Server::start();
    let proxy = Proxy::new(server.port());
    let (texts, other) = (Texts::new(&url(&proxy), "b"), Texts::new(&server.url(), "b"));
    texts.put("key", "value", Life::FOREVER);
    trips(&proxy, 1, || texts.put("key", "value", Life::FOREVER));
    trips(&proxy, 1, || texts.remove("key"));
    let held = lock(3600);
    trips(&proxy, 2, || assert!(texts.begin("key", &held).granted));
    trips(&proxy, 1, || assert!(texts.renew("key", &held)));
    let claim = lock(3600);
    texts.abandon("key", &held);
    assert!(other.begin("key", &held).granted);
    trips(&proxy, 1, || assert!(!texts.begin("key", &claim).granted));
    other.abandon("key", &held);
    trips(&proxy, 3, || {
        assert!(texts.begin("key", &held).granted);
        texts.abandon("key", &held);
    });
}
