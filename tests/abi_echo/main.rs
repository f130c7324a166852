//! The echo caches of the C ABI, where timing, garbage or a server would be needed to test them
//! from C: what is refused, stores that return nonsense, locks of others, frees beside callbacks.

mod calls;
mod handles;
mod own;
#[cfg(any(feature = "redis", feature = "nats"))]
mod remote;
#[cfg(all(target_os = "linux", any(feature = "redis", feature = "nats")))]
mod shutdown;

use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::time::Duration;

use docache::ffi::*;
use handles::{Echo, Store, count_up, lazy_options, message, options};
use own::Told;

/// Returns its key, with its calls counted if there is a counter.
unsafe extern "C-unwind" fn its_key(
    counter: usize,
    key: *const u8,
    key_len: usize,
    out: *mut *mut docache_value,
    _: *mut *mut docache_error,
) -> docache_status {
    if counter != 0 {
        // SAFETY: tests give the address of a counter.
        unsafe { count_up(counter) };
    }
    // SAFETY: all pointers are valid.
    unsafe { docache_value_new(key, key_len, out, null_mut()) }
}

/// Asks for something that must be refused, whose `drop` is called all the same.
fn refused(
    what: &str,
    words: &[&str],
    ask: impl Fn(usize, docache_drop_fn, *mut *mut docache_error) -> docache_status,
) {
    let (drops, mut error) = (AtomicUsize::new(0), null_mut());
    let status = ask(std::ptr::from_ref(&drops) as usize, Some(count_up), &raw mut error);
    assert_eq!(status, DOCACHE_INVALID_ARGUMENT, "{what}");
    let message = message(error);
    assert!(words.iter().all(|word| message.contains(word)), "{what}: {message}");
    assert_eq!(drops.load(Ordering::SeqCst), 1, "{what}");
}

#[test]
fn options_of_a_memo_are_checked() {
    let store = Store::memory();
    let bad = [
        ("size", docache_echo_options { size: 8, ..options() }),
        ("flags", docache_echo_options { flags: 2, ..options() }),
        ("reserved", docache_echo_options { reserved: 1, ..options() }),
    ];
    for (name, options) in &bad {
        refused(name, &[name], |ctx, drop, error| {
            let mut out = null_mut();
            // SAFETY: all pointers are valid.
            unsafe { docache_echo_new(store.0, options, ctx, drop, &raw mut out, error) }
        });
    }
    refused("store", &["store", "NULL"], |ctx, drop, error| {
        let mut out = null_mut();
        // SAFETY: all pointers are valid, or NULL.
        unsafe { docache_echo_new(null(), &options(), ctx, drop, &raw mut out, error) }
    });
    refused("out", &["out", "NULL"], |ctx, drop, error| {
        // SAFETY: all pointers are valid, or NULL.
        unsafe { docache_echo_new(store.0, null(), ctx, drop, null_mut(), error) }
    });
}

#[test]
fn options_of_a_lazy_cache_are_checked() {
    let (store, ok) = (Store::memory(), lazy_options());
    let bad = [
        ("size", docache_echo_lazy_options { size: 0, ..ok }),
        ("flags", docache_echo_lazy_options { flags: 2, ..ok }),
        ("expires", docache_echo_lazy_options { refresh_after_ns: 2, expires_ns: 1, ..ok }),
        ("stale_until", docache_echo_lazy_options { stale_until_ns: 1, ..ok }),
        ("lock_ttl", docache_echo_lazy_options { lock_ttl_ns: 1, ..ok }),
        ("backoff_most_ns", docache_echo_lazy_options { backoff_most_ns: 1, ..ok }),
        ("backoff", docache_echo_lazy_options { backoff_first_ns: 2, backoff_most_ns: 1, ..ok }),
    ];
    for (name, options) in &bad {
        refused(name, &[name], |ctx, drop, error| {
            let mut out = null_mut();
            // SAFETY: all pointers are valid.
            unsafe { docache_echo_lazy_new(store.0, options, None, ctx, drop, &raw mut out, error) }
        });
    }
}

