//! Each rule of a loop.

use crate::jumping::JumpingClock;
use crate::{gate, left};
use docache::run::{Actor, Backoff, Cause, Group, Loop, LoopActor};
use docache::{Context, Level, Logger, ManualClock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Calls up to the last, which stops the loop.
fn until(work: &Loop, last: u64) -> impl FnMut() -> u64 + use<> {
    let (handle, mut calls) = (work.handle(), 0);
    move || {
        calls += 1;
        if calls == last {
            handle.stop();
        }
        calls
    }
}

#[test]
fn an_actor_is_repeated_whatever_comes_of_it_until_it_is_stopped() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let mut work = Loop::new();
    let mut call = until(&work, 6);
    let actor = LoopActor::new("mixed", move || match call() {
        2 | 6 => Err("an error"),
        3 => panic!("a panic"),
        4 => std::panic::panic_any(4_u8),
        _ => Ok(()),
    });
    work.add(actor.on_failure(move |error| tell.lock().unwrap().push(error.to_string())));
    let report = work.run().unwrap();
    assert!(matches!(report.cause(), Cause::Stopped));
    assert_eq!(report.failures(), 4);
    assert_eq!(report.errors().len(), 1, "the last one");
    assert_eq!(
        *told.lock().unwrap(),
        [
            "mixed: an error",
            "mixed: panicked: a panic",
            "mixed: panicked: (a payload that is not a string)",
            "mixed: an error"
        ]
    );
}

#[test]
fn pauses_and_backoffs_lie_between_calls() {
    let clock = JumpingClock::default();
    let mut work = Loop::new().clock(clock.clone());
    let mut call = until(&work, 7);
    let actor = LoopActor::new("paced", move || match call() {
        2..=4 => Err("an error"),
        6 => panic!("a panic"),
        _ => Ok(()),
    });
    let backoff = Backoff::exponential(2 * SECOND).jitter(false);
    work.add(actor.pause(3 * SECOND).backoff(backoff));
    work.run().unwrap();
    let seconds: Vec<u64> = clock.waits().iter().map(Duration::as_secs).collect();
    // After a success, three failures in a row, a success, a failure; none when it is stopped.
    assert_eq!(seconds, [3, 3, 4, 8, 3, 3]);
}

#[test]
fn a_limit_of_failures_holds_in_a_storm_of_panics() {
    let clock = JumpingClock::default();
    let mut work = Loop::new().clock(clock.clone());
    let mut call = until(&work, 9);
    let actor = LoopActor::new("storm", move || -> Result<(), String> { panic!("{}", call()) });
    work.add(actor.failure_limit(3, 10 * SECOND));
    assert_eq!(work.run().unwrap().failures(), 9);
    assert_eq!(clock.waits(), [10 * SECOND; 2], "after the third and the sixth");
}

#[test]
fn a_stop_ends_a_wait_at_once() {
    // No time passes on this clock: a wait that were finished first would be for ever.
    let clock = ManualClock::new();
    for backoff in [true, false] {
        let (tell, told) = gate();
        let mut work = Loop::new().clock(clock.clone());
        let handle = work.handle();
        let actor = LoopActor::new("sleeps", move || {
            tell.send(()).unwrap();
            if backoff { panic!("into a backoff") } else { Ok::<(), String>(()) }
        });
        let hour = Duration::from_secs(3600);
        work.add(if backoff { actor.backoff(Backoff::constant(hour)) } else { actor.pause(hour) });
        let run = std::thread::spawn(move || work.run());
        told.recv().unwrap();
        handle.stop();
        assert_eq!(run.join().unwrap().unwrap().failures(), u64::from(backoff));
        assert!(told.recv().is_err(), "one call");
    }
}

#[test]
fn a_stop_ends_a_storm_of_panics() {
    let calls = Arc::new(AtomicUsize::new(0));
    let (count, mut work) = (calls.clone(), Loop::new());
    let handle = work.handle();
    work.add(LoopActor::new("storm", move || -> Result<(), String> {
        count.fetch_add(1, Ordering::Relaxed);
        std::panic::resume_unwind(Box::new("without a message from the hook"))
    }));
    let run = std::thread::spawn(move || work.run());
    while calls.load(Ordering::Relaxed) < 1_000 {
        std::thread::yield_now();
    }
    handle.stop();
    let report = run.join().unwrap().unwrap();
    assert_eq!(report.failures(), calls.load(Ordering::Relaxed) as u64);
}

#[test]
fn a_failure_handler_that_panics_is_logged_and_the_loop_goes_on() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = lines.clone();
    let logger =
        Logger::new(Level::Error, move |record| log.lock().unwrap().push(record.message().into()));
    let mut work = Loop::new().logger(logger);
    let mut call = until(&work, 3);
    let actor = LoopActor::new("fails", move || Err(call().to_string()));
    work.add(actor.on_failure(|_| panic!("a bad handler")));
    assert_eq!(work.run().unwrap().failures(), 3);
    let lines: Vec<String> = lines.lock().unwrap().clone();
    assert_eq!(lines, ["fails: failure handler: panicked: a bad handler"; 3]);
}

