//! What alarms that are taken back before they ring cost: no memory when warm, and no wake-ups of
//! the thread that serves them.

mod common;

use common::allocations::{self, Counting};
use docache::{Clock, SystemClock};
use std::task::Waker;
use std::time::Duration;

#[global_allocator]
static GLOBAL: Counting = Counting;

const ALARMS: u64 = 20_000;
/// So many are set at a time.
const HELD: usize = 100;

/// Sets alarms from an hour to ten minutes ahead, each sooner than the one before but for every
/// thousandth, and takes all of them back in turn.
fn come_and_go() {
    let mut held: [_; HELD] = std::array::from_fn(|_| None);
    for n in 0..ALARMS {
        let at = SystemClock.now().after(Duration::from_secs(3600 - n % 1000 * 3));
        held[n as usize % HELD] = Some(SystemClock.alarm(at, Waker::noop().clone()));
    }
}

fn they_allocate_nothing_when_warm() {
    come_and_go();
    let before = allocations::on_this_thread();
    come_and_go();
    assert_eq!(allocations::on_this_thread() - before, 0);
}

/// How often the timer thread has gone to sleep.
#[cfg(target_os = "linux")]
fn sleeps() -> Option<u64> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let of_timer = threads.filter_map(|thread| {
        let path = thread.unwrap().path();
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let status = std::fs::read_to_string(path.join("status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
        let count = line.split_whitespace().nth(1)?.parse().ok()?;
        (name.trim() == "docache-timer").then_some(count)
    });
    of_timer.max()
}

/// Each that is the first of all would otherwise wake the thread.
#[cfg(target_os = "linux")]
fn they_do_not_wake_the_thread() {
    // The thread knows of this one, which is before all others.
    let sooner = SystemClock.now().after(Duration::from_secs(30));
    let first = SystemClock.alarm(sooner, Waker::noop().clone());
    while sleeps().is_none() {
        std::thread::yield_now();
    }
    let one_by_one = || {
        for _ in 0..ALARMS {
            let at = SystemClock.now().after(Duration::from_secs(60));
            drop(SystemClock.alarm(at, Waker::noop().clone()));
        }
    };
    one_by_one();
    // And here it knows only of one that has been taken back.
    drop(first);
    let before = sleeps().expect("the thread stays for a second at least");
    one_by_one();
    let woken = sleeps().expect("it stays while alarms come and go") - before;
    assert!(woken < ALARMS / 20, "woken {woken} times");
}

/// One after the other: they share the thread.
#[test]
fn alarms_that_are_taken_back_cost_nothing_more() {
    they_allocate_nothing_when_warm();
    #[cfg(target_os = "linux")]
    they_do_not_wake_the_thread();
}
