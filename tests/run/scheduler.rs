//! What a scheduler does with closures.

use docache::run::{Retrier, Retry, Scheduler, SchedulerBuilder};
use docache::{ErrorKind, Level, Logger, LoopCache, ManualClock};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);

fn manual() -> (ManualClock, SchedulerBuilder) {
    let clock = ManualClock::new();
    (clock.clone(), Scheduler::builder().clock(clock))
}

/// Waits until something is so that another thread brings about.
#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "it did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A closure that says when it is in its call, and stays there until it is let go.
fn gated() -> (impl FnOnce() + Send, Receiver<()>, Sender<()>) {
    let ((enter, entered), (leave, left)) = (channel(), channel::<()>());
    let closure = move || {
        enter.send(()).unwrap();
        let _ = left.recv();
    };
    (closure, entered, leave)
}

#[test]
fn closures_are_called_when_they_are_due_and_in_that_order() {
    let (clock, builder) = manual();
    let scheduler = builder.workers(1).build().unwrap();
    assert_eq!(scheduler.stats().workers, 0, "no thread before there is work");
    let (tell, told) = channel();
    for second in [3, 1, 2] {
        let tell = tell.clone();
        let closure = move || tell.send(second).unwrap();
        scheduler.schedule_after(second * SECOND, closure).unwrap();
    }
    clock.advance(SECOND - Duration::from_nanos(1));
    assert!(told.try_recv().is_err());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(told.recv_timeout(LIMIT), Ok(1));
    clock.advance(10 * SECOND);
    assert_eq!((told.recv_timeout(LIMIT), told.recv_timeout(LIMIT)), (Ok(2), Ok(3)));
    until(|| scheduler.stats().scheduled == 0);
    let stats = scheduler.stats();
    assert_eq!((stats.calls, stats.panics, stats.workers), (3, 0, 1));
    assert_eq!(stats.late, 9 * SECOND, "the clock jumped over the second one");
}

#[test]
fn what_is_cancelled_in_time_is_dropped_and_not_called() {
    let (clock, builder) = manual();
    let scheduler = builder.build().unwrap();
    let owned = Arc::new(());
    let theirs = owned.clone();
    let waits = scheduler.schedule_after(SECOND, move || drop(theirs)).unwrap();
    let (tell, told) = channel();
    let other = scheduler.schedule_after(SECOND, move || tell.send(()).unwrap()).unwrap();
    assert!(waits.is_waiting() && waits.clone().cancel());
    assert_eq!(Arc::strong_count(&owned), 1);
    assert!(!waits.cancel() && !waits.is_waiting());
    clock.advance(SECOND);
    told.recv_timeout(LIMIT).unwrap();
    assert!(!other.cancel(), "it is too late");
    until(|| scheduler.stats().scheduled == 0);
    assert_eq!(scheduler.stats().calls, 1);
}

#[test]
fn a_delay_that_no_clock_can_tell_does_not_come() {
    let (clock, builder) = manual();
    let scheduler = builder.build().unwrap();
    let never = scheduler.schedule_after(Duration::MAX, || unreachable!()).unwrap();
    clock.advance(Duration::MAX);
    let (tell, told) = channel();
    scheduler.schedule_after(Duration::ZERO, move || tell.send(()).unwrap()).unwrap();
    told.recv_timeout(LIMIT).unwrap();
    assert!(never.is_waiting() && never.cancel());
}

#[test]
fn the_last_handle_drops_what_waits_and_the_threads_end() {
    let (clock, builder) = manual();
    let scheduler = builder.build().unwrap();
    let (owned, (tell, told)) = (Arc::new(()), channel());
    scheduler.schedule_after(Duration::ZERO, move || tell.send(()).unwrap()).unwrap();
    told.recv_timeout(LIMIT).unwrap();
    let theirs = owned.clone();
    let waits = scheduler.schedule_after(SECOND, move || drop(theirs)).unwrap();
    let other = scheduler.clone();
    drop(scheduler);
    assert!(waits.is_waiting(), "there is a handle");
    drop(other);
    assert_eq!(Arc::strong_count(&owned), 1);
    clock.advance(SECOND);
    assert!(!waits.cancel());
}

