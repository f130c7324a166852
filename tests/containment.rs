//! Failures and panics of user code stay where they belong.

mod common;

use common::SECOND;
use docache::{ErrorKind, Level, Logger, LoopCache, ManualClock};
use std::sync::{Arc, Mutex};

/// A payload, or a value, whose destructor panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bad destructor");
    }
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
    let cache =
        LoopCache::builder(doer).interval(SECOND).capacity(9).clock(clock.clone()).build().unwrap();
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
    let errors: Vec<_> = snapshot.iter().filter_map(docache::LoopEntry::error).collect();
    assert_eq!(errors[0].downcast_ref::<std::io::Error>().unwrap().to_string(), "no signal");
    assert_eq!(
        (errors[1].kind(), errors[1].to_string()),
        (ErrorKind::Panicked, "panicked: the Doer broke".into())
    );
    assert!(errors[2].is_panicked());
    let stats = cache.stats();
    assert_eq!(
        (stats.calls, stats.failures, stats.panics, stats.consecutive_failures),
        (5, 3, 2, 0)
    );
    assert!(stats.last_error.unwrap().is_panicked());
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
fn panics_that_panic_when_dropped_end_neither_the_loop_nor_anybodys_wait() {
    struct BadWaker;
    impl std::task::Wake for BadWaker {
        fn wake(self: Arc<Self>) {
            std::panic::panic_any(Bomb);
        }
    }
    let logger = Logger::new(Level::Trace, |_| std::panic::panic_any(Bomb));
    let doer = || -> Result<(), &str> { std::panic::panic_any(Bomb) };
    let cache = LoopCache::builder(doer)
        .interval(SECOND)
        .logger(logger)
        .clock(ManualClock::new())
        .build()
        .unwrap();
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
    let cache = LoopCache::builder(doer)
        .interval(SECOND)
        .capacity(2)
        .clock(ManualClock::new())
        .build()
        .unwrap();
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
    let cache =
        LoopCache::builder(doer).interval(SECOND).clock(ManualClock::new()).build().unwrap();
    cache.start().unwrap();
    let changed = cache.changed(7);
    drop(cache);
    assert!(changed.wait(None).unwrap_err().is_closed());
}

#[test]
fn a_doers_own_error_stays_its_own() {
    let upstream = LoopCache::builder(|| -> Result<(), &str> { panic!("upstream broke") });
    let upstream = upstream.interval(SECOND).clock(ManualClock::new()).build().unwrap();
    upstream.start().unwrap();
    let broken = upstream.refresh().wait(None).unwrap().error().unwrap().clone();
    assert!(broken.is_panicked());
    let doer = move || Err::<(), _>(broken.clone());
    let cache =
        LoopCache::builder(doer).interval(SECOND).clock(ManualClock::new()).build().unwrap();
    cache.start().unwrap();
    let entry = cache.refresh().wait(None).unwrap();
    let error = entry.error().unwrap();
    assert!(error.is_failed() && error.downcast_ref::<docache::Error>().unwrap().is_panicked());
    assert_eq!(error.to_string(), "panicked: upstream broke");
    cache.stop();
    assert_eq!(cache.stats().panics, 0);
}
