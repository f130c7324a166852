//! What a fetch may be told, what it takes for a key, and what it costs in hashes.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::hash::{BuildHasher, Hash};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use docache::{Cache, Context, FetchKey, FlightError, KeyedGroup, ManualClock};

use crate::common::SECOND;
use crate::common::flight::Task;

fn clocked(clock: &ManualClock) -> Cache<u64, u32> {
    Cache::builder().clock(clock.clone()).time_to_live(10 * SECOND).shards(1).build().unwrap()
}

#[test]
fn a_loader_says_how_long_its_value_lives() {
    let clock = ManualClock::new();
    let cache = clocked(&clock);
    let timed = cache.options().ttl_from_loader();
    assert_eq!(timed.fetch(1, || (10, Some(SECOND))), 10);
    assert_eq!(timed.try_fetch(2, || Ok((20, Some(3 * SECOND)))).unwrap(), 20);
    assert_eq!(Task::new(timed.fetch_async(3, || async { (30, Some(SECOND)) })).ends(), 30);
    assert_eq!(
        timed.fetch_many(&[&4, &5], |_| vec![(40, Some(SECOND)), (50, Some(3 * SECOND))]),
        [40, 50]
    );
    assert_eq!(
        timed.ttl(5 * SECOND).fetch(6, || (60, Some(SECOND))),
        60,
        "the loader knows better"
    );
    assert_eq!(timed.fetch(7, || (70, None)), 70);
    assert_eq!(timed.ttl(3 * SECOND).fetch(8, || (80, None)), 80);
    let left = || (1..=8).filter(|key| cache.contains_key(key)).collect::<Vec<_>>();
    assert_eq!(left(), [1, 2, 3, 4, 5, 6, 7, 8]);
    clock.advance(SECOND);
    assert_eq!(left(), [2, 5, 7, 8]);
    clock.advance(2 * SECOND);
    assert_eq!(left(), [7]);
    clock.advance(7 * SECOND);
    assert!(left().is_empty());
}

#[test]
fn options_hold_for_all_that_is_fetched_with_them() {
    let clock = ManualClock::new();
    let cache = clocked(&clock);
    let short = cache.options().ttl(SECOND);
    assert_eq!(
        (short.fetch(1, || 10), short.fetch_many(&[&1, &2], |_| vec![20])),
        (10, vec![10, 20])
    );
    assert_eq!(Task::new(short.try_fetch_async(3, || async { Ok(30) })).ends().unwrap(), 30);
    clock.advance(SECOND);
    assert_eq!(cache.get_many(&[&1, &2, &3]), [None; 3]);
}

#[test]
fn with_a_context_that_is_done_what_is_there_is_returned_and_nothing_is_loaded() {
    let (cache, context) = (Cache::<u64, u32>::new(10), Context::new());
    cache.insert(1, 10);
    context.cancel();
    let within = cache.options().context(&context);
    let fetched = within.try_fetch_many(&[&1, &2], |_| unreachable!("it is too late"));
    assert!(
        matches!(&fetched[..], [Ok(10), Err(FlightError::Left(error))] if error.is_cancelled())
    );
    assert_eq!(within.try_fetch(1, || unreachable!()).unwrap(), 10);
    assert!(within.try_fetch(2, || unreachable!()).unwrap_err().is_cancelled());
    let late = Task::new(within.try_fetch_async(2, || async { unreachable!() })).ends();
    assert!(late.unwrap_err().is_cancelled());
}

#[test]
fn a_bulk_fetch_leaves_at_its_deadline() {
    let (cache, clock) = (Cache::<u64, u32>::new(10), ManualClock::new());
    let context = Context::with_clock(clock.clone()).with_timeout(SECOND);
    let (begun, go) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            cache.fetch(1, || {
                begun.wait();
                go.wait();
                10
            })
        });
        begun.wait();
        let within = cache.options().context(&context);
        let bulk = scope.spawn(move || within.try_fetch_many(&[&1, &2], |_| Ok(vec![20])));
        clock.advance(SECOND);
        let fetched = bulk.join().unwrap();
        assert!(fetched[0].as_ref().is_err_and(FlightError::is_timeout));
        go.wait();
    });
    assert_eq!(cache.get(&1), Some(10));
}

