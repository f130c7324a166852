//! One operation of docache or of a peer, done many times over, for `cargo xtask cost` to count
//! what it takes.
//!
//! `cost CASE SUBJECT` prepares what the case needs, does its operation within [`docache_cost`],
//! the function that callgrind is told to look at, and prints how often it did so.
//!
//! The same run each time: one thread calls, numbers and hashers have fixed seeds, all caches have
//! as many shards on all machines, and time goes by with the work that is done; see [`time`].

mod stores;
mod time;

use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use docache::{KeyedGroup, LoopCache};

use stores::{Docache, QuickCache, Store};

/// How often each operation is done; so many entries are hundreds of first-level caches full.
const OPERATIONS: u64 = 1 << 15;

/// Numbers that are used before the counting begins, and those from here on, which are not.
const FRESH: u64 = 1 << 32;

/// What callgrind counts: it looks for a function of this name.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn docache_cost(work: &mut Work<'_>) {
    (work.0)();
}

/// What is done in there.
struct Work<'w>(&'w mut dyn FnMut());

/// Does nothing with a result, which the compiler does not know.
#[inline]
fn keep<T>(result: T) {
    black_box(result);
}

fn count(mut operation: impl FnMut(u64)) {
    docache_cost(&mut Work(&mut || (0..OPERATIONS).for_each(&mut operation)));
}

/// The key of a number.
#[inline]
fn key(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The numbers below [`OPERATIONS`], each once, in another order: neighbours are far apart.
#[inline]
fn scattered(turn: u64) -> u64 {
    turn.wrapping_mul(0x9e37_79b1) % OPERATIONS
}

/// A store that holds the keys of the numbers below [`OPERATIONS`].
fn filled<S: Store>(capacity: u64) -> S {
    let store = S::new(capacity);
    (0..OPERATIONS).for_each(|number| store.insert(key(number), number));
    store
}

/// The cases of a cache. Where entries are added without one having to go, its growth is part of
/// the cost.
fn store<S: Store>(case: &str) -> Result<(), Box<dyn Error>> {
    let (roomy, absent) = (4 * OPERATIONS, |turn| key(FRESH + turn));
    match case {
        "get-hit" => {
            let store = filled::<S>(roomy);
            count(|turn| keep(store.get(key(scattered(turn)))));
        }
        "get-miss" => {
            let store = filled::<S>(roomy);
            count(|turn| keep(store.get(absent(turn))));
        }
        "insert-new" => {
            let store = filled::<S>(roomy);
            count(|turn| store.insert(absent(turn), turn));
        }
        "insert-evict" => {
            let store = filled::<S>(OPERATIONS);
            (0..OPERATIONS).for_each(|turn| store.insert(key(OPERATIONS + turn), turn));
            count(|turn| store.insert(absent(turn), turn));
        }
        "replace" => {
            let store = filled::<S>(roomy);
            (0..OPERATIONS).for_each(|turn| store.insert(key(turn), turn));
            count(|turn| store.insert(key(scattered(turn)), turn));
        }
        "remove" => {
            let store = filled::<S>(roomy);
            count(|turn| keep(store.remove(key(scattered(turn)))));
        }
        "fetch-hit" => {
            let store = filled::<S>(roomy);
            count(|turn| keep(store.fetch(key(scattered(turn)))));
        }
        "fetch-miss" => {
            let store = filled::<S>(roomy);
            count(|turn| keep(store.fetch(absent(turn))));
        }
        _ => return Err(format!("there is no case {case} of a cache").into()),
    }
    Ok(())
}

/// One caller's runs, under a thousand keys in turn.
fn flights(fly: impl Fn(u64)) {
    (0..1024).for_each(&fly);
    count(|turn| fly(turn % 1024));
}

/// The latest value, with its time.
fn latest() -> Result<(), Box<dyn Error>> {
    let cache = LoopCache::builder(|| Ok::<u64, std::convert::Infallible>(1))
        .interval(Duration::from_secs(3600))
        .build()?;
    cache.start()?;
    cache.wait_first(None)?;
    count(|_| keep(cache.latest().map(|reading| (*reading, reading.timestamp()))));
    Ok(())
}

fn run(case: &str, subject: &str) -> Result<(), Box<dyn Error>> {
    match (case, subject) {
        ("flight", "docache") => {
            let group = KeyedGroup::<u64, u64>::new();
            flights(|key| keep(group.run(&key, || black_box(key))));
        }
        ("flight", "singleflight-async") => {
            let group = singleflight_async::SingleFlight::<u64, u64>::new();
            flights(|key| {
                black_box(stores::ready(group.work(key, || async move { black_box(key) })));
            });
        }
        ("latest", "docache") => latest()?,
        ("latest", "arc-swap") => {
            let swap = arc_swap::ArcSwap::from_pointee((1_u64, std::time::SystemTime::now()));
            count(|_| keep(**swap.load()));
        }
        (_, "docache") => store::<Docache>(case)?,
        (_, "quick_cache") => store::<QuickCache>(case)?,
        _ => return Err(format!("{subject} does not do {case}").into()),
    }
    println!("{OPERATIONS}");
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match &words[..] {
        [case, subject] => run(case, subject),
        _ => Err("usage: cost CASE SUBJECT".into()),
    };
    if let Err(error) = outcome {
        eprintln!("cost: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
