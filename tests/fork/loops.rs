//! Loop caches: those that ran in the parent count as stopped in the child, and can be started
//! again.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use docache::{ErrorKind, LoopCache};

use crate::process::{in_child, status_of, until};

const HOUR: Duration = Duration::from_secs(3_600);
const LIMIT: Duration = Duration::from_secs(30);

fn counter(interval: Duration) -> LoopCache<u64> {
    let mut calls = 0;
    let doer = move || {
        calls += 1;
        Ok::<_, std::io::Error>(calls)
    };
    LoopCache::builder(doer).interval(interval).build().unwrap()
}

pub(crate) fn a_loop_between_calls() {
    let (cache, dropped) = (counter(HOUR), counter(HOUR));
    for cache in [&cache, &dropped] {
        cache.start().unwrap();
        cache.wait_first(LIMIT).unwrap();
    }
    // The call is over when its result is there, but for a few lines.
    std::thread::sleep(Duration::from_millis(50));
    in_child(|| {
        assert!(!cache.is_running() && !cache.stats().running);
        assert_eq!(*cache.latest().unwrap(), 1);
        cache.stop();
        assert_eq!(cache.refresh().wait(LIMIT).unwrap_err().kind(), ErrorKind::Closed);
        assert!(cache.start().unwrap());
        until(|| *cache.latest().unwrap() == 2);
        assert_eq!(
            cache.refresh().wait(LIMIT).unwrap().value(),
            Some(&3),
            "the Doer goes on where it was"
        );
        assert!(!cache.start().unwrap());
        cache.stop();
        assert!(!cache.is_running());
        cache.start().unwrap();
        drop(dropped);
        // It goes while it runs.
        drop(cache);
    });
}

pub(crate) fn a_loop_in_its_call() {
    static INSIDE: AtomicBool = AtomicBool::new(false);
    static GO: AtomicBool = AtomicBool::new(false);
    let doer = || {
        INSIDE.store(true, Ordering::SeqCst);
        until(|| GO.load(Ordering::SeqCst));
        Ok::<_, std::io::Error>(())
    };
    let cache = LoopCache::builder(doer).interval(HOUR).build().unwrap();
    cache.start().unwrap();
    until(|| INSIDE.load(Ordering::SeqCst));
    in_child(|| {
        assert!(!cache.is_running());
        cache.stop();
        let error = cache.start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(error.to_string().contains("forked"), "{error}");
        drop(cache);
    });
    GO.store(true, Ordering::SeqCst);
}

pub(crate) fn a_loop_that_forks() {
    static CHILD: AtomicI32 = AtomicI32::new(-1);
    static CALLS: AtomicI32 = AtomicI32::new(0);
    let doer = || {
        if CALLS.fetch_add(1, Ordering::SeqCst) == 0 {
            // SAFETY: both go on as this crate says that they can.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: it ends a child that hangs.
                unsafe { libc::alarm(60) };
            }
            CHILD.store(child, Ordering::SeqCst);
        }
        if CHILD.load(Ordering::SeqCst) == 0 && CALLS.load(Ordering::SeqCst) == 3 {
            // SAFETY: the loop has gone on in the child, on the thread that forked.
            unsafe { libc::_exit(0) };
        }
        Ok::<_, std::io::Error>(())
    };
    let cache = LoopCache::builder(doer).interval(Duration::from_millis(1)).build().unwrap();
    cache.start().unwrap();
    until(|| CHILD.load(Ordering::SeqCst) > 0);
    assert_eq!(status_of(CHILD.load(Ordering::SeqCst)), 0);
    cache.stop();
}

pub(crate) fn those_who_wait_for_a_loop() {
    let cache = counter(HOUR);
    cache.start().unwrap();
    cache.wait_first(LIMIT).unwrap();
    let barrier = Barrier::new(5);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                cache.changed(1).wait(None).unwrap();
            });
        }
        barrier.wait();
        std::thread::sleep(Duration::from_millis(50));
        in_child(|| {
            assert!(cache.start().unwrap());
            assert!(cache.changed(1).wait(LIMIT).is_ok());
        });
        assert!(cache.refresh().wait(LIMIT).is_ok());
    });
}

/// In a child: each loop cache can be started again.
pub(crate) fn all_go_on(caches: &[LoopCache<u64>]) {
    for cache in caches {
        assert!(!cache.is_running());
        let seen = cache.version();
        // It fell into the Doer's call, perhaps.
        if cache.start().is_ok() {
            assert!(cache.changed(seen).wait(LIMIT).is_ok());
        }
        cache.stop();
    }
}

pub(crate) fn busy_loops() {
    let mut caches: Vec<_> = (0..8).map(|_| counter(Duration::from_micros(50))).collect();
    caches.iter().for_each(|cache| assert!(cache.start().unwrap()));
    for _ in 0..100 {
        in_child(|| {
            all_go_on(&caches);
            caches.clear();
        });
    }
}
