//! Groups: new, free, forget, in_flight.

use std::ptr;
use std::rc::Rc;

use arbitrary::{Arbitrary, Result, Unstructured};
use docache::ffi::*;

use super::model::Group;
use super::{Key, World};
use crate::abi::args::Pick;
use crate::abi::options::{Memory, Size, Tail};
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place};
use crate::input::Rare;

/// The options of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    size: Size,
    shards: usize,
    reserved: (u32, u32),
    tail: Tail,
}

impl<'a> Arbitrary<'a> for Options {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Options> {
        let size = u.arbitrary()?;
        let shards = match u8::arbitrary(u)? {
            small @ 0..=239 => usize::from(small % 16),
            240..=247 => usize::from(u16::arbitrary(u)? % 512),
            248 => 1 << 16,
            249..=251 => (1 << 16) + 1,
            252..=255 => usize::MAX - usize::from(u8::arbitrary(u)?),
        };
        let mut rare = || Ok(if Rare::arbitrary(u)?.0 { u.arbitrary()? } else { 0 });
        let reserved = (rare()?, rare()?);
        Ok(Options { size, shards, reserved, tail: u.arbitrary()? })
    }
}

impl Options {
    fn give(self) -> (Memory, bool) {
        let size = self.size.of(size_of::<docache_group_options>());
        let (shards, (reserved, reserved2)) = (self.shards, self.reserved);
        let whole = docache_group_options { size, shards, reserved, reserved2 };
        let memory = Memory::new(&whole, size, self.tail);
        let acceptable = memory.fits && shards <= 1 << 16 && self.reserved == (0, 0);
        (memory, acceptable)
    }
}

pub(super) fn new(world: &World, options: Option<Options>, (out, error): (Given, Given)) {
    let given = options.map(Options::give);
    let pointer = given.as_ref().map_or(ptr::null(), |(memory, _)| memory.pointer());
    let acceptable = given.as_ref().is_none_or(|(_, acceptable)| *acceptable);
    let mut out = Place::one(out);
    // SAFETY: SPAN: the memory is as long as it says, or says what is refused.
    let made = call("group_new", error, |error| unsafe { docache_group_new(pointer, out.pointer(), error) });
    made.is_ok_if(acceptable && out.is_valid());
    if let Some(handle) = out.handle(made.is_ok(), "group_new") {
        world.groups.borrow_mut().push(Rc::new(Group::new(handle)));
    }
    world.keep(made);
}

pub(super) fn free(world: &World, pick: Pick) {
    let (handle, group) = world.group(pick);
    if let Some(group) = group {
        // It may be inside its own work, or a notification of its own run: that goes on.
        world.groups.borrow_mut().retain(|other| !Rc::ptr_eq(other, &group));
    }
    // SAFETY: HANDLE: the table's, which it has left, or counts as NULL.
    world.quietly(|| unsafe { docache_group_free(handle) });
}

pub(super) fn in_flight(world: &World, pick: Pick) {
    let (handle, group) = world.group(pick);
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let found = world.quietly(|| unsafe { docache_group_in_flight(handle) });
    assert_eq!(found, group.map_or(0, |group| group.in_flight()), "how many runs are under way");
}

pub(super) fn forget(world: &World, pick: Pick, key: Key, error: Given) {
    let (handle, group) = world.group(pick);
    let (start, len, key) = key.arguments();
    let forgotten = world.quietly(|| {
        // SAFETY: HANDLE: the table's, or counts as NULL; SPAN, or a length that is refused.
        call("group_forget", error, |error| unsafe { docache_group_forget(handle, start, len, error) })
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
