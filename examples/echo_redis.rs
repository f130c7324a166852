//! Two processes, one memo: both ask for the same report all the time, it gets old every 300 ms,
//! and whichever notices first loads it anew for both. Nobody waits for that but the first.
//!
//! `cargo run --release --features redis --example echo_redis [redis://127.0.0.1:6379/]`
//!
//! The URL may also stand in `REDIS_URL`. It takes about four seconds.

use std::error::Error;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use docache::Context;
use docache::echo::codec::LazyJson;
use docache::echo::{LazyEchoCache, RedisStore, Status, Store, Within};

const RUNS: Duration = Duration::from_secs(3);
const FRESH: Duration = Duration::from_millis(300);
const LOAD: Duration = Duration::from_millis(40);

fn store(url: &str, prefix: &str) -> docache::Result<RedisStore<LazyJson>> {
    RedisStore::builder(url).prefix(prefix).codec(LazyJson).build()
}

/// What one of the processes has seen.
#[derive(Default)]
struct Seen {
    fetches: usize,
    stale: usize,
    loads: usize,
    slowest: Duration,
}

/// One of the two: fetches for a while, and says what it saw.
fn work(url: &str, prefix: &str) -> Result<Seen, Box<dyn Error>> {
    let reports: LazyEchoCache<_, String, std::io::Error> =
        LazyEchoCache::builder(store(url, prefix)?)
            .refresh_after(FRESH)
            .expires(10 * FRESH)
            .stale_until(20 * FRESH)
            .build()?;
    let (mut seen, start, loads) = (Seen::default(), Instant::now(), Arc::new(AtomicUsize::new(0)));
    while start.elapsed() < RUNS {
        let (begun, counter) = (Instant::now(), loads.clone());
        let fetched = reports.fetch("report", move || {
            counter.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(LOAD); // a database that takes its time
            Ok(format!("the report of process {}", std::process::id()))
        })?;
        seen.slowest = seen.slowest.max(begun.elapsed());
        seen.fetches += 1;
        seen.stale += usize::from(matches!(fetched.status, Status::Stale { .. }));
        std::thread::sleep(Duration::from_millis(1));
    }
    reports.shutdown(Duration::from_secs(1));
    seen.loads = loads.load(Ordering::Relaxed);
    Ok(seen)
}

fn show(url: &str) -> Result<(), Box<dyn Error>> {
    let prefix = format!("docache-example-{}", std::process::id());
    let context = Context::background();
    // So that it is known at once whether there is a server.
    let store = store(url, &prefix)?;
    let within = Within::new(&context, Duration::from_secs(2));
    Store::<String>::remove(&store, "report", &within)?;

    println!("two processes fetch one report, which gets old every {} ms:\n", FRESH.as_millis());
    let program = std::env::current_exe()?;
    let spawn = || Command::new(&program).args([url, &prefix]).stdout(Stdio::piped()).spawn();
    let mut total = 0;
    println!("process   fetches     stale     loads   slowest");
    for (index, child) in [spawn()?, spawn()?].into_iter().enumerate() {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err("a process failed".into());
        }
        let line = String::from_utf8(output.stdout)?;
        let figures: Vec<&str> = line.split_whitespace().collect();
        let [fetches, stale, loads, slowest] = figures[..] else {
            return Err(format!("a process said {line:?}").into());
        };
        println!("{:>7}{fetches:>10}{stale:>10}{loads:>10}{slowest:>7} ms", index + 1);
        total += loads.parse::<usize>()?;
    }
    let ideal = RUNS.as_millis() / (FRESH + LOAD).as_millis() + 1;
    println!("\n{total} loads by both together; alone, each would have made about {ideal}");
    Store::<String>::remove(&store, "report", &Within::new(&context, Duration::from_secs(2)))?;
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let url = arguments
        .next()
        .or_else(|| std::env::var("REDIS_URL").ok())
        .unwrap_or_else(|| "redis://127.0.0.1:6379/".into());
    let result = match arguments.next() {
        // It is one of the two.
        Some(prefix) => work(&url, &prefix).map(|seen| {
            let Seen { fetches, stale, loads, slowest } = seen;
            println!("{fetches} {stale} {loads} {}", slowest.as_millis());
        }),
        None => show(&url),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            eprintln!("start a server with `redis-server`, or name one: echo_redis redis://host/");
            ExitCode::FAILURE
        }
    }
}
