//! How soon something is repeated.

use std::collections::VecDeque;
use std::time::Duration;

use super::backoff::Backoff;
use crate::clock::Tick;

/// What a [`LoopActor`](super::LoopActor) says of its repeats.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    pub(super) pause: Duration,
    pub(super) backoff: Backoff,
    /// So many failures in any span of this length.
    pub(super) limit: Option<(usize, Duration)>,
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    /// Since the last success.
    failures: u64,
    /// When the last ones were; as many as there may be in a span.
    recent: VecDeque<Tick>,
}

impl Pacer {
    /// How long to wait after a success.
    pub(super) fn succeeded(&mut self, pace: &Pace) -> Duration {
        self.failures = 0;
        pace.pause
    }

    /// How long to wait after a failure at `now`.
    pub(super) fn failed(&mut self, pace: &Pace, now: Tick) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let wait = pace.pause.max(pace.backoff.delay(self.failures));
        let Some((most, span)) = pace.limit else { return wait };
        self.recent.push_back(now);
        if self.recent.len() > most {
            self.recent.pop_front();
        }
        // The next failure is to come after the oldest has left the span.
        let oldest = self.recent.front().filter(|_| self.recent.len() >= most);
        wait.max(oldest.map_or(Duration::ZERO, |oldest| oldest.after(span).since(now)))
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Tick {
        Tick::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_pause_is_the_least_and_a_backoff_grows_until_a_success() {
        let backoff = Backoff::exponential(SECOND).jitter(false);
        let pace = Pace { pause: 2 * SECOND, backoff, limit: None };
        let mut pacer = Pacer::default();
        let waits: Vec<u64> = (0..4).map(|_| pacer.failed(&pace, at(0)).as_secs()).collect();
        assert_eq!(waits, [2, 2, 4, 8]);
        assert_eq!(pacer.succeeded(&pace), 2 * SECOND);
        assert_eq!(pacer.failed(&pace, at(0)), 2 * SECOND);
    }

    #[test]
    fn in_no_span_are_there_more_failures_than_may_be() {
        let pace = Pace { limit: Some((3, 10 * SECOND)), ..Pace::default() };
        let mut pacer = Pacer::default();
        let (mut now, mut failures) = (at(0), Vec::new());
        for _ in 0..10 {
            failures.push(now);
            now = now.after(pacer.failed(&pace, now));
        }
        assert_eq!(&failures[..5], [at(0), at(0), at(0), at(10), at(10)]);
        for window in failures.windows(4) {
            assert!(window[3].since(window[0]) >= 10 * SECOND, "{window:?}");
        }
        // Failures that are far apart cost nothing.
        let mut pacer = Pacer::default();
        for failure in 0..10 {
            assert_eq!(pacer.failed(&pace, at(failure * 5)), Duration::ZERO);
        }
    }
}
