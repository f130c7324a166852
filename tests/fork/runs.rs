//! Groups: their threads are the parent's, and nobody in the child waits for them.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use docache::Context;
use docache::run::{Actor, Backoff, Cause, Group, Handle, Loop, LoopActor, Retry};

use crate::process::{in_child, status_of};

fn wait(context: &Context) -> Result<(), String> {
    context.wait(None);
    Ok(())
}

/// Groups, loops and retries of the child's own work as ever.
fn works() {
    let mut group = Group::new().deadline(Duration::from_secs(20));
    group.add(Actor::with_context("waits", wait));
    group.add(Actor::new("fails", || Err("no")));
    assert_eq!(group.run().unwrap_err().actor(), Some("fails"));
    let mut work = Loop::new();
    let (handle, mut calls) = (work.handle(), 0);
    let actor = LoopActor::new("counts", move || {
        calls += 1;
        if calls == 3 {
            handle.stop();
        }
        Ok::<(), String>(())
    });
    work.add(actor.pause(Duration::from_millis(1)));
    assert!(work.run().is_ok());
    let policy = Retry::new().backoff(Backoff::constant(Duration::from_millis(1)));
    assert!(policy.max_attempts(3).run(|_| Err::<(), _>(())).is_err());
}

fn is_nothing(handle: &Handle) {
    assert!(handle.is_stopping() && !handle.stop() && handle.running().is_empty());
    handle.stop_waiting();
}

pub(crate) fn a_group_of_other_threads() {
    let (tell, told) = channel();
    let mut inner = Group::new();
    inner.add(Actor::with_context("waits", move |ctx| {
        tell.send(()).unwrap();
        wait(ctx)
    }));
    let mut group = Group::new();
    group.add(Actor::group("inner", inner));
    let handle = group.handle();
    let run = std::thread::spawn(move || group.run());
    told.recv().unwrap();
    in_child(|| {
        is_nothing(&handle);
        works();
    });
    assert_eq!(handle.running().len(), 1);
    handle.stop();
    assert!(matches!(run.join().unwrap().unwrap().cause(), Cause::Stopped));
}

pub(crate) fn a_group_that_does_not_run_yet() {
    let mut group = Group::new();
    let mut inner = Group::new();
    inner.add(Actor::new("fails", || Err("no")));
    group.add(Actor::group("inner", inner));
    let stopped = Group::new();
    stopped.handle().stop();
    let mut run = Some((group, stopped));
    in_child(|| {
        let (group, stopped) = run.take().unwrap();
        assert_eq!(group.run().unwrap_err().actor(), Some("inner/fails"));
        assert!(matches!(stopped.run().unwrap().cause(), Cause::Stopped));
    });
    assert_eq!(run.unwrap().0.run().unwrap_err().actor(), Some("inner/fails"));
}

pub(crate) fn an_actor_that_forks() {
    let mut group = Group::new();
    let handle = group.handle();
    group.add(Actor::with_context("forks", move |ctx| {
        in_child(|| {
            is_nothing(&handle);
            assert!(!ctx.wait(Duration::from_millis(1)));
            works();
        });
        handle.stop();
        wait(ctx)
    }));
    assert!(group.run().is_ok());
}

/// The thread in `run` forks while it cancels an actor's context.
pub(crate) fn a_run_that_forks() {
    static CHILD: AtomicI32 = AtomicI32::new(-1);
    let mut group = Group::new();
    let handle = group.handle();
    group.add(Actor::with_context("waits", move |ctx| {
        // SAFETY: the child does what the crate says that one can do.
        let fork = || CHILD.store(unsafe { libc::fork() }, Ordering::SeqCst);
        ctx.on_cancel(fork).detach();
        handle.stop();
        wait(ctx)
    }));
    group.add(Actor::with_context("waits, too", wait));
    let cause = group.run().map(|report| report.cause().clone());
    match CHILD.load(Ordering::SeqCst) {
        0 => {
            let lost = matches!(cause, Ok(Cause::Forked));
            works();
            // SAFETY: it ends the child without what the parent has registered for its exit.
            unsafe { libc::_exit(i32::from(!lost)) }
        }
        child => {
            assert!(matches!(cause, Ok(Cause::Stopped)));
            assert_eq!(status_of(child), 0);
        }
    }
}
