//! Panics stop the siblings first and go on in `run`.

use crate::{gate, panic_of, wait};
use docache::run::{Actor, Cause, Group};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};

#[test]
fn of_an_execute() {
    let ((tell, told), (heard, hears)) = (channel(), channel());
    let started = Arc::new(Barrier::new(2));
    let mut group = Group::new();
    let begun = started.clone();
    let sibling = Actor::with_context("sibling", move |ctx| {
        begun.wait();
        wait(ctx)
    });
    group.add(sibling.interrupt(move |cause| {
        assert!(matches!(cause, Cause::Panicked(_)));
        tell.send(cause.to_string()).unwrap();
    }));
    let buggy = Actor::new("buggy", move || -> Result<(), String> {
        started.wait();
        panic!("a bug")
    });
    group.add(buggy.on_failure(move |error| heard.send(error.is_panicked()).unwrap()));
    let handle = group.handle();
    assert_eq!(panic_of(group), "a bug");
    assert!(handle.running().is_empty(), "the siblings have stopped");
    assert_eq!(told.recv().unwrap(), "actor \"buggy\" panicked: a bug");
    assert!(hears.recv().unwrap());
}

#[test]
fn of_a_task() {
    let mut group = Group::new();
    group.add(Actor::with_context("sibling", wait));
    group.add(Actor::task("buggy", async { panic!("a bug") as Result<(), String> }));
    assert_eq!(panic_of(group), "a bug");
}

#[test]
fn of_a_failure_handler() {
    let (tell, told) = gate();
    let started = Arc::new(Barrier::new(2));
    let mut group = Group::new();
    let begun = started.clone();
    let sibling = Actor::with_context("sibling", move |ctx| {
        begun.wait();
        wait(ctx)
    });
    group.add(sibling.interrupt(move |cause| {
        assert!(matches!(cause, Cause::Failed(_)), "the failure came first");
        tell.send(()).unwrap();
    }));
    let actor = Actor::new("fails", move || {
        started.wait();
        Err("no")
    });
    group.add(actor.on_failure(|_| panic!("a bad handler")));
    assert_eq!(panic_of(group), "a bad handler");
    told.recv().unwrap();
}

#[test]
fn of_an_interrupt() {
    let (tell, told) = gate();
    let started = Arc::new(Barrier::new(3));
    let mut group = Group::new();
    let (one, two) = (started.clone(), started.clone());
    let bad = Actor::with_context("bad", move |ctx| {
        one.wait();
        wait(ctx)
    });
    group.add(bad.interrupt(|_| panic!("a bad interrupt")));
    let later = Actor::with_context("later", move |ctx| {
        two.wait();
        wait(ctx)
    });
    group.add(later.stage(1).interrupt(move |_| tell.send(()).unwrap()));
    group.add(Actor::new("fails", move || {
        started.wait();
        Err("no")
    }));
    let handle = group.handle();
    assert_eq!(panic_of(group), "a bad interrupt");
    told.recv().expect("the others are interrupted nevertheless");
    assert!(handle.running().is_empty());
}

/// An actor that panics when it is interrupted, having begun.
fn panics_late(message: &'static str, begun: &Arc<Barrier>) -> Actor {
    let begun = begun.clone();
    Actor::with_context("late", move |ctx| -> Result<(), String> {
        begun.wait();
        ctx.wait(None);
        std::panic::panic_any(message)
    })
}

#[test]
fn the_first_of_several_counts() {
    let started = Arc::new(Barrier::new(2));
    let mut group = Group::new();
    group.add(panics_late("the second", &started));
    group.add(Actor::new("first", move || -> Result<(), String> {
        started.wait();
        panic!("the first")
    }));
    assert_eq!(panic_of(group), "the first");
}

#[test]
fn one_of_the_teardown_is_not_lost() {
    let started = Arc::new(Barrier::new(2));
    let mut group = Group::new();
    group.add(panics_late("late", &started));
    group.add(Actor::new("fails", move || {
        started.wait();
        Err("no")
    }));
    assert_eq!(panic_of(group), "late");
}

/// What user code leaves behind may panic when it is dropped; that harms nobody.
#[test]
fn of_destructors_are_contained() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("a bad destructor");
            }
        }
    }
    let bomb = || {
        let bomb = Bomb(false);
        move |_: &Cause| assert!(!std::hint::black_box(&bomb).0)
    };
    let mut group = Group::new();
    group.add(Actor::new("never", || Ok::<(), String>(())).interrupt(bomb()));
    group.handle().stop();
    assert!(group.run().is_ok());
    let mut group = Group::new();
    let handler = Bomb(false);
    let actor = Actor::new("returns", || Ok::<(), String>(())).interrupt(bomb());
    group.add(actor.on_failure(move |_| assert!(!std::hint::black_box(&handler).0)));
    assert!(group.run().is_ok());
}