#[test]
fn the_last_handle_may_be_dropped_inside_a_call() {
    let (_clock, builder) = manual();
    let scheduler = builder.build().unwrap();
    let (go, gone) = channel::<Scheduler>();
    let (tell, told) = channel();
    scheduler
        .schedule_after(Duration::ZERO, move || {
            drop(gone.recv().unwrap());
            tell.send(()).unwrap();
        })
        .unwrap();
    go.send(scheduler).unwrap();
    told.recv_timeout(LIMIT).unwrap();
}

#[test]
fn a_shutdown_waits_for_calls_under_way_but_not_for_its_own() {
    let scheduler = Scheduler::builder().build().unwrap();
    let (closure, entered, leave) = gated();
    let ended = Arc::new(AtomicUsize::new(0));
    let counts = ended.clone();
    scheduler
        .schedule_after(Duration::ZERO, move || {
            closure();
            counts.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
    let waits = scheduler.schedule_after(3600 * SECOND, || unreachable!()).unwrap();
    entered.recv_timeout(LIMIT).unwrap();
    let inside = scheduler.clone();
    let (tell, told) = channel();
    scheduler
        .schedule_after(Duration::ZERO, move || {
            // The other call is still under way.
            inside.shutdown();
            tell.send(()).unwrap();
        })
        .unwrap();
    told.recv_timeout(LIMIT).unwrap();
    assert!(!waits.is_waiting());
    let refused = scheduler.schedule_after(Duration::ZERO, || unreachable!()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| scheduler.shutdown());
        leave.send(()).unwrap();
        waiter.join().unwrap();
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    });
    until(|| scheduler.stats().workers == 0);
}

#[test]
fn a_shutdown_may_be_given_up_on() {
    let scheduler = Scheduler::builder().build().unwrap();
    let (closure, entered, leave) = gated();
    scheduler.schedule_after(Duration::ZERO, closure).unwrap();
    let waits = scheduler.schedule_after(3600 * SECOND, || unreachable!()).unwrap();
    entered.recv_timeout(LIMIT).unwrap();
    for limit in [Duration::ZERO, Duration::from_millis(1)] {
        let late = scheduler.shutdown_within(limit).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout);
        assert!(!waits.is_waiting());
    }
    leave.send(()).unwrap();
    scheduler.shutdown_within(LIMIT).unwrap();
    assert_eq!(scheduler.stats().busy, 0);
    scheduler.shutdown_within(Duration::ZERO).unwrap();
}

/// Of the loops that a shutdown ends, one is told of its end, and stops the others: they must not
/// wait for who tells them.
#[test]
fn what_a_shutdown_ends_may_end_the_rest() {
    let scheduler = Scheduler::builder().build().unwrap();
    let others: Arc<Mutex<Vec<LoopCache<()>>>> = Arc::default();
    let make = |logger| {
        let builder = LoopCache::builder(|| Ok::<_, std::io::Error>(())).interval(LIMIT);
        let builder = builder.first_delay(LIMIT).logger(logger);
        let cache = builder.scheduler(&scheduler).build().unwrap();
        cache.start().unwrap();
        cache
    };
    let (theirs, (tell, told)) = (others.clone(), channel());
    let first = make(Logger::new(Level::Info, move |record| {
        if record.message() == "stopped" {
            for other in theirs.lock().unwrap().drain(..) {
                tell.send(other.stop_within(10 * SECOND).is_ok()).unwrap();
            }
        }
    }));
    for _ in 0..2 {
        others.lock().unwrap().push(make(Logger::new(Level::Error, |_| {})));
    }
    scheduler.shutdown();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [true, true]);
    assert!(!first.is_running());
}

