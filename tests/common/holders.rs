//! Processes that hold a lock and are killed: what the tests of the remote stores have in common.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use docache::echo::{EchoCache, Status, Store};

pub(crate) const TTL: Duration = Duration::from_millis(400);
/// How many holders are killed, if not 5.
const KILLS: &str = "DOCACHE_TEST_KILLS";

/// The child: takes the lock, says so, and loads for ever.
pub(crate) fn hold<S>(cache: &EchoCache<S, u32, String>)
where
    S: Store<u32> + Send + Sync + 'static,
{
    let load = || {
        println!("HOLDS");
        std::thread::sleep(Duration::from_secs(60));
        Err("the child was not killed".into())
    };
    cache.fetch("key", load).unwrap();
}

/// Starts this program's test `holders::holder`, and waits until it holds the lock.
pub(crate) fn start_holder(env: &str, value: String) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holders::holder", "--nocapture"])
        .env(env, value)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let holds = lines.map_while(Result::ok).any(|line| line.contains("HOLDS"));
    assert!(holds, "the child has not taken the lock");
    child
}

/// Kills a holder and has four others fetch, each with a cache of its own. How long the takeover
/// took.
pub(crate) fn take_over<S>(
    mut holder: Child,
    cache: impl Fn(usize) -> EchoCache<S, u32, String> + Sync,
) -> Duration
where
    S: Store<u32> + Send + Sync + 'static,
{
    holder.kill().unwrap();
    holder.wait().unwrap();
    let (killed, loads, loaded) = (Instant::now(), AtomicUsize::new(0), AtomicUsize::new(0));
    let took = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (cache, loads, loaded) = (&cache, &loads, &loaded);
                scope.spawn(move || {
                    let mut took = Duration::ZERO;
                    let load = || {
                        took = killed.elapsed();
                        loads.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(50));
                        Ok(7)
                    };
                    let fetched = cache(number).fetch("key", load).unwrap();
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
    took
}

/// Kills one holder after the other.
pub(crate) fn check(kill_one: impl Fn(u64) -> Duration) {
    let kills = std::env::var(KILLS).map_or(5, |kills| kills.parse().unwrap());
    let took: Vec<_> = (0..kills).map(|round| kill_one(round % 8)).collect();
    println!("takeovers after {took:?}");
    let best = took.iter().min().unwrap();
    assert!(*best <= TTL + Duration::from_millis(250), "{took:?}");
}
