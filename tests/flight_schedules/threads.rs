//! Threads that block and threads that poll tasks, on the same few keys of one shard, judged by
//! their history.

use crate::common::flight::{Dice, Seed, Task, hush};
use crate::history::{Call, Caller, Came, Forget, History, Run, Ticks};
use crate::model::Ending;
use docache::{Clock, Context, FlightError, KeyedGroup, ManualClock, Shared, Tick};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::Poll;
use std::time::Duration;

const SCHEDULES: u64 = 1_500;
const STEPS: usize = 12;

/// A value: the call whose run it is of, and what shows whether it was dropped.
#[derive(Clone)]
struct Value(Caller, #[expect(dead_code, reason = "it is counted")] Arc<()>);

type Group = KeyedGroup<u8, Value, Caller>;
type Flown = Result<Shared<Value>, FlightError<Caller>>;

/// What all threads of a schedule share.
struct Stage {
    group: Group,
    keys: usize,
    /// Whether runs are forgotten; where they are not, none may overlap.
    forgets: bool,
    clock: ManualClock,
    context: Context,
    ticks: Ticks,
    callers: AtomicU64,
    alive: Arc<()>,
}

/// What the work of one call does.
#[derive(Clone, Copy)]
struct Plan {
    turns: usize,
    ending: Ending,
    inner: Inner,
}

/// What the work of a call on a thread calls.
#[derive(Clone, Copy)]
enum Inner {
    Nothing,
    TheSameKey,
    ALaterKey,
}

/// One thread's part.
struct Player<'a> {
    stage: &'a Stage,
    dice: RefCell<Dice>,
    history: RefCell<History>,
}

/// A run under way; it writes itself down when it is dropped.
struct Working<'a> {
    player: &'a Player<'a>,
    leader: Caller,
    key: u8,
    begin: u64,
    ending: Cell<Option<Ending>>,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        let Working { player, leader, key, begin, ref ending } = *self;
        let run = Run { leader, key, begin, end: player.stage.ticks.next(), ending: ending.get() };
        player.history.borrow_mut().runs.push(run);
    }
}

/// A call under way; it writes itself down, as dropped unless something else came of it.
struct Calling<'a> {
    player: &'a Player<'a>,
    caller: Caller,
    key: u8,
    begin: u64,
    deadline: Option<Tick>,
    inside: Option<Caller>,
    came: Cell<Came>,
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        let Calling { player, caller, key, begin, inside, ref came, .. } = *self;
        let call =
            Call { caller, key, begin, end: player.stage.ticks.next(), inside, came: came.get() };
        player.history.borrow_mut().calls.push(call);
    }
}

impl Calling<'_> {
    /// Notes what a call came to; its panic if that is what `flown` holds.
    fn came(&self, flown: std::thread::Result<Flown>) {
        self.came.set(match flown {
            Ok(Ok(value)) if value.led() => {
                assert_eq!(value.0, self.caller, "a call that leads gets its own value");
                Came::Led(Ending::Value)
            }
            Ok(Ok(value)) => Came::Joined(value.0, Ending::Value),
            Ok(Err(FlightError::Failed(run))) if *run == self.caller => Came::Led(Ending::Error),
            Ok(Err(FlightError::Failed(run))) => Came::Joined(*run, Ending::Error),
            Ok(Err(FlightError::Panicked(run))) => {
                Came::Joined(run.parse().unwrap(), Ending::Panic)
            }
            Ok(Err(FlightError::Reentrant(_))) => Came::Reentrant,
            Ok(Err(error)) => {
                assert!(
                    error.is_timeout()
                        && self.deadline.is_some_and(|at| self.player.stage.clock.now() >= at)
                );
                Came::Left
            }
            Err(payload) => {
                assert_eq!(*payload.downcast::<String>().unwrap(), self.caller.to_string());
                Came::Led(Ending::Panic)
            }
        });
    }
}

impl<'a> Player<'a> {
    fn below(&self, bound: usize) -> usize {
        self.dice.borrow_mut().below(bound)
    }

    fn key(&self) -> u8 {
        self.below(self.stage.keys) as u8
    }

