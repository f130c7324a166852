//! Refreshes that wait for a thread: bounded, one for each key, run by few workers, which are
//! threads or, if the queue has an executor, jobs of that.
//!
//! # State
//! - `marks`: the keys that have a refresh, from the moment at which it is accepted until it is
//!   over. It waits, or a worker runs it, or it runs outside, on its user's executor.
//! - `hints`: the same, as far as it can be told without the lock.
//! - `waiting`: those that wait, in the order in which they came.
//! - `workers` and `busy`: how many workers there are, and how many of them run something. A thread
//!   that has nothing to do stays for a while; a job leaves.
//! - `closed`: nothing is accepted any more. It is set once.
//!
//! # Invariants
//! - MARKED: a key is in `marks` once, exactly while it has a refresh; so there is at most one.
//! - SERVED: while something waits there is a worker that is not busy and will look, or all workers
//!   are busy and will look, or one is being started by the caller that put it there.
//! - CLOSED: what is accepted is accepted before the queue is closed, under the lock; so whoever
//!   closes it sees all that there will ever be.
//!
//! # Locks
//! One, for a few instructions. What is dropped (refreshes are the user's) is dropped after it.
//!
//! # In the child of a fork
//! The queue is empty: what waited or ran stays the parent's. Nothing is dropped for that.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

use crate::clock::{Clock, SystemClock, Tick};
use crate::contain::{contained, drop_contained};
use crate::executor::{Intake, Stepping, Steps};
use crate::lock::{Lock, LockGuard};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::fork::forks;
use crate::wait::{Event, Wait, WaitList, block_on};
use hints::Hints;

mod hints;
#[cfg(all(test, docache_loom))]
mod model;
#[cfg(all(test, not(docache_loom)))]
mod tests;

/// The name of a worker.
pub(crate) const THREAD: &str = "docache-echo";

/// How long a worker stays that has nothing to do.
const LINGER: Duration = Duration::from_secs(1);

pub(in crate::echo) type Work = Box<dyn FnOnce() + Send>;
pub(in crate::echo) type Spawn = fn(Arc<Queue>) -> io::Result<()>;

#[derive(Debug)]
struct Mark {
    hash: u64,
    key: Arc<str>,
}

struct Waiting {
    hash: u64,
    key: Arc<str>,
    work: Work,
}

struct State {
    marks: HashTable<Mark>,
    waiting: VecDeque<Waiting>,
    workers: usize,
    busy: usize,
    outside: usize,
    /// How many refreshes are over.
    over: usize,
    /// The process that it belongs to.
    forks: u32,
}

impl State {
    fn new() -> State {
        State {
            marks: HashTable::new(),
            waiting: VecDeque::new(),
            workers: 0,
            busy: 0,
            outside: 0,
            over: 0,
            forks: forks(),
        }
    }

    fn is_marked(&self, hash: u64, key: &str) -> bool {
        self.marks.find(hash, |mark| *mark.key == *key).is_some()
    }

    fn mark(&mut self, hash: u64, key: Arc<str>) {
        self.marks.insert_unique(hash, Mark { hash, key }, |mark| mark.hash);
    }

    fn unmark(&mut self, hash: u64, key: &str) -> Option<Mark> {
        let entry = self.marks.find_entry(hash, |mark| *mark.key == *key).ok()?;
        Some(entry.remove().0)
    }

    fn take(&mut self) -> Option<Waiting> {
        let next = self.waiting.pop_front()?;
        self.busy += 1;
        Some(next)
    }
}

/// Whether a refresh was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::echo) enum Offer {
    Accepted,
    /// The key has one.
    Marked,
    Full,
    Closed,
    /// The system gives no thread.
    Threadless,
}

/// What [`Queue::shutdown`] left.
#[derive(Debug, Default)]
pub(in crate::echo) struct Left {
    pub(in crate::echo) drained: usize,
    pub(in crate::echo) dropped: Vec<Arc<str>>,
    pub(in crate::echo) running: Vec<Arc<str>>,
}

pub(in crate::echo) struct Queue {
    state: Lock<State>,
    hints: Hints,
    closed: AtomicBool,
    /// Workers wait here for something to do.
    work: WaitList,
    /// Whoever shuts it down waits here.
    ends: WaitList,
    size: usize,
    workers: usize,
    spawn: Spawn,
    /// What takes workers, if they are no threads.
    intake: Option<Intake>,
}

impl Queue {
    /// A queue for so many refreshes that wait, with so many workers, none of which is there yet:
    /// jobs if there is an `intake` for them, or else threads.
    pub(in crate::echo) fn new(size: usize, workers: usize, intake: Option<Intake>) -> Arc<Queue> {
        let spawn = |queue: Arc<Queue>| crate::housekeeping::spawn(THREAD, move || queue.serve());
        Queue::with(size, workers, spawn, intake)
    }

