//! User code that panics, or calls the cache, where one would rather it did not.

use crate::common::cache::{Counted, Tally, settle, turn};
use crate::common::flight::{Dice, hush, message_of, panic_of, until};
use docache::{Cache, Cause, FlightError, ManualClock};
use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

/// A value whose destructor panics.
#[derive(Clone)]
struct Bomb(#[expect(dead_code, reason = "it is counted")] Counted);

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            hush("a bomb");
        }
    }
}

/// Takes a value out of the test without its destructor.
fn defuse<T>(found: Option<T>) -> bool {
    found.map(ManuallyDrop::new).is_some()
}

#[test]
fn destructors_that_panic_go_no_further_and_all_are_run() {
    let _turn = turn();
    let (tally, clock) = (Tally::new(), ManualClock::new());
    let bomb = || Bomb(tally.value(0));
    let cache: Cache<u8, Bomb, &str> =
        Cache::builder().capacity(16).shards(1).clock(clock.clone()).no_sweep().build().unwrap();
    for round in 0..300_u16 {
        let key = (round % 24) as u8;
        cache.insert(key, bomb());
        cache.insert(key, bomb());
        cache.remove_many(&[&(key / 2)]);
        cache.insert_with_ttl(key / 3, bomb(), Duration::from_millis(1));
        clock.advance(Duration::from_millis(1));
        cache.purge_expired();
        if round % 50 == 0 {
            cache.clear();
        }
    }
    settle(&cache);
    assert_eq!(tally.alive(), cache.len() as u64);
    drop(cache);
    assert_eq!(tally.alive(), 0);
}

#[test]
fn the_destructor_of_a_value_that_came_too_late_goes_no_further() {
    let _turn = turn();
    let tally = Tally::new();
    let cache: Cache<u8, Bomb, &str> = Cache::builder().build().unwrap();
    let fetched = cache.try_fetch(1, || {
        assert!(!defuse(cache.remove(&1)));
        Ok(Bomb(tally.value(1)))
    });
    let fetched = fetched.map_err(|error| error.to_string());
    assert!(defuse(fetched.ok()), "the load's result, for its caller");
    settle(&cache);
    assert!(!cache.contains_key(&1));
    // The one that was not dropped is the caller's.
    assert_eq!(tally.alive(), 1);
    assert!(defuse(cache.try_fetch(1, || Ok(Bomb(tally.value(1)))).ok()), "the key is not busy");
}

/// A value that cannot be cloned when it is told so.
struct Unclonable(Arc<AtomicBool>, Counted);

impl Clone for Unclonable {
    fn clone(&self) -> Unclonable {
        if self.0.load(Ordering::SeqCst) {
            hush("no clone");
        }
        Unclonable(self.0.clone(), self.1.clone())
    }
}

#[test]
fn a_clone_that_panics_leaves_the_cache_whole() {
    let _turn = turn();
    for listened in [false, true] {
        let (tally, fails) = (Tally::new(), Arc::new(AtomicBool::new(false)));
        let value = |key| Unclonable(fails.clone(), tally.value(key));
        let mut builder = Cache::<u64, Unclonable, &str>::builder().shards(1);
        if listened {
            builder = builder.on_evict(|key, value: &Unclonable, _| assert_eq!(*key, value.1.of()));
        }
        let cache = builder.build().unwrap();
        (0..100).for_each(|key| cache.insert(key, value(key)));
        fails.store(true, Ordering::SeqCst);
        for key in 0..50 {
            assert_eq!(message_of(|| cache.get(&key).is_some()), "no clone");
            assert_eq!(message_of(|| cache.remove(&key).is_some()), "no clone");
            assert!(!cache.contains_key(&key), "it was removed all the same");
            assert_eq!(
                message_of(|| cache.try_fetch(99, || Err("it is there")).is_ok()),
                "no clone"
            );
            assert_eq!(message_of(|| cache.try_fetch(key, || Ok(value(key))).is_ok()), "no clone");
        }
        fails.store(false, Ordering::SeqCst);
        for key in 0..100 {
            assert!(cache.try_fetch(key, || Ok(value(key))).is_ok_and(|found| found.1.of() == key));
        }
        settle(&cache);
        assert_eq!((cache.len(), tally.alive()), (100, 100), "listened: {listened}");
        drop(cache);
        assert_eq!(tally.alive(), 0);
    }
}

