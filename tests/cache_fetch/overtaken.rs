//! Writes during a load: they win, and the load's callers get what was loaded all the same.

use crate::common::SECOND;
use crate::common::flight::{Gate, Task};
use docache::{Cache, ManualClock};
use std::time::Duration;

type Loading = Cache<u64, u32, &'static str>;

fn built(clock: &ManualClock) -> Loading {
    let builder = Cache::builder().clock(clock.clone()).time_to_live(10 * SECOND).no_sweep();
    builder.negative_ttl(10 * SECOND).shards(1).build().unwrap()
}

/// Loads 1 under the key 1, with a call that waits, while `meanwhile` happens; what the cache has
/// then.
fn overtake(
    cache: &Loading,
    loads: Result<u32, &'static str>,
    meanwhile: impl FnOnce(),
) -> Option<u32> {
    let gate = Gate::default();
    let leader = Task::begun(cache.try_fetch_async(&1, || gate.then(loads)));
    let waiter = Task::begun(cache.try_fetch_async(&1, || async { unreachable!("it is loaded") }));
    meanwhile();
    gate.open();
    for task in [leader, waiter] {
        let end = task.ends();
        assert_eq!(end.as_ref().ok(), loads.as_ref().ok());
        assert_eq!(end.as_ref().err().and_then(|error| error.failure()), loads.as_ref().err());
    }
    cache.get(&1)
}

#[test]
fn a_load_that_nobody_overtakes_is_kept() {
    let clock = ManualClock::new();
    let cache = built(&clock);
    assert_eq!(overtake(&cache, Ok(1), || {}), Some(1));
    let others = |cache: &Loading| {
        cache.insert(2, 20);
        cache.insert_many([(3, 30), (4, 40)]);
        assert_eq!((cache.remove(&3), cache.remove_many(&[&4, &5])), (Some(30), 1));
        assert_eq!((cache.get(&1), cache.contains_key(&1)), (None, false));
        cache.purge_expired();
        cache.flush();
        assert_eq!(cache.try_fetch(6, || Ok(60)).unwrap(), 60);
    };
    cache.clear();
    assert_eq!(overtake(&cache, Ok(1), || others(&cache)), Some(1));
    // What expired before the load, and is swept during it, is not a write.
    clock.advance(10 * SECOND);
    let sweep = || assert!(cache.purge_expired() > 0);
    assert_eq!(overtake(&cache, Ok(7), sweep), Some(7));
}

#[test]
fn whoever_writes_during_a_load_wins() {
    let clock = ManualClock::new();
    type Write = fn(&Loading);
    let writes: [(Write, Option<u32>); 11] = [
        (|cache| assert_eq!(cache.remove(&1), None), None),
        (|cache| assert_eq!(cache.remove_many(&[&2, &1]), 0), None),
        (|cache| cache.clear(), None),
        (|cache| cache.insert(1, 5), Some(5)),
        (|cache| cache.try_insert(1, 5).unwrap(), Some(5)),
        (|cache| cache.insert_many([(1, 4), (1, 5)]), Some(5)),
        (|cache| cache.insert_with_ttl(1, 5, Duration::MAX), Some(5)),
        (|cache| cache.insert_with_ttl(1, 5, Duration::ZERO), None),
        (|cache| (cache.insert(1, 5), cache.clear()).1, None),
        (|cache| assert_eq!((cache.insert(1, 5), cache.remove(&1)).1, Some(5)), None),
        (|cache| (cache.clear(), cache.insert(1, 5)).1, Some(5)),
    ];
    for (at, (write, left)) in writes.into_iter().enumerate() {
        for loads in [Ok(1), Err("down")] {
            let cache = built(&clock);
            assert_eq!(overtake(&cache, loads, || write(&cache)), left, "write {at}, {loads:?}");
            assert_eq!(
                cache.try_fetch(1, || Ok(9)).unwrap(),
                left.unwrap_or(9),
                "write {at}, {loads:?}"
            );
            assert_eq!(
                overtake(&cache_without(&cache), Ok(1), || {}),
                Some(1),
                "the next load is kept"
            );
        }
    }
}

/// The same cache, without the key.
fn cache_without(cache: &Loading) -> Loading {
    cache.remove(&1);
    cache.clone()
}

#[test]
fn only_the_load_that_was_overtaken_loses() {
    let cache = built(&ManualClock::new());
    let gates = [Gate::default(), Gate::default()];
    let begin = |key: &'static u64| {
        let gate = gates[*key as usize].clone();
        Task::begun(cache.try_fetch_async(key, move || gate.then(Ok(*key as u32 + 10))))
    };
    let tasks = [begin(&0), begin(&1)];
    cache.remove(&1);
    gates.iter().for_each(Gate::open);
    assert_eq!(tasks.map(|task| task.ends().unwrap()), [10, 11]);
    assert_eq!((cache.get(&0), cache.get(&1)), (Some(10), None));
}