#[test]
fn what_stores_are_made_of_is_checked() {
    let refuse = |words: &[&str], made: docache_status, error: *mut docache_error| {
        assert_eq!(made, DOCACHE_INVALID_ARGUMENT, "{words:?}");
        let message = message(error);
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let ok = docache_store_memory_options {
        size: size_of::<docache_store_memory_options>(),
        capacity: 0,
        time_to_live_ns: 0,
        shards: 0,
        policy: 0,
        reserved: 0,
    };
    let bad = [
        ("size", docache_store_memory_options { size: 1, ..ok }),
        ("policy", docache_store_memory_options { policy: 2, capacity: 1, ..ok }),
        ("policy", docache_store_memory_options { policy: DOCACHE_POLICY_LRU, ..ok }),
        ("shards", docache_store_memory_options { shards: 65_537, ..ok }),
        ("reserved", docache_store_memory_options { reserved: 1, ..ok }),
    ];
    let (mut out, mut error) = (null_mut(), null_mut());
    for (name, options) in &bad {
        // SAFETY: all pointers are valid.
        let made = unsafe { docache_store_memory_new(options, &raw mut out, &raw mut error) };
        refuse(&[name], made, error);
    }
    let (store, place) = (Store::memory(), &raw mut error);
    // SAFETY: all pointers are valid, or NULL.
    let made = unsafe { docache_store_tiered_new(null(), store.0, 1, &raw mut out, place) };
    refuse(&["near", "NULL"], made, error);
    // SAFETY: all pointers are valid.
    let made = unsafe { docache_store_tiered_new(store.0, store.0, 1, &raw mut out, place) };
    refuse(&["far", "the near store"], made, error);
    let other = Store::memory();
    // SAFETY: all pointers are valid.
    let made = unsafe { docache_store_tiered_new(store.0, other.0, 0, &raw mut out, place) };
    refuse(&["most_ns"], made, error);
    // SAFETY: all pointers are valid, or NULL.
    let made = unsafe { docache_store_breaker_new(null(), 0, 0, &raw mut out, place) };
    refuse(&["store", "NULL"], made, error);
    let missing = docache_store_callbacks { renew: None, ..own::callbacks() };
    refused("callbacks", &["callbacks.renew"], |ctx, drop, error| {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        unsafe { docache_store_custom_new(&missing, ctx, drop, &raw mut out, error) }
    });
    // SAFETY: NULL is fine.
    unsafe { docache_store_release(null()) };
    // SAFETY: NULL is fine.
    assert!(unsafe { docache_store_retain(null()) }.is_null());
}

#[test]
fn keys_are_text_and_work_is_given() {
    let echo = Echo::memo(&Store::memory(), &options(), 0);
    let (status, refused) = echo.fetch(b"\xff", Some(its_key), 0);
    assert_eq!(status, DOCACHE_INVALID_ARGUMENT);
    assert!(refused.unwrap_err().contains("UTF-8"));
    let (status, refused) = echo.fetch(b"key", None, 0);
    assert_eq!(status, DOCACHE_INVALID_ARGUMENT);
    assert!(refused.unwrap_err().contains("perform"));
    assert_eq!(echo.get(b"", Some(its_key)), (Vec::new(), DOCACHE_FETCHED_LOADED));
    assert_eq!(echo.refresh().0, DOCACHE_INVALID_ARGUMENT, "it has no host");
}

#[test]
fn a_store_that_returns_garbage_fails_no_fetch() {
    for leaves in [own::NOTHING, own::A_BAD_POINTER, own::A_PANIC, own::A_VALUE_AND_AN_ERROR] {
        for status in [DOCACHE_OK, DOCACHE_MISS, DOCACHE_PANIC, DOCACHE_PENDING, i32::MIN] {
            let told = Told::default();
            told.get.store(status, Ordering::SeqCst);
            told.leaves.store(leaves, Ordering::SeqCst);
            let echo = Echo::memo(&own::store(&told), &options(), 0);
            let (value, fetched) = echo.get(b"key", Some(its_key));
            let is_hit = status == DOCACHE_OK && leaves == own::A_VALUE_AND_AN_ERROR;
            let expected: (&[u8], _) = if is_hit {
                (b"kept", DOCACHE_FETCHED_FRESH)
            } else {
                (b"key", DOCACHE_FETCHED_LOADED)
            };
            assert_eq!((&*value, fetched), expected, "{leaves} {status}");
            drop(echo);
            assert_eq!(told.drops.load(Ordering::SeqCst), 1);
        }
    }
}

#[test]
fn a_call_waits_for_the_lock_of_another_process_without_a_thread() {
    let told = Told::default();
    told.get.store(DOCACHE_MISS, Ordering::SeqCst);
    told.busy.store(3, Ordering::SeqCst);
    let echo = Echo::memo(&own::store(&told), &options(), 0);
    let (status, call) = echo.begin(b"key");
    assert_eq!(status, DOCACHE_PENDING);
    let ready = AtomicUsize::new(0);
    let token = std::ptr::from_ref(&ready) as usize;
    // SAFETY: all pointers are valid.
    let armed = unsafe { docache_echo_call_on_ready(call.0, Some(count_up), token, null_mut()) };
    if armed == DOCACHE_PENDING {
        while ready.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
    }
    assert_eq!(call.poll(), (DOCACHE_LEADER, None));
    assert_eq!(call.finish(b"mine"), DOCACHE_OK);
    assert_eq!(call.poll(), (DOCACHE_OK, Some(b"mine".to_vec())));
    assert_eq!(told.written.load(Ordering::SeqCst), 1);
    assert_eq!(echo.stats().lock_waits, 1);
    drop(call);
    drop(echo);
    assert!(ready.load(Ordering::SeqCst) <= 1);
}

#[test]
fn a_lead_that_is_given_up_gives_its_lock_back() {
    let told = Told::default();
    told.get.store(DOCACHE_MISS, Ordering::SeqCst);
    let echo = Echo::memo(&own::store(&told), &options(), 0);
    let (status, call) = echo.begin(b"key");
    assert_eq!(status, DOCACHE_LEADER);
    drop(call);
    assert_eq!(told.given_back.load(Ordering::SeqCst), 1);
    assert_eq!(echo.begin(b"key").0, DOCACHE_LEADER);
    // The same without the handle: the store is not called any more.
    let (_, call) = echo.begin(b"key");
    drop(echo);
    let calls = told.calls.load(Ordering::SeqCst);
    drop(call);
    assert_eq!(told.calls.load(Ordering::SeqCst), calls);
    assert_eq!(told.drops.load(Ordering::SeqCst), 1);
}

#[test]
fn what_a_host_finishes_too_late_is_closed() {
    let told = Told::default();
    told.leaves.store(own::A_VALUE, Ordering::SeqCst);
    told.age_ns.store(2, Ordering::SeqCst);
    let options = docache_echo_lazy_options {
        refresh_after_ns: 1,
        refresh_timeout_ns: 1_000_000,
        ..lazy_options()
    };
    let echo = Echo::lazy(&own::store(&told), &options, None, 0);
    assert_eq!(echo.get(b"key", Some(its_key)).1, DOCACHE_FETCHED_STALE);
    let (status, call) = echo.refresh();
    if status != DOCACHE_MISS {
        // It is PENDING while the lock is given back.
        let mut polled = call.poll();
        while polled.0 == DOCACHE_LEADER || polled.0 == DOCACHE_PENDING {
            polled = call.poll_while(polled.0);
        }
        assert_eq!(polled, (DOCACHE_OK, None));
        assert_eq!(call.finish(b"late"), DOCACHE_CLOSED);
    }
    assert_eq!(echo.stats().refresh_failures, 1);
    assert_eq!(told.written.load(Ordering::SeqCst), 0);
}

/// Work that waits to be let go on, the first time.
struct Gated {
    runs: AtomicUsize,
    entered: Barrier,
    leave: Barrier,
    left: AtomicBool,
}

unsafe extern "C-unwind" fn gated(
    ctx: usize,
    key: *const u8,
    key_len: usize,
    out: *mut *mut docache_value,
    _: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the test gives the address of one that outlives its cache.
    let gated = unsafe { &*(ctx as *const Gated) };
    if gated.runs.fetch_add(1, Ordering::SeqCst) == 0 {
        gated.entered.wait();
        gated.leave.wait();
        gated.left.store(true, Ordering::SeqCst);
    }
    // SAFETY: all pointers are valid.
    unsafe { docache_value_new(key, key_len, out, null_mut()) }
}

#[test]
fn a_free_waits_for_the_refresh_under_way_and_lets_it_write() {
    let told = Told::default();
    told.leaves.store(own::A_VALUE, Ordering::SeqCst);
    told.age_ns.store(2, Ordering::SeqCst);
    let options = docache_echo_lazy_options { refresh_after_ns: 1, ..lazy_options() };
    let work = Gated {
        runs: AtomicUsize::new(0),
        entered: Barrier::new(2),
        leave: Barrier::new(2),
        left: AtomicBool::new(false),
    };
    let ctx = std::ptr::from_ref(&work) as usize;
    let echo = Echo::lazy(&own::store(&told), &options, Some(gated), ctx);
    assert_eq!(echo.get(b"key", None).1, DOCACHE_FETCHED_STALE);
    assert_eq!(echo.get(b"other", None).1, DOCACHE_FETCHED_STALE, "its refresh is to wait");
    work.entered.wait();
    let (freed, is_freed) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            drop(echo);
            freed.send(()).unwrap();
        });
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(1));
            assert!(is_freed.try_recv().is_err());
        }
        work.leave.wait();
        is_freed.recv().unwrap();
        assert!(work.left.load(Ordering::SeqCst));
    });
    // The other refresh was dropped, unless the machine let the free begin too late for that.
    assert_eq!(told.written.load(Ordering::SeqCst), work.runs.load(Ordering::SeqCst));
    assert_eq!(told.drops.load(Ordering::SeqCst), 1);
}

