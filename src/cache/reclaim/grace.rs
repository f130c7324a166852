//! Grace periods, by number.
//!
//! # Invariants
//! - ONE: `begun - 1 <= ended <= begun`. Both are stored only by whoever may begin a period: the
//!   holder of the lock of `readers` in `records`, of the flag UNDER_WAY in `epochs`.
//! - An era is a value of `begun`, and is over when `ended` is greater. After a
//!   [`cancel`](GracePeriods::cancel) a later period gets the same number, so an era read in between
//!   is over one period later, never earlier.

use crossbeam_utils::CachePadded;

use crate::sync::atomic::{AtomicU64, Ordering};

/// How many periods have begun, and how many have ended. They do so one after the other.
#[derive(Debug)]
pub(super) struct GracePeriods {
    begun: CachePadded<AtomicU64>,
    ended: CachePadded<AtomicU64>,
}

/// When something was retired.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Era(u64);

impl GracePeriods {
    pub(super) fn new() -> GracePeriods {
        GracePeriods {
            begun: CachePadded::new(AtomicU64::new(0)),
            ended: CachePadded::new(AtomicU64::new(0)),
        }
    }

    /// The era of what the caller unlinked before, provided that it has done a SeqCst fence since.
    #[inline]
    pub(super) fn now(&self) -> Era {
        Era(self.begun.load(Ordering::Relaxed))
    }

    /// Whether a period has ended that began after this era was read.
    #[inline]
    pub(super) fn are_past(&self, era: Era) -> bool {
        self.ended.load(Ordering::Acquire) > era.0
    }

    /// How many have ended.
    #[cfg(not(docache_loom))]
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Counts another period as begun. The caller sees to it that only one is under way at a time.
    pub(super) fn begin(&self) {
        self.begun.store(self.begun.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Takes the last [`begin`](Self::begin) back. Eras that were read in between only become over
    /// one period later.
    pub(super) fn cancel(&self) {
        self.begun.store(self.begun.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// Counts all periods that have begun as ended. What their readers did comes before this
    /// (Release).
    pub(super) fn end(&self) {
        self.ended.store(self.begun.load(Ordering::Relaxed), Ordering::Release);
    }
}
