//! The store's thread, as the process sees it.

use std::time::{Duration, Instant};

use docache::echo::{AsyncStore, Found, Life, Store};

use crate::server::Server;
use crate::{Texts, store};

/// The threads of this process with the store's name, and which signals they block.
#[cfg(target_os = "linux")]
fn threads() -> Vec<u64> {
    let folders = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let named = folders.filter_map(|folder| {
        let name = std::fs::read_to_string(folder.join("comm")).ok()?;
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
        let blocked = u64::from_str_radix(line.trim(), 16).unwrap();
        (name.trim() == "docache-nats").then_some(blocked)
    });
    named.collect()
}

#[cfg(target_os = "linux")]
fn are(wanted: usize) {
    let start = Instant::now();
    while threads().len() != wanted {
        assert!(start.elapsed() < Duration::from_secs(10), "{} threads", threads().len());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Other tests of this program have stores of their own, so this one is run by itself.
#[test]
#[cfg(target_os = "linux")]
fn one_thread_from_the_first_call_until_the_store_is_dropped() {
    if !alone("host::one_thread_from_the_first_call_until_the_store_is_dropped") {
        return;
    }
    let server = Server::start();
    let texts = Texts::new(&server.url(), "b");
    are(0);
    texts.put("key", "value", Life::FOREVER);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(texts.get("key").as_deref(), Some("value")));
        }
    });
    are(1);
    let blocks = |signal: i32| threads()[0] >> (signal - 1) & 1 == 1;
    assert!([libc::SIGTERM, libc::SIGINT, libc::SIGCHLD].into_iter().all(blocks));
    assert!(![libc::SIGSEGV, libc::SIGFPE].into_iter().any(blocks));
    let same = texts.0.clone();
    drop(texts);
    are(1);
    drop(same);
    are(0);
    // One that is always trying to connect ends, too.
    let away = store("nats://127.0.0.1:1", "b");
    let context = docache::Context::background();
    let within = docache::echo::Within::new(&context, Duration::from_secs(5));
    assert!(away.ping(&within).is_err());
    are(1);
    drop(away);
    are(0);
}

/// Whether this is a process that runs the named test and no other; if not, starts that.
#[cfg(target_os = "linux")]
fn alone(test: &str) -> bool {
    const ALONE: &str = "DOCACHE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new(program);
    let output = child.args(["--exact", test]).env(ALONE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

#[test]
#[cfg(target_os = "linux")]
fn the_child_of_a_fork_connects_anew_and_leaves_its_parents_connection_alone() {
    if !alone("host::the_child_of_a_fork_connects_anew_and_leaves_its_parents_connection_alone") {
        return;
    }
    let server = Server::start();
    let texts = Texts::new(&server.url(), "b");
    texts.put("key", "value", Life::FOREVER);
    let mut texts = Some(texts);
    // SAFETY: the child does what a child of a fork may do with the store, and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let works = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let texts = texts.take().unwrap();
            assert_eq!(texts.get("key").as_deref(), Some("value"));
            texts.put("child", "value", Life::FOREVER);
        }));
        // SAFETY: it ends the process.
        unsafe { libc::_exit(i32::from(works.is_err())) };
    }
    let texts = texts.unwrap();
    assert_eq!(texts.get("key").as_deref(), Some("value"));
    let mut status = -1;
    // SAFETY: the child is ours, and the place for its status too.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(texts.get("child").as_deref(), Some("value"));
    assert_eq!(texts.get("key").as_deref(), Some("value"));
}

#[test]
fn tasks_of_any_executor_can_call_it() {
    let server = Server::start();
    let texts = Texts::new(&server.url(), "b");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let value = "value".to_owned();
        texts.0.put_async("key", &value, Life::FOREVER, &texts.within()).await.unwrap();
        let found = texts.0.get_async("key", &texts.within()).await.unwrap();
        assert_eq!(found.map(|found: Found<String>| found.value), Some(value));
    });
    let found = Store::<String>::get(&texts.0, "key", &texts.within()).unwrap();
    assert_eq!(found.unwrap().value, "value");
}
