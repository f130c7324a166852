//! A process that forbids itself `membarrier` when its threads rely on it: what is removed is freed
//! all the same, and whoever waits for a lock gets it. A program of its own, since there is no way
//! back.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::cache::{Tally, settle, turn};
use common::seccomp::deny;
use docache::Cache;

/// Has every thread's `membarrier` answered with EPERM from here on.
fn forbid_membarrier() {
    deny(&[libc::SYS_membarrier], libc::EPERM, libc::SECCOMP_FILTER_FLAG_TSYNC);
    // SAFETY: numbers only.
    let query = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_QUERY, 0, 0) };
    assert_eq!(query, -1, "it is forbidden");
}

#[test]
fn values_are_dropped_and_locks_are_got_when_membarrier_is_forbidden() {
    const THREADS: u64 = 8;
    let _turn = turn();
    let tally = Tally::new();
    let cache: Cache<u64, _> =
        Cache::builder().capacity(100).shards(1).never_expire().build().unwrap();
    (0..100).for_each(|key| cache.insert(key, tally.value(key)));
    assert!(cache.pin().get(&99).is_some());
    forbid_membarrier();
    for round in 0..5 {
        (0..100).for_each(|key| cache.insert(key, tally.value(key)));
        assert!(cache.flush(), "nobody reads, in round {round}");
        assert_eq!(tally.alive(), cache.len() as u64);
    }
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            let (cache, tally) = (&cache, &tally);
            scope.spawn(move || {
                for key in first..first + 3_000 {
                    cache.insert(key, tally.value(key));
                    assert!(cache.get(&key).is_none_or(|value| value.of() == key));
                }
            });
        }
    });
    settle(&cache);
    assert_eq!(tally.alive(), cache.len() as u64);
    drop(cache);
    assert_eq!(tally.alive(), 0);
}
