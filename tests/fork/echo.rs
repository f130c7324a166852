//! Echo caches: locks, refreshes and renewals of threads that are not there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use docache::echo::{EchoCache, LazyEchoCache, LazyEchoCacheBuilder, MemoryStore, Status};
use docache::run::Scheduler;

use crate::process::{in_child, status_of, until};
#[cfg(target_os = "linux")]
use crate::threads::threads_called;

const LONG: Duration = Duration::from_secs(60);

type Echo = EchoCache<MemoryStore<u32>, u32, String>;

/// A refresh lock whose holder is not there is free.
pub(crate) fn a_load_of_another_thread() {
    let echo: Echo = EchoCache::builder(MemoryStore::new(100)).lock_ttl(LONG).build().unwrap();
    let (enter, entered) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let echo = &echo;
        scope.spawn(move || {
            let load = || {
                enter.send(()).unwrap();
                left.recv().unwrap();
                Ok(1)
            };
            echo.fetch("key", load).unwrap()
        });
        entered.recv().unwrap();
        in_child(|| {
            let start = Instant::now();
            let fetched = echo.fetch("key", || Ok(2)).unwrap();
            assert_eq!((fetched.value, fetched.status), (2, Status::Loaded));
            assert!(start.elapsed() < LONG / 4, "it waited for a holder that is not there");
            assert_eq!(echo.stats().lost_writes, 0);
        });
        leave.send(()).unwrap();
    });
    assert_eq!(echo.fetch("key", || Ok(3)).unwrap().value, 1);
}

/// What is queued and run stays the parent's; the child refreshes by itself.
pub(crate) fn a_refresh_of_another_thread() {
    refresh_of_another_thread(|builder| builder);
}

pub(crate) fn a_refresh_on_a_scheduler() {
    let scheduler = Scheduler::builder().workers(1).max_workers(1).build().unwrap();
    refresh_of_another_thread(|builder| builder.scheduler(&scheduler));
    assert!(scheduler.stats().calls > 0);
}

type LazyBuilder = LazyEchoCacheBuilder<MemoryStore<u32>, u32, String>;

fn refresh_of_another_thread(set: impl FnOnce(LazyBuilder) -> LazyBuilder) {
    let builder = LazyEchoCache::builder(MemoryStore::new(100));
    let lazy = set(builder.refresh_after(Duration::from_millis(5))).build().unwrap();
    let (enter, entered) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    for key in ["busy", "waits"] {
        lazy.fetch(key, || Ok(1)).unwrap();
    }
    std::thread::sleep(Duration::from_millis(10));
    let refresh = move || {
        enter.send(()).unwrap();
        let _ = left.recv();
        Ok(2)
    };
    lazy.fetch("busy", refresh).unwrap();
    entered.recv().unwrap();
    lazy.fetch("waits", || Ok(2)).unwrap();
    assert_eq!(lazy.refreshing(), 2);
    in_child(|| {
        assert_eq!(lazy.refreshing(), 0);
        for key in ["busy", "waits"] {
            assert!(matches!(lazy.fetch(key, || Ok(3)).unwrap().status, Status::Stale { .. }));
            until(|| lazy.refreshing() == 0);
            assert_eq!(lazy.fetch(key, || Ok(4)).unwrap().value, 3);
        }
        assert!(lazy.shutdown(LONG).running.is_empty());
        drop(lazy.clone());
    });
    leave.send(()).unwrap();
    assert!(lazy.shutdown(LONG).dropped.is_empty());
    assert_eq!(lazy.fetch("waits", || Ok(5)).unwrap().value, 2);
}

