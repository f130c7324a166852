//! Schedules of calls of a keyed group, all on one thread, against a sequential model: futures that
//! are polled by hand and dropped at any time, and within their work, or when that is dropped,
//! calls that block or come in bulk, and all of it again.

mod calls;
mod model;
mod script;
mod task;
mod world;

use std::rc::Rc;

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::input::list;
use model::Limit;
use script::{Op, Script, Step};
use task::Task;
use world::World;

/// Enough for more than two batches of those who wait.
const TASKS: usize = 40;

/// A schedule.
#[derive(Clone, Debug)]
pub struct Case {
    keys: u8,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        Ok(Case { keys: 1 + u8::arbitrary(u)? % 4, ops: list(u, 64)? })
    }
}

/// Does one step.
fn apply(world: &Rc<World>, op: &Op) {
    let full = world.tasks.borrow().len() >= TASKS;
    match op {
        Op::New { .. } | Op::Crowd { .. } if full => {}
        Op::New { key, patience, script } => {
            let task = Task::new(world, key % world.keys, world.limit(*patience), script.clone());
            world.tasks.borrow_mut().push(Box::new(task));
        }
        Op::Crowd { key, count } => {
            for _ in 0..count % 40 {
                let script = Script {
                    steps: vec![Step { inside: Vec::new(), ending: None }],
                    ..Script::default()
                };
                world.poll(Box::new(Task::new(world, key % world.keys, Limit::None, script)));
            }
        }
        Op::Poll(_) | Op::Drop(_) if world.narrow.get() => {}
        Op::Poll(which) => world.take(*which).into_iter().for_each(|task| world.poll(task)),
        Op::Drop(which) => {
            let Some(task) = world.take(*which) else { return };
            if world.model.borrow().leaves_to_bulk(task.caller()) {
                world.tasks.borrow_mut().push(task);
            } else {
                task.abandon(world);
            }
        }
        Op::Single { key, patience, step } => {
            calls::single(world, key % world.keys, world.limit(*patience), step);
        }
        Op::Bulk { keys, count, step } => {
            let keys = keys.map(|key| key % world.keys);
            calls::bulk(world, &keys[..usize::from(count % 5)], step);
        }
        Op::Forget(key) => {
            let key = key % world.keys;
            assert_eq!(
                world.group.forget(&key),
                world.model.borrow_mut().forget(key),
                "forget {key}"
            );
        }
        Op::Advance(seconds) => world.advance(u64::from(seconds % 4)),
        Op::Cancel => {
            world.model.borrow_mut().cancelled = true;
            world.cancelled.cancel();
        }
    }
}

/// Runs a case.
///
/// # Panics
/// If the group does something else than the model.
pub fn run(case: &Case) {
    let world = World::new(apply, case.keys);
    for op in &case.ops {
        apply(&world, op);
        world.check();
    }
    world.finish(case.keys);
}
