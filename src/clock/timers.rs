//! Wake-ups owed: the queue behind every alarm, and the thread that serves the real-time one.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::{Alarm, Clock, SystemClock, Tick};
use crate::contain::contained;

/// How long the timer thread stays after its last alarm, so that a burst of short timeouts starts one thread.
const LINGER: Duration = Duration::from_secs(1);

/// Names one alarm: its tick, and a number that tells alarms of one tick apart.
pub(super) type TimerId = (Tick, u64);

/// Alarms by time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: Mutex<Queue>,
    /// Signalled when the thread has to look at the queue again.
    changed: Condvar,
    /// Whether a thread of our own serves this queue (a manual clock's is served by whoever advances it).
    threaded: bool,
}

#[derive(Debug, Default)]
struct Queue {
    alarms: BTreeMap<TimerId, Waker>,
    armed: u64,
    serving: bool,
}

/// The alarms of real time, served by the thread `docache-timer`, which exists only while there are any.
pub(super) fn real() -> &'static Arc<Timers> {
    static REAL: OnceLock<Arc<Timers>> = OnceLock::new();
    REAL.get_or_init(|| Arc::new(Timers { threaded: true, ..Timers::default() }))
}

impl Timers {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms an alarm after a span of real time.
    pub(super) fn arm_in(self: &Arc<Timers>, span: Duration, waker: Waker) -> Alarm {
        self.arm(SystemClock.now().after(span), waker)
    }

    pub(super) fn arm(self: &Arc<Timers>, at: Tick, waker: Waker) -> Alarm {
        let mut queue = self.lock();
        queue.armed += 1;
        let id = (at, queue.armed);
        queue.alarms.insert(id, waker);
        if self.threaded {
            let first = queue.alarms.first_key_value().is_some_and(|(first, _)| *first == id);
            self.serve(&mut queue, first);
        }
        Alarm { timers: self.clone(), id }
    }

    pub(super) fn disarm(&self, id: TimerId) {
        // The waker may be the last owner of something: it is dropped after the lock.
        let waker = self.lock().alarms.remove(&id);
        drop(waker);
    }

    /// Wakes everyone due at `now`, in the order of their ticks.
    pub(super) fn fire(&self, now: Tick) {
        loop {
            let mut queue = self.lock();
            let Some(first) = queue.alarms.first_entry().filter(|first| first.key().0 <= now) else { return };
            let waker = first.remove();
            drop(queue);
            // A waker is foreign code; its panic must not cost the others their wake-up.
            let _ = contained(|| waker.wake());
        }
    }

    /// Sees to it that the thread runs, and looks again if the alarm just armed is its `first`.
    fn serve(self: &Arc<Timers>, queue: &mut Queue, first: bool) {
        if queue.serving {
            if first {
                self.changed.notify_one();
            }
            return;
        }
        let timers = self.clone();
        let thread = std::thread::Builder::new().name("docache-timer".into()).spawn(move || timers.run());
        // With no thread to be had the alarm stays queued, and the next one armed tries again.
        queue.serving = thread.is_ok();
    }

    fn run(&self) {
        let mut queue = self.lock();
        if at == Tick::MAX {
            // It is not queued, and its number is nobody's.
            return Alarm { timers: self.clone(), id: (at, 0) };
        }
        loop {
            let now = SystemClock.now();
            let (wait, idle) = match queue.alarms.first_key_value() {
                Some(((at, _), _)) if *at <= now => {
                    drop(queue);
                    self.fire(now);
                    queue = self.lock();
                    continue;
                }
                Some(((at, _), _)) => (at.since(now), false),
                None => (LINGER, true),
            };
            let (guard, timeout) =
                self.changed.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner);
            queue = guard;
            if idle && timeout.timed_out() && queue.alarms.is_empty() {
                queue.serving = false;
                return;
            }
        }
    }
}
