//! What happens when the process that holds a lock is killed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use docache::Context;
use docache::echo::{EchoCache, Status, Within};

use crate::server::Server;
use crate::wire::Wire;
use crate::{LONG, store};

const TTL: Duration = Duration::from_millis(400);
/// How many holders are killed, if not 5.
const KILLS: &str = "DOCACHE_TEST_KILLS";
const URL: &str = "DOCACHE_TEST_HOLDER_URL";
const KEY: &str = "app.3c6e0b8a9c15224a8228b9a98ca1531d";
const LOCK: &str = "app.769ae7543abb0cceb363025017590909";

type Echo = EchoCache<docache::echo::NatsStore, u32, String>;

fn cache(url: &str) -> Echo {
    EchoCache::builder(store(url, "b"))
        .lock_ttl(TTL)
        // However slow the machine is: nobody loads beside a holder.
        .lock_wait(LONG)
        .store_budget(LONG)
        .on_warning(|warning| eprintln!("{warning}"))
        .build()
        .unwrap()
}

/// The child: takes the lock, says so, and loads for ever.
#[test]
fn holder() {
    let Ok(url) = std::env::var(URL) else { return };
    let load = || {
        println!("HOLDS");
        std::thread::sleep(Duration::from_secs(60));
        Err("the child was not killed".into())
    };
    cache(&url).fetch("key", load).unwrap();
}

/// Kills a holder and has four others fetch. How long the takeover took.
fn kill_one(server: &Server, round: u64) -> Duration {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holders::holder", "--nocapture"])
        .env(URL, server.url())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let holds = lines.map_while(Result::ok).any(|line| line.contains("HOLDS"));
    assert!(holds, "the child has not taken the lock");
    let mut wire = Wire::connect(server.port());
    let first = wire.get("b", LOCK).unwrap();
    wire.wait_for("it is renewed", |wire| {
        wire.get("b", LOCK).unwrap().header("Nats-Sequence") != first.header("Nats-Sequence")
    });
    let caches: Vec<Echo> = (0..4).map(|_| cache(&server.url())).collect();
    let context = Context::background();
    caches.iter().for_each(|cache| cache.store().ping(&Within::new(&context, LONG)).unwrap());
    // At different moments between two renewals.
    std::thread::sleep(Duration::from_millis(37 * round));
    child.kill().unwrap();
    child.wait().unwrap();
    let (killed, loads, loaded) = (Instant::now(), AtomicUsize::new(0), AtomicUsize::new(0));
    let took = std::thread::scope(|scope| {
        let threads: Vec<_> = caches
            .iter()
            .map(|cache| {
                let (loads, loaded) = (&loads, &loaded);
                scope.spawn(move || {
                    let mut took = Duration::ZERO;
                    let load = || {
                        took = killed.elapsed();
                        loads.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(50));
                        Ok(7)
                    };
                    let fetched = cache.fetch("key", load).unwrap();
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
    assert_eq!(wire.value("b", KEY).as_deref(), Some("7"));
    assert_eq!(wire.value("b", LOCK), None);
    wire.put_with("b", KEY, &[("KV-Operation", "DEL")], b"");
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
