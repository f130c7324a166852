//! The suite that every store passes.

use std::cell::Cell;
use std::time::Duration;

use docache::echo::codec::LazyJson;
use docache::echo::conformance::Suite;

use super::server::Server;
use super::{Texts, builder, store};

fn suite<'s>() -> Suite<'s> {
    Suite::new().ttl(Duration::from_millis(600)).budget(Duration::from_secs(20)).locks_beside_keys()
}

/// A bucket's name for each check.
fn fresh(made: &Cell<u32>) -> String {
    made.set(made.get() + 1);
    format!("b{}", made.get())
}

#[test]
fn it_conforms_for_threads() {
    let (server, made) = (Server::start(), Cell::new(0));
    suite().run(|| store(&server.url(), &fresh(&made))).unwrap();
}

#[test]
fn it_conforms_for_tasks_with_the_time_of_a_value_beside_it() {
    let (server, made) = (Server::start(), Cell::new(0));
    let make = || builder(&server.url(), &fresh(&made)).codec(LazyJson).build().unwrap();
    suite().run_async(make).unwrap();
}

#[test]
fn it_conforms_in_a_bucket_without_times_to_live() {
    let (server, made) = (Server::start(), Cell::new(0));
    let mut wire = super::wire::Wire::connect(server.port());
    let make = || {
        let bucket = fresh(&made);
        let config = format!(
            "{{\"name\":\"KV_{bucket}\",\"subjects\":[\"$KV.{bucket}.>\"],\
             \"max_msgs_per_subject\":1,\"allow_direct\":true,\"allow_rollup_hdrs\":true,\
             \"deny_delete\":true,\"storage\":\"memory\",\"discard\":\"new\"}}"
        );
        let created = wire.api(&format!("STREAM.CREATE.KV_{bucket}"), &config);
        assert!(!created.contains("\"error\""), "{created}");
        store(&server.url(), &bucket)
    };
    let make = std::cell::RefCell::new(make);
    suite().run(|| (make.borrow_mut())()).unwrap();
}

#[test]
fn a_store_waits_for_its_first_connection_only() {
    let server = Server::start();
    let texts = Texts::new(&server.url(), "first");
    assert_eq!(texts.get("key"), None, "the bucket was created meanwhile");
}

/// A server of 2.9 loses reads meanwhile, and has several errors for it.
#[test]
fn stores_that_create_a_bucket_at_the_same_time_have_one() {
    const STORES: usize = 4;
    let server = Server::start();
    for round in 0..40 {
        let bucket = format!("b{round}");
        let stores: Vec<_> = (0..STORES).map(|_| Texts::new(&server.url(), &bucket)).collect();
        let barrier = std::sync::Barrier::new(STORES);
        std::thread::scope(|scope| {
            for texts in &stores {
                scope.spawn(|| {
                    barrier.wait();
                    texts.0.ping(&texts.within()).unwrap();
                });
            }
        });
        stores[0].put("key", "value", docache::echo::Life::FOREVER);
        assert!(stores.iter().all(|texts| texts.get("key").as_deref() == Some("value")));
    }
}