#[test]
fn a_listener_that_panics_is_counted() {
    let _turn = turn();
    let tally = Tally::new();
    let builder =
        Cache::builder().capacity(4).shards(1).on_evict(|_: &u64, _: &Counted, _| hush("not now"));
    let cache: Cache<u64, Counted> = builder.build().unwrap();
    for key in 0..100 {
        cache.insert(key, tally.value(key));
        cache.insert(key, tally.value(key));
    }
    cache.clear();
    let stats = cache.stats();
    assert_eq!((stats.evicted, stats.replaced, stats.removed), (96, 100, 4));
    assert_eq!(stats.listener_panics, 200);
    settle(&cache);
    assert_eq!(tally.alive(), 0);
}

#[test]
fn a_weigher_or_loader_that_panics_leaves_nothing_behind() {
    let _turn = turn();
    let tally = Tally::new();
    let weigh = |key: &u64, _: &Counted| if *key == 13 { hush("not that one") } else { 1 };
    let cache: Cache<u64, Counted, &str> =
        Cache::builder().weigher(weigh).max_weight(10).build().unwrap();
    for _ in 0..3 {
        assert_eq!(message_of(|| cache.insert(13, tally.value(13))), "not that one");
        assert_eq!(
            message_of(|| cache.try_fetch(13, || Ok(tally.value(13))).is_ok()),
            "not that one"
        );
        assert_eq!(message_of(|| cache.try_fetch(12, || hush("no fuel")).is_ok()), "no fuel");
        assert_eq!(
            message_of(|| cache.try_fetch_many(&[&11, &12], |_| hush("no fuel")).len()),
            "no fuel"
        );
    }
    assert_eq!((cache.len(), tally.alive()), (0, 0));
    assert!(cache.try_fetch(12, || Ok(tally.value(12))).is_ok());
}

/// A value that calls the cache when it is dropped.
#[derive(Clone)]
struct Caller {
    cache: Weak<Cache<u64, Caller, &'static str>>,
    value: Counted,
    calls: &'static AtomicUsize,
    /// How many more values of this kind its destructor puts in.
    left: u32,
}

impl Drop for Caller {
    fn drop(&mut self) {
        let Some(cache) = self.cache.upgrade() else { return };
        self.calls.fetch_add(1, Ordering::SeqCst);
        let key = self.value.of();
        cache.contains_key(&key);
        cache.pin().get(&(key + 1)).map(|other| other.value.of());
        if self.left > 0 {
            let value = Counted::clone(&self.value);
            cache.insert(
                key,
                Caller { cache: self.cache.clone(), value, calls: self.calls, left: self.left - 1 },
            );
        }
        cache.remove_many(&[&(key + 2)]);
        cache.purge_expired();
    }
}

#[test]
fn destructors_may_call_the_cache() {
    let _turn = turn();
    let (tally, calls) = (Tally::new(), &*Box::leak(Box::<AtomicUsize>::default()));
    let cache: Arc<Cache<u64, Caller, &str>> =
        Arc::new(Cache::builder().capacity(8).shards(1).build().unwrap());
    for key in 0..200 {
        let value =
            Caller { cache: Arc::downgrade(&cache), value: tally.value(key % 12), calls, left: 2 };
        cache.insert(key % 12, value);
        cache.flush();
    }
    cache.clear();
    // Those that are dropped put others in, which replace each other.
    until(|| cache.flush() && cache.stats().retired == 0);
    assert!(calls.load(Ordering::SeqCst) >= 200);
    // What the last destructors have put in.
    cache.iter().for_each(|(key, value)| assert_eq!(key, value.value.of()));
    drop(cache);
    assert_eq!(tally.alive(), 0);
}

