//! Family `logger`.

use arbitrary::Arbitrary;
use docache::ffi::*;

use crate::abi::args::Pick;
use crate::abi::loops::held::loggers::Held;
use crate::abi::loops::world::World;
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place};
use crate::abi::registry::{Drops, ctx, drop_sink, log};
use crate::input::Rare;

/// A call of the family.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum LoggerOp {
    New { no_log: Rare, level: i8, drops: Drops, unwinds: Rare, out: Given, error: Given },
    Retain(Pick),
    Release(Pick),
}

impl LoggerOp {
    pub(crate) fn apply(self, world: &mut World) {
        match self {
            LoggerOp::New { no_log, level, drops, unwinds, out, error } => {
                // Levels below 1 and above 5 are refused.
                let level = i32::from(level) % 7;
                new(world, no_log.0, level, drops, unwinds.0, (out, error));
            }
            LoggerOp::Retain(pick) => retain(world, pick),
            LoggerOp::Release(pick) => release(world, pick),
        }
    }
}

fn new(
    world: &mut World,
    no_log: bool,
    level: i32,
    drops: Drops,
    unwinds: bool,
    (out, error): (Given, Given),
) {
    let sink = world.registry.sink(level, drops, unwinds);
    let function: docache_log_fn = if no_log { None } else { Some(log) };
    let drop = sink.registration.callback(drop_sink);
    let mut out = Place::one(out);
    // SAFETY: CALLBACK: the registry keeps `sink`; SPAN.
    let made = call("logger_new", error, |error| unsafe {
        docache_logger_new(function, ctx(&sink), drop, level, out.pointer(), error)
    });
    let levels = DOCACHE_LEVEL_ERROR..=DOCACHE_LEVEL_TRACE;
    made.is_ok_if(!no_log && levels.contains(&level) && out.is_valid());
    let dropped = sink.registration.is_dropped();
    assert_eq!(
        dropped,
        !made.is_ok() && sink.registration.is_counted(),
        "dropped at once when refused"
    );
    if let Some(handle) = out.handle(made.is_ok(), "logger_new") {
        world.loggers.push(Held { handle, shares: 1, sink });
    }
    world.keep(made);
}

fn retain(world: &mut World, pick: Pick) {
    let handle = pick.handle(&world.loggers, |held| held.handle);
    // SAFETY: HANDLE: a share is held, or it counts as NULL.
    assert_eq!(unsafe { docache_logger_retain(handle) }, handle);
    if let Some(index) = pick.index(world.loggers.len()) {
        world.loggers[index].shares += 1;
    }
}

fn release(world: &mut World, pick: Pick) {
    let Some(index) = pick.index(world.loggers.len()) else {
        let nothing = pick.handle(&world.loggers, |held| held.handle);
        // SAFETY: HANDLE: NULL, or what counts as NULL.
        return unsafe { docache_logger_release(nothing) };
    };
    world.loggers[index].release();
    if world.loggers[index].shares == 0 {
        world.loggers.swap_remove(index);
    }
}