#[test]
fn without_actors_it_waits_to_be_stopped() {
    let work = Loop::new();
    let handle = work.handle();
    let run = std::thread::spawn(move || work.run());
    assert!(!run.is_finished());
    handle.stop();
    assert!(matches!(run.join().unwrap().unwrap().cause(), Cause::Stopped));
    let context = Context::new();
    context.cancel();
    let report = Loop::new().context(&context).run().unwrap();
    assert!(matches!(report.cause(), Cause::Context(_)));
}

#[test]
fn stopped_before_it_runs_it_calls_nobody() {
    let mut work = Loop::new();
    work.add(LoopActor::new("never", || -> Result<(), String> { unreachable!() }));
    work.handle().stop();
    assert_eq!(work.run().unwrap().failures(), 0);
}

/// What an interrupt has made return is not called again, though the context is cancelled only
/// afterwards: the second call would never return.
#[test]
fn nothing_is_called_again_after_its_interrupt() {
    for _ in 0..200 {
        let (interrupted, calls) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (open, waits) = channel::<()>();
        let (tell, told) = gate();
        let (count, flag): (Arc<AtomicUsize>, _) = (Arc::clone(&calls), interrupted.clone());
        let mut work = Loop::new();
        let actor = LoopActor::new("blocks", move || {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = tell.send(());
            assert!(!flag.load(Ordering::Relaxed), "a call after its interrupt");
            waits.recv()
        });
        let mark = interrupted.clone();
        work.add(actor.interrupt(move |cause| {
            assert!(matches!(cause, Cause::Stopped));
            mark.store(true, Ordering::Relaxed);
            drop(open);
        }));
        let handle = work.handle();
        let run = std::thread::spawn(move || work.run());
        told.recv().unwrap();
        handle.stop();
        assert_eq!(run.join().unwrap().unwrap().failures(), 1);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn an_interrupt_that_panics_goes_on_after_the_teardown() {
    let (tell, told) = gate();
    let mut work = Loop::new();
    let handle = work.handle();
    let bad = LoopActor::with_context("bad", move |ctx| {
        tell.send(()).unwrap();
        ctx.wait(None);
        Ok::<(), String>(())
    });
    work.add(bad.interrupt(|_| panic!("a bad interrupt")));
    let run = std::thread::spawn(move || catch_unwind(AssertUnwindSafe(|| work.run())));
    told.recv().unwrap();
    handle.stop();
    let payload = run.join().unwrap().unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"a bad interrupt"));
}

#[test]
fn stages_and_deadlines_hold_for_loops_too() {
    let clock = ManualClock::new();
    let (_keep, never) = gate();
    let (tell, told) = channel();
    let started = Arc::new(Barrier::new(3));
    let mut work = Loop::new().clock(clock.clone()).deadline(SECOND);
    let (one, two) = (started.clone(), started.clone());
    let mut calls = 0;
    let deaf = LoopActor::new("deaf", move || {
        calls += 1;
        if calls == 1 {
            one.wait();
        }
        never.recv()
    });
    let tells = tell.clone();
    work.add(deaf.interrupt(move |_| tells.send("deaf").unwrap()));
    let mut calls = 0;
    let last = LoopActor::with_context("last", move |ctx| {
        calls += 1;
        if calls == 1 {
            two.wait();
        }
        ctx.wait(None);
        Ok::<(), String>(())
    });
    work.add(last.stage(1).interrupt(move |_| tell.send("last").unwrap()));
    let handle = work.handle();
    let run = std::thread::spawn(move || work.run());
    started.wait();
    handle.stop();
    assert_eq!(told.recv().unwrap(), "deaf");
    assert!(told.try_recv().is_err());
    clock.advance(SECOND);
    assert_eq!(told.recv().unwrap(), "last");
    let error = run.join().unwrap().unwrap_err();
    assert_eq!(left(error.report()), ["deaf"]);
    assert_eq!(error.to_string(), "the group was told to stop; still running: \"deaf\"");
}

#[test]
fn a_loop_is_an_actor_of_a_group() {
    let mut polls = Loop::new();
    let (tell, told) = channel();
    polls.add(LoopActor::new("poll", move || tell.send(())).pause(Duration::from_secs(3600)));
    let mut group = Group::new();
    group.add(polls.into_actor("polls"));
    group.add(Actor::new("fails", move || {
        told.recv().map_err(|error| error.to_string())?;
        Err::<(), _>("so it ends".to_owned())
    }));
    assert_eq!(group.run().unwrap_err().actor(), Some("fails"));
}
