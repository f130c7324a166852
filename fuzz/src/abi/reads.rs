//! Family `loop`: reading.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::Arbitrary;
use docache::ffi::*;

use super::World;
use super::args::Pick;
use super::errors::check_shown;
use super::loops::{Held, Running};
use super::options::LARGEST;
use super::outcome::{Outcome, call};
use super::place::{Given, Place, Places};
use super::script::{Plan, Shown};
use super::values::{self, bytes_of};

/// A call of the family.
#[derive(Arbitrary, Clone, Debug)]
pub(super) enum ReadOp {
    IsRunning(Pick),
    Version(Pick),
    Stats { pick: Pick, size: u8, out: Given, error: Given },
    LastError { pick: Pick, out: Given, error: Given },
    Latest { pick: Pick, out: Given, entry: Given, error: Given },
    LatestCopy { pick: Pick, buffer: Buffer, len: Given, entry: Given, error: Given },
}

/// Where a value is to be copied.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Buffer {
    Roomy,
    OfLength(u8),
    Null { claim: bool },
}

impl ReadOp {
    pub(super) fn apply(self, world: &mut World) {
        match self {
            ReadOp::IsRunning(pick) => is_running(world, pick),
            ReadOp::Version(pick) => version(world, pick),
            ReadOp::Stats { pick, size, out, error } => stats(world, pick, size, (out, error)),
            ReadOp::LastError { pick, out, error } => last_error(world, pick, out, error),
            ReadOp::Latest { pick, out, entry, error } => latest(world, pick, out, (entry, error)),
            ReadOp::LatestCopy { pick, buffer, len, entry, error } => {
                latest_copy(world, pick, buffer, (len, entry, error));
            }
        }
    }
}

/// A loop at rest has exactly what its calls left there.
pub(super) fn check_at_rest(held: &Held) {
    let version = held.seen;
    let shown: Vec<_> = (1..=version).map(|sequence| held.plan.script.shown(sequence)).collect();
    let failures: Vec<_> = shown.iter().filter(|shown| !shown.is_value()).collect();
    let panics = failures.iter().filter(|shown| matches!(shown, Shown::Error { status: DOCACHE_PANIC, .. }));
    let (stats, _) =
        read_stats(held.handle, size_of::<docache_loop_counters>(), (Given::Valid, Given::Valid));
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
        docache_loop_last_error(held.handle, error.pointer(), out)
    });
    last.is(if failures.is_empty() { DOCACHE_MISS } else { DOCACHE_OK });
    if let (Some(error), Some(expected)) = (error.handle(last.is_ok(), "loop_last_error"), failures.last()) {
        // SAFETY: HANDLE: a share that was handed out.
        unsafe { check_shown(error, expected) };
        // SAFETY: as above.
        unsafe { docache_error_release(error) };
    }
}

/// Checks an entry against what the Doer's call must have left; `borrowed`: with its value or error.
///
/// # Safety
/// HANDLE for the entry's value or error.
pub(super) unsafe fn check_entry(plan: &Plan, entry: &docache_entry, borrowed: bool) {
    let shown = plan.script.shown(entry.sequence);
    assert_eq!(entry.reserved, 0);
    match &shown {
        Shown::Value(bytes) => {
            assert!(entry.error.is_null() && entry.status == DOCACHE_OK, "{entry:?}, not {shown:?}");
            assert_eq!(entry.value.is_null(), !borrowed);
            // SAFETY: HANDLE.
            assert!(!borrowed || unsafe { bytes_of(entry.value) } == bytes, "the value of {entry:?}");
        }
        Shown::Error { status, .. } => {
            assert!(entry.value.is_null() && entry.status == *status, "{entry:?}, not {shown:?}");
            // SAFETY: HANDLE.
            unsafe { check_shown(entry.error, &shown) };
        }
    }
}