type Told = Cache<u64, Counted, &'static str>;

#[test]
fn a_listener_may_call_the_cache() {
    let _turn = turn();
    let (tally, told) = (Tally::new(), Arc::new(Mutex::new(Vec::new())));
    let handle: Arc<OnceLock<Weak<Told>>> = Arc::default();
    let (own, seen) = (handle.clone(), told.clone());
    let listener = move |key: &u64, value: &Counted, cause: Cause| {
        assert_eq!(*key, value.of());
        seen.lock().unwrap().push((*key, cause));
        let Some(cache) = own.get().and_then(Weak::upgrade) else { return };
        cache.get(key);
        // What was evicted finds a place under another key, and is not put back for ever.
        if *key < 1_000 {
            cache.insert(key + 1_000, tally.value(key + 1_000));
        }
        drop(cache.remove(&(key + 1)));
        assert!(cache.try_fetch(key + 2_000, || Err("no luck")).is_err());
        assert!(cache.len() <= 8);
    };
    let cache =
        Arc::new(Cache::builder().capacity(8).shards(1).on_evict(listener).build().unwrap());
    handle.set(Arc::downgrade(&cache)).unwrap();
    (0..100).for_each(|key| cache.insert(key, tally.value(key)));
    cache.clear();
    settle(&cache);
    let stats = cache.stats();
    assert_eq!(stats.listener_panics, 0);
    let left = stats.evicted + stats.removed + stats.replaced + stats.refused;
    assert_eq!(told.lock().unwrap().len() as u64, left);
    assert_eq!(tally.alive(), cache.len() as u64);
}

/// A key whose hash and equality are what the test says.
#[derive(Clone, Debug)]
struct Odd(u64, &'static Whims);

#[derive(Debug, Default)]
struct Whims {
    hash_panics: AtomicBool,
    hash_wanders: AtomicBool,
    eq_panics: AtomicBool,
    eq_lies: AtomicBool,
    asked: AtomicUsize,
}

impl Whims {
    fn once_in(&self, times: usize) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) % times == 0
    }
}

impl Hash for Odd {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.1.hash_panics.load(Ordering::Relaxed) && self.1.once_in(7) {
            hush("no hash");
        }
        let wanders = self.1.hash_wanders.load(Ordering::Relaxed) && self.1.once_in(3);
        (if wanders { self.1.asked.load(Ordering::Relaxed) as u64 } else { self.0 }).hash(state);
    }
}

impl PartialEq for Odd {
    fn eq(&self, other: &Odd) -> bool {
        if self.1.eq_panics.load(Ordering::Relaxed) && self.1.once_in(7) {
            hush("no comparison");
        }
        let lies = self.1.eq_lies.load(Ordering::Relaxed) && self.1.once_in(3);
        (self.0 == other.0) != lies
    }
}

impl Eq for Odd {}

/// Everything once, whether it panics or not.
fn use_oddly(
    cache: &Cache<Odd, Counted, &'static str>,
    key: &Odd,
    tally: &'static Tally,
    step: usize,
) {
    match step % 8 {
        0..=2 => cache.insert(key.clone(), tally.value(0)),
        3 => drop(cache.remove(key)),
        4 => drop(cache.get(key)),
        5 => match cache.try_fetch(key, || Ok(tally.value(0))) {
            Ok(_) | Err(FlightError::Reentrant(_)) => {}
            Err(error) => panic!("{error}"),
        },
        6 => drop(cache.purge_expired()),
        _ => drop(cache.pin().get(key).map(Counted::of)),
    }
}

