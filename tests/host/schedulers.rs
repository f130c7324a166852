//! Schedulers whose workers are blocked, and whose workers have nothing to do.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use docache::LoopCache;
use docache::Schedule;
use docache::run::Scheduler;

use crate::common::cache::turn;
use crate::common::flight::until;

const PERIOD: Duration = Duration::from_millis(50);

fn beat(scheduler: &Scheduler) -> LoopCache<()> {
    let builder = LoopCache::builder(|| Ok::<_, std::io::Error>(()));
    let builder = builder.interval(PERIOD).schedule(Schedule::FixedRate);
    builder.scheduler(scheduler).build().unwrap()
}

/// Blocks a worker until the sender is dropped.
fn block(scheduler: &Scheduler) -> Sender<()> {
    let ((enter, entered), (leave, left)) = (channel(), channel::<()>());
    let closure = move || {
        enter.send(()).unwrap();
        let _ = left.recv();
    };
    scheduler.schedule_after(Duration::ZERO, closure).unwrap();
    entered.recv().unwrap();
    leave
}

/// The median of how late the last calls of all loops were, after some periods.
fn median_lateness(caches: &[LoopCache<()>]) -> Duration {
    std::thread::sleep(PERIOD * 6);
    let mut late: Vec<Duration> = caches.iter().map(|cache| cache.stats().last_lateness).collect();
    late.sort_unstable();
    late[late.len() / 2]
}

#[test]
fn a_doer_that_blocks_leaves_the_others_on_time() {
    let _turn = turn();
    let scheduler = Scheduler::builder().workers(2).max_workers(2).build().unwrap();
    let caches: Vec<_> = (0..200).map(|_| beat(&scheduler)).collect();
    for cache in &caches {
        assert!(cache.start().unwrap());
    }
    let blocked = block(&scheduler);
    // The machine may be busy with something else for a while.
    let is_on_time = (0..10).any(|_| median_lateness(&caches) < PERIOD / 5);
    assert!(is_on_time, "{:?}", scheduler.stats());
    assert!(caches.iter().all(|cache| cache.version() > 1));
    drop(blocked);
}

#[test]
fn loops_go_on_when_more_workers_block_than_there_are_usually() {
    let _turn = turn();
    let scheduler = Scheduler::builder().workers(2).build().unwrap();
    let caches: Vec<_> = (0..50).map(|_| beat(&scheduler)).collect();
    caches.iter().for_each(|cache| assert!(cache.start().unwrap()));
    let blocked: Vec<_> = (0..5).map(|_| block(&scheduler)).collect();
    let is_on_time = (0..10).any(|_| median_lateness(&caches) < PERIOD / 5);
    assert!(is_on_time, "{:?}", scheduler.stats());
    assert!(scheduler.stats().grown >= 4, "{:?}", scheduler.stats());
    drop(blocked);
    until(|| scheduler.stats().workers <= 2);
}

#[test]
fn that_all_workers_are_blocked_is_told_within_a_period() {
    let _turn = turn();
    let told_in_time = || {
        let scheduler = Scheduler::builder().workers(2).max_workers(2).build().unwrap();
        let cache = beat(&scheduler);
        assert!(cache.start().unwrap());
        cache.wait_first(None).unwrap();
        let _blocked = (block(&scheduler), block(&scheduler));
        let start = Instant::now();
        until(|| scheduler.stats().stuck > 0);
        // The loop is due within a period, and that is known within another.
        start.elapsed() < PERIOD * 2
    };
    assert!((0..10).any(|_| told_in_time()));
}

#[cfg(target_os = "linux")]
#[test]
fn workers_do_not_wake_up_while_nothing_is_due() {
    let _turn = turn();
    let scheduler = Scheduler::builder().workers(2).name("still").build().unwrap();
    let hour = Duration::from_secs(3600);
    let waits = scheduler.schedule_after(hour, || ()).unwrap();
    drop((block(&scheduler), block(&scheduler)));
    until(|| scheduler.stats().busy == 0 && scheduler.stats().workers == 2);
    // Those who have just come back settle first.
    std::thread::sleep(Duration::from_millis(100));
    let before = switches("still");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(switches("still"), before);
    assert_eq!(before.len(), 2);
    waits.cancel();
    scheduler.schedule_after(Duration::ZERO, || ()).unwrap();
    until(|| scheduler.stats().workers == 0);
}

/// How often each thread of this name has given up its processor to wait.
#[cfg(target_os = "linux")]
fn switches(name: &str) -> Vec<u64> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let status =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
    let named = status.filter(|status| status.starts_with(&format!("Name:\t{name}\n")));
    let count = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse().unwrap()
    };
    named.map(count).collect()
}