fn is_running(world: &World, pick: Pick) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let running = unsafe { docache_loop_is_running(handle) };
    let expected = pick.index(world.loops.len()).map_or(Running::No, |index| world.loops[index].running());
    match expected {
        Running::No => assert!(!running, "a loop at rest is not running"),
        Running::Yes => assert!(running, "nobody has stopped the loop"),
        Running::Stopping | Running::Maybe => {}
    }
}

fn version(world: &mut World, pick: Pick) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let version = unsafe { docache_loop_version(handle) };
    // SAFETY: as above.
    let word = unsafe { docache_loop_version_word(handle) };
    let Some(index) = pick.index(world.loops.len()) else {
        assert_eq!((version, word), (0, ptr::null()));
        return;
    };
    let held = &mut world.loops[index];
    held.saw(version);
    // SAFETY: the word is valid until the loop is freed, and only ever accessed atomically.
    held.saw(unsafe { AtomicU64::from_ptr(word.cast_mut()) }.load(Ordering::Acquire));
}

fn read_stats(
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
    assert!(place.untouched_from(if read.is_ok() { size.div_ceil(8) } else { 1 }), "wrote too much");
    if !read.is_ok() {
        return (None, read);
    }
    let zeros = (OURS / 8..size / 8).all(|index| place.get(index) == 0);
    assert!(zeros, "what the library does not know becomes zero");
    // SAFETY: all of it was written, and any bytes make a value.
    (Some(unsafe { place.pointer().cast::<docache_loop_counters>().read() }), read)
}

fn stats(world: &mut World, pick: Pick, size: u8, (out, error): (Given, Given)) {
    // The real size, or any other.
    let ours = size_of::<docache_loop_counters>();
    let size = match size {
        0..128 => ours,
        128..=247 => usize::from(size - 120),
        248..=255 => LARGEST - 250 + usize::from(size),
    };
    let fits = (ours..=LARGEST).contains(&size);
    let handle = pick.handle(&world.loops, |held| held.handle);
    let (found, read) = read_stats(handle, size, (out, error));
    let held = pick.index(world.loops.len()).map(|index| &world.loops[index]);
    read.is_ok_if(held.is_some() && out == Given::Valid && fits);
    if let (Some(found), Some(held)) = (found, held) {
        assert!(found.calls <= held.allowed() && found.calls + 1 >= held.seen, "{found:?}");
        assert!(found.failures <= found.calls && found.panics <= found.failures, "{found:?}");
        assert!(found.consecutive_failures <= found.failures, "{found:?}");
        assert!(found.last_lateness_ns <= found.max_lateness_ns, "{found:?}");
        match held.running() {
            Running::No => assert_eq!((found.calls, found.running), (held.seen, 0)),
            Running::Yes => assert_eq!(found.running, 1),
            Running::Stopping | Running::Maybe => assert!(found.running <= 1),
        }
    }
    world.keep(read);
}

fn last_error(world: &mut World, pick: Pick, out: Given, error: Given) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    let mut out = Place::one(out);
    // SAFETY: HANDLE: the table's, or counts as NULL; SPAN.
    let read = call("loop_last_error", error, |error| unsafe {
        docache_loop_last_error(handle, out.pointer(), error)
    });
    let held = pick.index(world.loops.len()).map(|index| &world.loops[index]);
    let Some(held) = held.filter(|_| out.is_valid()) else {
        read.is(DOCACHE_INVALID_ARGUMENT);
        return world.keep(read);
    };
    read.is_one_of(&[DOCACHE_OK, DOCACHE_MISS]);
    if let Some(error) = out.handle(read.is_ok(), "loop_last_error") {
        let failure = super::outcome::Failure(error);
        let message = failure.message();
        let known = (1..=held.allowed()).any(|sequence| {
            matches!(held.plan.script.shown(sequence), Shown::Error { message: expected, .. } if expected == message)
        });
        assert!(known, "an error that no call has made: {message}");
        world.errors.push(super::errors::Held::new(failure));
    }
}

