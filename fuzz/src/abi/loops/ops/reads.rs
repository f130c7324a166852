//! Family `loop`: reading.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::Arbitrary;
use docache::ffi::*;

use crate::abi::args::Pick;
use crate::abi::loops::held::counters::read_stats;
use crate::abi::loops::held::entries::check_entry;
use crate::abi::loops::held::loops::{Held, Running};
use crate::abi::loops::held::{errors, values};
use crate::abi::loops::script::Shown;
use crate::abi::loops::world::World;
use crate::abi::memory::LARGEST;
use crate::abi::outcome::{Failure, bytes_of, call};
use crate::abi::place::{Given, Place};

/// A call of the family.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum ReadOp {
    IsRunning(Pick),
    Version(Pick),
    Stats { pick: Pick, size: u8, out: Given, error: Given },
    LastError { pick: Pick, out: Given, error: Given },
    Latest { pick: Pick, out: Given, entry: Given, error: Given },
    LatestCopy { pick: Pick, buffer: Buffer, len: Given, entry: Given, error: Given },
}

/// Where a value is to be copied.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Buffer {
    Roomy,
    OfLength(u8),
    Null { claim: bool },
}

impl ReadOp {
    pub(crate) fn apply(self, world: &mut World) {
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

fn is_running(world: &World, pick: Pick) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let running = unsafe { docache_loop_is_running(handle) };
    let expected =
        pick.index(world.loops.len()).map_or(Running::No, |index| world.loops[index].running());
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
        let failure = Failure(error);
        let message = failure.message();
        let known = (1..=held.allowed()).any(|sequence| {
            matches!(held.plan.script.shown(sequence), Shown::Error { message: expected, .. } if expected == message)
        });
        assert!(known, "an error that no call has made: {message}");
        world.errors.push(errors::Held::new(failure));
    }
}

/// Checks which success is the last: at least as late as the last one known, and no later than any
/// call.
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
    let held =
        pick.index(world.loops.len()).filter(|_| acceptable).map(|index| &mut world.loops[index]);
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

fn latest_copy(
    world: &mut World,
    pick: Pick,
    buffer: Buffer,
    (len, entry, error): (Given, Given, Given),
) {
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
    let written =
        len.take(matches!(read.status, DOCACHE_OK | DOCACHE_BUFFER_TOO_SMALL), "loop_latest_copy");
    match pick.index(world.loops.len()).filter(|_| acceptable).map(|index| &mut world.loops[index])
    {
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
