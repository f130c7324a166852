//! How old a value may be, for what. No state and no time in here: what comes out depends on what
//! goes in.

use std::time::Duration;

use crate::clock::saturating_nanos;
use crate::error::{Error, Result};

/// What can be done with a value of an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::echo) enum Verdict {
    /// Served.
    Fresh,
    /// Served as fresh, and refreshed in the background before it is stale.
    Early,
    /// Served as stale, and refreshed in the background.
    Stale,
    /// Served as stale only if it cannot be loaded.
    Late,
    /// Not served.
    Gone,
}

/// The three clocks of an entry (RFC 5861), each counted from its load:
/// `refresh_after <= expires <= stale_until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::echo) struct Ages {
    pub(in crate::echo) refresh_after: Duration,
    pub(in crate::echo) expires: Duration,
    pub(in crate::echo) stale_until: Duration,
}

impl Ages {
    pub(in crate::echo) fn check(self) -> Result<Ages> {
        if self.refresh_after.is_zero() {
            let accepted = "give at least 1ns";
            return Err(Error::invalid_argument("refresh_after", "0ns", accepted));
        }
        let ordered = |name, value: Duration, least: Duration, of| {
            if value >= least {
                return Ok(());
            }
            let accepted = format!("give at least {of}, which is {least:?}");
            Err(Error::invalid_argument(name, format_args!("{value:?}"), &accepted))
        };
        ordered("expires", self.expires, self.refresh_after, "refresh_after")?;
        ordered("stale_until", self.stale_until, self.expires, "expires")?;
        Ok(self)
    }

    /// What can be done with a value that was loaded so long ago. `early` is by how much a refresh
    /// may come before its time.
    pub(in crate::echo) fn verdict(self, age: Duration, early: Duration) -> Verdict {
        if age >= self.stale_until {
            Verdict::Gone
        } else if age >= self.expires {
            Verdict::Late
        } else if age >= self.refresh_after {
            Verdict::Stale
        } else if !early.is_zero() && age.saturating_add(early) >= self.refresh_after {
            Verdict::Early
        } else {
            Verdict::Fresh
        }
    }
}

/// By how much a refresh comes early (XFetch, Vattani and others, VLDB 2015): `beta` times the time
/// that a load takes, times a number of an exponential distribution. So callers do not all find the
/// value stale at once, and what takes longer to load is begun sooner. `draw` is of `0..=u64::MAX`.
pub(in crate::echo) fn early(beta: f64, load: Duration, draw: u64) -> Duration {
    // Of (0, 1]: its logarithm is finite.
    let uniform = ((draw >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    let by = -uniform.ln() * beta * load.as_secs_f64();
    Duration::try_from_secs_f64(by).unwrap_or(Duration::MAX)
}

/// No less than the most that [`early`] can be: `-ln(2^-53)` is 36.74.
pub(super) fn most_early(beta: f64, load: Duration) -> Duration {
    // The cast saturates.
    Duration::from_nanos((saturating_nanos(load) as f64 * beta * 36.8) as u64)
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    const AGES: Ages = Ages { refresh_after: secs(1), expires: secs(2), stale_until: secs(4) };

    #[test]
    fn each_verdict_begins_at_its_clock() {
        let almost = |clock: Duration| clock - Duration::from_nanos(1);
        for (age, verdict) in [
            (secs(0), Verdict::Fresh),
            (almost(secs(1)), Verdict::Fresh),
            (secs(1), Verdict::Stale),
            (almost(secs(2)), Verdict::Stale),
            (secs(2), Verdict::Late),
            (almost(secs(4)), Verdict::Late),
            (secs(4), Verdict::Gone),
            (Duration::MAX, Verdict::Gone),
        ] {
            assert_eq!(AGES.verdict(age, secs(0)), verdict, "{age:?}");
        }
        assert_eq!(AGES.verdict(Duration::from_millis(400), secs(0)), Verdict::Fresh);
        assert_eq!(AGES.verdict(Duration::from_millis(400), secs(1)), Verdict::Early);
        assert_eq!(AGES.verdict(secs(3), Duration::MAX), Verdict::Late);
    }

    #[test]
    fn clocks_that_are_not_in_order_are_refused() {
        let text = |ages: Ages| ages.check().unwrap_err().to_string();
        assert_eq!(
            text(Ages { refresh_after: secs(0), ..AGES }),
            "refresh_after: 0ns is not accepted; give at least 1ns"
        );
        assert_eq!(
            text(Ages { refresh_after: secs(3), ..AGES }),
            "expires: 2s is not accepted; give at least refresh_after, which is 3s"
        );
        assert_eq!(
            text(Ages { expires: secs(5), ..AGES }),
            "stale_until: 4s is not accepted; give at least expires, which is 5s"
        );
        assert!(AGES.check().is_ok());
        assert!(Ages { refresh_after: secs(4), expires: secs(4), ..AGES }.check().is_ok());
    }

    #[test]
    fn how_early_a_refresh_comes() {
        assert_eq!(early(1.0, secs(1), u64::MAX), Duration::ZERO);
        assert_eq!(early(0.0, secs(1), 0), Duration::ZERO);
        assert!(early(1.0, secs(1), 0) > secs(36), "ln of 2^-53");
        assert_eq!(early(f64::MAX, Duration::MAX, 0), Duration::MAX);
        for (beta, load) in [(1.0, secs(1)), (0.1, secs(3_600)), (7.5, Duration::from_nanos(100))] {
            let (most, bound) = (early(beta, load, 0), most_early(beta, load));
            assert!(most <= bound && bound <= most * 2, "{most:?} {bound:?}");
        }
        assert_eq!(most_early(0.0, secs(1)), Duration::ZERO);
        assert!(most_early(f64::MAX, Duration::MAX) > secs(1 << 34));
        let mean =
            (0..1_000).map(|k| early(1.0, secs(1), k * (u64::MAX / 1_000))).sum::<Duration>()
                / 1_000;
        assert!((0.9..1.1).contains(&mean.as_secs_f64()), "{mean:?}");
    }
}
