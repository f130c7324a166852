//! Models of the cache. Values are loom's own `Arc`s, so that one that is read after it was
//! dropped, dropped twice or never is found out, and so is an entry that is emptied or filled while
//! somebody can read it.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc as StdArc;
use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::model;
use loom::sync::Arc;
use loom::thread;

type Hasher = BuildHasherDefault<DefaultHasher>;
type Modelled = Cache<u64, Arc<u64>, std::convert::Infallible, Hasher>;

/// How many entries the smallest table is for.
const FULL: u64 = 9;

fn builder() -> CacheBuilder<u64, Arc<u64>, std::convert::Infallible, Hasher> {
    let clock = StdArc::new(ManualClock::new());
    Cache::builder().hasher(Hasher::default()).shards(1).no_sweep().never_expire().clock(clock)
}

fn read(cache: &Modelled, key: u64) -> Option<u64> {
    cache.get(&key).map(|value| *value)
}

#[test]
fn slot_replace_against_read() {
    model(|| {
        let cache = builder().build().unwrap();
        cache.insert(1, Arc::new(10));
        let reader = {
            let cache = cache.clone();
            thread::spawn(move || {
                let first = read(&cache, 1).expect("it is always there");
                let second = read(&cache, 1).expect("it is always there");
                assert!(first <= second, "a read went back from {second} to {first}");
            })
        };
        // The second takes the place of the first again, if the reader lets it.
        cache.insert(1, Arc::new(11));
        cache.insert(1, Arc::new(12));
        reader.join().unwrap();
        assert_eq!(read(&cache, 1), Some(12));
    });
}

/// Places whose pairs have no destructors are used again by the writers themselves.
#[test]
fn a_place_that_is_used_again_against_read() {
    model(|| {
        let clock = StdArc::new(ManualClock::new());
        let builder = Cache::builder().hasher(Hasher::default()).shards(1).no_sweep();
        let cache: Cache<u64, u64, std::convert::Infallible, Hasher> =
            builder.never_expire().clock(clock).capacity(2).build().unwrap();
        cache.insert(1, 10);
        let reader = {
            let cache = cache.clone();
            thread::spawn(move || {
                let first = cache.get(&1).expect("it is always there");
                let second = cache.get(&1).expect("it is always there");
                assert!(10 <= first && first <= second && second <= 13);
            })
        };
        for value in 11..=13 {
            cache.insert(1, value);
        }
        reader.join().unwrap();
        assert_eq!((cache.get(&1), cache.len()), (Some(13), 1));
    });
}

#[test]
fn a_pinned_value_against_replace() {
    model(|| {
        let cache = builder().build().unwrap();
        cache.insert(1, Arc::new(10));
        let reader = {
            let cache = cache.clone();
            thread::spawn(move || {
                let pinned = cache.pin();
                let value = pinned.get(&1).expect("it is always there");
                let before = **value;
                thread::yield_now();
                assert_eq!(**value, before);
            })
        };
        cache.insert(1, Arc::new(11));
        cache.insert(1, Arc::new(12));
        reader.join().unwrap();
    });
}

#[test]
fn table_growth_against_read() {
    model(|| {
        let cache = builder().build().unwrap();
        for key in 1..=FULL {
            cache.insert(key, Arc::new(key));
        }
        let reader = {
            let cache = cache.clone();
            thread::spawn(move || {
                assert_eq!(read(&cache, FULL), Some(FULL), "it is always there");
                let new = read(&cache, FULL + 1);
                assert!(new.is_none_or(|value| value == FULL + 1));
            })
        };
        cache.insert(FULL + 1, Arc::new(FULL + 1));
        cache.flush();
        reader.join().unwrap();
        assert_eq!(read(&cache, 1), Some(1));
    });
}

#[test]
fn remove_against_publish_of_a_load() {
    model(|| {
        let cache = builder().build().unwrap();
        let working = StdArc::new(AtomicBool::new(false));
        let loader = {
            let (cache, working) = (cache.clone(), working.clone());
            thread::spawn(move || {
                let value = cache.fetch(&1, || {
                    working.store(true, Ordering::Release);
                    Arc::new(10)
                });
                assert_eq!(*value, 10, "its caller gets it in any case");
            })
        };
        let during = working.load(Ordering::Acquire);
        cache.remove(&1);
        loader.join().unwrap();
        if during {
            assert_eq!(read(&cache, 1), None, "the removal came after the load had begun");
        }
    });
}

/// Whoever comes after a removal has returned gets what was loaded after it, whether the load that
/// the removal beat is still under way, has just kept its value, or is telling of it.
#[test]
fn remove_against_the_end_of_a_load_and_a_late_joiner() {
    model(|| {
        let cache = builder().build().unwrap();
        let begun = StdArc::new(AtomicBool::new(false));
        let loader = {
            let (cache, begun) = (cache.clone(), begun.clone());
            thread::spawn(move || {
                let load = || {
                    begun.store(true, Ordering::Release);
                    Arc::new(10)
                };
                let value = *cache.fetch(&1, load);
                assert!(value == 10 || value == 11);
            })
        };
        let before = begun.load(Ordering::Acquire);
        cache.remove(&1);
        let late = *cache.fetch(&1, || Arc::new(11));
        assert!(
            late == 11 || !before,
            "it began after the removal, which came after the load had begun"
        );
        loader.join().unwrap();
        let last = read(&cache, 1).expect("nobody has removed what was loaded since");
        assert!(last == 11 || !before);
    });
}