/// What comes back from a call after the end does not wait for who is held up in dropping the rest.
#[test]
fn a_call_that_ends_after_the_end_ends_its_own_loop() {
    let scheduler = Scheduler::builder().build().unwrap();
    let ((enter, entered), (leave, left)) = (channel(), channel::<()>());
    let calls = move || {
        enter.send(()).unwrap();
        let _ = left.recv();
        Ok::<_, std::io::Error>(())
    };
    let builder = LoopCache::builder(calls).interval(LIMIT).scheduler(&scheduler);
    let in_call = builder.build().unwrap();
    in_call.start().unwrap();
    entered.recv_timeout(LIMIT).unwrap();
    let ((enter, held_up), (go_on, goes_on)) = (channel(), channel::<()>());
    let goes_on = Mutex::new(goes_on);
    let logger = Logger::new(Level::Info, move |record| {
        if record.message() == "stopped" {
            enter.send(()).unwrap();
            let _ = goes_on.lock().unwrap().recv();
        }
    });
    let builder = LoopCache::builder(|| Ok::<_, std::io::Error>(())).interval(LIMIT);
    let waits = builder.first_delay(LIMIT).logger(logger).scheduler(&scheduler).build().unwrap();
    waits.start().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| scheduler.shutdown());
        held_up.recv_timeout(LIMIT).unwrap();
        drop(leave);
        let stopped = in_call.stop_within(10 * SECOND);
        drop(go_on);
        stopped.unwrap();
    });
    assert!(!waits.is_running());
}

#[test]
fn panics_are_contained_and_counted() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("a destructor's own"));
        }
    }
    let scheduler = Scheduler::builder().workers(1).build().unwrap();
    let now = Duration::ZERO;
    scheduler.schedule_after(now, || std::panic::resume_unwind(Box::new("its own"))).unwrap();
    let bomb = Bomb;
    scheduler.schedule_after(now, move || drop(bomb)).unwrap();
    let bomb = Bomb;
    assert!(scheduler.schedule_after(SECOND, move || drop(bomb)).unwrap().cancel());
    let (tell, told) = channel();
    scheduler.schedule_after(now, move || tell.send(()).unwrap()).unwrap();
    told.recv_timeout(LIMIT).unwrap();
    until(|| scheduler.stats().calls == 3);
    assert_eq!(scheduler.stats().panics, 2);
}

#[test]
fn a_call_schedules_and_cancels_others() {
    let (clock, builder) = manual();
    let scheduler = builder.workers(1).build().unwrap();
    let (tell, told) = channel();
    let other = scheduler.schedule_after(2 * SECOND, || unreachable!()).unwrap();
    let inside = scheduler.clone();
    scheduler
        .schedule_after(SECOND, move || {
            assert!(other.cancel());
            let again = move || tell.send("again").unwrap();
            inside.schedule_after(SECOND, again).unwrap();
        })
        .unwrap();
    clock.advance(SECOND);
    until(|| scheduler.stats().calls == 1);
    clock.advance(SECOND);
    assert_eq!(told.recv_timeout(LIMIT), Ok("again"));
}

#[test]
fn a_call_that_blocks_holds_up_nobody_while_a_worker_is_free() {
    let (clock, builder) = manual();
    // Nobody is started for being stuck.
    let scheduler = builder.workers(2).max_workers(2).build().unwrap();
    let (closure, entered, leave) = gated();
    scheduler.schedule_after(SECOND, closure).unwrap();
    clock.advance(SECOND);
    entered.recv_timeout(LIMIT).unwrap();
    for _ in 0..100 {
        let (tell, told) = channel();
        scheduler.schedule_after(SECOND, move || tell.send(()).unwrap()).unwrap();
        clock.advance(SECOND);
        told.recv_timeout(LIMIT).unwrap();
    }
    let stats = scheduler.stats();
    assert_eq!((stats.workers, stats.stuck, stats.grown), (2, 0, 0));
    leave.send(()).unwrap();
}

