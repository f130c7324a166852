//! The caches of the C ABI: what they keep and let go of, and every way that a fetch can begin and
//! end.

#[path = "../common/mod.rs"]
mod common;
mod handles;

use common::allocations::{self, Counting};
use docache::ffi::*;
use handles::{Cache, Value, count_up, counted, options};
use std::cell::Cell;
use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::thread;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Returns a value of 2 bytes; counts its calls if there is a counter.
unsafe extern "C-unwind" fn two_bytes(
    counter: usize,
    out: *mut *mut docache_value,
    _: *mut *mut docache_error,
) -> docache_status {
    if counter != 0 {
        // SAFETY: tests give the address of a counter.
        unsafe { count_up(counter) };
    }
    // SAFETY: all pointers are valid.
    unsafe { docache_value_new(b"ok".as_ptr(), 2, out, null_mut()) }
}

unsafe extern "C-unwind" fn panics(
    _: usize,
    _: *mut *mut docache_value,
    _: *mut *mut docache_error,
) -> docache_status {
    DOCACHE_PANIC
}

#[test]
fn a_cache_holds_a_share_until_the_value_leaves_or_the_cache_goes() {
    let drops = AtomicUsize::new(0);
    let gone = || drops.load(Ordering::SeqCst);
    let cache = Cache::new();
    for key in [b"a", b"b", b"c"] {
        let value = counted(&drops);
        // SAFETY: all pointers are valid.
        let set =
            unsafe { docache_cache_set_value(cache.0, key.as_ptr(), 1, value.0, 0, null_mut()) };
        assert_eq!(set, DOCACHE_OK);
    }
    assert_eq!((gone(), cache.get(b"a").as_deref()), (0, Some(&b"counted"[..])));
    let mut removed = null_mut();
    // SAFETY: all pointers are valid.
    let taken =
        unsafe { docache_cache_remove(cache.0, b"a".as_ptr(), 1, &raw mut removed, null_mut()) };
    assert_eq!((taken, cache.remove(b"a")), (DOCACHE_OK, DOCACHE_MISS));
    let removed = Value(removed);
    assert_eq!(cache.set(b"b", b"other", 0), DOCACHE_OK);
    cache.flush();
    assert_eq!(gone(), 1, "the replaced one is gone, the removed one is still ours");
    drop(cache);
    assert_eq!(gone(), 2);
    assert_eq!(removed.bytes(), b"counted");
    drop(removed);
    assert_eq!(gone(), 3);
}

#[test]
fn a_registration_is_dropped_once_also_if_there_is_no_cache() {
    unsafe extern "C-unwind" fn ignore(
        _: usize,
        _: *const u8,
        _: usize,
        _: *const docache_value,
        _: i32,
    ) {
    }
    let bad = [
        docache_cache_options { size: 8, ..options() },
        docache_cache_options { size: usize::MAX, ..options() },
        docache_cache_options { policy: 2, ..options() },
        docache_cache_options { policy: DOCACHE_POLICY_LRU, ..options() },
        docache_cache_options { jitter_permille: 1001, ..options() },
        docache_cache_options { flags: 4, ..options() },
        docache_cache_options { reserved: 1, ..options() },
        docache_cache_options { shards: 65_537, ..options() },
        docache_cache_options { sweep_interval_ns: 1, ..options() },
        docache_cache_options { capacity: 1, max_weight: 1, ..options() },
    ];
    let drops = AtomicUsize::new(0);
    let ctx = std::ptr::from_ref(&drops) as usize;
    let mut expected = 0;
    for options in &bad {
        for on_evict in [Some(ignore as unsafe extern "C-unwind" fn(_, _, _, _, _)), None] {
            let (mut out, mut error) = (std::ptr::dangling_mut(), null_mut());
            // SAFETY: all pointers are valid.
            let made = unsafe {
                docache_cache_new(
                    options,
                    on_evict,
                    ctx,
                    Some(count_up),
                    &raw mut out,
                    &raw mut error,
                )
            };
            assert_eq!(made, DOCACHE_INVALID_ARGUMENT, "{options:?}");
            assert!(out.is_null() && !error.is_null());
            // SAFETY: the share is ours.
            unsafe { docache_error_release(error) };
            expected += 1;
            assert_eq!(drops.load(Ordering::SeqCst), expected);
        }
    }
    let mut out = null_mut();
    // SAFETY: all pointers are valid.
    let made = unsafe {
        docache_cache_new(null(), Some(ignore), ctx, Some(count_up), &raw mut out, null_mut())
    };
    assert_eq!(made, DOCACHE_OK);
    let cache = Cache(out);
    let call = cache.lead(b"key");
    drop(cache);
    assert_eq!(drops.load(Ordering::SeqCst), expected, "the call keeps the cache");
    assert_eq!(call.finish(&Value::new(b"value")), DOCACHE_OK);
    assert_eq!(call.free(), DOCACHE_OK);
    assert_eq!(drops.load(Ordering::SeqCst), expected + 1);
}

