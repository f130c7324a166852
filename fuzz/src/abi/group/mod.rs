//! Sequences of calls of the family `group`, each checked against a model that knows every status
//! beforehand: all that happens, happens on one thread at a time.

mod calls;
mod elsewhere;
mod life;
mod model;
mod notes;
mod options;
mod polls;
mod runs;
mod script;
mod stock;
mod world;

use std::rc::Rc;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::args::Pick;
use super::place::Given;
use super::registry::Drops;
use super::shutdown::{shut_down_at_last, shutdown};
use crate::input::list;
use model::{Fault, Held};
use script::{Inside, Key, Op, Owner};
use world::World;

/// Enough calls for two batches of waiters and more.
const CALLS: usize = 48;

/// A sequence of calls, and the order in which what is left is freed.
#[derive(Clone, Debug)]
pub struct Case {
    groups_first: bool,
    values_first: bool,
    newest_first: bool,
    /// All calls are polled before they are freed.
    looks_last: bool,
    /// Nothing of the library's is to be left.
    shuts_down: bool,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let flags = u8::arbitrary(u)?;
        let is_set = |bit: u8| (flags >> bit) & 1 == 1;
        let (groups_first, values_first) = (is_set(0), is_set(1));
        let (newest_first, looks_last) = (is_set(2), is_set(3));
        let shuts_down = flags >= 240;
        Ok(Case {
            groups_first,
            values_first,
            newest_first,
            looks_last,
            shuts_down,
            ops: list(u, 64)?,
        })
    }
}

/// Does one call of a script.
fn apply(world: &World, op: &Op) {
    let full = world.calls.borrow().len() >= CALLS;
    match op.clone() {
        Op::New { .. } if world.groups.borrow().len() >= 3 => {}
        Op::New { options, out, error } => life::new(world, options, (out, error)),
        Op::FreeGroup(pick) => life::free(world, pick),
        Op::InFlight(pick) => life::in_flight(world, pick),
        Op::Forget { group, key, error } => life::forget(world, group, key, error),
        Op::Begin { .. } | Op::Crowd { .. } if full => {}
        Op::Begin { group, key, owner, away, out, error } => {
            calls::begin(world, group, key, owner, away, (out, error));
        }
        Op::Crowd { group, key, named, count, inside } => {
            crowd(world, (group, key, named), count, &inside);
        }
        Op::Finish { call, report, frees, shared, error } => {
            calls::finish(world, call, report, frees, (shared, error));
        }
        Op::OnReady { call, no_notify, inside, error } => {
            calls::on_ready(world, call, no_notify.0, inside, error);
        }
        Op::Poll { call, value, shared, error } => polls::poll(world, call, (value, shared, error)),
        Op::Cancel(pick) => calls::cancel(world, pick),
        Op::Free(pick) => calls::free(world, pick),
        Op::Run(run) => runs::run(world, &run),
        Op::NewValue(bytes, wrapped) => {
            let blob = stock::new_value(world, &bytes.0, wrapped);
            world.take_share(blob);
        }
        Op::Release(pick) => stock::release(world, pick),
        Op::NewError(code, message) => stock::keep_error(world, code, &message.0),
        Op::ReleaseError(pick) => stock::release_error(world, pick),
        Op::Shutdown => world.quietly(shutdown),
    }
}

/// Frees what is left, in the order of the case.
fn finish(world: &World, case: &Case) {
    let free_groups = || {
        while !world.groups.borrow().is_empty() {
            life::free(world, Pick::at(0));
        }
    };
    let release = || {
        while !world.shares.borrow().is_empty() {
            stock::release(world, Pick::at(0));
        }
    };
    if case.groups_first {
        free_groups();
    }
    if case.values_first {
        release();
    }
    if case.looks_last {
        let calls = world.calls.borrow().clone();
        calls.iter().for_each(|held| polls::look(world, held));
    }
    world.check();
    // Notifications may begin more calls, but not without end.
    while let Some(held) = next(world, case.newest_first) {
        calls::free_held(world, &held);
        world.check();
    }
    free_groups();
    release();
    world.faults.take().iter().for_each(Fault::check);
    world.check();
    assert!(world.blobs.borrow().is_empty());
    world.registry.finish();
}

/// The call that is freed next.
fn next(world: &World, newest: bool) -> Option<Rc<Held>> {
    let calls = world.calls.borrow();
    if newest { calls.last().cloned() } else { calls.first().cloned() }
}

/// Begins up to forty calls, of four owners if they are `named`; all that wait and are of odd
/// number ask to be notified.
fn crowd(world: &World, (group, key, named): (Pick, Key, bool), count: u8, inside: &Inside) {
    for at in 0..count % 40 {
        let owner = Owner(named.then_some(u64::from(at % 4)));
        let begun = calls::begin(world, group, key, owner, false, (Given::Valid, Given::Valid));
        let call = Pick::at(world.calls.borrow().len().wrapping_sub(1));
        if begun.is_some() && at % 2 == 1 {
            // One of them does more than be told.
            let inside = if at == 3 { inside.clone() } else { Inside::default() };
            calls::on_ready(world, call, false, inside, Given::Valid);
        }
    }
}

/// Runs a case.
///
/// # Panics
/// If the library breaks a promise.
pub fn run(case: &Case) {
    let world = World::new(apply);
    let valid = (Given::Valid, Given::Valid);
    life::new(&world, None, valid);
    let blob = stock::new_value(&world, b"value", Some(Drops::Counted));
    world.take_share(blob);
    stock::keep_error(&world, -5, "error");
    for op in &case.ops {
        apply(&world, op);
        world.check();
    }
    finish(&world, case);
    if case.shuts_down {
        shut_down_at_last();
    }
}
