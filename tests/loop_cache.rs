//! The loop cache, step by step, on a clock that stands still between the steps.

use docache::{Builder, Clock, Context, ErrorKind, Level, Logger, LoopCache, ManualClock, Schedule};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

const SECOND: Duration = Duration::from_secs(1);

/// Counts 1, 2, 3 … at one second.
fn counter(clock: &ManualClock) -> Builder<u64> {
    let mut calls = 0;
    let doer = move || {
        calls += 1;
        Ok::<_, std::io::Error>(calls)
    };
    LoopCache::builder(doer).interval(SECOND).clock(clock.clone())
}

/// A Doer that says when it is in its call and stays there until it is let go.
struct Gated {
    entered: Receiver<()>,
    leave: Sender<()>,
    cache: LoopCache<u64>,
}

fn gated(clock: &ManualClock, set: impl FnOnce(Builder<u64>) -> Builder<u64>) -> Gated {
    let (enter, entered) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let mut calls = 0;
    let doer = move || {
        enter.send(()).map_err(|_| "nobody is there")?;
        left.recv().map_err(|_| "nobody is there")?;
        calls += 1;
        Ok::<_, &str>(calls)
    };
    let cache = set(LoopCache::builder(doer).interval(SECOND).clock(clock.clone())).build().unwrap();
    Gated { entered, leave, cache }
}

#[test]
fn it_calls_at_once_and_then_at_the_interval() {
    let clock = ManualClock::new();
    let cache = counter(&clock).capacity(3).build().unwrap();
    assert!(cache.latest().is_none() && cache.snapshot().is_empty() && cache.version() == 0);
    cache.start().unwrap();
    assert_eq!(*cache.wait_first(None).unwrap(), 1);
    for call in 2..=5 {
        clock.advance(SECOND);
        assert_eq!(cache.changed(call - 1).wait(None).unwrap(), call);
        assert_eq!(cache.latest().as_deref(), Some(&call));
    }
    let values: Vec<_> = cache.snapshot().iter().filter_map(|entry| entry.value().copied()).collect();
    assert_eq!(values, [3, 4, 5]);
    let backwards: Vec<_> = cache.snapshot().iter().rev().map(docache::Entry::sequence).collect();
    assert_eq!(backwards, [5, 4, 3]);
    assert_eq!(cache.stats().calls, 5);
}

#[test]
fn an_entry_tells_when_it_was_made_and_how_long_it_took() {
    let clock = ManualClock::new();
    clock.advance(SECOND);
    let inside = clock.clone();
    let doer = move || {
        inside.advance(2 * SECOND);
        Ok::<_, std::io::Error>(())
    };
    let cache = LoopCache::builder(doer).interval(SECOND).clock(clock.clone()).build().unwrap();
    cache.start().unwrap();
    let reading = cache.wait_first(None).unwrap();
    assert_eq!(reading.timestamp(), SystemTime::UNIX_EPOCH + SECOND);
    assert_eq!((reading.duration(), reading.age(), reading.sequence()), (2 * SECOND, 2 * SECOND, 1));
    assert_eq!(reading.entry().started().as_nanos(), 1_000_000_000);
    let kept = reading.to_entry();
    drop(reading);
    cache.stop();
    clock.advance(SECOND);
    assert_eq!(kept.age_at(clock.now()), 3 * SECOND);
}

#[test]
fn failures_and_panics_are_recorded_and_the_loop_goes_on() {
    let clock = ManualClock::new();
    let mut calls = 0;
    let doer = move || {
        calls += 1;
        match calls {
            2 => Err(std::io::Error::other("no signal")),
            3 => panic!("the Doer broke"),
            4 => std::panic::panic_any(4_u8),
            _ => Ok(calls),
        }
    };
    let cache = LoopCache::builder(doer).interval(SECOND).capacity(9).clock(clock.clone()).build().unwrap();
    cache.start().unwrap();
    for call in 1..=5 {
        cache.changed(call - 1).wait(None).unwrap();
        let (latest, newest) =
            (cache.latest().unwrap().sequence(), cache.snapshot().newest().unwrap().sequence());
        assert_eq!((latest, newest), (if call == 5 { 5 } else { 1 }, call));
        cache.refresh().wait(None).map_or_else(|error| panic!("{error}"), drop);
        if call == 4 {
            break;
        }
    }
    cache.stop();
    let snapshot = cache.snapshot();
    let errors: Vec<_> = snapshot.iter().filter_map(docache::Entry::error).collect();
    assert_eq!(errors[0].downcast_ref::<std::io::Error>().unwrap().to_string(), "no signal");
    assert_eq!(
        (errors[1].kind(), errors[1].to_string()),
        (ErrorKind::Panicked, "panicked: the Doer broke".into())
    );
    assert!(errors[2].is_panicked());
    let stats = cache.stats();
    assert_eq!((stats.calls, stats.failures, stats.panics, stats.consecutive_failures), (5, 3, 2, 0));
    assert!(stats.last_error.unwrap().is_panicked());
}

