//! Calls that do not block: on which threads they call back, and what they write if they are
//! refused.

use std::ptr::{null, null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use docache::ffi::*;

use crate::handles::{Echo, Store, count_up, lazy_options, message, options};
use crate::its_key;
use crate::own::{self, Told};

/// What never takes so long never happens.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fetches what another has the lock of, which needs the timer, and says so.
struct Hook {
    third: Echo,
    done: Sender<docache_status>,
}

unsafe extern "C-unwind" fn fetches_in_a_hook(ctx: usize, warning: *const docache_echo_warning) {
    // SAFETY: the test gives the address of one that outlives its cache.
    let hook = unsafe { &*(ctx as *const Hook) };
    // SAFETY: valid during the call.
    assert_eq!(unsafe { &*warning }.kind, DOCACHE_WARNING_LOCK_WAIT);
    let _ = hook.done.send(hook.third.fetch(b"key", Some(its_key), 0).0);
}

#[test]
fn a_warning_about_a_call_may_block() {
    let (store, short) =
        (Store::memory(), docache_echo_options { lock_wait_ns: 3_000_000, ..options() });
    let (done, is_done) = channel();
    let hook = Hook { third: Echo::memo(&store, &short, 0), done };
    let warns = docache_echo_options { on_warning: Some(fetches_in_a_hook), ..short };
    let first = Echo::memo(&store, &options(), 0);
    let second = Echo::memo(&store, &warns, std::ptr::from_ref(&hook) as usize);
    let (status, holder) = first.begin(b"key");
    assert_eq!(status, DOCACHE_LEADER);
    let (status, waiter) = second.begin(b"key");
    assert_eq!(status, DOCACHE_PENDING);
    assert_eq!(is_done.recv_timeout(PATIENCE), Ok(DOCACHE_OK));
    assert_eq!(waiter.poll_while(DOCACHE_PENDING).0, DOCACHE_LEADER);
    drop((waiter, holder));
}

/// As long as this is closed a hook does not return.
static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

unsafe extern "C-unwind" fn blocks_in_a_hook(counter: usize, _: *const docache_echo_warning) {
    // SAFETY: the test gives the address of a counter that outlives its cache.
    unsafe { count_up(counter) };
    let opened = GATE.0.lock().unwrap();
    drop(GATE.1.wait_while(opened, |opened| !*opened).unwrap());
}

#[test]
fn hooks_that_block_hold_up_no_other_cache() {
    const KEYS: [&[u8]; 8] = [b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8"];
    let store = Store::memory();
    let short = docache_echo_options { lock_wait_ns: 3_000_000, ..options() };
    let (holder, blocked) = (Echo::memo(&store, &options(), 0), AtomicUsize::new(0));
    let ctx = std::ptr::from_ref(&blocked) as usize;
    let warns = Echo::memo(
        &store,
        &docache_echo_options { on_warning: Some(blocks_in_a_hook), ..short },
        ctx,
    );
    let held: Vec<_> = KEYS.iter().map(|key| holder.begin(key)).collect();
    let stuck: Vec<_> = KEYS.iter().map(|key| warns.begin(key)).collect();
    assert!(held.iter().all(|(status, _)| *status == DOCACHE_LEADER));
    assert!(stuck.iter().all(|(status, _)| *status == DOCACHE_PENDING));
    let start = Instant::now();
    while blocked.load(Ordering::SeqCst) < 4 {
        assert!(start.elapsed() < PATIENCE, "they are polled");
        std::thread::yield_now();
    }
    let counted = AtomicUsize::new(0);
    let ctx = std::ptr::from_ref(&counted) as usize;
    let counts = docache_echo_options { on_warning: Some(counts_in_a_hook), ..short };
    let other = Echo::memo(&store, &counts, ctx);
    let (status, call) = other.begin(b"1");
    assert_eq!(status, DOCACHE_PENDING);
    let start = Instant::now();
    while call.poll().0 == DOCACHE_PENDING && start.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    let (came, warned) = (call.poll().0, counted.load(Ordering::SeqCst));
    *GATE.0.lock().unwrap() = true;
    GATE.1.notify_all();
    assert_eq!((came, warned), (DOCACHE_LEADER, 1));
    drop((call, stuck, held));
}

unsafe extern "C-unwind" fn counts_in_a_hook(counter: usize, _: *const docache_echo_warning) {
    // SAFETY: the test gives the address of a counter that outlives its cache.
    unsafe { count_up(counter) };
}

/// Who was told of a call, once he is.
static TOLD: Mutex<Option<ThreadId>> = Mutex::new(None);

unsafe extern "C-unwind" fn note_the_thread(_: usize) {
    *TOLD.lock().unwrap() = Some(std::thread::current().id());
}

#[test]
fn those_who_wait_are_told_before_the_work_has_been_finished() {
    let counted = AtomicUsize::new(0);
    let ctx = std::ptr::from_ref(&counted) as usize;
    let hooked = docache_echo_options { on_warning: Some(counts_in_a_hook), ..options() };
    let echo = Echo::memo(&Store::memory(), &hooked, ctx);
    let (leader, waiter) = (echo.begin(b"key").1, echo.begin(b"key").1);
    let function: docache_notify_fn = Some(note_the_thread);
    // SAFETY: all pointers are valid, or NULL.
    let armed = unsafe { docache_echo_call_on_ready(waiter.0, function, 0, null_mut()) };
    assert_eq!((armed, leader.finish(b"value")), (DOCACHE_PENDING, DOCACHE_OK));
    assert_eq!(*TOLD.lock().unwrap(), Some(std::thread::current().id()));
    assert_eq!(waiter.poll(), (DOCACHE_OK, Some(b"value".to_vec())));
}

#[test]
fn handles_are_null_whichever_place_is_refused() {
    let echo = Echo::memo(&Store::memory(), &options(), 0);
    let (mut value, mut call) = (without_provenance_mut(8), without_provenance_mut(8));
    let none = null_mut();
    // SAFETY: all pointers are valid, or NULL.
    let begun = unsafe {
        docache_echo_begin(
            echo.0,
            b"k".as_ptr(),
            1,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut call,
            none,
        )
    };
    assert_eq!((begun, call), (DOCACHE_INVALID_ARGUMENT, null_mut()));
    // SAFETY: as above.
    let begun = unsafe {
        docache_echo_begin(
            echo.0,
            b"k".as_ptr(),
            1,
            &raw mut value,
            null_mut(),
            null_mut(),
            null_mut(),
            none,
        )
    };
    assert_eq!((begun, value), (DOCACHE_INVALID_ARGUMENT, null_mut()));
    let (mut cache, mut call) = (null_mut(), without_provenance_mut(8));
    let none = null_mut();
    // SAFETY: as above.
    let made = unsafe { docache_cache_new(null(), None, 0, None, &raw mut cache, none) };
    assert_eq!(made, DOCACHE_OK);
    // SAFETY: as above.
    let begun = unsafe {
        docache_cache_fetch_begin(
            cache,
            b"k".as_ptr(),
            1,
            0,
            0,
            null_mut(),
            &raw mut call,
            null_mut(),
        )
    };
    assert_eq!((begun, call), (DOCACHE_INVALID_ARGUMENT, null_mut()));
    // SAFETY: freed once.
    unsafe { docache_cache_free(cache) };
}

#[test]
fn refreshes_that_still_run_when_their_time_is_over_are_an_error() {
    let told = Told::default();
    told.leaves.store(own::A_VALUE, Ordering::SeqCst);
    told.age_ns.store(2, Ordering::SeqCst);
    let options = docache_echo_lazy_options { refresh_after_ns: 1, ..lazy_options() };
    let echo = Echo::lazy(&own::store(&told), &options, None, 0);
    assert_eq!(echo.get(b"key", Some(its_key)).1, DOCACHE_FETCHED_STALE);
    let (status, call) = echo.refresh();
    assert_eq!(status, DOCACHE_LEADER);
    let (mut running, mut error) = (0, null_mut());
    // SAFETY: all pointers are valid, or NULL.
    let ended = unsafe {
        docache_echo_shutdown(echo.0, 0, null_mut(), null_mut(), &raw mut running, &raw mut error)
    };
    assert_eq!((ended, running), (DOCACHE_TIMEOUT, 1));
    assert!(message(error).contains("refreshes"));
    drop(call);
}
