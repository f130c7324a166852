//! Ten thousand loops, each of which publishes a value every 100 ms: how late their calls begin,
//! what that costs of a processor, and how often a thread wakes up for it.
//!
//! All subjects are at it for the same time, one after the other. Ours publish into their loop
//! caches, tokio's tasks into an `ArcSwap` each.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use docache::run::Scheduler;
use docache::{LoopCache, Schedule};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval};

use crate::harness::{Bench, median};
use crate::verdict::Row;

const LOOPS: usize = 10_000;
/// So many where each has a thread of its own: with all of them the machine does nothing else for
/// minutes.
const THREADS: usize = 1_000;
const WORKERS: usize = 2;
const PERIOD: Duration = Duration::from_millis(100);
/// A loop begins this long after the one before, so that all of them are spread over a period.
const STAGGER: Duration = Duration::from_micros(8);
/// What loops do before they are measured.
const SETTLE: Duration = Duration::from_millis(400);

/// How late calls began, in steps of [`STEP`].
static LATE: [AtomicU64; 8192] = [const { AtomicU64::new(0) }; 8192];
const STEP: Duration = Duration::from_micros(20);

/// Notes how late a call begins that was due then.
fn note(due: Instant) -> Duration {
    let late = due.elapsed();
    let step = usize::try_from(late.as_nanos() / STEP.as_nanos()).unwrap_or(usize::MAX);
    LATE[step.min(LATE.len() - 1)].fetch_add(1, Ordering::Relaxed);
    late
}

/// The latenesses below which half and nearly all calls are, in microseconds.
fn take_lateness() -> (f64, f64) {
    let counts: Vec<u64> = LATE.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect();
    let all: u64 = counts.iter().sum();
    let below = |share: f64| {
        let mut left = (all as f64 * share) as u64;
        let step = counts.iter().position(|count| {
            let is_here = left < *count;
            left = left.saturating_sub(*count);
            is_here
        });
        step.unwrap_or(0) as f64 * STEP.as_secs_f64() * 1e6
    };
    (below(0.5), below(0.99))
}

/// What the threads of this process, also those that have ended, have used of processors, in
/// seconds, and how often they have waited.
fn used() -> nix::Result<(f64, f64)> {
    let used = getrusage(UsageWho::RUSAGE_SELF)?;
    let time = used.user_time() + used.system_time();
    Ok((time.num_microseconds() as f64 / 1e6, used.voluntary_context_switches() as f64))
}

/// What one subject did in one round.
struct Round {
    p50: f64,
    p99: f64,
    /// Of one processor.
    cpu: f64,
    wakes: f64,
}

/// Measures what is under way.
fn watch(span: Duration) -> nix::Result<Round> {
    thread::sleep(SETTLE);
    take_lateness();
    let (before, start) = (used()?, Instant::now());
    thread::sleep(span);
    let (after, took) = (used()?, start.elapsed().as_secs_f64());
    let (p50, p99) = take_lateness();
    Ok(Round { p50, p99, cpu: (after.0 - before.0) / took, wakes: (after.1 - before.1) / took })
}

/// A loop cache that says how late it is, counted from when it was started.
fn loop_cache(on: Option<&Scheduler>) -> docache::Result<(LoopCache<u64>, Arc<OnceLock<Instant>>)> {
    let begun = Arc::new(OnceLock::new());
    let (theirs, mut due) = (begun.clone(), None);
    let doer = move || {
        let this = due.unwrap_or_else(|| *theirs.get_or_init(Instant::now));
        // After a stall a loop is called once, and then goes on in its rhythm.
        let missed = note(this).as_nanos() / PERIOD.as_nanos();
        due = Some(this + PERIOD * u32::try_from(missed).unwrap_or(0).max(1));
        Ok::<_, std::io::Error>(7)
    };
    let builder = LoopCache::builder(doer).interval(PERIOD).schedule(Schedule::FixedRate);
    let cache = match on {
        Some(scheduler) => builder.scheduler(scheduler).build()?,
        None => builder.build()?,
    };
    Ok((cache, begun))
}

