//! Calls that do not block.

use std::cell::Cell;
use std::ptr::null_mut;
use std::rc::Rc;

use docache::ffi::*;

use super::model::{Armed, Came, Held, Stage};
use super::script::{Callback, Key};
use super::world::World;

unsafe extern "C-unwind" fn notify(held: usize) {
    // SAFETY: the world keeps every call's record to the end.
    let held = unsafe { &*(held as *const Held) };
    held.told.set(held.told.get() + 1);
    // SAFETY: the world outlives the calls.
    unsafe { &*(held.world as *const World) }.called(Callback::Notify);
}

pub(crate) fn begin(world: &World, key: Key, owner: u64) {
    let (start, len, key) = key.arguments();
    let (mut value, mut call) = (null_mut(), null_mut());
    let places = (&raw mut value, &raw mut call);
    // SAFETY: HANDLE; SPAN, or what is refused.
    let status = unsafe {
        docache_cache_fetch_begin(
            world.cache.get(),
            start,
            len,
            0,
            owner,
            places.0,
            places.1,
            null_mut(),
        )
    };
    let model = world.model.borrow_mut();
    let kept = key.and_then(|key| model.values.get(&key).copied());
    let joined = key.and_then(|key| model.joined(key));
    let expected = match (key, kept, joined) {
        (None, _, _) => DOCACHE_INVALID_ARGUMENT,
        (_, Some(_), _) => DOCACHE_OK,
        (_, _, Some((_, flight))) => match &flight.leader {
            None => DOCACHE_REENTRANT,
            Some(leader) if owner != 0 && leader.owner == owner => DOCACHE_REENTRANT,
            Some(_) => DOCACHE_PENDING,
        },
        (Some(key), None, None) => model.found(key).map_or(DOCACHE_LEADER, Came::status),
    };
    let run = joined.map(|(run, _)| run);
    drop(model);
    assert_eq!(status, expected);
    world.check_value(value, kept);
    let made = matches!(status, DOCACHE_LEADER | DOCACHE_PENDING);
    assert_eq!(call.is_null(), !made);
    if let Some(key) = key.filter(|_| made) {
        let joined = status == DOCACHE_PENDING;
        let stage = Cell::new(if joined { Stage::Waits } else { Stage::Leads });
        let (armed, told) = (Cell::new(Armed::No), Cell::new(0));
        let mut model = world.model.borrow_mut();
        let run = if joined { run.expect("it waits for one") } else { model.start(key) };
        let world_at = std::ptr::from_ref(world) as usize;
        let held =
            Rc::new(Held { world: world_at, handle: call, run, owner, joined, stage, armed, told });
        model.join(&held);
        if !joined {
            assert_eq!(model.take_lead(run), None);
        }
        world.calls.borrow_mut().push(held.clone());
        world.records.borrow_mut().push(held);
    }
}

pub(crate) fn finish(world: &World, held: &Rc<Held>, came: Came, ends: bool) {
    let value = if let Came::Value(value) = came { world.new_value(value) } else { null_mut() };
    let function = if ends { docache_call_end } else { docache_call_finish };
    // SAFETY: HANDLE: the table's.
    let status =
        unsafe { function(held.handle, came.status(), value, null_mut(), null_mut(), null_mut()) };
    // SAFETY: the share is ours.
    unsafe { docache_value_release(value) };
    let mut model = world.model.borrow_mut();
    let leads = held.stage.get() == Stage::Leads && model.flights[&held.run].loads;
    assert_eq!(status, if leads { DOCACHE_OK } else { DOCACHE_INVALID_ARGUMENT });
    if leads {
        model.finish(held.run, came);
        if ends {
            world.calls.borrow_mut().retain(|other| !Rc::ptr_eq(other, held));
        }
    }
}

pub(crate) fn on_ready(held: &Rc<Held>) {
    let token = Rc::as_ptr(held) as usize;
    // SAFETY: HANDLE: the table's; CALLBACK: the records keep it.
    let status = unsafe { docache_call_on_ready(held.handle, Some(notify), token, null_mut()) };
    let expected = match held.stage.get() {
        _ if !held.joined || held.armed.get() != Armed::No => DOCACHE_INVALID_ARGUMENT,
        Stage::Waits => DOCACHE_PENDING,
        Stage::Leads | Stage::Over(_) => DOCACHE_OK,
    };
    assert_eq!(status, expected);
    if status == DOCACHE_PENDING {
        held.armed.set(Armed::Yes);
    }
}

pub(crate) fn cancel(held: &Rc<Held>) {
    // SAFETY: HANDLE: the table's.
    let status = unsafe { docache_call_cancel(held.handle) };
    if held.armed.get() == Armed::Fired {
        assert_eq!(status, DOCACHE_PENDING);
    } else {
        assert_eq!(status, DOCACHE_OK);
        held.armed.set(Armed::No);
    }
}

pub(crate) fn poll(world: &World, held: &Rc<Held>) {
    let mut value = null_mut();
    // SAFETY: HANDLE: the table's.
    let status = unsafe { docache_call_poll(held.handle, &raw mut value, null_mut(), null_mut()) };
    let mut model = world.model.borrow_mut();
    if held.stage.get() == Stage::Leads && !model.flights[&held.run].loads {
        model.take_lead(held.run);
    }
    drop(model);
    let (expected, kept) = match held.stage.get() {
        Stage::Waits => (DOCACHE_PENDING, None),
        Stage::Leads => (DOCACHE_LEADER, None),
        Stage::Over(Came::Value(value)) => (DOCACHE_OK, Some(value)),
        Stage::Over(came) => (came.status(), None),
    };
    assert_eq!(status, expected);
    world.check_value(value, kept);
}

pub(crate) fn free(world: &World, held: &Rc<Held>) {
    world.calls.borrow_mut().retain(|other| !Rc::ptr_eq(other, held));
    // SAFETY: HANDLE: the table's, which it has left.
    let status = unsafe { docache_call_free(held.handle) };
    assert_eq!(status, world.model.borrow_mut().leave(held));
}
