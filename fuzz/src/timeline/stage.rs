//! The stage: a manual clock that sees when the loop falls asleep, and a Doer that can be held in
//! its call.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, SystemTime};

use docache::{Alarm, Clock, Context, Doer, ManualClock, Record, Tick};

use super::model::{Outcome, Settings};
use crate::patience::soon;

/// The loop cache's name.
pub(super) const NAME: &str = "on stage";

/// What the loop's thread and the test share.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub(super) clock: ManualClock,
    /// When the loop, asleep, is to wake, and how many calls it had begun when it fell asleep.
    asleep: Mutex<Option<(u64, u64)>>,
    /// Calls begun.
    calls: AtomicU64,
    hold: Mutex<Hold>,
    /// Cancelled by the next call.
    pub(super) cancel_next: Mutex<Option<Context>>,
    /// Log records of each level, from `Error` to `Debug`.
    records: [AtomicU64; 4],
    /// Values that there are.
    pub(super) live: AtomicI64,
}

/// Whether calls are held up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hold {
    #[default]
    No,
    /// The next call is to be held.
    Next,
    /// A call is held.
    Held,
}

impl Stage {
    /// Forgets an earlier sleep.
    pub(super) fn forget_sleep(&self) {
        *self.asleep.lock().expect("not poisoned") = None;
    }

    /// Waits until the loop sleeps after `calls` calls; until when it does.
    pub(super) fn await_sleep(&self, calls: u64, due: (u64, u64)) -> u64 {
        let mut until = 0;
        soon("the loop's sleep until its next call", || {
            match *self.asleep.lock().expect("not poisoned") {
                Some((at, begun)) if begun == calls && (due.0..=due.1).contains(&at) => {
                    until = at;
                    true
                }
                _ => false,
            }
        });
        until
    }

    pub(super) fn record(&self, record: &Record<'_>) {
        assert_eq!(record.target(), NAME);
        self.records[record.level() as usize - 1].fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn records(&self) -> [u64; 4] {
        self.records.each_ref().map(|records| records.load(Ordering::SeqCst))
    }

    pub(super) fn hold_next(&self) {
        self.set_hold(Hold::Next);
    }

    pub(super) fn await_held(&self) {
        soon("a call that was asked for", || self.hold() == Hold::Held);
    }

    pub(super) fn release(&self) {
        self.set_hold(Hold::No);
    }

    fn hold(&self) -> Hold {
        *self.hold.lock().expect("not poisoned")
    }

    fn set_hold(&self, hold: Hold) {
        *self.hold.lock().expect("not poisoned") = hold;
    }

    fn enter(&self) {
        if self.hold() == Hold::Next {
            self.set_hold(Hold::Held);
            soon("the release of a call", || self.hold() == Hold::No);
        }
    }
}

/// The stage's clock.
#[derive(Clone, Debug)]
pub(super) struct Watched(pub(super) Arc<Stage>);

impl Clock for Watched {
    fn now(&self) -> Tick {
        self.0.clock.now()
    }

    fn wall(&self) -> SystemTime {
        self.0.clock.wall()
    }

    fn alarm(&self, at: Tick, waker: Waker) -> Alarm {
        let begun = self.0.calls.load(Ordering::SeqCst);
        *self.0.asleep.lock().expect("not poisoned") = Some((at.as_nanos(), begun));
        self.0.clock.alarm(at, waker)
    }

    fn real_time_until(&self, _: Tick) -> Option<Duration> {
        None
    }
}

/// A value that is counted while it lives.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) sequence: u64,
    stage: Arc<Stage>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.stage.live.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The Doer: does what its settings say.
pub(super) struct Actor {
    pub(super) stage: Arc<Stage>,
    pub(super) settings: Settings,
}

impl Doer for Actor {
    type Output = Counted;
    type Error = String;

    fn perform(&mut self) -> Result<Counted, String> {
        let stage = &self.stage;
        let sequence = stage.calls.fetch_add(1, Ordering::SeqCst) + 1;
        stage.enter();
        let (outcome, takes) = self.settings.deed(sequence);
        stage.clock.advance(Duration::from_nanos(takes));
        if let Some(context) = stage.cancel_next.lock().expect("not poisoned").take() {
            context.cancel();
        }
        match outcome {
            Outcome::Success => {
                stage.live.fetch_add(1, Ordering::SeqCst);
                Ok(Counted { sequence, stage: stage.clone() })
            }
            Outcome::Failure(message) => Err(message.0),
            // Past the panic hook, which would end the fuzzer.
            Outcome::Panic(message) => std::panic::resume_unwind(Box::new(message.0)),
        }
    }
}
