//! What a cache owes its store: locks that are to be given back, and values whose writers had no
//! time left.
//!
//! A call that takes a lock may come too late for its caller, who goes on without it; the lock may
//! have been taken all the same. And the call that gives it back may fail. Such a lock is owed: a
//! thread of the cache, which is there only while there is something to do, tries again and again
//! until the store answers, or until the lock's time is over in any case.
//!
//! # State
//! A list, and whether a thread serves it. It keeps the cache alive meanwhile.
//!
//! # Invariants
//! - SERVED: while something is owed a thread serves the list, or could not be had; whoever owes
//!   next tries again. `is_served` changes under the lock that the list is behind.
//! - IN-TURN: what fails goes to the end. While the store fails there is one call to it at a time,
//!   and a nap after each.
//!
//! - CLOSED: once the cache is shut down each lock is tried once more, and nobody naps.
//!
//! In the child of a fork nothing is owed: locks are those of the parent.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;

use super::backoff::Backoff;
use super::cache::Inner;
use super::core::count;
use super::error::{Operation, StoreError, Warning};
use super::lock::RefreshLock;
use super::queue::{Offer, Queue};
use super::store::{AsyncStore, Calls, Life, Store, Tasks, Within, Written, blocking};
use crate::clock::{Clock, SystemClock, Tick};
use crate::contain::drop_contained;
use crate::context::Context;
use crate::lock::{Lock, LockGuard};
use crate::sync::fork::forks;
use crate::wait::block_on;

/// As many locks as may be owed. If a store fails for so many, there is more amiss than these.
const MOST: usize = 1_024;

/// How many threads a cache has for its locks at most. One serves what is owed.
const THREADS: usize = 4;

/// Naps between two tries.
const NAPS: Backoff = Backoff { first: Duration::from_millis(5), most: Duration::from_millis(250) };

