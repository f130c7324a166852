//! What happens when the process that holds a lock is killed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use docache::echo::{EchoCache, Status};

use crate::server::Server;
use crate::{LONG, store};

const TTL: Duration = Duration::from_millis(400);
/// How many holders are killed, if not 5.
const KILLS: &str = "DOCACHE_TEST_KILLS";
const PORT: &str = "DOCACHE_TEST_HOLDER_PORT";

type Echo = EchoCache<docache::echo::RedisStore, u32, String>;

fn cache(port: u16) -> Echo {
    EchoCache::builder(store(port)).lock_ttl(TTL).store_budget(LONG).build().unwrap()
}

/// The child: takes the lock, says so, and loads for ever.
#[test]
fn holder() {
    let Ok(port) = std::env::var(PORT) else { return };
    let load = || {
        println!("HOLDS");
        std::thread::sleep(Duration::from_secs(60));
        Err("the child was not killed".into())
    };
    cache(port.parse().unwrap()).fetch("key", load).unwrap();
}

/// Kills a holder and has four others fetch. How long the takeover took.
fn kill_one(server: &Server, round: u64) -> Duration {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holders::holder", "--nocapture"])
        .env(PORT, server.port().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let holds = lines.map_while(Result::ok).any(|line| line.contains("HOLDS"));
    assert!(holds, "the child has not taken the lock");
    // At different moments between two renewals.
    std::thread::sleep(Duration::from_millis(37 * round));
    assert!(server.client().text("app:lock:key").is_some(), "it is renewed");
    child.kill().unwrap();
    child.wait().unwrap();
    let (killed, loads, loaded) = (Instant::now(), AtomicUsize::new(0), AtomicUsize::new(0));
    let took = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut took = Duration::ZERO;
                    let load = || {
                        took = killed.elapsed();
                        loads.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(50));
                        Ok(7)
                    };
                    let fetched = cache(server.port()).fetch("key", load).unwrap();
                    assert_eq!(fetched.value, 7);
                    if fetched.status == Status::Loaded {
                        loaded.fetch_add(1, Ordering::SeqCst);
                    }
                    took
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    });
    assert_eq!((loads.into_inner(), loaded.into_inner()), (1, 1), "one takes over");
    let mut client = server.client();
    assert_eq!(client.text("app:key").as_deref(), Some("7"));
    assert_eq!(client.text("app:lock:key"), None);
    client.ask(&["FLUSHALL"]);
    took
}

#[test]
fn of_those_who_wait_for_a_holder_that_is_killed_one_takes_over() {
    let server = Server::start();
    let kills = std::env::var(KILLS).map_or(5, |kills| kills.parse().unwrap());
    let took: Vec<_> = (0..kills).map(|round| kill_one(&server, round % 8)).collect();
    println!("takeovers after {took:?}");
    let best = took.iter().min().unwrap();
    assert!(*best <= TTL + Duration::from_millis(250), "{took:?}");
}