/// While a Doer is in its call the other worker rests for what is due much later.
#[test]
fn a_loop_goes_on_beside_what_is_due_much_later() {
    for _ in 0..20 {
        let (clock, builder) = manual();
        let scheduler = builder.workers(2).max_workers(2).build().unwrap();
        let _later = scheduler.schedule_after(3600 * SECOND, || unreachable!()).unwrap();
        let ((enter, entered), (leave, left)) = (channel(), channel());
        let doer = move || {
            enter.send(()).unwrap();
            left.recv()
        };
        let cache = LoopCache::builder(doer).interval(SECOND).clock(clock.clone());
        let cache = cache.scheduler(&scheduler).build().unwrap();
        cache.start().unwrap();
        for calls in 0..5 {
            entered.recv_timeout(LIMIT).unwrap();
            until(|| scheduler.stats().workers == 2);
            leave.send(()).unwrap();
            cache.changed(calls).wait(None).unwrap();
            clock.advance(SECOND);
        }
        drop(leave);
    }
}

#[test]
fn there_are_more_workers_when_all_are_stuck_and_they_go_again() {
    let scheduler = Scheduler::builder().workers(2).max_workers(4).build().unwrap();
    let stuck: Vec<_> = (0..3)
        .map(|_| {
            let (closure, entered, leave) = gated();
            scheduler.schedule_after(Duration::ZERO, closure).unwrap();
            entered.recv_timeout(LIMIT).unwrap();
            leave
        })
        .collect();
    let (tell, told) = channel();
    scheduler.schedule_after(Duration::ZERO, move || tell.send(()).unwrap()).unwrap();
    told.recv_timeout(LIMIT).unwrap();
    let stats = scheduler.stats();
    assert!((3..=4).contains(&stats.workers), "{stats:?}");
    assert!(stats.stuck >= 1 && stats.grown >= 1, "{stats:?}");
    drop(stuck);
    // Something stays scheduled, so that the two that are wanted stay.
    let _waits = scheduler.schedule_after(3600 * SECOND, || ()).unwrap();
    until(|| scheduler.stats().workers <= 2);
}

#[test]
fn when_all_are_stuck_and_there_may_be_no_more_stats_say_so() {
    let scheduler = Scheduler::builder().workers(1).max_workers(1).build().unwrap();
    let (closure, entered, leave) = gated();
    scheduler.schedule_after(Duration::ZERO, closure).unwrap();
    entered.recv_timeout(LIMIT).unwrap();
    let (tell, told) = channel();
    scheduler.schedule_after(Duration::ZERO, move || tell.send(()).unwrap()).unwrap();
    until(|| scheduler.stats().stuck == 1);
    let stats = scheduler.stats();
    assert_eq!((stats.workers, stats.busy, stats.scheduled, stats.grown), (1, 1, 2, 0));
    assert!(told.try_recv().is_err());
    leave.send(()).unwrap();
    told.recv_timeout(LIMIT).unwrap();
    assert!(scheduler.stats().late > Duration::ZERO);
}

#[test]
fn threads_end_when_nothing_is_scheduled_and_come_again() {
    let scheduler = Scheduler::builder().build().unwrap();
    for _ in 0..2 {
        let (closure, entered, leave) = gated();
        scheduler.schedule_after(Duration::ZERO, closure).unwrap();
        entered.recv_timeout(LIMIT).unwrap();
        assert!(scheduler.stats().workers >= 1);
        leave.send(()).unwrap();
        until(|| scheduler.stats().workers == 0);
    }
}

