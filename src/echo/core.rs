//! What an echo cache is set to, and what it counts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::error::{Operation, StoreError, Warning};
use super::fetched::Status;
use super::lock::random;
use super::stats::EchoStats;
use super::store::{Found, Life};
use super::timing::ages::{Ages, Verdict, early};
use super::timing::pauses::Pauses;
use super::timing::plain::{Plain, PlainAges};
use crate::clock::{Clock, Tick, saturating_nanos};
use crate::contain::contained;
use crate::context::Context;

pub(super) type Hook = Arc<dyn Fn(&Warning<'_>) + Send + Sync>;
pub(super) type IsNegative<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;

/// How old values may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lives {
    /// As old as the store keeps them, for so long.
    Kept(Option<Duration>),
    /// By three clocks, and a weight for early refreshes.
    Refreshed(Ages, f64),
}

pub(super) struct Settings<T> {
    pub(super) lives: Lives,
    pub(super) negative: Option<(IsNegative<T>, Duration)>,
    pub(super) lock_ttl: Duration,
    pub(super) lock_wait: Option<Duration>,
    /// For how long a lock is renewed at most.
    pub(super) keep_for: Option<Duration>,
    pub(super) budget: Duration,
    pub(super) record_stats: bool,
    pub(super) hook: Option<Hook>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What becomes of a value that the store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Serve(Status),
    /// Served, and due for a refresh at this age.
    Due(Status, Duration),
    /// Of this age; served only if it cannot be loaded.
    Late(Duration),
    Gone,
}

/// How a load ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Loaded,
    /// With an error or a panic.
    Failed,
    /// Its caller has left.
    Left,
}

/// What there is besides store and flights.
pub(super) struct Core<T> {
    pub(super) settings: Settings<T>,
    /// Bounds calls that are nobody's in particular. It is never done.
    pub(super) root: Context,
    pub(super) counters: Counters,
    /// How long loads take, in nanoseconds, lately; 0 before the first.
    load_time: AtomicU64,
    /// Whether what becomes of a value depends on its age.
    pub(super) needs_age: bool,
    /// Ages that need no closer look.
    plain: PlainAges,
    /// Of caches that serve stale values.
    pub(super) pauses: Option<Pauses>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: AtomicU64,
    pub(super) stale_hits: AtomicU64,
    pub(super) coalesced: AtomicU64,
    pub(super) loads: AtomicU64,
    pub(super) load_failures: AtomicU64,
    pub(super) store_errors: AtomicU64,
    pub(super) lock_waits: AtomicU64,
    pub(super) lost_writes: AtomicU64,
    pub(super) refreshes: AtomicU64,
    pub(super) refresh_failures: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) unattended: AtomicU64,
}

