//! How often several processes load one value that they all fetch all the time: once per interval,
//! ideally. The control grants every process its lock.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use docache::echo::codec::LazyJson;
use docache::echo::{LazyEchoCache, RedisStore, Store};

use super::server::Server;
use crate::harness::Bench;

#[path = "../../../../../tests/common/lockless.rs"]
mod lockless;
use lockless::Lockless;

const PROCESSES: usize = 4;
const THREADS: usize = 8;
/// All of them.
pub(super) const CALLERS: usize = PROCESSES * THREADS;
/// How many intervals there are.
pub(super) const IDEAL: f64 = 10.0;
const LOAD: Duration = Duration::from_millis(20);
/// Between two fetches of a thread.
const PAUSE: Duration = Duration::from_millis(1);

/// Counts the loads with the lock and without.
pub(super) fn measure(bench: &mut Bench, server: &Server) -> Result<(), Box<dyn Error>> {
    if !bench.wants("refreshes") {
        return Ok(());
    }
    let span = bench.plan().refreshes;
    for (subject, locks) in [("docache", true), ("docache_without_lock", false)] {
        eprintln!("{} refreshes, {PROCESSES} processes, {span:?}, {subject}", bench.family());
        let loads = loads(&server.url(), subject, locks, span)?;
        bench.record_in("refreshes", CALLERS, subject, loads as f64, "loads");
    }
    Ok(())
}

fn loads(url: &str, prefix: &str, locks: bool, span: Duration) -> Result<u64, Box<dyn Error>> {
    let told = format!("{url} {prefix} {locks} {}", span.as_millis());
    let mut callers =
        (0..PROCESSES).map(|_| Caller::start(&told)).collect::<Result<Vec<_>, _>>()?;
    for caller in &mut callers {
        caller.expect_line()?;
    }
    for caller in &mut callers {
        writeln!(caller.input)?;
    }
    let mut loads = 0;
    for caller in &mut callers {
        loads += caller.expect_line()?.parse::<u64>()?;
    }
    Ok(loads)
}

/// One of the processes. It is ended with its owner.
struct Caller {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Caller {
    fn start(told: &str) -> Result<Caller, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["echo", "--caller", told])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or("a process without pipes")?;
        Ok(Caller { child, input, output: BufReader::new(output) })
    }

    fn expect_line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("one of the processes has failed".into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // One that has ended already is none to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one of the processes does: says that it is ready, waits for a line, fetches for a while,
/// and says how often it loaded.
pub(crate) fn call_as_told(told: &str) -> Result<(), Box<dyn Error>> {
    let words: Vec<&str> = told.split(' ').collect();
    let [url, prefix, locks, millis] = words[..] else {
        return Err(format!("told {told:?}").into());
    };
    let span = Duration::from_millis(millis.parse()?);
    let store = RedisStore::builder(url).prefix(prefix).codec(LazyJson).build()?;
    let loads = match locks.parse()? {
        true => call(store, span),
        false => call(Lockless(store), span),
    }?;
    println!("{loads}");
    Ok(())
}

fn call<S: Store<u64> + 'static>(store: S, span: Duration) -> Result<u64, Box<dyn Error>> {
    let cache: LazyEchoCache<S, u64, String> = LazyEchoCache::builder(store)
        .refresh_after(span.div_f64(IDEAL))
        .expires(10 * span)
        .store_budget(span)
        .build()?;
    println!("ready");
    std::io::stdin().read_line(&mut String::new())?;
    let (start, loads) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let fetch = || {
        while start.elapsed() < span {
            let loads = loads.clone();
            let work = move || {
                thread::sleep(LOAD);
                Ok(loads.fetch_add(1, Ordering::Relaxed))
            };
            cache.fetch("report", work).map_err(|error| error.to_string())?;
            thread::sleep(PAUSE);
        }
        Ok::<(), String>(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(fetch)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect::<Result<Vec<()>, String>>()
    })?;
    cache.shutdown(10 * LOAD);
    Ok(loads.load(Ordering::Relaxed))
}
