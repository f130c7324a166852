//! Panics of the work, of its destructor, and of the wakers.

use crate::common::flight::{Fragile, Gate, Joins, Key, Task, hush, message_of, panic_of, until};
use docache::{FlightError, Group, KeyedGroup};
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

fn one_shard<T>(repanic: bool) -> KeyedGroup<Key, T, &'static str> {
    KeyedGroup::builder().shards(1).repanic(repanic).build().unwrap()
}

#[test]
fn the_leader_resumes_its_own_payload_and_those_who_wait_get_the_message() {
    let (group, joins) = (one_shard::<u32>(false), Joins::default());
    let key = joins.key("key");
    let mark = Arc::new(());
    let (waiters, led) = std::thread::scope(|scope| {
        let leads = scope.spawn(|| {
            let begun = || {
                group.try_run(&key, || {
                    joins.reach(3, &group);
                    panic_any(mark.clone())
                })
            };
            panic_of(begun)
        });
        until(|| group.in_flight() == 1);
        let waiters: Vec<_> =
            (0..2).map(|_| scope.spawn(|| group.try_run(&key, || Ok(1)))).collect();
        let task = Task::begun(group.try_run_async(key.clone(), || async { Ok(2) }));
        let led = leads.join().unwrap();
        let mut ends: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
        until(|| task.wakes() == 1);
        ends.push(task.ends());
        (ends, led)
    });
    let payload = led.downcast::<Arc<()>>().expect("the payload that the work panicked with");
    assert!(Arc::ptr_eq(&payload, &mark));
    for end in waiters {
        assert!(end.unwrap_err().is_panicked());
    }
    assert_eq!(group.in_flight(), 0);
    assert_eq!(*group.try_run(&key, || Ok(7)).unwrap(), 7, "the next call works");
}

#[test]
fn the_message_is_the_panics_own() {
    let group = Group::<u32, &str>::new();
    let gate = Gate::default();
    let leads = || async {
        gate.pass().await;
        hush("no fuel")
    };
    let mut leader = Task::begun(group.try_run_async(leads));
    let waiter = Task::begun(group.try_run_async(|| async { Ok(1) }));
    gate.open();
    assert_eq!(message_of(|| leader.poll()), "no fuel");
    let error = waiter.ends().unwrap_err();
    assert!(
        matches!(&error, FlightError::Panicked(message) if &**message == "no fuel"),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "the run panicked: no fuel");
    assert!(!group.in_flight());
    assert!(group.try_run(|| Ok(1)).unwrap().led());
}

#[test]
fn a_group_without_keys_repanics_if_it_was_built_so() {
    let group: Group<u32, &str> = Group::builder().repanic(true).build();
    let gate = Gate::default();
    let leads = || async {
        gate.pass().await;
        hush("no fuel")
    };
    let mut leader = Task::begun(group.try_run_async(leads));
    let mut waiter = Task::begun(group.try_run_async(|| async { Ok(1) }));
    gate.open();
    assert_eq!(message_of(|| leader.poll()), "no fuel");
    assert_eq!(message_of(|| waiter.poll()), "the run panicked: no fuel");
    assert!(group.try_run(|| Ok(1)).unwrap().led());
}

#[test]
fn a_group_that_repanics_panics_in_those_who_wait_whatever_they_called() {
    let group: KeyedGroup<Key, u32, &str> = one_shard(true);
    let joins = Joins::default();
    let key = joins.key("key");
    let gate = Gate::default();
    let leads = || async {
        gate.pass().await;
        hush("no fuel")
    };
    let mut leader = Task::begun(group.try_run_async(key.clone(), leads));
    let mut waiter = Task::begun(group.try_run_async(key.clone(), || async { Ok(1) }));
    std::thread::scope(|scope| {
        let threads = [
            scope.spawn(|| message_of(|| group.try_run(&key, || Ok(1)))),
            scope.spawn(|| message_of(|| group.try_run_many(&[&key], |_| Ok(vec![1])))),
        ];
        joins.reach(3, &group);
        gate.open();
        assert_eq!(message_of(|| leader.poll()), "no fuel");
        for thread in threads {
            assert_eq!(thread.join().unwrap(), "the run panicked: no fuel");
        }
    });
    assert_eq!(message_of(|| waiter.poll()), "the run panicked: no fuel");
    assert_eq!(group.in_flight(), 0);
    assert_eq!(*group.try_run(&key, || Ok(7)).unwrap(), 7);
}

#[test]
fn calls_that_cannot_fail_panic_if_the_run_they_joined_did() {
    let group = Group::<u32>::new();
    let gate = Gate::default();
    let leads = || async {
        gate.pass().await;
        hush("no fuel")
    };
    let context = docache::Context::new();
    let mut leader = Task::begun(group.run_async(leads));
    let mut panics = Task::begun(group.run_async(|| async { 1 }));
    let fails = Task::begun(group.run_async_in(&context, || async { 1 }));
    gate.open();
    assert_eq!(message_of(|| leader.poll()), "no fuel");
    assert_eq!(message_of(|| panics.poll()), "the run panicked: no fuel");
    assert!(fails.ends().unwrap_err().is_panicked());
    assert_eq!(*group.run(|| 3), 3);
}

