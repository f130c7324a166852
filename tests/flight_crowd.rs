//! Thousands that wait for one run: threads, tasks, and both.

mod common;

use common::flight::{Gate, Joins, Key, Task, until};
use docache::KeyedGroup;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

const CROWD: usize = 10_000;

/// What a thread that only waits needs.
const STACK: usize = 64 * 1024;

/// A crowd at a time, so that the system has threads for each.
static TURN: Mutex<()> = Mutex::new(());

type Crowded = KeyedGroup<Key, Arc<()>>;

/// A thread that waits; whether it got `value`. `None` if the system has no more threads.
fn waiter<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    (group, key, value): (&'env Crowded, &'env Key, &'env Arc<()>),
) -> Option<ScopedJoinHandle<'scope, bool>> {
    let wait = move || {
        let end = group.run(key, || unreachable!("a run is under way"));
        !end.led() && Arc::ptr_eq(&end, value)
    };
    Builder::new().stack_size(STACK).spawn_scoped(scope, wait).ok()
}

/// Has up to `threads` threads wait, and tasks for those that are not to be had, and says how many
/// threads there were.
fn crowd(threads: usize) -> usize {
    let (group, joins, gate, value) =
        (Crowded::new(), Joins::default(), Gate::default(), Arc::new(()));
    let key = joins.key("key");
    let leader = Task::begun(group.run_async(key.clone(), || gate.then(value.clone())));
    let ran = std::thread::scope(|scope| {
        let parked: Vec<_> =
            std::iter::from_fn(|| waiter(scope, (&group, &key, &value))).take(threads).collect();
        let begin = |_| Task::begun(group.run_async(key.clone(), || async { unreachable!() }));
        let tasks: Vec<_> = (parked.len()..threads).map(begin).collect();
        joins.reach(threads, &group);
        assert_eq!(joins.count(), threads);
        gate.open();
        assert!(leader.ends().is_shared());
        let ran = parked.len();
        assert!(parked.into_iter().all(|thread| thread.join().unwrap()));
        until(|| tasks.iter().all(|task| task.wakes() == 1));
        assert!(tasks.into_iter().all(|task| Arc::ptr_eq(&task.ends(), &value)));
        ran
    });
    assert_eq!((Arc::strong_count(&value), group.in_flight()), (1, 0));
    ran
}

#[test]
fn two_thousand_threads() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(crowd(2_000), 2_000);
}

#[test]
fn ten_thousand_threads_or_as_many_as_there_are_and_tasks() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let threads = crowd(CROWD);
    println!("{threads} of {CROWD} waiters were threads");
    assert!(threads >= 1_000, "only {threads} threads are to be had");
}

#[test]
fn ten_thousand_tasks_on_four_threads() {
    const THREADS: usize = 4;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (group, value) = (KeyedGroup::<str, Arc<()>>::new(), Arc::new(()));
    let (leads, joined) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    let told = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                leads.wait();
                let begin = |_| Task::begun(group.run_async("key", || async { unreachable!() }));
                let mut tasks: Vec<_> = (0..CROWD / THREADS).map(begin).collect();
                joined.wait();
                while !tasks.is_empty() {
                    let (woken, rest): (Vec<_>, _) =
                        tasks.into_iter().partition(|task| task.wakes() > 0);
                    for task in woken {
                        assert_eq!(task.wakes(), 1);
                        assert!(Arc::ptr_eq(&task.ends(), &value));
                        told.fetch_add(1, Ordering::SeqCst);
                    }
                    tasks = rest;
                    std::thread::yield_now();
                }
            });
        }
        let led = group.run("key", || {
            leads.wait();
            joined.wait();
            value.clone()
        });
        assert!(led.led() && led.is_shared());
    });
    assert_eq!(told.into_inner(), CROWD);
    assert_eq!((Arc::strong_count(&value), group.in_flight()), (1, 0));
}

#[test]
fn ten_thousand_tasks_that_inherit_the_lead_one_after_the_other() {
    let group = KeyedGroup::<str, usize>::new();
    let leader = Task::begun(group.run_async("key", std::future::pending));
    let heirs: Vec<_> = (0..CROWD)
        .map(|at| Task::begun(group.run_async("key", move || async move { at })))
        .collect();
    drop(leader);
    let mut heirs = heirs.into_iter();
    for heir in heirs.by_ref().take(CROWD - 1) {
        assert_eq!(heir.wakes(), 1);
    }
    assert_eq!(*heirs.next().unwrap().ends(), CROWD - 1);
    assert_eq!(group.in_flight(), 0);
}
