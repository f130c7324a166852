//! Keeping a refresh lock while a thread is busy loading.
//!
//! A thread that loads cannot renew its lock at the same time. So an alarm rings at a third of the
//! lock's time to live, and a worker of the [cache's](super::upkeep) makes the call; then the alarm
//! is set again. (A task renews its lock in its own future.)
//!
//! # Invariants
//! - OVER: when the load is over its alarm is taken back, and a renewal that comes late does
//!   nothing; at worst one is under way. A store refuses what it renews for a lock that was given
//!   back.
//! - WEAK: who keeps a lock does not keep the cache alive. So on the timer's thread, where alarms
//!   ring and are dropped, nothing of the user's is ever called or dropped.
//!
//! In the child of a fork alarms of the parent's loads ring in vain.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use foldhash::fast::FixedState;

use super::queue::{Offer, Queue};
use crate::clock::{Alarm, Clock, Tick};
use crate::echo::lock::RefreshLock;
use crate::lock::{Lock, LockGuard};
use crate::sync::fork::forks;

/// The cache, for its locks.
pub(in crate::echo) trait Keeper: Send + Sync {
    fn clock(&self) -> &dyn Clock;

    /// Whether the lock is the caller's still.
    fn renew(&self, key: &str, lock: &RefreshLock) -> bool;

    /// A renewal was not made for want of a thread.
    fn unattended(&self, key: &str);
}

#[derive(Default)]
struct State {
    /// And how many were set before it.
    alarm: Option<(u64, Alarm)>,
    turns: u64,
    over: bool,
    /// A renewal was not made, and there will be no other.
    refused: bool,
}

struct Keeping {
    /// WEAK
    keeper: Weak<dyn Keeper>,
    queue: Arc<Queue>,
    key: Box<str>,
    lock: RefreshLock,
    every: Duration,
    until: Tick,
    state: Lock<State>,
    forks: u32,
}

impl Keeping {
    fn lock(&self) -> LockGuard<'_, State> {
        let (mut state, torn) = self.state.lock_marked();
        if torn {
            // The alarm may be half-written; it rings in vain.
            std::mem::forget(std::mem::take(&mut *state));
        }
        state
    }

    fn is_over(&self) -> bool {
        self.lock().over
    }

    fn arm(self: &Arc<Self>, clock: &dyn Clock) {
        let turn = {
            let mut state = self.lock();
            state.turns += 1;
            state.turns
        };
        let at = clock.now().after(self.every);
        if at > self.until {
            return;
        }
        let alarm = clock.alarm(at, Waker::from(self.clone()));
        let mut state = self.lock();
        // One that has rung by now may have been followed by another.
        let is_late = state.alarm.as_ref().is_some_and(|(kept, _)| *kept > turn);
        let spare = if state.over || is_late {
            Some((turn, alarm))
        } else {
            state.alarm.replace((turn, alarm))
        };
        drop(state);
        drop(spare);
    }
}

impl Wake for Keeping {
    fn wake(self: Arc<Self>) {
        if self.forks != forks() {
            return;
        }
        let keeping = self.clone();
        let work = move || {
            let Some(keeper) = keeping.keeper.upgrade().filter(|_| !keeping.is_over()) else {
                return;
            };
            if keeper.renew(&keeping.key, &keeping.lock) {
                keeping.arm(keeper.clock());
            }
        };
        // The token tells it from others.
        let token = self.lock.token();
        let hash = FixedState::default().hash_one(token.as_str());
        let offer = self.queue.offer(hash, token.as_str(), Box::new(work));
        if !matches!(offer, Offer::Accepted | Offer::Marked) {
            // The hook is not called here, but by whoever loads.
            self.lock().refused = true;
        }
    }
}

/// Renews a lock until it is dropped.
pub(in crate::echo) struct Kept(Arc<Keeping>);

impl Kept {
    /// Has the keeper renew the lock from time to time, until that says no, or until `until`.
    pub(in crate::echo) fn new(
        keeper: &Arc<dyn Keeper>,
        queue: &Arc<Queue>,
        (key, lock): (&str, RefreshLock),
        (every, until): (Duration, Tick),
    ) -> Kept {
        let keeping = Arc::new(Keeping {
            keeper: Arc::downgrade(keeper),
            queue: queue.clone(),
            key: key.into(),
            lock,
            every,
            until,
            state: Lock::new(State::default()),
            forks: forks(),
        });
        keeping.arm(keeper.clock());
        Kept(keeping)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.over = true;
        let (alarm, refused) = (state.alarm.take(), state.refused);
        drop(state);
        drop(alarm);
        if let Some(keeper) = self.0.keeper.upgrade().filter(|_| refused) {
            keeper.unattended(&self.0.key);
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("every", &self.0.every).finish_non_exhaustive()
    }
}
