//! The C ABI: locks of its calls, waits and gates that a thread has which is not there.

use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};

use docache::ffi::*;

use crate::process::{beside, until};

/// Handles that threads share: the functions used here may be called from any thread.
struct Shared<T>(*mut T);

// SAFETY: as said there.
unsafe impl<T> Sync for Shared<T> {}

fn new_echo() -> Shared<docache_echo> {
    let (mut store, mut echo) = (null_mut(), null_mut());
    // SAFETY: all pointers are valid, or NULL.
    let made = unsafe { docache_store_memory_new(null(), &raw mut store, null_mut()) };
    assert_eq!(made, DOCACHE_OK);
    // SAFETY: as above.
    let made = unsafe { docache_echo_new(store, null(), 0, None, &raw mut echo, null_mut()) };
    assert_eq!(made, DOCACHE_OK);
    // SAFETY: the share is ours, and the cache has its own.
    unsafe { docache_store_release(store) };
    Shared(echo)
}

/// A call that leads.
fn begin(echo: *const docache_echo, key: &[u8]) -> Shared<docache_echo_call> {
    let (mut value, mut fetched, mut call) = (null_mut(), 0, null_mut());
    let (start, len) = (key.as_ptr(), key.len());
    let places = (&raw mut value, &raw mut fetched, &raw mut call);
    // SAFETY: all pointers are valid, or NULL.
    let begun = unsafe {
        let none = null_mut();
        docache_echo_begin(echo, start, len, places.0, places.1, none, places.2, null_mut())
    };
    assert_eq!(begun, DOCACHE_LEADER);
    Shared(call)
}

fn poll(call: &Shared<docache_echo_call>) -> docache_status {
    let (mut value, mut fetched) = (null_mut(), 0);
    let (value, fetched) = (&raw mut value, &raw mut fetched);
    // SAFETY: all pointers are valid, or NULL.
    unsafe { docache_echo_call_poll(call.0, value, fetched, null_mut(), null_mut()) }
}

/// It leads as before, or is lost; and it can be freed.
pub(crate) fn a_call_that_others_look_at() {
    let echo = new_echo();
    let call = begin(echo.0, b"key");
    let child = || {
        let status = poll(&call);
        assert!(matches!(status, DOCACHE_LEADER | DOCACHE_CLOSED), "{status}");
        // SAFETY: the other threads are not here.
        unsafe { docache_echo_call_free(call.0) };
    };
    beside(|| assert_eq!(poll(&call), DOCACHE_LEADER), child);
    // SAFETY: nobody else is at it.
    unsafe { docache_echo_call_free(call.0) };
    // SAFETY: as above.
    unsafe { docache_echo_free(echo.0) };
}

/// It waits as before, or is lost; and it can be freed.
pub(crate) fn a_wait_that_others_poll() {
    unsafe extern "C-unwind" fn never(
        _: usize,
        _: *mut *mut docache_value,
        _: *mut *mut docache_error,
    ) -> docache_status {
        DOCACHE_DOER_FAILED
    }
    let (mut handle, mut wait) = (null_mut(), null_mut());
    // SAFETY: its fields are numbers, and pointers to functions or NULL.
    let mut options: docache_loop_options = unsafe { std::mem::zeroed() };
    options.size = size_of::<docache_loop_options>();
    options.interval_ns = 1_000_000_000;
    let out = &raw mut handle;
    // SAFETY: all pointers are valid, or NULL.
    let made = unsafe { docache_loop_new(&options, Some(never), 0, None, out, null_mut()) };
    assert_eq!(made, DOCACHE_OK);
    // SAFETY: all pointers are valid, or NULL.
    let begun = unsafe { docache_loop_wait_first_begin(handle, &raw mut wait, null_mut()) };
    assert_eq!(begun, DOCACHE_PENDING);
    let wait = Shared(wait);
    let poll = |wait: &Shared<docache_wait>| {
        // SAFETY: all pointers are valid, or NULL.
        unsafe { docache_wait_poll(wait.0, null_mut(), null_mut()) }
    };
    let child = || {
        let status = poll(&wait);
        assert!(matches!(status, DOCACHE_PENDING | DOCACHE_CLOSED), "{status}");
        // SAFETY: the other threads are not here.
        unsafe { docache_wait_free(wait.0) };
    };
    beside(|| assert_eq!(poll(&wait), DOCACHE_PENDING), child);
    // SAFETY: nobody else is at it.
    unsafe { docache_wait_free(wait.0) };
    // SAFETY: as above.
    unsafe { docache_loop_free(handle) };
}

