//! Sequences of calls of the family `run`: groups and loops whose actors, on threads of their own,
//! stop them, free them and meddle with them. What must hold whatever the threads do: each drop is
//! called once, after all callbacks and before a free that waits has returned; reports and statuses
//! agree; and everything ends. Retries, which run on one thread, have an exact model. And
//! schedulers whose calls and loops do the same.

mod acts;
mod calls;
mod reports;
mod retries;
mod schedulers;
mod script;
mod world;

use std::sync::Arc;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::shutdown::shut_down_at_last;
use crate::input::list;
use crate::patience::Threads;
use schedulers::Schedulers;
use script::Op;
use world::World;

/// A sequence of calls.
#[derive(Clone, Debug)]
pub struct Case {
    shuts_down: bool,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let shuts_down = u8::arbitrary(u)? >= 250;
        Ok(Case { shuts_down, ops: list(u, 24)? })
    }
}

fn apply(world: &Arc<World>, schedulers: &Arc<Schedulers>, op: &Op) {
    match op {
        Op::New(make) => world.make(make),
        Op::Add(pick, plan) => world.add(*pick, plan),
        Op::Give { outer, inner, stage, no_name } => {
            world.give(*outer, *inner, *stage, no_name.0);
        }
        Op::Deadline { pick, stage, error } => world.stage_deadline(*pick, *stage, *error),
        Op::Signals(pick) => world.signals(*pick),
        Op::Handle(pick) => world.take_handle(*pick),
        Op::Stop { pick, waiting } => world.stop_by_handle(*pick, *waiting),
        Op::Release(pick) => world.release_handle(*pick),
        Op::Run { pick, report, error } => world.run(*pick, *report, *error),
        Op::Free(pick) => world.free(*pick),
        Op::Detach(pick) => world.detach(*pick),
        Op::Retry(retry) => retries::check(retry),
        Op::Scheduler(op) => schedulers.apply(op),
    }
}

/// Runs a case.
///
/// # Panics
/// If the library breaks a promise.
pub fn run(case: &Case) {
    let threads = Threads::now();
    let (world, schedulers) = (World::new(), Arc::new(Schedulers::default()));
    for op in &case.ops {
        apply(&world, &schedulers, op);
    }
    world.finish();
    schedulers.finish();
    threads.await_end();
    if case.shuts_down {
        shut_down_at_last();
    }
}
