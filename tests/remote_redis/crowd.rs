//! Many threads of many processes share the refreshes of one value.

use docache::echo::codec::LazyJson;
use docache::echo::{RedisStore, Store};

use crate::call;
use crate::server::Server;

#[path = "../common/crowd.rs"]
mod common;

/// One of the processes.
#[test]
fn member() {
    common::member(|url| {
        let store = RedisStore::builder(url).prefix("app").codec(LazyJson).build().unwrap();
        // So that it is connected.
        call(|within| Store::<u64>::remove(&store, "other", within)).unwrap();
        store
    });
}

#[test]
fn processes_share_one_refresh_at_a_time() {
    let servers = [Server::start(), Server::start()];
    let urls = servers.each_ref().map(Server::url);
    common::check("crowd::member", urls.each_ref().map(String::as_str));
}
