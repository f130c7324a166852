//! Many keys in one call.

use crate::common::SECOND;
use crate::common::flight::{Dice, Gate, Joins, Key, Seed, Task, hush, message_of, until};
use docache::{Context, FlightError, KeyedGroup, ManualClock};
use std::cell::RefCell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

type Words = KeyedGroup<str, u32, &'static str>;

/// The lengths of the keys, as their values.
fn lengths(keys: &[&str]) -> Result<Vec<u32>, &'static str> {
    Ok(keys.iter().map(|key| key.len() as u32).collect())
}

fn values<E: std::fmt::Debug>(ends: Vec<Result<docache::Shared<u32>, FlightError<E>>>) -> Vec<u32> {
    ends.into_iter().map(|end| end.unwrap().into_inner()).collect()
}

#[test]
fn no_keys_no_work() {
    let group = Words::new();
    assert!(group.try_run_many(&[], |_| unreachable!()).is_empty());
    assert!(KeyedGroup::<str, u32>::new().run_many(&[], |_| unreachable!()).is_empty());
}

#[test]
fn repeated_keys_run_once() {
    let group = Words::new();
    let asked = RefCell::new(Vec::new());
    let ends = group.try_run_many(&["a", "bb", "a", "", "bb", "a"], |keys| {
        asked.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
        assert_eq!(group.in_flight(), 3);
        lengths(keys)
    });
    assert_eq!(*asked.borrow(), ["a", "bb", ""]);
    let led: Vec<_> = ends.iter().map(|end| end.as_ref().unwrap().led()).collect();
    assert_eq!(led, [true, true, false, true, false, false]);
    assert_eq!(values(ends), [1, 2, 1, 0, 2, 1]);
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn keys_that_are_under_way_are_shared_and_the_others_are_done_before_anything_is_waited_for() {
    let (group, joins, gate) = (KeyedGroup::<Key, u32>::new(), Joins::default(), Gate::default());
    let [a, b, c] = ["a", "b", "c"].map(|name| joins.key(name));
    let leader = Task::begun(group.run_async(b.clone(), || gate.then(7)));
    let ends = std::thread::scope(|scope| {
        let bulk = scope.spawn(|| {
            group.run_many(&[&a, &b, &c], |keys| {
                assert_eq!(keys.iter().map(|key| key.name).collect::<Vec<_>>(), ["a", "c"]);
                vec![1, 3]
            })
        });
        joins.reach(1, &group);
        until(|| group.in_flight() == 1);
        assert!(group.run(&a, || 9).led(), "its own keys have landed while it waits");
        gate.open();
        assert_eq!(*leader.ends(), 7);
        bulk.join().unwrap()
    });
    assert_eq!(
        ends.iter().map(|end| (**end, end.led())).collect::<Vec<_>>(),
        [(1, true), (7, false), (3, true)]
    );
}

type Work = fn() -> Result<Vec<u32>, &'static str>;

#[test]
fn those_who_joined_a_bulk_call_get_its_outcome_key_by_key() {
    let short = "work: 1 values are not accepted; return one for each of the 2 keys";
    let cases: [(Work, Option<&str>, Option<&str>); 4] = [
        (|| Ok(vec![1, 2]), None, None),
        (|| Err("no disk"), Some("no disk"), None),
        (|| hush("no fuel"), Some("the run panicked: no fuel"), Some("no fuel")),
        (|| Ok(vec![1]), Some(&format!("the run panicked: {short}")), Some(short)),
    ];
    for (work, error, panic) in cases {
        let expected = |value: u32| error.map_or(Ok(value), |error| Err(error.to_owned()));
        let end = |end: Result<docache::Shared<u32>, FlightError<&str>>| {
            end.map(|value| *value).map_err(|error| error.to_string())
        };
        let (group, joins) = (KeyedGroup::<Key, u32, &str>::new(), Joins::default());
        let [a, b] = ["a", "b"].map(|name| joins.key(name));
        let call = || {
            let ends = group.try_run_many(&[&a, &b], |_| {
                joins.reach(2, &group);
                work()
            });
            ends.into_iter().map(end).collect::<Vec<_>>()
        };
        std::thread::scope(|scope| {
            let bulk = scope.spawn(|| match panic {
                None => assert_eq!(call(), [expected(1), expected(2)]),
                Some(panic) => assert_eq!(message_of(call), panic),
            });
            until(|| group.in_flight() == 2);
            let waiters = [&a, &b].map(|key| scope.spawn(|| group.try_run(key, || Ok(9))));
            assert_eq!(
                waiters.map(|waiter| end(waiter.join().unwrap())),
                [expected(1), expected(2)]
            );
            bulk.join().unwrap();
        });
        assert_eq!(group.in_flight(), 0);
        assert!(group.try_run(&a, || Ok(1)).unwrap().led());
    }
}

#[test]
fn too_many_values_are_no_better_than_too_few() {
    let group = Words::new();
    let text = "work: 3 values are not accepted; return one for each of the 2 keys";
    assert_eq!(message_of(|| group.try_run_many(&["a", "b"], |_| Ok(vec![1, 2, 3]))), text);
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn leads_that_are_handed_over_are_served_at_once_in_one_call() {
    let (group, joins) = (KeyedGroup::<Key, u32>::new(), Joins::default());
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| joins.key(name));
    let gate = Gate::default();
    let first = Task::begun(group.run_async(b.clone(), std::future::pending));
    let second = Task::begun(group.run_async(c.clone(), std::future::pending));
    let last = Task::begun(group.run_async(d.clone(), || gate.then(4)));
    let (calls, asked) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let bulk = scope.spawn(|| {
            group.run_many(&[&a, &b, &c, &d], |keys| {
                asked.lock().unwrap().extend(keys.iter().map(|key| key.name));
                calls.fetch_add(1, Ordering::SeqCst);
                vec![9; keys.len()]
            })
        });
        joins.reach(3, &group);
        until(|| calls.load(Ordering::SeqCst) == 1);
        drop(first);
        until(|| calls.load(Ordering::SeqCst) == 2);
        // A waiter of a key that is still under way gets what the bulk call makes of it.
        let waiter = Task::begun(group.run_async(c.clone(), || async { 3 }));
        drop(second);
        until(|| waiter.wakes() == 1);
        assert_eq!(*waiter.ends(), 9);
        gate.open();
        assert_eq!(*last.ends(), 4);
        let ends = bulk.join().unwrap();
        assert_eq!(ends.iter().map(|end| **end).collect::<Vec<_>>(), [9, 9, 9, 4]);
        assert_eq!(ends.iter().map(|end| end.led()).collect::<Vec<_>>(), [true, true, true, false]);
    });
    assert_eq!(*asked.lock().unwrap(), ["a", "b", "c"]);
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn a_panic_in_a_lead_that_was_handed_over_leaves_nothing_behind() {
    let (group, joins) = (KeyedGroup::<Key, u32>::new(), Joins::default());
    let [a, b] = ["a", "b"].map(|name| joins.key(name));
    let gate = Gate::default();
    let first = Task::begun(group.run_async(a.clone(), std::future::pending));
    let other = Task::begun(group.run_async(b.clone(), || gate.then(2)));
    std::thread::scope(|scope| {
        let bulk =
            scope.spawn(|| message_of(|| group.run_many(&[&a, &b, &a], |_| hush("no fuel"))));
        joins.reach(3, &group);
        drop(first);
        assert_eq!(bulk.join().unwrap(), "no fuel");
    });
    assert_eq!(group.in_flight(), 1);
    gate.open();
    assert!(!other.ends().is_shared());
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn keys_whose_run_the_call_is_inside_of_are_reentrant_and_the_others_are_not() {
    let group = Words::new();
    let outer = group.try_run("bb", || {
        let ends = group.try_run_many(&["a", "bb", "ccc"], lengths);
        assert!(ends[1].as_ref().unwrap_err().is_reentrant());
        assert_eq!((**ends[0].as_ref().unwrap(), **ends[2].as_ref().unwrap()), (1, 3));
        Ok(2)
    });
    assert_eq!(*outer.unwrap(), 2);
    let ends = group.try_run_many(&["a", "bb"], |keys| {
        for key in ["a", "bb"] {
            assert!(group.try_run(key, || unreachable!()).unwrap_err().is_reentrant());
        }
        assert!(
            group.try_run_many(&["bb", "a"], |_| unreachable!()).iter().all(|end| end.is_err())
        );
        assert!(group.try_run("other", || Ok(1)).unwrap().led());
        lengths(keys)
    });
    assert_eq!(values(ends), [1, 2]);
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn a_bulk_call_leaves_at_its_deadline_with_what_it_has() {
    let (group, clock) = (Words::new(), ManualClock::new());
    let context = Context::with_clock(clock.clone()).with_timeout(SECOND);
    let gate = Gate::default();
    let leader = Task::begun(group.try_run_async("bb", || gate.then(Ok(7))));
    let waiter = Task::begun(group.try_run_async("bb", || async { Ok(8) }));
    let ends = group.try_run_many_in(&context, &["a", "bb", "ccc", "bb"], |keys| {
        clock.advance(SECOND);
        lengths(keys)
    });
    let left: Vec<_> =
        ends.iter().map(|end| end.as_ref().is_err_and(FlightError::is_timeout)).collect();
    assert_eq!(left, [false, true, false, true]);
    gate.open();
    assert!(leader.ends().unwrap().is_shared());
    assert_eq!(*waiter.ends().unwrap(), 7);
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn a_bulk_call_that_is_cancelled_while_it_waits_leaves() {
    let (group, joins, context) =
        (KeyedGroup::<Key, u32, &str>::new(), Joins::default(), Context::new());
    let [a, b] = ["a", "b"].map(|name| joins.key(name));
    let leader = Task::begun(group.try_run_async(b.clone(), std::future::pending));
    std::thread::scope(|scope| {
        let bulk = scope.spawn(|| group.try_run_many_in(&context, &[&a, &b], |_| Ok(vec![1])));
        joins.reach(1, &group);
        context.cancel();
        let ends = bulk.join().unwrap();
        assert_eq!(**ends[0].as_ref().unwrap(), 1);
        assert!(ends[1].as_ref().unwrap_err().is_cancelled());
    });
    drop(leader);
    assert_eq!(group.in_flight(), 0);
}

/// Some of the keys, in any order, some of them repeated.
fn hand<'a>(dice: &mut Dice, keys: &'a [String]) -> Vec<&'a str> {
    (0..dice.below(2 * keys.len())).map(|_| keys[dice.below(keys.len())].as_str()).collect()
}

#[test]
fn bulk_calls_that_overlap_in_any_order_end() {
    const THREADS: u64 = 4;
    let keys: Vec<String> = (0..6).map(|key| format!("key {key}")).collect();
    for round in 0..20 {
        let _seed = Seed(round);
        let group = Words::builder().shards(1).build().unwrap();
        let barrier = Barrier::new(THREADS as usize);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (group, keys, barrier) = (&group, &keys, &barrier);
                scope.spawn(move || {
                    let mut dice = Dice::new(round * THREADS + thread);
                    barrier.wait();
                    for _ in 0..50 {
                        let hand = hand(&mut dice, keys);
                        let fails = dice.once_in(8);
                        let ends = group.try_run_many(&hand, |keys| {
                            std::thread::yield_now();
                            if fails { Err("no disk") } else { lengths(keys) }
                        });
                        assert_eq!(ends.len(), hand.len());
                        for (key, end) in hand.iter().zip(ends) {
                            match end {
                                Ok(value) => assert_eq!(*value, key.len() as u32),
                                Err(error) => assert_eq!(error.failure(), Some(&"no disk")),
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(group.in_flight(), 0);
    }
}

#[test]
fn a_lead_that_is_handed_to_a_call_in_its_work_cannot_be_waited_for_from_there() {
    // The call waits for "b", and inherits it while its own work runs, which only then asks for
    // "b".
    let group = Words::new();
    let mut first = Some(Task::begun(group.try_run_async("b", std::future::pending)));
    let asked = RefCell::new(Vec::new());
    let ends = group.try_run_many(&["a", "b"], |keys| {
        asked.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
        if first.take().is_some() {
            assert_eq!(group.in_flight(), 2);
            assert!(group.try_run("b", || unreachable!()).unwrap_err().is_reentrant());
            assert!(
                group.try_run_many(&["b"], |_| unreachable!())[0]
                    .as_ref()
                    .unwrap_err()
                    .is_reentrant()
            );
        }
        lengths(keys)
    });
    assert_eq!(
        (values(ends), asked.into_inner()),
        (vec![1, 1], vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn a_lead_goes_past_a_call_in_its_work_to_one_that_can_serve_it() {
    // The call waits for "b" and its work asks for "b" as well; then the run of "b" is given up.
    let (group, joins) = (KeyedGroup::<Key, u32>::new(), Joins::default());
    let [a, b] = ["a", "b"].map(|name| joins.key(name));
    let first = Task::begun(group.run_async(b.clone(), std::future::pending));
    std::thread::scope(|scope| {
        let bulk = scope.spawn(|| {
            group.run_many(&[&b, &a], |keys| {
                assert_eq!(keys[0].name, "a");
                let inner = group.run_many(&[&b], |_| vec![7]);
                assert!(inner[0].led());
                vec![1]
            })
        });
        joins.reach(2, &group);
        drop(first);
        let ends = bulk.join().unwrap();
        assert_eq!((*ends[0], *ends[1]), (7, 1));
    });
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn of_nested_calls_in_their_work_the_innermost_inherits() {
    // Both wait for "b", and the outer one cannot serve it before the inner one has ended. An async
    // caller that leads in between must not change who is the inner one.
    let group = Words::new();
    for leads_between in [false, true] {
        let mut first = Some(Task::begun(group.try_run_async("b", std::future::pending)));
        let asked = RefCell::new(Vec::new());
        let ask =
            |keys: &[&str]| asked.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
        let ends = group.try_run_many(&["a", "b"], |keys| {
            ask(keys);
            let mut between =
                leads_between.then(|| Task::begun(group.try_run_async("b", std::future::pending)));
            let inner = group.try_run_many(&["c", "b"], |keys| {
                ask(keys);
                drop(first.take());
                drop(between.take());
                lengths(keys)
            });
            assert_eq!(
                inner.iter().map(|end| end.as_ref().unwrap().led()).collect::<Vec<_>>(),
                [true, true]
            );
            lengths(keys)
        });
        assert_eq!(
            ends.iter().map(|end| end.as_ref().unwrap().led()).collect::<Vec<_>>(),
            [true, false]
        );
        assert_eq!(*asked.borrow(), ["a", "c", "b"]);
        assert_eq!(group.in_flight(), 0);
    }
}

#[test]
fn a_panic_that_is_shared_comes_after_all_leads_are_served() {
    let group: Words = KeyedGroup::builder().repanic(true).build().unwrap();
    let mut panics = Task::begun(group.try_run_async("a", || {
        let mut begun = false;
        std::future::poll_fn(move |_| {
            if std::mem::replace(&mut begun, true) { hush("boom") } else { Poll::Pending }
        })
    }));
    let mut leaves = Some(Task::begun(group.try_run_async("b", std::future::pending)));
    let asked = RefCell::new(Vec::new());
    let message = message_of(|| {
        group.try_run_many(&["a", "b", "c"], |keys| {
            asked.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
            if leaves.is_some() {
                assert_eq!(message_of(|| panics.poll()), "boom");
                drop(leaves.take());
            }
            lengths(keys)
        })
    });
    assert_eq!(message, "the run panicked: boom");
    assert_eq!(*asked.borrow(), ["c", "b"], "the lead that was handed over was served");
    assert_eq!(group.in_flight(), 0);
}
