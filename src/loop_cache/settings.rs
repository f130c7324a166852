//! What a loop cache runs by.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::context::Context;
use crate::executor::Jobs;
use crate::log::Logger;

/// When the Doer is called again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// An interval after the last call returned: a slow Doer slows the loop down.
    #[default]
    FixedDelay,
    /// An interval after the last call was due. Of the ticks that come during a call the last is
    /// made up for at once; the others, and those that a late call itself makes up for, are skipped
    /// and counted, and the rhythm is kept.
    FixedRate,
}

/// What a builder collects. What each call looks at comes first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Settings {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) logger: Option<Logger>,
    pub(super) capacity: usize,
    pub(super) interval: Duration,
    pub(super) name: String,
    pub(super) first_delay: Duration,
    pub(super) jitter: Duration,
    pub(super) schedule: Schedule,
    pub(super) context: Context,
    /// What it is started on, if not on a thread of its own.
    pub(super) executor: Option<Arc<dyn Jobs>>,
    /// Whether that goes by the same clock.
    pub(super) on_executors_clock: bool,
    /// Whether the Doer has no state that a call which is cut off leaves half-changed.
    #[cfg_attr(docache_loom, allow(dead_code, reason = "models do not fork"))]
    pub(super) stateless: bool,
}
