//! A request: commands that are sent together, and what becomes of them.
//!
//! # State
//! `WAITING` → `DONE`: whoever reads has put the outcome into the slot.
//! `WAITING` → `LEAD` → `DONE` or `LEFT`: its thread is the one that reads, until its own replies
//! are there.
//! `LEAD` → `WAITING`: it had not begun to, and another one reads.
//! `WAITING` → `LEFT`: its caller's time is over; its replies are dropped when they come.
//!
//! # Orderings
//! The outcome is stored under the slot's lock before the word says `DONE` (Release), and taken
//! after it is seen to (Acquire). A waker is stored and looked for under the same lock, so a task
//! finds the outcome or is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use ::redis::Value;

use crate::contain::contained;
use crate::echo::error::{StoreError, StoreErrorKind};
use crate::lock::striped::{Order, Striped};
use crate::sync::parking;

const WAITING: u32 = 0;
const LEAD: u32 = 1;
const DONE: u32 = 2;
const LEFT: u32 = 3;

/// Commands as they are sent.
#[derive(Debug, Default)]
pub(super) struct Commands {
    bytes: Vec<u8>,
    count: usize,
}

impl Commands {
    pub(super) fn new() -> Commands {
        Commands::default()
    }

    /// The same with one more.
    pub(super) fn and(mut self, parts: &[&[u8]]) -> Commands {
        // For one more of the same kind too.
        let size = parts.iter().map(|part| part.len() + 16).sum::<usize>();
        self.bytes.reserve(if self.count == 0 { 2 * size } else { size } + 16);
        self.head(b'*', parts.len());
        for part in parts {
            self.head(b'$', part.len());
            self.bytes.extend_from_slice(part);
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.count += 1;
        self
    }

    fn head(&mut self, kind: u8, number: usize) {
        let mut digits = [0; 20];
        let (mut number, mut at) = (number, digits.len());
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&digits[at..]);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// Why there are no replies.
#[derive(Clone, Debug)]
pub(super) enum Failed {
    Timeout,
    /// There is no connection, or it broke.
    Down(Arc<str>),
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> StoreError {
        match failed {
            Failed::Timeout => StoreError::timeout(),
            Failed::Down(reason) => StoreError::new(StoreErrorKind::Unavailable, &*reason),
        }
    }
}

/// One reply for each command.
pub(super) type Outcome = Result<Vec<Value>, Failed>;

/// Who waits for the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Thread,
    Task,
}

#[derive(Debug, Default)]
struct Slot {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

#[derive(Debug)]
pub(super) struct Request {
    commands: Commands,
    caller: Caller,
    /// To be sent even if its caller has left.
    pub(super) insists: bool,
    word: AtomicU32,
    slot: Striped<Slot>,
}

impl Request {
    pub(super) fn new(commands: Commands, caller: Caller) -> Request {
        Request {
            commands,
            caller,
            insists: false,
            word: AtomicU32::new(WAITING),
            slot: Striped::new(Order::Outer, Slot::default()),
        }
    }

    /// The same, to be sent even if its caller has left.
    pub(super) fn insisting(self, insists: bool) -> Request {
        Request { insists, ..self }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.commands.bytes
    }

    /// How many replies it is to have.
    pub(super) fn count(&self) -> usize {
        self.commands.count
    }

    pub(super) fn is_done(&self) -> bool {
        self.word.load(Ordering::Acquire) == DONE
    }

    pub(super) fn has_left(&self) -> bool {
        self.word.load(Ordering::Acquire) == LEFT
    }

    /// Whether a task waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        self.caller == Caller::Task && self.word.load(Ordering::Acquire) == WAITING
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Its thread leads from the beginning.
    pub(super) fn lead(&self) {
        self.word.store(LEAD, Ordering::Relaxed);
    }

    /// Its thread, if that waits, is to lead once it is [called](Request::call).
    pub(super) fn appoint(&self) -> bool {
        self.caller == Caller::Thread && self.change(WAITING, LEAD)
    }

    /// Its thread waits again.
    pub(super) fn dismiss(&self) {
        self.change(LEAD, WAITING);
    }

    pub(super) fn call(&self) {
        parking::wake_one(&self.word);
    }

    /// Its caller leaves, unless there is something for it to see to.
    pub(super) fn leave(&self) -> bool {
        self.change(WAITING, LEFT)
    }

    /// The leading caller has stopped leading.
    pub(super) fn step_down(&self) {
        self.change(LEAD, LEFT);
    }

    pub(super) fn deliver(&self, outcome: Outcome) {
        let mut slot = self.slot.lock();
        slot.outcome = Some(outcome);
        let waker = slot.waker.take();
        // Before the word says so: who sees that does not wait for a thread that stands still here.
        drop(slot);
        // AcqRel: see the module's head.
        let before = self.word.swap(DONE, Ordering::AcqRel);
        match (before, self.caller) {
            (WAITING, Caller::Thread) => self.call(),
            (WAITING, Caller::Task) => {
                if let Some(waker) = waker {
                    // It is the task's, and its panic is nobody else's.
                    let _ = contained(|| waker.wake());
                }
            }
            _ => {}
        }
    }

    /// What it came to, once.
    pub(super) fn take(&self) -> Option<Outcome> {
        let mut slot = self.slot.lock();
        slot.outcome.take()
    }

    /// What it came to, or this one is woken when it has.
    pub(super) fn take_or_wake(&self, waker: &Waker) -> Option<Outcome> {
        let waker = waker.clone();
        let mut slot = self.slot.lock();
        let outcome = slot.outcome.take();
        let before = match outcome {
            Some(_) => slot.waker.take(),
            None => slot.waker.replace(waker),
        };
        drop(slot);
        drop(before);
        outcome
    }

    /// Blocks until something has happened or the time is over.
    pub(super) fn wait(&self, until: Instant) -> Waited {
        loop {
            match self.word.load(Ordering::Acquire) {
                WAITING => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        if self.leave() {
                            return Waited::Over;
                        }
                        continue;
                    }
                    parking::wait(&self.word, WAITING, Some(left.max(Duration::from_micros(1))));
                }
                LEAD => return Waited::Lead,
                _ => return Waited::Done,
            }
        }
    }
}

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Done,
    Lead,
    Over,
}
