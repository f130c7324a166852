//! Calls that are tasks, polled by hand, and the work that they bring.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use super::model::{Begins, Caller, Ending, Limit, Place};
use super::script::Script;
use super::world::{Flown, Polled, Produced, World, ended, panicked};

/// A Waker that remembers.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What a task and its work share.
struct Shared {
    caller: Caller,
    script: Script,
    polls: Cell<usize>,
    ended: Cell<Option<Ending>>,
    /// How many works there are, and were.
    works: Cell<u32>,
    dropped: Cell<u32>,
}

/// The work of a task.
struct Work {
    world: Rc<World>,
    shared: Rc<Shared>,
}

impl Future for Work {
    type Output = Result<Produced, Caller>;

    fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let (world, shared) = (&self.world, &self.shared);
        let caller = shared.caller;
        let step = shared.script.steps.get(shared.polls.get());
        shared.polls.set(shared.polls.get() + 1);
        world.inside(&[caller], step.map_or(&[][..], |step| &step.inside));
        let ending = step.map_or(Some(Ending::Value), |step| step.ending);
        shared.ended.set(ending);
        match ending {
            None => Poll::Pending,
            Some(ending) => Poll::Ready(world.produce(caller, ending)),
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.shared.dropped.set(self.shared.dropped.get() + 1);
        self.world
            .narrowly(|world| world.inside(&[self.shared.caller], &self.shared.script.at_drop));
    }
}

/// A call.
pub(super) struct Task {
    caller: Caller,
    key: u8,
    limit: Limit,
    begun: bool,
    shared: Rc<Shared>,
    future: Pin<Box<dyn Future<Output = Flown>>>,
    /// Of the last poll.
    flag: Arc<Flag>,
}

impl Task {
    pub(super) fn new(world: &Rc<World>, key: u8, limit: Limit, script: Script) -> Task {
        let caller = world.caller();
        let shared = Rc::new(Shared {
            caller,
            script,
            polls: Cell::new(0),
            ended: Cell::new(None),
            works: Cell::new(0),
            dropped: Cell::new(0),
        });
        let (world, works, context) = (world.clone(), shared.clone(), world.context(limit));
        let future = async move {
            let work = || {
                works.works.set(works.works.get() + 1);
                Work { world: world.clone(), shared: works }
            };
            match context {
                None => world.group.try_run_async(key, work).await,
                Some(context) => world.group.try_run_async_in(&context, key, work).await,
            }
        };
        let future = Box::pin(future);
        Task { caller, key, limit, begun: false, shared, future, flag: Arc::default() }
    }
}

impl Polled for Task {
    fn caller(&self) -> Caller {
        self.caller
    }

    fn poll(&mut self, world: &World) -> bool {
        let expected = if self.begun {
            world.model.borrow_mut().look(self.caller)
        } else {
            self.begun = true;
            match world.model.borrow_mut().begin(self.caller, self.key, self.limit, false) {
                Begins::Ends(end) => Some(end),
                Begins::Leads | Begins::Waits => None,
            }
        };
        let leads = expected.is_none() && world.model.borrow().place(self.caller) == Place::Leads;
        let before = self.shared.polls.get();
        self.flag = Arc::default();
        let waker = Waker::from(self.flag.clone());
        let polled = catch_unwind(AssertUnwindSafe(|| {
            self.future.as_mut().poll(&mut TaskContext::from_waker(&waker))
        }));
        assert_eq!(
            self.shared.polls.get() - before,
            usize::from(leads),
            "how often the work was polled"
        );
        let ending = self.shared.ended.take();
        let landed =
            ending.map(|ending| world.model.borrow_mut().land(self.caller, self.caller, ending));
        let found = match polled {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(flown)) => Some(ended(flown)),
            Err(payload) => Some(panicked(&*payload)),
        };
        assert_eq!(found, expected.or(landed), "call {} is polled", self.caller);
        if found.is_some() {
            assert_eq!(
                self.shared.works.get(),
                self.shared.dropped.get(),
                "the work goes before its end"
            );
        }
        found.is_some()
    }

    fn check(&self, world: &World) {
        if self.begun && world.model.borrow().is_due(self.caller) {
            assert!(self.flag.0.load(Ordering::SeqCst), "nobody woke call {}", self.caller);
        }
    }

    fn abandon(self: Box<Self>, world: &World) {
        let Task { caller, shared, future, .. } = *self;
        drop(future);
        world.model.borrow_mut().leave(caller);
        assert_eq!(shared.works.get(), shared.dropped.get(), "the work goes with its call");
    }
}
