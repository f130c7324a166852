//! One thread, tasks that are polled by hand, and a model that knows each step's result.

use crate::common::flight::{Dice, Seed, Task, hush, panic_of};
use crate::model::{Caller, End, Ending, Model, Place};
use docache::{Context, FlightError, KeyedGroup, ManualClock, Shared};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::task::Poll;
use std::time::Duration;

const SCHEDULES: u64 = 10_000;
const STEPS: usize = 60;

/// How many calls are under way at most.
const CALLS: usize = 8;

type Group = KeyedGroup<u8, Caller, Caller>;
type Flown = Result<Shared<Caller>, FlightError<Caller>>;

/// What the work of each call does when it is polled.
#[derive(Default)]
struct Script {
    /// The call whose work ends, and how.
    ends: Cell<Option<(Caller, Ending)>>,
    /// Whether the work calls the group with its own key.
    calls: Cell<bool>,
    /// What that call came to: ready, or waiting.
    called: RefCell<Option<Poll<Flown>>>,
}

/// A call and how often it had been woken when it was last polled.
struct Running<'a> {
    task: Task<'a, Flown>,
    key: u8,
    seen: usize,
}

struct Play<'a> {
    group: &'a Group,
    script: &'a Script,
    clock: &'a ManualClock,
    context: Context,
    dice: Dice,
    model: Model,
    calls: BTreeMap<Caller, Running<'a>>,
    begun: Caller,
    keys: usize,
}

fn result(caller: Caller, ending: Ending) -> Result<Caller, Caller> {
    match ending {
        Ending::Value => Ok(caller),
        Ending::Error => Err(caller),
        Ending::Panic => hush(&caller.to_string()),
    }
}

/// One poll of a call's work.
fn work(group: &Group, script: &Script, caller: Caller, key: u8) -> Poll<Result<Caller, Caller>> {
    if script.calls.take() {
        let mut inner = Task::new(group.try_run_async(key, || async { Ok(Caller::MAX) }));
        *script.called.borrow_mut() = Some(inner.poll());
    }
    match script.ends.get() {
        Some((who, ending)) if who == caller => Poll::Ready(result(caller, ending)),
        _ => Poll::Pending,
    }
}

/// What a call came to, in the model's words.
fn end(flown: Flown) -> End {
    match flown {
        Ok(value) => End::Value { run: *value, led: value.led(), shared: value.is_shared() },
        Err(FlightError::Failed(run)) => End::Error { run: *run },
        Err(FlightError::Panicked(run)) => {
            End::Panicked { run: run.parse().expect("the name of a run") }
        }
        Err(FlightError::Reentrant(_)) => End::Reentrant,
        Err(error) if error.is_timeout() => End::Timeout,
        Err(error) => panic!("{error}"),
    }
}

/// Polls a task; `None` if it is not ready.
fn poll(task: &mut Task<'_, Flown>) -> Option<End> {
    let mut polled = None;
    let payload =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| polled = Some(task.poll()))).err();
    if let Some(payload) = payload {
        let run = payload.downcast::<String>().expect("the work's own payload");
        return Some(End::Panics { run: run.parse().expect("the name of a run") });
    }
    match polled {
        Some(Poll::Ready(flown)) => Some(end(flown)),
        _ => None,
    }
}

impl<'a> Play<'a> {
    fn any_key(&mut self) -> u8 {
        self.dice.below(self.keys) as u8
    }

    fn any_call(&mut self) -> Option<Caller> {
        let count = self.calls.len();
        (count > 0).then(|| *self.calls.keys().nth(self.dice.below(count)).expect("one of them"))
    }

    fn ending(&mut self) -> Ending {
        [Ending::Value, Ending::Value, Ending::Error, Ending::Panic][self.dice.below(4)]
    }

    fn step(&mut self) {
        match self.dice.below(16) {
            0..=4 if self.calls.len() < CALLS => self.begin(),
            5..=7 => self.poll_any(None),
            8..=9 => {
                let ending = self.ending();
                self.poll_any(Some(ending));
            }
            10..=11 => self.drop_any(),
            12 => {
                let key = self.any_key();
                assert_eq!(self.group.forget(&key), self.model.forget(key));
            }
            13 => self.advance(1),
            14 => self.call_on_the_thread(),
            15 => self.call_in_bulk(),
            _ => {}
        }
    }

    /// A new call and its first poll.
    fn begin(&mut self) {
        let (caller, key) = (self.begun, self.any_key());
        self.begun += 1;
        let timeout = self.dice.once_in(3).then(|| self.dice.below(4) as u64);
        let (group, script) = (self.group, self.script);
        let begun = move || std::future::poll_fn(move |_| work(group, script, caller, key));
        let mut task = match timeout {
            None => Task::new(group.try_run_async(key, begun)),
            Some(timeout) => {
                let context = self.context.with_timeout(Duration::from_secs(timeout));
                Task::new(async move { group.try_run_async_in(&context, key, begun).await })
            }
        };
        if self.dice.once_in(20) {
            // A future that was never polled is in no flight.
            return;
        }
        let deadline = timeout.map(|timeout| self.model.now + timeout);
        let expected = self.model.begin(caller, key, deadline);
        assert_eq!(poll(&mut task), expected, "call {caller} begins");
        if expected.is_none() {
            self.calls.insert(caller, Running { task, key, seen: 0 });
        }
    }