#[test]
fn keys_that_break_their_promises_cost_no_more_than_what_they_name() {
    let _turn = turn();
    type Whim = fn(&Whims) -> &AtomicBool;
    let whims: [Whim; 4] =
        [|w| &w.hash_panics, |w| &w.hash_wanders, |w| &w.eq_panics, |w| &w.eq_lies];
    for (which, whim) in whims.into_iter().enumerate() {
        for capacity in [None, Some(20)] {
            let (tally, odd) = (Tally::new(), &*Box::leak(Box::<Whims>::default()));
            let mut builder = Cache::builder().shards(1);
            if let Some(capacity) = capacity {
                builder = builder.capacity(capacity);
            }
            let cache = builder.build().unwrap();
            let mut dice = Dice::new(which as u64);
            whim(odd).store(true, Ordering::Relaxed);
            for step in 0..3_000 {
                let key = Odd(dice.below(60) as u64, odd);
                let used = std::panic::AssertUnwindSafe(|| use_oddly(&cache, &key, tally, step));
                if let Err(payload) = std::panic::catch_unwind(used) {
                    let text = payload.downcast_ref::<String>().map(String::as_str);
                    assert!(matches!(text, Some("no hash" | "no comparison")), "{text:?}");
                }
                assert!(cache.len() <= capacity.unwrap_or(usize::MAX));
            }
            whim(odd).store(false, Ordering::Relaxed);
            cache.clear();
            settle(&cache);
            assert!(cache.is_empty());
            cache.insert(Odd(1, odd), tally.value(1));
            assert_eq!(cache.get(&Odd(1, odd)).map(|value| value.of()), Some(1));
            drop(cache);
            let lost = tally.alive();
            assert!(lost == 0 || which == 0, "{lost} values were not dropped with whim {which}");
        }
    }
}

/// A key that is looked up by another type, which panics.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Named(String);

impl Borrow<str> for Named {
    fn borrow(&self) -> &str {
        if self.0 == "nameless" { hush("no name") } else { &self.0 }
    }
}

#[test]
fn a_borrow_that_panics_leaves_the_cache_whole() {
    let _turn = turn();
    let cache: Cache<Named, u32> = Cache::builder().shards(1).build().unwrap();
    cache.insert(Named("nameless".into()), 1);
    cache.insert(Named("name".into()), 2);
    for _ in 0..3 {
        assert_eq!(*panic_of(|| cache.get("nameless")).downcast::<String>().unwrap(), "no name");
        assert_eq!(*panic_of(|| cache.remove("nameless")).downcast::<String>().unwrap(), "no name");
        assert_eq!(cache.get("name"), Some(2));
    }
    cache.clear();
    assert!(cache.is_empty());
}

thread_local!(static BAD: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });

/// Its hash panics when it is told to, for some keys.
#[derive(Debug, PartialEq, Eq)]
struct Unhashable(u64);

impl Hash for Unhashable {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if BAD.get() && self.0 < 20 {
            hush("a hash");
        }
        self.0.hash(state);
    }
}

#[test]
fn a_hash_that_panics_under_the_lock_costs_its_own_entry_at_most() {
    let _turn = turn();
    let tally = Tally::new();
    for capacity in [Some(20), None] {
        let mut builder = Cache::<Unhashable, Counted>::builder().shards(1).no_sweep();
        builder = capacity
            .map_or(Cache::builder().shards(1).no_sweep(), |capacity| builder.capacity(capacity));
        let cache = builder.build().unwrap();
        (0..20).for_each(|key| cache.insert(Unhashable(key), tally.value(key)));
        BAD.set(true);
        // Entries are evicted, or moved into larger tables, meanwhile.
        for key in 100..300 {
            cache.insert(Unhashable(key), tally.value(key));
            assert!(cache.contains_key(&Unhashable(key)));
        }
        BAD.set(false);
        for key in 1_000..2_000 {
            cache.insert(Unhashable(key), tally.value(key));
            assert!(cache.contains_key(&Unhashable(key)));
        }
        let most = capacity.unwrap_or(2_000);
        assert!(cache.len() <= most && cache.len() == cache.pin().iter().count());
        settle(&cache);
        assert_eq!(tally.alive(), cache.len() as u64);
        drop(cache);
        assert_eq!(tally.alive(), 0);
    }
}
