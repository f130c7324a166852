//! Callers that stop waiting.

use crate::common::SECOND;
use crate::common::flight::{Gate, Joins, Key, Task, until};
use docache::{Context, Group, KeyedGroup, ManualClock};
use std::time::Duration;

#[test]
fn a_context_that_is_done_runs_and_joins_nothing() {
    let group = KeyedGroup::<str, u32, &str>::new();
    let (cancelled, late) =
        (Context::new(), Context::with_clock(ManualClock::new()).with_timeout(Duration::ZERO));
    cancelled.cancel();
    for busy in [false, true] {
        let _leader = busy.then(|| Task::begun(group.try_run_async("key", std::future::pending)));
        for (context, timeout) in [(&cancelled, false), (&late, true)] {
            let sync = group.try_run_in(context, "key", || unreachable!());
            let task =
                Task::new(group.try_run_async_in(context, "key", || async { unreachable!() }))
                    .ends();
            let many = group.try_run_many_in(context, &["key", "other"], |_| unreachable!());
            assert_eq!(many.len(), 2);
            for end in many.into_iter().chain([sync, task]) {
                let error = end.unwrap_err();
                assert_eq!((error.is_timeout(), error.is_cancelled()), (timeout, !timeout));
            }
        }
        assert_eq!(group.in_flight(), usize::from(busy));
    }
}

#[test]
fn a_thread_that_waits_leaves_at_its_deadline_and_nobody_notices() {
    let (group, joins, clock, gate) =
        (KeyedGroup::<Key, u32>::new(), Joins::default(), ManualClock::new(), Gate::default());
    let key = joins.key("key");
    let context = Context::with_clock(clock.clone());
    let leader = Task::begun(group.run_async(key.clone(), || gate.then(1)));
    std::thread::scope(|scope| {
        let limited = |seconds| {
            let context = context.with_timeout(SECOND * seconds);
            let (group, key) = (&group, &key);
            scope.spawn(move || group.run_in(&context, key, || 2))
        };
        let (early, late) = (limited(1), limited(3));
        let patient = scope.spawn(|| group.run(&key, || 3));
        joins.reach(3, &group);
        clock.advance(SECOND);
        assert!(early.join().unwrap().unwrap_err().is_timeout());
        assert_eq!(group.in_flight(), 1);
        assert!(!late.is_finished() && !patient.is_finished());
        gate.open();
        assert!(leader.ends().is_shared());
        assert_eq!((*late.join().unwrap().unwrap(), *patient.join().unwrap()), (1, 1));
    });
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn a_thread_whose_context_is_cancelled_leaves_and_the_others_stay() {
    let (group, joins, gate) =
        (KeyedGroup::<Key, u32, &str>::new(), Joins::default(), Gate::default());
    let key = joins.key("key");
    let contexts = [Context::new(), Context::new()];
    let leader = Task::begun(group.try_run_async(key.clone(), || gate.then(Ok(1))));
    std::thread::scope(|scope| {
        let [left, stays] = [0, 1].map(|at| {
            let (context, group, key) = (&contexts[at], &group, &key);
            scope.spawn(move || group.try_run_in(context, key, || Ok(2)))
        });
        joins.reach(2, &group);
        contexts[0].cancel();
        assert!(left.join().unwrap().unwrap_err().is_cancelled());
        gate.open();
        assert!(leader.ends().unwrap().is_shared());
        assert_eq!(*stays.join().unwrap().unwrap(), 1);
    });
}

#[test]
fn a_task_is_woken_at_its_deadline_and_leaves() {
    let (group, clock, gate) = (Group::<u32>::new(), ManualClock::new(), Gate::default());
    let context = Context::with_clock(clock.clone()).with_timeout(SECOND);
    let leader = Task::begun(group.run_async(|| gate.then(1)));
    let limited = Task::begun(group.run_async_in(&context, || async { 2 }));
    let patient = Task::begun(group.run_async(|| async { 3 }));
    clock.advance(SECOND);
    assert_eq!((limited.wakes(), patient.wakes()), (1, 0));
    assert!(limited.ends().unwrap_err().is_timeout());
    gate.open();
    assert!(leader.ends().is_shared());
    assert_eq!(*patient.ends(), 1);
}

#[test]
fn a_task_is_woken_by_its_cancellation_and_leaves() {
    let (group, context) = (Group::<u32>::new(), Context::new());
    let mut leader = Task::begun(group.run_async(std::future::pending));
    let waiter = Task::begun(group.run_async_in(&context, || async { 2 }));
    context.cancel();
    assert_eq!(waiter.wakes(), 1);
    assert!(waiter.ends().unwrap_err().is_cancelled());
    leader.waits();
    assert!(group.in_flight());
}

#[test]
fn what_is_there_when_the_context_ends_counts() {
    let (group, context, gate) = (Group::<u32>::new(), Context::new(), Gate::default());
    let leader = Task::begun(group.run_async(|| gate.then(1)));
    let waiter = Task::begun(group.run_async_in(&context, || async { 2 }));
    gate.open();
    assert!(leader.ends().led());
    context.cancel();
    assert_eq!(*waiter.ends().unwrap(), 1);
}

#[test]
fn the_leaders_context_does_not_stop_the_run() {
    let (group, context, gate) = (Group::<u32>::new(), Context::new(), Gate::default());
    let mut leader = Task::begun(group.run_async_in(&context, || gate.then(1)));
    let waiter = Task::begun(group.run_async(|| async { 2 }));
    context.cancel();
    leader.waits();
    gate.open();
    assert!(leader.ends().unwrap().led());
    assert_eq!(*waiter.ends(), 1);
    let context = Context::new();
    assert_eq!(
        *group
            .run_in(&context, || {
                context.cancel();
                5
            })
            .unwrap(),
        5
    );
}

#[test]
fn an_heir_whose_context_is_cancelled_and_that_is_dropped_passes_the_lead_on() {
    let (group, context) = (Group::<u32>::new(), Context::new());
    let leader = Task::begun(group.run_async(std::future::pending));
    let heir = Task::begun(group.run_async_in(&context, || async { 2 }));
    let next = Task::begun(group.run_async(|| async { 3 }));
    drop(leader);
    context.cancel();
    drop(heir);
    assert_eq!((next.wakes(), *next.ends()), (1, 3));
    assert!(!group.in_flight());
}

#[test]
fn threads_that_leave_race_the_run_that_ends() {
    // Whoever wins, each gets the value or a timeout, and no call is left behind.
    let group = KeyedGroup::<Key, std::sync::Arc<u32>>::builder().shards(1).build().unwrap();
    let joins = Joins::default();
    let key = joins.key("key");
    for round in 0..200 {
        let clock = ManualClock::new();
        let context = Context::with_clock(clock.clone()).with_timeout(SECOND);
        let value = std::sync::Arc::new(round);
        let gate = Gate::default();
        let before = joins.count();
        let leader = Task::begun(group.run_async(key.clone(), || gate.then(value.clone())));
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| group.run_in(&context, &key, || unreachable!())))
                .collect();
            joins.reach(before + 4, &group);
            let advance = scope.spawn(|| clock.advance(SECOND));
            gate.open();
            assert_eq!(**leader.ends(), round);
            for waiter in waiters {
                match waiter.join().unwrap() {
                    Ok(end) => assert!(!end.led() && **end == round),
                    Err(error) => assert!(error.is_timeout()),
                }
            }
            advance.join().unwrap();
        });
        until(|| std::sync::Arc::strong_count(&value) == 1);
        assert_eq!(group.in_flight(), 0);
    }
}
