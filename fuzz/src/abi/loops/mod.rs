//! Sequences of calls of the families `version`, `status`, `value`, `error`, `logger`, `loop` and
//! `wait`, with hostile arguments. The objects behind the handles must do what their model does.

mod acts;
mod doer;
mod held;
mod inside;
mod ops;
mod options;
mod plan;
mod script;
mod tokens;
mod world;

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::abi::shutdown::{shut_down_at_last, shutdown};
use crate::input::list;
use crate::patience::Threads;
use ops::{errors, life, loggers, reads, snapshots, values, waits};
use world::World;

/// One call, of one family or of none.
#[derive(Clone, Debug)]
enum Op {
    Loop(life::LoopOp),
    Read(reads::ReadOp),
    Wait(waits::WaitOp),
    Snapshot(snapshots::SnapshotOp),
    Value(values::ValueOp),
    Error(errors::ErrorOp),
    Logger(loggers::LoggerOp),
    Shutdown,
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Op> {
        Ok(match u8::arbitrary(u)? % 17 {
            0..=3 => Op::Loop(u.arbitrary()?),
            4..=5 => Op::Read(u.arbitrary()?),
            6..=10 => Op::Wait(u.arbitrary()?),
            11..=12 => Op::Snapshot(u.arbitrary()?),
            13 => Op::Value(u.arbitrary()?),
            14 => Op::Error(u.arbitrary()?),
            15 => Op::Logger(u.arbitrary()?),
            _ => Op::Shutdown,
        })
    }
}

/// A sequence of calls, and the order in which what is left is freed.
#[derive(Clone, Debug)]
pub struct Case {
    loops_last: bool,
    /// Nothing of the library's is to be left.
    shuts_down: bool,
    /// A loop that is there from the beginning.
    first: Option<life::Plain>,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let flags = u8::arbitrary(u)?;
        let first = if flags % 4 == 3 { None } else { Some(u.arbitrary()?) };
        Ok(Case {
            loops_last: flags >= 160,
            shuts_down: flags % 16 == 15,
            first,
            ops: list(u, 64)?,
        })
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
            Op::Loop(life::LoopOp::New { .. }) if world.plans.len() >= 4 => {}
            Op::Loop(op) => op.apply(&mut world),
            Op::Read(op) => op.apply(&mut world),
            Op::Wait(op) => op.apply(&mut world),
            Op::Snapshot(op) => op.apply(&mut world),
            Op::Value(op) => op.apply(&mut world),
            Op::Error(op) => op.apply(&mut world),
            Op::Logger(op) => op.apply(&mut world),
            Op::Shutdown => shutdown(),
        }
    }
    let threaded = !world.plans.is_empty();
    world.finish(case.loops_last);
    if threaded {
        threads.await_end();
    }
    if case.shuts_down {
        shut_down_at_last();
    }
}
