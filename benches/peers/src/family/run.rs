//! What work is scheduled with: `timer`, an alarm that is set and taken back, as most timeouts are;
//! `retry`, attempts that fail and are made again without a delay; `loops-…`, ten thousand loops on
//! two threads.

mod loops;

use std::error::Error;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use backon::{BlockingRetryable, ConstantBuilder};
use docache::run::Retry;
use docache::{Clock, SystemClock};
use tokio::runtime::{Builder, Handle};

use crate::harness::{Bench, Subject};
use crate::verdict::Row;

/// Timers are set by one thread alone, and beside another.
const THREADS: [usize; 2] = [1, 2];

/// Measures all cases.
pub(crate) fn measure(bench: &mut Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    for threads in THREADS {
        timer(bench, threads)?;
    }
    retry(bench);
    loops::measure(bench)?;
    Ok(contract(bench))
}

/// How far ahead the `n`-th timer is: from an hour down to a minute.
fn span(n: u64) -> Duration {
    Duration::from_secs(3600 - n % 3540)
}

/// Sets timers and takes each back, on one wheel for all threads. `tokio_own` has a runtime, and so
/// a wheel, for each thread.
fn timer(bench: &mut Bench, threads: usize) -> Result<(), Box<dyn Error>> {
    let runtime = || Builder::new_current_thread().enable_time().build();
    let shared = runtime()?;
    let subjects = [
        Subject::new("docache", |n| {
            for i in 0..n {
                let at = SystemClock.now().after(span(i));
                drop(black_box(SystemClock.alarm(at, Waker::noop().clone())));
            }
        }),
        Subject::new("tokio", |n| sleeps(shared.handle(), n)),
        Subject::prepared(
            "tokio_own",
            |_| runtime(),
            |runtime, n| {
                if let Ok(runtime) = runtime {
                    sleeps(runtime.handle(), n);
                }
            },
        ),
    ];
    bench.case("timer", threads, &subjects);
    if threads == 1 && bench.wants("allocations") {
        bench.allocations("allocations", "timer", &subjects);
    }
    Ok(())
}

/// Polls sleeps once, so that they are on the wheel, and drops them.
fn sleeps(handle: &Handle, n: u64) {
    let _entered = handle.enter();
    let mut context = Context::from_waker(Waker::noop());
    for i in 0..n {
        let sleep = pin!(tokio::time::sleep(span(i)));
        assert!(black_box(sleep.poll(&mut context)).is_pending());
    }
}

/// How often an attempt is made; the last one succeeds.
const ATTEMPTS: u64 = 8;

/// What a retry costs for each of its attempts, beside the attempt.
fn retry(bench: &mut Bench) {
    fn attempt(made: &mut u64) -> Result<u64, u64> {
        *made = black_box(*made + 1);
        if made.is_multiple_of(ATTEMPTS) { Ok(*made) } else { Err(*made) }
    }
    let subjects = [
        Subject::new("docache", |n| {
            let (policy, mut made) = (Retry::new().max_attempts(ATTEMPTS), 0);
            for _ in 0..n.div_ceil(ATTEMPTS) {
                let _ = black_box(policy.run(|_| attempt(&mut made)));
            }
        }),
        Subject::new("backon", |n| {
            let policy = ConstantBuilder::default().with_delay(Duration::ZERO);
            let (policy, mut made) = (policy.with_max_times(ATTEMPTS as usize), 0);
            for _ in 0..n.div_ceil(ATTEMPTS) {
                let _ = black_box((|| attempt(&mut made)).retry(policy).call());
            }
        }),
    ];
    bench.case("retry", 1, &subjects);
}

fn contract(bench: &Bench) -> Vec<Row> {
    let mut rows: Vec<Row> = THREADS
        .iter()
        .map(|&threads| {
            let value = |subject| bench.value("timer", threads, subject);
            let limit = value("tokio").map(|tokio| 0.7 * tokio);
            Row::at_most("timer", threads, value("docache"), limit, "0.7 x tokio")
        })
        .collect();
    let allocations = bench.value("allocations", 1, "docache_timer");
    let limit = allocations.map(|_| 0.0);
    rows.push(Row::at_most("allocations timer", 1, allocations, limit, "none"));
    rows.extend(loops::contract(bench));
    rows
}
