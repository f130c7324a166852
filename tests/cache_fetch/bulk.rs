//! Many keys in one call.

use crate::common::flight::{Gate, Task, message_of, until};
use docache::{Cache, FlightError};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

type Many = Cache<u64, u64, &'static str>;

fn built() -> Many {
    Cache::builder().build().unwrap()
}

fn tens(keys: &[&u64]) -> Vec<u64> {
    keys.iter().map(|key| **key * 10).collect()
}

#[test]
fn what_is_missing_is_loaded_at_once_and_the_rest_is_found() {
    let cache = Cache::<u64, u64>::new(100);
    assert!(cache.fetch_many(&[], |_| unreachable!()).is_empty());
    cache.insert(2, 2);
    let values = cache.fetch_many(&[&1, &2, &3, &1], |keys| {
        assert_eq!(keys, [&1, &3]);
        tens(keys)
    });
    assert_eq!(values, [10, 2, 30, 10]);
    assert_eq!(cache.fetch_many(&[&3, &2, &1], |_| unreachable!("they are there")), [30, 2, 10]);
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.inserted, stats.len), (2, 3, 3));
}

#[test]
fn a_part_that_fails_fails_alone() {
    let (cache, gate) = (built(), Gate::default());
    cache.insert(1, 1);
    let leader = Task::begun(cache.try_fetch_async(&2, || gate.then(Ok(2))));
    let ends = std::thread::scope(|scope| {
        let bulk = scope.spawn(|| {
            cache.try_fetch_many(&[&1, &2, &3, &4], |keys| {
                assert_eq!(keys, [&3, &4]);
                Err("down")
            })
        });
        // Its own part has failed when others can run theirs.
        until(|| cache.stats().load_failures == 2);
        gate.open();
        assert_eq!(leader.ends().unwrap(), 2);
        bulk.join().unwrap()
    });
    assert_eq!(*ends[0].as_ref().unwrap(), 1);
    assert_eq!(*ends[1].as_ref().unwrap(), 2);
    for end in &ends[2..] {
        assert_eq!(end.as_ref().unwrap_err().failure(), Some(&"down"));
    }
    assert_eq!((cache.get(&3), cache.get(&4), cache.len()), (None, None, 2));
    assert!(cache.try_fetch_many(&[&3, &4], |keys| Ok(tens(keys))).iter().all(Result::is_ok));
}

#[test]
fn a_loader_that_panics_or_returns_too_few_leaves_no_key_busy() {
    let cache = built();
    cache.insert(1, 1);
    assert_eq!(
        message_of(|| cache.try_fetch_many(&[&1, &2], |_| panic!("no fuel")).len()),
        "no fuel"
    );
    let text = message_of(|| cache.try_fetch_many(&[&2, &3], |_| Ok(vec![1])).len());
    assert!(text.contains("1 values"), "{text}");
    assert_eq!(cache.len(), 1);
    let ends = cache.try_fetch_many(&[&1, &2, &3], |keys| Ok(tens(keys)));
    assert_eq!(ends.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 20, 30]);
}

#[test]
fn those_who_wait_for_a_bulk_load_get_its_values_and_its_errors() {
    for fails in [false, true] {
        let cache = built();
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            let bulk = scope.spawn(|| {
                cache.try_fetch_many(&[&1, &2], |keys| {
                    barrier.wait();
                    barrier.wait();
                    if fails { Err("down") } else { Ok(tens(keys)) }
                })
            });
            barrier.wait();
            let begin = |key| {
                Task::begun(cache.try_fetch_async(key, || async { unreachable!("it is loaded") }))
            };
            let tasks = [&1, &2, &1].map(begin);
            barrier.wait();
            assert!(bulk.join().unwrap().iter().all(|end| end.is_err() == fails));
            for (task, key) in tasks.into_iter().zip([1, 2, 1]) {
                let end = task.ends();
                assert_eq!(end.as_ref().ok().copied(), (!fails).then_some(key * 10));
                assert_eq!(end.is_err_and(|error| error.is_failed()), fails);
            }
        });
        assert_eq!(cache.len(), if fails { 0 } else { 2 });
    }
}

#[test]
fn bulk_calls_that_overlap_load_each_key_once() {
    const THREADS: u64 = 4;
    const KEYS: u64 = 2_000;
    let cache = built();
    let loaded: Vec<AtomicUsize> = (0..KEYS).map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, loaded) = (&cache, &loaded);
            scope.spawn(move || {
                for at in (0..KEYS - 20).step_by(10) {
                    let mut keys: Vec<u64> = (at..at + 20).collect();
                    keys.rotate_left(5 * thread as usize);
                    let asked: Vec<&u64> = keys.iter().collect();
                    let ends: Vec<Result<u64, FlightError<_>>> =
                        cache.try_fetch_many(&asked, |keys| {
                            keys.iter().for_each(|key| {
                                loaded[**key as usize].fetch_add(1, Ordering::SeqCst);
                            });
                            Ok(tens(keys))
                        });
                    assert!(
                        ends.iter().zip(&keys).all(|(end, key)| *end.as_ref().unwrap() == key * 10)
                    );
                }
            });
        }
    });
    let most = loaded.iter().map(|count| count.load(Ordering::SeqCst)).max();
    assert_eq!(most, Some(1));
}
