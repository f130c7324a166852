//! Ordered shutdown.

use crate::{gate, left, wait};
use docache::run::{Actor, Group};
use docache::{Clock, ManualClock};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// An actor that says when it is interrupted, and when it has stopped.
fn loud(name: &'static str, tell: &Sender<String>, started: &Arc<Barrier>) -> Actor {
    let (ends, tell, started) = (tell.clone(), tell.clone(), started.clone());
    let actor = Actor::with_context(name, move |ctx| {
        started.wait();
        wait(ctx)?;
        ends.send(format!("{name} has stopped")).map_err(|error| error.to_string())
    });
    actor.interrupt(move |_| tell.send(format!("{name} is interrupted")).unwrap())
}

#[test]
fn a_stage_is_interrupted_when_the_one_before_has_stopped() {
    let (tell, told) = channel();
    let started = Arc::new(Barrier::new(4));
    let mut group = Group::new();
    group.add(loud("database", &tell, &started).stage(7));
    group.add(loud("server", &tell, &started));
    group.add(loud("queue", &tell, &started).stage(1));
    group.add(Actor::new("fails", move || {
        started.wait();
        Err("no")
    }));
    assert!(group.run().is_err());
    drop(tell);
    let said: Vec<String> = told.iter().collect();
    for (stage, name) in ["server", "queue", "database"].into_iter().enumerate() {
        // The interrupt and the context of one actor race.
        assert!(said[2 * stage..2 * stage + 2].iter().all(|line| line.starts_with(name)));
    }
}

#[test]
fn a_deadline_ends_the_wait_for_its_stage_alone() {
    let clock = ManualClock::new();
    let (tell, told) = channel::<String>();
    let ((_keep, never), (late, is_late)) = (gate(), gate());
    let started = Arc::new(Barrier::new(3));
    let mut group = Group::new().clock(clock.clone());
    group = group.deadline(Duration::from_secs(60)).stage_deadline(0, Duration::from_secs(1));
    let deaf = {
        let (started, tell) = (started.clone(), tell.clone());
        let deaf = Actor::new("deaf", move || {
            started.wait();
            never.recv().map_err(|error| error.to_string())
        });
        deaf.interrupt(move |_| tell.send("deaf is interrupted".into()).unwrap())
    };
    group.add(deaf);
    let begun = started.clone();
    let slow = Actor::new("slow", move || {
        begun.wait();
        is_late.recv()
    });
    let tells = tell.clone();
    let stage = slow.stage(1).interrupt(move |_| tells.send("slow is interrupted".into()).unwrap());
    group.add(stage);
    group.add(Actor::new("fails", move || {
        started.wait();
        Err("no")
    }));
    let run = std::thread::spawn(move || group.run());
    assert_eq!(told.recv().unwrap(), "deaf is interrupted");
    clock.advance(Duration::from_millis(999));
    assert!(told.try_recv().is_err());
    clock.advance(Duration::from_millis(1));
    assert_eq!(told.recv().unwrap(), "slow is interrupted");
    clock.advance(Duration::from_secs(59));
    late.send(()).unwrap();
    let error = run.join().unwrap().unwrap_err();
    assert_eq!(left(error.report()), ["deaf"]);
    assert_eq!(clock.now().as_nanos(), 60_000_000_000);
}

#[test]
fn without_a_deadline_it_waits_as_long_as_it_takes() {
    let clock = ManualClock::new();
    let ((tell, told), (go, gone)) = (gate(), gate());
    let mut group = Group::new().clock(clock.clone()).deadline(Duration::from_secs(1));
    group = group.stage_deadline(0, None);
    let handle = group.handle();
    let slow = Actor::new("slow", move || {
        handle.stop();
        gone.recv()
    });
    group.add(slow.interrupt(move |_| tell.send(()).unwrap()));
    let run = std::thread::spawn(move || group.run());
    told.recv().unwrap();
    clock.advance(Duration::from_secs(1_000_000));
    assert!(!run.is_finished());
    go.send(()).unwrap();
    assert!(run.join().unwrap().is_ok());
}

/// A timeout too long to be counted is none.
#[test]
fn the_longest_deadline_does_not_come() {
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(1));
    let mut group = Group::new().clock(clock).deadline(Duration::MAX);
    group.add(Actor::with_context("waits", wait));
    let handle = group.handle();
    let run = std::thread::spawn(move || group.run());
    handle.stop();
    assert!(run.join().unwrap().is_ok());
}
