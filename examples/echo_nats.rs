//! Two processes share a value through a NATS JetStream bucket: it is refreshed once a second, by
//! one of them, and both are served at once all the time.
//!
//! ```sh
//! nats-server -js &
//! cargo run --release --features nats --example echo_nats [URL]
//! ```

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use docache::Context;
use docache::echo::codec::LazyJson;
use docache::echo::{LazyEchoCache, NatsStore, StoreError, Within};

/// Set for the second process: the beginning of its keys, which it shares with the first.
const PREFIX: &str = "DOCACHE_EXAMPLE_PREFIX";

const RUN: Duration = Duration::from_secs(4);
const INTERVAL: Duration = Duration::from_secs(1);
/// How long it takes to have the value.
const LOAD: Duration = Duration::from_millis(50);

type Rates = LazyEchoCache<NatsStore<LazyJson>, u64, StoreError>;

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    if let Ok(prefix) = std::env::var(PREFIX) {
        println!("{}", run(open(&url, &prefix)?)?);
        return Ok(());
    }
    let prefix = format!("example-{}", std::process::id());
    let store = open(&url, &prefix)?;
    let context = Context::background();
    if let Err(error) = store.ping(&Within::new(&context, Duration::from_secs(2))) {
        eprintln!("{error}\nstart a server with `nats-server -js`, or name one: echo_nats URL");
        std::process::exit(1);
    }
    let other = Command::new(std::env::current_exe()?)
        .arg(&url)
        .env(PREFIX, &prefix)
        .stdout(Stdio::piped())
        .spawn()?;
    let ours = run(store)?;
    let theirs = other.wait_with_output()?;
    let theirs = String::from_utf8(theirs.stdout)?;
    table(&[&ours, theirs.trim()]);
    Ok(())
}

/// What is in the bucket is gone after a minute.
fn open(url: &str, prefix: &str) -> docache::Result<NatsStore<LazyJson>> {
    NatsStore::builder(url, "docache-example")
        .prefix(prefix)
        .bucket_ttl(Duration::from_secs(60))
        .codec(LazyJson)
        .build()
}

/// Fetches for a while. How many fetches there were, how many of them had a value at once, and how
/// often this process had to make it.
fn run(store: NatsStore<LazyJson>) -> Result<String, Box<dyn Error>> {
    let rates: Rates =
        LazyEchoCache::builder(store).refresh_after(INTERVAL).record_stats(true).build()?;
    let (start, mut fetches, mut slowest) = (Instant::now(), 0_u64, Duration::ZERO);
    while start.elapsed() < RUN {
        let fetched = Instant::now();
        rates.fetch("rate", || {
            std::thread::sleep(LOAD);
            Ok(7)
        })?;
        fetches += 1;
        // The first one is waited for.
        if start.elapsed() > INTERVAL {
            slowest = slowest.max(fetched.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    rates.shutdown(Duration::from_secs(1));
    let stats = rates.stats();
    let loads = stats.loads;
    Ok(format!("{fetches} {} {loads} {}", stats.hits + stats.stale_hits, slowest.as_micros()))
}

fn table(processes: &[&str]) {
    println!(
        "{:<10} {:>9} {:>15} {:>9} {:>14}",
        "process", "fetches", "served at once", "loads", "slowest (µs)"
    );
    let mut loads = 0;
    for (number, counts) in processes.iter().enumerate() {
        let counts: Vec<u64> = counts.split(' ').filter_map(|count| count.parse().ok()).collect();
        let [fetches, hits, loaded, slowest] = counts[..] else {
            println!("{:<10} did not come to its end", number + 1);
            continue;
        };
        loads += loaded;
        println!("{:<10} {fetches:>9} {hits:>15} {loaded:>9} {slowest:>14}", number + 1);
    }
    let seconds = RUN.as_secs();
    println!("{loads} loads in {seconds} s for both, where one a second is due.");
}
