//! What happens when the process that holds a lock is killed.

use std::time::Duration;

use docache::echo::{EchoCache, RedisStore};

use crate::server::Server;
use crate::{LONG, store};

#[path = "../common/holders.rs"]
mod common;
use common::TTL;

const PORT: &str = "DOCACHE_TEST_HOLDER_PORT";

fn cache(port: u16) -> EchoCache<RedisStore, u32, String> {
    EchoCache::builder(store(port)).lock_ttl(TTL).store_budget(LONG).build().unwrap()
}

/// The child.
#[test]
fn holder() {
    let Ok(port) = std::env::var(PORT) else { return };
    common::hold(&cache(port.parse().unwrap()));
}

fn kill_one(server: &Server, round: u64) -> Duration {
    let holder = common::start_holder(PORT, server.port().to_string());
    // At different moments between two renewals.
    std::thread::sleep(Duration::from_millis(37 * round));
    assert!(server.client().text("app:lock:key").is_some(), "it is renewed");
    let took = common::take_over(holder, |_| cache(server.port()));
    let mut client = server.client();
    assert_eq!(client.text("app:key").as_deref(), Some("7"));
    assert_eq!(client.text("app:lock:key"), None);
    client.ask(&["FLUSHALL"]);
    took
}

#[test]
fn of_those_who_wait_for_a_holder_that_is_killed_one_takes_over() {
    let server = Server::start();
    common::check(|round| kill_one(&server, round));
}
