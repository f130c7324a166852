//! Schedulers: nothing is scheduled in the child, where they go on with threads of its own.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use docache::run::Scheduler;
use docache::{ErrorKind, LoopCache};

use crate::loops::all_go_on;
use crate::process::{in_child, status_of, until};

const HOUR: Duration = Duration::from_secs(3_600);
const LIMIT: Duration = Duration::from_secs(30);

fn counter(scheduler: &Scheduler, interval: Duration) -> LoopCache<u64> {
    let mut calls = 0;
    let doer = move || {
        calls += 1;
        Ok::<_, std::io::Error>(calls)
    };
    LoopCache::builder(doer).interval(interval).scheduler(scheduler).build().unwrap()
}

fn calls_closures(scheduler: &Scheduler) {
    let (tell, told) = channel();
    let closure = move || tell.send(()).unwrap();
    scheduler.schedule_after(Duration::from_millis(1), closure).unwrap();
    told.recv_timeout(LIMIT).unwrap();
}

pub(crate) fn a_scheduler_of_other_threads() {
    static CALLED: AtomicU64 = AtomicU64::new(0);
    let scheduler = Scheduler::builder().build().unwrap();
    let (cache, dropped) = (counter(&scheduler, HOUR), counter(&scheduler, HOUR));
    for cache in [&cache, &dropped] {
        cache.start().unwrap();
        cache.wait_first(LIMIT).unwrap();
    }
    let count = || drop(CALLED.fetch_add(1, Ordering::SeqCst).to_string());
    let waits = scheduler.schedule_after(Duration::from_millis(300), count).unwrap();
    until(|| scheduler.stats().busy == 0);
    in_child(|| {
        let stats = scheduler.stats();
        assert_eq!((stats.workers, stats.busy, stats.scheduled), (0, 0, 0), "{stats:?}");
        assert!(!waits.is_waiting() && !waits.cancel());
        assert!(!cache.is_running());
        assert_eq!(cache.refresh().wait(LIMIT).unwrap_err().kind(), ErrorKind::Closed);
        assert!(cache.start().unwrap());
        until(|| *cache.latest().unwrap() == 2);
        let refreshed = cache.refresh().wait(LIMIT).unwrap();
        assert_eq!(refreshed.value(), Some(&3), "the Doer goes on where it was");
        calls_closures(&scheduler);
        std::thread::sleep(Duration::from_millis(400));
        assert_eq!(CALLED.load(Ordering::SeqCst), 0, "it is the parent's");
        cache.stop();
        cache.start().unwrap();
        drop(dropped);
        scheduler.shutdown();
        assert!(!cache.is_running());
    });
    until(|| CALLED.load(Ordering::SeqCst) == 1);
    calls_closures(&scheduler);
    assert!(cache.refresh().wait(LIMIT).is_ok());
}

/// Nobody has used a lock of the crate's before.
pub(crate) fn a_fork_before_anything_else() {
    let scheduler = Scheduler::builder().build().unwrap();
    in_child(|| calls_closures(&scheduler));
    calls_closures(&scheduler);
}

pub(crate) fn workers_in_calls() {
    static INSIDE: AtomicI32 = AtomicI32::new(0);
    static GO: AtomicBool = AtomicBool::new(false);
    let scheduler = Scheduler::builder().workers(2).build().unwrap();
    for _ in 0..2 {
        let block = || {
            INSIDE.fetch_add(1, Ordering::SeqCst);
            until(|| GO.load(Ordering::SeqCst));
        };
        scheduler.schedule_after(Duration::ZERO, block).unwrap();
    }
    until(|| INSIDE.load(Ordering::SeqCst) == 2);
    in_child(|| {
        calls_closures(&scheduler);
        scheduler.shutdown();
    });
    GO.store(true, Ordering::SeqCst);
    scheduler.shutdown();
}

/// The loop goes on in both processes, on the thread that forked; the others do not.
pub(crate) fn a_scheduled_loop_that_forks() {
    static CHILD: AtomicI32 = AtomicI32::new(-1);
    static CALLS: AtomicI32 = AtomicI32::new(0);
    let scheduler = Scheduler::builder().workers(2).build().unwrap();
    let other = counter(&scheduler, Duration::from_millis(1));
    other.start().unwrap();
    other.wait_first(LIMIT).unwrap();
    let inside = scheduler.clone();
    let doer = move || {
        if CALLS.fetch_add(1, Ordering::SeqCst) == 0 {
            // SAFETY: both go on as this crate says that they can.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: it ends a child that hangs.
                unsafe { libc::alarm(60) };
                let stats = inside.stats();
                assert_eq!((stats.workers, stats.busy, stats.scheduled), (1, 1, 1));
            }
            CHILD.store(child, Ordering::SeqCst);
        }
        if CHILD.load(Ordering::SeqCst) == 0 && CALLS.load(Ordering::SeqCst) == 3 {
            calls_closures(&inside);
            // SAFETY: the loop has gone on in the child, on the thread that forked.
            unsafe { libc::_exit(0) };
        }
        Ok::<_, std::io::Error>(())
    };
    let cache = LoopCache::builder(doer).interval(Duration::from_millis(1));
    let cache = cache.scheduler(&scheduler).build().unwrap();
    cache.start().unwrap();
    until(|| CHILD.load(Ordering::SeqCst) > 0);
    assert_eq!(status_of(CHILD.load(Ordering::SeqCst)), 0);
    cache.stop();
    other.stop();
}

pub(crate) fn busy_schedulers() {
    let scheduler = Scheduler::builder().workers(2).build().unwrap();
    let mut caches: Vec<_> =
        (0..8).map(|_| counter(&scheduler, Duration::from_micros(50))).collect();
    caches.iter().for_each(|cache| assert!(cache.start().unwrap()));
    for _ in 0..100 {
        in_child(|| {
            all_go_on(&caches);
            calls_closures(&scheduler);
            caches.clear();
        });
    }
}
