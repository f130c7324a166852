//! Many threads of many processes share the refreshes of one value.

use docache::Context;
use docache::echo::Within;
use docache::echo::codec::LazyJson;

use crate::LONG;
use crate::server::Server;

#[path = "../common/crowd.rs"]
mod common;

/// One of the processes.
#[test]
fn member() {
    common::member(|url| {
        let store = crate::builder(url, "b").codec(LazyJson).build().unwrap();
        let context = Context::background();
        store.ping(&Within::new(&context, LONG)).unwrap();
        store
    });
}

#[test]
fn processes_share_one_refresh_at_a_time() {
    let servers = [Server::start(), Server::start()];
    let urls = servers.each_ref().map(Server::url);
    common::check("crowd::member", urls.each_ref().map(String::as_str));
}
