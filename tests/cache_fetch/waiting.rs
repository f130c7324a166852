//! Callers that do not stay for the end of a load: those that wait, and those that lead.

use crate::common::SECOND;
use crate::common::flight::{Gate, Task, hush, until};
use docache::{Cache, Context, FlightError, ManualClock};
use std::cell::RefCell;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

type Waited = Cache<u64, u32, &'static str>;
type Spawned = Pin<Box<dyn Future<Output = ()> + Send>>;

fn built() -> Waited {
    Cache::builder().never_expire().build().unwrap()
}

#[test]
fn a_leader_that_is_dropped_hands_the_load_on() {
    let cache = built();
    let mut tasks: Vec<_> = (0..5)
        .map(|at| {
            let gate = Gate::default();
            let opened = gate.clone();
            (gate, Task::begun(cache.try_fetch_async(&1, move || opened.then(Ok(at)))))
        })
        .collect();
    for _ in 0..3 {
        let (_, leader) = tasks.remove(0);
        drop(leader);
        let (_, heir) = &mut tasks[0];
        assert_eq!(heir.wakes(), 1);
        heir.waits();
    }
    let (last, heir) = (tasks.pop().unwrap(), tasks.pop().unwrap());
    heir.0.open();
    assert_eq!((heir.1.ends().unwrap(), last.1.ends().unwrap(), cache.get(&1)), (3, 3, Some(3)));
}

#[test]
fn a_leader_that_is_dropped_alone_leaves_nothing() {
    let cache = built();
    for _ in 0..100 {
        drop(Task::begun(cache.try_fetch_async(&1, std::future::pending)));
    }
    assert_eq!((cache.get(&1), cache.len(), cache.stats().inserted), (None, 0, 0));
    assert_eq!((cache.try_fetch(1, || Ok(7)).unwrap(), cache.get(&1)), (7, Some(7)));
}

#[test]
fn an_heir_runs_a_load_of_its_own_which_earlier_writes_do_not_beat() {
    let cache = built();
    let leader = Task::begun(cache.try_fetch_async(&1, std::future::pending));
    let heir = Task::begun(cache.try_fetch_async(&1, || async { Ok(2) }));
    cache.remove(&1);
    drop(leader);
    assert_eq!((heir.ends().unwrap(), cache.get(&1)), (2, Some(2)));
}

#[test]
fn an_heir_finds_what_was_written_before_it_took_over() {
    let cache = built();
    let leader = Task::begun(cache.try_fetch_async(&1, std::future::pending));
    let heir = Task::begun(cache.try_fetch_async(&1, || async { Ok(2) }));
    cache.insert(1, 5);
    drop(leader);
    let ended = heir.ends().unwrap();
    assert_eq!((ended, cache.get(&1)), (5, Some(5)), "the cache is asked again by whoever leads");
}

#[test]
fn a_thread_takes_a_load_over() {
    let cache = built();
    let leader = Task::begun(cache.try_fetch_async(&1, std::future::pending));
    std::thread::scope(|scope| {
        let heir = scope.spawn(|| cache.try_fetch(1, || Ok(2)));
        drop(leader);
        assert_eq!(heir.join().unwrap().unwrap(), 2);
    });
    assert_eq!(cache.get(&1), Some(2));
}

#[test]
fn whoever_waits_leaves_at_its_deadline_and_the_load_goes_on() {
    let (cache, clock, gate) = (built(), ManualClock::new(), Gate::default());
    let context = Context::with_clock(clock.clone()).with_timeout(SECOND);
    let leader = Task::begun(cache.try_fetch_async(&1, || gate.then(Ok(1))));
    let limited = Task::begun(
        cache.options().context(&context).try_fetch_async(&1, || async { unreachable!() }),
    );
    std::thread::scope(|scope| {
        let thread =
            scope.spawn(|| cache.options().context(&context).try_fetch(1, || unreachable!()));
        clock.advance(SECOND);
        assert!(thread.join().unwrap().unwrap_err().is_timeout());
    });
    assert_eq!(limited.wakes(), 1);
    assert!(limited.ends().unwrap_err().is_timeout());
    let late = cache.options().context(&context).try_fetch(1, || unreachable!());
    assert!(late.unwrap_err().is_timeout());
    gate.open();
    assert_eq!(leader.ends().unwrap(), 1);
    // A hit needs no time.
    assert!(
        cache
            .options()
            .context(&context)
            .try_fetch(1, || unreachable!())
            .is_ok_and(|value| value == 1)
    );
}

#[test]
fn whoever_is_cancelled_leaves() {
    let (cache, gate) = (built(), Gate::default());
    let context = Context::new();
    let leader = Task::begun(cache.try_fetch_async(&1, || gate.then(Ok(1))));
    std::thread::scope(|scope| {
        let thread =
            scope.spawn(|| cache.options().context(&context).try_fetch(1, || unreachable!()));
        context.cancel();
        assert!(thread.join().unwrap().unwrap_err().is_cancelled());
    });
    let infallible = Cache::<u64, u32>::new(10);
    assert!(
        infallible
            .options()
            .context(&context)
            .try_fetch(1, || unreachable!())
            .unwrap_err()
            .is_cancelled()
    );
    assert_eq!(infallible.options().context(&Context::new()).try_fetch(1, || Ok(3)).unwrap(), 3);
    gate.open();
    assert_eq!(leader.ends().unwrap(), 1);
}

