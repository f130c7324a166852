//! Looking at calls: poll.

use std::rc::Rc;

use docache::ffi::*;

use super::model::Held;
use super::world::World;
use crate::abi::args::Pick;
use crate::abi::outcome::relay;
use crate::abi::place::{Given, Place};

/// A call as an argument, and the one that it is, if it is one.
pub(crate) fn target(world: &World, pick: Pick) -> (*mut docache_call, Option<Rc<Held>>) {
    let calls = world.calls.borrow();
    let held = pick.index(calls.len()).map(|index| calls[index].clone());
    (pick.handle(&calls, |held| held.handle), held)
}

pub(crate) fn poll(world: &World, pick: Pick, (value, shared, error): (Given, Given, Given)) {
    let (handle, held) = target(world, pick);
    poll_at(world, handle, held.as_ref(), (value, shared, error));
}

/// Polls a call that is there.
pub(crate) fn look(world: &World, held: &Rc<Held>) {
    poll_at(world, held.handle, Some(held), (Given::Valid, Given::Valid, Given::Valid));
}

fn poll_at(
    world: &World,
    handle: *mut docache_call,
    held: Option<&Rc<Held>>,
    (value, shared, error): (Given, Given, Given),
) {
    let (mut value, mut shared) = (Place::one(value), Place::<u32>::one(shared));
    let (value_place, shared_place) = (value.pointer(), shared.pointer());
    let polled = world.quietly(|| {
        // SAFETY: HANDLE: the table's, or counts as NULL; SPAN.
        relay("call_poll", error, |error| unsafe {
            docache_call_poll(handle, value_place, shared_place, error)
        })
    });
    let found = value.handle(polled.is_ok(), "call_poll");
    let others = shared.take(polled.is_ok() && shared.is_valid(), "call_poll");
    match held.filter(|_| value.is_valid() && shared.is_valid_option()) {
        None => polled.is(DOCACHE_INVALID_ARGUMENT),
        Some(held) => {
            if let Some(blob) = held.check(&polled, found, others) {
                world.take_share(blob);
            }
        }
    }
    world.keep(polled);
}