/// A child's locks are renewed by a thread of its own.
pub(crate) fn renewals() {
    let ttl = Duration::from_millis(90);
    let echo: Echo = EchoCache::builder(MemoryStore::new(100)).lock_ttl(ttl).build().unwrap();
    let slow = |key| {
        let load = || {
            std::thread::sleep(4 * ttl);
            // Whoever comes now waits, or would load in vain.
            let other: Echo =
                EchoCache::builder(echo.store().clone()).lock_wait(Duration::ZERO).build().unwrap();
            assert_eq!(other.fetch(key, || Ok(7)).unwrap().value, 7);
            assert_eq!(other.stats().lock_waits, 1, "the lock has been renewed");
            Ok(1)
        };
        assert_eq!(echo.fetch(key, load).unwrap().status, Status::Loaded);
        assert_eq!(echo.stats().lost_writes, 0);
    };
    slow("parent");
    in_child(|| slow("child"));
    slow("parent again");
}

/// None is there before it is needed; they block the host's signals, and leave.
#[cfg(target_os = "linux")]
pub(crate) fn threads_come_and_go() {
    let lazy: LazyEchoCache<_, u32, String> = LazyEchoCache::builder(MemoryStore::new(100))
        .refresh_after(Duration::from_nanos(1))
        .workers(2)
        .build()
        .unwrap();
    lazy.fetch("key", || Ok(1)).unwrap();
    let ours = || threads_called("docache-echo");
    assert_eq!(ours(), 0);
    let (tell, told) = mpsc::channel();
    until(|| {
        let tell = tell.clone();
        let refresh = move || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
            tell.send(u64::from_str_radix(line.trim(), 16).unwrap()).unwrap();
            Ok(2)
        };
        matches!(lazy.fetch("key", refresh).unwrap().status, Status::Stale { .. })
    });
    let blocked = told.recv().unwrap();
    let is_blocked = |signal: i32| blocked >> (signal - 1) & 1 == 1;
    assert!(is_blocked(libc::SIGTERM) && is_blocked(libc::SIGINT));
    assert!(!is_blocked(libc::SIGSEGV));
    assert!(ours() <= 1);
    until(|| ours() == 0);
}

/// The child has its scheduler's worker, who goes on, and no refresh.
pub(crate) fn a_refresh_that_forks() {
    static CHILD: AtomicI32 = AtomicI32::new(-1);
    let scheduler = Scheduler::builder().build().unwrap();
    let builder: LazyBuilder = LazyEchoCache::builder(MemoryStore::new(100));
    let lazy = builder.refresh_after(Duration::from_millis(5)).scheduler(&scheduler);
    let lazy = lazy.build().unwrap();
    for key in ["forks", "other"] {
        lazy.fetch(key, || Ok(1)).unwrap();
    }
    std::thread::sleep(Duration::from_millis(10));
    let (inside, stays) = (lazy.clone(), scheduler.clone());
    let check = move || {
        until(|| stays.stats().calls > 0 && stays.stats().busy == 0);
        assert_eq!((inside.refreshing(), stays.stats().scheduled), (0, 0));
        inside.fetch("other", || Ok(3)).unwrap();
        until(|| inside.refreshing() == 0);
        assert_eq!(inside.fetch("other", || Ok(4)).unwrap().value, 3);
    };
    let refresh = move || {
        // SAFETY: both go on as this crate says that they can.
        let child = unsafe { libc::fork() };
        CHILD.store(child, Ordering::SeqCst);
        if child == 0 {
            // SAFETY: it ends a child that hangs.
            unsafe { libc::alarm(60) };
            std::thread::spawn(move || {
                let passed = catch_unwind(AssertUnwindSafe(check)).is_ok();
                // SAFETY: it ends the child.
                unsafe { libc::_exit(i32::from(!passed)) };
            });
        }
        Ok(2)
    };
    lazy.fetch("forks", refresh).unwrap();
    until(|| CHILD.load(Ordering::SeqCst) > 0);
    assert_eq!(status_of(CHILD.load(Ordering::SeqCst)), 0);
    assert!(lazy.shutdown(LONG).running.is_empty());
    assert_eq!(lazy.fetch("forks", || Ok(3)).unwrap().value, 2);
}