type Release<S> = fn(&S, &str, &RefreshLock, &Within<'_>) -> Result<(), StoreError>;
type Write<S, T> =
    fn(&S, &str, (&T, Life), &RefreshLock, &Within<'_>) -> Result<Written, StoreError>;

/// How a store is called from here.
pub(super) struct Face<S, T> {
    release: Release<S>,
    write: Write<S, T>,
}

impl<S, T> Clone for Face<S, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, T> Copy for Face<S, T> {}

impl<S, T: Send + Sync> Face<S, T> {
    pub(super) fn threads() -> Face<S, T>
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

    pub(super) fn tasks() -> Face<S, T>
    where
        S: AsyncStore<T>,
    {
        Face {
            release: |store, key, lock, within| {
                drive(Calls::<T>::abandon_refresh(&Tasks(store), key, lock, within))
            },
            write: |store, key, value, lock, within| {
                drive(Tasks(store).finish_refresh(key, value, lock, within))
            },
        }
    }
}

/// Drives a call that its own time bounds.
fn drive<F: Future>(call: F) -> F::Output {
    match block_on(call, &SystemClock, None) {
        Some(called) => called,
        None => unreachable!("there is no deadline"),
    }
}

/// A lock that is to be given back, if need be with the value that was loaded under it.
pub(super) struct Owed<S, T> {
    pub(super) key: Box<str>,
    pub(super) lock: RefreshLock,
    pub(super) value: Option<(T, Life)>,
    pub(super) face: Face<S, T>,
    /// It is not held for longer.
    until: Tick,
}

impl<S, T> Owed<S, T> {
    pub(super) fn new(
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
pub(super) struct Upkeep<S, T> {
    /// Renewals, and the thread that serves what is owed.
    pub(super) queue: Arc<Queue>,
    state: Lock<State<S, T>>,
}

impl<S, T> Upkeep<S, T> {
    pub(super) fn new() -> Upkeep<S, T> {
        Upkeep { queue: Queue::new(usize::MAX, THREADS), state: Lock::new(State::new()) }
    }

    fn lock(&self) -> LockGuard<'_, State<S, T>> {
        let (mut state, torn) = self.state.lock_marked();
        if torn || state.forks != forks() {
            std::mem::forget(std::mem::replace(&mut *state, State::new()));
        }
        state
    }

    /// Whether a thread is to be started for it; an error if there is no room.
    fn push(&self, owed: Owed<S, T>) -> Result<bool, Owed<S, T>> {
        let mut state = self.lock();
        if state.owed.len() >= MOST {
            return Err(owed);
        }
        state.owed.push_back(owed);
        Ok(!std::mem::replace(&mut state.is_served, true))
    }

    /// Puts back what has failed, and says how long to nap; an error if there is no other
    /// try.
    fn again(&self, owed: Owed<S, T>, nap: Context) -> Result<Context, Owed<S, T>> {
        let mut state = self.lock();
        if state.is_closed || state.owed.len() >= MOST {
            return Err(owed);
        }
        state.owed.push_back(owed);
        state.nap = Some(nap.clone());
        Ok(nap)
    }

    /// Ends it, no later than at `deadline`: what is owed is tried once more.
    pub(super) fn shutdown(&self, clock: &dyn Clock, deadline: Tick) {
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
    fn pop(&self) -> Option<Owed<S, T>> {
        let mut state = self.lock();
        let next = state.owed.pop_front();
        state.is_served = next.is_some();
        next
    }
}

impl<S, T, E> Inner<S, T, E> {
    /// Tells that no thread could be had for a lock.
    #[cold]
    pub(super) fn unattended(&self, key: &str, operation: Operation) {
        count(&self.core.counters.unattended);
        self.core.warn(&Warning::Unattended { key, operation });
    }
}

impl<S, T, E> Inner<S, T, E>
where
    S: Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Has a lock given back by a thread of the cache.
    #[cold]
    pub(super) fn owe(self: &Arc<Self>, owed: Owed<S, T>) {
        let settings = &self.core.settings;
        // It may have been granted at the end of the call that took it.
        let until = self.core.now().deadline(settings.lock_ttl.saturating_add(settings.budget));
        let (name, key) = (owed.lock.token(), owed.key.clone());
        let starts = match self.upkeep.push(Owed { until, ..owed }) {
            Ok(starts) => starts,
            Err(owed) => {
                drop_contained(owed);
                return self.unattended(&key, Operation::AbandonRefresh);
            }
        };
        if !starts {
            return;
        }
        let inner = self.clone();
        let hash = FixedState::default().hash_one(name.as_str());
        let offer = self.upkeep.queue.offer(hash, name.as_str(), Box::new(move || inner.serve()));
        if offer != Offer::Accepted {
            // Whoever owes next tries again.
            self.upkeep.lock().is_served = false;
            self.unattended(&key, Operation::AbandonRefresh);
        }
    }

    /// Gives back what is owed, until nothing is.
    fn serve(&self) {
        let mut failures = 0;
        while let Some(owed) = self.upkeep.pop() {
            if self.core.now().is_past(owed.until) {
                drop_contained(owed);
                continue;
            }
            let Some(owed) = self.pay(owed) else {
                failures = 0;
                continue;
            };
            let nap = self.core.root.with_timeout(NAPS.ceiling(failures));
            match self.upkeep.again(owed, nap) {
                Ok(nap) => drive(nap.cancelled()),
                Err(owed) => drop_contained(owed),
            }
            failures = failures.saturating_add(1);
        }
    }

    /// Makes one try; what has failed comes back.
    fn pay(&self, owed: Owed<S, T>) -> Option<Owed<S, T>> {
        let Owed { key, lock, value, face, .. } = &owed;
        let within = self.within(None);
        let Some((value, life)) = value else {
            let released = (face.release)(&self.store, key, lock, &within);
            return released.is_err().then_some(owed);
        };
        match (face.write)(&self.store, key, (value, *life), lock, &within) {
            Ok(Written::Yes) => {}
            Ok(Written::Lost) => self.core.lost_write(key),
            Err(_) => {
                // It may have been written; what is left is the lock.
                let (released, value) = (Owed { value: None, ..owed }, owed.value);
                drop_contained(value);
                return Some(released);
            }
        }
        drop_contained(owed);
        None
    }
}
