//! When a group stops, whom it tells, and what it says afterwards.

use crate::{gate, left, wait};
use docache::run::{Actor, Cause, Group, StopOn};
use docache::{Context, Level, Logger, ManualClock};
use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

#[test]
fn without_actors_it_has_finished() {
    assert!(matches!(Group::new().run().unwrap().cause(), Cause::Finished));
}

#[test]
fn all_return_without_an_error_and_nobody_is_interrupted() {
    let mut group = Group::new();
    for name in ["one", "two"] {
        let actor = Actor::new(name, || Ok::<(), String>(()));
        group.add(actor.interrupt(|_| unreachable!("there is nobody to stop")));
    }
    let report = group.run().unwrap();
    assert!(matches!(report.cause(), Cause::Finished));
    assert_eq!((report.errors().len(), report.failures(), left(&report).len()), (0, 0, 0));
}

#[test]
fn a_return_without_an_error_does_not_stop_the_others() {
    let (tell, told) = gate();
    let mut group = Group::new();
    group.add(Actor::new("short", move || tell.send(())));
    let handle = group.handle();
    group.add(Actor::with_context("long", move |ctx| {
        told.recv().map_err(|error| error.to_string())?;
        // The thread of the other may have a few steps to go; it stops nothing.
        assert!(!handle.is_stopping() && !ctx.is_done());
        Ok::<(), String>(())
    }));
    assert!(matches!(group.run().unwrap().cause(), Cause::Finished));
}

#[test]
fn the_first_error_stops_the_others_and_comes_back_with_its_actor() {
    let (tell, told) = channel();
    let mut group = Group::new();
    let started = Arc::new(Barrier::new(3));
    for name in ["one", "two"] {
        let (tell, started) = (tell.clone(), started.clone());
        let actor = Actor::with_context(name, move |ctx| {
            started.wait();
            wait(ctx)
        });
        group.add(actor.interrupt(move |cause| tell.send(cause.to_string()).unwrap()));
    }
    group.add(Actor::new("disk", move || {
        started.wait();
        Err(io::Error::other("full"))
    }));
    drop(tell);
    let error = group.run().unwrap_err();
    assert_eq!(error.actor(), Some("disk"));
    assert_eq!(error.to_string(), "actor \"disk\" has failed: full");
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().to_string(), "full");
    assert!(error.source().is_none(), "a chain does not say the same twice");
    assert_eq!(error.report().errors()[0].to_string(), "disk: full");
    let causes: Vec<String> = told.iter().collect();
    assert_eq!(causes, ["actor \"disk\" has failed: full"; 2], "each once, with the cause");
}

#[test]
fn any_return_stops_the_others_if_so_wanted() {
    let mut group = Group::new().stop_on(StopOn::AnyReturn);
    group.add(Actor::with_context("long", wait));
    group.add(Actor::new("short", || Ok::<(), String>(())));
    let report = group.run().unwrap();
    assert!(matches!(report.cause(), Cause::Returned(name) if &**name == "short"));
    let mut group = Group::new().stop_on(StopOn::AnyReturn);
    group.add(Actor::with_context("long", wait));
    group.add(Actor::new("short", || Err("no")));
    assert_eq!(group.run().unwrap_err().actor(), Some("short"));
}

#[test]
fn failures_of_the_teardown_are_reported_and_change_nothing() {
    let mut group = Group::new();
    let started = Arc::new(Barrier::new(2));
    let begun = started.clone();
    group.add(Actor::with_context("sore", move |ctx| {
        begun.wait();
        ctx.wait(None);
        Err("interrupted")
    }));
    let handle = group.handle();
    group.add(Actor::new("stops", move || {
        started.wait();
        assert!(handle.stop() && !handle.stop(), "the first stop does it");
        Ok::<(), String>(())
    }));
    let report = group.run().unwrap();
    assert!(matches!(report.cause(), Cause::Stopped));
    assert_eq!(report.errors()[0].to_string(), "sore: interrupted");
    assert_eq!(report.failures(), 1);
}

#[test]
fn stopped_before_it_runs_it_starts_nobody() {
    let mut group = Group::new();
    let actor = Actor::new("never", || -> Result<(), String> { unreachable!() });
    group.add(actor.interrupt(|_| unreachable!()).on_failure(|_| unreachable!()));
    assert!(group.handle().stop());
    assert!(matches!(group.run().unwrap().cause(), Cause::Stopped));
    let context = Context::new();
    context.cancel();
    let group = Group::new().context(&context);
    assert!(group.run().is_ok());
}

