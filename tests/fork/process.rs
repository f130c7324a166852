//! Processes: of the cases, and their children.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Names the case that a process is to run.
pub(crate) const CASE: &str = "DOCACHE_FORK_CASE";

/// How long a child may take, in seconds.
const LIMIT: u32 = 60;

/// Runs a case in a process of its own; whether it passed.
pub(crate) fn run_case(name: &str) -> bool {
    let program = std::env::current_exe().expect("this program");
    Command::new(program).env(CASE, name).status().expect("a process").success()
}

/// Forks. The child does `body` and ends with its success; the parent waits for that.
#[track_caller]
pub(crate) fn in_child(body: impl FnOnce()) {
    let child = fork(body);
    assert_eq!(status_of(child), 0, "the child's status");
}

/// The same without the waiting: the child's number.
pub(crate) fn fork(body: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child does what this crate says that one can do.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        // SAFETY: it ends a child that hangs.
        unsafe { libc::alarm(LIMIT) };
        let passed = catch_unwind(AssertUnwindSafe(body)).is_ok();
        // SAFETY: it ends the child without what the parent has registered for its exit.
        unsafe { libc::_exit(i32::from(!passed)) };
    }
    child
}

/// Forks again and again while other threads do something all the time.
pub(crate) fn beside(busy: impl Fn() + Sync, child: impl Fn()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    busy();
                }
            });
        }
        let forks = catch_unwind(AssertUnwindSafe(|| (0..300).for_each(|_| in_child(&child))));
        over.store(true, Ordering::Relaxed);
        assert!(forks.is_ok());
    });
}

/// Waits for a child.
pub(crate) fn status_of(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the place for the status is ours.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    status
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "it did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}
