//! Schedules of calls of a keyed group, all on one thread, against a sequential model: futures that are polled by hand and
//! dropped at any time, and within their work, or when that is dropped, calls that block or come in bulk, and all of it
//! again.

mod calls;
mod model;
mod task;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use docache::{Context, FlightError, KeyedGroup, ManualClock, Shared};

use crate::input::list;
use model::{Caller, End, Ending, Limit, Model};
use task::{Script, Task};

/// Work inside work inside work: further down nothing is done.
const DEPTH: u32 = 4;
/// Enough for more than two batches of those who wait.
const TASKS: usize = 40;

type Flown = std::result::Result<Shared<Produced>, FlightError<Caller>>;

/// What a run produces: its name, and a share of what counts those that are there.
#[derive(Clone)]
struct Produced(Caller, #[expect(dead_code, reason = "it is counted")] Arc<()>);

/// What work does: once, or in one poll.
#[derive(Clone, Debug)]
struct Step {
    inside: Vec<Op>,
    /// Not yet, for a task; others end with a value.
    ending: Option<Ending>,
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Step> {
        let which = u8::arbitrary(u)?;
        let ending = match which % 8 {
            0..=2 => None,
            3..=5 => Some(Ending::Value),
            6 => Some(Ending::Error),
            _ => Some(Ending::Panic),
        };
        Ok(Step { inside: inside(u, which)?, ending })
    }
}

fn inside(u: &mut Unstructured<'_>, which: u8) -> Result<Vec<Op>> {
    if which < 128 { Ok(Vec::new()) } else { list(u, usize::from(which / 16 - 7)) }
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Script> {
        let which = u8::arbitrary(u)?;
        let steps = list(u, usize::from(which % 4))?;
        Ok(Script { steps, at_drop: inside(u, which)? })
    }
}

/// How long a call may wait.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Patience {
    Endless,
    Seconds(u8),
    Cancel,
}

/// One step of a schedule.
#[derive(Clone, Debug)]
enum Op {
    New {
        key: u8,
        patience: Patience,
        script: Script,
    },
    /// Many tasks without much ado, polled once.
    Crowd {
        key: u8,
        count: u8,
    },
    Poll(u8),
    Drop(u8),
    Single {
        key: u8,
        patience: Patience,
        step: Step,
    },
    Bulk {
        keys: [u8; 4],
        count: u8,
        step: Step,
    },
    Forget(u8),
    Advance(u8),
    Cancel,
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Op> {
        Ok(match u8::arbitrary(u)? % 32 {
            0..=7 => Op::New { key: u.arbitrary()?, patience: u.arbitrary()?, script: u.arbitrary()? },
            8 => Op::Crowd { key: u.arbitrary()?, count: u.arbitrary()? },
            9..=17 => Op::Poll(u.arbitrary()?),
            18..=21 => Op::Drop(u.arbitrary()?),
            22..=24 => Op::Single { key: u.arbitrary()?, patience: u.arbitrary()?, step: u.arbitrary()? },
            25..=27 => Op::Bulk { keys: u.arbitrary()?, count: u.arbitrary()?, step: u.arbitrary()? },
            28..=29 => Op::Forget(u.arbitrary()?),
            30 => Op::Advance(u.arbitrary()?),
            _ => Op::Cancel,
        })
    }
}

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

/// A group beside its model. Work comes back to it, so nothing is borrowed while the group is called.
struct World {
    group: KeyedGroup<u8, Produced, Caller>,
    model: RefCell<Model>,
    clock: ManualClock,
    context: Context,
    cancelled: Context,
    keys: u8,
    /// Without the one that is being polled.
    tasks: RefCell<Vec<Task>>,
    callers: Cell<Caller>,
    depth: Cell<u32>,
    /// Work is being dropped: nobody leaves a flight meanwhile.
    narrow: Cell<bool>,
    products: Arc<()>,
}

impl World {
    fn new(keys: u8) -> Rc<World> {
        let clock = ManualClock::new();
        let context = Context::with_clock(clock.clone());
        Rc::new(World {
            group: KeyedGroup::builder().shards(1).build().expect("a good number"),
            model: RefCell::default(),
            clock,
            cancelled: context.child(),
            context,
            keys,
            tasks: RefCell::default(),
            callers: Cell::new(1),
            depth: Cell::new(0),
            narrow: Cell::new(false),
            products: Arc::default(),
        })
    }

    fn caller(&self) -> Caller {
        self.callers.replace(self.callers.get() + 1)
    }

    fn limit(&self, patience: Patience) -> Limit {
        match patience {
            Patience::Endless => Limit::None,
            Patience::Seconds(seconds) => Limit::Until(self.model.borrow().now + u64::from(seconds % 4)),
            Patience::Cancel => Limit::Cancel,
        }
    }