#[test]
fn bad_settings_are_refused_by_name() {
    let clock = ManualClock::new();
    let refused = |builder: Builder<u64>| builder.build().unwrap_err().to_string();
    assert_eq!(
        refused(counter(&clock).interval(Duration::ZERO)),
        "interval: 0ns is not accepted; give at least 1ns"
    );
    let missing = LoopCache::builder(|| Ok::<_, &str>(1)).build().unwrap_err();
    assert_eq!(missing.to_string(), "interval: no value is not accepted; give at least 1ns");
    assert!(refused(counter(&clock).name("a\0b")).starts_with("name: \"a\\0b\" is not accepted"));
    assert!(refused(counter(&clock).name("")).starts_with("name: \"\""));
}

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
    assert!(cache.run(&Context::new()).unwrap_err().is_busy(), "and this does not take the start back");
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
fn a_fixed_rate_keeps_its_rhythm_and_counts_what_it_skips() {
    let clock = ManualClock::new();
    let Gated { entered, leave, cache } = gated(&clock, |builder| builder.schedule(Schedule::FixedRate));
    cache.start().unwrap();
    entered.recv().unwrap();
    // Due at 0; the call lasts until 2.5: 1 is skipped, 2 comes late, and the next is due at 3.
    clock.advance(SECOND * 5 / 2);
    leave.send(()).unwrap();
    entered.recv().unwrap();
    leave.send(()).unwrap();
    cache.changed(1).wait(None).unwrap();
    let refresh = cache.refresh();
    entered.recv().unwrap();
    leave.send(()).unwrap();
    refresh.wait(None).unwrap();
    clock.advance(SECOND / 2);
    entered.recv().unwrap();
    assert_eq!(clock.now().as_nanos(), 3_000_000_000);
    leave.send(()).unwrap();
    cache.changed(3).wait(None).unwrap();
    cache.stop();
    let stats = cache.stats();
    assert_eq!(
        (stats.skipped_ticks, stats.max_lateness, stats.last_lateness),
        (1, SECOND / 2, Duration::ZERO)
    );
}

#[test]
fn a_fixed_delay_counts_from_the_end_of_a_call() {
    let clock = ManualClock::new();
    let Gated { entered, leave, cache } = gated(&clock, |builder| builder);
    cache.start().unwrap();
    entered.recv().unwrap();
    clock.advance(SECOND * 5 / 2);
    leave.send(()).unwrap();
    cache.changed(0).wait(None).unwrap();
    clock.advance(SECOND - Duration::from_nanos(1));
    assert!(cache.changed(1).wait(Duration::ZERO).unwrap_err().is_timeout());
    clock.advance(Duration::from_nanos(1));
    entered.recv().unwrap();
    leave.send(()).unwrap();
    cache.changed(1).wait(None).unwrap();
    assert_eq!(cache.stats().skipped_ticks, 0);
}

#[test]
fn jitter_only_lengthens_and_never_by_more_than_it_may() {
    let clock = ManualClock::new();
    let cache = counter(&clock).jitter(SECOND).build().unwrap();
    cache.start().unwrap();
    for call in 1..=20 {
        cache.changed(call - 1).wait(None).unwrap();
        clock.advance(SECOND - Duration::from_nanos(1));
        assert!(cache.changed(call).wait(Duration::ZERO).unwrap_err().is_timeout());
        clock.advance(SECOND + Duration::from_nanos(1));
        assert_eq!(cache.changed(call).wait(None).unwrap(), call + 1);
    }
}