#[test]
fn many_calls_that_wait_for_one_are_told_without_a_deep_stack() {
    let echo = Echo::memo(&Store::memory(), &options(), 0);
    let told = AtomicUsize::new(0);
    let token = std::ptr::from_ref(&told) as usize;
    let (status, leader) = echo.begin(b"key");
    assert_eq!(status, DOCACHE_LEADER);
    let calls: Vec<_> = (0..20_000).map(|_| echo.begin(b"key")).collect();
    for (status, call) in &calls {
        assert_eq!(*status, DOCACHE_PENDING);
        // SAFETY: all pointers are valid.
        let armed =
            unsafe { docache_echo_call_on_ready(call.0, Some(count_up), token, null_mut()) };
        assert_eq!(armed, DOCACHE_PENDING);
    }
    // Each of them inherits the lead of the one before, and gives it up.
    drop(leader);
    let mut at = 0;
    while at < calls.len() / 2 {
        assert_eq!(calls[at].1.poll().0, DOCACHE_LEADER);
        at += 1;
        // SAFETY: freed here; what is left of the handle is never used.
        unsafe { docache_echo_call_free(calls[at - 1].1.0) };
    }
    assert_eq!(calls[at].1.finish(b"value"), DOCACHE_OK);
    let (freed, waiting) = (at, calls.len());
    for (_, call) in &calls[freed..] {
        assert_eq!(call.poll().1.as_deref(), Some(&b"value"[..]));
    }
    assert_eq!(told.load(Ordering::SeqCst), waiting);
    for (index, (_, call)) in calls.into_iter().enumerate() {
        if index < freed {
            std::mem::forget(call);
        }
    }
}

