//! Loaders that fail or panic, and calls from inside them.

use crate::common::SECOND;
use crate::common::flight::{Gate, Task, hush, message_of, panic_of, until};
use docache::{Cache, FlightError, ManualClock};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

type Failing = Cache<u64, u32, String>;

#[test]
fn an_error_is_shared_by_those_who_wait_and_not_remembered() {
    let cache: Failing = Cache::builder().build().unwrap();
    for round in 1..=20 {
        let gate = Gate::default();
        let error = format!("failure {round}");
        let leader = Task::begun(cache.try_fetch_async(&1, || gate.then(Err(error.clone()))));
        let begin =
            |_| Task::begun(cache.try_fetch_async(&1, || async { unreachable!("it is loaded") }));
        let tasks: Vec<_> = (0..100).map(begin).collect();
        gate.open();
        let Err(FlightError::Failed(led)) = leader.ends() else { panic!("it failed") };
        assert_eq!(*led, error);
        for task in tasks {
            let Err(FlightError::Failed(joined)) = task.ends() else { panic!("it failed") };
            assert!(Arc::ptr_eq(&led, &joined), "one error for all");
        }
        assert!(!cache.contains_key(&1) && cache.is_empty());
    }
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.load_failures, stats.inserted), (20, 20, 0));
    assert_eq!(cache.try_fetch(1, || Ok(7)).unwrap(), 7);
}

#[test]
fn an_error_is_remembered_for_as_long_as_it_is_to_be() {
    let clock = ManualClock::new();
    let builder = Cache::builder().clock(clock.clone()).negative_ttl(2 * SECOND);
    let cache: Failing = builder.time_to_live(SECOND).build().unwrap();
    for round in 1..=5_u64 {
        let error = format!("failure {round}");
        let Err(FlightError::Failed(first)) = cache.try_fetch(1, || Err(error.clone())) else {
            panic!()
        };
        for _ in 0..2 {
            let again = cache.try_fetch(1, || unreachable!("it failed just now"));
            assert!(
                matches!(again, Err(FlightError::Failed(again)) if Arc::ptr_eq(&first, &again))
            );
            let task = Task::new(cache.try_fetch_async(&1, || async { unreachable!() })).ends();
            assert!(matches!(task, Err(FlightError::Failed(again)) if Arc::ptr_eq(&first, &again)));
            let [many] = &cache.try_fetch_many(&[&1], |_| unreachable!())[..] else {
                panic!("one key")
            };
            assert_eq!(many.as_ref().unwrap_err().failure(), Some(&error));
            assert_eq!(
                (cache.get(&1), cache.contains_key(&1), cache.remove_many(&[&2])),
                (None, false, 0)
            );
            clock.advance(SECOND - std::time::Duration::from_millis(1));
        }
        clock.advance(SECOND);
        assert_eq!(cache.stats().loads, round);
    }
}

#[test]
fn a_write_ends_what_is_remembered_of_a_failure() {
    let cache: Failing = Cache::builder().negative_ttl(1_000 * SECOND).build().unwrap();
    let fails = || assert!(cache.try_fetch(1, || Err("down".into())).is_err());
    let loads = || cache.try_fetch(1, || Ok(7)).ok();
    fails();
    cache.insert(1, 2);
    assert_eq!((loads(), cache.remove(&1), loads()), (Some(2), Some(2), Some(7)));
    cache.clear();
    for forget in [
        |cache: &Failing| assert_eq!(cache.remove(&1), None),
        |cache: &Failing| assert_eq!(cache.remove_many(&[&1]), 0),
        |cache: &Failing| cache.clear(),
    ] {
        fails();
        assert_eq!(loads(), None, "it is remembered");
        forget(&cache);
        assert_eq!(loads(), Some(7));
        cache.clear();
    }
}

#[test]
fn a_value_that_outlives_nothing_does_not_bring_an_old_failure_back() {
    let clock = ManualClock::new();
    let builder = Cache::builder().clock(clock.clone()).negative_ttl(100 * SECOND);
    let cache: Failing = builder.time_to_live(SECOND).build().unwrap();
    assert!(cache.try_fetch(1, || Err("down".into())).is_err());
    cache.insert(1, 2);
    clock.advance(SECOND);
    assert_eq!(cache.try_fetch(1, || Ok(3)).unwrap(), 3, "the failure is older than the value");
}

/// A key that can be cloned so many times.
#[derive(Debug)]
struct Scarce(Arc<AtomicUsize>);

impl Clone for Scarce {
    fn clone(&self) -> Self {
        match self.0.load(Ordering::SeqCst) {
            0 => hush("no more clones"),
            left => self.0.store(left - 1, Ordering::SeqCst),
        }
        Scarce(self.0.clone())
    }
}

