//! When the next call is due.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::clock::{Tick, saturating_nanos};
use crate::loop_cache::settings::{Schedule, Settings};

/// The sequence of due times of one run. [`Tick::MAX`] does not come.
pub(super) struct Ticker {
    /// With jitter.
    pub(super) due: Tick,
    /// Without: what a fixed rate counts from.
    tick: Tick,
    // Copies: they lie beside what is used with them.
    schedule: Schedule,
    /// In nanoseconds.
    interval: u64,
    jitter: u64,
    random: RandomState,
    draws: u64,
}

impl Ticker {
    pub(super) fn new(begun: Tick, settings: &Settings) -> Ticker {
        let tick = begun.deadline(settings.first_delay);
        let (interval, jitter) =
            (saturating_nanos(settings.interval), saturating_nanos(settings.jitter));
        let (schedule, random) = (settings.schedule, RandomState::new());
        Ticker { due: tick, tick, schedule, interval, jitter, random, draws: 0 }
    }

    /// Goes on after a call that lasted so long; how many ticks were skipped.
    pub(super) fn next(&mut self, (started, ended): (Tick, Tick), refresh: bool) -> u64 {
        let skipped = match self.schedule {
            Schedule::FixedDelay => {
                self.tick = ended.after(Duration::from_nanos(self.interval));
                0
            }
            // A refresh comes between two ticks and leaves them alone.
            Schedule::FixedRate if refresh => return 0,
            Schedule::FixedRate => self.next_tick(started, ended),
        };
        self.due = self.tick.after(self.draw());
        skipped
    }

    /// Moves to the last tick that has come during the call, or else to the next after it; how many
    /// lie between. A call that begins late is the one that makes up for all that came before it.
    fn next_tick(&mut self, started: Tick, ended: Tick) -> u64 {
        let interval = self.interval;
        let passed = |at: Tick| saturating_nanos(at.since(self.tick)) / interval;
        let ticks = passed(ended).max(passed(started).saturating_add(1));
        self.tick = self.tick.after(Duration::from_nanos(interval.saturating_mul(ticks)));
        ticks - 1
    }

    /// A random duration of up to the jitter.
    fn draw(&mut self) -> Duration {
        let most = self.jitter;
        if most == 0 {
            return Duration::ZERO;
        }
        self.draws += 1;
        let random = self.random.hash_one(self.draws);
        Duration::from_nanos(random % most.saturating_add(1))
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_spread_over_all_that_it_may_be() {
        let mut ticker = Ticker {
            due: Tick::default(),
            tick: Tick::default(),
            schedule: Schedule::FixedDelay,
            interval: 1_000_000_000,
            jitter: 0,
            random: RandomState::new(),
            draws: 0,
        };
        assert_eq!(ticker.draw(), Duration::ZERO);
        let most = Duration::from_secs(1);
        ticker.jitter = saturating_nanos(most);
        let drawn: Vec<Duration> = (0..1_000).map(|_| ticker.draw()).collect();
        assert!(drawn.iter().all(|jitter| *jitter <= most));
        let low = drawn.iter().filter(|jitter| **jitter < most / 2).count();
        assert!((300..700).contains(&low), "{low} of 1,000 in the lower half");
    }
}
