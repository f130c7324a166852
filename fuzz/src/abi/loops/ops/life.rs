//! Family `loop`: life.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arbitrary::Arbitrary;
use docache::ffi::*;

use crate::abi::args::{Pick, Timeout};
use crate::abi::loops::doer::{drop_plan, perform};
use crate::abi::loops::held::loops::{Held, Running, await_drop};
use crate::abi::loops::inside::Inside;
use crate::abi::loops::options::Options;
use crate::abi::loops::plan::Plan;
use crate::abi::loops::script::Script;
use crate::abi::loops::world::World;
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place};
use crate::abi::registry::{Drops, ctx};
use crate::input::Rare;

/// A call of the family.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum LoopOp {
    New {
        options: Options,
        no_options: Rare,
        no_perform: Rare,
        script: Script,
        drops: Drops,
        out: Given,
        error: Given,
    },
    Start {
        pick: Pick,
        wait: bool,
        error: Given,
    },
    Run {
        pick: Pick,
        error: Given,
    },
    Stop {
        pick: Pick,
        timeout: Timeout,
        error: Given,
    },
    Settle(Pick),
    Free(Pick),
    FreeInside {
        pick: Pick,
        runs: bool,
    },
}

/// A loop as everybody makes it.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Plain {
    capacity: u8,
    script: Script,
}

impl Plain {
    pub(crate) fn make(self, world: &mut World) {
        let options = Options::plain(usize::from(self.capacity % 16));
        let plan = Plan::new(self.script, Drops::Counted, world.registry.clone());
        new(world, plan, &options, (false, false), (Given::Valid, Given::Valid));
    }
}

impl LoopOp {
    pub(crate) fn apply(self, world: &mut World) {
        match self {
            LoopOp::New { options, no_options, no_perform, script, drops, out, error } => {
                let plan = Plan::new(script, drops, world.registry.clone());
                new(world, plan, &options, (no_options.0, no_perform.0), (out, error));
            }
            LoopOp::Start { pick, wait, error } => start(world, pick, wait, error),
            LoopOp::Run { pick, error } => run(world, pick, error),
            LoopOp::Stop { pick, timeout, error } => stop(world, pick, timeout, error),
            LoopOp::Settle(pick) => {
                if let Some(index) = pick.index(world.loops.len()) {
                    world.loops[index].settle();
                }
            }
            LoopOp::Free(pick) => free(world, pick),
            LoopOp::FreeInside { pick, runs } => free_inside(world, pick, runs),
        }
    }
}

fn new(
    world: &mut World,
    plan: Arc<Plan>,
    options: &Options,
    (no_options, no_perform): (bool, bool),
    (out, error): (Given, Given),
) {
    world.plans.push(plan.clone());
    let given = options.give(|pick| {
        let index = pick.index(world.loggers.len())?;
        Some(world.loggers[index].for_loop())
    });
    let pointer = if no_options { std::ptr::null() } else { given.pointer() };
    let function: docache_perform_fn = if no_perform { None } else { Some(perform) };
    let drop = plan.registration.callback(drop_plan);
    let mut out = Place::one(out);
    // SAFETY: SPAN; CALLBACK: the world keeps `plan`.
    let made = call("loop_new", error, |error| unsafe {
        docache_loop_new(pointer, function, ctx(&plan), drop, out.pointer(), error)
    });
    let acceptable = given.effect.is_some() && !no_options && out.is_valid();
    made.is_ok_if(acceptable);
    let dropped = plan.registration.is_dropped();
    assert_eq!(
        dropped,
        !made.is_ok() && plan.registration.is_counted(),
        "dropped at once when refused"
    );
    if let (Some(handle), Some(effect)) = (out.handle(made.is_ok(), "loop_new"), given.effect) {
        if no_perform {
            drive(handle, effect.at_once);
            assert_eq!(
                plan.registration.is_dropped(),
                plan.registration.is_counted(),
                "dropped when freed"
            );
            return world.keep(made);
        }
        plan.handle.store(handle, Ordering::SeqCst);
        world.loops.push(Held { handle, plan, effect, base: Running::No, settled: 0, seen: 0 });
    }
    world.keep(made);
}

/// Drives a loop without a Doer, which is all that can be done with it, and frees it in the midst
/// of its last call.
fn drive(handle: *mut docache_loop, at_once: bool) {
    // SAFETY: HANDLE.
    let started =
        call("loop_start", Given::Valid, |error| unsafe { docache_loop_start(handle, error) });
    started.is(DOCACHE_INVALID_ARGUMENT);
    let (mut drive, mut wait) = (std::ptr::null_mut(), 0);
    // SAFETY: HANDLE, SPAN.
    let driven = call("loop_drive", Given::Valid, |error| unsafe {
        docache_loop_drive(handle, &raw mut drive, error)
    });
    driven.is(DOCACHE_OK);
    let mut begin = || {
        // SAFETY: HANDLE, SPAN.
        call("drive_begin", Given::Valid, |error| unsafe {
            docache_drive_begin(drive, &raw mut wait, error)
        })
    };
    let first = begin();
    if at_once {
        first.is(DOCACHE_OK);
        begin().is(DOCACHE_REENTRANT);
    }
    // SAFETY: HANDLE.
    unsafe { docache_loop_free(handle) };
    if first.is_ok() {
        let null = std::ptr::null_mut();
        // SAFETY: HANDLE.
        let finished = call("drive_finish", Given::Valid, |error| unsafe {
            docache_drive_finish(drive, DOCACHE_DOER_FAILED, null, std::ptr::null_mut(), error)
        });
        finished.is(DOCACHE_OK);
    }
    begin().is(DOCACHE_CLOSED);
    // SAFETY: HANDLE.
    unsafe { docache_drive_free(drive) };
}