/// Starts as many loops as there are to be, or may be.
fn start_all(on: Option<&Scheduler>) -> docache::Result<Vec<LoopCache<u64>>> {
    let mut started = Vec::new();
    for i in 0..if on.is_some() { LOOPS } else { THREADS } {
        let (cache, begun) = loop_cache(on)?;
        let _ = begun.set(Instant::now());
        if let Err(error) = cache.start() {
            if on.is_none() && error.is_internal() {
                // The system gives no more threads.
                break;
            }
            return Err(error);
        }
        started.push(cache);
        stagger(i);
    }
    Ok(started)
}

fn stagger(i: usize) {
    if i % 128 == 127 {
        thread::sleep(STAGGER * 128);
    }
}

fn docache(span: Duration, blocks: bool) -> Result<Round, Box<dyn Error>> {
    let scheduler = Scheduler::builder().workers(WORKERS).build()?;
    let started = start_all(Some(&scheduler))?;
    let over = Arc::new(AtomicBool::new(!blocks));
    let theirs = over.clone();
    scheduler.schedule_after(Duration::ZERO, move || {
        while !theirs.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
    })?;
    let round = watch(span)?;
    over.store(true, Ordering::Relaxed);
    drop(started);
    scheduler.shutdown();
    Ok(round)
}

fn threads(span: Duration) -> Result<(Round, usize), Box<dyn Error>> {
    let started = start_all(None)?;
    let round = watch(span)?;
    started.iter().for_each(LoopCache::stop);
    Ok((round, started.len()))
}

fn tokio(span: Duration) -> Result<Round, Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_time().build()?;
    for i in 0..LOOPS {
        runtime.spawn(async move {
            let place = ArcSwap::from_pointee(0_u64);
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                note(ticks.tick().await.into_std());
                place.store(Arc::new(7));
            }
        });
        stagger(i);
    }
    let round = watch(span)?;
    runtime.shutdown_background();
    Ok(round)
}

/// Measures all subjects.
pub(super) fn measure(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    if !bench.wants_any("loops") {
        return Ok(());
    }
    let (rounds, span) =
        if bench.plan().rounds < 50 { (2, Duration::from_secs(1)) } else { (7, PERIOD * 50) };
    eprintln!("{} loops, {rounds} rounds", bench.family());
    let mut all: [Vec<Round>; 4] = Default::default();
    for _ in 0..rounds {
        all[0].push(docache(span, false)?);
        all[1].push(tokio(span)?);
        all[2].push(docache(span, true)?);
    }
    let (round, count) = threads(span)?;
    all[3].push(round);
    bench.record_in("loops", WORKERS, "docache_threads", count as f64, "loops");
    let subjects = ["docache", "tokio", "docache_one_blocked", "docache_threads"];
    for (subject, rounds) in subjects.into_iter().zip(&all) {
        let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
        bench.record_in("loops-p50", WORKERS, subject, of(|round| round.p50), "us");
        bench.record_in("loops-p99", WORKERS, subject, of(|round| round.p99), "us");
        bench.record_in("loops-cpu", WORKERS, subject, of(|round| round.cpu), "processors");
        bench.record_in("loops-wakeups", WORKERS, subject, of(|round| round.wakes), "1/s");
    }
    Ok(())
}

/// What the contract asks of them.
pub(super) fn contract(bench: &Bench) -> Vec<Row> {
    let value = |case, subject| bench.value(case, WORKERS, subject);
    let (late, cpu) = (value("loops-p99", "docache"), value("loops-cpu", "docache"));
    let blocked = value("loops-p99", "docache_one_blocked");
    let of_tokio = |case, share: f64| value(case, "tokio").map(|tokio| share * tokio);
    vec![
        Row::at_most("loops-p99", WORKERS, late, of_tokio("loops-p99", 1.0), "tokio"),
        Row::at_most("loops-p99", WORKERS, late, late.map(|_| 5_000.0), "5 ms when idle"),
        Row::at_most("loops-cpu", WORKERS, cpu, of_tokio("loops-cpu", 0.8), "0.8 x tokio"),
        Row::at_most(
            "loops-p99, one blocked",
            WORKERS,
            blocked,
            late.map(|late| 1.5 * late),
            "1.5 x with none blocked",
        ),
    ]
}
