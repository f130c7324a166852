//! Calls that begin after a write has returned: none of them shares a load that the write has
//! beaten.

use crate::common::flight::{Gate, Task};
use docache::{Cache, Cause};
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// All keys are of one hash.
#[derive(Clone, Default)]
struct Same(DefaultHasher);

impl Hasher for Same {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

type Hash = BuildHasherDefault<Same>;
type Loading = Cache<u64, u32, &'static str, Hash>;

fn built() -> Loading {
    let builder = Cache::builder().negative_ttl(Duration::from_secs(1_000)).no_sweep();
    builder.hasher(Hash::default()).shards(1).build().unwrap()
}

type Write = fn(&Loading);
const WRITES: [Write; 3] =
    [|cache| _ = cache.remove(&1), |cache| _ = cache.remove_many(&[&1]), Cache::clear];

#[test]
fn a_load_that_was_beaten_is_not_joined_by_one_key_nor_by_many() {
    for write in WRITES {
        for many in [false, true] {
            let (cache, gate) = (built(), Gate::default());
            let leader = Task::begun(cache.try_fetch_async(&1, || gate.then(Ok(1))));
            write(&cache);
            let late = if many {
                cache.try_fetch_many(&[&1, &2], |keys| Ok(vec![7; keys.len()])).remove(0).unwrap()
            } else {
                cache.try_fetch(1, || Ok(7)).unwrap()
            };
            assert_eq!((late, cache.get(&1)), (7, Some(7)));
            gate.open();
            assert_eq!((leader.ends().unwrap(), cache.get(&1)), (1, Some(7)));
        }
    }
}

#[test]
fn keys_of_one_hash_are_told_apart() {
    let (cache, gates) = (built(), [Gate::default(), Gate::default()]);
    let first = Task::begun(cache.try_fetch_async(&1, || gates[0].then(Ok(1))));
    let second = Task::begun(cache.try_fetch_async(&2, || gates[1].then(Ok(2))));
    cache.remove(&1);
    // The other's load goes on, and is joined.
    let joined =
        Task::begun(cache.try_fetch_async(&2, || async { unreachable!("it is being loaded") }));
    cache.remove(&2);
    assert_eq!(cache.try_fetch(1, || Ok(10)).unwrap(), 10);
    assert_eq!(cache.try_fetch(2, || Ok(20)).unwrap(), 20);
    gates.iter().for_each(Gate::open);
    assert_eq!((first.ends().unwrap(), second.ends().unwrap(), joined.ends().unwrap()), (1, 2, 2));
    assert_eq!((cache.get(&1), cache.get(&2)), (Some(10), Some(20)));
}

#[test]
fn an_error_that_was_beaten_is_nobodys_who_comes_later() {
    for write in WRITES {
        let (cache, gate) = (built(), Gate::default());
        let leader = Task::begun(cache.try_fetch_async(&1, || gate.then(Err("down"))));
        write(&cache);
        gate.open();
        assert!(leader.ends().is_err());
        assert_eq!(cache.try_fetch(1, || Ok(7)).unwrap(), 7, "nothing is kept of it");
        // The same of one that was kept.
        write(&cache);
        assert!(cache.try_fetch(1, || Err("down again")).is_err());
        write(&cache);
        assert_eq!(cache.try_fetch_many(&[&1], |_| Ok(vec![8])).remove(0).unwrap(), 8);
    }
}

/// The load has kept its value and its listener is being told of what had to go for it: its flight
/// is over.
#[test]
fn a_load_is_over_when_its_value_is_kept() {
    let (come, came) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let listener = move |key: &u64, _: &u32, cause| {
        if *key == 0 && cause == Cause::Size {
            come.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
        }
    };
    let cache: Cache<u64, u32> =
        Cache::builder().capacity(1).shards(1).on_evict(listener).build().unwrap();
    cache.insert(0, 0);
    std::thread::scope(|scope| {
        let loader = scope.spawn(|| cache.fetch(&1, || 1));
        came.recv().unwrap();
        assert_eq!((cache.remove(&1), cache.get(&1)), (Some(1), None));
        assert_eq!(cache.fetch(&1, || 2), 2);
        drop(go);
        assert_eq!(loader.join().unwrap(), 1);
    });
    assert_eq!(cache.get(&1), Some(2));
}

/// A bulk load of many keys costs each of them the same.
#[test]
fn bulk_loads_are_linear() {
    let cache: Cache<u64, u64> = Cache::builder().shards(1).build().unwrap();
    let keys: Vec<u64> = (0..200_000).collect();
    let refs: Vec<&u64> = keys.iter().collect();
    let values = cache.fetch_many(&refs, |missing| missing.iter().map(|key| *key + 1).collect());
    assert!(values.iter().zip(&keys).all(|(value, key)| *value == key + 1));
    assert_eq!((cache.len(), cache.stats().loads), (200_000, 200_000));
}