#[test]
fn a_load_that_is_overtaken_from_within_loses() {
    let cache = built(&ManualClock::new());
    let fetched = cache.try_fetch(1, || {
        cache.insert(1, 5);
        Ok(1)
    });
    assert_eq!((fetched.unwrap(), cache.get(&1)), (1, Some(5)));
    let fetched = cache.try_fetch(2, || {
        cache.clear();
        Ok(2)
    });
    assert_eq!((fetched.unwrap(), cache.get(&2), cache.get(&1)), (2, None, None));
    let many = cache.try_fetch_many(&[&1, &2, &3], |keys| {
        cache.remove(&2);
        cache.insert(3, 33);
        Ok(keys.iter().map(|key| **key as u32).collect())
    });
    assert_eq!(many.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(cache.get_many(&[&1, &2, &3]), [Some(1), None, Some(33)]);
}

#[test]
fn a_value_that_was_written_is_found_though_a_load_is_under_way() {
    let cache = built(&ManualClock::new());
    let gate = Gate::default();
    let leader = Task::begun(cache.try_fetch_async(&1, || gate.then(Ok(1))));
    cache.insert(1, 5);
    assert_eq!(cache.try_fetch(1, || unreachable!("it is there")).unwrap(), 5);
    let task = Task::new(cache.try_fetch_async(&1, || async { unreachable!("it is there") }));
    assert_eq!(task.ends().unwrap(), 5);
    gate.open();
    assert_eq!((leader.ends().unwrap(), cache.get(&1)), (1, Some(5)));
}

#[test]
fn the_time_of_a_load_does_not_count() {
    let clock = ManualClock::new();
    let cache = built(&clock);
    let slowly = |value| {
        clock.advance(9 * SECOND);
        Ok(value)
    };
    assert_eq!(cache.try_fetch(1, || slowly(1)).unwrap(), 1);
    clock.advance(9 * SECOND);
    assert_eq!(cache.get(&1), Some(1));
    assert_eq!(cache.options().ttl(2 * SECOND).try_fetch(2, || slowly(2)).unwrap(), 2);
    clock.advance(SECOND);
    assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(2)));
    clock.advance(SECOND);
    assert_eq!(cache.get(&2), None);
    assert!(cache.stats().load_time >= 18 * SECOND);
}

#[test]
fn whoever_comes_after_a_write_does_not_get_what_was_loaded_before() {
    type Write = fn(&Loading);
    let writes: [Write; 4] = [
        |cache| assert_eq!(cache.remove(&1), None),
        |cache| assert_eq!(cache.remove_many(&[&1]), 0),
        |cache| cache.clear(),
        |cache| {
            cache.insert(1, 5);
            assert_eq!(cache.remove(&1), Some(5));
        },
    ];
    for write in writes {
        let cache = built(&ManualClock::new());
        let (old, new) = (Gate::default(), Gate::default());
        let leader = Task::begun(cache.try_fetch_async(&1, || old.then(Ok(1))));
        let waiter =
            Task::begun(cache.try_fetch_async(&1, || async { unreachable!("it is being loaded") }));
        write(&cache);
        let later = Task::begun(cache.try_fetch_async(&1, || new.then(Ok(2))));
        // One run for all who come after the write.
        let another =
            Task::begun(cache.try_fetch_async(&1, || async { unreachable!("it is being loaded") }));
        old.open();
        assert_eq!((leader.ends().unwrap(), waiter.ends().unwrap(), cache.get(&1)), (1, 1, None));
        new.open();
        assert_eq!(
            (later.ends().unwrap(), another.ends().unwrap(), cache.get(&1)),
            (2, 2, Some(2))
        );
        assert_eq!(cache.try_fetch_many(&[&1], |_| Err("it is there"))[0].as_ref().ok(), Some(&2));
    }
}

#[test]
fn a_failure_that_was_overtaken_leaves_a_later_one_alone() {
    let cache = built(&ManualClock::new());
    let gate = Gate::default();
    let overtaken = Task::begun(cache.try_fetch_async(&1, || gate.then(Err("before"))));
    cache.clear();
    assert_eq!(cache.try_fetch(1, || Err("after")).unwrap_err().failure(), Some(&"after"));
    gate.open();
    assert_eq!(overtaken.ends().unwrap_err().failure(), Some(&"before"));
    assert_eq!(cache.try_fetch(1, || Ok(1)).unwrap_err().failure(), Some(&"after"));
}