#[test]
fn a_future_may_panic_before_it_exists() {
    let group = Group::<u32, &str>::new();
    let broken = || -> std::future::Ready<Result<u32, &'static str>> { hush("no future") };
    let mut leader = Task::new(group.try_run_async(broken));
    assert_eq!(message_of(|| leader.poll()), "no future");
    assert!(!group.in_flight());
    // The same for one that was handed the lead.
    let first = Task::begun(group.try_run_async(std::future::pending));
    let mut heir = Task::begun(group.try_run_async(broken));
    let waiter = Task::begun(group.try_run_async(|| async { Ok(1) }));
    drop(first);
    assert_eq!(message_of(|| heir.poll()), "no future");
    assert!(waiter.ends().unwrap_err().is_panicked());
    assert!(!group.in_flight());
}

/// A part of a future whose destructor panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            hush("a bad destructor");
        }
    }
}

#[test]
fn a_future_whose_destructor_panics_counts_as_a_run_that_panicked() {
    let group = Group::<u32, &str>::new();
    let gate = Gate::default();
    let passed = gate.pass();
    let bomb = Bomb;
    let mut leader = Task::begun(group.try_run_async(move || {
        let mut passed = Box::pin(passed);
        std::future::poll_fn(move |cx| {
            let _kept = &bomb;
            passed.as_mut().poll(cx).map(|()| Ok(1))
        })
    }));
    let waiter = Task::begun(group.try_run_async(|| async { Ok(2) }));
    gate.open();
    assert_eq!(message_of(|| leader.poll()), "a bad destructor");
    assert!(waiter.ends().unwrap_err().is_panicked());
    assert!(!group.in_flight());
}

#[test]
fn dropping_a_leading_future_whose_destructor_panics_hands_the_lead_on() {
    let group = Group::<u32, &str>::new();
    let bomb = Bomb;
    let leader = Task::begun(group.try_run_async(move || {
        std::future::poll_fn(move |_| {
            let _kept = &bomb;
            Poll::Pending
        })
    }));
    let heir = Task::begun(group.try_run_async(|| async { Ok(2) }));
    assert_eq!(message_of(|| drop(leader)), "a bad destructor");
    let end = heir.ends().unwrap();
    assert!(end.led() && *end == 2);
    assert!(!group.in_flight());
}

#[test]
fn work_that_panics_and_panics_again_when_dropped_still_counts_as_panicked() {
    let group = Group::<u32, &str>::new();
    let gate = Gate::default();
    let (opened, bomb) = (gate.clone(), Bomb);
    let mut leader = Task::begun(group.try_run_async(move || {
        std::future::poll_fn(move |_| {
            let _kept = &bomb;
            if opened.is_open() { hush("no fuel") } else { Poll::Pending }
        })
    }));
    let waiter = Task::begun(group.try_run_async(|| async { Ok(2) }));
    gate.open();
    assert_eq!(message_of(|| leader.poll()), "no fuel", "the first panic is the one that counts");
    let error = waiter.ends().unwrap_err();
    assert_eq!(error.to_string(), "the run panicked: no fuel");
    assert!(!group.in_flight());
}

/// A waker that panics when it wakes.
#[derive(Default)]
struct Broken(AtomicUsize);

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        hush("a bad waker");
    }
}

#[test]
fn wakers_that_panic_cost_nobody_the_outcome_or_the_lead() {
    let group = Group::<u32, &str>::new();
    let gate = Gate::default();
    let broken = Arc::new(Broken::default());
    let mut leader = Task::begun(group.try_run_async(|| gate.then(Ok(1))));
    let mut bad = Task::new(group.try_run_async(|| async { Ok(2) }));
    assert!(bad.poll_with(&Waker::from(broken.clone())).is_pending());
    let good = Task::begun(group.try_run_async(|| async { Ok(3) }));
    gate.open();
    assert!(matches!(leader.poll(), Poll::Ready(Ok(value)) if *value == 1));
    assert_eq!((broken.0.load(Ordering::SeqCst), good.wakes()), (1, 1));
    assert_eq!((*bad.ends().unwrap(), *good.ends().unwrap()), (1, 1));

    let first = Task::begun(group.try_run_async(std::future::pending));
    let mut heir = Task::new(group.try_run_async(|| async { Ok(5) }));
    assert!(heir.poll_with(&Waker::from(broken.clone())).is_pending());
    drop(first);
    assert_eq!(broken.0.load(Ordering::SeqCst), 2);
    assert!(heir.ends().unwrap().led());
    assert!(!group.in_flight());
}

/// Polls a task that is not ready and leaves it the only owner of its waker.
fn poll_fragile<T>(task: &mut Task<'_, T>) {
    assert!(task.poll_with(&Waker::from(Arc::new(Fragile))).is_pending());
}

#[test]
fn wakers_that_panic_when_dropped_panic_in_their_own_task_only() {
    let group = Group::<u32, &str>::new();
    let gate = Gate::default();
    let leader = Task::begun(group.try_run_async(|| gate.then(Ok(1))));
    let mut polled = Task::new(group.try_run_async(|| async { Ok(2) }));
    poll_fragile(&mut polled);
    assert_eq!(message_of(|| polled.poll()), "a bad waker", "the old one is replaced by a new one");
    drop(polled);
    let mut dropped = Task::new(group.try_run_async(|| async { Ok(3) }));
    poll_fragile(&mut dropped);
    assert_eq!(message_of(|| drop(dropped)), "a bad waker");
    let mut told = Task::new(group.try_run_async(|| async { Ok(4) }));
    poll_fragile(&mut told);
    gate.open();
    assert_eq!(*leader.ends().unwrap(), 1);
    assert_eq!(*told.ends().unwrap(), 1);
    assert!(!group.in_flight());
}
