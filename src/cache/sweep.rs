//! The sweep: one thread for all caches, which takes out what has expired.
//!
//! Each cache that is to be swept has an alarm of its clock. When it goes off the cache is put into the queue of the
//! thread, which sweeps it and sets the next alarm. So the thread sleeps while nothing is due, and a sweep, in which user
//! code may run, holds up neither clocks nor callers.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use super::settings::Time;
use crate::clock::{Alarm, Clock, CoarseClock};
use crate::contain::contained;
use crate::error::{Error, Result};

/// What can be swept.
pub(super) trait Swept: Send + Sync {
    fn sweep(&self);
}

/// The caches that are due.
static DUE: Mutex<VecDeque<Arc<Place>>> = Mutex::new(VecDeque::new());
static COME: Condvar = Condvar::new();

/// A cache's place in the sweep.
struct Place {
    cache: Weak<dyn Swept>,
    time: Time,
    interval: Duration,
    /// The alarm for the next sweep; dropping it takes it back.
    alarm: Mutex<Option<Alarm>>,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        DUE.lock().unwrap_or_else(PoisonError::into_inner).push_back(self);
        COME.notify_one();
    }
}

impl Place {
    fn arm(self: &Arc<Self>) {
        let at = self.time.now().after(self.interval);
        let waker = Waker::from(self.clone());
        let alarm = match &self.time {
            Time::Other(clock) => clock.alarm(at, waker),
            Time::Coarse | Time::Frozen => CoarseClock.alarm(at, waker),
        };
        *self.alarm.lock().unwrap_or_else(PoisonError::into_inner) = Some(alarm);
    }

    fn sweep(self: &Arc<Self>) {
        if let Some(cache) = self.cache.upgrade() {
            // What the sweep calls contains its own panics; a clock or a hasher may have others.
            let _ = contained(|| cache.sweep());
            self.arm();
        }
    }
}

/// A cache's entry in the sweep, for as long as the cache lives.
pub(super) struct Registered(Arc<Place>);

impl Registered {
    pub(super) fn new(cache: Weak<dyn Swept>, time: Time, interval: Duration) -> Registered {
        Registered(Arc::new(Place { cache, time, interval, alarm: Mutex::new(None) }))
    }

    /// Sets the first alarm.
    pub(super) fn arm(&self) {
        self.0.arm();
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let alarm = self.0.alarm.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(alarm);
    }
}

/// Starts the thread, once.
///
/// # Errors
/// The system gives no thread.
pub(super) fn start() -> Result<()> {
    static STARTED: OnceLock<std::io::Result<()>> = OnceLock::new();
    let spawn = || std::thread::Builder::new().name("docache-sweep".into()).spawn(run).map(drop);
    match STARTED.get_or_init(spawn) {
        Ok(()) => Ok(()),
        Err(error) => Err(Error::internal("the thread of the sweep cannot be started", error.to_string())),
    }
}

fn run() {
    loop {
        let mut due = DUE.lock().unwrap_or_else(PoisonError::into_inner);
        let place = loop {
            match due.pop_front() {
                Some(place) => break place,
                None => due = COME.wait(due).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(due);
        place.sweep();
    }
}