/// Fetches twice by whatever may be a key; the second time it must be there.
fn fetched_by<K, Q>(mut query: impl FnMut() -> Q)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    Q: FetchKey<K>,
{
    let cache = Cache::<K, u32>::new(10);
    assert_eq!(cache.fetch(query(), || 1), 1);
    assert_eq!(cache.fetch(query(), || unreachable!("it is there")), 1);
    assert_eq!(cache.fetch(query().into_key(), || unreachable!("it is there")), 1);
}

#[test]
fn a_fetch_takes_what_get_takes_and_keys_themselves() {
    fetched_by::<String, _>(|| "ada");
    fetched_by::<String, _>(|| "ada".to_owned());
    fetched_by::<Box<str>, _>(|| "ada");
    fetched_by::<Arc<str>, _>(|| "ada");
    fetched_by::<Arc<str>, Arc<str>>(|| "ada".into());
    fetched_by::<u64, _>(|| 7);
    fetched_by::<u64, _>(|| &7);
    fetched_by::<(u8, String), _>(|| (1, "one".to_owned()));
    fetched_by::<PathBuf, _>(|| Path::new("/"));
    fetched_by::<Arc<Path>, _>(|| Path::new("/"));
    fetched_by::<OsString, _>(|| OsStr::new("ada"));
    fetched_by::<CString, &CStr>(|| c"ada");
    fetched_by::<Vec<u8>, &[u8]>(|| b"ada");
    fetched_by::<Box<[u8]>, &[u8]>(|| b"ada");
    fetched_by::<Arc<[u16]>, &[u16]>(|| &[1, 2]);
    // Literals and references need no annotation where the key's type is known.
    let names = Cache::<Arc<str>, u32>::new(10);
    let owned = String::from("ada");
    assert_eq!((names.fetch("ada", || 1), names.fetch(owned.as_str(), || 2)), (1, 1));
}

/// Counts how often a key is hashed.
#[derive(Clone, Default)]
struct Counted(std::hash::RandomState, Arc<AtomicUsize>);

impl BuildHasher for Counted {
    type Hasher = std::hash::DefaultHasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.build_hasher()
    }
}

#[test]
fn a_key_is_hashed_once_for_each_operation() {
    let hasher = Counted::default();
    let cache: Cache<u64, u32, &str, Counted> =
        Cache::<u64, u32, &str>::builder().capacity(100).hasher(hasher.clone()).build().unwrap();
    let hashes = |operation: &dyn Fn()| {
        let before = hasher.1.load(Ordering::Relaxed);
        operation();
        hasher.1.load(Ordering::Relaxed) - before
    };
    let load = || drop(cache.try_fetch(1, || Ok(10)));
    assert_eq!((hashes(&load), cache.get(&1)), (1, Some(10)), "a miss");
    assert_eq!(hashes(&load), 1, "a hit");
    assert_eq!(hashes(&|| drop(cache.try_fetch(2, || Err("no luck")))), 1, "a failure");
    let task = || drop(Task::new(cache.try_fetch_async(3, || async { Ok(30) })).ends());
    assert_eq!((hashes(&task), hashes(&task)), (1, 1), "of a task");
    let bulk = || drop(cache.try_fetch_many(&[&1, &4, &5], |_| Ok(vec![40, 50])));
    assert_eq!((hashes(&bulk), hashes(&bulk)), (3, 3), "of three keys");
    assert_eq!(hashes(&|| assert!(cache.get(&1).is_some())), 1);
    assert_eq!(hashes(&|| assert!(cache.pin().get(&1).is_some())), 1);
    assert_eq!(hashes(&|| cache.insert(6, 60)), 1);
}

/// A key that `Debug` cannot show, or must not.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Secret(u64);

#[test]
fn errors_name_the_type_of_a_key_or_on_request_the_key() {
    let name = std::any::type_name::<Secret>();
    let text = format!("key of type {name}: the call came from inside");
    let cache = Cache::<Secret, String>::new(10);
    let inner = || cache.try_fetch(Secret(1), || unreachable!()).unwrap_err().to_string();
    assert!(cache.fetch(Secret(1), inner).starts_with(&text));
    let group = KeyedGroup::<Secret, String>::new();
    let inner = || group.try_run(&Secret(1), || unreachable!()).unwrap_err().to_string();
    assert!(group.run(&Secret(1), inner).starts_with(&text));

    let cache: Cache<u64, String> = Cache::builder().debug_keys().build().unwrap();
    let inner = || cache.try_fetch(7, || unreachable!()).unwrap_err().to_string();
    assert!(cache.fetch(7, inner).starts_with("key 7: the call came from inside"));
}