    fn plan(&self) -> Plan {
        let ending = [Ending::Value, Ending::Value, Ending::Error, Ending::Panic][self.below(4)];
        let inner =
            [Inner::Nothing, Inner::Nothing, Inner::TheSameKey, Inner::ALaterKey][self.below(4)];
        Plan { turns: self.below(4), ending, inner }
    }

    /// A context that is over after a few steps, or none.
    fn limit(&self) -> Option<Context> {
        let timeout = Duration::from_secs(self.below(4) as u64);
        (self.below(3) == 0).then(|| self.stage.context.with_timeout(timeout))
    }

    fn caller(&self) -> Caller {
        self.stage.callers.fetch_add(1, Ordering::Relaxed)
    }

    fn calling(
        &'a self,
        caller: Caller,
        key: u8,
        limit: Option<&Context>,
        inside: Option<Caller>,
    ) -> Calling<'a> {
        let deadline = limit.and_then(Context::deadline);
        let begin = self.stage.ticks.next();
        Calling {
            player: self,
            caller,
            key,
            begin,
            deadline,
            inside,
            came: Cell::new(Came::Dropped),
        }
    }

    fn working(&'a self, leader: Caller, key: u8) -> Working<'a> {
        Working {
            player: self,
            leader,
            key,
            begin: self.stage.ticks.next(),
            ending: Cell::new(None),
        }
    }

    fn result(&self, working: &Working<'_>, ending: Ending) -> Result<Value, Caller> {
        working.ending.set(Some(ending));
        match ending {
            Ending::Value => Ok(Value(working.leader, self.stage.alive.clone())),
            Ending::Error => Err(working.leader),
            Ending::Panic => hush(&working.leader.to_string()),
        }
    }

    fn forget(&self) {
        if !self.stage.forgets {
            return;
        }
        let (key, begin) = (self.key(), self.stage.ticks.next());
        if self.stage.group.forget(&key) {
            let end = self.stage.ticks.next();
            self.history.borrow_mut().forgets.push(Forget { key, begin, end });
        }
    }

    fn advance(&self) {
        self.stage.clock.advance(Duration::from_secs(1));
    }

    /// A call that blocks. Its work calls only later keys, or its own, so that nobody waits in a
    /// circle.
    fn call(&'a self, key: u8, inside: Option<Caller>) {
        let (caller, plan, limit) = (self.caller(), self.plan(), self.limit());
        let calling = self.calling(caller, key, limit.as_ref(), inside);
        let work = || {
            let working = self.working(caller, key);
            (0..plan.turns).for_each(|_| std::thread::yield_now());
            match plan.inner {
                Inner::TheSameKey if inside.is_none() => self.call(key, Some(caller)),
                Inner::ALaterKey if usize::from(key) + 1 < self.stage.keys => {
                    self.call(key + 1, None)
                }
                _ => {}
            }
            self.result(&working, plan.ending)
        };
        let group = &self.stage.group;
        calling.came(catch_unwind(AssertUnwindSafe(|| match &limit {
            None => group.try_run(&key, work),
            Some(limit) => group.try_run_in(limit, &key, work),
        })));
    }

    /// A bulk call of all keys in some order. Its work cannot panic, which would hide what the
    /// others came to.
    fn call_many(&'a self) {
        let (caller, plan, limit) = (self.caller(), self.plan(), self.limit());
        let first = self.key();
        let keys: Vec<u8> =
            (0..self.stage.keys as u8).map(|key| (key + first) % self.stage.keys as u8).collect();
        let callings: Vec<_> =
            keys.iter().map(|key| self.calling(caller, *key, limit.as_ref(), None)).collect();
        let work = |led: &[&u8]| {
            let workings: Vec<_> = led.iter().map(|key| self.working(caller, **key)).collect();
            (0..plan.turns).for_each(|_| std::thread::yield_now());
            let ending = if plan.ending == Ending::Panic { Ending::Value } else { plan.ending };
            let results: Vec<_> =
                workings.iter().map(|working| self.result(working, ending)).collect();
            results.into_iter().collect()
        };
        let asked: Vec<&u8> = keys.iter().collect();
        let ends = match &limit {
            None => self.stage.group.try_run_many(&asked, work),
            Some(limit) => self.stage.group.try_run_many_in(limit, &asked, work),
        };
        for (calling, end) in callings.iter().zip(ends) {
            calling.came(Ok(end));
        }
    }

    /// A thread that blocks.
    fn block(&'a self) {
        for _ in 0..STEPS {
            match self.below(10) {
                0..=5 => self.call(self.key(), None),
                6..=7 => self.call_many(),
                8 => self.forget(),
                _ => self.advance(),
            }
        }
    }

    /// A call for a task. Its work wakes itself for as long as it is pending.
    fn begin(&'a self) -> Running<'a> {
        let (caller, plan, limit, key) = (self.caller(), self.plan(), self.limit(), self.key());
        let calling = self.calling(caller, key, limit.as_ref(), None);
        let begun = move || {
            let (working, mut turns) = (self.working(caller, key), plan.turns);
            std::future::poll_fn(move |cx| {
                if turns == 0 {
                    return Poll::Ready(self.result(&working, plan.ending));
                }
                turns -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        };
        let group = &self.stage.group;
        let task = Task::new(async move {
            match &limit {
                None => group.try_run_async(key, begun).await,
                Some(limit) => group.try_run_async_in(limit, key, begun).await,
            }
        });
        Running { task, calling, seen: None }
    }

    /// A thread that polls tasks, each only when it was woken, and never blocks.
    fn poll(&'a self) {
        let mut tasks: Vec<Running<'a>> = Vec::new();
        let mut steps = 0;
        while steps < 2 * STEPS || !tasks.is_empty() {
            steps += 1;
            match self.below(12) {
                0..=3 if steps < 2 * STEPS => tasks.push(self.begin()),
                4 if !tasks.is_empty() => drop(tasks.swap_remove(self.below(tasks.len()))),
                5 if steps < 2 * STEPS => self.forget(),
                6 if steps < 2 * STEPS => self.advance(),
                _ => std::thread::yield_now(),
            }
            let (woken, rest): (Vec<_>, _) = tasks.into_iter().partition(Running::was_woken);
            tasks = rest;
            tasks.extend(woken.into_iter().filter_map(Running::poll));
        }
    }
}

/// A task, and how often it had been woken before it was last polled.
struct Running<'a> {
    task: Task<'a, Flown>,
    calling: Calling<'a>,
    seen: Option<usize>,
}

impl Running<'_> {
    fn was_woken(&self) -> bool {
        self.seen.is_none_or(|seen| self.task.wakes() > seen)
    }

    /// Polls it and returns it if it is not ready.
    fn poll(mut self) -> Option<Self> {
        self.seen = Some(self.task.wakes());
        match catch_unwind(AssertUnwindSafe(|| self.task.poll())) {
            Ok(Poll::Pending) => return Some(self),
            Ok(Poll::Ready(flown)) => self.calling.came(Ok(flown)),
            Err(payload) => self.calling.came(Err(payload)),
        }
        None
    }
}

fn play(seed: u64) {
    let _seed = Seed(seed);
    let mut dice = Dice::new(seed);
    let clock = ManualClock::new();
    let stage = Stage {
        group: Group::builder().shards(1).build().unwrap(),
        keys: 1 + dice.below(3),
        forgets: dice.once_in(2),
        context: Context::with_clock(clock.clone()),
        clock,
        ticks: Ticks::default(),
        callers: AtomicU64::new(0),
        alive: Arc::default(),
    };
    let threads: Vec<bool> = (0..2 + dice.below(3)).map(|_| dice.once_in(2)).collect();
    let barrier = Barrier::new(threads.len());
    let histories = std::thread::scope(|scope| {
        let begun = threads.iter().enumerate().map(|(at, blocks)| {
            let (stage, barrier) = (&stage, &barrier);
            scope.spawn(move || {
                let dice = RefCell::new(Dice::new(seed * 8 + at as u64));
                let player = Player { stage, dice, history: RefCell::default() };
                barrier.wait();
                if *blocks {
                    player.block()
                } else {
                    player.poll()
                }
                player.history.take()
            })
        });
        let begun: Vec<_> = begun.collect();
        begun.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let mut history = History::default();
    histories.into_iter().for_each(|part| history.add(part));
    history.check();
    assert_eq!((stage.group.in_flight(), Arc::strong_count(&stage.alive)), (0, 1));
}

#[test]
fn the_history_of_every_schedule_is_one_that_can_be() {
    (0..SCHEDULES).for_each(play);
}
