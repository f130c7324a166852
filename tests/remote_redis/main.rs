//! The store in Redis against a real server, which each test starts for itself, through a proxy
//! that does to the connection what networks do.
//!
//! They need `redis-server`, in `PATH` or named by `DOCACHE_REDIS_SERVER`. All rows that a Go
//! program wrote are read if `DOCACHE_ECHO_WIRE` names a file of them.

#[path = "../common/proxy.rs"]
mod proxy;
mod server;

mod apart;
mod conform;
mod crowd;
mod fake;
mod faults;
mod hand_over;
mod holders;
mod locks;
mod tasks;
mod trips;
mod wire;

use std::time::Duration;

use docache::Context;
use docache::echo::codec::Json;
use docache::echo::{RedisStore, Within};

/// Enough for any call on a busy machine.
const LONG: Duration = Duration::from_secs(10);

fn store(port: u16) -> RedisStore<Json> {
    RedisStore::builder(server::url(port)).prefix("app").build().unwrap()
}

/// Makes a call with enough time.
fn call<R>(call: impl FnOnce(&Within<'_>) -> R) -> R {
    let context = Context::background();
    call(&Within::new(&context, LONG))
}