/// Checks which success is the last: at least as late as the last one known, and no later than any call.
fn check_latest(held: &mut Held, sequence: u64) {
    assert!(sequence >= 1 && sequence <= held.allowed(), "a success of the future: {sequence}");
    assert!(!held.success_in(sequence + 1, held.seen), "{sequence} is not the last success");
    held.saw(held.seen.max(sequence));
}

fn latest(world: &mut World, pick: Pick, out: Given, (entry, error): (Given, Given)) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    let (mut out, mut entry) = (Place::one(out), Place::one(entry));
    let acceptable = out.is_valid() && entry.is_valid_option();
    // SAFETY: HANDLE: the table's, or counts as NULL; SPAN.
    let read = call("loop_latest", error, |error| unsafe {
        docache_loop_latest(handle, out.pointer(), entry.pointer(), error)
    });
    let held = pick.index(world.loops.len()).filter(|_| acceptable).map(|index| &mut world.loops[index]);
    let value = out.handle(read.is_ok(), "loop_latest");
    let entry = entry.take(read.is_ok() && entry.is_valid(), "loop_latest");
    match held {
        None => read.is(DOCACHE_INVALID_ARGUMENT),
        Some(held) if held.has_success() => read.is(DOCACHE_OK),
        Some(_) => read.is_one_of(&[DOCACHE_OK, DOCACHE_MISS]),
    }
    if let (Some(value), Some(index)) = (value, pick.index(world.loops.len())) {
        let held = &mut world.loops[index];
        // SAFETY: HANDLE: a share that was handed out.
        let bytes = unsafe { bytes_of(value) }.to_vec();
        world.values.push(values::Held::new(value, bytes));
        if let Some(entry) = entry {
            check_latest(held, entry.sequence);
            assert_eq!(entry.value, value.cast_const());
            // SAFETY: HANDLE: the value's share is held.
            unsafe { check_entry(&held.plan, &entry, true) };
        }
    }
    world.keep(read);
}

fn latest_copy(world: &mut World, pick: Pick, buffer: Buffer, (len, entry, error): (Given, Given, Given)) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    let (mut len, mut entry) = (Place::one(len), Place::one(entry));
    let (mut room, null) = match buffer {
        Buffer::Roomy => (vec![0_u8; 256], false),
        Buffer::OfLength(length) => (vec![0_u8; usize::from(length)], false),
        Buffer::Null { claim } => (vec![0_u8; usize::from(claim)], true),
    };
    let start = if null { ptr::null_mut() } else { room.as_mut_ptr() };
    let acceptable = len.is_valid() && entry.is_valid_option();
    let acceptable = acceptable && (!null || room.is_empty());
    // SAFETY: HANDLE: the table's, or counts as NULL; SPAN, or NULL, which is refused.
    let read = call("loop_latest_copy", error, |error| unsafe {
        docache_loop_latest_copy(handle, start, room.len(), len.pointer(), entry.pointer(), error)
    });
    let entry = entry.take(read.is_ok() && entry.is_valid(), "loop_latest_copy");
    let written = len.take(matches!(read.status, DOCACHE_OK | DOCACHE_BUFFER_TOO_SMALL), "loop_latest_copy");
    match pick.index(world.loops.len()).filter(|_| acceptable).map(|index| &mut world.loops[index]) {
        None => read.is(DOCACHE_INVALID_ARGUMENT),
        Some(held) => {
            let miss = if held.has_success() { DOCACHE_OK } else { DOCACHE_MISS };
            read.is_one_of(&[DOCACHE_OK, DOCACHE_BUFFER_TOO_SMALL, miss]);
            let written = written.unwrap_or_default();
            assert_eq!(written > room.len(), read.status == DOCACHE_BUFFER_TOO_SMALL);
            if let Some(entry) = entry {
                check_latest(held, entry.sequence);
                // SAFETY: HANDLE: its pointers are NULL.
                unsafe { check_entry(&held.plan, &entry, false) };
                let expected = Shown::Value(room[..written].to_vec());
                assert_eq!(held.plan.script.shown(entry.sequence), expected, "the copy of a value");
            }
        }
    }
    world.keep(read);
}
