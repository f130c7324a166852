//! Listeners and destructors that fetch what the call is loading that runs them.

use docache::{Cache, Cause, ManualClock};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::common::SECOND;

#[test]
fn a_listener_that_fetches_what_a_bulk_load_has_yet_to_complete_does_not_wait_for_it() {
    static CACHE: OnceLock<Cache<u64, u64>> = OnceLock::new();
    static REENTRANT: AtomicUsize = AtomicUsize::new(0);
    // It has what expires loaded again.
    let listener = |key: &u64, _: &u64, cause| {
        if cause == Cause::Expired {
            let again = CACHE.get().unwrap().try_fetch(key, || Ok(0));
            REENTRANT.fetch_add(usize::from(again.unwrap_err().is_reentrant()), Ordering::SeqCst);
        }
    };
    let clock = Arc::new(ManualClock::new());
    let builder = Cache::builder().capacity(1).shards(1).no_sweep().clock(clock.clone());
    let cache = CACHE.get_or_init(|| builder.on_evict(listener).build().unwrap());
    cache.insert_with_ttl(1, 1, SECOND);
    clock.advance(SECOND);
    // The first value takes the place of the one that has expired, and whose key comes second.
    assert_eq!(
        cache.fetch_many(&[&2, &1], |keys| keys.iter().map(|key| **key * 10).collect()),
        [20, 10]
    );
    assert_eq!(REENTRANT.load(Ordering::SeqCst), 1);
    assert_eq!(cache.fetch(&3, || 3), 3, "the thread is not inside of anything any more");
}

#[test]
fn a_destructor_that_fetches_what_is_being_taken_in_does_not_wait_for_it() {
    static CACHE: OnceLock<Cache<u64, Arc<Fetches>>> = OnceLock::new();
    static ARMED: AtomicBool = AtomicBool::new(false);
    static REENTRANT: AtomicBool = AtomicBool::new(false);
    #[derive(Debug)]
    struct Fetches;
    impl Drop for Fetches {
        fn drop(&mut self) {
            if ARMED.swap(false, Ordering::SeqCst) {
                let fetched = CACHE.get().unwrap().try_fetch(7, || Ok(Arc::new(Fetches)));
                REENTRANT.store(fetched.is_err_and(|error| error.is_reentrant()), Ordering::SeqCst);
            }
        }
    }
    let builder = Cache::builder().max_weight(100).weigher(|_, _| 60).shards(1).no_sweep();
    let cache = CACHE.get_or_init(|| builder.build().unwrap());
    let pinned = cache.pin();
    (0..4).for_each(|key| cache.insert(key, Arc::new(Fetches)));
    drop(pinned);
    ARMED.store(true, Ordering::SeqCst);
    // So much is retired that it goes before the value is taken in.
    cache.fetch(&7, || Arc::new(Fetches));
    assert!(!ARMED.load(Ordering::SeqCst) && REENTRANT.load(Ordering::SeqCst));
    assert!(cache.contains_key(&7));
}
