//! A process that forbids itself `membarrier` when its threads rely on it: what is removed is freed all the same, and whoever
//! waits for a lock gets it. A program of its own, since there is no way back.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[path = "common/mod.rs"]
mod common;

use common::cache::{Tally, settle, turn};
use docache::Cache;

/// Has every thread's `membarrier` answered with EPERM from here on.
fn forbid_membarrier() {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(load, 0, 0, 0),
        step(equal, libc::SYS_membarrier as u32, 0, 1),
        step(answer, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0),
        step(answer, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: numbers only.
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(done, 0);
    let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_TSYNC);
    // SAFETY: the program and its steps live until it returns.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: numbers only.
    let query = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_QUERY, 0, 0) };
    assert_eq!(query, -1, "it is forbidden");
}

#[test]
fn values_are_dropped_and_locks_are_got_when_membarrier_is_forbidden() {
    const THREADS: u64 = 8;
    let _turn = turn();
    let tally = Tally::new();
    let cache: Cache<u64, _> = Cache::builder().capacity(100).shards(1).never_expire().build().unwrap();
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
