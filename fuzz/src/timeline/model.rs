//! The model: what a loop cache is, told one step after the other.

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::input::{Text, list};

/// A tick that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// What one call of the Doer does.
#[derive(Arbitrary, Clone, Debug)]
pub(super) struct Deed {
    pub(super) outcome: Outcome,
    /// How long it takes.
    takes: u8,
}

/// How one call of the Doer ends.
#[derive(Arbitrary, Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure(Text),
    Panic(Text),
}

/// How the loop cache is built, and what its Doer does.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) interval: u64,
    pub(super) first_delay: u64,
    pub(super) jitter: u64,
    pub(super) fixed_rate: bool,
    pub(super) capacity: usize,
    pub(super) deeds: Vec<Deed>,
}

impl<'a> Arbitrary<'a> for Settings {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Settings> {
        let fixed_rate = bool::arbitrary(u)?;
        let delay = u8::arbitrary(u)?;
        let interval = u8::arbitrary(u)?;
        let jitter = u8::arbitrary(u)?;
        let most = usize::from(u8::arbitrary(u)? % 16);
        Ok(Settings {
            interval: if interval >= 250 { NEVER } else { u64::from(interval % 32) + 1 },
            first_delay: match delay {
                0..=159 => 0,
                160..=250 => u64::from(delay - 159),
                251..=255 => NEVER,
            },
            // Under a fixed rate it may decide how many calls a long wait brings.
            jitter: if fixed_rate { 0 } else { u64::from(jitter.saturating_sub(200)) },
            fixed_rate,
            capacity: usize::from(u8::arbitrary(u)? % 41),
            deeds: list(u, most)?,
        })
    }
}

impl Settings {
    /// What the `sequence`-th call does, and how long it takes: after the script's end no time, so
    /// that a rate that the Doer cannot keep up with does not keep it busy for ever.
    pub(super) fn deed(&self, sequence: u64) -> (Outcome, u64) {
        let Ok(index) = usize::try_from(sequence - 1) else { return (Outcome::Success, 0) };
        match self.deeds.get(index) {
            Some(deed) => (deed.outcome.clone(), u64::from(deed.takes)),
            None if self.deeds.is_empty() => (Outcome::Success, 0),
            None => (self.deeds[index % self.deeds.len()].outcome.clone(), 0),
        }
    }
}

/// One result.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) sequence: u64,
    pub(super) outcome: Outcome,
    pub(super) started: u64,
    pub(super) duration: u64,
}

/// What readers see.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) kept: VecDeque<Record>,
    pub(super) latest: Option<Record>,
    pub(super) newest: Option<Record>,
    pub(super) version: u64,
}

/// The counters.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) failures: u64,
    pub(super) panics: u64,
    pub(super) consecutive: u64,
    pub(super) skipped: u64,
    pub(super) last_duration: u64,
    pub(super) last_lateness: u64,
    pub(super) max_lateness: u64,
    pub(super) last_error: Option<Outcome>,
}

/// A run: when the next call is due, at the earliest and at the latest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    beat: u64,
    pub(super) due: (u64, u64),
}

/// The loop cache.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) settings: Settings,
    pub(super) now: u64,
    pub(super) shown: Shown,
    pub(super) counters: Counters,
    pub(super) run: Option<Run>,
    /// Runs begun.
    runs: u64,
    pub(super) cancelled: bool,
}

impl Model {
    pub(super) fn new(settings: Settings) -> Model {
        let (shown, counters) = (Shown::default(), Counters::default());
        Model { settings, now: 0, shown, counters, run: None, runs: 0, cancelled: false }
    }

    pub(super) fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// How many log records there must be of each level, from `Error` to `Debug`.
    pub(super) fn records(&self) -> [u64; 4] {
        let Counters { failures, panics, .. } = self.counters;
        let beginnings_and_ends = 2 * self.runs - u64::from(self.is_running());
        [panics, failures - panics, beginnings_and_ends, self.shown.version - failures]
    }

    pub(super) fn advance(&mut self, span: u64) {
        self.now = self.now.saturating_add(span);
    }

    /// A run begins.
    pub(super) fn begin(&mut self) {
        // The end of time does not come, but a first call without delay does, also there.
        let beat = match self.settings.first_delay {
            0 => self.now.min(NEVER - 1),
            delay => self.now.saturating_add(delay),
        };
        self.run = Some(Run { beat, due: (beat, beat) });
        self.runs += 1;
    }

    /// Makes all calls that are due.
    pub(super) fn catch_up(&mut self) {
        while let Some(Run { due: (due, _), .. }) = self.run {
            if due == NEVER || due > self.now {
                return;
            }
            self.call(due);
        }
    }

    /// A call that was due then begins and ends.
    pub(super) fn call(&mut self, due: u64) {
        self.finish_call(self.now, self.now - due, false);
    }

    /// A call that was asked for begins and ends.
    pub(super) fn refresh(&mut self) {
        self.finish_call(self.now, 0, true);
    }

    /// A call that began at `started` does what its script says, and ends.
    pub(super) fn finish_call(&mut self, started: u64, lateness: u64, refresh: bool) {
        let sequence = self.shown.version + 1;
        let (outcome, takes) = self.settings.deed(sequence);
        self.advance(takes);
        let record = Record { sequence, outcome, started, duration: self.now - started };
        self.count(&record, lateness);
        self.publish(record);
        self.schedule(started, refresh);
    }

    fn count(&mut self, record: &Record, lateness: u64) {
        let counters = &mut self.counters;
        counters.last_duration = record.duration;
        counters.last_lateness = lateness;
        counters.max_lateness = counters.max_lateness.max(lateness);
        if record.outcome == Outcome::Success {
            counters.consecutive = 0;
            return;
        }
        counters.failures += 1;
        counters.consecutive += 1;
        counters.panics += u64::from(matches!(record.outcome, Outcome::Panic(_)));
        counters.last_error = Some(record.outcome.clone());
    }

    fn publish(&mut self, record: Record) {
        let shown = &mut self.shown;
        shown.version = record.sequence;
        shown.newest = Some(record.clone());
        if record.outcome == Outcome::Success {
            shown.latest = Some(record.clone());
        }
        shown.kept.push_back(record);
        if shown.kept.len() > self.settings.capacity {
            shown.kept.pop_front();
        }
    }

    /// Decides when the next call is due, after one that began at `started`.
    fn schedule(&mut self, started: u64, refresh: bool) {
        let (now, interval) = (self.now, self.settings.interval);
        let Some(run) = &mut self.run else { return };
        if !self.settings.fixed_rate {
            run.beat = now.saturating_add(interval);
        } else if !refresh {
            // The last beat that has come since the call began, or else the next.
            let passed = |at: u64| at.saturating_sub(run.beat) / interval;
            let beats = passed(now).max(passed(started).saturating_add(1));
            run.beat = run.beat.saturating_add(interval.saturating_mul(beats));
            self.counters.skipped = self.counters.skipped.saturating_add(beats - 1);
        }
        run.due = (run.beat, run.beat.saturating_add(self.settings.jitter));
    }
}
