//! A system that gives no threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::handles::*;
use super::scheduled::{Called, Scheduler};
use super::seccomp::deny;
use docache::ffi::*;

#[test]
fn an_actor_without_a_thread_has_failed_and_is_let_go_of() {
    let drops = Arc::new(AtomicUsize::new(0));
    let counted = drops.clone();
    let run = std::thread::spawn(move || {
        let (group, inner) = (Group::new(), Group::new());
        let never = |name| Act::new(name, |_| unreachable!()).interrupt(|_| unreachable!());
        inner.add(never("in").counted(&counted));
        group.add(never("out").on_failure(|_| unreachable!()).counted(&counted));
        group.add_group("inner", inner);
        // This thread gets no other from here on.
        deny(&[libc::SYS_clone, libc::SYS_clone3], libc::EAGAIN, 0);
        group.run()
    });
    let ran = run.join().unwrap();
    assert_eq!(ran.status, DOCACHE_INTERNAL, "{}", ran.message);
    let cause = ran.report.cause();
    assert_eq!((cause.kind, cause.status), (DOCACHE_RUN_FAILED, DOCACHE_INTERNAL));
    assert_eq!(cause.actor, "out");
    assert!(ran.report.unfinished().is_empty());
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

#[test]
fn a_call_that_no_thread_can_make_is_refused_and_let_go_of() {
    let drops = Arc::new(AtomicUsize::new(0));
    let counted = drops.clone();
    let refused = std::thread::spawn(move || {
        let scheduler = Scheduler::new();
        deny(&[libc::SYS_clone, libc::SYS_clone3], libc::EAGAIN, 0);
        scheduler.try_call(0, Called::never().counted(&counted))
    });
    let (status, message) = refused.join().unwrap();
    assert_eq!(status, DOCACHE_INTERNAL, "{message}");
    assert!(message.contains("thread"), "{message}");
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}