fn start(world: &mut World, pick: Pick, wait: bool, error: Given) {
    let Some(index) = pick.index(world.loops.len()) else {
        let nothing = pick.handle(&world.loops, |held| held.handle);
        // SAFETY: HANDLE: counts as NULL.
        let started =
            call("loop_start", error, |error| unsafe { docache_loop_start(nothing, error) });
        started.is(DOCACHE_INVALID_ARGUMENT);
        return world.keep(started);
    };
    let held = &mut world.loops[index];
    let first_comes = held.running() == Running::No && held.effect.at_once;
    held.start(error).is(DOCACHE_OK);
    if wait && first_comes {
        let since = held.settled;
        let mut version = Place::one(Given::Valid);
        // SAFETY: HANDLE, SPAN.
        let changed = call("loop_changed", error, |error| unsafe {
            docache_loop_changed(
                held.handle,
                since,
                Timeout::Generous.ns(true),
                version.pointer(),
                error,
            )
        });
        changed.is(DOCACHE_OK);
        if let Some(version) = version.take(true, "loop_changed") {
            assert!(version > since);
            held.saw(version);
        }
    }
}

/// Runs a loop at rest on this thread until its first call stops it; one that is running refuses.
fn run(world: &mut World, pick: Pick, error: Given) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    let Some(index) = pick.index(world.loops.len()) else {
        // SAFETY: HANDLE: counts as NULL.
        let ran = call("loop_run", error, |error| unsafe { docache_loop_run(handle, error) });
        ran.is(DOCACHE_INVALID_ARGUMENT);
        return world.keep(ran);
    };
    let held = &mut world.loops[index];
    let runs = held.running() != Running::Yes;
    if runs {
        if !held.effect.at_once || !held.settle() {
            return;
        }
        held.plan.allow(1);
        held.plan.stop_next.store(true, Ordering::SeqCst);
    }
    // SAFETY: HANDLE.
    let ran = call("loop_run", error, |error| unsafe { docache_loop_run(handle, error) });
    ran.is(if runs { DOCACHE_OK } else { DOCACHE_BUSY });
    if runs {
        let before = held.settled;
        held.base = Running::Stopping;
        // The stop is the last thing that the call does, so nothing starts the loop again.
        held.settled = held.allowed();
        assert!(held.rest(), "nothing can have started the loop");
        assert_eq!(held.seen, before + 1, "one call, and then the loop stopped");
    }
    world.keep(ran);
}

fn stop(world: &mut World, pick: Pick, timeout: Timeout, error: Given) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    let ns = timeout.ns(true);
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let stopped = call("loop_stop", error, |error| unsafe { docache_loop_stop(handle, ns, error) });
    match pick.index(world.loops.len()).map(|index| &mut world.loops[index]) {
        None => stopped.is(DOCACHE_INVALID_ARGUMENT),
        Some(held) if held.running() == Running::No => stopped.is(DOCACHE_OK),
        Some(held) if stopped.status == DOCACHE_TIMEOUT => {
            assert!(timeout.is_short(), "a stop that never ends");
            held.base =
                if held.may_do(Inside::starts) { Running::Maybe } else { Running::Stopping };
        }
        Some(held) => {
            stopped.is(DOCACHE_OK);
            held.rest();
        }
    }
    world.keep(stopped);
}

fn free(world: &mut World, pick: Pick) {
    let Some(index) = pick.index(world.loops.len()) else {
        let nothing = pick.handle(&world.loops, |held| held.handle);
        // SAFETY: HANDLE: NULL, or what counts as NULL.
        return unsafe { docache_loop_free(nothing) };
    };
    let plan = world.loops.swap_remove(index).free();
    world.freed.push(plan);
}

/// Lets the Doer free its loop from inside its call, on a thread of its own or on this one, which
/// `runs` it.
fn free_inside(world: &mut World, pick: Pick, runs: bool) {
    let Some(index) = pick.index(world.loops.len()) else { return };
    let held = &mut world.loops[index];
    if !held.effect.at_once || !held.plan.registration.is_counted() || !held.settle() {
        return;
    }
    let mut held = world.loops.swap_remove(index);
    held.plan.free_next.store(true, Ordering::SeqCst);
    if runs {
        held.plan.allow(1);
        held.plan.released.store(true, Ordering::SeqCst);
        // SAFETY: HANDLE: freed inside.
        call("loop_run", Given::Valid, |error| unsafe { docache_loop_run(held.handle, error) })
            .is(DOCACHE_OK);
        assert!(held.plan.registration.is_dropped(), "the run is over, and with it the loop");
    } else {
        held.start(Given::Valid).is(DOCACHE_OK);
        held.plan.released.store(true, Ordering::SeqCst);
        await_drop(&held.plan);
    }
    assert_eq!(
        held.plan.calls.load(Ordering::SeqCst),
        held.settled + 1,
        "no call after the loop was freed"
    );
    world.freed.push(held.plan);
}