#[test]
fn what_puts_nothing_in_allocates_nothing() {
    let cache = Cache::new();
    let long = [b'k'; 300];
    assert_eq!(
        (cache.set(b"key", b"value", 0), cache.set(&long, b"value", 0)),
        (DOCACHE_OK, DOCACHE_OK)
    );
    let cycle = |key: &[u8]| {
        let (mut buffer, mut size) = ([0; 8], 0);
        let (place, capacity, size) = (buffer.as_mut_ptr(), buffer.len(), &raw mut size);
        // SAFETY: all pointers are valid.
        let read = unsafe {
            docache_cache_try_get(
                cache.0,
                key.as_ptr(),
                key.len(),
                place,
                capacity,
                size,
                null_mut(),
            )
        };
        let (begun, value, call) = cache.begin(key);
        assert_eq!(read == DOCACHE_MISS, value.is_none());
        if begun == DOCACHE_LEADER {
            assert_eq!(cache.join(key).free(), DOCACHE_OK);
            assert_eq!(call.free(), DOCACHE_LEADER_LOST);
        }
    };
    for key in [&b"key"[..], &long, b"", b"none", &long[..299]] {
        for _ in 0..3 {
            cycle(key);
        }
        let before = allocations::on_this_thread();
        for _ in 0..100 {
            cycle(key);
        }
        assert_eq!(allocations::on_this_thread() - before, 0, "with a key of {} bytes", key.len());
    }
}

#[test]
fn a_leader_that_finishes_puts_the_value_in_and_tells_the_others() {
    let cache = Cache::new();
    let told = AtomicUsize::new(0);
    let (leader, waiter) = (cache.lead(b"key"), cache.join(b"key"));
    waiter.on_ready(&told);
    assert_eq!((cache.get(b"key"), waiter.poll()), (None, (DOCACHE_PENDING, None)));
    assert_eq!(leader.poll().0, DOCACHE_LEADER);
    assert_eq!(leader.finish(&Value::new(b"value")), DOCACHE_OK);
    assert_eq!(leader.finish(&Value::new(b"again")), DOCACHE_INVALID_ARGUMENT);
    assert_eq!((told.load(Ordering::SeqCst), cache.get(b"key").unwrap()), (1, b"value".to_vec()));
    for call in [leader, waiter] {
        assert_eq!(call.poll(), (DOCACHE_OK, Some(b"value".to_vec())));
        assert_eq!(call.free(), DOCACHE_OK);
    }
    let (status, value, call) = cache.begin(b"key");
    assert!(status == DOCACHE_OK && call.0.is_null() && value.unwrap().bytes() == b"value");
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.load_failures, stats.coalesced), (1, 0, 1));
}

#[test]
fn end_finishes_and_frees_in_one() {
    let cache = Cache::new();
    let (leader, waiter, value) = (cache.lead(b"key"), cache.join(b"key"), Value::new(b"value"));
    let nothing = null_mut();
    // SAFETY: all pointers are valid.
    let ended =
        unsafe { docache_call_end(leader.0, DOCACHE_OK, value.0, nothing, null_mut(), null_mut()) };
    assert_eq!((ended, cache.get(b"key").unwrap()), (DOCACHE_OK, b"value".to_vec()));
    assert_eq!((waiter.poll().0, waiter.free()), (DOCACHE_OK, DOCACHE_OK));
}

