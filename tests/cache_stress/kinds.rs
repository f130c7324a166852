//! Keys and values of the odd kind.

use crate::common::cache::{Tally, settle, turn};
use docache::{Cache, ManualClock};
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Gives the same hash to everything.
#[derive(Clone, Debug, Default)]
struct Same;

impl Hasher for Same {
    fn finish(&self) -> u64 {
        0x0123_4567_89ab_cdef
    }

    fn write(&mut self, _: &[u8]) {}
}

impl BuildHasher for Same {
    type Hasher = Same;

    fn build_hasher(&self) -> Same {
        Same
    }
}

#[test]
fn ten_thousand_keys_of_one_hash() {
    let _turn = turn();
    const KEYS: u32 = 10_000;
    let cache: Cache<u32, u32, &str, Same> = Cache::builder().hasher(Same).build().unwrap();
    (0..KEYS).for_each(|key| cache.insert(key, 2 * key));
    assert_eq!(cache.len(), KEYS as usize);
    let some = || (0..KEYS).step_by(13);
    some().for_each(|key| assert_eq!(cache.get(&key), Some(2 * key)));
    some().for_each(|key| cache.insert(key, 3 * key));
    some().for_each(|key| assert_eq!(cache.remove(&key), Some(3 * key)));
    some().for_each(|key| assert_eq!(cache.get(&key), None));
    assert_eq!(cache.get(&KEYS), None);
    some().for_each(|key| assert_eq!(cache.try_fetch(key, || Ok(key)).unwrap(), key));
    let sum: u64 = cache.iter().map(|(_, value)| u64::from(value)).sum();
    let expected: u64 =
        (0..KEYS).map(|key| u64::from(if key % 13 == 0 { key } else { 2 * key })).sum();
    assert_eq!((cache.len(), sum), (KEYS as usize, expected));
    cache.clear();
    assert!(cache.is_empty());
}

#[test]
fn keys_of_one_hash_in_a_cache_that_evicts() {
    let _turn = turn();
    let cache: Cache<u32, u32, &str, Same> =
        Cache::builder().hasher(Same).capacity(100).shards(4).build().unwrap();
    for key in 0..2_000 {
        cache.insert(key, key);
        assert!(cache.len() <= 100);
        assert!(cache.get(&(key / 2)).is_none_or(|value| value == key / 2));
    }
    assert!(cache.len() >= 25, "the share of the shard that has all");
}

#[test]
fn nothing_for_nothing() {
    let _turn = turn();
    let cache: Cache<(), (), &str> = Cache::builder().capacity(1).build().unwrap();
    assert_eq!((cache.get(&()), cache.len()), (None, 0));
    cache.insert((), ());
    assert_eq!((cache.get(&()), cache.remove(&()), cache.get(&())), (Some(()), Some(()), None));
    for _ in 0..1_000 {
        cache.insert((), ());
        assert_eq!(cache.try_fetch((), || Err("it is there")).unwrap(), ());
    }
    assert_eq!((cache.len(), cache.iter().count(), cache.pin().iter().count()), (1, 1, 1));
    settle(&cache);
    let cache: Cache<u32, (), &str> = Cache::builder().build().unwrap();
    (0..5_000).for_each(|key| cache.insert(key, ()));
    assert_eq!((cache.len(), cache.remove_many(&[&1, &2, &2, &5_000])), (5_000, 2));
}

#[test]
fn values_that_are_large() {
    let _turn = turn();
    const SIZE: usize = 64 * 1024;
    let cache: Cache<u8, [u8; SIZE], &str> =
        Cache::builder().capacity(4).shards(1).build().unwrap();
    for key in 0..40 {
        cache.insert(key, [key; SIZE]);
        let pinned = cache.pin();
        assert_eq!(pinned.get(&key).map(|value| (value[0], value[SIZE - 1])), Some((key, key)));
    }
    assert!(cache.iter().all(|(key, value)| value.iter().all(|byte| *byte == key)));
}

/// A key with a cache line, or two, of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(align(64))]
struct Wide(u64);

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(256))]
struct Wider(u64);

#[test]
fn keys_and_values_that_are_aligned_to_more_than_usual() {
    let _turn = turn();
    let cache: Cache<Wide, u8, &str> = Cache::builder().build().unwrap();
    (0..3_000).for_each(|key| cache.insert(Wide(key), key as u8));
    for (key, value) in cache.pin().iter() {
        assert_eq!((std::ptr::from_ref(key).addr() % 64, *value), (0, key.0 as u8));
    }
    assert_eq!((cache.len(), cache.get(&Wide(7))), (3_000, Some(7)));
    let cache: Cache<u8, Wider, &str> = Cache::builder().capacity(20).build().unwrap();
    (0..200).for_each(|key| cache.insert(key, Wider(key.into())));
    for (key, value) in cache.pin().iter() {
        assert_eq!((std::ptr::from_ref(value).addr() % 256, value.0), (0, u64::from(*key)));
    }
}

