//! What a loop cache shows, and when it calls.

mod common;

use common::{Gated, SECOND, counter, gated};
use docache::{Clock, Context, LoopCache, LoopCacheBuilder, ManualClock, Schedule};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

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
    let values: Vec<_> =
        cache.snapshot().iter().filter_map(|entry| entry.value().copied()).collect();
    assert_eq!(values, [3, 4, 5]);
    let backwards: Vec<_> =
        cache.snapshot().iter().rev().map(docache::LoopEntry::sequence).collect();
    assert_eq!(backwards, [5, 4, 3]);
    let snapshot = cache.snapshot();
    let mut entries = snapshot.iter();
    assert_eq!(entries.size_hint(), (3, Some(3)));
    entries.next();
    assert_eq!(entries.size_hint(), (2, Some(2)));
    let reader = cache.reader();
    assert_eq!(reader.now(), clock.now());
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
    assert_eq!(
        (reading.duration(), reading.age(), reading.sequence()),
        (2 * SECOND, 2 * SECOND, 1)
    );
    assert_eq!(reading.entry().started().as_nanos(), 1_000_000_000);
    let kept = reading.to_entry();
    drop(reading);
    cache.stop();
    clock.advance(SECOND);
    assert_eq!(kept.age_at(clock.now()), 3 * SECOND);
}

#[test]
fn bad_settings_are_refused_by_name() {
    let clock = ManualClock::new();
    let refused = |builder: LoopCacheBuilder<u64>| builder.build().unwrap_err().to_string();
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
fn a_fixed_rate_keeps_its_rhythm_and_counts_what_it_skips() {
    let clock = ManualClock::new();
    let Gated { entered, leave, cache } =
        gated(&clock, |builder| builder.schedule(Schedule::FixedRate));
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
fn a_call_that_comes_late_makes_up_for_all_that_came_before_it() {
    let clock = ManualClock::new();
    let Gated { entered, leave, cache } =
        gated(&clock, |builder| builder.schedule(Schedule::FixedRate));
    cache.start().unwrap();
    entered.recv().unwrap();
    leave.send(()).unwrap();
    cache.changed(0).wait(None).unwrap();
    // As if the process had stood still: the call due at 1 comes at 10.5, and the next at 11.
    clock.advance(SECOND * 21 / 2);
    entered.recv().unwrap();
    leave.send(()).unwrap();
    cache.changed(1).wait(None).unwrap();
    clock.advance(SECOND / 2 - Duration::from_nanos(1));
    assert!(cache.changed(2).wait(Duration::ZERO).unwrap_err().is_timeout());
    clock.advance(Duration::from_nanos(1));
    entered.recv().unwrap();
    leave.send(()).unwrap();
    cache.changed(2).wait(None).unwrap();
    cache.stop();
    assert_eq!(cache.stats().skipped_ticks, 9);
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
    let cache = LoopCache::builder(doer)
        .interval(SECOND)
        .capacity(3)
        .clock(ManualClock::new())
        .build()
        .unwrap();
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

#[test]
fn a_clock_at_the_end_of_time_lets_it_call_once_and_then_on_request_alone() {
    for schedule in [Schedule::FixedDelay, Schedule::FixedRate] {
        let clock = ManualClock::new();
        clock.advance(Duration::MAX);
        let cache = counter(&clock).schedule(schedule).build().unwrap();
        cache.start().unwrap();
        assert_eq!(*cache.wait_first(None).unwrap(), 1, "what is due at once");
        for call in 2..5 {
            clock.advance(SECOND);
            assert!(cache.changed(call - 1).wait(Duration::ZERO).unwrap_err().is_timeout());
            assert_eq!(cache.refresh().wait(None).unwrap().sequence(), call);
        }
        cache.stop();
        assert_eq!(cache.version(), 4);
    }
}
