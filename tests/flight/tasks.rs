//! Tasks that lead and are dropped, and those that the lead is handed to.

use crate::common::flight::{Gate, Joins, Key, Task, until};
use docache::{Group, KeyedGroup};
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a_future_that_was_never_polled_is_in_no_flight() {
    let group = Group::<u32>::new();
    let never = Task::new(group.run_async(|| async { unreachable!("it was never polled") }));
    assert!(!group.in_flight());
    let leader = Task::begun(group.run_async(std::future::pending));
    drop(never);
    assert!(group.in_flight());
    assert_eq!(leader.wakes(), 0);
    drop(leader);
    assert!(!group.in_flight());
}

#[test]
fn a_leader_that_is_dropped_alone_leaves_nothing() {
    // Nothing can come between the closure's call and its future's first poll: both happen in the
    // same poll.
    let group = KeyedGroup::<str, u32>::new();
    let calls = AtomicUsize::new(0);
    let leader = Task::begun(group.run_async("key", || {
        calls.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    }));
    assert_eq!((calls.load(Ordering::SeqCst), group.in_flight()), (1, 1));
    drop(leader);
    assert_eq!(group.in_flight(), 0);
    let next = group.run("key", || 7);
    assert!(next.led() && !next.is_shared() && *next == 7);
}

#[test]
fn a_task_takes_the_lead_over_and_runs_its_own_closure() {
    let group = KeyedGroup::<str, u32>::new();
    let gate = Gate::default();
    let leader = Task::begun(group.run_async("key", std::future::pending));
    let mut heir = Task::begun(group.run_async("key", || gate.then(2)));
    let waiter = Task::begun(group.run_async("key", || async { 3 }));
    drop(leader);
    assert_eq!((heir.wakes(), waiter.wakes(), group.in_flight()), (1, 0, 1));
    heir.waits();
    let late = Task::begun(group.run_async("key".to_owned(), || async { 4 }));
    gate.open();
    let led = heir.ends();
    assert!(led.led() && led.is_shared() && *led == 2);
    for joined in [waiter.ends(), late.ends()] {
        assert!(!joined.led() && joined.is_shared() && *joined == 2);
    }
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn a_thread_takes_the_lead_over_and_runs_its_own_closure() {
    let (group, joins) = (KeyedGroup::<Key, u32>::new(), Joins::default());
    let key = joins.key("key");
    let leader = Task::begun(group.run_async(key.clone(), std::future::pending));
    let waiter = Task::begun(group.run_async(key.clone(), || async { 3 }));
    std::thread::scope(|scope| {
        let heir = scope.spawn(|| group.run(&key, || 2));
        joins.reach(2, &group);
        drop(leader);
        let led = heir.join().unwrap();
        assert!(led.led() && *led == 2, "a thread goes before tasks, which nobody might poll");
    });
    assert_eq!(*waiter.ends(), 2);
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn an_heir_that_is_dropped_before_it_looks_passes_the_lead_on() {
    let group = Group::<u32>::new();
    let leader = Task::begun(group.run_async(std::future::pending));
    let heirs: Vec<_> =
        (0..5).map(|at| Task::begun(group.run_async(move || async move { at }))).collect();
    drop(leader);
    let mut heirs = heirs.into_iter();
    for passed_over in heirs.by_ref().take(4) {
        assert_eq!(passed_over.wakes(), 1);
        drop(passed_over);
        assert!(group.in_flight());
    }
    let last = heirs.next().unwrap();
    assert_eq!(last.wakes(), 1);
    let end = last.ends();
    assert!(end.led() && !end.is_shared() && *end == 4);
    assert!(!group.in_flight());
}

#[test]
fn an_heir_that_passes_the_lead_on_passes_it_to_a_thread_too() {
    let (group, joins) = (KeyedGroup::<Key, u32>::new(), Joins::default());
    let key = joins.key("key");
    let leader = Task::begun(group.run_async(key.clone(), std::future::pending));
    let heir = Task::begun(group.run_async(key.clone(), std::future::pending));
    drop(leader);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| group.run(&key, || 2));
        joins.reach(2, &group);
        drop(heir);
        assert!(thread.join().unwrap().led());
    });
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn the_last_heir_that_is_dropped_ends_the_flight() {
    let group = Group::<u32>::new();
    let leader = Task::begun(group.run_async(std::future::pending));
    let heir = Task::begun(group.run_async(|| async { 1 }));
    drop(leader);
    assert!(group.in_flight());
    drop(heir);
    assert!(!group.in_flight());
    assert!(group.run(|| 2).led());
}

#[test]
fn a_waiter_that_is_dropped_is_missed_by_nobody() {
    let group = Group::<u32>::new();
    let gate = Gate::default();
    let leader = Task::begun(group.run_async(|| gate.then(1)));
    let mut waiters: Vec<_> =
        (0..5).map(|_| Task::begun(group.run_async(|| async { 2 }))).collect();
    // The one in the middle, the first and the last.
    for at in [2, 0, 2] {
        drop(waiters.remove(at));
    }
    gate.open();
    assert!(leader.ends().is_shared());
    for waiter in waiters {
        assert_eq!((waiter.wakes(), *waiter.ends()), (1, 1));
    }
}

