//! Groups in groups.

use crate::{gate, left, panic_of, wait};
use docache::ManualClock;
use docache::run::{Actor, Cause, Group};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::time::Duration;

#[test]
fn a_failure_inside_stops_the_outer_one_and_has_a_path() {
    let (tell, told) = channel();
    let started = Arc::new(Barrier::new(2));
    let begun = started.clone();
    let mut inner = Group::new();
    inner.add(Actor::new("disk", move || {
        started.wait();
        Err(std::io::Error::other("full"))
    }));
    let mut middle = Group::new();
    middle.add(Actor::group("storage", inner));
    let mut outer = Group::new();
    outer.add(Actor::group("service", middle));
    let sibling = Actor::with_context("sibling", move |ctx| {
        begun.wait();
        wait(ctx)
    });
    outer.add(sibling.interrupt(move |cause| tell.send(cause.to_string()).unwrap()));
    let error = outer.run().unwrap_err();
    assert_eq!(error.actor(), Some("service/storage/disk"));
    assert!(error.downcast_ref::<std::io::Error>().is_some());
    assert_eq!(told.recv().unwrap(), "actor \"service/storage/disk\" has failed: full");
}

#[test]
fn the_outer_one_stops_the_inner_one_with_its_cause() {
    let (tell, told) = channel();
    let started = Arc::new(Barrier::new(2));
    let begun = started.clone();
    let mut inner = Group::new();
    let actor = Actor::with_context("waits", move |ctx| {
        begun.wait();
        wait(ctx)
    });
    inner.add(actor.interrupt(move |cause| tell.send(cause.to_string()).unwrap()));
    let mut outer = Group::new();
    outer.add(Actor::group("inner", inner));
    outer.add(Actor::new("fails", move || {
        started.wait();
        Err("no")
    }));
    let error = outer.run().unwrap_err();
    assert_eq!(error.actor(), Some("fails"));
    assert_eq!(error.report().errors().len(), 1, "the inner one has not failed");
    assert_eq!(told.recv().unwrap(), "actor \"fails\" has failed: no");
}

#[test]
fn who_has_not_stopped_inside_is_named_by_path() {
    // Once by the deadline of the inner group, once by that of the outer one.
    for inner_has_it in [true, false] {
        let clock = ManualClock::new();
        let ((_keep, never), (tell, told)) = (channel::<()>(), gate());
        let started = Arc::new(Barrier::new(2));
        let begun = started.clone();
        let second = |wanted: bool| wanted.then_some(Duration::from_secs(1));
        let mut inner = Group::new().clock(clock.clone()).deadline(second(inner_has_it));
        let deaf = Actor::new("deaf", move || {
            begun.wait();
            never.recv()
        });
        inner.add(deaf.interrupt(move |_| tell.send(()).unwrap()));
        inner.add(Actor::with_context("good", wait));
        let mut outer = Group::new().clock(clock.clone()).deadline(second(!inner_has_it));
        outer.add(Actor::group("inner", inner));
        outer.add(Actor::new("fails", move || {
            started.wait();
            Err("no")
        }));
        let handle = outer.handle();
        let run = std::thread::spawn(move || outer.run());
        told.recv().unwrap();
        while handle.running().len() > 1 {
            std::thread::yield_now();
        }
        clock.advance(Duration::from_secs(1));
        let error = run.join().unwrap().unwrap_err();
        assert_eq!(left(error.report()), ["inner/deaf"], "{error}");
        assert_eq!(handle.running().iter().map(|name| &**name).collect::<Vec<_>>(), ["inner/deaf"]);
    }
}

#[test]
fn a_panic_inside_goes_on_outside() {
    let mut inner = Group::new();
    inner.add(Actor::new("buggy", || -> Result<(), String> { panic!("a bug") }));
    inner.add(Actor::with_context("waits", wait));
    let mut outer = Group::new();
    outer.add(Actor::group("inner", inner));
    outer.add(Actor::with_context("sibling", wait).interrupt(|cause| {
        let Cause::Panicked(error) = cause else { panic!("{cause}") };
        assert_eq!(error.name(), "inner/buggy");
    }));
    assert_eq!(panic_of(outer), "a bug");
}

#[test]
fn an_inner_one_that_ends_well_is_an_actor_that_returns() {
    let mut inner = Group::new();
    inner.add(Actor::new("work", || Ok::<(), String>(())));
    let mut outer = Group::new();
    outer.add(Actor::group("inner", inner));
    assert!(matches!(outer.run().unwrap().cause(), Cause::Finished));
    let mut inner = Group::new();
    let handle = inner.handle();
    inner.add(Actor::with_context("waits", move |ctx| {
        handle.stop();
        wait(ctx)
    }));
    let mut outer = Group::new();
    outer.add(Actor::group("inner", inner));
    assert!(matches!(outer.run().unwrap().cause(), Cause::Finished));
}

#[test]
fn who_cuts_the_wait_short_outside_does_so_inside() {
    let (_keep, never) = channel::<()>();
    let (tell, told) = gate();
    let mut inner = Group::new();
    inner.add(Actor::new("deaf", move || {
        tell.send(()).unwrap();
        never.recv()
    }));
    let mut outer = Group::new();
    outer.add(Actor::group("inner", inner));
    let handle = outer.handle();
    let run = std::thread::spawn(move || outer.run());
    told.recv().unwrap();
    handle.stop_waiting();
    let error = run.join().unwrap().unwrap_err();
    assert_eq!(left(error.report()), ["inner/deaf"]);
    assert!(error.report().errors().is_empty(), "that is no failure of the inner one");
    // The thread of the inner group itself is gone soon.
    assert_eq!(handle.running().len(), 1);
}
