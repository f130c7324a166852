//! The loop itself: sleep, call the Doer, publish.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::builder::{Schedule, Settings};
use super::doer::Doer;
use super::entry::Entry;
use super::shared::Run;
use super::waits::{Called, Calling};
use crate::clock::{Tick, saturating_nanos};
use crate::error::{Error, Result};
use crate::log::Level;
use crate::sync::thread;
use crate::wait::{Wait, block_on};

/// A Doer whose errors and panics have become ours.
pub(super) trait Work<T>: Send {
    fn perform(&mut self) -> Result<T>;
}

/// Makes a Doer into work.
pub(super) struct Performs<D>(pub(super) D);

impl<D: Doer + Send> Work<D::Output> for Performs<D> {
    fn perform(&mut self) -> Result<D::Output> {
        // A Doer that panicked is called again: its trait's contract.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.0.perform().map_err(|error| {
                // Inside, because this formats the user's error.
                match error.into().downcast::<Error>() {
                    Ok(error) => *error,
                    Err(error) => Error::failed(error),
                }
            })
        }));
        outcome.unwrap_or_else(|payload| {
            let error = Error::panicked(&*payload);
            drop_quietly(payload);
            Err(error)
        })
    }
}

/// Drops what belongs to the user: its destructor may panic, and that must not end the loop.
fn drop_quietly<T>(value: T) {
    // A second panic, in the drop of the first one's payload, is leaked.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        std::mem::forget(payload);
    }
}

/// Runs until somebody asks the run to end.
pub(super) fn drive<T: Send + Sync + 'static>(mut run: Run<T>) {
    run.shared.lock().runner = Some(thread::token());
    run.shared.log(Level::Info, format_args!("started"));
    let mut rhythm = Rhythm::new(run.begun, &run.shared.settings);
    loop {
        let sleep = Wait::new(Calling { shared: run.shared.clone() });
        let clock = &*run.shared.settings.clock;
        let deadline = (rhythm.due != Tick::MAX).then_some(rhythm.due);
        match block_on(sleep, clock, deadline) {
            Some(Called::Stop) => return,
            Some(Called::Refresh) => call(&mut run, &mut rhythm, true),
            None => call(&mut run, &mut rhythm, false),
        }
    }
}

/// Calls the Doer once and publishes what comes of it.
fn call<T: Send + Sync + 'static>(run: &mut Run<T>, rhythm: &mut Rhythm, refresh: bool) {
    let shared = run.shared.clone();
    shared.lock().begun += 1;
    let (started, timestamp) = (shared.now(), shared.settings.clock.wall());
    let lateness = if refresh { Duration::ZERO } else { started.since(rhythm.due) };
    let Some(work) = run.work.as_mut() else { return };
    let result = work.perform();
    let ended = shared.now();
    let duration = ended.since(started);
    let error = result.as_ref().err().cloned();
    let old = shared.publish(|sequence| Entry { result, timestamp, started, duration, sequence });
    let skipped = rhythm.next(ended, refresh, &shared.settings);

    let mut control = shared.lock();
    control.done += 1;
    let stats = &mut control.stats;
    stats.calls += 1;
    stats.skipped_ticks += skipped;
    stats.last_duration = duration;
    stats.last_lateness = lateness;
    stats.max_lateness = stats.max_lateness.max(lateness);
    let before = match &error {
        None => {
            stats.consecutive_failures = 0;
            None
        }
        Some(error) => {
            stats.failures += 1;
            stats.panics += u64::from(error.is_panicked());
            stats.consecutive_failures += 1;
            stats.last_error.replace(error.clone())
        }
    };
    drop(control);
    shared.changed.notify_all();
    drop_quietly((old, before));
    match error {
        None => shared.log(Level::Debug, format_args!("succeeded in {duration:?}")),
        Some(error) if error.is_panicked() => shared.log(Level::Error, format_args!("{error}")),
        Some(error) => shared.log(Level::Warn, format_args!("failed: {error}")),
    }
}

/// When the next call is due.
struct Rhythm {
    /// With jitter.
    due: Tick,
    /// Without: what a fixed rate counts from.
    beat: Tick,
    random: RandomState,
    draws: u64,
}

impl Rhythm {
    fn new(begun: Tick, settings: &Settings) -> Rhythm {
        let beat = begun.after(settings.first_delay);
        Rhythm { due: beat, beat, random: RandomState::new(), draws: 0 }
    }

    /// Goes on after a call that ended at `ended`; how many ticks were skipped.
    fn next(&mut self, ended: Tick, refresh: bool, settings: &Settings) -> u64 {
        let skipped = match settings.schedule {
            Schedule::FixedDelay => {
                self.beat = ended.after(settings.interval);
                0
            }
            // A refresh comes between two beats and leaves them alone.
            Schedule::FixedRate if refresh => return 0,
            Schedule::FixedRate => self.next_beat(ended, settings.interval),
        };
        self.due = self.beat.after(self.jitter(settings.jitter));
        skipped
    }

    /// Moves to the last beat that has come by `ended`, or else to the next; how many lie between.
    fn next_beat(&mut self, ended: Tick, interval: Duration) -> u64 {
        let interval = saturating_nanos(interval);
        let passed = saturating_nanos(ended.since(self.beat)) / interval;
        let beats = passed.max(1);
        self.beat = self.beat.after(Duration::from_nanos(interval.saturating_mul(beats)));
        beats - 1
    }

    /// A random duration of up to `most`.
    fn jitter(&mut self, most: Duration) -> Duration {
        let most = saturating_nanos(most);
        if most == 0 {
            return Duration::ZERO;
        }
        self.draws += 1;
        let random = self.random.hash_one(self.draws);
        Duration::from_nanos(random % most.saturating_add(1))
    }
}
