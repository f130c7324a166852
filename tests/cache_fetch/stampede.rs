//! A crowd for one key that has just expired: one load, and its value for everyone.

use crate::common::SECOND;
use crate::common::flight::{Gate, Task, until};
use docache::{Cache, ManualClock};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

const CROWD: usize = 1_000;
const ROUNDS: usize = 100;
/// What a thread that only waits needs.
const STACK: usize = 128 * 1024;

fn cache(clock: &ManualClock) -> Cache<String, usize> {
    Cache::builder().clock(clock.clone()).time_to_live(SECOND).capacity(10).build().unwrap()
}

#[test]
fn a_thousand_threads_a_hundred_times() {
    let clock = ManualClock::new();
    let cache = cache(&clock);
    let (barrier, loads) = (Barrier::new(CROWD + 1), AtomicUsize::new(0));
    // How many calls have begun, all rounds together.
    let begun = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CROWD {
            let call = || {
                for round in 1..=ROUNDS {
                    barrier.wait();
                    begun.fetch_add(1, Ordering::SeqCst);
                    let value = cache.fetch("key", || {
                        // Nobody is left who has not at least begun.
                        until(|| begun.load(Ordering::SeqCst) == round * CROWD);
                        loads.fetch_add(1, Ordering::SeqCst) + 1
                    });
                    assert_eq!(value, round);
                    barrier.wait();
                }
            };
            std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, call).unwrap();
        }
        for round in 1..=ROUNDS {
            assert_eq!(cache.get("key"), None);
            barrier.wait();
            barrier.wait();
            assert_eq!(cache.get("key"), Some(round));
            clock.advance(SECOND);
        }
    });
    assert_eq!(loads.load(Ordering::SeqCst), ROUNDS);
    let stats = cache.stats();
    assert_eq!(
        (stats.loads, stats.load_failures, stats.inserted),
        (ROUNDS as u64, 0, ROUNDS as u64)
    );
    assert!(stats.coalesced <= (ROUNDS * (CROWD - 1)) as u64);
}

#[test]
fn a_thousand_tasks_a_hundred_times() {
    let clock = ManualClock::new();
    let cache = cache(&clock);
    for round in 1..=ROUNDS {
        let gate = Gate::default();
        let leader = Task::begun(cache.fetch_async("key", || gate.then(round)));
        let begin =
            |_| Task::begun(cache.fetch_async("key", || async { unreachable!("it is loaded") }));
        let tasks: Vec<_> = (1..CROWD).map(begin).collect();
        gate.open();
        assert_eq!(leader.ends(), round);
        for task in tasks {
            assert_eq!((task.wakes(), task.ends()), (1, round));
        }
        assert_eq!(cache.get("key"), Some(round));
        assert_eq!(Task::new(cache.fetch_async("key", || async { unreachable!() })).ends(), round);
        clock.advance(SECOND);
    }
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.coalesced), (ROUNDS as u64, (ROUNDS * (CROWD - 1)) as u64));
}

#[test]
fn threads_and_tasks_whichever_leads() {
    const THREADS: usize = 50;
    const TASKS: usize = 950;
    let clock = ManualClock::new();
    let cache = cache(&clock);
    let barrier = Barrier::new(THREADS + 1);
    let (loads, begun) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let load = |round: usize| {
        until(|| begun.load(Ordering::SeqCst) >= round * THREADS);
        loads.fetch_add(1, Ordering::SeqCst) + 1
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    barrier.wait();
                    begun.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(cache.fetch("key", || load(round)), round);
                    barrier.wait();
                }
            });
        }
        for round in 1..=ROUNDS {
            barrier.wait();
            let mut tasks: Vec<_> = (0..TASKS)
                .map(|_| Task::new(cache.fetch_async("key", || async { load(round) })))
                .collect();
            // Those that are not ready wait for a thread.
            tasks.retain_mut(|task| match task.poll() {
                Poll::Ready(value) => {
                    assert_eq!(value, round);
                    false
                }
                Poll::Pending => true,
            });
            for task in tasks {
                until(|| task.wakes() > 0);
                assert_eq!(task.ends(), round);
            }
            barrier.wait();
            clock.advance(SECOND);
        }
    });
    assert_eq!(loads.into_inner(), ROUNDS);
}

#[test]
fn a_late_caller_finds_the_value_or_the_flight() {
    // If the flight ended before its value was there, a call in between would load again.
    const KEYS: usize = 20_000;
    const THREADS: usize = 3;
    let cache: Cache<usize, usize> = Cache::builder().never_expire().shards(1).build().unwrap();
    let (loads, at) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; THREADS]);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, loads, at) = (&cache, &loads, &at);
            scope.spawn(move || {
                for key in 0..KEYS {
                    // All threads stay close together.
                    at[thread].store(key, Ordering::SeqCst);
                    until(|| at.iter().all(|other| other.load(Ordering::SeqCst) + 2 > key));
                    let value = cache.fetch(&key, || {
                        loads.fetch_add(1, Ordering::SeqCst);
                        key
                    });
                    assert_eq!(value, key);
                }
            });
        }
    });
    assert_eq!(loads.into_inner(), KEYS, "some keys were loaded twice");
}
