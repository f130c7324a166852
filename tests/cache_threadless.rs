//! A thread that may start no other: what caches owe in the background is done all the same, as
//! soon as a thread can be had. A program of its own, in which nothing else has threads of the
//! library started.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::seccomp::deny;
use docache::{Cache, Cause};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Has whatever would make a thread answer the calling one with EAGAIN from here on.
fn forbid_threads() {
    deny(&[libc::SYS_clone, libc::SYS_clone3], libc::EAGAIN, 0);
    assert!(std::thread::Builder::new().spawn(|| ()).is_err(), "it is forbidden");
}

#[test]
fn the_background_comes_when_there_is_a_thread_for_it() {
    static CACHE: OnceLock<Cache<u64, u64>> = OnceLock::new();
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let listener = |key: &u64, _: &u64, _: Cause| {
        TOLD.fetch_add(1, Ordering::SeqCst);
        // What leaves in here is told in the background.
        CACHE.get().unwrap().remove(&(key + 100));
    };
    // Its alarm keeps the thread there that serves alarms, and that may start others.
    let builder = Cache::builder().sweep_interval(Duration::from_secs(3600)).on_evict(listener);
    let cache = CACHE.get_or_init(|| builder.build().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            forbid_threads();
            cache.insert(1, 1);
            cache.insert(101, 1);
            cache.remove(&1);
        });
    });
    let began = Instant::now();
    while TOLD.load(Ordering::SeqCst) < 2 {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody comes");
        std::thread::sleep(Duration::from_millis(1));
    }
}