unsafe extern "C-unwind" fn count(ctx: usize) {
    // SAFETY: the tests give counters that outlive their schedulers.
    unsafe { &*(ctx as *const AtomicUsize) }.fetch_add(1, Ordering::SeqCst);
}

/// Has the counter count a call and its drop; the call's handle.
fn call_after(
    scheduler: &Shared<docache_scheduler>,
    delay_ns: u64,
    counter: &AtomicUsize,
) -> Shared<docache_scheduled> {
    let (ctx, mut out) = (std::ptr::from_ref(counter) as usize, null_mut());
    let (raw, place) = (scheduler.0, &raw mut out);
    // SAFETY: all pointers are valid, or NULL.
    let given = unsafe {
        let call = Some(count as _);
        docache_scheduler_call_after(raw, delay_ns, call, ctx, Some(count), place, null_mut())
    };
    assert_eq!(given, DOCACHE_OK);
    Shared(out)
}

/// Cancels a call and frees its handle.
fn cancel(scheduled: &Shared<docache_scheduled>) -> docache_status {
    // SAFETY: the handle is ours.
    let status = unsafe { docache_scheduled_cancel(scheduled.0, null_mut()) };
    // SAFETY: as above.
    unsafe { docache_scheduled_free(scheduled.0) };
    status
}

/// It calls what the child schedules, and can be freed.
pub(crate) fn a_scheduler_that_others_use() {
    let mut out = null_mut();
    // SAFETY: all pointers are valid, or NULL.
    assert_eq!(unsafe { docache_scheduler_new(null(), &raw mut out, null_mut()) }, DOCACHE_OK);
    let (scheduler, counter) = (Shared(out), AtomicUsize::new(0));
    let busy = || {
        assert_eq!(cancel(&call_after(&scheduler, u64::MAX, &counter)), DOCACHE_OK);
        let status = cancel(&call_after(&scheduler, 0, &counter));
        assert!(matches!(status, DOCACHE_OK | DOCACHE_MISS), "{status}");
    };
    let child = || {
        let counter = AtomicUsize::new(0);
        let now = call_after(&scheduler, 0, &counter);
        until(|| counter.load(Ordering::SeqCst) == 2);
        assert_eq!(cancel(&now), DOCACHE_MISS);
        assert_eq!(cancel(&call_after(&scheduler, u64::MAX, &counter)), DOCACHE_OK);
        assert_eq!(counter.load(Ordering::SeqCst), 3);
        call_after(&scheduler, u64::MAX, &counter);
        // SAFETY: the other threads are not here.
        unsafe { docache_scheduler_free(scheduler.0) };
        assert_eq!(counter.load(Ordering::SeqCst), 4);
    };
    beside(busy, child);
    // SAFETY: nobody else is at it.
    unsafe { docache_scheduler_free(scheduler.0) };
}

/// What is freed inside a callback waits for nobody who is not there.
pub(crate) fn frees_inside_callbacks() {
    unsafe extern "C-unwind" fn begins_and_frees(
        other: usize,
        key: *const u8,
        key_len: usize,
        _: *mut *mut docache_value,
        _: *mut *mut docache_error,
    ) -> docache_status {
        // SAFETY: the key is valid for the call.
        let key = unsafe { std::slice::from_raw_parts(key, key_len) };
        let call = begin(other as *const docache_echo, key);
        // SAFETY: it is this call's own.
        unsafe { docache_echo_call_free(call.0) };
        DOCACHE_DOER_FAILED
    }
    let (outer, inner) = (new_echo(), new_echo());
    let (outer, inner) = (&outer, &inner);
    let fetch = || {
        let (outer, inner): (&Shared<_>, &Shared<_>) = (outer, inner);
        let key = format!("{:?}", std::thread::current().id());
        let (mut value, mut fetched) = (null_mut(), 0);
        let places = (&raw mut value, &raw mut fetched);
        let (perform, other) = (Some(begins_and_frees as _), inner.0.addr());
        let none = null_mut();
        // SAFETY: all pointers are valid, or NULL.
        let status = unsafe {
            let (key, len) = (key.as_ptr(), key.len());
            let forever = DOCACHE_FOREVER;
            docache_echo_fetch(
                outer.0,
                key,
                len,
                forever,
                perform,
                other,
                places.0,
                places.1,
                none,
                null_mut(),
            )
        };
        assert_eq!(status, DOCACHE_DOER_FAILED);
    };
    beside(fetch, fetch);
    // SAFETY: nobody else is at them.
    unsafe { docache_echo_free(outer.0) };
    // SAFETY: as above.
    unsafe { docache_echo_free(inner.0) };
}
