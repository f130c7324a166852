//! What happens when the process that holds a lock is killed.

use std::time::Duration;

use docache::Context;
use docache::echo::{EchoCache, NatsStore, Within};

use crate::server::Server;
use crate::wire::Wire;
use crate::{LONG, store};

#[path = "../common/holders.rs"]
mod common;
use common::TTL;

const URL: &str = "DOCACHE_TEST_HOLDER_URL";
const KEY: &str = "app.3c6e0b8a9c15224a8228b9a98ca1531d";
const LOCK: &str = "app.769ae7543abb0cceb363025017590909";

type Echo = EchoCache<NatsStore, u32, String>;

fn cache(url: &str) -> Echo {
    EchoCache::builder(store(url, "b"))
        .lock_ttl(TTL)
        // However slow the machine is: nobody loads beside a holder.
        .lock_wait(LONG)
        .store_budget(LONG)
        .on_warning(|warning| eprintln!("{warning}"))
        .build()
        .unwrap()
}

/// The child.
#[test]
fn holder() {
    let Ok(url) = std::env::var(URL) else { return };
    common::hold(&cache(&url));
}

fn kill_one(server: &Server, round: u64) -> Duration {
    let holder = common::start_holder(URL, server.url());
    let mut wire = Wire::connect(server.port());
    let first = wire.get("b", LOCK).unwrap();
    wire.wait_for("it is renewed", |wire| {
        wire.get("b", LOCK).unwrap().header("Nats-Sequence") != first.header("Nats-Sequence")
    });
    let caches: Vec<Echo> = (0..4).map(|_| cache(&server.url())).collect();
    let context = Context::background();
    caches.iter().for_each(|cache| cache.store().ping(&Within::new(&context, LONG)).unwrap());
    // At different moments between two renewals.
    std::thread::sleep(Duration::from_millis(37 * round));
    let took = common::take_over(holder, |number| caches[number].clone());
    assert_eq!(wire.value("b", KEY).as_deref(), Some("7"));
    assert_eq!(wire.value("b", LOCK), None);
    wire.put_with("b", KEY, &[("KV-Operation", "DEL")], b"");
    took
}

#[test]
fn of_those_who_wait_for_a_holder_that_is_killed_one_takes_over() {
    let server = Server::start();
    common::check(|round| kill_one(&server, round));
}
