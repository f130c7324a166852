//! The life of a loop cache: start, run, stop, contexts, drop.

mod common;

use common::{Gated, SECOND, counter, gated};
use docache::{Context, Level, Logger, LoopCache, ManualClock};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

#[test]
fn it_starts_and_stops_and_starts_again() {
    let clock = ManualClock::new();
    let cache = counter(&clock).capacity(10).build().unwrap();
    cache.stop();
    for run in 1..=3 {
        assert!(cache.start().unwrap());
        assert!(!cache.start().unwrap(), "a second start does nothing");
        cache.changed(run - 1).wait(None).unwrap();
        cache.stop();
        cache.stop();
        assert!(!cache.is_running());
        clock.advance(10 * SECOND);
        assert_eq!(cache.version(), run, "a stopped loop calls nobody, and keeps its results");
    }
    assert_eq!(cache.snapshot().len(), 3);
}

#[test]
fn a_huge_interval_stops_at_once() {
    for interval in [Duration::MAX, Duration::from_secs(u64::MAX / 2)] {
        let cache = LoopCache::builder(|| Ok::<_, &str>(1)).interval(interval).build().unwrap();
        cache.start().unwrap();
        cache.wait_first(None).unwrap();
        cache.stop();
        assert!(!cache.is_running());
    }
}

#[test]
fn a_first_delay_delays_every_start_and_nothing_else() {
    let clock = ManualClock::new();
    let cache = counter(&clock).first_delay(5 * SECOND).build().unwrap();
    cache.start().unwrap();
    assert!(cache.changed(0).wait(Duration::ZERO).unwrap_err().is_timeout());
    clock.advance(5 * SECOND);
    cache.changed(0).wait(None).unwrap();
    cache.stop();
    // A refresh that its run could not serve any more is not owed by the next one.
    assert!(cache.refresh().wait(None).unwrap_err().is_closed());
    cache.start().unwrap();
    assert!(cache.changed(1).wait(Duration::ZERO).unwrap_err().is_timeout());
    clock.advance(5 * SECOND);
    assert_eq!(cache.changed(1).wait(None).unwrap(), 2);
}

#[test]
fn stop_with_a_deadline_reports_a_doer_that_does_not_return() {
    let clock = ManualClock::new();
    let Gated { entered, leave, cache } = gated(&clock, |builder| builder);
    cache.start().unwrap();
    entered.recv().unwrap();
    let error = cache.stop_within(Duration::ZERO).unwrap_err();
    assert!(error.is_timeout() && error.to_string().contains("still in its call"), "{error}");
    assert!(cache.is_running());
    leave.send(()).unwrap();
    cache.stop_within(SECOND).unwrap();
    assert!(!cache.is_running());
    assert_eq!(cache.latest().as_deref(), Some(&1), "what a stopped call came to is kept");
}

#[test]
fn a_start_while_stopping_runs_again_after_the_call() {
    let clock = ManualClock::new();
    let Gated { entered, leave, cache } = gated(&clock, |builder| builder);
    cache.start().unwrap();
    entered.recv().unwrap();
    cache.stop_within(Duration::ZERO).unwrap_err();
    assert!(cache.start().unwrap());
    assert!(
        cache.run(&Context::new()).unwrap_err().is_busy(),
        "and this does not take the start back"
    );
    leave.send(()).unwrap();
    entered.recv().unwrap();
    assert_eq!(cache.version(), 1);
    leave.send(()).unwrap();
    assert_eq!(cache.changed(1).wait(None).unwrap(), 2);
    cache.stop();
    cache.start().unwrap();
    entered.recv().unwrap();
    cache.stop_within(Duration::ZERO).unwrap_err();
    cache.start().unwrap();
    cache.stop_within(Duration::ZERO).unwrap_err();
    leave.send(()).unwrap();
    cache.stop();
    assert!(entered.try_recv().is_err(), "a stop takes the start back");
}

#[test]
fn waiting_inside_the_doer_is_refused_and_stopping_is_not() {
    let slot: Arc<OnceLock<LoopCache<()>>> = Arc::default();
    let inside = slot.clone();
    let doer = move || {
        let cache = inside.get().ok_or("not there yet")?;
        assert!(cache.refresh().wait(None).unwrap_err().is_reentrant());
        assert!(cache.refresh().wait_in(&Context::new()).unwrap_err().is_reentrant());
        assert!(cache.changed(0).wait(None).unwrap_err().is_reentrant());
        assert!(cache.wait_first(None).unwrap_err().is_reentrant());
        assert!(cache.run(&Context::new()).unwrap_err().is_busy());
        assert!(!cache.start().map_err(|error| error.to_string())?);
        cache.stop();
        Ok::<_, docache::BoxError>(())
    };
    let cache =
        LoopCache::builder(doer).interval(SECOND).clock(ManualClock::new()).build().unwrap();
    slot.set(cache).unwrap();
    let cache = slot.get().unwrap();
    cache.run(&Context::new()).unwrap();
    assert!(cache.latest().is_some(), "{:?}", cache.stats().last_error);
    assert_eq!(cache.stats().calls, 1);
}