#[test]
fn a_leader_left_alone_shares_with_nobody() {
    let group = Group::<u32>::new();
    let gate = Gate::default();
    let leader = Task::begun(group.run_async(|| gate.then(1)));
    drop(Task::begun(group.run_async(|| async { 2 })));
    gate.open();
    assert!(!leader.ends().is_shared());
}

#[test]
fn a_waiter_may_be_dropped_after_it_was_told() {
    let group = Group::<std::sync::Arc<()>>::new();
    let (gate, value) = (Gate::default(), std::sync::Arc::new(()));
    let leader = Task::begun(group.run_async(|| gate.then(value.clone())));
    let waiters: Vec<_> =
        (0..40).map(|_| Task::begun(group.run_async(|| async { unreachable!() }))).collect();
    gate.open();
    assert!(leader.ends().is_shared());
    assert!(waiters.iter().all(|waiter| waiter.wakes() == 1));
    let mut waiters = waiters.into_iter();
    drop(waiters.by_ref().take(20).collect::<Vec<_>>());
    assert!(waiters.all(|waiter| !waiter.ends().led()));
    assert_eq!(std::sync::Arc::strong_count(&value), 1, "no clone is left behind");
}

#[test]
fn only_the_newest_waker_is_woken() {
    let group = Group::<u32>::new();
    let gate = Gate::default();
    let leader = Task::begun(group.run_async(|| gate.then(1)));
    let mut waiter = Task::begun(group.run_async(|| async { 2 }));
    let newest = std::sync::Arc::new(crate::common::flight::Wakes::default());
    assert!(waiter.poll_with(&newest.clone().into()).is_pending());
    gate.open();
    assert!(leader.ends().led());
    assert_eq!((waiter.wakes(), newest.get()), (0, 1));
    assert_eq!(*waiter.ends(), 1);
}

#[test]
fn threads_and_tasks_share_one_flight_whichever_leads() {
    for thread_leads in [false, true] {
        let (group, joins, gate) =
            (KeyedGroup::<Key, u32>::new(), Joins::default(), Gate::default());
        let key = joins.key("key");
        std::thread::scope(|scope| {
            let mut leader = None;
            if thread_leads {
                scope.spawn(|| {
                    assert!(
                        group
                            .run(&key, || {
                                until(|| gate.is_open());
                                1
                            })
                            .led()
                    )
                });
                until(|| group.in_flight() == 1);
            } else {
                leader = Some(Task::begun(group.run_async(key.clone(), || gate.then(1))));
            }
            let threads: Vec<_> = (0..20).map(|_| scope.spawn(|| group.run(&key, || 2))).collect();
            let tasks: Vec<_> = (0..50)
                .map(|_| Task::begun(group.run_async(key.clone(), || async { 3 })))
                .collect();
            joins.reach(70, &group);
            gate.open();
            if let Some(leader) = leader {
                assert!(leader.ends().is_shared());
            }
            for thread in threads {
                let end = thread.join().unwrap();
                assert!(!end.led() && *end == 1);
            }
            for task in tasks {
                until(|| task.wakes() == 1);
                assert_eq!(*task.ends(), 1);
            }
        });
        assert_eq!((group.in_flight(), joins.count()), (0, 70));
    }
}

#[test]
fn a_future_may_move_between_threads_at_every_poll() {
    let group = Group::<u32>::new();
    let gate = Gate::default();
    let mut leader = Box::pin(group.run_async(|| gate.then(1)));
    let mut waiter = Box::pin(group.run_async(|| async { 2 }));
    let mut noop = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..3 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(leader.as_mut().poll(&mut cx).is_pending());
                assert!(waiter.as_mut().poll(&mut cx).is_pending());
            });
        });
    }
    std::thread::scope(|scope| scope.spawn(move || drop(leader)).join().unwrap());
    assert!(waiter.as_mut().poll(&mut noop).is_ready());
    assert!(!group.in_flight());
}

#[test]
fn many_tasks_that_take_the_lead_over_in_turn_all_run_once() {
    let group = KeyedGroup::<str, usize>::builder().shards(1).build().unwrap();
    let runs = AtomicUsize::new(0);
    let begin = |_| {
        Task::begun(group.run_async("key", || {
            runs.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        }))
    };
    let tasks: Vec<_> = (0..200).map(begin).collect();
    for (at, mut task) in tasks.into_iter().enumerate() {
        if at > 0 {
            assert_eq!(task.wakes(), 1);
            task.waits();
        }
        assert_eq!((runs.load(Ordering::SeqCst), group.in_flight()), (at + 1, 1));
    }
    assert_eq!(group.in_flight(), 0);
}
