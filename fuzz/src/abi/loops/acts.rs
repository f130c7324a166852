//! How a Doer does with its own loop what its script says: none of it may block.

use std::sync::atomic::Ordering;

use docache::ffi::*;

use super::inside::Inside;
use super::plan::Plan;
use crate::abi::args::Timeout;
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place};
use crate::abi::shutdown::shutdown;

/// Does it, in the call of this number.
pub(crate) fn act(inside: Inside, plan: &Plan, handle: *mut docache_loop, sequence: u64) {
    match inside {
        Inside::Nothing => {}
        Inside::Shutdown => shutdown(),
        Inside::Look => look(handle, sequence),
        Inside::Stop(timeout) => stop(handle, timeout),
        Inside::Start => start(plan, handle),
        Inside::StopAndStart => {
            stop(handle, Timeout::Look);
            start(plan, handle);
        }
        Inside::Run => {
            // SAFETY: HANDLE: freed only when the Doer leaves it alone.
            call("run inside", Given::Valid, |error| unsafe { docache_loop_run(handle, error) })
                .is(DOCACHE_BUSY);
        }
        Inside::Refresh(timeout) => refresh(plan, handle, timeout),
        Inside::WaitFirst(timeout) => wait_first(plan, handle, sequence, timeout),
        Inside::Changed(timeout) => changed(handle, sequence, timeout),
        Inside::Begin => begin(plan, handle, sequence),
    }
}

/// Everything before this call is there to be seen, and nothing else.
fn look(handle: *mut docache_loop, sequence: u64) {
    // SAFETY: HANDLE: freed only when the Doer leaves it alone.
    assert!(unsafe { docache_loop_is_running(handle) });
    // SAFETY: as above.
    assert_eq!(unsafe { docache_loop_version(handle) }, sequence - 1);
    // SAFETY: all-zero is a valid value of every field.
    let mut stats: docache_loop_counters = unsafe { std::mem::zeroed() };
    stats.size = size_of::<docache_loop_counters>();
    let stats_place = &raw mut stats;
    // SAFETY: HANDLE as above; SPAN.
    call("stats inside", Given::Valid, |error| unsafe {
        docache_loop_stats(handle, stats_place, error)
    })
    .is(DOCACHE_OK);
    assert_eq!((stats.calls, stats.running), (sequence - 1, 1));
}

/// From inside it only asks, and says so at once.
fn stop(handle: *mut docache_loop, timeout: Timeout) {
    let ns = timeout.ns(true);
    // SAFETY: HANDLE: freed only when the Doer leaves it alone.
    call("stop inside", Given::Valid, |error| unsafe { docache_loop_stop(handle, ns, error) })
        .is(DOCACHE_OK);
}

fn start(plan: &Plan, handle: *mut docache_loop) {
    plan.allow(1);
    // SAFETY: HANDLE: freed only when the Doer leaves it alone.
    call("start inside", Given::Valid, |error| unsafe { docache_loop_start(handle, error) })
        .is(DOCACHE_OK);
}

/// The request is made, but waiting for it is refused.
fn refresh(plan: &Plan, handle: *mut docache_loop, timeout: Timeout) {
    plan.allow(1);
    let ns = timeout.ns(true);
    let mut version = Place::one(Given::Valid);
    // SAFETY: HANDLE: freed only when the Doer leaves it alone; SPAN.
    let refreshed = call("refresh inside", Given::Valid, |error| unsafe {
        docache_loop_refresh(handle, ns, version.pointer(), error)
    });
    refreshed.is_one_of(&[DOCACHE_REENTRANT, DOCACHE_CLOSED]);
    version.take(false, "refresh inside");
}

fn wait_first(plan: &Plan, handle: *mut docache_loop, sequence: u64, timeout: Timeout) {
    let there = (1..sequence).any(|earlier| plan.script.shown(earlier).is_value());
    let ns = timeout.ns(true);
    // SAFETY: HANDLE: freed only when the Doer leaves it alone.
    let waited = call("wait_first inside", Given::Valid, |error| unsafe {
        docache_loop_wait_first(handle, ns, error)
    });
    waited.is(if there { DOCACHE_OK } else { DOCACHE_REENTRANT });
}

fn changed(handle: *mut docache_loop, sequence: u64, timeout: Timeout) {
    let ns = timeout.ns(true);
    for since in [sequence.saturating_sub(2), sequence - 1, u64::MAX] {
        let mut version = Place::one(Given::Valid);
        // SAFETY: HANDLE: freed only when the Doer leaves it alone; SPAN.
        let waited = call("changed inside", Given::Valid, |error| unsafe {
            docache_loop_changed(handle, since, ns, version.pointer(), error)
        });
        let there = since < sequence - 1;
        waited.is(if there { DOCACHE_OK } else { DOCACHE_REENTRANT });
        assert_eq!(version.take(there, "changed inside"), there.then_some(sequence - 1));
    }
}

/// Waits without a thread are allowed inside; here they are given up at once.
fn begin(plan: &Plan, handle: *mut docache_loop, sequence: u64) {
    plan.allow(1);
    type Begin = unsafe extern "C" fn(
        *const docache_loop,
        *mut *mut docache_wait,
        *mut *mut docache_error,
    ) -> docache_status;
    let there = (1..sequence).any(|earlier| plan.script.shown(earlier).is_value());
    let first = if there { DOCACHE_OK } else { DOCACHE_PENDING };
    let all: [(Begin, &[docache_status]); 3] = [
        (docache_loop_wait_first_begin, &[first]),
        // CLOSED if somebody has asked the run to stop.
        (docache_loop_refresh_begin, &[DOCACHE_PENDING, DOCACHE_CLOSED]),
        (docache_loop_stop_begin, &[DOCACHE_PENDING]),
    ];
    for (begin, expected) in all {
        let mut wait = Place::one(Given::Valid);
        // SAFETY: HANDLE: freed only when the Doer leaves it alone; SPAN.
        let begun = call("begin inside", Given::Valid, |error| unsafe {
            begin(handle, wait.pointer(), error)
        });
        begun.is_one_of(expected);
        if let Some(wait) = wait.handle(begun.status == DOCACHE_PENDING, "begin inside") {
            // SAFETY: HANDLE: it was just made, and is used nowhere else.
            unsafe { docache_wait_free(wait) };
        }
    }
    assert_eq!(
        plan.calls.load(Ordering::SeqCst),
        sequence,
        "nobody else called the Doer meanwhile"
    );
}