#[test]
fn statuses_of_stores_become_statuses_of_writes() {
    let echo = Echo::memo(&Store::memory(), &options(), 0);
    assert_eq!(echo.put(b"key", b"value"), (DOCACHE_OK, String::new()));
    assert_eq!(echo.get(b"key", Some(its_key)).0, b"value");
    assert_eq!((echo.remove(b"key"), echo.remove(b"key")), (DOCACHE_OK, DOCACHE_OK));
    let told = Told::default();
    let own = Echo::memo(&own::store(&told), &options(), 0);
    assert_eq!((own.put(b"key", b"value").0, own.remove(b"key")), (DOCACHE_OK, DOCACHE_OK));
    assert_eq!(told.calls.load(Ordering::SeqCst), 2);
}

#[cfg(not(feature = "redis"))]
#[test]
fn a_build_without_redis_says_so() {
    let (url, mut out, mut error) = ("redis://127.0.0.1/", null_mut(), null_mut());
    // SAFETY: all pointers are valid.
    let made = unsafe {
        let (start, len) = (url.as_ptr().cast(), url.len());
        docache_store_redis_new(start, len, null(), &raw mut out, &raw mut error)
    };
    assert_eq!(made, DOCACHE_UNSUPPORTED);
    // SAFETY: the error is ours.
    assert_eq!(unsafe { docache_error_status(error) }, DOCACHE_UNSUPPORTED);
    assert!(out.is_null() && message(error).contains("redis"));
}