    fn with(size: usize, workers: usize, spawn: Spawn, intake: Option<Intake>) -> Arc<Queue> {
        Arc::new(Queue {
            state: Lock::new(State::new()),
            hints: Hints::new(size),
            closed: AtomicBool::new(false),
            work: WaitList::new(),
            ends: WaitList::new(),
            size,
            workers,
            spawn,
            intake,
        })
    }

    fn lock(&self) -> LockGuard<'_, State> {
        let (mut state, torn) = self.state.lock_marked();
        if torn || state.forks != forks() {
            std::mem::forget(std::mem::replace(&mut *state, State::new()));
        }
        state
    }

    fn is_closed(&self) -> bool {
        // Relaxed: it decides only under the lock, where it is set.
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether it is plain without the lock that the key has a refresh, or another key that is
    /// taken for it (HINT).
    #[inline(always)]
    pub(in crate::echo) fn hints_at(&self, hash: u64) -> bool {
        self.hints.is_marked(hash)
    }

    /// Whether the key has a refresh.
    pub(in crate::echo) fn is_marked(&self, hash: u64, key: &str) -> bool {
        self.lock().is_marked(hash, key)
    }

    fn add_mark(&self, state: &mut State, hash: u64, key: Arc<str>) {
        state.mark(hash, key);
        self.hints.mark(hash);
    }

    fn take_mark(&self, state: &mut State, hash: u64, key: &str) -> Option<Mark> {
        self.hints.unmark(hash);
        state.unmark(hash, key)
    }

    /// How many keys have a refresh.
    pub(in crate::echo) fn len(&self) -> usize {
        self.lock().marks.len()
    }

    /// Why a refresh is not accepted, if `full` of them is as many as there can be.
    fn refused(&self, state: &State, (hash, key): (u64, &str), full: usize) -> Option<Offer> {
        if self.is_closed() {
            Some(Offer::Closed)
        } else if state.is_marked(hash, key) {
            Some(Offer::Marked)
        } else {
            (full >= self.size).then_some(Offer::Full)
        }
    }

    /// Has `work` run by a worker, unless the key has a refresh or there is no room.
    pub(in crate::echo) fn offer(self: &Arc<Self>, hash: u64, key: &str, work: Work) -> Offer {
        let (key, mut state): (Arc<str>, _) = (key.into(), self.lock());
        if let Some(refused) = self.refused(&state, (hash, &key), state.waiting.len()) {
            drop(state);
            drop_contained(work);
            return refused;
        }
        self.add_mark(&mut state, hash, key.clone());
        state.waiting.push_back(Waiting { hash, key, work });
        // SERVED
        let starts =
            state.workers < self.workers && state.waiting.len() > state.workers - state.busy;
        if starts {
            state.workers += 1;
        }
        drop(state);
        if starts && !self.start_worker() {
            return Offer::Threadless;
        }
        self.work.notify_all();
        Offer::Accepted
    }

    /// Starts a worker, who has his place already. Whether there is one.
    fn start_worker(self: &Arc<Self>) -> bool {
        let Some(adopt) = &self.intake else { return self.start_thread() };
        // One that is refused has seen to a thread.
        adopt(Box::new(Stepping::new(self.clone()))).is_ok() || self.lock().workers > 0
    }

    fn start_thread(self: &Arc<Self>) -> bool {
        (self.spawn)(self.clone()).is_ok() || self.without_a_thread()
    }

    /// A worker could not be started. Whether there are others; if not, nobody will run what waits.
    #[cold]
    fn without_a_thread(&self) -> bool {
        let mut state = self.lock();
        state.workers -= 1;
        if state.workers > 0 {
            drop(state);
            self.work.notify_all();
            return true;
        }
        let dropped = self.empty(&mut state);
        drop(state);
        self.ends.notify_all();
        drop_waiting(dropped);
        false
    }

    /// Takes out all that waits.
    fn empty(&self, state: &mut State) -> (VecDeque<Waiting>, Vec<Mark>) {
        let waiting = std::mem::take(&mut state.waiting);
        let marks =
            waiting.iter().filter_map(|one| self.take_mark(state, one.hash, &one.key)).collect();
        (waiting, marks)
    }

    /// Marks the key for a refresh that runs on its user's executor, until the ticket is dropped.
    pub(in crate::echo) fn mark(self: &Arc<Self>, hash: u64, key: &str) -> Result<Ticket, Offer> {
        let (key, mut state): (Arc<str>, _) = (key.into(), self.lock());
        if let Some(refused) = self.refused(&state, (hash, &key), state.outside) {
            return Err(refused);
        }
        self.add_mark(&mut state, hash, key.clone());
        state.outside += 1;
        let forks = state.forks;
        drop(state);
        Ok(Ticket { queue: self.clone(), hash, key, forks })
    }

    fn end(&self, hash: u64, key: &str, count: impl FnOnce(&mut State) -> &mut usize) {
        let mut state = self.lock();
        let mark = self.take_mark(&mut state, hash, key);
        *count(&mut state) -= 1;
        state.over += 1;
        drop(state);
        drop(mark);
        self.ends.notify_all();
    }

    /// What a worker does that is a thread.
    fn serve(&self) {
        while let Some(next) = self.next() {
            if !self.run(next) {
                return;
            }
        }
    }

    /// Runs a refresh. Whether the worker is still there: not if the refresh has forked and this is
    /// the child.
    fn run(&self, Waiting { hash, key, work }: Waiting) -> bool {
        let forks_before = forks();
        let _ = contained(work);
        if forks_before != forks() {
            return false;
        }
        self.end(hash, &key, |state| &mut state.busy);
        true
    }

    /// What is next; `None` if the worker is to go.
    fn next(&self) -> Option<Waiting> {
        // Time does not pass in a model.
        let deadline = (!cfg!(docache_loom)).then(|| SystemClock.now().after(LINGER));
        let next = block_on(Wait::new(Next(self)), &SystemClock, deadline);
        next.unwrap_or_else(|| self.take_or_leave())
    }

    /// What is next; if nothing is the worker goes.
    fn take_or_leave(&self) -> Option<Waiting> {
        let mut state = self.lock();
        let next = state.take();
        state.workers -= usize::from(next.is_none());
        next
    }

    /// Whether a worker that runs nothing stays; if nothing waits it goes.
    fn stays(&self) -> bool {
        let mut state = self.lock();
        let stays = !state.waiting.is_empty();
        state.workers -= usize::from(!stays);
        stays
    }

    /// Accepts nothing any more, and gives what there is until `deadline` to end. `None` if it was
    /// closed before.
    pub(in crate::echo) fn shutdown(&self, clock: &dyn Clock, deadline: Tick) -> Option<Left> {
        let state = self.lock();
        if self.closed.swap(true, Ordering::Relaxed) {
            return None;
        }
        let before = state.over;
        drop(state);
        self.work.notify_all();
        self.settle(clock, deadline);
        let mut state = self.lock();
        let (waiting, marks) = self.empty(&mut state);
        let running = state.marks.iter().map(|mark| mark.key.clone()).collect();
        let drained = state.over - before;
        drop(state);
        self.work.notify_all();
        let dropped = waiting.iter().map(|one| one.key.clone()).collect();
        drop_waiting((waiting, marks));
        Some(Left { drained, dropped, running })
    }

    /// Waits until nothing waits or runs, or until `deadline`.
    pub(in crate::echo) fn settle(&self, clock: &dyn Clock, deadline: Tick) {
        block_on(Wait::new(Empty(self)), clock, Some(deadline));
    }

    /// Accepts nothing any more, and drops what waits.
    pub(in crate::echo) fn close(&self) {
        let mut state = self.lock();
        self.closed.store(true, Ordering::Relaxed);
        let dropped = self.empty(&mut state);
        drop(state);
        self.work.notify_all();
        self.ends.notify_all();
        drop_waiting(dropped);
    }
}