    fn poll_any(&mut self, ending: Option<Ending>) {
        if let Some(caller) = self.any_call() {
            self.poll_one(caller, ending);
        }
    }

    fn poll_one(&mut self, caller: Caller, ending: Option<Ending>) {
        let calls = self.dice.once_in(4);
        self.script.ends.set(ending.map(|ending| (caller, ending)));
        self.script.calls.set(calls);
        let works = matches!(self.model.place(caller), Place::Leads | Place::Inherits);
        let inner = (works && calls).then(|| self.expect_inner(caller));
        let expected = self.model.poll(caller, ending);
        let running = self.calls.get_mut(&caller).expect("a call under way");
        assert_eq!(poll(&mut running.task), expected, "call {caller} is polled");
        running.seen = running.task.wakes();
        let called = self.script.called.take().map(|polled| match polled {
            Poll::Ready(flown) => Some(end(flown)),
            Poll::Pending => None,
        });
        assert_eq!(called, inner, "a call inside of {caller}'s work");
        self.script.calls.set(false);
        self.script.ends.set(None);
        if expected.is_some() {
            self.calls.remove(&caller);
        }
    }

    /// What a call of its own key comes to inside the work of `caller`, which leads. If it waits,
    /// it is dropped.
    fn expect_inner(&self, caller: Caller) -> Option<End> {
        let key = self.calls[&caller].key;
        match self.model.flight_of(key) {
            Some(_) if self.model.is_known(caller) => Some(End::Reentrant),
            Some(_) => None,
            None => Some(End::Value { run: Caller::MAX, led: true, shared: false }),
        }
    }

    fn drop_any(&mut self) {
        let Some(caller) = self.any_call() else { return };
        self.model.leave(caller);
        drop(self.calls.remove(&caller));
    }

    fn advance(&mut self, seconds: u64) {
        self.model.now += seconds;
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A call that blocks: only where there is nothing to wait for, since this thread does
    /// everything.
    fn call_on_the_thread(&mut self) {
        let (key, caller) = (self.any_key(), self.begun);
        if self.model.flight_of(key).is_some() {
            return;
        }
        self.begun += 1;
        let ending = self.ending();
        let call = || self.group.try_run(&key, || result(caller, ending));
        let flown = match ending {
            Ending::Panic => {
                let payload = panic_of(call).downcast::<String>().expect("the work's own payload");
                assert_eq!(*payload, caller.to_string());
                return;
            }
            _ => end(call()),
        };
        let expected = match ending {
            Ending::Value => End::Value { run: caller, led: true, shared: false },
            _ => End::Error { run: caller },
        };
        assert_eq!(flown, expected);
    }

    /// A bulk call of all keys that leaves those which are under way, for its work lets its time
    /// run out.
    fn call_in_bulk(&mut self) {
        let keys: Vec<u8> = (0..self.keys as u8).collect();
        let busy: Vec<bool> = keys.iter().map(|key| self.model.flight_of(*key).is_some()).collect();
        if busy.iter().all(|busy| *busy) {
            return;
        }
        let caller = self.begun;
        self.begun += 1;
        let context = self.context.with_timeout(Duration::from_secs(1));
        let asked: Vec<&u8> = keys.iter().collect();
        let ends = self.group.try_run_many_in(&context, &asked, |led| {
            self.clock.advance(Duration::from_secs(1));
            Ok(vec![caller; led.len()])
        });
        self.model.now += 1;
        for (flown, busy) in ends.into_iter().zip(busy) {
            let led = End::Value { run: caller, led: true, shared: false };
            assert_eq!(end(flown), if busy { End::Timeout } else { led });
        }
    }

    /// What holds between the steps.
    fn check(&self) {
        assert_eq!(self.group.in_flight(), self.model.in_flight());
        for (caller, running) in &self.calls {
            let due = self.model.is_due(*caller);
            assert!(!due || running.task.wakes() > running.seen, "nobody woke call {caller}");
        }
    }

    /// Lets everything end: whoever leads gets a value, and the others what comes of it.
    fn finish(&mut self) {
        while !self.calls.is_empty() {
            let callers: Vec<_> = self.calls.keys().copied().collect();
            for caller in callers {
                self.poll_one(caller, Some(Ending::Value));
                self.check();
            }
        }
        assert_eq!(self.group.in_flight(), 0);
    }
}

fn play(seed: u64) {
    let _seed = Seed(seed);
    let mut dice = Dice::new(seed);
    let keys = 1 + dice.below(3);
    let group = Group::builder().shards(1).build().unwrap();
    let (script, clock) = (Script::default(), ManualClock::new());
    let mut play = Play {
        group: &group,
        script: &script,
        clock: &clock,
        context: Context::with_clock(clock.clone()),
        dice,
        model: Model::default(),
        calls: BTreeMap::new(),
        begun: 0,
        keys,
    };
    for _ in 0..STEPS {
        play.step();
        play.check();
    }
    play.finish();
}

#[test]
fn every_step_of_a_schedule_is_as_the_model_says() {
    (0..SCHEDULES).for_each(play);
}