#[test]
fn an_interrupt_is_called_once_also_when_its_execute_has_returned() {
    let calls = Arc::new(AtomicUsize::new(0));
    let (returned, has_returned) = gate();
    let mut group = Group::new();
    let (counted, started) = (calls.clone(), Arc::new(Barrier::new(2)));
    let begun = started.clone();
    let short = Actor::new("short", move || {
        begun.wait();
        Ok::<(), String>(())
    });
    group.add(short.interrupt(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let handle = group.handle();
    group.add(Actor::new("stops", move || {
        started.wait();
        while handle.running().iter().any(|name| &**name == "short") {
            std::thread::yield_now();
        }
        returned.send(()).unwrap();
        handle.stop();
        handle.stop();
        Ok::<(), String>(())
    }));
    group.run().unwrap();
    has_returned.recv().unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn interrupts_run_at_the_same_time() {
    const ACTORS: usize = 4;
    let (meet, started) = (Arc::new(Barrier::new(ACTORS)), Arc::new(Barrier::new(ACTORS + 1)));
    let mut group = Group::new();
    for number in 0..ACTORS {
        let (meet, started) = (meet.clone(), started.clone());
        let actor = Actor::with_context(format!("actor {number}"), move |ctx| {
            started.wait();
            wait(ctx)
        });
        // One after the other they would never meet.
        group.add(actor.interrupt(move |_| {
            meet.wait();
        }));
    }
    group.add(Actor::new("fails", move || {
        started.wait();
        Err("so it ends")
    }));
    assert!(group.run().is_err());
}

#[test]
fn who_does_not_stop_in_time_is_left_behind_by_name() {
    let clock = ManualClock::new();
    let mut group = Group::new().deadline(Duration::from_secs(5)).clock(clock.clone());
    let ((go, gone), (tell, told), (over, is_over)) = (gate(), gate(), gate());
    let (release, held) = gate();
    let started = Arc::new(Barrier::new(3));
    let (one, two) = (started.clone(), started.clone());
    let deaf = Actor::new("deaf", move || {
        one.wait();
        gone.recv().map_err(|error| error.to_string())?;
        over.send(()).map_err(|error| error.to_string())
    });
    group.add(deaf.interrupt(move |_| tell.send(()).unwrap()));
    let stuck = Actor::new("stuck", move || {
        two.wait();
        Ok::<(), String>(())
    });
    group.add(stuck.interrupt(move |_| held.recv().unwrap()));
    let handle = group.handle();
    group.add(Actor::new("weak", move || {
        started.wait();
        while handle.running().iter().any(|name| &**name == "stuck") {
            std::thread::yield_now();
        }
        Err("it broke")
    }));
    let handle = group.handle();
    let advancer = std::thread::spawn(move || {
        told.recv().unwrap();
        // So that only the two are left; the deadline counts from before the interrupts.
        while handle.running().len() > 2 {
            std::thread::yield_now();
        }
        clock.advance(Duration::from_secs(5));
        handle
    });
    let error = group.run().unwrap_err();
    let handle = advancer.join().unwrap();
    assert_eq!(
        error.to_string(),
        "actor \"weak\" has failed: it broke; still running: \"deaf\", \"stuck\""
    );
    let unfinished = error.report().unfinished();
    // (Its interrupt may be in its last lines.)
    assert!(unfinished[0].in_execute());
    assert!(!unfinished[1].in_execute() && unfinished[1].in_interrupt());
    assert!(error.report().cut_short().is_none());
    // They go on with what they own, and come to their end.
    assert_eq!(handle.running().len(), 2);
    go.send(()).unwrap();
    is_over.recv().unwrap();
    release.send(()).unwrap();
    while !handle.running().is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn the_wait_can_be_cut_short() {
    let (_keep, never) = channel::<()>();
    let ((deaf_told, deaf_hears), (last_told, last_hears)) = (gate(), gate());
    let started = Arc::new(Barrier::new(2));
    let mut group = Group::new();
    let (handle, begun) = (group.handle(), started.clone());
    let deaf = Actor::new("deaf", move || {
        begun.wait();
        handle.stop();
        never.recv()
    });
    group.add(deaf.interrupt(move |_| deaf_told.send(()).unwrap()));
    let last = Actor::with_context("last", move |ctx| {
        started.wait();
        wait(ctx)
    });
    group.add(last.stage(1).interrupt(move |_| last_told.send(()).unwrap()));
    let handle = group.handle();
    let cutter = std::thread::spawn(move || {
        deaf_hears.recv().unwrap();
        handle.stop_waiting();
    });
    let error = group.run().unwrap_err();
    cutter.join().unwrap();
    assert!(matches!(error.cause(), Cause::Stopped));
    assert_eq!(left(error.report())[0], "deaf");
    assert!(matches!(error.report().cut_short(), Some(Cause::Stopped)));
    assert!(error.to_string().contains("; the wait was cut short; still running: \"deaf\""));
    last_hears.recv().expect("those of later stages are interrupted nevertheless");
}

#[test]
fn a_context_stops_it() {
    let clock = ManualClock::new();
    let context = Context::with_clock(clock.clone()).with_timeout(Duration::from_secs(1));
    let ((begun, has_begun), mut group) = (gate(), Group::new().context(&context));
    group.add(Actor::with_context("waits", move |ctx| {
        begun.send(()).unwrap();
        wait(ctx)
    }));
    let advancer = std::thread::spawn(move || {
        has_begun.recv().unwrap();
        clock.advance(Duration::from_secs(1));
    });
    let report = group.run().unwrap();
    advancer.join().unwrap();
    assert!(matches!(report.cause(), Cause::Context(error) if error.is_timeout()));

    let context = Context::new();
    let mut group = Group::new().context(&context);
    group.add(Actor::new("cancels", move || {
        context.cancel();
        Ok::<(), String>(())
    }));
    group.add(Actor::with_context("waits", wait));
    let report = group.run().unwrap();
    assert!(matches!(report.cause(), Cause::Context(error) if error.is_cancelled()));
}

#[test]
fn tasks_are_dropped_where_they_wait_or_watch_a_context() {
    struct Told(std::sync::mpsc::Sender<&'static str>, &'static str);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(self.1);
        }
    }
    let (tell, told) = channel();
    let started = Arc::new(Barrier::new(3));
    let mut group = Group::new();
    let (told_drop, begun) = (Told(tell.clone(), "dropped"), started.clone());
    group.add(Actor::task("dropped", async move {
        let _told = told_drop;
        begun.wait();
        std::future::pending::<Result<(), String>>().await
    }));
    let begun = started.clone();
    group.add(Actor::task_with_context("watches", move |ctx| async move {
        begun.wait();
        ctx.cancelled().await;
        tell.send("tidied").map_err(|error| error.to_string())
    }));
    group.add(Actor::task("fails", async move {
        started.wait();
        Err("so it ends")
    }));
    assert_eq!(group.run().unwrap_err().actor(), Some("fails"));
    let mut ends: Vec<&str> = told.iter().collect();
    ends.sort_unstable();
    assert_eq!(ends, ["dropped", "tidied"]);
}

#[test]
fn its_logger_hears_of_failures_and_of_the_stop() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    let logger = Logger::new(Level::Info, move |record| {
        let line = format!("{:?} {}: {}", record.level(), record.target(), record.message());
        log.lock().unwrap().push(line);
    });
    let mut group = Group::new().name("service").logger(logger);
    group.add(Actor::new("disk", || Err("full")));
    assert!(group.run().is_err());
    let mut heard = heard.lock().unwrap().clone();
    heard.sort();
    assert_eq!(
        heard,
        ["Info service: stops: actor \"disk\" has failed: full", "Warn service: disk: full"]
    );
}

/// A name that no thread can have is no obstacle.
#[test]
fn any_name_will_do() {
    let mut group = Group::new();
    group.add(Actor::new("a\0b", || Err("no")));
    assert_eq!(group.run().unwrap_err().actor(), Some("a\0b"));
}

#[test]
fn what_comes_back_may_go_to_any_thread() {
    fn any<T: Send + Sync + 'static>() {}
    any::<docache::run::Handle>();
    any::<docache::run::Report>();
    any::<docache::run::RunError>();
    any::<docache::run::RetryError<io::Error>>();
    fn sent<T: Send + 'static>() {}
    sent::<Group>();
    sent::<docache::run::Loop>();
    sent::<docache::run::Retrier>();
}
