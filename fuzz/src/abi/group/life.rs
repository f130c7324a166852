//! Groups: new, free, forget, in_flight.

use std::ptr;
use std::rc::Rc;

use docache::ffi::*;

use super::model::Group;
use super::options::Options;
use super::script::Key;
use super::world::World;
use crate::abi::args::Pick;
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place};

pub(crate) fn new(world: &World, options: Option<Options>, (out, error): (Given, Given)) {
    let given = options.map(Options::give);
    let pointer = given.as_ref().map_or(ptr::null(), |(memory, _)| memory.pointer());
    let acceptable = given.as_ref().is_none_or(|(_, acceptable)| *acceptable);
    let mut out = Place::one(out);
    // SAFETY: SPAN: the memory is as long as it says, or says what is refused.
    let made = call("group_new", error, |error| unsafe {
        docache_group_new(pointer, out.pointer(), error)
    });
    made.is_ok_if(acceptable && out.is_valid());
    if let Some(handle) = out.handle(made.is_ok(), "group_new") {
        world.groups.borrow_mut().push(Rc::new(Group::new(handle)));
    }
    world.keep(made);
}

pub(crate) fn free(world: &World, pick: Pick) {
    let (handle, group) = world.group(pick);
    if let Some(group) = group {
        // It may be inside its own work, or a notification of its own run: that goes on.
        world.groups.borrow_mut().retain(|other| !Rc::ptr_eq(other, &group));
    }
    // SAFETY: HANDLE: the table's, which it has left, or counts as NULL.
    world.quietly(|| unsafe { docache_group_free(handle) });
}

pub(crate) fn in_flight(world: &World, pick: Pick) {
    let (handle, group) = world.group(pick);
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let found = world.quietly(|| unsafe { docache_group_in_flight(handle) });
    assert_eq!(found, group.map_or(0, |group| group.in_flight()), "how many runs are under way");
}

pub(crate) fn forget(world: &World, pick: Pick, key: Key, error: Given) {
    let (handle, group) = world.group(pick);
    let (start, len, key) = key.arguments();
    let forgotten = world.quietly(|| {
        // SAFETY: HANDLE: the table's, or counts as NULL; SPAN, or a length that is refused.
        call("group_forget", error, |error| unsafe {
            docache_group_forget(handle, start, len, error)
        })
    });
    match group.zip(key).map(|(group, key)| group.find(key)) {
        None => forgotten.is(DOCACHE_INVALID_ARGUMENT),
        Some(None) => forgotten.is(DOCACHE_MISS),
        Some(Some(flight)) => {
            forgotten.is(DOCACHE_OK);
            flight.open.set(false);
        }
    }
    world.keep(forgotten);
}
