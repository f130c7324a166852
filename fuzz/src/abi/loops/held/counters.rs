//! The counters of a loop, and what a loop at rest must show.

use docache::ffi::*;

use super::errors::check_shown;
use crate::abi::loops::plan::Plan;
use crate::abi::loops::script::Shown;
use crate::abi::outcome::{Outcome, call};
use crate::abi::place::{Given, Place, Places};

/// Reads the counters into a struct that claims to be of this size.
pub(crate) fn read_stats(
    handle: *const docache_loop,
    size: usize,
    (out, error): (Given, Given),
) -> (Option<docache_loop_counters>, Outcome) {
    const OURS: usize = size_of::<docache_loop_counters>();
    let words = size.max(size_of::<usize>()).div_ceil(8);
    let mut place = Places::<usize>::many(out, words);
    let valid = place.is_valid();
    if valid {
        // SAFETY: SPAN: there is one place at least.
        unsafe { place.pointer().write(size) };
    }
    // SAFETY: HANDLE; SPAN: the place is as large as it says.
    let read = call("loop_stats", error, |error| unsafe {
        docache_loop_stats(handle, place.pointer().cast(), error)
    });
    assert_eq!(valid.then(|| place.get(0)), valid.then_some(size), "the size stays as it is");
    assert!(
        place.untouched_from(if read.is_ok() { size.div_ceil(8) } else { 1 }),
        "wrote too much"
    );
    if !read.is_ok() {
        return (None, read);
    }
    let zeros = (OURS / 8..size / 8).all(|index| place.get(index) == 0);
    assert!(zeros, "what the library does not know becomes zero");
    // SAFETY: all of it was written, and any bytes make a value.
    (Some(unsafe { place.pointer().cast::<docache_loop_counters>().read() }), read)
}

/// A loop at rest has exactly what its calls left there.
pub(crate) fn check_at_rest(handle: *const docache_loop, plan: &Plan, version: u64) {
    let shown: Vec<_> = (1..=version).map(|sequence| plan.script.shown(sequence)).collect();
    let failures: Vec<_> = shown.iter().filter(|shown| !shown.is_value()).collect();
    let panics =
        failures.iter().filter(|shown| matches!(shown, Shown::Error { status: DOCACHE_PANIC, .. }));
    let (stats, _) =
        read_stats(handle, size_of::<docache_loop_counters>(), (Given::Valid, Given::Valid));
    let found = stats.expect("it has a place");
    assert_eq!((found.calls, found.running, found.reserved), (version, 0, 0), "a loop at rest");
    assert_eq!(found.failures, failures.len() as u64);
    assert_eq!(found.panics, panics.count() as u64);
    let consecutive = shown.iter().rev().take_while(|shown| !shown.is_value()).count();
    assert_eq!(found.consecutive_failures, consecutive as u64);
    assert_eq!(found.skipped_ticks, 0, "the interval is longer than any call");
    let mut error = Place::one(Given::Valid);
    // SAFETY: HANDLE, SPAN.
    let last = call("loop_last_error", Given::Valid, |out| unsafe {
        docache_loop_last_error(handle, error.pointer(), out)
    });
    last.is(if failures.is_empty() { DOCACHE_MISS } else { DOCACHE_OK });
    if let (Some(error), Some(expected)) =
        (error.handle(last.is_ok(), "loop_last_error"), failures.last())
    {
        // SAFETY: HANDLE: a share that was handed out.
        unsafe { check_shown(error, expected) };
        // SAFETY: as above.
        unsafe { docache_error_release(error) };
    }
}
