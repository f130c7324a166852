//! Schedulers: nothing is scheduled in the child, where they go on with threads of its own.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use docache::run::Scheduler;
use docache::{Cache, CacheBuilder, ErrorKind, LoopCache};

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

const SHORT: Duration = Duration::from_millis(20);

fn swept() -> CacheBuilder<u64, u64> {
    Cache::builder().shards(1).time_to_live(SHORT).sweep_interval(SHORT)
}

/// In the parent one cache's sweep does not return, and another one waits for its turn.
pub(crate) fn a_cache_that_a_scheduler_sweeps() {
    static GO: AtomicBool = AtomicBool::new(false);
    static INSIDE: AtomicBool = AtomicBool::new(false);
    let scheduler = Scheduler::builder().workers(1).max_workers(1).build().unwrap();
    let listener = |key: &u64, _: &u64, _| {
        if *key == 1 {
            INSIDE.store(true, Ordering::SeqCst);
            until(|| GO.load(Ordering::SeqCst));
        }
    };
    let blocks = swept().on_evict(listener).scheduler(&scheduler).build().unwrap();
    blocks.insert(1, 1);
    until(|| INSIDE.load(Ordering::SeqCst));
    let waits = swept().scheduler(&scheduler).build().unwrap();
    waits.insert(1, 1);
    until(|| scheduler.stats().scheduled == 2);
    in_child(|| {
        blocks.insert(2, 2);
        until(|| blocks.is_empty() && waits.is_empty());
        assert!(scheduler.stats().calls > 0 && scheduler.stats().workers <= 1);
        scheduler.shutdown();
        [&blocks, &waits].iter().for_each(|cache| cache.insert(2, 2));
        until(|| blocks.is_empty() && waits.is_empty());
        drop(waits);
    });
    GO.store(true, Ordering::SeqCst);
    until(|| blocks.is_empty() && scheduler.stats().scheduled == 0);
}

/// The child's only thread is the one that sweeps. One of the library's leaves there, a scheduler's
/// worker stays.
pub(crate) fn sweeps_that_fork() {
    sweep_that_forks(None);
    sweep_that_forks(Some(&Scheduler::builder().build().unwrap()));
}

/// Tells when its thread ends.
struct Leaves;

static LEFT: AtomicBool = AtomicBool::new(false);

impl Drop for Leaves {
    fn drop(&mut self) {
        LEFT.store(true, Ordering::SeqCst);
    }
}

fn sweep_that_forks(scheduler: Option<&Scheduler>) {
    static CHILD: AtomicI32 = AtomicI32::new(0);
    thread_local!(static HERE: Leaves = const { Leaves });
    CHILD.store(-1, Ordering::SeqCst);
    let (slot, stays): (Arc<OnceLock<Cache<u64, u64>>>, _) = (Arc::default(), scheduler.cloned());
    let own = slot.clone();
    let check = move || {
        let cache = own.get().unwrap();
        until(|| match &stays {
            Some(scheduler) => scheduler.stats().busy == 0 && scheduler.stats().calls > 0,
            None => LEFT.load(Ordering::SeqCst),
        });
        cache.insert(3, 3);
        until(|| cache.is_empty());
        // SAFETY: it ends the child.
        unsafe { libc::_exit(0) };
    };
    let check = Mutex::new(Some(check));
    let listener = move |key: &u64, _: &u64, _| {
        if *key != 1 {
            return;
        }
        // SAFETY: both go on as this crate says that they can.
        let child = unsafe { libc::fork() };
        CHILD.store(child, Ordering::SeqCst);
        if child == 0 {
            // SAFETY: it ends a child that hangs.
            unsafe { libc::alarm(60) };
            // SAFETY: it ends one whose only thread panics.
            std::panic::set_hook(Box::new(|_| unsafe { libc::_exit(1) }));
            HERE.with(|_| ());
            std::thread::spawn(check.lock().unwrap().take().unwrap());
        }
    };
    let builder = swept().on_evict(listener);
    let builder = match scheduler {
        Some(scheduler) => builder.scheduler(scheduler),
        None => builder,
    };
    let cache = slot.get_or_init(|| builder.build().unwrap());
    cache.insert(1, 1);
    until(|| CHILD.load(Ordering::SeqCst) > 0);
    assert_eq!(status_of(CHILD.load(Ordering::SeqCst)), 0);
    cache.insert(2, 2);
    until(|| cache.is_empty());
}