#[inline]
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl<T> Core<T> {
    pub(super) fn new(settings: Settings<T>, pauses: Option<Pauses>) -> Core<T> {
        let root = Context::with_clock(settings.clock.clone());
        let (counters, load_time) = (Counters::default(), AtomicU64::new(0));
        let needs_age =
            settings.negative.is_some() || matches!(settings.lives, Lives::Refreshed(..));
        let plain = match (settings.lives, &settings.negative) {
            (Lives::Refreshed(ages, beta), None) => PlainAges::new(ages, beta),
            _ => PlainAges::none(),
        };
        Core { settings, root, counters, load_time, needs_age, plain, pauses }
    }

    pub(super) fn pauses(&self, f: impl FnOnce(&Pauses)) {
        if let Some(pauses) = &self.pauses {
            f(pauses);
        }
    }

    pub(super) fn now(&self) -> Tick {
        self.settings.clock.now()
    }

    pub(super) fn warn(&self, warning: &Warning<'_>) {
        if let Some(hook) = &self.settings.hook {
            let _ = contained(|| hook(warning));
        }
    }

    /// What a call to the store came to, if it did not fail.
    pub(super) fn heed<R>(
        &self,
        (key, operation): (&str, Operation),
        called: Result<R, StoreError>,
    ) -> Option<R> {
        match called {
            Ok(result) => Some(result),
            Err(error) => {
                count(&self.counters.store_errors);
                self.warn(&Warning::Store { key, operation, error: &error });
                None
            }
        }
    }

    /// A value was not written, since its lock was another's.
    #[cold]
    pub(super) fn lost_write(&self, key: &str) {
        count(&self.counters.lost_writes);
        self.warn(&Warning::LockLost { key });
    }

    /// How long a negative value lives, if this is one.
    pub(super) fn negative_ttl(&self, value: &T) -> Option<Duration> {
        let (is_negative, ttl) = self.settings.negative.as_ref()?;
        contained(|| is_negative(value)).unwrap_or(false).then_some(*ttl)
    }

    /// How long what was just loaded is to be kept.
    pub(super) fn life(&self, value: &T) -> Life {
        let ttl = self.negative_ttl(value).or(match self.settings.lives {
            Lives::Kept(ttl) => ttl,
            Lives::Refreshed(ages, _) => Some(ages.stale_until),
        });
        Life { ttl: ttl.filter(|ttl| *ttl != Duration::MAX), age: Some(Duration::ZERO) }
    }

    #[inline(always)]
    pub(super) fn judge(&self, found: &Found<T>) -> Judged {
        if !self.needs_age {
            return Judged::Serve(Status::Fresh);
        }
        match found.age.and_then(|age| Some((age, self.plain.verdict(age)?))) {
            Some((_, Plain::Fresh)) => Judged::Serve(Status::Fresh),
            Some((age, Plain::Stale)) => Judged::Due(Status::Stale { age }, age),
            None => self.judge_closely(found),
        }
    }

    #[inline(never)]
    fn judge_closely(&self, found: &Found<T>) -> Judged {
        if self.settings.negative.is_some() {
            if let Some(ttl) = self.negative_ttl(&found.value) {
                let is_gone = found.age.is_some_and(|age| age >= ttl);
                return if is_gone { Judged::Gone } else { Judged::Serve(Status::Negative) };
            }
        }
        match (&self.settings.lives, found.age) {
            (Lives::Refreshed(ages, beta), Some(age)) => self.judge_age(ages, *beta, age),
            _ => Judged::Serve(Status::Fresh),
        }
    }

    fn judge_age(&self, ages: &Ages, beta: f64, age: Duration) -> Judged {
        let load_time = self.load_time.load(Ordering::Relaxed);
        // Before the first load there is nothing to weigh.
        let early = if beta > 0.0 && load_time > 0 && age < ages.refresh_after {
            early(beta, Duration::from_nanos(load_time), random())
        } else {
            Duration::ZERO
        };
        match ages.verdict(age, early) {
            Verdict::Fresh => Judged::Serve(Status::Fresh),
            Verdict::Early => Judged::Due(Status::Fresh, age),
            Verdict::Stale => Judged::Due(Status::Stale { age }, age),
            Verdict::Late => Judged::Late(age),
            Verdict::Gone => Judged::Gone,
        }
    }

    /// Whether a value of this age may be served if it cannot be loaded.
    pub(super) fn outlasts_failure(&self, age: Duration) -> bool {
        match self.settings.lives {
            Lives::Kept(_) => false,
            Lives::Refreshed(ages, _) => age < ages.stale_until,
        }
    }

    /// Counts a load that is over, or was dropped.
    pub(super) fn count_load(&self, key: &str, took: Duration, ended: Ended) {
        count(&self.counters.loads);
        match ended {
            Ended::Left => return,
            Ended::Failed => {
                count(&self.counters.load_failures);
                return self.pauses(|pauses| pauses.failed(key));
            }
            Ended::Loaded => self.pauses(|pauses| pauses.succeeded(key)),
        }
        let took = saturating_nanos(took).max(1);
        let before = self.load_time.load(Ordering::Relaxed);
        // An average in which the last eight weigh most. A lost update does no harm.
        let average = if before == 0 { took } else { before - before / 8 + took / 8 };
        self.load_time.store(average.max(1), Ordering::Relaxed);
        self.plain.set_load_time(Duration::from_nanos(average));
    }

    #[inline]
    pub(super) fn count_hit(&self, status: Status) {
        if self.settings.record_stats {
            let counters = &self.counters;
            count(match status {
                Status::Stale { .. } => &counters.stale_hits,
                _ => &counters.hits,
            });
        }
    }

    pub(super) fn stats(&self) -> EchoStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        EchoStats {
            hits: read(&counters.hits),
            stale_hits: read(&counters.stale_hits),
            coalesced: read(&counters.coalesced),
            loads: read(&counters.loads),
            load_failures: read(&counters.load_failures),
            store_errors: read(&counters.store_errors),
            lock_waits: read(&counters.lock_waits),
            lost_writes: read(&counters.lost_writes),
            refreshes: read(&counters.refreshes),
            refresh_failures: read(&counters.refresh_failures),
            refused: read(&counters.refused),
            unattended: read(&counters.unattended),
        }
    }
}

impl<T> fmt::Debug for Core<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("lives", &self.settings.lives)
            .field("lock_ttl", &self.settings.lock_ttl)
            .field("lock_wait", &self.settings.lock_wait)
            .field("store_budget", &self.settings.budget)
            .finish_non_exhaustive()
    }
}