/// A worker that is a job: each of its steps runs one refresh.
impl Steps for Queue {
    fn step(self: &Arc<Self>) -> bool {
        self.take_or_leave().is_some_and(|next| self.run(next)) && self.stays()
    }

    /// A thread takes its place, if something waits.
    fn lost(self: &Arc<Self>) {
        if self.stays() {
            self.start_thread();
        }
    }
}

/// Drops the user's refreshes, each by itself.
fn drop_waiting((waiting, marks): (VecDeque<Waiting>, Vec<Mark>)) {
    waiting.into_iter().for_each(|one| drop_contained(one.work));
    drop(marks);
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The mark of a refresh that runs outside.
#[derive(Debug)]
pub(in crate::echo) struct Ticket {
    queue: Arc<Queue>,
    hash: u64,
    key: Arc<str>,
    forks: u32,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // In the child of a fork its mark is forgotten.
        if self.forks == forks() {
            self.queue.end(self.hash, &self.key, |state| &mut state.outside);
        }
    }
}

/// Something for a worker to do, or nothing any more.
struct Next<'q>(&'q Queue);

// SAFETY: the list is the queue's, which outlives the event.
unsafe impl Event for Next<'_> {
    type Output = Option<Waiting>;

    fn list(&self) -> &WaitList {
        &self.0.work
    }

    fn check(&mut self) -> Option<Option<Waiting>> {
        let mut state = self.0.lock();
        if let Some(next) = state.take() {
            return Some(Some(next));
        }
        if self.0.is_closed() {
            state.workers -= 1;
            return Some(None);
        }
        None
    }
}

/// Nothing waits or runs.
struct Empty<'q>(&'q Queue);

// SAFETY: the list is the queue's, which outlives the event.
unsafe impl Event for Empty<'_> {
    type Output = ();

    fn list(&self) -> &WaitList {
        &self.0.ends
    }

    fn check(&mut self) -> Option<()> {
        let state = self.0.lock();
        state.marks.is_empty().then_some(())
    }
}
