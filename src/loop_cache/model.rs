//! Models of a loop cache's life: start, stop and run against each other. The clock stands still,
//! so that a runner sleeps until it is called.

use super::*;
use crate::clock::ManualClock;
use crate::sync::model;
use loom::thread;
use std::sync::atomic::{AtomicUsize, Ordering as StdOrdering};

/// A loop cache that counts its calls; two calls at once would trip it.
fn cache(calls: &Arc<AtomicUsize>) -> Arc<LoopCache<usize>> {
    let (calls, busy) = (calls.clone(), AtomicUsize::new(0));
    let doer = move || {
        assert_eq!(busy.fetch_add(1, StdOrdering::SeqCst), 0, "ONE-RUNNER");
        thread::yield_now();
        busy.fetch_sub(1, StdOrdering::SeqCst);
        Ok::<_, std::io::Error>(calls.fetch_add(1, StdOrdering::SeqCst) + 1)
    };
    let builder =
        LoopCache::builder(doer).interval(Duration::from_secs(1)).clock(ManualClock::new());
    Arc::new(builder.build().unwrap())
}

#[test]
fn start_against_stop() {
    model(|| {
        let calls = Arc::default();
        let cache = cache(&calls);
        let other = cache.clone();
        let stopper = thread::spawn(move || other.stop());
        assert!(cache.start().unwrap());
        stopper.join().unwrap();
        cache.stop();
        assert!(!cache.is_running());
        assert_eq!(cache.version(), calls.load(StdOrdering::SeqCst) as u64);
    });
}

#[test]
fn start_against_start() {
    model(|| {
        let calls = Arc::default();
        let cache = cache(&calls);
        let other = cache.clone();
        let starter = thread::spawn(move || other.start().unwrap());
        let here = cache.start().unwrap();
        let there = starter.join().unwrap();
        assert!(here ^ there, "exactly one of two starts does it");
        cache.stop();
        assert!(!cache.is_running());
    });
}

#[test]
fn stop_against_a_restart() {
    model(|| {
        let calls = Arc::default();
        let cache = cache(&calls);
        cache.start().unwrap();
        // The run may be in its call, between its end and the next one, or gone.
        let _ = cache.stop_within(Duration::ZERO);
        cache.start().unwrap();
        cache.stop();
        assert!(!cache.is_running(), "nothing begins after a stop");
        assert_eq!(cache.version(), calls.load(StdOrdering::SeqCst) as u64);
    });
}

#[test]
fn run_against_stop() {
    model(|| {
        let calls = Arc::default();
        let cache = cache(&calls);
        let context = Context::new();
        let (other, end) = (cache.clone(), context.clone());
        let stopper = thread::spawn(move || {
            // Comes before the run, during it, or after: then the context ends it.
            other.stop();
            end.cancel();
        });
        assert!(cache.run(&context).err().is_none_or(|error| error.is_cancelled()));
        assert!(!cache.is_running());
        stopper.join().unwrap();
    });
}

#[test]
fn run_against_cancel() {
    model(|| {
        let calls = Arc::default();
        let cache = cache(&calls);
        let context = Context::new();
        let (other, end) = (cache.clone(), context.clone());
        let runner = thread::spawn(move || other.run(&end));
        context.cancel();
        assert!(runner.join().unwrap().unwrap_err().is_cancelled());
        assert!(!cache.is_running());
    });
}

#[test]
fn start_against_the_context_it_lives_in() {
    model(|| {
        let context = Context::new();
        let builder =
            LoopCache::builder(|| Ok::<_, std::io::Error>(())).interval(Duration::from_secs(1));
        let cache = builder.clock(ManualClock::new()).context(&context).build().unwrap();
        let canceller = thread::spawn(move || context.cancel());
        // Refused, or started and then stopped by the context alone; a run that escaped it would go
        // on for ever.
        if let Err(error) = cache.start() {
            assert!(error.is_cancelled());
        }
        canceller.join().unwrap();
        assert!(cache.changed(u64::MAX).wait(None).unwrap_err().is_cancelled());
        assert!(!cache.is_running());
    });
}

#[test]
fn a_published_result_against_its_readers() {
    model(|| {
        let calls = Arc::default();
        let cache = cache(&calls);
        cache.start().unwrap();
        if cache.version() == 1 {
            assert_eq!(cache.latest().as_deref(), Some(&1), "VERSION");
        }
        assert_eq!(cache.changed(0).wait(None).unwrap(), 1);
        assert_eq!(cache.latest().as_deref(), Some(&1));
        cache.stop();
    });
}

#[test]
fn refresh_against_stop() {
    model(|| {
        let calls = Arc::default();
        let cache = cache(&calls);
        cache.start().unwrap();
        let other = cache.clone();
        let stopper = thread::spawn(move || other.stop());
        // Served, or told that it never will be; a lost request would show as a deadlock.
        match cache.refresh().wait(None) {
            Ok(entry) => assert!(entry.sequence() >= 1),
            Err(error) => assert!(error.is_closed()),
        }
        stopper.join().unwrap();
        assert!(!cache.is_running());
    });
}

#[test]
fn drop_against_the_runner() {
    model(|| {
        let calls = Arc::default();
        let cache = cache(&calls);
        cache.start().unwrap();
        let changed = cache.changed(0);
        let waiter = thread::spawn(move || changed.wait(None));
        drop(cache);
        match waiter.join().unwrap() {
            Ok(version) => assert_eq!(version, 1),
            Err(error) => assert!(error.is_closed()),
        }
    });
}
