//! What a cache owes its store: locks that are to be given back, and values whose writers had no
//! time left.
//!
//! A call that takes a lock may come too late for its caller, who goes on without it; the lock may
//! have been taken all the same. And the call that gives it back may fail. Such a lock is owed: a
//! thread of the cache, which is there only while there is something to do, or a job of its
//! executor's, tries again and again until the store answers, or until the lock's time is over in
//! any case.
//!
//! # State
//! A list, and whether anybody serves it, who keeps the cache alive meanwhile.
//!
//! # Invariants
//! - SERVED: while something is owed somebody serves the list, or could not be had; whoever owes
//!   next tries again. `is_served` changes under the lock that the list is behind.
//! - IN-TURN: what fails goes to the end. While the store fails there is one call to it at a time,
//!   and a nap after each.
//! - CLOSED: once the cache is shut down each lock is tried once more, and nobody naps.
//!
//! In the child of a fork nothing is owed: locks are those of the parent.
//!
//! The work is in [`load`](crate::echo::load).

use std::collections::VecDeque;
use std::sync::Arc;

use super::queue::Queue;
use crate::clock::{Clock, Tick};
use crate::context::Context;
use crate::echo::error::StoreError;
use crate::echo::lock::RefreshLock;
use crate::echo::store::{AsyncStore, Calls, Life, Store, Tasks, Within, Written, blocking, drive};
use crate::executor::Jobs;
use crate::lock::{Lock, LockGuard};
use crate::sync::fork::forks;

/// As many locks as may be owed. If a store fails for so many, there is more amiss than these.
const MOST: usize = 1_024;

/// How many threads a cache has for its locks at most. One serves what is owed.
const THREADS: usize = 4;

pub(in crate::echo) type Release<S> =
    fn(&S, &str, &RefreshLock, &Within<'_>) -> Result<(), StoreError>;
pub(in crate::echo) type Write<S, T> =
    fn(&S, &str, (&T, Life), &RefreshLock, &Within<'_>) -> Result<Written, StoreError>;

/// How a store is called from here.
pub(in crate::echo) struct Face<S, T> {
    pub(in crate::echo) release: Release<S>,
    pub(in crate::echo) write: Write<S, T>,
}

impl<S, T> Clone for Face<S, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, T> Copy for Face<S, T> {}

impl<S, T: Send + Sync> Face<S, T> {
    pub(in crate::echo) fn threads() -> Face<S, T>
    where
        S: Store<T>,
    {
        Face {
            release: |store, key, lock, within| {
                blocking(|| store.abandon_refresh(key, lock, within))
            },
            write: |store, key, (value, life), lock, within| {
                blocking(|| store.finish_refresh(key, value, life, lock, within))
            },
        }
    }

    pub(in crate::echo) fn tasks() -> Face<S, T>
    where
        S: AsyncStore<T>,
    {
        Face {
            release: |store, key, lock, within| {
                drive(Calls::<T>::abandon_refresh(&Tasks(store), key, lock, within))
            },
            write: |store, key, (value, life), lock, within| {
                drive(Tasks(store).finish_refresh(key, value, life, lock, within))
            },
        }
    }
}

/// A lock that is to be given back, if need be with the value that was loaded under it.
pub(in crate::echo) struct Owed<S, T> {
    pub(in crate::echo) key: Box<str>,
    pub(in crate::echo) lock: RefreshLock,
    pub(in crate::echo) value: Option<(T, Life)>,
    pub(in crate::echo) face: Face<S, T>,
    /// It is not held for longer.
    pub(in crate::echo) until: Tick,
}

impl<S, T> Owed<S, T> {
    pub(in crate::echo) fn new(
        (key, lock): (&str, RefreshLock),
        value: Option<(T, Life)>,
        face: Face<S, T>,
    ) -> Owed<S, T> {
        Owed { key: key.into(), lock, value, face, until: Tick::MAX }
    }
}

struct State<S, T> {
    owed: VecDeque<Owed<S, T>>,
    is_served: bool,
    is_closed: bool,
    /// The nap between two tries, which a shutdown ends.
    nap: Option<Context>,
    forks: u32,
}

impl<S, T> State<S, T> {
    fn new() -> State<S, T> {
        State {
            owed: VecDeque::new(),
            is_served: false,
            is_closed: false,
            nap: None,
            forks: forks(),
        }
    }
}

/// What a cache does in the background for its locks.
pub(in crate::echo) struct Upkeep<S, T> {
    /// Renewals, and who serves what is owed.
    pub(in crate::echo) queue: Arc<Queue>,
    /// What the cache's jobs run on, if not on threads of its own.
    pub(in crate::echo) executor: Option<Arc<dyn Jobs>>,
    state: Lock<State<S, T>>,
}

impl<S, T> Upkeep<S, T> {
    pub(in crate::echo) fn new(executor: Option<Arc<dyn Jobs>>) -> Upkeep<S, T> {
        let intake = executor.as_ref().map(|executor| executor.intake());
        let queue = Queue::new(usize::MAX, THREADS, intake);
        Upkeep { queue, executor, state: Lock::new(State::new()) }
    }

    fn lock(&self) -> LockGuard<'_, State<S, T>> {
        let (mut state, torn) = self.state.lock_marked();
        if torn || state.forks != forks() {
            std::mem::forget(std::mem::replace(&mut *state, State::new()));
        }
        state
    }

    /// Whether a thread is to be started for it; an error if there is no room.
    pub(in crate::echo) fn push(&self, owed: Owed<S, T>) -> Result<bool, Owed<S, T>> {
        let mut state = self.lock();
        if state.owed.len() >= MOST {
            return Err(owed);
        }
        state.owed.push_back(owed);
        Ok(!std::mem::replace(&mut state.is_served, true))
    }

    /// No thread could be had; whoever owes next tries again.
    pub(in crate::echo) fn not_served(&self) {
        self.lock().is_served = false;
    }

    /// Puts back what has failed, and says how long to nap; an error if there is no other
    /// try.
    pub(in crate::echo) fn again(
        &self,
        owed: Owed<S, T>,
        nap: Context,
    ) -> Result<Context, Owed<S, T>> {
        let mut state = self.lock();
        if state.is_closed || state.owed.len() >= MOST {
            return Err(owed);
        }
        state.owed.push_back(owed);
        state.nap = Some(nap.clone());
        Ok(nap)
    }

    /// Ends it, no later than at `deadline`: what is owed is tried once more.
    pub(in crate::echo) fn shutdown(&self, clock: &dyn Clock, deadline: Tick) {
        let nap = {
            let mut state = self.lock();
            state.is_closed = true;
            state.nap.take()
        };
        if let Some(nap) = nap {
            nap.cancel();
        }
        self.queue.settle(clock, deadline);
    }

    /// The next one; if there is none the list is not served any more.
    pub(in crate::echo) fn pop(&self) -> Option<Owed<S, T>> {
        let mut state = self.lock();
        let next = state.owed.pop_front();
        state.is_served = next.is_some();
        next
    }
}