/// The same of a cleared cache.
#[test]
fn clear_against_the_end_of_a_load_and_a_late_joiner() {
    model(|| {
        let cache = builder().build().unwrap();
        let begun = StdArc::new(AtomicBool::new(false));
        let loader = {
            let (cache, begun) = (cache.clone(), begun.clone());
            thread::spawn(move || {
                cache.fetch(&1, || {
                    begun.store(true, Ordering::Release);
                    Arc::new(10)
                });
            })
        };
        let before = begun.load(Ordering::Acquire);
        cache.clear();
        let late = *cache.fetch(&1, || Arc::new(11));
        assert!(late == 11 || !before);
        loader.join().unwrap();
    });
}

/// A guard holds up no write, whoever has it.
#[test]
fn a_reader_that_never_moves_against_a_writer() {
    model(|| {
        let cache = builder().capacity(2).build().unwrap();
        cache.insert(1, Arc::new(10));
        let pinned = cache.pin();
        let lent = pinned.get(&1).expect("it is there");
        let writer = {
            let cache = cache.clone();
            thread::spawn(move || {
                for value in 11..=13 {
                    cache.insert(1, Arc::new(value));
                    assert_eq!(read(&cache, 1), Some(value), "what was written is there");
                }
                cache.flush();
            })
        };
        let seen = read(&cache, 1).expect("it is always there");
        assert!((10..=13).contains(&seen));
        assert_eq!(**lent, 10);
        writer.join().unwrap();
        assert_eq!(**lent, 10, "it stays as long as the guard does");
        drop(pinned);
        assert!(cache.flush(), "nobody holds anything any more");
    });
}

#[test]
fn insert_against_publish_of_a_load() {
    model(|| {
        let cache = builder().build().unwrap();
        let loader = {
            let cache = cache.clone();
            thread::spawn(move || {
                let value = *cache.fetch(&1, || Arc::new(10));
                assert!(value == 10 || value == 11);
            })
        };
        cache.insert(1, Arc::new(11));
        loader.join().unwrap();
        assert_eq!(read(&cache, 1), Some(11), "what is written wins over what is loaded");
    });
}

#[test]
fn expiry_against_read() {
    model(|| {
        let clock = StdArc::new(ManualClock::new());
        let cache = builder().clock(clock.clone()).build().unwrap();
        cache.insert_with_ttl(1, Arc::new(10), Duration::from_secs(1));
        let expired = StdArc::new(AtomicBool::new(false));
        let reader = {
            let (cache, expired) = (cache.clone(), expired.clone());
            thread::spawn(move || {
                let late = expired.load(Ordering::Acquire);
                let value = read(&cache, 1);
                assert!(value != Some(10) || !late, "it had expired");
                assert!(value.is_none_or(|value| value == 10 || value == 11));
            })
        };
        clock.advance(Duration::from_secs(1));
        expired.store(true, Ordering::Release);
        assert_eq!(cache.purge_expired(), 1);
        cache.insert(1, Arc::new(11));
        reader.join().unwrap();
    });
}

#[test]
fn eviction_against_read() {
    model(|| {
        let cache = builder().capacity(1).build().unwrap();
        cache.insert(1, Arc::new(1));
        let reader = {
            let cache = cache.clone();
            thread::spawn(move || {
                assert!(read(&cache, 1).is_none_or(|value| value == 1));
                assert!(read(&cache, 3).is_none_or(|value| value == 3));
            })
        };
        for key in 2..=3 {
            cache.insert(key, Arc::new(key));
            assert_eq!(cache.len(), 1);
        }
        reader.join().unwrap();
    });
}

/// Sends all keys to the same bucket; their tags differ.
#[derive(Clone, Default)]
struct OneHome(u64);

impl std::hash::Hasher for OneHome {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key << 40;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[test]
fn erase_and_insert_against_a_search_that_passes_on() {
    model(|| {
        let cache = builder().hasher(BuildHasherDefault::<OneHome>::default()).build().unwrap();
        // Six in the first bucket, one in the next.
        for key in 1..=7 {
            cache.insert(key, Arc::new(key));
        }
        let reader = {
            let cache = cache.clone();
            thread::spawn(move || {
                for key in [1, 7] {
                    let value = cache.get(&key).map(|value| *value);
                    assert_eq!(value, Some(key), "it is always there");
                }
            })
        };
        cache.remove(&2);
        cache.insert(9, Arc::new(9));
        reader.join().unwrap();
    });
}