#[test]
fn keys_are_looked_up_by_what_they_borrow_as() {
    let _turn = turn();
    let cache: Cache<String, usize, &str> = Cache::builder().build().unwrap();
    let names = ["", "a", "key", "a longer key, of the length of a path or a query", "ключ"];
    for name in names {
        assert_eq!(cache.get(name), None);
        assert_eq!(cache.try_fetch(name, || Ok(name.len())).unwrap(), name.len());
        assert_eq!((cache.get(name), cache.contains_key(name)), (Some(name.len()), true));
        assert_eq!(
            (cache.pin().get(name).copied(), cache.get(&name.to_owned())),
            (Some(name.len()), cache.get(name))
        );
    }
    assert_eq!(cache.get_many(&names), names.map(|name| Some(name.len())));
    assert_eq!((cache.remove("key"), cache.remove_many(&names), cache.len()), (Some(3), 4, 0));
    let cache: Cache<Vec<u8>, u8, &str> = Cache::builder().build().unwrap();
    assert_eq!(cache.try_fetch(&b"key"[..], || Ok(1)).unwrap(), 1);
    assert_eq!(cache.remove(&b"key"[..]), Some(1));
}

#[test]
fn a_cache_that_grows_and_shrinks_loses_nothing() {
    let _turn = turn();
    const KEYS: u64 = 50_000;
    let (tally, clock) = (Tally::new(), ManualClock::new());
    let builder =
        Cache::builder().clock(clock.clone()).no_sweep().time_to_live(Duration::from_millis(1));
    let cache: Cache<u64, _, &str> = builder.shards(1).build().unwrap();
    for round in 0..3 {
        (0..KEYS).for_each(|key| cache.insert(key, tally.value(key)));
        assert_eq!(cache.len(), KEYS as usize, "round {round}");
        clock.advance(Duration::from_millis(1));
        assert_eq!((cache.purge_expired(), cache.len()), (KEYS as usize, 0));
    }
    settle(&cache);
    assert_eq!(tally.alive(), 0);
}

#[test]
fn tables_that_were_replaced_do_not_pile_up() {
    let _turn = turn();
    let cache: Cache<u64, u64> = Cache::builder().shards(1).no_sweep().build().unwrap();
    let round = || {
        (0..5_000).for_each(|key| cache.insert(key, key));
        (0..5_000).for_each(|key| assert_eq!(cache.remove(&key), Some(key)));
        cache.stats().memory
    };
    // Those of one round, and of a few more that came before the next grace period, are some
    // hundred thousand bytes.
    let most = (0..50).map(|_| round()).max().unwrap();
    assert!(most < 3 << 20, "{most} bytes after many rounds");
}

/// Many keys of one home are put in and taken out again: those who pass there later do not pay for
/// it.
#[test]
fn a_table_forgets_hostile_keys() {
    #[derive(Clone, Default)]
    struct Home(u64);
    impl std::hash::Hasher for Home {
        fn write(&mut self, _: &[u8]) {
            unreachable!("keys are numbers")
        }
        fn write_u64(&mut self, key: u64) {
            // The lower bits say where the search begins; these are all alike.
            self.0 = key.rotate_right(24);
        }
        fn finish(&self) -> u64 {
            self.0
        }
    }
    let builder = Cache::<u64, u64>::builder().shards(1).no_sweep();
    let cache = builder.hasher(std::hash::BuildHasherDefault::<Home>::default()).build().unwrap();
    (0..70_000).for_each(|key| cache.insert(key, key));
    let large = cache.stats().memory;
    (0..70_000).for_each(|key| assert_eq!(cache.remove(&key), Some(key)));
    assert!(cache.is_empty());
    while !cache.flush() {}
    assert!(cache.stats().memory < large / 20, "{} of {large}", cache.stats().memory);
    assert_eq!(cache.get(&80_000), None);
}

/// Large values lie in small chunks: a few of them do not take memory for many.
#[test]
fn large_values_take_no_more_memory_than_they_must() {
    let cache: Cache<u64, [u8; 65_536]> = Cache::builder().build().unwrap();
    (0..200).for_each(|key| cache.insert(key, [0; 65_536]));
    let stats = cache.stats();
    assert!(stats.memory < 2 * 200 * 65_536, "{} MiB for 12 MiB of values", stats.memory >> 20);
}
