//! What is looked at in a process of its own: threads, forks, TLS.

use std::process::Command;
use std::time::{Duration, Instant};

use docache::echo::{AsyncStore, Life, Store};

use crate::server::Server;
use crate::{LONG, call, store};

const APART: &str = "DOCACHE_TEST_APART";

/// Whether this is the process of its own of that test. If not, it is started, and has to pass.
fn is_apart(test: &str) -> bool {
    if std::env::var(APART).as_deref() == Ok(test) {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("apart::{test}"), "--nocapture"]).env(APART, test);
    assert!(command.status().unwrap().success(), "{test}");
    false
}

/// How many threads of the store there are, and that the host's signals are blocked in them.
#[cfg(target_os = "linux")]
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let statuses =
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok());
    let ours = statuses.filter(|status| status.starts_with("Name:\tdocache-redis\n"));
    ours.inspect(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        let blocked = u64::from_str_radix(line.trim(), 16).unwrap();
        assert_eq!(blocked >> (libc::SIGTERM - 1) & 1, 1, "{line}");
    })
    .count()
}

#[cfg(target_os = "linux")]
fn becomes(wanted: usize) {
    let start = Instant::now();
    while threads() != wanted {
        assert!(start.elapsed() < LONG, "there are {} threads", threads());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_thread_is_there_while_it_is_needed() {
    if !is_apart("a_thread_is_there_while_it_is_needed") {
        return;
    }
    let mut server = Server::start();
    let store = store(server.port());
    assert_eq!(threads(), 0, "nothing has been asked for");
    call(|within| store.put("key", &7, Life::FOREVER, within)).unwrap();
    assert!(threads() <= 1);
    becomes(0);
    call(|within| Store::<u32>::get(&store, "key", within)).unwrap();
    assert_eq!(threads(), 0, "a lone thread does it by itself");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let get = |within: &docache::echo::Within<'_>| {
        runtime.block_on(AsyncStore::<u32>::get_async(&store, "key", within)).map(drop)
    };
    call(get).unwrap();
    assert_eq!(threads(), 1);
    server.kill();
    let start = Instant::now();
    while call(get).is_ok() {
        assert!(start.elapsed() < LONG);
    }
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(threads(), 1, "it tries to connect");
    drop(store);
    becomes(0);
}

#[cfg(unix)]
#[test]
fn a_child_has_a_connection_of_its_own() {
    if !is_apart("a_child_has_a_connection_of_its_own") {
        return;
    }
    let server = Server::start();
    let store = store(server.port());
    let put = |value: u32| call(|within| store.put("key", &value, Life::FOREVER, within)).unwrap();
    let get = || call(|within| Store::<u32>::get(&store, "key", within)).unwrap().unwrap().value;
    put(1);
    for round in 0..5 {
        // Others use the connection at the moment of the fork.
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let busy = || {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    get();
                }
            };
            scope.spawn(busy);
            scope.spawn(busy);
            std::thread::sleep(Duration::from_millis(5));
            // SAFETY: the child calls nothing but the store, and leaves by `_exit`.
            let child = unsafe { libc::fork() };
            assert!(child >= 0);
            if child == 0 {
                // SAFETY: it ends a child that hangs.
                unsafe { libc::alarm(20) };
                let body = || {
                    get();
                    put(10 + round);
                    assert_eq!(get(), 10 + round);
                    drop(store.clone());
                };
                let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
                // SAFETY: it ends the child, and nothing of the parent's.
                unsafe { libc::_exit(i32::from(checked.is_err())) };
            }
            let mut status = 0;
            // SAFETY: the place for the status is ours.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(status, 0, "the child");
        });
        assert_eq!(get(), 10 + round, "the parent's connection works as before");
    }
}

/// Makes a certificate for this machine, signed by itself.
#[cfg(feature = "redis-tls")]
fn certificate(folder: &std::path::Path) {
    let made = Command::new("openssl")
        .current_dir(folder)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .stderr(std::process::Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "install openssl");
}

#[cfg(feature = "redis-tls")]
#[test]
fn a_server_with_tls() {
    use docache::echo::RedisStore;
    const FOLDER: &str = "DOCACHE_TEST_CERTIFICATE";
    if std::env::var(FOLDER).is_err() {
        let folder = std::env::temp_dir().join(format!("docache-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        certificate(&folder);
        let passed = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "apart::a_server_with_tls", "--nocapture"])
            .env(FOLDER, &folder)
            .env("SSL_CERT_FILE", folder.join("cert.pem"))
            .status();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(passed.unwrap().success());
        return;
    }
    let folder = std::path::PathBuf::from(std::env::var(FOLDER).unwrap());
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _server = Server::with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &file("cert.pem"),
        "--tls-key-file",
        &file("key.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    let store = RedisStore::new(format!("rediss://127.0.0.1:{port}/")).unwrap();
    let value = "0123456789".repeat(100_000);
    call(|within| store.put("key", &value, Life::FOREVER, within)).unwrap();
    for _ in 0..20 {
        let found = call(|within| Store::<String>::get(&store, "key", within)).unwrap();
        assert_eq!(found.unwrap().value, value);
    }
    goes_on_where_it_was(port);
    let plain = RedisStore::new(format!("redis://127.0.0.1:{port}/")).unwrap();
    assert!(call(|within| Store::<String>::get(&plain, "key", within)).is_err());
}

/// What the connection took and could not send at once is sent later, once.
#[cfg(feature = "redis-tls")]
fn goes_on_where_it_was(port: u16) {
    use crate::proxy::{Fault, Proxy};
    use docache::echo::{StoreErrorKind, Within};
    let proxy = Proxy::new(port);
    let url = format!("rediss://127.0.0.1:{}/", proxy.port());
    let store = docache::echo::RedisStore::new(url).unwrap();
    call(|within| store.put("small", &"small".to_owned(), Life::FOREVER, within)).unwrap();
    let value = "0123456789".repeat(1_200_000);
    proxy.set(Fault::Blackhole);
    let context = docache::Context::background();
    let within = Within::new(&context, Duration::from_millis(100));
    let error = store.put("large", &value, Life::FOREVER, &within).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout, "{error}");
    proxy.set(Fault::Pass);
    for (key, wanted) in [("small", "small"), ("large", &value)] {
        let found = call(|within| Store::<String>::get(&store, key, within)).unwrap();
        assert!(found.unwrap().value == wanted, "{key} is another");
    }
    assert_eq!(proxy.accepted(), 1);
}
