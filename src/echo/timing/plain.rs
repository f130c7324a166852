//! Ages of which one look says what to do: most hits are fresh or stale, and have no negative
//! values beside them.

use std::time::Duration;

use super::ages::{Ages, most_early};
use crate::clock::saturating_nanos;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What a value of an age is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::echo) enum Plain {
    /// Fresh, and no refresh of it can come early.
    Fresh,
    /// Stale, and due for a refresh.
    Stale,
}

/// All in nanoseconds.
pub(in crate::echo) struct PlainAges {
    /// Below this a value is fresh, and its refresh cannot come early, as long as loads take what
    /// they took lately. Relaxed: it is an estimate.
    young: AtomicU64,
    /// From here on a value is stale,
    stale_from: u64,
    /// for so long.
    stale_for: u64,
    beta: f64,
}

impl PlainAges {
    pub(in crate::echo) fn new(ages: Ages, beta: f64) -> PlainAges {
        let stale_from = saturating_nanos(ages.refresh_after);
        PlainAges {
            // Before the first load there is nothing to weigh.
            young: AtomicU64::new(stale_from),
            stale_from,
            stale_for: saturating_nanos(ages.expires) - stale_from,
            beta,
        }
    }

    /// There are none.
    pub(in crate::echo) fn none() -> PlainAges {
        PlainAges { young: AtomicU64::new(0), stale_from: 0, stale_for: 0, beta: 0.0 }
    }

    /// Loads take so long now.
    pub(in crate::echo) fn set_load_time(&self, load_time: Duration) {
        let early = saturating_nanos(most_early(self.beta, load_time));
        self.young.store(self.stale_from.saturating_sub(early), Ordering::Relaxed);
    }

    /// `None`: that takes a closer look.
    #[inline(always)]
    pub(in crate::echo) fn verdict(&self, age: Duration) -> Option<Plain> {
        let age = saturating_nanos(age);
        if age < self.young.load(Ordering::Relaxed) {
            Some(Plain::Fresh)
        } else if age.wrapping_sub(self.stale_from) < self.stale_for {
            Some(Plain::Stale)
        } else {
            None
        }
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::super::ages::Verdict;
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_plain_verdict_is_the_verdict() {
        let far = Duration::MAX;
        for ages in [(1, 2, 4), (1, 1, 4), (2, 2, 2), (1, u64::MAX, u64::MAX)] {
            let ages = Ages {
                refresh_after: secs(ages.0),
                expires: secs(ages.1),
                stale_until: secs(ages.2),
            };
            let plain = PlainAges::new(ages, 1.0);
            for load in [None, Some(Duration::from_millis(1)), Some(secs(1)), Some(far)] {
                load.into_iter().for_each(|load| plain.set_load_time(load));
                for age in [0, 900, 999, 1_000, 1_500, 1_999, 2_000, 3_999, 4_000, 9_000] {
                    let age = Duration::from_millis(age);
                    let most = most_early(1.0, load.unwrap_or_default());
                    match plain.verdict(age) {
                        Some(Plain::Fresh) => assert_eq!(ages.verdict(age, most), Verdict::Fresh),
                        Some(Plain::Stale) => assert_eq!(ages.verdict(age, most), Verdict::Stale),
                        None => assert!(age >= ages.expires || age < ages.refresh_after),
                    }
                }
                assert_eq!(plain.verdict(far), None);
            }
        }
        let none = PlainAges::none();
        assert!([0, 1, 100].map(secs).iter().all(|age| none.verdict(*age).is_none()));
    }
}
