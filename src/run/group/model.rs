//! Models of a group's end: a stop, the deadline of a stage and an interrupt against an actor that
//! returns. The clock stands still, unless it is at its deadline from the start.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::Group;
use super::actor::Actor;
use super::cause::{Cause, StopOn};
use super::shared::{Ended, Settled, Shared, Stopping};
use crate::clock::{Clock, ManualClock};
use crate::error::{Error, ErrorKind};
use crate::sync::model;
use crate::wait::{Wait, block_on};

fn open(stages: &[u32]) -> Arc<Shared> {
    let actor = |stage| Actor::new("actor", || Ok::<(), String>(())).stage(stage);
    let shared = Shared::new();
    let places = stages.iter().map(|stage| actor(*stage).place()).collect();
    assert!(shared.open(places, false));
    shared
}

/// An actor's thread that does nothing; whether it has begun.
fn act(shared: &Shared, index: usize, ended: Ended) -> bool {
    let begun = shared.begin(index);
    if begun {
        shared.ended(index, ended, StopOn::FirstError);
    }
    shared.finished(index);
    begun
}

fn wait_for_stop(shared: &Shared) {
    let stopped = block_on(Wait::new(Stopping(shared)), &ManualClock::new(), None);
    assert_eq!(stopped, Some(()));
}

#[test]
fn stop_against_return() {
    model(|| {
        let shared = open(&[0, 0]);
        let actors: Vec<_> = (0..2)
            .map(|index| {
                let shared = shared.clone();
                thread::spawn(move || act(&shared, index, Ended::Returned))
            })
            .collect();
        let stops = shared.stop(Cause::Stopped);
        wait_for_stop(&shared);
        let cause = shared.cause().unwrap();
        // FIRST: the stop, or the last return.
        assert_eq!(matches!(cause, Cause::Stopped), stops);
        assert_eq!(matches!(cause, Cause::Finished), !stops);
        // BEGUN: it is known who is to be interrupted.
        let interrupted: Vec<bool> = (0..2).map(|index| shared.interrupt(index)).collect();
        (0..2).filter(|index| interrupted[*index]).for_each(|index| shared.interrupted(index));
        // A lost notification would show as a deadlock.
        block_on(Wait::new(Settled(&shared, 0)), &ManualClock::new(), None);
        assert!(shared.unfinished().is_empty());
        for (actor, interrupted) in actors.into_iter().zip(interrupted) {
            assert_eq!(actor.join().unwrap(), interrupted);
        }
    });
}

#[test]
fn failure_against_failure() {
    model(|| {
        let shared = open(&[0, 0]);
        let fails = |index: usize| {
            let shared = shared.clone();
            let error = Error::new(ErrorKind::Failed, index.to_string());
            thread::spawn(move || act(&shared, index, Ended::Failed(None, error)))
        };
        let actors = [fails(0), fails(1)];
        wait_for_stop(&shared);
        let first = shared.cause().unwrap().to_string();
        let begun = actors.map(|actor| actor.join().unwrap());
        let left = shared.close();
        assert_eq!(left.cause.to_string(), first, "FIRST: it does not change");
        assert!(left.cause.error().is_some());
        assert_eq!(left.failures, begun.into_iter().map(u64::from).sum());
    });
}

#[test]
fn the_deadline_of_a_stage_against_return() {
    model(|| {
        let shared = open(&[0]);
        assert!(shared.begin(0));
        shared.stop(Cause::Stopped);
        let actor = {
            let shared = shared.clone();
            thread::spawn(move || shared.finished(0))
        };
        let clock = ManualClock::new();
        // The deadline has come: it looks, queues, looks again and leaves.
        let settled = block_on(Wait::new(Settled(&shared, 0)), &clock, Some(clock.now()));
        let unfinished = !shared.unfinished().is_empty();
        assert!(settled.is_none() || !unfinished, "PENDING");
        shared.close();
        actor.join().unwrap();
        assert!(shared.unfinished().is_empty());
    });
}

#[test]
fn a_deadline_that_comes_against_return() {
    model(|| {
        let shared = open(&[0]);
        assert!(shared.begin(0));
        shared.stop(Cause::Stopped);
        let clock = ManualClock::new();
        let actor = {
            let shared = shared.clone();
            thread::spawn(move || shared.finished(0))
        };
        let time = {
            let clock = clock.clone();
            thread::spawn(move || clock.advance(Duration::from_secs(1)))
        };
        let deadline = clock.now().after(Duration::from_secs(1));
        // Neither's wake-up gets lost in the other's.
        block_on(Wait::new(Settled(&shared, 0)), &clock, Some(deadline));
        actor.join().unwrap();
        time.join().unwrap();
        assert!(shared.unfinished().is_empty());
    });
}

#[test]
fn an_interrupt_against_the_return_that_it_brings_about() {
    model(|| {
        let shared = open(&[0, 1]);
        assert!(shared.begin(0) && shared.begin(1));
        shared.stop(Cause::Stopped);
        assert!(shared.interrupt(0));
        let actor = {
            let shared = shared.clone();
            thread::spawn(move || shared.finished(0))
        };
        let interrupt = {
            let shared = shared.clone();
            thread::spawn(move || shared.interrupted(0))
        };
        block_on(Wait::new(Settled(&shared, 0)), &ManualClock::new(), None);
        // PENDING: both are over, and the other stage is not touched.
        assert_eq!(shared.unfinished().len(), 1);
        actor.join().unwrap();
        interrupt.join().unwrap();
    });
}

#[test]
fn who_stops_waiting_against_a_stage() {
    model(|| {
        let shared = open(&[0]);
        assert!(shared.begin(0));
        let other = shared.clone();
        let hurry = thread::spawn(move || other.stop_waiting(Cause::Stopped));
        wait_for_stop(&shared);
        // The actor never returns.
        block_on(Wait::new(Settled(&shared, 0)), &ManualClock::new(), None);
        hurry.join().unwrap();
        assert!(shared.close().cut_short.is_some());
    });
}

/// All of it: threads, contexts, the wait.
#[test]
fn a_group_against_its_handle() {
    model(|| {
        let mut group = Group::new().clock(ManualClock::new());
        group.add(Actor::with_context("waits", |ctx| {
            ctx.wait(None);
            Ok::<(), String>(())
        }));
        let handle = group.handle();
        let stopper = thread::spawn(move || assert!(handle.stop()));
        let report = group.run().unwrap();
        assert!(matches!(report.cause(), Cause::Stopped));
        stopper.join().unwrap();
    });
}

#[test]
fn a_group_against_a_failure() {
    model(|| {
        let mut group = Group::new().clock(ManualClock::new());
        group.add(Actor::with_context("waits", |ctx| {
            ctx.wait(None);
            Ok::<(), String>(())
        }));
        group.add(Actor::new("fails", || Err("no")));
        let handle = group.handle();
        assert_eq!(group.run().unwrap_err().actor(), Some("fails"));
        assert!(handle.running().is_empty());
    });
}