#[test]
fn refreshes_that_meet_share_one_call_that_began_after_them() {
    let clock = ManualClock::new();
    let Gated { entered, leave, cache } = gated(&clock, |builder| builder);
    cache.start().unwrap();
    entered.recv().unwrap();
    // All of these come during call 1, which is too old for them.
    let refreshes: Vec<_> = (0..8).map(|_| cache.refresh()).collect();
    leave.send(()).unwrap();
    entered.recv().unwrap();
    leave.send(()).unwrap();
    for refresh in refreshes {
        assert_eq!(refresh.wait(None).unwrap().value(), Some(&2));
    }
    cache.stop();
    assert_eq!(cache.stats().calls, 2);
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
    let cache = LoopCache::builder(doer).interval(SECOND).clock(ManualClock::new()).build().unwrap();
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
fn waits_end_with_the_callers_context_or_limit() {
    let clock = ManualClock::new();
    let cache = counter(&clock).build().unwrap();
    let context = Context::with_clock(clock.clone()).with_timeout(SECOND);
    let timed = std::thread::spawn({
        let (changed, context) = (cache.changed(0), context.clone());
        move || changed.wait_in(&context)
    });
    let limited = cache.changed(0);
    clock.advance(SECOND);
    assert!(timed.join().unwrap().unwrap_err().is_timeout());
    assert!(limited.wait(Duration::ZERO).unwrap_err().is_timeout());
    let cancelled = Context::new();
    cancelled.cancel();
    assert!(cache.changed(0).wait_in(&cancelled).unwrap_err().is_cancelled());
    let first = cache.wait_first(Duration::ZERO).unwrap_err();
    assert_eq!(first.to_string(), "timed out: the first success");
}

#[test]
fn a_first_success_that_does_not_come_names_the_last_failure() {
    let cache = LoopCache::builder(|| Err::<(), _>("no signal"))
        .interval(SECOND)
        .clock(ManualClock::new())
        .build()
        .unwrap();
    cache.start().unwrap();
    cache.changed(0).wait(None).unwrap();
    // The counters follow the publication; a refresh ends after both.
    cache.refresh().wait(None).unwrap();
    let error = cache.wait_first(Duration::ZERO).unwrap_err();
    assert_eq!(error.to_string(), "timed out: the first success; the Doer's last error: no signal");
}

#[test]
fn tasks_wait_too() {
    let clock = ManualClock::new();
    let cache = counter(&clock).build().unwrap();
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = woken.clone().into();
    let mut task = std::task::Context::from_waker(&waker);
    let mut changed = Box::pin(cache.changed(0));
    assert!(changed.as_mut().poll(&mut task).is_pending());
    cache.start().unwrap();
    cache.wait_first(None).unwrap();
    while woken.0.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    assert!(matches!(changed.as_mut().poll(&mut task), std::task::Poll::Ready(Ok(1))));
}

struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_logger_hears_of_starts_failures_and_stops_and_may_break() {
    let heard: Arc<Mutex<Vec<(Level, String, String)>>> = Arc::default();
    let hears = heard.clone();
    let logger = Logger::new(Level::Trace, move |record| {
        let line = (record.level(), record.target().to_owned(), record.message().to_owned());
        hears.lock().unwrap().push(line);
        panic!("a bad logger");
    });
    let mut calls = 0;
    let doer = move || {
        calls += 1;
        if calls == 1 { Err("no signal") } else { panic!("broken") }
    };
    let cache = LoopCache::<()>::builder(doer).interval(SECOND).name("probe").logger(logger);
    let cache = cache.clock(ManualClock::new()).build().unwrap();
    cache.start().unwrap();
    cache.refresh().wait(None).unwrap();
    cache.stop();
    let heard: Vec<_> = heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let first = (Level::Info, "probe".to_owned(), "started".to_owned());
    assert_eq!(heard[0], first);
    assert!(heard.contains(&(Level::Warn, "probe".into(), "failed: no signal".into())));
}

#[test]
fn values_are_released_when_nobody_shows_them_any_more() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let counts = alive.clone();
    let doer = move || {
        counts.fetch_add(1, Ordering::SeqCst);
        Ok::<_, &str>(Counted(counts.clone()))
    };
    let cache =
        LoopCache::builder(doer).interval(SECOND).capacity(3).clock(ManualClock::new()).build().unwrap();
    cache.start().unwrap();
    cache.wait_first(None).unwrap();
    let old = cache.snapshot();
    for _ in 0..20 {
        cache.refresh().wait(None).unwrap();
    }
    cache.stop();
    assert_eq!(alive.load(Ordering::SeqCst), 3 + old.len());
    drop(old);
    assert_eq!(alive.load(Ordering::SeqCst), 3);
    drop(cache);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

/// A payload, or a value, whose destructor panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bad destructor");
    }
}

