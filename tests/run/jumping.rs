//! A clock on which nobody ever waits: whoever asks for an alarm finds that the time has come.

use docache::{Alarm, Clock, ManualClock, Tick};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub(crate) struct JumpingClock {
    time: ManualClock,
    waits: Arc<Mutex<Vec<Duration>>>,
}

impl JumpingClock {
    /// Lets time pass as work does.
    pub(crate) fn advance(&self, span: Duration) {
        self.time.advance(span);
    }

    /// How long the waits were that somebody has asked for.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap().clone()
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Tick {
        self.time.now()
    }

    fn alarm(&self, at: Tick, waker: Waker) -> Alarm {
        let span = at.since(self.now());
        self.waits.lock().unwrap().push(span);
        self.time.advance(span);
        self.time.alarm(at, waker)
    }

    fn real_time_until(&self, _: Tick) -> Option<Duration> {
        None
    }
}
