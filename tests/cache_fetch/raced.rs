//! Calls that come in the midst of another: a key's hash is where one can step in.

use crate::common::SECOND;
use docache::{Cache, ManualClock};
use std::cell::RefCell;
use std::hash::{Hash, Hasher};

type Step = Box<dyn FnOnce()>;

thread_local!(static STEP: RefCell<Option<(u32, u64, Step)>> = const { RefCell::new(None) });

/// A key that, once, does something before it is hashed. No lock is held where that is used here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let step = STEP.with_borrow_mut(|step| match step {
            Some((0, key, _)) if *key == self.0 => step.take(),
            Some((hashes, key, _)) if *key == self.0 => {
                *hashes -= 1;
                None
            }
            _ => None,
        });
        if let Some((_, _, step)) = step {
            step();
        }
        self.0.hash(state);
    }
}

/// Has `step` happen before the key is hashed again after so many times.
fn after_hashes(hashes: u32, key: u64, step: impl FnOnce() + 'static) {
    STEP.set(Some((hashes, key, Box::new(step))));
}

fn stepped() -> bool {
    STEP.take().is_none()
}

type Raced = Cache<Key, u64, &'static str>;

fn built(clock: &ManualClock) -> Raced {
    let builder = Cache::builder().clock(clock.clone()).time_to_live(SECOND).no_sweep();
    builder.negative_ttl(100 * SECOND).build().unwrap()
}

/// A load that fails, unless the key is there by then.
fn fails(cache: &Raced, key: u64) {
    let there = cache.contains_key(&Key(key));
    assert_eq!(cache.try_fetch(Key(key), || Err("down")).is_ok(), there);
}

/// What a load of the key 1 brings, or nothing if it is remembered that one failed.
fn loads(cache: &Raced) -> Option<u64> {
    cache.try_fetch(Key(1), || Ok(7)).ok()
}

#[test]
fn a_write_in_the_midst_of_a_failure_ends_it() {
    type Write = fn(&Raced);
    let writes: [(Write, u64); 4] = [
        (|cache| assert_eq!(cache.remove(&Key(1)), None), 7),
        (|cache| assert_eq!(cache.remove_many(&[&Key(1)]), 0), 7),
        (|cache| cache.clear(), 7),
        (|cache| cache.insert(Key(1), 5), 7),
    ];
    for (at, (write, expected)) in writes.into_iter().enumerate() {
        for hashes in 0..8 {
            let clock = ManualClock::new();
            let cache = built(&clock);
            let other = cache.clone();
            let failed = cache.try_fetch(Key(1), || {
                after_hashes(hashes, 1, move || write(&other));
                Err("down")
            });
            assert!(failed.is_err());
            if !stepped() {
                break;
            }
            clock.advance(SECOND);
            assert_eq!(loads(&cache), Some(expected), "write {at} before hash {hashes}");
        }
    }
}

#[test]
fn a_failure_in_the_midst_of_an_insertion_does_not_outlive_it() {
    for hashes in 0..4 {
        let clock = ManualClock::new();
        let cache = built(&clock);
        let other = cache.clone();
        after_hashes(hashes, 1, move || fails(&other, 1));
        cache.insert(Key(1), 5);
        if !stepped() {
            break;
        }
        clock.advance(SECOND);
        assert_eq!(loads(&cache), Some(7), "before hash {hashes}");
    }
}

#[test]
fn a_failure_in_the_midst_of_a_bulk_call_is_that_keys_own() {
    for hashes in 0..8 {
        let cache = built(&ManualClock::new());
        let other = cache.clone();
        // The second key is hashed when it is known that the first is neither there nor has failed.
        after_hashes(hashes, 2, move || fails(&other, 1));
        let ends = cache
            .try_fetch_many(&[&Key(1), &Key(2)], |keys| Ok(keys.iter().map(|key| key.0).collect()));
        if !stepped() {
            break;
        }
        assert_eq!(
            *ends[1].as_ref().unwrap(),
            2,
            "before hash {hashes}: nobody has failed to load it"
        );
    }
}

#[test]
fn a_value_in_the_midst_of_a_call_is_found() {
    for hashes in 0..8 {
        let cache = built(&ManualClock::new());
        let other = cache.clone();
        after_hashes(hashes, 1, move || other.insert(Key(1), 5));
        let fetched = cache.try_fetch(Key(1), || Ok(7)).unwrap();
        if !stepped() {
            break;
        }
        let left = cache.get(&Key(1)).unwrap();
        // It came before the load, and was found, or during it, and has won.
        assert!(
            left == 5 && (fetched == 5 || fetched == 7),
            "before hash {hashes}: {fetched}, {left}"
        );
    }
}