impl PartialEq for Scarce {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Scarce {}

impl Hash for Scarce {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[test]
fn a_load_is_over_if_the_key_panics_while_its_failure_is_kept() {
    let mut panics_after_the_work = 0;
    for clones in 0.. {
        let cache = Cache::<Scarce, u32, &str>::builder().negative_ttl(SECOND).build().unwrap();
        let (key, mut ran) = (Scarce(Arc::new(AtomicUsize::new(clones))), 0);
        let fetch = || {
            cache.try_fetch(&key, || {
                ran += 1;
                Err("down")
            })
        };
        let fetched = catch_unwind(AssertUnwindSafe(fetch));
        let stats = cache.stats();
        assert_eq!((stats.loads, stats.load_failures), (ran, ran), "{clones} clones");
        if let Ok(fetched) = fetched {
            assert!(fetched.unwrap_err().is_failed());
            break;
        }
        panics_after_the_work += ran;
        key.0.store(usize::MAX, Ordering::SeqCst);
        assert_eq!(cache.try_fetch(&key, || Ok(7)).unwrap(), 7, "nothing is kept of it");
    }
    assert!(panics_after_the_work > 0);
}

#[test]
fn a_panic_is_the_leaders_and_the_others_are_told() {
    let cache: Failing = Cache::builder().build().unwrap();
    for (round, is_async) in [(1, false), (2, true), (3, false)] {
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            let leader = scope.spawn(|| {
                let message = format!("panic {round}");
                let lead = || {
                    barrier.wait();
                    barrier.wait();
                    hush(&message)
                };
                let payload = panic_of(|| match is_async {
                    false => cache.try_fetch(1, lead),
                    true => Task::new(cache.try_fetch_async(&1, || async { lead() })).ends(),
                });
                assert_eq!(*payload.downcast::<String>().unwrap(), message, "its own payload");
            });
            barrier.wait();
            let begin = |_| {
                Task::begun(cache.try_fetch_async(&1, || async { unreachable!("it is loaded") }))
            };
            let tasks: Vec<_> = (0..10).map(begin).collect();
            barrier.wait();
            leader.join().unwrap();
            for task in tasks {
                let Err(FlightError::Panicked(message)) = task.ends() else {
                    panic!("it panicked")
                };
                assert_eq!(*message, format!("panic {round}"));
            }
        });
        assert!(cache.is_empty());
    }
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.load_failures), (3, 3));
    assert_eq!(cache.try_fetch(1, || Ok(7)).unwrap(), 7);
}

#[test]
fn where_nothing_fails_a_panic_is_everyones() {
    let cache = Cache::<u64, u32>::new(10);
    let gate = Gate::default();
    let opened = gate.pass();
    let mut leader = Task::begun(cache.fetch_async(&1, || async {
        opened.await;
        hush("no fuel")
    }));
    let tasks: Vec<_> =
        (0..5).map(|_| Task::begun(cache.fetch_async(&1, || async { 2 }))).collect();
    gate.open();
    assert_eq!(message_of(|| leader.poll().is_ready()), "no fuel");
    for task in tasks {
        assert!(message_of(|| task.ends()).contains("no fuel"));
    }
    assert_eq!(cache.fetch(&1, || 3), 3);
}

#[test]
fn a_call_from_inside_of_its_own_load_is_answered() {
    let cache: Failing = Cache::builder().negative_ttl(SECOND).build().unwrap();
    let inner =
        |key: u64| cache.try_fetch(key, || unreachable!()).is_err_and(|error| error.is_reentrant());
    let value = cache.try_fetch(1, || {
        assert!(inner(1));
        let many = cache.try_fetch_many(&[&1, &2], |keys| {
            assert_eq!(keys, [&2]);
            assert!(inner(1) && inner(2));
            Ok(vec![20])
        });
        assert!(many[0].as_ref().is_err_and(FlightError::is_reentrant));
        assert_eq!(*many[1].as_ref().unwrap(), 20);
        assert!(
            Task::new(cache.try_fetch_async(&1, || async { unreachable!() }))
                .ends()
                .unwrap_err()
                .is_reentrant()
        );
        assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(20)));
        assert_eq!(cache.try_fetch(3, || Ok(inner(1).into())).unwrap(), 1);
        Ok(10)
    });
    assert_eq!((value.unwrap(), cache.get(&1), cache.get(&3)), (10, Some(10), Some(1)));
    let infallible: Cache<String, u32> = Cache::builder().debug_keys().build().unwrap();
    let message = message_of(|| infallible.fetch("key", || infallible.fetch("key", || 1)));
    assert!(message.contains("\"key\""), "{message}");
    assert_eq!(infallible.fetch("key", || 2), 2);
}

#[test]
fn a_thread_that_fails_a_hundred_times_beside_others_runs_each_load_once() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 100;
    let cache: Failing = Cache::builder().build().unwrap();
    let (barrier, loads, begun) = (Barrier::new(THREADS), AtomicUsize::new(0), AtomicUsize::new(0));
    let call = |round: usize| -> usize {
        barrier.wait();
        begun.fetch_add(1, Ordering::SeqCst);
        let failed = cache.try_fetch(1, || {
            until(|| begun.load(Ordering::SeqCst) == round * THREADS);
            Err(loads.fetch_add(1, Ordering::SeqCst).to_string())
        });
        let load = failed.unwrap_err().failure().unwrap().parse().unwrap();
        barrier.wait();
        load
    };
    let outcomes: Vec<Vec<usize>> = std::thread::scope(|scope| {
        let start = |_| scope.spawn(|| (1..=ROUNDS).map(call).collect());
        let threads: Vec<_> = (0..THREADS).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // A call that came when the load was over has run its own.
    assert!(loads.load(Ordering::SeqCst) >= ROUNDS && cache.is_empty());
    for round in 0..ROUNDS {
        let mut of_round: Vec<usize> = outcomes.iter().map(|outcomes| outcomes[round]).collect();
        of_round.sort_unstable();
        assert!(
            round == 0 || of_round[0] > outcomes.iter().map(|all| all[round - 1]).max().unwrap()
        );
    }
    assert_eq!(cache.stats().load_failures, loads.into_inner() as u64);
}
