//! Sequences of C ABI calls. Whatever a caller does within the promises HANDLE, SPAN and CALLBACK, every call must keep
//! the conventions that `docache::ffi` states, and the objects behind the handles must do what their model does.

mod args;
mod blocking;
pub mod cache;
mod errors;
pub mod group;
mod inside;
mod loggers;
mod loops;
mod options;
mod outcome;
mod place;
mod reads;
mod registry;
mod script;
mod snapshots;
mod tokens;
mod values;
mod waits;

use std::sync::Arc;

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::input::list;
use crate::patience::Threads;
use outcome::Outcome;
use registry::Registry;
use script::Plan;

/// One call, of one family.
#[derive(Clone, Debug)]
enum Op {
    Loop(loops::LoopOp),
    Read(reads::ReadOp),
    Wait(waits::WaitOp),
    Snapshot(snapshots::SnapshotOp),
    Value(values::ValueOp),
    Error(errors::ErrorOp),
    Logger(loggers::LoggerOp),
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Op> {
        Ok(match u8::arbitrary(u)? % 16 {
            0..=3 => Op::Loop(u.arbitrary()?),
            4..=5 => Op::Read(u.arbitrary()?),
            6..=10 => Op::Wait(u.arbitrary()?),
            11..=12 => Op::Snapshot(u.arbitrary()?),
            13 => Op::Value(u.arbitrary()?),
            14 => Op::Error(u.arbitrary()?),
            _ => Op::Logger(u.arbitrary()?),
        })
    }
}

/// A sequence of calls, and the order in which what is left is freed.
#[derive(Clone, Debug)]
pub struct Case {
    loops_last: bool,
    /// A loop that is there from the beginning.
    first: Option<loops::Plain>,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let flags = u8::arbitrary(u)?;
        let first = if flags % 4 == 3 { None } else { Some(u.arbitrary()?) };
        Ok(Case { loops_last: flags >= 160, first, ops: list(u, 64)? })
    }
}

/// Tables of handles, each with its model.
#[derive(Default)]
struct World {
    registry: Arc<Registry>,
    values: Vec<values::Held>,
    errors: Vec<errors::Held>,
    loggers: Vec<loggers::Held>,
    loops: Vec<loops::Held>,
    snapshots: Vec<snapshots::Held>,
    waits: Vec<waits::Held>,
    /// The Doers of all loops: callbacks point to them.
    plans: Vec<Arc<Plan>>,
    /// Those of the loops that were freed.
    freed: Vec<Arc<Plan>>,
}

impl World {
    /// Keeps the error of a call, to be read and shared later; a few are enough.
    fn keep(&mut self, outcome: Outcome) {
        if let Some(error) = outcome.error.filter(|_| self.errors.len() < 8) {
            self.errors.push(errors::Held::new(error));
        }
    }

    fn free_loops(&mut self) {
        for held in self.loops.drain(..) {
            self.freed.push(held.finish());
        }
        self.freed.iter().for_each(|plan| loops::await_drop(plan));
    }

    fn finish(mut self, loops_last: bool) {
        if loops_last {
            self.waits.drain(..).for_each(waits::Held::abandon);
        } else {
            self.free_loops();
            self.waits.drain(..).for_each(waits::Held::finish);
        }
        self.snapshots.drain(..).for_each(snapshots::Held::finish);
        self.values.drain(..).for_each(values::Held::finish);
        self.loggers.drain(..).for_each(loggers::Held::finish);
        self.free_loops();
        self.errors.drain(..).for_each(errors::Held::finish);
        self.registry.finish();
    }
}

/// Runs a case.
///
/// # Panics
/// If the library breaks a promise.
pub fn run(case: Case) {
    let threads = Threads::now();
    let mut world = World::default();
    if let Some(first) = case.first {
        first.make(&mut world);
    }
    for op in case.ops {
        match op {
            // Threads are what costs time.
            Op::Loop(loops::LoopOp::New { .. }) if world.plans.len() >= 4 => {}
            Op::Loop(op) => op.apply(&mut world),
            Op::Read(op) => op.apply(&mut world),
            Op::Wait(op) => op.apply(&mut world),
            Op::Snapshot(op) => op.apply(&mut world),
            Op::Value(op) => op.apply(&mut world),
            Op::Error(op) => op.apply(&mut world),
            Op::Logger(op) => op.apply(&mut world),
        }
    }
    let threaded = !world.plans.is_empty();
    world.finish(case.loops_last);
    if threaded {
        threads.await_end();
    }
}
