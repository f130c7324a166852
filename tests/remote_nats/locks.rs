//! Refresh locks between stores, and between ours and other programs.

use std::time::{Duration, Instant};

use docache::echo::{AsyncStore, Life, RefreshLock, Store, Written};

use super::server::Server;
use super::wire::Wire;
use super::{Texts, lock};

/// md5 of `key` and of `lock:key`, by md5sum.
const KEY: &str = "app.3c6e0b8a9c15224a8228b9a98ca1531d";
const LOCK: &str = "app.769ae7543abb0cceb363025017590909";

struct Two {
    server: Server,
    wire: Wire,
    ours: Texts,
    theirs: Texts,
}

fn two() -> Two {
    let server = Server::start();
    let (ours, theirs) = (Texts::new(&server.url(), "b"), Texts::new(&server.url(), "b"));
    assert_eq!((ours.get("key"), theirs.get("key")), (None, None));
    Two { wire: Wire::connect(server.port()), ours, theirs, server }
}

/// Asks for the lock until it is granted; how long that took.
fn until_granted(texts: &Texts, lock: &RefreshLock) -> Duration {
    let start = Instant::now();
    while !texts.begin("key", lock).granted {
        assert!(start.elapsed() < Duration::from_secs(20), "it is never granted");
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

#[test]
fn a_lock_is_one_stores_and_passes_to_another_with_the_value() {
    let Two { ours, theirs, mut wire, server: _server } = two();
    let (first, second) = (lock(30), lock(30));
    assert!(ours.begin("key", &first).granted);
    let denied = theirs.begin("key", &second);
    assert!(!denied.granted);
    assert_eq!(denied.holder, theirs.begin("key", &second).holder, "it is the same holder");
    assert!(ours.renew("key", &first) && !theirs.renew("key", &second));
    assert_eq!(denied.holder, theirs.begin("key", &second).holder, "renewed, too");
    assert_eq!(ours.finish("key", "value", &first), Written::Yes);
    assert_eq!(wire.value("b", KEY).as_deref(), Some("\"value\""));
    assert_eq!(wire.value("b", LOCK), None, "it was given back");
    let granted = theirs.begin("key", &second);
    assert_eq!(granted.found.map(|found| found.value).as_deref(), Some("value"));
    assert!(granted.granted);
    theirs.abandon("key", &second);
    assert_eq!(wire.value("b", LOCK), None);
}

#[test]
fn a_holder_who_overran_never_overwrites_what_is_newer() {
    let Two { ours, theirs, mut wire, server: _server } = two();
    let (overran, newer) = (RefreshLock::new(Duration::from_millis(300)), lock(30));
    assert!(ours.begin("key", &overran).granted);
    let took = until_granted(&theirs, &newer);
    assert!(took >= Duration::from_millis(300), "taken over after {took:?}");
    assert_eq!(ours.finish("key", "older", &overran), Written::Lost);
    assert_eq!(wire.value("b", KEY), None);
    assert_eq!(theirs.finish("key", "newer", &newer), Written::Yes);
    assert_eq!(ours.finish("key", "older", &overran), Written::Lost);
    assert_eq!(theirs.get("key").as_deref(), Some("newer"));
}

#[test]
fn what_others_write_without_the_lock_is_not_overwritten_by_its_holder() {
    let Two { ours, theirs, mut wire, server: _server } = two();
    let first = lock(30);
    ours.put("key", "old", Life::FOREVER);
    assert!(ours.begin("key", &first).granted);
    wire.put("b", KEY, b"\"by another program\"");
    assert_eq!(ours.finish("key", "older", &first), Written::Lost);
    assert_eq!(ours.get("key").as_deref(), Some("by another program"));
    assert_eq!(wire.value("b", LOCK), None, "the lock was given back all the same");
    let second = lock(30);
    assert!(ours.begin("key", &second).granted);
    theirs.remove("key");
    assert_eq!(ours.finish("key", "older", &second), Written::Lost);
    assert_eq!(ours.get("key"), None);
}

/// Those who wait for the holder need not go on doing so.
#[test]
fn a_put_and_a_removal_take_the_lock_away_at_once() {
    let Two { ours, theirs, mut wire, server: _server } = two();
    for removes in [false, true] {
        let (first, second) = (lock(3600), lock(3600));
        assert!(ours.begin("key", &first).granted);
        if removes {
            theirs.remove("key");
        } else {
            theirs.put("key", "newer", Life::FOREVER);
        }
        assert_eq!(wire.value("b", LOCK), None, "removes: {removes}");
        assert!(!ours.renew("key", &first));
        assert!(theirs.begin("key", &second).granted);
        assert_eq!(ours.finish("key", "older", &first), Written::Lost);
        assert_eq!(theirs.finish("key", "newest", &second), Written::Yes);
    }
}

/// Takes the lock, renews it in a way that the store does not know of, as if the answer had been
/// lost, and has it given back by a future that is polled once.
fn given_back_by_one_poll(ours: &Texts, wire: &mut Wire) {
    let claim = lock(3600);
    assert!(ours.begin("key", &claim).granted);
    let renewed = wire.value("b", LOCK).unwrap();
    wire.put("b", LOCK, renewed.as_bytes());
    let within = ours.within();
    let call = AsyncStore::<String>::abandon_refresh_async(&ours.0, "key", &claim, &within);
    let mut call = std::pin::pin!(call);
    let _ = call.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
}

/// So that a task which is dropped while it loads gives its lock back.
#[test]
fn a_lock_is_given_back_by_a_future_that_is_polled_once() {
    let Two { ours, mut wire, server: _server, theirs: _ } = two();
    given_back_by_one_poll(&ours, &mut wire);
    wire.wait_for("it is given back", |wire| wire.value("b", LOCK).is_none());
}

#[test]
fn a_store_that_is_dropped_gives_back_what_it_was_told_to() {
    let Two { ours, mut wire, server: _server, theirs: _ } = two();
    given_back_by_one_poll(&ours, &mut wire);
    drop(ours);
    wire.wait_for("it is given back", |wire| wire.value("b", LOCK).is_none());
}

#[test]
fn whoever_lost_the_lock_writes_nothing_though_the_value_is_as_it_was() {
    let Two { ours, mut wire, server: _server, theirs: _ } = two();
    for (headers, payload) in
        [(vec![("KV-Operation", "DEL")], ""), (vec![], "another|2026-11-21T09:19:01Z")]
    {
        let first = lock(30);
        assert!(ours.begin("key", &first).granted);
        wire.put_with("b", LOCK, &headers, payload.as_bytes());
        assert_eq!(ours.finish("key", "value", &first), Written::Lost);
        assert!(!ours.renew("key", &first));
        assert_eq!(wire.value("b", KEY), None);
    }
    assert_eq!(wire.value("b", LOCK).as_deref(), Some("another|2026-11-21T09:19:01Z"));
}

#[test]
fn a_lock_of_another_program_is_respected_until_it_has_not_changed_for_a_ttl() {
    let Two { ours, mut wire, server: _server, theirs: _ } = two();
    // A clock that is years behind, or years ahead.
    for time in ["1999-01-01T00:00:00Z", "2099-12-31T23:59:59+14:00"] {
        wire.put("b", LOCK, format!("tOkEn12345|{time}").as_bytes());
        let claim = RefreshLock::new(Duration::from_millis(700));
        assert!(!ours.begin("key", &claim).granted, "{time}");
        std::thread::sleep(Duration::from_millis(400));
        wire.put("b", LOCK, format!("tOkEn12345|{time}").as_bytes());
        let took = until_granted(&ours, &claim);
        assert!(took >= Duration::from_millis(700), "{time}: after {took:?}, it was renewed");
        assert_eq!(ours.finish("key", "value", &claim), Written::Yes);
    }
}

#[test]
fn a_lock_is_a_token_and_a_time_to_the_second() {
    let Two { ours, mut wire, server: _server, theirs: _ } = two();
    let first = lock(30);
    assert!(ours.begin("key", &first).granted);
    let raw = wire.value("b", LOCK).unwrap();
    let (token, time) = raw.split_once('|').unwrap();
    assert_eq!(token, first.token().as_str());
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z");
}

#[test]
fn of_many_who_wait_for_a_dead_holder_one_takes_over() {
    let Two { server, ours, mut wire, theirs: _ } = two();
    let dead = RefreshLock::new(Duration::from_millis(300));
    assert!(ours.begin("key", &dead).granted);
    let stores: Vec<Texts> = (0..6).map(|_| Texts::new(&server.url(), "b")).collect();
    let end = Instant::now() + Duration::from_secs(2);
    let granted: usize = std::thread::scope(|scope| {
        let ask = |store| {
            let claim = lock(30);
            let texts: &Texts = store;
            while Instant::now() < end {
                if texts.begin("key", &claim).granted {
                    return 1;
                }
            }
            0
        };
        let threads: Vec<_> = stores.iter().map(|store| scope.spawn(move || ask(store))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(granted, 1);
    assert!(wire.value("b", LOCK).is_some());
}

#[test]
fn a_value_that_expired_while_it_was_loaded_is_written() {
    let Two { ours, mut wire, server: _server, theirs: _ } = two();
    // Whether the server removes it, leaves a marker in its place, or does nothing.
    ours.put("key", "old", Life::of(Duration::from_millis(900)));
    let first = lock(30);
    assert!(ours.begin("key", &first).granted);
    if wire.version() >= (2, 11) {
        wire.wait_for("the server removes it", |wire| wire.get("b", KEY).is_none());
    } else {
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(ours.get("key"), None);
    assert_eq!(ours.finish("key", "new", &first), Written::Yes);
    let second = lock(30);
    assert!(ours.begin("key", &second).granted);
    wire.put_with("b", KEY, &[("Nats-Marker-Reason", "MaxAge"), ("KV-Operation", "MAXAGE")], b"");
    assert_eq!(ours.get("key"), None);
    assert_eq!(ours.finish("key", "newer", &second), Written::Yes);
    assert_eq!(ours.get("key").as_deref(), Some("newer"));
}

#[test]
fn a_bucket_that_is_made_anew_is_another_one() {
    let Two { ours, mut wire, server: _server, theirs: _ } = two();
    let first = lock(30);
    assert!(ours.begin("key", &first).granted);
    wire.api("STREAM.DELETE.KV_b", "");
    wire.wait_for("the bucket is there again", |_| {
        ours.0.put("other", &"value".to_owned(), Life::FOREVER, &ours.within()).is_ok()
    });
    wire.put("b", LOCK, format!("{}|2026-11-21T09:19:01Z", first.token()).as_bytes());
    assert_eq!(ours.finish("key", "value", &first), Written::Lost);
}

#[test]
fn what_lies_in_the_place_of_a_lock_and_is_none_is_in_nobodys_way() {
    let Two { ours, mut wire, server: _server, theirs: _ } = two();
    ours.put("lock:key", "mine", Life::FOREVER);
    assert_eq!(wire.value("b", LOCK).as_deref(), Some("\"mine\""));
    let first = lock(30);
    assert!(ours.begin("key", &first).granted);
    assert_eq!(ours.finish("key", "value", &first), Written::Yes);
}

#[test]
fn a_purge_gives_a_lock_back_too() {
    let Two { ours, theirs, mut wire, server: _server } = two();
    let (first, second) = (lock(30), lock(30));
    assert!(ours.begin("key", &first).granted);
    let purge = [("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")];
    wire.put_with("b", LOCK, &purge, b"");
    assert!(theirs.begin("key", &second).granted);
    assert!(!ours.renew("key", &first));
    ours.abandon("key", &first);
    assert!(theirs.renew("key", &second), "another's stays");
}