#[test]
fn panics_that_panic_when_dropped_end_neither_the_loop_nor_anybodys_wait() {
    struct BadWaker;
    impl std::task::Wake for BadWaker {
        fn wake(self: Arc<Self>) {
            std::panic::panic_any(Bomb);
        }
    }
    let logger = Logger::new(Level::Trace, |_| std::panic::panic_any(Bomb));
    let doer = || -> Result<(), &str> { std::panic::panic_any(Bomb) };
    let cache =
        LoopCache::builder(doer).interval(SECOND).logger(logger).clock(ManualClock::new()).build().unwrap();
    let waker = Arc::new(BadWaker).into();
    let mut task = std::task::Context::from_waker(&waker);
    let mut bad = Box::pin(cache.changed(0));
    assert!(bad.as_mut().poll(&mut task).is_pending());
    let waiter = std::thread::spawn({
        let changed = cache.changed(0);
        move || changed.wait(None)
    });
    cache.start().unwrap();
    assert_eq!(waiter.join().unwrap().unwrap(), 1);
    assert!(cache.refresh().wait(None).unwrap().error().unwrap().is_panicked());
    cache.stop();
    assert!(!cache.is_running());
}

#[test]
fn destructors_that_panic_are_contained_whoever_drops_the_result() {
    let mut calls = 0;
    let doer = move || {
        calls += 1;
        if calls % 3 == 0 { Err("fails") } else { Ok(Bomb) }
    };
    let cache =
        LoopCache::builder(doer).interval(SECOND).capacity(2).clock(ManualClock::new()).build().unwrap();
    cache.start().unwrap();
    let (mut reader, mut snapshots) = (cache.reader(), Vec::new());
    for _ in 0..9 {
        cache.refresh().wait(None).unwrap();
        snapshots.push(cache.snapshot());
        assert!(reader.view().newest().is_some());
    }
    cache.stop();
    drop((snapshots, reader, cache));
}

#[test]
fn a_doers_destructor_that_panics_reaches_nobody() {
    let bomb = Bomb;
    let doer = move || {
        let _kept = &bomb;
        Ok::<_, &str>(())
    };
    let cache = LoopCache::builder(doer).interval(SECOND).clock(ManualClock::new()).build().unwrap();
    cache.start().unwrap();
    let changed = cache.changed(7);
    drop(cache);
    assert!(changed.wait(None).unwrap_err().is_closed());
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

#[test]
fn a_doers_own_error_stays_its_own() {
    let upstream = LoopCache::builder(|| -> Result<(), &str> { panic!("upstream broke") });
    let upstream = upstream.interval(SECOND).clock(ManualClock::new()).build().unwrap();
    upstream.start().unwrap();
    let broken = upstream.refresh().wait(None).unwrap().error().unwrap().clone();
    assert!(broken.is_panicked());
    let doer = move || Err::<(), _>(broken.clone());
    let cache = LoopCache::builder(doer).interval(SECOND).clock(ManualClock::new()).build().unwrap();
    cache.start().unwrap();
    let entry = cache.refresh().wait(None).unwrap();
    let error = entry.error().unwrap();
    assert!(error.is_failed() && error.downcast_ref::<docache::Error>().unwrap().is_panicked());
    assert_eq!(error.to_string(), "panicked: upstream broke");
    cache.stop();
    assert_eq!(cache.stats().panics, 0);
}

#[test]
fn a_result_that_is_there_by_the_deadline_counts() {
    /// Publishes when it is asked for the time, and then jumps past every deadline.
    #[derive(Debug)]
    struct Jumps(ManualClock, Arc<LoopCache<u64>>);
    impl Clock for Jumps {
        fn now(&self) -> docache::Tick {
            let now = self.0.now();
            self.1.refresh().wait(None).unwrap();
            self.0.advance(SECOND);
            now
        }
    }
    let cache = Arc::new(counter(&ManualClock::new()).build().unwrap());
    cache.start().unwrap();
    cache.wait_first(None).unwrap();
    let context = Context::with_clock(Jumps(ManualClock::new(), cache.clone()))
        .with_deadline(docache::Tick::from_nanos(1));
    let since = cache.version();
    assert!(cache.changed(since).wait_in(&context).is_ok());
}