#[test]
fn threads_end_when_what_they_rested_for_was_cancelled() {
    let scheduler = Scheduler::builder().workers(2).build().unwrap();
    let far = || scheduler.schedule_after(Duration::from_secs(3600), || ()).unwrap();
    assert!(far().cancel());
    until(|| scheduler.stats().workers == 0);
    // The same with one that follows, and has the last call.
    let waits = far();
    let (work, entered, leave) = gated();
    scheduler.schedule_after(Duration::ZERO, work).unwrap();
    entered.recv().unwrap();
    until(|| scheduler.stats().workers == 2);
    let (last, last_entered, last_leave) = gated();
    scheduler.schedule_after(Duration::ZERO, last).unwrap();
    last_entered.recv().unwrap();
    leave.send(()).unwrap();
    until(|| scheduler.stats().busy == 1);
    assert!(waits.cancel());
    last_leave.send(()).unwrap();
    until(|| scheduler.stats().workers == 0);
}

#[test]
fn what_is_to_be_called_at_once_is_not_late() {
    let (clock, builder) = manual();
    clock.advance(1_000 * SECOND);
    let scheduler = builder.build().unwrap();
    let (tell, told) = channel();
    let policy = Retry::new().max_attempts(3);
    let fails = |_: &mut Retrier| Err::<(), _>(());
    policy.spawn_on(&scheduler, fails, move |outcome| tell.send(outcome).unwrap()).unwrap();
    assert!(told.recv_timeout(LIMIT).unwrap().is_err());
    let cache = LoopCache::builder(|| Ok::<_, std::io::Error>(())).interval(SECOND);
    let cache = cache.scheduler(&scheduler).build().unwrap();
    cache.start().unwrap();
    cache.refresh().wait(LIMIT).unwrap();
    assert_eq!(scheduler.stats().late, Duration::ZERO);
}

#[test]
fn many_threads_schedule_and_cancel_and_each_closure_is_called_or_dropped_once() {
    let scheduler = Scheduler::builder().workers(2).build().unwrap();
    let (called, cancelled) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (scheduler, called, cancelled) = (&scheduler, &called, &cancelled);
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                for i in 0..2_000 {
                    let called = called.clone();
                    let delay = Duration::from_micros((thread * 7 + i * 13) % 300);
                    let count = move || {
                        called.fetch_add(1, Ordering::Relaxed);
                    };
                    let scheduled = scheduler.schedule_after(delay, count).unwrap();
                    if i % 3 == 0 && scheduled.cancel() {
                        cancelled.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    until(|| scheduler.stats().scheduled == 0);
    let called = called.load(Ordering::Relaxed);
    assert_eq!(called + cancelled.load(Ordering::Relaxed), 8_000);
    assert_eq!(scheduler.stats().calls, called as u64);
}

#[cfg(target_os = "linux")]
#[test]
fn workers_block_signals_and_bear_the_name_that_they_were_given() {
    let scheduler = Scheduler::builder().name("upkeep").build().unwrap();
    let (tell, told) = channel();
    let look = move || {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        tell.send(status).unwrap();
    };
    scheduler.schedule_after(Duration::ZERO, look).unwrap();
    let status = told.recv_timeout(LIMIT).unwrap();
    assert!(status.starts_with("Name:\tupkeep\n"), "{status}");
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
    let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
    let is_blocked = |signal: i32| blocked >> (signal - 1) & 1 == 1;
    assert!(is_blocked(libc::SIGTERM) && is_blocked(libc::SIGINT) && !is_blocked(libc::SIGSEGV));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |builder: SchedulerBuilder| builder.build().unwrap_err().to_string();
    let builder = Scheduler::builder;
    assert!(refused(builder().workers(0)).contains("workers"));
    assert!(refused(builder().workers(3).max_workers(2)).contains("max_workers"));
    assert!(refused(builder().grace(Duration::ZERO)).contains("grace"));
    assert!(refused(builder().name("")).contains("name"));
    assert!(refused(builder().name("a\0b")).contains("name"));
    let scheduler = builder().workers(100).build().unwrap();
    assert!(format!("{scheduler:?}").contains("docache-sched"));
    drop(Mutex::new(scheduler));
}
