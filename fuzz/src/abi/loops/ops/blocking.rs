//! Family `loop`: waiting on the calling thread.

use docache::ffi::*;

use crate::abi::args::{Pick, Timeout};
use crate::abi::loops::held::loops::Running;
use crate::abi::loops::world::World;
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place};

pub(crate) fn first(world: &mut World, pick: Pick, timeout: Timeout, error: Given) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    let held = pick.index(world.loops.len()).map(|index| &world.loops[index]);
    let there = held.is_some_and(|held| held.has_success());
    let ns = timeout.ns(there || held.is_none());
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let waited = call("loop_wait_first", error, |error| unsafe {
        docache_loop_wait_first(handle, ns, error)
    });
    match held {
        None => waited.is(DOCACHE_INVALID_ARGUMENT),
        Some(_) if there => waited.is(DOCACHE_OK),
        Some(held) if held.success_in(1, held.allowed()) => {
            waited.is_one_of(&[DOCACHE_OK, DOCACHE_TIMEOUT])
        }
        Some(_) => waited.is(DOCACHE_TIMEOUT),
    }
    world.keep(waited);
}

pub(crate) fn changed(
    world: &mut World,
    pick: Pick,
    since: u8,
    timeout: Timeout,
    (out, error): (Given, Given),
) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    let since = if since == u8::MAX { u64::MAX } else { u64::from(since % 16) };
    let mut out = Place::one(out);
    let held = pick
        .index(world.loops.len())
        .filter(|_| out.is_valid())
        .map(|index| &mut world.loops[index]);
    let there = held.as_ref().is_some_and(|held| held.seen > since);
    let ns = timeout.ns(there || held.is_none());
    // SAFETY: HANDLE: the table's, or counts as NULL; SPAN.
    let waited = call("loop_changed", error, |error| unsafe {
        docache_loop_changed(handle, since, ns, out.pointer(), error)
    });
    let version = out.take(waited.is_ok(), "loop_changed");
    match held {
        None => waited.is(DOCACHE_INVALID_ARGUMENT),
        Some(held) => {
            let later = if there { DOCACHE_OK } else { DOCACHE_TIMEOUT };
            waited.is_one_of(&[DOCACHE_OK, later]);
            if let Some(version) = version {
                assert!(version > since);
                held.saw(version);
            }
        }
    }
    world.keep(waited);
}

pub(crate) fn refresh(
    world: &mut World,
    pick: Pick,
    timeout: Timeout,
    (out, error): (Given, Given),
) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    let mut out = Place::one(out);
    let held = pick
        .index(world.loops.len())
        .filter(|_| out.is_valid())
        .map(|index| &mut world.loops[index]);
    let before = held.as_ref().map_or(Running::No, |held| held.running());
    if let Some(held) = held.as_ref().filter(|_| matches!(before, Running::Yes | Running::Maybe)) {
        held.plan.allow(1);
    }
    // Whatever becomes of the run, a refresh of it ends.
    let ns = timeout.ns(true);
    // SAFETY: HANDLE: the table's, or counts as NULL; SPAN.
    let refreshed = call("loop_refresh", error, |error| unsafe {
        docache_loop_refresh(handle, ns, out.pointer(), error)
    });
    let version = out.take(refreshed.is_ok(), "loop_refresh");
    match held {
        None => refreshed.is(DOCACHE_INVALID_ARGUMENT),
        Some(held) => {
            let late = if timeout.is_short() { DOCACHE_TIMEOUT } else { DOCACHE_OK };
            match (before, held.running()) {
                (Running::No | Running::Stopping, _) => refreshed.is(DOCACHE_CLOSED),
                // The call asked for may be the one that stops the loop, but it comes.
                (Running::Yes, Running::Yes) => refreshed.is_one_of(&[DOCACHE_OK, late]),
                (Running::Yes | Running::Maybe, _) => {
                    refreshed.is_one_of(&[DOCACHE_OK, DOCACHE_CLOSED, late]);
                }
            }
            if let Some(version) = version {
                assert!(version > held.seen, "a refresh comes to a new result");
                held.saw(version);
            }
        }
    }
    world.keep(refreshed);
}