/// A load whose future is kept where a test can poll it.
fn detached<'a>(
    (cache, context): (&'a Waited, &'a Context),
    gate: &Gate,
    result: Result<u32, &'static str>,
    spawned: &'a RefCell<Vec<Spawned>>,
) -> Task<'a, Result<u32, FlightError<&'static str>>> {
    let opened = gate.clone();
    let work = move || opened.then(result);
    Task::new(
        cache
            .options()
            .context(context)
            .detached(|future| spawned.borrow_mut().push(future))
            .try_fetch_async(1, work),
    )
}

#[test]
fn a_detached_load_outlives_its_caller() {
    for cancelled in [false, true] {
        let (cache, clock, gate) = (built(), ManualClock::new(), Gate::default());
        let context = Context::with_clock(clock.clone()).with_timeout(SECOND);
        let spawned = RefCell::default();
        let mut caller = detached((&cache, &context), &gate, Ok(1), &spawned);
        caller.waits();
        let mut load = Task::begun(spawned.borrow_mut().pop().unwrap());
        if cancelled {
            context.cancel();
            assert!(caller.ends().unwrap_err().is_cancelled());
        } else {
            clock.advance(SECOND);
            assert!(caller.ends().unwrap_err().is_timeout());
        }
        let waiter =
            Task::begun(cache.try_fetch_async(&1, || async { unreachable!("it is loaded") }));
        load.waits();
        gate.open();
        load.ends();
        assert_eq!((waiter.ends().unwrap(), cache.get(&1)), (1, Some(1)));
    }
}

#[test]
fn a_detached_load_outlives_a_caller_that_is_dropped_or_stays() {
    for result in [Ok(1), Err("down")] {
        for stays in [false, true] {
            let (cache, context, gate) = (built(), Context::new(), Gate::default());
            let spawned = RefCell::default();
            let mut caller = detached((&cache, &context), &gate, result, &spawned);
            caller.waits();
            let load = Task::begun(spawned.borrow_mut().pop().unwrap());
            let caller = stays.then_some(caller);
            gate.open();
            load.ends();
            if let Some(caller) = caller {
                let end = caller.ends();
                assert_eq!(
                    (end.as_ref().ok(), end.is_err()),
                    (result.as_ref().ok(), result.is_err())
                );
            }
            assert_eq!(cache.get(&1), result.ok());
            // What is there is not loaded again.
            let again = detached((&cache, &context), &gate, Ok(2), &spawned);
            if result.is_ok() {
                assert_eq!((again.ends().unwrap(), spawned.borrow().len()), (1, 0));
            }
        }
    }
}

#[test]
fn a_detached_load_that_is_dropped_hands_on_and_one_that_panics_says_so() {
    let (cache, context, gate) = (built(), Context::new(), Gate::default());
    let spawned = RefCell::default();
    let mut caller = detached((&cache, &context), &gate, Ok(1), &spawned);
    caller.waits();
    let load = Task::begun(spawned.borrow_mut().pop().unwrap());
    let waiter = Task::begun(cache.try_fetch_async(&1, || async { Ok(2) }));
    drop(load);
    assert!(caller.ends().is_err(), "its load is gone");
    assert_eq!((waiter.ends().unwrap(), cache.get(&1)), (2, Some(2)));

    let panics = || async { hush("no fuel") };
    let mut caller = Task::new(
        cache
            .options()
            .context(&context)
            .detached(|future| spawned.borrow_mut().push(future))
            .try_fetch_async(2, panics),
    );
    caller.waits();
    let load = Task::new(spawned.borrow_mut().pop().unwrap());
    let contained = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| load.ends()));
    let Err(FlightError::Panicked(message)) = caller.ends() else {
        panic!("it panicked; {contained:?}")
    };
    assert_eq!((&*message, cache.get(&2)), ("no fuel", None));
    assert_eq!(cache.try_fetch(2, || Ok(3)).unwrap(), 3);
}

#[test]
fn waiters_that_leave_race_the_end_of_the_load() {
    let cache: Cache<u64, u32, &str> = Cache::builder().shards(1).build().unwrap();
    let loads = AtomicUsize::new(0);
    for key in 0..300 {
        let clock = ManualClock::new();
        let context = Context::with_clock(clock.clone()).with_timeout(SECOND);
        let gate = Gate::default();
        let leader = Task::begun(cache.try_fetch_async(&key, || gate.then(Ok(7))));
        std::thread::scope(|scope| {
            let wait = || {
                cache.options().context(&context).try_fetch(key, || {
                    loads.fetch_add(1, Ordering::SeqCst);
                    Ok(8)
                })
            };
            let waiters: Vec<_> = (0..3).map(|_| scope.spawn(wait)).collect();
            scope.spawn(|| clock.advance(SECOND));
            gate.open();
            assert_eq!(leader.ends().unwrap(), 7);
            for waiter in waiters {
                match waiter.join().unwrap() {
                    Ok(value) => assert_eq!(value, 7),
                    Err(error) => assert!(error.is_timeout()),
                }
            }
        });
        assert_eq!(cache.get(&key), Some(7));
    }
    until(|| cache.flush());
    assert_eq!(loads.into_inner(), 0);
}
