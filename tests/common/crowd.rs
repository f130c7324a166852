//! Many threads of many processes share the refreshes of one value: what the tests of the remote
//! stores have in common.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use docache::echo::{LazyEchoCache, Store};

#[path = "lockless.rs"]
mod lockless;
use lockless::Lockless;

const URL: &str = "DOCACHE_TEST_CROWD_URL";
const BACKEND: &str = "DOCACHE_TEST_CROWD_BACKEND";
const LOCKLESS: &str = "DOCACHE_TEST_CROWD_LOCKLESS";

const PROCESSES: usize = 4;
const THREADS: usize = 8;
const INTERVAL: Duration = Duration::from_secs(1);
const LOAD: Duration = Duration::from_millis(20);
const SECONDS: u64 = 10;

/// What is asked for the value: it notes how often, and how many ask at the same time.
struct Backend {
    port: u16,
    asked: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Backend {
    fn start() -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, most, is_over) =
            <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let backend = Backend { port, asked, most, is_over };
        let (asked, most) = (backend.asked.clone(), backend.most.clone());
        let (is_over, now) = (backend.is_over.clone(), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                asked.fetch_add(1, Ordering::SeqCst);
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let now = now.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(LOAD);
                    now.fetch_sub(1, Ordering::SeqCst);
                    let _ = stream.write_all(b"7");
                });
            }
        });
        backend
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn load(port: u16) -> Result<u64, String> {
    let mut text = String::new();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    stream.read_to_string(&mut text).map_err(|error| error.to_string())?;
    text.parse().map_err(|_| format!("the backend says {text:?}"))
}

fn fetch_all<S: Store<u64> + 'static>(store: S, port: u16) {
    let cache: LazyEchoCache<_, u64, String> = LazyEchoCache::builder(store)
        .refresh_after(INTERVAL)
        .store_budget(Duration::from_secs(1))
        .build()
        .unwrap();
    let (cache, start) = (Arc::new(cache), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while start.elapsed() < Duration::from_secs(SECONDS) {
                    assert_eq!(*cache.fetch("key", move || load(port)).unwrap(), 7);
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
    });
    cache.shutdown(Duration::from_secs(10));
}

/// The work of one of the processes, which is a test of that name, with its store at a URL.
pub(crate) fn member<S: Store<u64> + 'static>(store: impl FnOnce(&str) -> S) {
    let Ok(url) = std::env::var(URL) else { return };
    let port = std::env::var(BACKEND).unwrap().parse().unwrap();
    let store = store(&url);
    match std::env::var_os(LOCKLESS) {
        Some(_) => fetch_all(Lockless(store), port),
        None => fetch_all(store, port),
    }
}

/// How often the backend was asked, and by how many at once, with a server at this URL.
fn crowd(member: &str, url: &str, lockless: bool) -> (usize, usize) {
    let backend = Backend::start();
    let members: Vec<_> = (0..PROCESSES)
        .map(|_| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", member, "--nocapture"]).env(URL, url);
            command.env(BACKEND, backend.port.to_string()).stdout(Stdio::null());
            if lockless {
                command.env(LOCKLESS, "1");
            }
            command.spawn().unwrap()
        })
        .collect();
    for mut member in members {
        assert!(member.wait().unwrap().success());
    }
    (backend.asked.load(Ordering::SeqCst), backend.most.load(Ordering::SeqCst))
}

/// With two servers that are new, runs the crowd, and the control without the lock.
pub(crate) fn check(member: &str, urls: [&str; 2]) {
    let (asked, most) = crowd(member, urls[0], false);
    println!("{asked} loads, at most {most} at once, where {SECONDS} are due");
    assert_eq!(most, 1);
    assert!((9..=11).contains(&asked), "{asked} loads in {SECONDS} s");
    let (control, _) = crowd(member, urls[1], true);
    println!("without the lock: {control}");
    assert!(control > asked, "{control} loads without the lock");
}
