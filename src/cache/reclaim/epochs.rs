//! Where there is no `membarrier`: the epochs of [`crossbeam_epoch`].
//!
//! Its garbage lists are not used: they would run destructors inside some reader's pin, on a thread that has nothing to do
//! with them. Instead a deferred function ends a [period](super::periods).
//!
//! # Invariants
//! - GRACE: what was unlinked before an era was read is out of every reader's sight once a later period has ended.
//!
//! # Orderings
//! GRACE needs that a reader who pins after the period has begun does not find what was unlinked. A sequentially consistent
//! fence stands between the unlinking and the reading of the era, and the collector has one in each pin. The era was read
//! before the period began, so its fence stands before that of the pin under which it did, and that before the pins of the
//! readers in question.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_epoch::{Collector, Guard, LocalHandle};

use super::periods::Periods;

/// A collector of our own: no other library's destructors run in our readers' pins, and their guards do not hold ours up.
fn collector() -> &'static Collector {
    static COLLECTOR: OnceLock<Collector> = OnceLock::new();
    COLLECTOR.get_or_init(Collector::new)
}

thread_local!(static LOCAL: LocalHandle = collector().register());

pub(super) fn pin() -> Guard {
    LOCAL.try_with(LocalHandle::pin).unwrap_or_else(|_| collector().register().pin())
}

/// Begins a period if none is under way, and takes a step towards the end of the one that is.
pub(super) fn advance(periods: &'static Periods) {
    static UNDER_WAY: AtomicBool = AtomicBool::new(false);
    if !UNDER_WAY.load(Ordering::Relaxed) && !UNDER_WAY.swap(true, Ordering::Acquire) {
        // Before the pin.
        periods.begin();
        pin().defer(|| {
            periods.end();
            UNDER_WAY.store(false, Ordering::Release);
        });
    }
    pin().flush();
}
