//! The futures themselves: each of their states, and its end.

use crate::common::flight::{Fragile, Gate, Task, hush, message_of};
use docache::{Context, Group, KeyedGroup};
use std::sync::Arc;
use std::task::{Poll, Waker};

const POLLED_AGAIN: &str = "a future was polled after it was ready";

/// A future that has ended does not begin again, and harms nobody.
#[track_caller]
fn is_over<T>(task: &mut Task<'_, T>) {
    assert_eq!(message_of(|| task.poll()), POLLED_AGAIN);
    assert_eq!(message_of(|| task.poll()), POLLED_AGAIN);
}

#[test]
fn no_future_may_be_polled_after_its_end() {
    let (group, gate, context) = (Group::<u32>::new(), Gate::default(), Context::new());
    let mut leader = Task::begun(group.run_async(|| gate.then(1)));
    let mut joined = Task::begun(group.run_async(|| async { unreachable!() }));
    let mut left = Task::begun(group.run_async_in(&context, || async { unreachable!() }));
    context.cancel();
    assert!(matches!(left.poll(), Poll::Ready(Err(error)) if error.is_cancelled()));
    is_over(&mut left);
    let mut too_late = Task::new(group.run_async_in(&context, || async { unreachable!() }));
    assert!(matches!(too_late.poll(), Poll::Ready(Err(error)) if error.is_cancelled()));
    is_over(&mut too_late);
    gate.open();
    assert!(matches!(leader.poll(), Poll::Ready(end) if end.led() && *end == 1));
    is_over(&mut leader);
    assert!(matches!(joined.poll(), Poll::Ready(end) if !end.led() && *end == 1));
    is_over(&mut joined);
    let mut at_once = Task::new(group.run_async(|| async { 2 }));
    assert!(matches!(at_once.poll(), Poll::Ready(end) if end.led() && *end == 2));
    is_over(&mut at_once);
    // While another run is under way it takes no part in that.
    let mut next = Task::begun(group.run_async(std::future::pending));
    is_over(&mut at_once);
    drop((leader, joined, left, too_late, at_once));
    next.waits();
    assert!(group.in_flight());
}

#[test]
fn no_future_may_be_polled_after_a_panic_or_a_reentrant_call() {
    let (group, gate) = (Group::<u32, &str>::new(), Gate::default());
    let broken = || -> std::future::Ready<Result<u32, &'static str>> { hush("no future") };
    let mut leader = Task::new(group.try_run_async(broken));
    assert_eq!(message_of(|| leader.poll()), "no future");
    is_over(&mut leader);
    let mut leader = Task::begun(group.try_run_async(|| async {
        gate.pass().await;
        hush("no fuel")
    }));
    gate.open();
    assert_eq!(message_of(|| leader.poll()), "no fuel");
    assert!(!group.in_flight());
    is_over(&mut leader);
    let mut inner = Task::new(group.try_run_async(|| async { Ok(1) }));
    let outer = group.try_run(|| {
        assert!(matches!(inner.poll(), Poll::Ready(Err(error)) if error.is_reentrant()));
        Ok(2)
    });
    assert_eq!(*outer.unwrap(), 2);
    is_over(&mut inner);
}

#[test]
fn whenever_a_future_is_dropped_all_that_it_holds_is_dropped() {
    let group = KeyedGroup::<str, Arc<()>>::new();
    let (key, held, gate) = (Arc::<str>::from("key"), Arc::new(()), &Gate::default());
    let call = || {
        let value = held.clone();
        Task::new(group.run_async(key.clone(), move || gate.then(value)))
    };
    let begun = || {
        let mut task = call();
        task.waits();
        task
    };
    let counts = || (Arc::strong_count(&key) - 1, Arc::strong_count(&held) - 1, group.in_flight());
    let new = call();
    assert_eq!(counts(), (1, 1, 0));
    drop(new);
    assert_eq!(counts(), (0, 0, 0));
    let (leads, waits) = (begun(), begun());
    assert_eq!(counts(), (2, 2, 1));
    drop(waits);
    assert_eq!(counts(), (1, 1, 1));
    let heir = begun();
    drop(leads);
    assert_eq!(counts(), (1, 1, 1));
    drop(heir);
    assert_eq!(counts(), (0, 0, 0));
    let (mut leads, mut waits, told) = (begun(), begun(), begun());
    gate.open();
    assert!(leads.poll().is_ready());
    assert!(waits.poll().is_ready());
    assert_eq!(counts().1, 2, "the outcome and the work of one, which was told and has not looked");
    drop((leads, waits, told));
    assert_eq!(counts(), (0, 0, 0));
}

#[test]
fn work_that_never_began_is_dropped_when_the_call_has_left() {
    struct Calls<'a>(&'a Group<u32>);
    impl Drop for Calls<'_> {
        fn drop(&mut self) {
            assert_eq!(*self.0.run(|| 7), 7, "it would wait for its own lead");
        }
    }
    let group = Group::<u32>::new();
    let calls = Calls(&group);
    let leader = Task::begun(group.run_async(std::future::pending));
    let heir = Task::begun(group.run_async(move || {
        let _calls = &calls;
        async { unreachable!() }
    }));
    drop(leader);
    assert!(group.in_flight());
    drop(heir);
    assert!(!group.in_flight());
}

/// A part of a future whose destructor panics in any case.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        hush("a bad destructor");
    }
}

#[test]
fn a_destructor_that_panics_while_its_thread_does_hands_the_lead_on_too() {
    let group = Group::<u32>::new();
    let mut heir = Task::new(group.run_async(|| async { 2 }));
    let unwinds = || {
        let bomb = Bomb;
        let _leader = Task::begun(group.run_async(move || {
            std::future::poll_fn(move |_| {
                let _kept = &bomb;
                Poll::Pending
            })
        }));
        heir.waits();
        hush("the first panic")
    };
    assert_eq!(message_of(unwinds), "the first panic");
    assert_eq!(heir.wakes(), 1);
    assert_eq!(*heir.ends(), 2);
    assert!(!group.in_flight());
}

#[test]
fn a_poll_that_panics_has_left_the_run() {
    let (group, gate) = (Group::<u32>::new(), Gate::default());
    let mut leader = Task::begun(group.run_async(|| gate.then(1)));
    let mut waiter = Task::new(group.run_async(|| async { unreachable!() }));
    assert!(waiter.poll_with(&Waker::from(Arc::new(Fragile))).is_pending());
    assert_eq!(message_of(|| waiter.poll()), "a bad waker");
    is_over(&mut waiter);
    gate.open();
    assert!(matches!(leader.poll(), Poll::Ready(end) if !end.is_shared()));
    assert!(!group.in_flight());
}

#[test]
#[cfg(target_pointer_width = "64")]
fn futures_are_small() {
    let (group, keyed, context) =
        (Group::<u64>::new(), KeyedGroup::<u64, u64>::new(), Context::new());
    let work = || async { 1 };
    let sizes = [
        size_of_val(&group.run_async(work)),
        size_of_val(&group.run_async_in(&context, work)),
        size_of_val(&keyed.run_async(1_u64, work)),
        size_of_val(&keyed.run_async_in(&context, 1_u64, work)),
    ];
    assert!(sizes.into_iter().all(|size| size <= 256), "{sizes:?}");
}
