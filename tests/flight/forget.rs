//! Runs that are forgotten while they are under way.

use crate::common::flight::{Gate, Joins, Key, Task, hush, message_of};
use docache::{Group, KeyedGroup};

#[test]
fn what_is_not_there_cannot_be_forgotten() {
    let group = KeyedGroup::<str, u32>::new();
    assert!(!group.forget("key"));
    let leader = Task::begun(group.run_async("key", std::future::pending));
    assert!(!group.forget("other") && group.forget("key") && !group.forget("key"));
    drop(leader);
    assert!(!group.forget("key"));
}

#[test]
fn those_who_joined_get_the_old_value_and_those_who_come_later_the_new_one() {
    for old_ends_first in [true, false] {
        let group = KeyedGroup::<str, u32>::builder().shards(1).build().unwrap();
        let (old_gate, new_gate) = (Gate::default(), Gate::default());
        let old = Task::begun(group.run_async("key", || old_gate.then(1)));
        let old_waiter = Task::begun(group.run_async("key", || async { 9 }));
        assert!(group.forget("key"));
        assert_eq!(group.in_flight(), 0);
        let new = Task::begun(group.run_async("key", || new_gate.then(2)));
        let new_waiter = Task::begun(group.run_async("key", || async { 9 }));
        let end_old = || {
            old_gate.open();
            assert!(old.ends().is_shared());
            assert_eq!((old_waiter.wakes(), *old_waiter.ends()), (1, 1));
        };
        let mut late = None;
        if old_ends_first {
            end_old();
            assert_eq!(group.in_flight(), 1, "the old run removes itself only");
            late = Some(Task::begun(group.run_async("key", || async { 9 })));
        } else {
            new_gate.open();
        }
        new_gate.open();
        assert!(new.ends().led());
        assert_eq!((new_waiter.wakes(), *new_waiter.ends()), (1, 2));
        if let Some(late) = late {
            assert_eq!(*late.ends(), 2);
        }
        assert_eq!(group.in_flight(), 0);
    }
}

#[test]
fn the_new_run_may_end_first() {
    let group = Group::<u32>::new();
    let gate = Gate::default();
    let old = Task::begun(group.run_async(|| gate.then(1)));
    let waiter = Task::begun(group.run_async(|| async { 9 }));
    assert!(group.forget());
    let new = group.run(|| 2);
    assert!(new.led() && !new.is_shared() && *new == 2);
    assert_eq!((waiter.wakes(), group.in_flight()), (0, false));
    gate.open();
    assert_eq!((*old.ends(), *waiter.ends()), (1, 1));
}

#[test]
fn a_forgotten_leader_that_is_dropped_hands_its_lead_to_its_own_waiters() {
    let group = KeyedGroup::<str, u32>::new();
    let gate = Gate::default();
    let old = Task::begun(group.run_async("key", std::future::pending));
    let old_heir = Task::begun(group.run_async("key", || async { 3 }));
    let old_waiter = Task::begun(group.run_async("key", || async { 4 }));
    group.forget("key");
    let new = Task::begun(group.run_async("key", || gate.then(2)));
    drop(old);
    assert_eq!(old_heir.wakes(), 1);
    assert_eq!(group.in_flight(), 1, "the heir of a forgotten lead cannot be joined either");
    let joins_new = Task::begun(group.run_async("key", || async { 5 }));
    let led = old_heir.ends();
    assert!(led.led() && *led == 3);
    assert_eq!(*old_waiter.ends(), 3);
    assert_eq!(group.in_flight(), 1);
    gate.open();
    assert_eq!((*new.ends(), *joins_new.ends()), (2, 2));
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn an_heir_is_forgotten_like_any_leader() {
    let group = Group::<u32>::new();
    let old = Task::begun(group.run_async(std::future::pending));
    let heir = Task::begun(group.run_async(|| async { 3 }));
    drop(old);
    assert!(group.forget(), "before it looks");
    assert!(!group.in_flight());
    assert!(group.run(|| 4).led());
    assert!(heir.ends().led());
    assert!(!group.in_flight());
}

#[test]
fn a_forgotten_run_that_panics_tells_its_own_waiters_only() {
    let group = Group::<u32, &str>::new();
    let (old_gate, new_gate) = (Gate::default(), Gate::default());
    let mut old = Task::begun(group.try_run_async(|| async {
        old_gate.pass().await;
        hush("too old")
    }));
    let old_waiter = Task::begun(group.try_run_async(|| async { Ok(9) }));
    group.forget();
    let new = Task::begun(group.try_run_async(|| new_gate.then(Ok(2))));
    let new_waiter = Task::begun(group.try_run_async(|| async { Ok(9) }));
    old_gate.open();
    assert_eq!(message_of(|| old.poll()), "too old");
    assert!(old_waiter.ends().unwrap_err().is_panicked());
    assert!(group.in_flight());
    new_gate.open();
    assert_eq!((*new.ends().unwrap(), *new_waiter.ends().unwrap()), (2, 2));
}

#[test]
fn a_thread_that_waits_for_a_forgotten_run_gets_its_value() {
    let (group, joins, gate) = (KeyedGroup::<Key, u32>::new(), Joins::default(), Gate::default());
    let key = joins.key("key");
    let old = Task::begun(group.run_async(key.clone(), || gate.then(1)));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| group.run(&key, || 9));
        joins.reach(1, &group);
        assert!(group.forget(&key));
        assert_eq!(*group.run(&key, || 2), 2);
        gate.open();
        assert_eq!(*old.ends(), 1);
        assert_eq!(*waiter.join().unwrap(), 1);
    });
}

#[test]
fn many_runs_of_one_key_can_be_under_way_if_each_was_forgotten() {
    let group = Group::<usize>::new();
    let gates: Vec<_> = (0..50).map(|_| Gate::default()).collect();
    let begin = |at: usize| {
        let gate = &gates[at];
        let leader = Task::begun(group.run_async(move || gate.then(at)));
        let waiter = Task::begun(group.run_async(|| async { usize::MAX }));
        assert!(group.forget());
        (leader, waiter)
    };
    let runs: Vec<_> = (0..50).map(begin).collect();
    for (at, (leader, waiter)) in runs.into_iter().enumerate().rev() {
        gates[at].open();
        assert_eq!((*leader.ends(), *waiter.ends()), (at, at));
    }
}
