//! What a cache is built from.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Waker;
use std::time::Duration;

use super::policy::PolicyKind;
use super::stats::Cause;
use super::store::place::Deadline;
use crate::clock::{self, Alarm, Clock, CoarseClock, Tick};
use crate::flight::ErrorStyle;

pub(crate) type Weigher<K, V> = Box<dyn Fn(&K, &V) -> u32 + Send + Sync>;
pub(crate) type Listener<K, V> = Arc<dyn Fn(&K, &V, Cause) + Send + Sync>;
/// Is given each pass of the background over the cache, which it does or leaves out.
#[cfg(not(docache_loom))]
pub(crate) type Around = Arc<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub(crate) enum TimeSource {
    Coarse,
    /// A user's clock, and what it said when the cache was made: an origin may be far away.
    Other(Arc<dyn Clock>, Tick),
    /// Time stands still: nothing expires.
    Frozen,
}

impl TimeSource {
    /// Where to look first. Tracked reads are to look again.
    pub(crate) fn horizon(&self, tracks_reads: bool) -> &'static AtomicU64 {
        static ALWAYS_LOOK_AGAIN: AtomicU64 = AtomicU64::new(u64::MAX);
        static STANDING_STILL: AtomicU64 = AtomicU64::new(clock::horizon_of(0));
        match self {
            _ if tracks_reads => &ALWAYS_LOOK_AGAIN,
            TimeSource::Coarse => clock::horizon(),
            TimeSource::Other(..) => &ALWAYS_LOOK_AGAIN,
            TimeSource::Frozen => &STANDING_STILL,
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Tick {
        match self {
            TimeSource::Coarse => CoarseClock.now(),
            TimeSource::Other(clock, origin) => since(*origin, clock.now()),
            TimeSource::Frozen => Tick::default(),
        }
    }

    /// Whether a deadline has not come. The exact time is asked for only if it is near.
    #[inline]
    pub(crate) fn is_before(&self, deadline: Deadline) -> bool {
        let far = |now: Tick| deadline.is_after(now.after(clock::MARGIN).as_nanos());
        matches!(self, TimeSource::Frozen)
            || matches!(self, TimeSource::Coarse) && far(CoarseClock.now())
            || deadline.is_after(self.exact_now().as_nanos())
    }

    /// The time where it matters that the coarse clock is behind.
    #[inline]
    pub(crate) fn exact_now(&self) -> Tick {
        match self {
            TimeSource::Coarse => clock::exact(),
            TimeSource::Other(..) | TimeSource::Frozen => self.now(),
        }
    }

    /// An alarm at a time of this clock, unless that never comes.
    #[cfg_attr(docache_loom, allow(dead_code, reason = "models have no background"))]
    pub(crate) fn alarm(&self, at: Tick, waker: Waker) -> Option<Alarm> {
        match self {
            TimeSource::Other(clock, origin) => {
                let at = Tick::from_nanos(origin.as_nanos().checked_add(at.as_nanos())?);
                (at != Tick::MAX).then(|| clock.alarm(at, waker))
            }
            TimeSource::Coarse | TimeSource::Frozen => {
                (at != Tick::MAX).then(|| CoarseClock.alarm(at, waker))
            }
        }
    }
}

fn since(origin: Tick, now: Tick) -> Tick {
    Tick::from_nanos(now.as_nanos().saturating_sub(origin.as_nanos()))
}

/// All that a builder was told.
pub(crate) struct Settings<K, V, E, S> {
    pub(crate) hasher: S,
    /// A power of two.
    pub(crate) shards: usize,
    pub(crate) kind: PolicyKind,
    /// In entries, or in weight if there is a weigher.
    pub(crate) limit: Option<u64>,
    pub(crate) weigher: Option<Weigher<K, V>>,
    pub(crate) listener: Option<Listener<K, V>>,
    /// The clock of writers.
    pub(crate) clock: TimeSource,
    /// The clock that readers see expiry by.
    pub(crate) read_clock: TimeSource,
    pub(crate) ttl: Duration,
    /// By which part of it a TTL may be shortened.
    pub(crate) jitter: f64,
    pub(crate) record_stats: bool,
    /// How long errors are cached, and how many.
    pub(crate) negative: Option<(Duration, usize)>,
    /// Which errors are.
    pub(crate) caches_error: fn(&E) -> bool,
    /// How fetches fail.
    pub(crate) error_style: ErrorStyle<K>,
}
