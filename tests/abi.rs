//! The C ABI where timing or a second library would be needed to test it from C.

use docache::ffi::*;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const DAY: u64 = 86_400_000_000_000;

unsafe extern "C-unwind" fn count_up(counter: usize) {
    // SAFETY: every registration below is given the address of a static counter.
    unsafe { &*(counter as *const AtomicUsize) }.fetch_add(1, Ordering::SeqCst);
}

unsafe extern "C-unwind" fn perform(
    dropped: usize,
    out_value: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the library's own places; the value has no bytes, only a drop.
    unsafe { docache_value_wrap(std::ptr::null(), 0, dropped, Some(on_drop), out_value, out_error) }
}

/// What a value's drop does: polls the wait named here.
static POLLED_ON_DROP: AtomicPtr<docache_wait> = AtomicPtr::new(null_mut());

unsafe extern "C-unwind" fn on_drop(counter: usize) {
    // SAFETY: see `count_up`.
    unsafe { count_up(counter) };
    let wait = POLLED_ON_DROP.load(Ordering::SeqCst);
    if !wait.is_null() {
        // SAFETY: the test frees the wait after the value is dropped.
        unsafe { docache_wait_cancel(wait) };
    }
}

fn new_loop(dropped: &'static AtomicUsize) -> *mut docache_loop {
    let options = docache_loop_options {
        size: size_of::<docache_loop_options>(),
        interval_ns: DAY,
        first_delay_ns: 0,
        jitter_ns: 0,
        capacity: 1,
        name: std::ptr::null(),
        name_len: 0,
        logger: null_mut(),
        schedule: DOCACHE_FIXED_DELAY,
        reserved: 0,
        scheduler: std::ptr::null(),
    };
    let (mut out, ctx) = (null_mut(), std::ptr::from_ref(dropped) as usize);
    // SAFETY: all pointers are valid, and the counter is static.
    let status = unsafe {
        docache_loop_new(&raw const options, Some(perform), ctx, None, &raw mut out, null_mut())
    };
    assert_eq!(status, DOCACHE_OK);
    out
}

static WAITS: [AtomicPtr<docache_wait>; 40] = [const { AtomicPtr::new(null_mut()) }; 40];
static NOTIFIED: AtomicUsize = AtomicUsize::new(0);

/// Polls every wait, before the library gets to them.
unsafe extern "C-unwind" fn polls_all(_: usize) {
    NOTIFIED.fetch_add(1, Ordering::SeqCst);
    for wait in &WAITS {
        // SAFETY: the waits are freed at the test's end.
        unsafe { docache_wait_poll(wait.load(Ordering::SeqCst), null_mut(), null_mut()) };
    }
}

#[test]
fn a_promised_notification_comes_whoever_finds_the_wait_over() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let handle = new_loop(&DROPPED);
    for wait in &WAITS {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        let begun = unsafe { docache_loop_changed_begin(handle, 0, &raw mut out, null_mut()) };
        wait.store(out, Ordering::SeqCst);
        // SAFETY: as above.
        let armed = unsafe { docache_wait_on_ready(out, Some(polls_all), 0, null_mut()) };
        assert_eq!((begun, armed), (DOCACHE_PENDING, DOCACHE_PENDING));
    }
    // SAFETY: the handle is valid; freeing it waits for the call and its notifications.
    unsafe { docache_loop_start(handle, null_mut()) };
    // SAFETY: as above.
    assert_eq!(unsafe { docache_loop_wait_first(handle, DOCACHE_FOREVER, null_mut()) }, DOCACHE_OK);
    // SAFETY: as above.
    unsafe { docache_loop_free(handle) };
    assert_eq!(NOTIFIED.load(Ordering::SeqCst), WAITS.len());
    for wait in &WAITS {
        // SAFETY: each wait is freed once.
        unsafe { docache_wait_free(wait.swap(null_mut(), Ordering::SeqCst)) };
    }
}

#[test]
fn a_drop_callback_may_use_the_wait_whose_poll_it_runs_in() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let mut wait = null_mut();
    loop {
        let handle = new_loop(&DROPPED);
        // SAFETY: the handle is valid until it is freed.
        unsafe { docache_loop_start(handle, null_mut()) };
        // SAFETY: as above.
        unsafe { docache_loop_wait_first(handle, DOCACHE_FOREVER, null_mut()) };
        // SAFETY: as above.
        let status = unsafe { docache_loop_stop_begin(handle, &raw mut wait, null_mut()) };
        // SAFETY: freed once.
        unsafe { docache_loop_free(handle) };
        if status == DOCACHE_PENDING {
            break;
        }
    }
    let before = DROPPED.load(Ordering::SeqCst);
    POLLED_ON_DROP.store(wait, Ordering::SeqCst);
    // The wait has the last share of the loop cache, and with it of the value.
    // SAFETY: the wait is valid.
    assert_eq!(unsafe { docache_wait_poll(wait, null_mut(), null_mut()) }, DOCACHE_OK);
    POLLED_ON_DROP.store(null_mut(), Ordering::SeqCst);
    assert_eq!(DROPPED.load(Ordering::SeqCst), before + 1);
    // SAFETY: freed once.
    unsafe { docache_wait_free(wait) };
}

#[test]
fn an_option_struct_of_half_a_pointer_is_refused() {
    let size = std::mem::offset_of!(docache_loop_options, logger) + 4;
    // SAFETY: zero is valid for every field.
    let mut options: docache_loop_options = unsafe { std::mem::zeroed() };
    options.size = size;
    options.interval_ns = DAY;
    options.logger = std::ptr::without_provenance_mut(8);
    let (mut out, mut error) = (null_mut(), null_mut());
    // SAFETY: all pointers that may be read are valid.
    let status = unsafe {
        docache_loop_new(&raw const options, Some(perform), 0, None, &raw mut out, &raw mut error)
    };
    assert_eq!((status, out), (DOCACHE_INVALID_ARGUMENT, null_mut()));
    // SAFETY: the share is ours.
    unsafe { docache_error_release(error) };
}

#[test]
fn while_a_cache_is_to_be_swept_its_thread_stays() {
    let cache = docache::Cache::<u64, u64>::new(10);
    assert_eq!(docache_shutdown(), DOCACHE_BUSY);
    // And the cache is none the worse for having been asked.
    cache.insert(1, 2);
    assert_eq!(cache.get(&1), Some(2));
}

/// It waits for what is under way, but not for ever: a thousand pauses.
#[test]
fn a_callback_that_does_not_return_is_waited_for_for_a_second() {
    let (told, listening) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let barriers = (told.clone(), listening.clone());
    let cache = docache::Cache::<u64, u64>::builder()
        .time_to_live(Duration::from_nanos(1))
        .sweep_interval(Duration::from_millis(1))
        .on_evict(move |_, _, _| {
            barriers.0.wait();
            barriers.1.wait();
        })
        .build()
        .unwrap();
    cache.insert(1, 2);
    told.wait();
    let start = Instant::now();
    assert_eq!(docache_shutdown(), DOCACHE_BUSY);
    assert!(start.elapsed() >= Duration::from_millis(999), "{:?}", start.elapsed());
    listening.wait();
}
