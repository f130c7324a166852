//! Keeping a refresh lock while a thread is busy loading.
//!
//! A thread that loads cannot renew its lock at the same time. So an alarm rings at a third of the
//! lock's time to live, and one thread of the process, which is there only while there is something
//! to renew, makes the call; then the alarm is set again. (A task renews its lock in its own
//! future.)
//!
//! # Invariants
//! - OVER: when the load is over its alarm is taken back, and a renewal that comes late does
//!   nothing; at worst one is under way. A store refuses what it renews for a lock that was given
//!   back.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::time::Duration;

use foldhash::fast::FixedState;

use super::queue::Queue;
use crate::clock::{Alarm, Clock, Tick};
#[cfg(not(docache_loom))]
use crate::housekeeping;
use crate::lock::{Lock, LockGuard};
#[cfg(not(docache_loom))]
use crate::sync::fork;

/// The renewals of the whole process.
fn renewals() -> &'static Arc<Queue> {
    static RENEWALS: OnceLock<Arc<Queue>> = OnceLock::new();
    let make = || Queue::new(usize::MAX, 1);
    #[cfg(docache_loom)]
    return RENEWALS.get_or_init(make);
    #[cfg(not(docache_loom))]
    RENEWALS.get().unwrap_or_else(|| {
        housekeeping::watch();
        fork::exclude(|| RENEWALS.get_or_init(make))
    })
}

#[derive(Default)]
struct State {
    /// And how many were set before it.
    alarm: Option<(u64, Alarm)>,
    turns: u64,
    over: bool,
}

/// Whether the lock is the caller's still.
type Renew = Box<dyn Fn() -> bool + Send + Sync>;

struct Keeping {
    /// Tells it from others among the renewals.
    name: Box<str>,
    clock: Arc<dyn Clock>,
    every: Duration,
    until: Tick,
    renew: Renew,
    state: Lock<State>,
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

    fn arm(self: &Arc<Self>) {
        let turn = {
            let mut state = self.lock();
            state.turns += 1;
            state.turns
        };
        let at = self.clock.now().after(self.every);
        if at > self.until {
            return;
        }
        let alarm = self.clock.alarm(at, Waker::from(self.clone()));
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
        let keeping = self.clone();
        let work = move || {
            if !keeping.is_over() && (keeping.renew)() {
                keeping.arm();
            }
        };
        // Without a thread the lock is not renewed: others may take it.
        let hash = FixedState::default().hash_one(&*self.name);
        renewals().offer(hash, &self.name, Box::new(work));
    }
}

/// Renews a lock until it is dropped.
pub(super) struct Kept(Arc<Keeping>);

impl Kept {
    /// Calls `renew` from time to time, until that says no, or until `until`. `name` is its own.
    pub(super) fn new(
        name: &str,
        (clock, every, until): (Arc<dyn Clock>, Duration, Tick),
        renew: Renew,
    ) -> Kept {
        let (name, state) = (name.into(), Lock::new(State::default()));
        let keeping = Arc::new(Keeping { name, clock, every, until, renew, state });
        keeping.arm();
        Kept(keeping)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.over = true;
        let alarm = state.alarm.take();
        drop(state);
        drop(alarm);
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("every", &self.0.every).finish_non_exhaustive()
    }
}