#[test]
fn a_loop_cache_may_be_dropped_inside_its_doer() {
    let slot: Arc<Mutex<Option<LoopCache<u64>>>> = Arc::default();
    let (inside, dropped) = (slot.clone(), Arc::new(()));
    let watched = dropped.clone();
    let doer = move || {
        let _kept = &watched;
        drop(inside.lock().unwrap().take());
        Ok::<_, &str>(1)
    };
    let cache = LoopCache::builder(doer).interval(SECOND).build().unwrap();
    let changed = cache.changed(0);
    let held = slot.lock().unwrap();
    cache.start().unwrap();
    let mut held = held;
    *held = Some(cache);
    drop(held);
    assert_eq!(changed.wait(None).unwrap(), 1, "the call that was under way is published");
    while Arc::strong_count(&dropped) > 1 {
        std::thread::yield_now();
    }
}

#[test]
fn dropping_it_ends_waits_but_not_snapshots_and_readers() {
    let clock = ManualClock::new();
    let doer_lives = Arc::new(());
    let kept = doer_lives.clone();
    let mut calls = 0;
    let doer = move || {
        let _kept = &kept;
        calls += 1;
        Ok::<_, &str>(vec![calls])
    };
    let cache = LoopCache::builder(doer).interval(SECOND).capacity(4).clock(clock).build().unwrap();
    cache.start().unwrap();
    cache.wait_first(None).unwrap();
    let (snapshot, mut reader, changed, refresh) =
        (cache.snapshot(), cache.reader(), cache.changed(1), cache.reader().changed(7));
    cache.stop();
    drop(cache);
    assert_eq!(Arc::strong_count(&doer_lives), 1, "the Doer is gone, whoever still reads");
    assert!(changed.wait(None).unwrap_err().is_closed());
    assert!(refresh.wait(None).unwrap_err().is_closed());
    assert_eq!(snapshot.get(0).unwrap().value(), Some(&vec![1]));
    assert_eq!(reader.value(), Some(&vec![1]));
    assert_eq!(reader.snapshot().version(), 1);
}

#[test]
fn its_context_stops_it_for_good() {
    let clock = ManualClock::new();
    let context = Context::with_clock(clock.clone()).with_timeout(3 * SECOND);
    let cache = counter(&clock).interval(10 * SECOND).context(&context).build().unwrap();
    cache.start().unwrap();
    cache.wait_first(None).unwrap();
    clock.advance(3 * SECOND);
    assert!(cache.changed(u64::MAX).wait(None).unwrap_err().is_timeout());
    cache.stop();
    assert!(cache.start().unwrap_err().is_timeout());
    assert!(cache.run(&Context::new()).unwrap_err().is_timeout());
    assert!(cache.refresh().wait(None).unwrap_err().is_closed());
    assert_eq!(*cache.wait_first(None).unwrap(), 1, "what is there stays");
    let done = Context::new();
    done.cancel();
    let cache = counter(&clock).context(&done).build().unwrap();
    assert!(cache.start().unwrap_err().is_cancelled());
    assert!(cache.wait_first(None).unwrap_err().is_cancelled());
}

#[test]
fn run_ends_with_its_context_and_reports_it() {
    let clock = ManualClock::new();
    let cache = counter(&clock).build().unwrap();
    let context = Context::new();
    std::thread::scope(|scope| {
        let runner = scope.spawn(|| cache.run(&context));
        cache.wait_first(None).unwrap();
        assert!(cache.run(&Context::new()).unwrap_err().is_busy());
        context.cancel();
        assert!(runner.join().unwrap().unwrap_err().is_cancelled());
        let runner = scope.spawn(|| cache.run(&Context::background()));
        cache.changed(1).wait(None).unwrap();
        cache.stop();
        runner.join().unwrap().unwrap();
    });
    assert!(cache.run(&context).unwrap_err().is_cancelled());
    assert_eq!(cache.version(), 2);
}

#[test]
fn a_context_that_ends_a_run_leaves_the_next_start_alone() {
    let clock = ManualClock::new();
    let Gated { entered, leave, cache } = gated(&clock, |builder| builder);
    let context = Context::new();
    std::thread::scope(|scope| {
        let runner = scope.spawn(|| cache.run(&context));
        entered.recv().unwrap();
        cache.stop_within(Duration::ZERO).unwrap_err();
        assert!(cache.start().unwrap());
        assert!(!cache.start().unwrap(), "the other start did it");
        context.cancel();
        leave.send(()).unwrap();
        // It was stopped before its context was done.
        runner.join().unwrap().unwrap();
        entered.recv().unwrap();
        leave.send(()).unwrap();
        assert_eq!(cache.changed(1).wait(None).unwrap(), 2);
    });
}

#[test]
fn a_stop_with_a_limit_does_not_wait_for_a_slow_logger() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let logger = Logger::new(Level::Info, move |record| {
        if record.message() == "stopped" {
            let _ = released.lock().unwrap().recv();
        }
    });
    let clock = ManualClock::new();
    let cache = counter(&clock).logger(logger).build().unwrap();
    cache.start().unwrap();
    cache.wait_first(None).unwrap();
    assert!(cache.stop_within(Duration::ZERO).unwrap_err().is_timeout());
    release.send(()).unwrap();
    cache.stop();
    assert!(!cache.is_running());
}
