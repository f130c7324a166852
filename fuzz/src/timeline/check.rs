//! Comparisons of the loop cache with its model.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Wake;
use std::time::{Duration, SystemTime};

use docache::{Error, LoopCacheStats, LoopEntry, Snapshot, Tick, View};

use super::model::{Model, Outcome, Record, Shown};
use super::stage::Counted;

pub(super) fn error(error: &Error, outcome: &Outcome) {
    match outcome {
        Outcome::Success => panic!("an error where a success was to be: {error}"),
        Outcome::Failure(message) => {
            assert!(error.is_failed());
            assert_eq!(error.to_string(), message.0);
        }
        Outcome::Panic(message) => {
            assert!(error.is_panicked());
            assert_eq!(error.to_string(), format!("panicked: {}", message.0));
        }
    }
}

pub(super) fn entry(entry: &LoopEntry<Counted>, record: &Record) {
    assert_eq!(entry.sequence(), record.sequence);
    assert_eq!(entry.started(), Tick::from_nanos(record.started));
    assert_eq!(entry.duration(), Duration::from_nanos(record.duration));
    assert_eq!(entry.timestamp(), SystemTime::UNIX_EPOCH + Duration::from_nanos(record.started));
    assert_eq!(entry.value().is_some(), record.outcome == Outcome::Success);
    match entry.result() {
        Ok(value) => assert_eq!(value.sequence, record.sequence),
        Err(found) => error(found, &record.outcome),
    }
}

fn entry_or_none(found: Option<&LoopEntry<Counted>>, record: Option<&Record>) {
    assert_eq!(found.is_some(), record.is_some(), "{found:?}, not {record:?}");
    if let (Some(found), Some(record)) = (found, record) {
        entry(found, record);
    }
}

/// From every side.
pub(super) fn view(view: &View<Counted>, shown: &Shown, capacity: usize) {
    assert_eq!((view.version(), view.capacity()), (shown.version, capacity));
    assert_eq!((view.len(), view.is_empty()), (shown.kept.len(), shown.kept.is_empty()));
    entry_or_none(view.latest(), shown.latest.as_ref());
    entry_or_none(view.newest(), shown.newest.as_ref());
    assert_eq!(view.iter().len(), shown.kept.len());
    view.iter().zip(&shown.kept).for_each(|(found, record)| entry(found, record));
    view.iter().rev().zip(shown.kept.iter().rev()).for_each(|(found, record)| entry(found, record));
    for index in 0..=shown.kept.len() {
        entry_or_none(view.get(index), shown.kept.get(index));
        entry_or_none(view.iter().nth(index), shown.kept.get(index));
    }
    assert!(view.get(usize::MAX).is_none());
}

/// A snapshot, and what it must show for ever.
pub(super) struct Kept {
    pub(super) snapshot: Snapshot<Counted>,
    pub(super) shown: Shown,
    pub(super) capacity: usize,
}

impl Kept {
    pub(super) fn check(&self) {
        view(&self.snapshot, &self.shown, self.capacity);
    }
}

pub(super) fn stats(stats: &LoopCacheStats, model: &Model) {
    let counters = &model.counters;
    assert_eq!(stats.calls, model.shown.version);
    assert_eq!(stats.failures, counters.failures);
    assert_eq!(stats.panics, counters.panics);
    assert_eq!(stats.consecutive_failures, counters.consecutive);
    assert_eq!(stats.skipped_ticks, counters.skipped);
    assert_eq!(stats.last_duration, Duration::from_nanos(counters.last_duration));
    assert_eq!(stats.last_lateness, Duration::from_nanos(counters.last_lateness));
    assert_eq!(stats.max_lateness, Duration::from_nanos(counters.max_lateness));
    assert_eq!(stats.running, model.is_running());
    assert_eq!(stats.last_error.is_some(), counters.last_error.is_some());
    if let (Some(found), Some(outcome)) = (&stats.last_error, &counters.last_error) {
        error(found, outcome);
    }
}

/// A Waker that remembers.
#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn is_up(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
