//! Grace periods, by number.
//!
//! # Invariants
//! - ONE: `begun - 1 <= ended <= begun`. (In a child that was forked while a period of `epochs` was
//!   under way, `ended` may be two behind `begun` until the next period ends: cookies elapse later,
//!   never earlier.) Both are stored only by the thread that may begin a period: the holder of the
//!   lock of `holdouts` in `records`, of the flag UNDER_WAY in `epochs`.
//! - COOKIE: a cookie is a value of `begun`, and has elapsed when `ended` is greater. After a
//!   [`cancel`](GracePeriods::cancel) a later period gets the same number, so a cookie taken in
//!   between elapses one period later, never earlier.

use crossbeam_utils::CachePadded;

use crate::sync::atomic::{AtomicU64, Ordering};

/// How many periods have begun, and how many have ended. They do so one after the other.
#[derive(Debug)]
pub(super) struct GracePeriods {
    begun: CachePadded<AtomicU64>,
    ended: CachePadded<AtomicU64>,
}

/// The number of periods that had begun when something was unlinked. (RCU: a grace-period cookie.)
#[derive(Clone, Copy, Debug)]
pub(crate) struct GraceCookie(u64);

impl GraceCookie {
    /// One that does not elapse.
    pub(crate) const NEVER: GraceCookie = GraceCookie(u64::MAX);
}

impl GracePeriods {
    pub(super) fn new() -> GracePeriods {
        GracePeriods {
            begun: CachePadded::new(AtomicU64::new(0)),
            ended: CachePadded::new(AtomicU64::new(0)),
        }
    }

    /// The cookie of what the caller unlinked before, provided that it has done a SeqCst fence
    /// since.
    #[inline]
    pub(super) fn cookie(&self) -> GraceCookie {
        GraceCookie(self.begun.load(Ordering::Relaxed))
    }

    /// Whether a period has ended that began after this cookie was taken.
    #[inline]
    pub(super) fn has_elapsed(&self, cookie: GraceCookie) -> bool {
        self.ended.load(Ordering::Acquire) > cookie.0
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

    /// Takes the last [`begin`](Self::begin) back. Cookies that were taken in between elapse one
    /// period later.
    pub(super) fn cancel(&self) {
        self.begun.store(self.begun.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// Counts all periods that have begun as ended. What their readers did comes before this
    /// (Release).
    pub(super) fn end(&self) {
        self.ended.store(self.begun.load(Ordering::Relaxed), Ordering::Release);
    }
}