    fn context(&self, limit: Limit) -> Option<Context> {
        match limit {
            Limit::None => None,
            Limit::Until(then) => {
                let left = Duration::from_secs(then - self.model.borrow().now);
                Some(self.context.with_timeout(left))
            }
            Limit::Cancel => Some(self.cancelled.child()),
        }
    }

    fn product(&self, run: Caller) -> Produced {
        Produced(run, self.products.clone())
    }

    /// How work ends. A panic does not go by the hook.
    fn produce(&self, run: Caller, ending: Ending) -> std::result::Result<Produced, Caller> {
        match ending {
            Ending::Value => Ok(self.product(run)),
            Ending::Error => Err(run),
            Ending::Panic => resume_unwind(Box::new(run.to_string())),
        }
    }

    /// Does things inside the work of `callers`.
    fn inside(self: &Rc<World>, callers: &[Caller], ops: &[Op]) {
        let set = |inside| {
            callers.iter().for_each(|caller| self.model.borrow_mut().set_inside(*caller, inside));
        };
        set(true);
        if self.depth.get() < DEPTH {
            self.depth.set(self.depth.get() + 1);
            ops.iter().for_each(|op| op.apply(self));
            self.depth.set(self.depth.get() - 1);
        }
        set(false);
    }

    /// Nobody leaves a flight meanwhile.
    fn narrowly(self: &Rc<World>, f: impl FnOnce(&Rc<World>)) {
        let before = self.narrow.replace(true);
        f(self);
        self.narrow.set(before);
    }

    fn take(&self, which: u8) -> Option<Task> {
        let mut tasks = self.tasks.borrow_mut();
        let index = usize::from(which).checked_rem(tasks.len())?;
        Some(tasks.remove(index))
    }

    fn poll(self: &Rc<World>, mut task: Task) {
        if !task.poll(self) {
            self.tasks.borrow_mut().push(task);
        }
    }

    fn check(&self) {
        assert_eq!(self.group.in_flight(), self.model.borrow().in_flight());
        self.tasks.borrow().iter().for_each(|task| task.check(self));
    }

    /// Everything ends, or is dropped.
    fn finish(self: &Rc<World>, keys: u8) {
        for round in 0..keys {
            let count = self.tasks.borrow().len();
            for _ in 0..count {
                self.take(round).into_iter().for_each(|task| self.poll(task));
                self.check();
            }
        }
        while let Some(task) = self.take(0) {
            task.abandon(self);
            self.check();
        }
        assert_eq!(self.group.in_flight(), 0);
        assert_eq!(Arc::strong_count(&self.products), 1, "a product is still there");
    }
}

/// What a call came to, in the model's words.
fn ended(flown: Flown) -> End {
    match flown {
        Ok(value) => End::Value { run: value.0, led: value.led(), shared: value.is_shared() },
        Err(FlightError::Failed(run)) => End::Error(*run),
        Err(FlightError::Panicked(run)) => End::Panicked(run.parse().expect("the name of a run")),
        Err(FlightError::Reentrant(_)) => End::Reentrant,
        Err(error) if error.is_timeout() => End::Timeout,
        Err(error) if error.is_cancelled() => End::Cancelled,
        Err(error) => panic!("{error}"),
    }
}

/// The same for one that panicked.
fn panicked(payload: &(dyn Any + Send)) -> End {
    let run = payload.downcast_ref::<String>().expect("the work's own payload");
    End::Panics(run.parse().expect("the name of a run"))
}

impl Op {
    fn apply(&self, world: &Rc<World>) {
        let full = world.tasks.borrow().len() >= TASKS;
        match self {
            Op::New { .. } | Op::Crowd { .. } if full => {}
            Op::New { key, patience, script } => {
                let task = Task::new(world, key % world.keys, world.limit(*patience), script.clone());
                world.tasks.borrow_mut().push(task);
            }
            Op::Crowd { key, count } => {
                for _ in 0..count % 40 {
                    let script = Script {
                        steps: vec![Step { inside: Vec::new(), ending: None }],
                        ..Script::default()
                    };
                    world.poll(Task::new(world, key % world.keys, Limit::None, script));
                }
            }
            Op::Poll(_) | Op::Drop(_) if world.narrow.get() => {}
            Op::Poll(which) => world.take(*which).into_iter().for_each(|task| world.poll(task)),
            Op::Drop(which) => {
                let Some(task) = world.take(*which) else { return };
                if world.model.borrow().leaves_to_bulk(task.caller) {
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
                assert_eq!(world.group.forget(&key), world.model.borrow_mut().forget(key), "forget {key}");
            }
            Op::Advance(seconds) => world.advance(u64::from(seconds % 4)),
            Op::Cancel => {
                world.model.borrow_mut().cancelled = true;
                world.cancelled.cancel();
            }
        }
    }
}

/// Runs a case.
///
/// # Panics
/// If the group does something else than the model.
pub fn run(case: &Case) {
    let world = World::new(case.keys);
    for op in &case.ops {
        op.apply(&world);
        world.check();
    }
    world.finish(case.keys);
}
