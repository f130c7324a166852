//! Keys and weighers that panic while a load is completed.

use docache::{Cache, ManualClock};
use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

use crate::common::SECOND;
use crate::common::flight::{Task, hush, message_of, panic_of};

thread_local! {
    /// How many more keys can be cloned.
    static CLONES: Cell<usize> = const { Cell::new(usize::MAX) };
    static COMPARES: Cell<bool> = const { Cell::new(true) };
    static LOOKS: Cell<bool> = const { Cell::new(false) };
}

/// A key that panics, and that looks at its cache when it is dropped.
#[derive(Debug)]
struct Careless(u64);

fn clock() -> &'static ManualClock {
    static CLOCK: OnceLock<ManualClock> = OnceLock::new();
    CLOCK.get_or_init(ManualClock::new)
}

fn cache() -> &'static Cache<Careless, u64, &'static str> {
    static CACHE: OnceLock<Cache<Careless, u64, &'static str>> = OnceLock::new();
    let builder = Cache::builder().shards(1).negative_ttl(SECOND).no_sweep().clock(clock().clone());
    CACHE.get_or_init(|| builder.build().unwrap())
}

impl Clone for Careless {
    fn clone(&self) -> Careless {
        let left = CLONES.get();
        if left == 0 {
            hush("a clone");
        }
        CLONES.set(left - 1);
        Careless(self.0)
    }
}

impl PartialEq for Careless {
    fn eq(&self, other: &Careless) -> bool {
        if !COMPARES.get() {
            hush("a comparison");
        }
        self.0 == other.0
    }
}

impl Eq for Careless {}

impl Hash for Careless {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for Careless {
    fn drop(&mut self) {
        if LOOKS.get() {
            // Takes the lock.
            let _ = cache().len();
        }
    }
}

/// On a thread of its own, whose keys do as they are told.
fn apart(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| scope.spawn(test).join().unwrap());
}

#[test]
fn keys_of_errors_are_dropped_without_the_lock() {
    apart(|| {
        LOOKS.set(true);
        let keys = [Careless(1), Careless(2)];
        // The first error is to be kept, and the second one's key cannot be.
        panic_of(|| {
            cache().try_fetch_many(&[&keys[0], &keys[1]], |_| {
                CLONES.set(1);
                Err("down")
            })
        });
        CLONES.set(usize::MAX);
        for key in &keys {
            assert!(cache().try_fetch(key, || Err("down")).unwrap_err().is_failed());
        }
    });
    apart(|| {
        LOOKS.set(true);
        let key = Careless(3);
        assert!(cache().try_fetch(&key, || Err("down")).is_err());
        clock().advance(2 * SECOND);
        // What is over is still there, and is compared when the next error is to be kept.
        panic_of(|| {
            cache().try_fetch(&key, || {
                COMPARES.set(false);
                Err("down")
            })
        });
        COMPARES.set(true);
        assert_eq!(cache().try_fetch(&key, || Ok(3)).unwrap(), 3);
    });
}

#[test]
fn a_bulk_load_that_comes_to_nothing_leaves_nothing() {
    let weigher = |key: &u64, _: &u64| if *key == 2 { hush("a weigher") } else { 1 };
    let cache: Cache<u64, u64> =
        Cache::builder().max_weight(100).weigher(weigher).shards(1).no_sweep().build().unwrap();
    panic_of(|| cache.fetch_many(&[&1, &2, &3], |keys| keys.iter().map(|key| **key).collect()));
    let stats = cache.stats();
    assert_eq!((stats.load_failures, stats.inserted, cache.get(&1)), (3, 0, None));
    assert_eq!(cache.fetch(&1, || 10), 10);
}

/// A value that panics when it is dropped.
#[derive(Clone)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        hush("a value's destructor");
    }
}

#[test]
fn a_weigher_that_panics_is_the_works_panic_also_if_the_value_then_panics_too() {
    let weigh = |_: &u64, _: &Bomb| hush("a weigher");
    let cache: Cache<u64, Bomb> = Cache::builder().weigher(weigh).max_weight(10).build().unwrap();
    let thread = message_of(|| drop(cache.fetch(&1, || Bomb)));
    let task = message_of(|| drop(Task::new(cache.fetch_async(&1, || async { Bomb })).ends()));
    assert_eq!((&*thread, &*task), ("a weigher", "a weigher"));
    assert_eq!((cache.len(), cache.stats().load_failures), (0, 2));
}
