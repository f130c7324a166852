//! Loops: what is repeated, how soon, and how it ends.

use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::handles::*;
use docache::ffi::*;

#[test]
fn an_actor_is_repeated_whatever_it_fails_with_until_the_loop_is_stopped() {
    let (repeated, drops) = (Arc::new(Loop::new()), Arc::new(AtomicUsize::new(0)));
    let (inside, calls) = (Arc::downgrade(&repeated), AtomicUsize::new(0));
    let told = Arc::new(AtomicUsize::new(0));
    let tells = told.clone();
    let act = Act::new("counts", move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Came::Ok,
        1 => Came::Failed(5, "no"),
        2 => Came::Status(DOCACHE_PANIC),
        3 => panic!("unwinds, against its contract"),
        _ => {
            assert_eq!(inside.upgrade().unwrap().stop(), DOCACHE_OK);
            Came::Failed(6, "the last")
        }
    });
    repeated.add(act.counted(&drops).on_failure(move |_| {
        tells.fetch_add(1, Ordering::SeqCst);
    }));
    let ran = repeated.run();
    assert_eq!((ran.status, ran.report.cause().kind), (DOCACHE_OK, DOCACHE_RUN_STOPPED));
    assert_eq!((ran.report.failures(), told.load(Ordering::SeqCst)), (4, 4));
    let last = ("counts".into(), DOCACHE_DOER_FAILED, 6, "the last".into());
    assert_eq!(ran.report.errors(), [last]);
    assert_eq!(repeated.run().status, DOCACHE_CLOSED);
    drop(repeated);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_pause_ends_at_once_when_the_loop_is_stopped() {
    let repeated = Loop::new();
    let mut out = null_mut();
    // SAFETY: all pointers are valid.
    let made = unsafe { docache_run_loop_handle(repeated.0, &raw mut out, null_mut()) };
    assert_eq!(made, DOCACHE_OK);
    let (handle, calls) = (Handle(out), Arc::new(AtomicUsize::new(0)));
    let counts = calls.clone();
    let act = Act::new("pauses", move |_| {
        counts.fetch_add(1, Ordering::SeqCst);
        handle.stop();
        Came::Ok
    });
    let added = repeated.try_add_as(act, |act| act.pause_ns = u64::MAX);
    assert_eq!(added.0, DOCACHE_OK);
    assert_eq!(repeated.run().status, DOCACHE_OK);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn backoffs_and_limits_slow_failures_down() {
    let ms = 1_000_000;
    let backoff = docache_backoff {
        size: size_of::<docache_backoff>(),
        first_ns: 5 * ms,
        most_ns: 0,
        growth: DOCACHE_BACKOFF_CONSTANT,
        jitter: 0,
    };
    for limited in [false, true] {
        let repeated = Arc::new(Loop::new());
        let (inside, calls) = (Arc::downgrade(&repeated), AtomicUsize::new(0));
        let act = Act::new("fails", move |_| {
            if calls.fetch_add(1, Ordering::SeqCst) == 2 {
                inside.upgrade().unwrap().stop();
            }
            Came::Failed(1, "no")
        });
        let added = repeated.try_add_as(act, |act| {
            if limited {
                (act.failure_limit, act.failure_span_ns) = (1, 5 * ms);
            } else {
                act.backoff = &raw const backoff;
            }
        });
        assert_eq!(added, (DOCACHE_OK, String::new()));
        let start = Instant::now();
        assert_eq!(repeated.run().report.failures(), 3);
        assert!(start.elapsed() >= Duration::from_millis(10));
    }
}

#[test]
fn a_loop_without_actors_waits_to_be_stopped() {
    let repeated = Loop::new();
    let address = repeated.0 as usize;
    let stopping = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(2));
        std::mem::ManuallyDrop::new(Loop(address as *mut docache_run_loop)).stop()
    });
    assert_eq!(repeated.run().status, DOCACHE_OK);
    assert_eq!(stopping.join().unwrap(), DOCACHE_OK);
}
