//! The loop cache under a manual clock. The model says how often the Doer is called, when, and what
//! readers then see; the loop's own thread is awaited after every step, until it sleeps where the
//! model says that it does.

mod busy;
mod check;
mod model;
mod stage;
mod watch;
mod world;

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::input::list;
use crate::patience::Threads;
use busy::BusyOp;
use model::{NEVER, Settings};
use watch::Watch;
use world::World;

/// One step.
#[derive(Arbitrary, Clone, Debug)]
enum Op {
    Start,
    Stop,
    Advance(u8),
    AdvanceToDue,
    AdvanceForEver,
    Refresh { later: bool },
    Busy(Vec<BusyOp>),
    Run { cancelled: bool },
    Cancel,
    Snapshot,
    DropSnapshot(u8),
    Latest,
    Reader,
    ReadersRead,
    Changed(u8),
    WaitFirst,
    Watch(u8),
    PollWatch(u8),
    DropWatch(u8),
}

/// A loop cache, and what is done with it.
#[derive(Clone, Debug)]
pub struct Case {
    settings: Settings,
    snapshots_last: bool,
    /// Wait for each version by blocking on it.
    block: bool,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let settings = u.arbitrary()?;
        Ok(Case {
            settings,
            snapshots_last: u.arbitrary()?,
            block: u.arbitrary()?,
            ops: list(u, 64)?,
        })
    }
}

/// Does one step.
fn apply(world: &mut World, op: Op) {
    match op {
        Op::Start => world.start(),
        Op::Stop => world.stop(),
        Op::Advance(ns) => world.advance(u64::from(ns)),
        Op::AdvanceToDue => {
            let due = world.model.run.map_or(0, |run| run.due.0);
            world.advance(if due == NEVER { 1 } else { due.saturating_sub(world.model.now) });
        }
        // Near the end of time jitter may or may not reach it.
        Op::AdvanceForEver => {
            world.advance(if world.model.settings.jitter == 0 { NEVER } else { 1 << 20 })
        }
        Op::Refresh { later } => world.refresh(later),
        Op::Busy(ops) => busy::run(world, &ops),
        Op::Run { cancelled } => world.run(cancelled),
        Op::Cancel => world.cancel(),
        Op::Snapshot => world.snapshot(),
        Op::DropSnapshot(which) => drop(pick(&mut world.snapshots, which)),
        Op::Latest => world.latest(),
        Op::Reader => world.reader(),
        Op::ReadersRead => world.read(),
        Op::Changed(since) => world.changed(u64::from(since % 16)),
        Op::WaitFirst => world.wait_first(),
        Op::Watch(since) => world.watches.push(Watch::new(&world.cache, u64::from(since % 16))),
        Op::PollWatch(which) => {
            let index = usize::from(which).checked_rem(world.watches.len());
            index.into_iter().for_each(|index| world.watches[index].poll(&world.model));
        }
        Op::DropWatch(which) => drop(pick(&mut world.watches, which)),
    }
}

fn pick<T>(from: &mut Vec<T>, which: u8) -> Option<T> {
    let index = usize::from(which).checked_rem(from.len())?;
    Some(from.swap_remove(index))
}

/// Runs a case.
///
/// # Panics
/// If the loop cache and its model differ.
pub fn run(case: Case) {
    let threads = Threads::now();
    let mut world = World::new(case.settings, case.block);
    case.ops.into_iter().for_each(|op| apply(&mut world, op));
    world.finish(case.snapshots_last);
    threads.await_end();
}
