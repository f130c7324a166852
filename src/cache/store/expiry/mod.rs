//! When the entries of a cache expire, and by which clock.
//!
//! Deadlines are set by the clock of writes, and looked at by that of reads. They are the same
//! clock, unless entries expire only when they are swept: reads then use one that stands still.
//!
//! Below: the [timer wheel](wheel) of the deadlines, and the [cached errors](negative), which
//! expire as well.

pub(super) mod negative;
pub(super) mod wheel;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::place::{Deadline, Meta, Place};
use crate::cache::settings::TimeSource;
use crate::clock::{Tick, saturating_nanos};

/// Times to live of up to this many nanoseconds are counted from the exact time: the coarse clock's
/// lag would be a large part of them.
const EXACT_TTL: u64 = 1_000_000_000;

/// The time to live of what never expires, in nanoseconds.
const FOREVER: u64 = u64::MAX;

/// A time to live in nanoseconds; [`Duration::MAX`] does not end.
#[inline]
fn nanos_of(ttl: Duration) -> u64 {
    if ttl == Duration::MAX { FOREVER } else { saturating_nanos(ttl).min(FOREVER - 1) }
}

pub(crate) struct Expiry {
    /// A conservative bound for the fast path of reads: an entry whose deadline is later than this
    /// is surely live. For the coarse clock it is a moment a little ahead of that, encoded by
    /// [`horizon_of`](crate::clock::horizon_of). For a frozen clock it is the time 0. If reads are
    /// tracked, or the clock is a user's, it is later than any deadline: so every read takes the
    /// slow path.
    horizon: &'static AtomicU64,
    read_clock: TimeSource,
    /// The clock of writes.
    pub(super) clock: TimeSource,
    /// In nanoseconds, or [`FOREVER`].
    ttl: u64,
    jitter: f64,
    /// The same as `ttl` if it is neither short nor without end, and without jitter; else 0.
    plain_ttl: u64,
}

impl Expiry {
    pub(super) fn new(
        clock: TimeSource,
        read_clock: TimeSource,
        (ttl, jitter): (Duration, f64),
        tracks_reads: bool,
    ) -> Expiry {
        let horizon = read_clock.horizon(tracks_reads);
        let ttl = nanos_of(ttl);
        let is_plain = ttl > EXACT_TTL && ttl != FOREVER && jitter <= 0.0;
        let plain_ttl = if is_plain { ttl } else { 0 };
        Expiry { horizon, read_clock, clock, ttl, jitter, plain_ttl }
    }

    /// The first half of [`is_live`](Self::is_live): false also of what is alive but expires soon.
    #[inline(always)]
    pub(super) fn is_surely_live(&self, meta: Meta) -> bool {
        meta.is_after(self.horizon.load(Ordering::Relaxed))
    }

    /// Whether an entry has not expired. Asks the exact clock if its deadline is near. Not for use
    /// under a lock if the clock is a user's: see [`now_for_lock`](Self::now_for_lock).
    #[inline]
    pub(crate) fn is_live<K, V>(&self, entry: &Place<K, V>) -> bool {
        let meta = entry.meta();
        self.is_surely_live(meta) || self.is_live_slow(meta.deadline())
    }

    #[inline(never)]
    pub(super) fn is_live_slow(&self, deadline: Deadline) -> bool {
        deadline == Deadline::NEVER || self.read_clock.is_before(deadline)
    }

    /// What [`is_live_at`](Self::is_live_at) is to go by: a user's clock is read here, before the
    /// lock is taken, since no user code may run under it (QUIET of `shard`). `None` for our own
    /// clock, which can be read there.
    #[inline]
    pub(crate) fn now_for_lock(&self) -> Option<Tick> {
        match &self.read_clock {
            TimeSource::Coarse | TimeSource::Frozen => None,
            TimeSource::Other(..) => Some(self.read_clock.now()),
        }
    }

    /// [`is_live`](Self::is_live) under a shard's lock, with what
    /// [`now_for_lock`](Self::now_for_lock) returned before.
    #[inline]
    pub(super) fn is_live_at<K, V>(&self, entry: &Place<K, V>, now: Option<Tick>) -> bool {
        match now {
            None => self.is_live(entry),
            Some(now) => {
                entry.deadline() == Deadline::NEVER || entry.deadline().is_after(now.as_nanos())
            }
        }
    }

    /// The deadline of what is written now.
    #[inline]
    pub(super) fn deadline_for(&self, hash: u64, ttl: Option<Duration>, now: Tick) -> Deadline {
        if ttl.is_none() && self.plain_ttl > 0 {
            return Deadline::of(Tick::from_nanos(now.as_nanos().saturating_add(self.plain_ttl)));
        }
        self.deadline_by_rule(hash, ttl, now)
    }

    #[inline(never)]
    fn deadline_by_rule(&self, hash: u64, ttl: Option<Duration>, now: Tick) -> Deadline {
        let mut nanos = ttl.map_or(self.ttl, nanos_of);
        if nanos == FOREVER {
            return Deadline::NEVER;
        }
        if self.jitter > 0.0 {
            // Not random, but different between keys and between times, which is enough to spread
            // deadlines.
            let mixed =
                (hash.rotate_left(32) ^ now.as_nanos()).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
            let random = mixed as f64 / (1_u64 << 53) as f64;
            // The product may be a little too large; the cast and the subtraction saturate.
            nanos = nanos.saturating_sub((nanos as f64 * (self.jitter * random)) as u64);
        }
        // A short time to live counts from the exact time, or the entry might have expired before
        // it is stored. A time to live of zero must be over by either clock.
        let exact = nanos <= EXACT_TTL && nanos > 0;
        let now = if exact { self.clock.exact_now() } else { now };
        Deadline::of(Tick::from_nanos(now.as_nanos().saturating_add(nanos)))
    }
}
