//! What a scheduler counts.

use std::time::Duration;

/// What is counted under the lock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) calls: u64,
    pub(super) panics: u64,
    pub(super) late: Duration,
    pub(super) stuck: u64,
    pub(super) grown: u64,
}

/// Counters of a [`Scheduler`](super::Scheduler): what there is now, and what has been since it was
/// built.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SchedulerStats {
    /// Worker threads.
    pub workers: usize,
    /// Those that are in a call.
    pub busy: usize,
    /// Loops, closures and what caches have due, including those in a call.
    pub scheduled: usize,
    /// Calls that have ended.
    pub calls: u64,
    /// Calls of closures that panicked. (A Doer's panics are in its loop cache's
    /// [stats](crate::LoopCacheStats::panics).)
    pub panics: u64,
    /// The greatest time by which a call began after it was due.
    pub late: Duration,
    /// How often something was due, and all workers had been in calls that did not return for
    /// longer than the [grace](super::SchedulerBuilder::grace).
    pub stuck: u64,
    /// Workers started because of that, beyond the usual number.
    pub grown: u64,
}