#[test]
fn a_write_during_the_load_wins() {
    let cache = Cache::new();
    let loaded = Value::new(b"loaded");
    type Write<'a> = &'a dyn Fn();
    let writes: [(Write<'_>, Option<&[u8]>); 3] = [
        (&|| assert_eq!(cache.remove(b"key"), DOCACHE_MISS), None),
        // SAFETY: the handle is valid.
        (&|| assert_eq!(unsafe { docache_cache_clear(cache.0, null_mut()) }, DOCACHE_OK), None),
        (&|| assert_eq!(cache.set(b"key", b"written", 0), DOCACHE_OK), Some(b"written")),
    ];
    for (write, left) in writes {
        let (leader, waiter) = (cache.lead(b"key"), cache.join(b"key"));
        write();
        assert_eq!(leader.finish(&loaded), DOCACHE_OK);
        assert_eq!(waiter.poll(), (DOCACHE_OK, Some(b"loaded".to_vec())));
        assert_eq!((leader.free(), waiter.free()), (DOCACHE_OK, DOCACHE_OK));
        assert_eq!(cache.get(b"key").as_deref(), left);
    }
}

#[test]
fn failures_are_kept_only_where_that_was_asked_for_and_panics_never() {
    let cache = Cache::new();
    let leader = cache.lead(b"key");
    leader.fail(DOCACHE_DOER_FAILED);
    assert_eq!((leader.poll().0, leader.free()), (DOCACHE_DOER_FAILED, DOCACHE_OK));
    assert_eq!(cache.lead(b"key").free(), DOCACHE_LEADER_LOST);
    assert_eq!((cache.stats().loads, cache.stats().load_failures), (2, 2));

    let cache = Cache::with(&docache_cache_options { negative_ttl_ns: DOCACHE_NEVER, ..options() });
    let leader = cache.lead(b"panics");
    leader.fail(DOCACHE_PANIC);
    assert_eq!((leader.poll().0, leader.free()), (DOCACHE_PANIC, DOCACHE_OK));
    assert_eq!(cache.fetch(b"panics", Some(panics), 0), (DOCACHE_PANIC, None));
    let leader = cache.lead(b"panics");
    leader.fail(DOCACHE_DOER_FAILED);
    assert_eq!(leader.free(), DOCACHE_OK);
    let (status, value, call) = cache.begin(b"panics");
    assert!(status == DOCACHE_DOER_FAILED && value.is_none() && call.0.is_null());
    let runs = AtomicUsize::new(0);
    let ctx = std::ptr::from_ref(&runs) as usize;
    assert_eq!(cache.fetch(b"panics", Some(two_bytes), ctx), (DOCACHE_DOER_FAILED, None));
    assert_eq!(cache.set(b"panics", b"better", 0), DOCACHE_OK);
    assert_eq!(cache.remove(b"panics"), DOCACHE_OK);
    assert_eq!(cache.fetch(b"panics", Some(two_bytes), ctx), (DOCACHE_OK, Some(b"ok".to_vec())));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[test]
fn a_lead_that_is_given_up_is_handed_on_and_begins_a_load_of_its_own() {
    let cache = Cache::new();
    let told = AtomicUsize::new(0);
    let (leader, heir, third) = (cache.lead(b"key"), cache.join(b"key"), cache.join(b"key"));
    heir.on_ready(&told);
    // It beats the first load and not the heir's, which begins later.
    assert_eq!(cache.remove(b"key"), DOCACHE_MISS);
    assert_eq!((leader.free(), told.load(Ordering::SeqCst)), (DOCACHE_OK, 1));
    assert_eq!(heir.finish(&Value::new(b"early")), DOCACHE_INVALID_ARGUMENT, "it was not told yet");
    assert_eq!(heir.poll(), (DOCACHE_LEADER, None));
    assert_eq!(heir.poll(), (DOCACHE_LEADER, None));
    assert_eq!(heir.finish(&Value::new(b"heir's")), DOCACHE_OK);
    assert_eq!(third.poll(), (DOCACHE_OK, Some(b"heir's".to_vec())));
    assert_eq!((heir.free(), third.free()), (DOCACHE_OK, DOCACHE_OK));
    assert_eq!(cache.get(b"key").unwrap(), b"heir's");
    assert_eq!((cache.stats().loads, cache.stats().load_failures), (2, 1));
}

#[test]
fn an_heir_that_finds_the_value_ends_the_run_with_it() {
    let cache = Cache::new();
    let told = AtomicUsize::new(0);
    let (leader, heir, third) = (cache.lead(b"key"), cache.join(b"key"), cache.join(b"key"));
    third.on_ready(&told);
    assert_eq!(cache.set(b"key", b"written", 0), DOCACHE_OK);
    assert_eq!((leader.free(), told.load(Ordering::SeqCst)), (DOCACHE_OK, 0));
    for call in [heir, heir, third] {
        assert_eq!(call.poll(), (DOCACHE_OK, Some(b"written".to_vec())));
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }
    assert_eq!(heir.finish(&Value::new(b"late")), DOCACHE_INVALID_ARGUMENT);
    assert_eq!((heir.free(), third.free()), (DOCACHE_OK, DOCACHE_OK));
    assert_eq!((cache.get(b"key").unwrap(), cache.stats().loads), (b"written".to_vec(), 1));
}

#[test]
fn calls_that_block_share_their_runs_with_those_that_do_not() {
    let cache = Cache::new();
    let runs = AtomicUsize::new(0);
    let ctx = std::ptr::from_ref(&runs) as usize;
    let leader = cache.lead(b"key");
    thread::scope(|scope| {
        let fetched = scope.spawn(|| cache.fetch(b"key", Some(two_bytes), ctx));
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        let looked = unsafe {
            docache_cache_fetch(
                cache.0,
                b"key".as_ptr(),
                3,
                0,
                0,
                Some(two_bytes),
                ctx,
                &raw mut out,
                null_mut(),
            )
        };
        assert_eq!(looked, DOCACHE_TIMEOUT);
        assert_eq!(leader.finish(&Value::new(b"led")), DOCACHE_OK);
        assert_eq!(fetched.join().unwrap(), (DOCACHE_OK, Some(b"led".to_vec())));
    });
    assert_eq!((runs.load(Ordering::SeqCst), leader.free()), (0, DOCACHE_OK));
    assert_eq!(cache.fetch(b"other", Some(two_bytes), ctx), (DOCACHE_OK, Some(b"ok".to_vec())));
    assert_eq!((runs.load(Ordering::SeqCst), cache.get(b"other").unwrap()), (1, b"ok".to_vec()));
}

#[test]
fn a_fetch_inside_the_fetch_of_its_own_key_is_refused() {
    thread_local!(static INNER: Cell<docache_status> = const { Cell::new(DOCACHE_OK) });
    unsafe extern "C-unwind" fn inside(
        cache: usize,
        out: *mut *mut docache_value,
        _: *mut *mut docache_error,
    ) -> docache_status {
        let cache = std::mem::ManuallyDrop::new(Cache(cache as *mut docache_cache));
        INNER.set(cache.fetch(b"key", Some(two_bytes), 0).0);
        // SAFETY: all pointers are valid.
        unsafe { two_bytes(0, out, null_mut()) }
    }
    let cache = Cache::new();
    assert_eq!(cache.fetch(b"key", Some(inside), cache.0 as usize).0, DOCACHE_OK);
    assert_eq!(INNER.get(), DOCACHE_REENTRANT);

    let (status, _, leader) = cache.begin_as(b"fiber", 7);
    assert_eq!(status, DOCACHE_LEADER);
    let (again, _, none) = cache.begin_as(b"fiber", 7);
    assert!(again == DOCACHE_REENTRANT && none.0.is_null());
    assert_eq!(leader.free(), DOCACHE_LEADER_LOST);
}

#[test]
fn a_listener_that_fetches_the_key_whose_value_was_refused_does_not_wait_for_itself() {
    static SEEN: Mutex<Vec<(i32, docache_status)>> = Mutex::new(Vec::new());
    unsafe extern "C-unwind" fn on_evict(
        slot: usize,
        key: *const u8,
        len: usize,
        _: *const docache_value,
        cause: i32,
    ) {
        // SAFETY: the test keeps the place.
        let slot = unsafe { &*(slot as *const AtomicPtr<docache_cache>) };
        let cache = std::mem::ManuallyDrop::new(Cache(slot.load(Ordering::SeqCst)));
        // SAFETY: SPAN.
        let key = unsafe { std::slice::from_raw_parts(key, len) };
        SEEN.lock().unwrap().push((cause, cache.fetch(key, Some(two_bytes), 0).0));
    }
    let slot = AtomicPtr::new(null_mut());
    let small = docache_cache_options { max_weight: 16, shards: 1, ..options() };
    let cache = Cache::listened(&small, Some(on_evict), std::ptr::from_ref(&slot) as usize);
    slot.store(cache.0, Ordering::SeqCst);
    let leader = cache.lead(b"key");
    assert_eq!(leader.finish(&Value::new(&[7; 100])), DOCACHE_OK);
    // The run was over by then: the listener's fetch was one of its own.
    assert_eq!((leader.free(), cache.get(b"key").unwrap()), (DOCACHE_OK, b"ok".to_vec()));
    assert_eq!(*SEEN.lock().unwrap(), [(DOCACHE_CAUSE_REFUSED, DOCACHE_OK)]);
    assert_eq!(cache.stats().refused, 1);
}
