//! The end of the threads of stores on servers. It is looked at in processes of their own, since
//! other tests start threads too.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use docache::ffi::*;

use crate::handles::{Echo, Store, options};
use crate::its_key;

const APART: &str = "DOCACHE_TEST_APART";

/// Whether this is the process of its own of that test. If not, it is started, and has to pass.
fn is_apart(test: &str) -> bool {
    if std::env::var(APART).as_deref() == Ok(test) {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("shutdown::{test}"), "--nocapture"]).env(APART, test);
    assert!(command.status().unwrap().success(), "{test}");
    false
}

/// The names of the library's threads, without those that have ended but for what the system does
/// after them.
fn threads() -> Vec<String> {
    const PF_EXITING: u32 = 4;
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats =
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).ok());
    let running = stats.filter_map(|stat| {
        // The number, the name in parentheses, and then fields, of which the seventh are flags.
        let (before, fields) = stat.rsplit_once(") ").unwrap();
        let flags: u32 = fields.split(' ').nth(6).unwrap().parse().unwrap();
        let name = before.split_once('(').unwrap().1.to_owned();
        (flags & PF_EXITING == 0).then_some(name)
    });
    running.filter(|name| name.starts_with("docache-")).collect()
}

/// Has each of the stores start its thread, frees all, and looks whether they have ended.
fn end_with(name: &str, stores: Vec<Store>) {
    let options = docache_echo_options { store_budget_ns: 1_000_000, ..options() };
    let echoes: Vec<_> = stores.iter().map(|store| Echo::memo(store, &options, 0)).collect();
    for echo in &echoes {
        assert_eq!(echo.get(b"1", Some(its_key)), (b"1".to_vec(), DOCACHE_FETCHED_LOADED));
    }
    let (start, ours) = (Instant::now(), || threads().iter().filter(|one| *one == name).count());
    // A thread names itself when it begins.
    while ours() < stores.len() {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", threads());
        std::thread::sleep(Duration::from_millis(1));
    }
    drop((echoes, stores));
    let start = Instant::now();
    while docache_shutdown() != DOCACHE_OK {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", threads());
    }
    assert_eq!(threads(), [""; 0]);
}

/// A server that takes connections and says nothing.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[cfg(feature = "redis")]
#[test]
fn a_shutdown_waits_for_the_thread_of_a_store_in_redis() {
    if !is_apart("a_shutdown_waits_for_the_thread_of_a_store_in_redis") {
        return;
    }
    let (_listener, address) = silent();
    // It is connecting for longer than all else takes.
    let options = docache_store_remote_options {
        connect_timeout_ns: 1_000_000_000,
        ..crate::remote::remote(DOCACHE_FORMAT_JSON)
    };
    let store = crate::remote::redis_with(&format!("redis://{address}"), &options);
    end_with("docache-redis", vec![store]);
}

#[cfg(feature = "nats")]
#[test]
fn a_shutdown_waits_for_the_threads_of_stores_in_nats() {
    if !is_apart("a_shutdown_waits_for_the_threads_of_stores_in_nats") {
        return;
    }
    let (_listener, address) = silent();
    let url = format!("nats://{address}");
    // Each leaves at once, but not all of them as fast as one looks.
    let stores = (0..32).map(|_| crate::remote::nats(&url)).collect();
    end_with("docache-nats", stores);
}
