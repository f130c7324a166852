//! A group beside its model. Work comes back to it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use docache::{Context, FlightError, KeyedGroup, ManualClock, Shared};

use super::model::{Caller, End, Ending, Limit, Model};
use super::script::{Op, Patience};

/// Work inside work inside work: further down nothing is done.
const DEPTH: u32 = 4;
pub(super) type Flown = std::result::Result<Shared<Produced>, FlightError<Caller>>;

/// What a run produces: its name, and a share of what counts those that are there.
#[derive(Clone)]
pub(super) struct Produced(Caller, #[expect(dead_code, reason = "it is counted")] Arc<()>);

/// A call that is polled by hand.
pub(super) trait Polled {
    fn caller(&self) -> Caller;

    /// Polls it: whether it is over.
    fn poll(&mut self, world: &World) -> bool;

    /// Whoever has something to find was woken.
    fn check(&self, world: &World);

    /// Goes without an end.
    fn abandon(self: Box<Self>, world: &World);
}

/// A group beside its model. Work comes back to it, so nothing is borrowed while the group is
/// called.
pub(super) struct World {
    /// Does one step of a schedule.
    apply: fn(&Rc<World>, &Op),
    pub(super) group: KeyedGroup<u8, Produced, Caller>,
    pub(super) model: RefCell<Model>,
    clock: ManualClock,
    context: Context,
    pub(super) cancelled: Context,
    pub(super) keys: u8,
    /// Without the one that is being polled.
    pub(super) tasks: RefCell<Vec<Box<dyn Polled>>>,
    callers: Cell<Caller>,
    depth: Cell<u32>,
    /// Work is being dropped: nobody leaves a flight meanwhile.
    pub(super) narrow: Cell<bool>,
    products: Arc<()>,
}

impl World {
    pub(super) fn new(apply: fn(&Rc<World>, &Op), keys: u8) -> Rc<World> {
        let clock = ManualClock::new();
        let context = Context::with_clock(clock.clone());
        Rc::new(World {
            apply,
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

    pub(super) fn caller(&self) -> Caller {
        self.callers.replace(self.callers.get() + 1)
    }

    pub(super) fn limit(&self, patience: Patience) -> Limit {
        match patience {
            Patience::Endless => Limit::None,
            Patience::Seconds(seconds) => {
                Limit::Until(self.model.borrow().now + u64::from(seconds % 4))
            }
            Patience::Cancel => Limit::Cancel,
        }
    }

    pub(super) fn context(&self, limit: Limit) -> Option<Context> {
        match limit {
            Limit::None => None,
            Limit::Until(then) => {
                let left = Duration::from_secs(then - self.model.borrow().now);
                Some(self.context.with_timeout(left))
            }
            Limit::Cancel => Some(self.cancelled.child()),
        }
    }

    pub(super) fn product(&self, run: Caller) -> Produced {
        Produced(run, self.products.clone())
    }

    /// How work ends. A panic does not go by the hook.
    pub(super) fn produce(
        &self,
        run: Caller,
        ending: Ending,
    ) -> std::result::Result<Produced, Caller> {
        match ending {
            Ending::Value => Ok(self.product(run)),
            Ending::Error => Err(run),
            Ending::Panic => resume_unwind(Box::new(run.to_string())),
        }
    }

    /// Does things inside the work of `callers`.
    pub(super) fn inside(self: &Rc<World>, callers: &[Caller], ops: &[Op]) {
        let set = |inside| {
            callers.iter().for_each(|caller| self.model.borrow_mut().set_inside(*caller, inside));
        };
        set(true);
        if self.depth.get() < DEPTH {
            self.depth.set(self.depth.get() + 1);
            ops.iter().for_each(|op| (self.apply)(self, op));
            self.depth.set(self.depth.get() - 1);
        }
        set(false);
    }

    /// Nobody leaves a flight meanwhile.
    pub(super) fn narrowly(self: &Rc<World>, f: impl FnOnce(&Rc<World>)) {
        let before = self.narrow.replace(true);
        f(self);
        self.narrow.set(before);
    }

    pub(super) fn take(&self, which: u8) -> Option<Box<dyn Polled>> {
        let mut tasks = self.tasks.borrow_mut();
        let index = usize::from(which).checked_rem(tasks.len())?;
        Some(tasks.remove(index))
    }

    pub(super) fn poll(self: &Rc<World>, mut task: Box<dyn Polled>) {
        if !task.poll(self) {
            self.tasks.borrow_mut().push(task);
        }
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.model.borrow_mut().now += seconds;
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(super) fn check(&self) {
        assert_eq!(self.group.in_flight(), self.model.borrow().in_flight());
        self.tasks.borrow().iter().for_each(|task| task.check(self));
    }

    /// Everything ends, or is dropped.
    pub(super) fn finish(self: &Rc<World>, keys: u8) {
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
pub(super) fn ended(flown: Flown) -> End {
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
pub(super) fn panicked(payload: &(dyn Any + Send)) -> End {
    let run = payload.downcast_ref::<String>().expect("the work's own payload");
    End::Panics(run.parse().expect("the name of a run"))
}
