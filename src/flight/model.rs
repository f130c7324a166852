//! Models of flights. Each spawns; loom runs every interleaving. What is only counted lies in std's
//! atomics, which are no part of the model.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::context::Context;
use crate::sync::model;
use crate::wait::block_on;
use loom::thread;

type Keyed = KeyedGroup<u64, usize>;

/// Counts the runs, of which no two of one key are ever at work at once.
#[derive(Default)]
struct Runs {
    made: AtomicUsize,
    busy: AtomicUsize,
}

impl Runs {
    /// One run: its number.
    fn run(&self) -> usize {
        assert_eq!(self.busy.fetch_add(1, Ordering::SeqCst), 0, "ONE-RUN");
        thread::yield_now();
        self.busy.fetch_sub(1, Ordering::SeqCst);
        self.made.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }
}

fn keyed() -> Arc<Keyed> {
    Arc::new(KeyedGroup::with(1, crate::flight::ErrorStyle::DEFAULT))
}

/// Counts wake-ups.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut TaskContext::from_waker(waker))
}

/// A future that is never ready.
async fn never(_: ()) -> usize {
    std::future::pending().await
}

/// A leading future, polled once.
macro_rules! pending_leader {
    ($group:expr, $key:expr) => {{
        let group = $group.clone();
        let mut leader =
            Box::pin(async move { group.run_async($key, || never(())).await.into_inner() });
        assert!(poll(leader.as_mut(), Waker::noop()).is_pending());
        leader
    }};
}

#[test]
fn leader_and_follower() {
    model(|| {
        let (group, runs) = (Arc::new(Group::<usize>::new()), Arc::new(Runs::default()));
        let (other, counted) = (group.clone(), runs.clone());
        let follower = thread::spawn(move || other.run(|| counted.run()));
        let (here, there) = (group.run(|| runs.run()), (follower.join().unwrap()));
        match runs.made() {
            1 => {
                assert!(*here == 1 && *there == 1 && here.led() != there.led() && here.is_shared())
            }
            2 => assert!(here.led() && there.led() && *here + *there == 3),
            made => panic!("{made} runs for 2 calls"),
        }
        assert!(!group.in_flight());
    });
}

#[test]
fn two_leaders_race_and_a_third_follows() {
    model(|| {
        let (group, runs) = (keyed(), Arc::new(Runs::default()));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (group, runs) = (group.clone(), runs.clone());
                thread::spawn(move || *group.run(&1, || runs.run()))
            })
            .collect();
        let mine = *group.run(&1, || runs.run());
        let made = runs.made();
        assert!((1..=3).contains(&mine) && (1..=3).contains(&made));
        for caller in callers {
            assert!((1..=3).contains(&caller.join().unwrap()));
        }
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn two_parked_threads_one_relays_to_the_other() {
    model(|| {
        let group = keyed();
        let leader = pending_leader!(group, 1_u64);
        let followers: Vec<_> = (0..2)
            .map(|_| {
                let group = group.clone();
                thread::spawn(move || *group.run(&1, || 7))
            })
            .collect();
        // One that is there takes the lead; one that waits is served, by the leader or by the
        // other.
        drop(leader);
        for follower in followers {
            assert_eq!(follower.join().unwrap(), 7);
        }
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn abandon_with_nobody_waiting_against_a_call() {
    model(|| {
        let group = keyed();
        let leader = pending_leader!(group, 1_u64);
        let other = group.clone();
        let caller = thread::spawn(move || *other.run(&2, || 2));
        drop(leader);
        assert_eq!(*group.run(&1, || 1), 1);
        assert_eq!(caller.join().unwrap(), 2);
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn abandon_against_one_that_waits() {
    model(|| {
        let (group, runs) = (keyed(), Arc::new(Runs::default()));
        let leader = pending_leader!(group, 1_u64);
        let (other, counted) = (group.clone(), runs.clone());
        let waiter = thread::spawn(move || other.run(&1, || counted.run()));
        drop(leader);
        // Joins the heir's flight, or begins one when that is over.
        let here = group.run(&1, || runs.run());
        let there = waiter.join().unwrap();
        assert!(here.led() || there.led(), "an heir runs its own closure");
        assert_eq!(here.led() && there.led(), runs.made() == 2);
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn an_heir_that_leaves_against_one_that_waits() {
    model(|| {
        let group = keyed();
        let leader = pending_leader!(group, 1_u64);
        let heir = pending_leader!(group, 1_u64);
        let other = group.clone();
        let waiter = thread::spawn(move || *other.run(&1, || 2));
        let leaver = thread::spawn(move || drop(heir));
        drop(leader);
        leaver.join().unwrap();
        assert_eq!(waiter.join().unwrap(), 2);
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn two_waiters_one_leaves() {
    model(|| {
        let group = keyed();
        let count = Arc::new(Count::default());
        let (mut stays, mut leaver) = (None, None);
        let value = group.run(&1, || {
            // On a thread of their own they are not inside the run.
            let (group, count) = (group.clone(), count.clone());
            let waiters = thread::spawn(move || {
                let waker = Waker::from(count);
                let waiter = |group: Arc<Keyed>| {
                    let mut waiter =
                        Box::pin(async move { *group.run_async(1_u64, || async { 2 }).await });
                    assert!(poll(waiter.as_mut(), &waker).is_pending());
                    waiter
                };
                (waiter(group.clone()), waiter(group))
            });
            let waiters = waiters.join().unwrap();
            stays = Some(waiters.0);
            leaver = Some(thread::spawn(move || drop(waiters.1)));
            1
        });
        assert!(*value == 1 && value.is_shared());
        let mut stays = stays.unwrap();
        leaver.unwrap().join().unwrap();
        assert!(
            count.0.load(Ordering::SeqCst) >= 1,
            "the one that stays is woken, whatever the other does"
        );
        assert_eq!(poll(stays.as_mut(), Waker::noop()), Poll::Ready(1));
    });
}

#[test]
fn cancel_against_complete() {
    model(|| {
        let group = keyed();
        let task = {
            let group = group.clone();
            thread::spawn(move || {
                let mut call = Box::pin(group.run_async(1_u64, || async { 2 }));
                let polled = poll(call.as_mut(), Waker::noop());
                // Dropped here: it waits, is served, or has the value.
                if let Poll::Ready(value) = polled {
                    assert!(*value == 1 || *value == 2);
                }
            })
        };
        assert!([1, 2].contains(&*group.run(&1, || 1)));
        task.join().unwrap();
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn waker_replaced_against_complete() {
    model(|| {
        let group = keyed();
        let task = {
            let group = group.clone();
            thread::spawn(move || {
                let (old, new) = (Arc::new(Count::default()), Arc::new(Count::default()));
                let mut call = pin!(group.run_async(1_u64, || async { 2 }));
                if poll(call.as_mut(), &old.into()).is_ready() {
                    return;
                }
                if poll(call.as_mut(), &new.clone().into()).is_pending() {
                    // The newest Waker is the one that will be woken: wait for it.
                    while new.0.load(Ordering::SeqCst) == 0 {
                        thread::yield_now();
                    }
                    assert!(poll(call.as_mut(), Waker::noop()).is_ready());
                }
            })
        };
        group.run(&1, || 1);
        task.join().unwrap();
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn a_panic_against_one_that_waits() {
    model(|| {
        let group = Arc::new(Group::<usize>::new());
        let other = group.clone();
        let waiter = thread::spawn(move || other.try_run(|| Ok(2)).map(Shared::into_inner));
        let own =
            catch_unwind(AssertUnwindSafe(|| group.try_run(|| resume_unwind(Box::new("boom")))));
        match waiter.join().unwrap() {
            Ok(value) => assert_eq!(value, 2),
            Err(FlightError::Panicked(message)) => assert!(&*message == "boom" && own.is_err()),
            Err(error) => panic!("{error}"),
        }
        assert!(!group.in_flight());
        assert_eq!(*group.run(|| 3), 3);
    });
}

#[test]
fn forget_against_join() {
    model(|| {
        let group = keyed();
        let other = group.clone();
        let forgetter = thread::spawn(move || {
            other.forget(&1);
            *other.run(&1, || 2)
        });
        let here = *group.run(&1, || 1);
        let there = forgetter.join().unwrap();
        assert!(here == 1 || here == 2 && there == 2, "{here} {there}");
        assert_eq!(group.in_flight(), 0, "REGISTERED");
    });
}

#[test]
fn timeout_against_complete() {
    model(|| {
        let group = keyed();
        let other = group.clone();
        let waiter = thread::spawn(move || {
            // Not done when it enters; the deadline comes while it waits.
            let clock = ManualClock::new();
            let context = Context::with_clock(clock.clone()).with_timeout(Duration::from_nanos(1));
            let turn = thread::spawn(move || clock.advance(Duration::from_nanos(1)));
            let value = other.run_in(&context, &1, || 2).map(Shared::into_inner);
            turn.join().unwrap();
            value
        });
        assert!([1, 2].contains(&*group.run(&1, || 1)));
        match waiter.join().unwrap() {
            Ok(value) => assert!(value == 1 || value == 2),
            Err(error) => assert!(error.is_timeout()),
        }
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn two_keys_take_turns_in_one_frame() {
    model(|| {
        let group = keyed();
        let other = group.clone();
        // The two calls of this thread lie at one address, one after the other.
        let turns = thread::spawn(move || [1, 2].map(|key| *other.run(&key, || key as usize)));
        let mine = *group.run(&2, || 2);
        assert_eq!((mine, turns.join().unwrap()), (2, [1, 2]), "nobody gets another key's value");
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn a_parked_thread_and_a_task_are_both_served() {
    model(|| {
        let group = keyed();
        let parked = {
            let group = group.clone();
            thread::spawn(move || *group.run(&1, || 2))
        };
        let task = {
            let group = group.clone();
            thread::spawn(move || {
                let call = async { *group.run_async(1_u64, || async { 3 }).await };
                block_on(call, &SystemClock, None).unwrap()
            })
        };
        assert!((1..=3).contains(&*group.run(&1, || 1)));
        assert!((1..=3).contains(&parked.join().unwrap()));
        assert!((1..=3).contains(&task.join().unwrap()));
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn bulk_calls_that_overlap() {
    model(|| {
        let group = keyed();
        let other = group.clone();
        let values = |keys: &[&u64]| keys.iter().map(|key| **key as usize).collect();
        let bulk = thread::spawn(move || {
            other.run_many(&[&1, &2], values).iter().map(|value| **value).sum()
        });
        let sum: usize = group.run_many(&[&2, &1], values).iter().map(|value| **value).sum();
        assert_eq!((sum, bulk.join().unwrap()), (3, 3_usize));
        assert_eq!(group.in_flight(), 0);
    });
}
