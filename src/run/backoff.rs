//! How long to wait before another try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::clock::saturating_nanos;

/// How the delays between tries grow.
///
/// A copyable value, for [`Retry`](super::Retry), [`Retrier::set_backoff`](super::Retrier) and
/// [`LoopActor`](super::LoopActor). The default is no delay. Arithmetic saturates.
///
/// ```
/// use docache::run::Backoff;
/// use std::time::Duration;
/// let backoff = Backoff::exponential(Duration::from_millis(10)).capped(Duration::from_secs(1));
/// assert_eq!(backoff.longest(3), Duration::from_millis(40));
/// assert!(backoff.delay(3) <= Duration::from_millis(40)); // anything up to it
/// assert_eq!(backoff.longest(100), Duration::from_secs(1));
/// ```
#[doc(alias = "ExponentialBuilder")]
#[doc(alias = "ConstantBuilder")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    doubles: bool,
    jitter: bool,
    cap: Option<Duration>,
}

impl Backoff {
    /// No delay.
    pub const NONE: Backoff =
        Backoff { first: Duration::ZERO, doubles: false, jitter: false, cap: None };

    /// Always the same delay.
    ///
    /// ```
    /// use docache::run::Backoff;
    /// use std::time::Duration;
    /// assert_eq!(Backoff::constant(Duration::from_secs(1)).delay(7), Duration::from_secs(1));
    /// ```
    #[must_use]
    pub const fn constant(delay: Duration) -> Backoff {
        Backoff { first: delay, ..Backoff::NONE }
    }

    /// Delays with full jitter: each is drawn at random from zero up to a longest one, which is
    /// `first` after the first try and doubles with every other. So those who failed together do
    /// not try again together.
    ///
    /// ```
    /// use docache::run::Backoff;
    /// use std::time::Duration;
    /// let backoff = Backoff::exponential(Duration::from_millis(100));
    /// assert!(backoff.delay(1) <= Duration::from_millis(100));
    /// assert!(backoff.delay(2) <= Duration::from_millis(200));
    /// ```
    #[must_use]
    pub const fn exponential(first: Duration) -> Backoff {
        Backoff { first, doubles: true, jitter: true, cap: None }
    }

    /// The same with no delay longer than `most`.
    #[must_use]
    #[doc(alias = "with_max_delay")]
    pub const fn capped(self, most: Duration) -> Backoff {
        Backoff { cap: Some(most), ..self }
    }

    /// The same with jitter or without. Without it each delay is the longest that it may be.
    ///
    /// ```
    /// use docache::run::Backoff;
    /// use std::time::Duration;
    /// let backoff = Backoff::exponential(Duration::from_secs(1)).jitter(false);
    /// assert_eq!(backoff.delay(4), Duration::from_secs(8));
    /// ```
    #[must_use]
    #[doc(alias = "with_jitter")]
    pub const fn jitter(self, jitter: bool) -> Backoff {
        Backoff { jitter, ..self }
    }

    /// The longest delay that there may be after so many tries.
    #[must_use]
    pub fn longest(&self, tries: u64) -> Duration {
        let doubled = if self.doubles { tries.saturating_sub(1) } else { 0 };
        let delay = if doubled == 0 {
            // What is not multiplied keeps all that a duration can say.
            self.first
        } else {
            let doubled = u32::try_from(doubled).ok();
            let factor = doubled.and_then(|doubled| 1_u64.checked_shl(doubled)).unwrap_or(u64::MAX);
            let delay = u128::from(factor).saturating_mul(self.first.as_nanos());
            u64::try_from(delay).map_or(Duration::MAX, Duration::from_nanos)
        };
        self.cap.map_or(delay, |cap| delay.min(cap))
    }

    /// A delay after so many tries.
    #[must_use]
    pub fn delay(&self, tries: u64) -> Duration {
        let longest = self.longest(tries);
        if self.jitter { draw(longest) } else { longest }
    }
}

/// A random duration of up to `most`, to the nanosecond.
fn draw(most: Duration) -> Duration {
    let most = saturating_nanos(most);
    if most == 0 {
        return Duration::ZERO;
    }
    // The keys differ from one call to the next; the number tells a process from its forked child.
    let random = RandomState::new().hash_one(std::process::id());
    let scaled = (u128::from(random) * (u128::from(most) + 1)) >> 64;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(most))
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn delays_double_up_to_the_cap_and_saturate() {
        let backoff = Backoff::exponential(MS(10)).jitter(false).capped(MS(70));
        let delays: Vec<_> = (0..6).map(|tries| backoff.delay(tries)).collect();
        assert_eq!(delays, [MS(10), MS(10), MS(20), MS(40), MS(70), MS(70)]);
        assert_eq!(backoff.delay(u64::MAX), MS(70));
        let endless = Backoff::exponential(Duration::from_secs(1)).jitter(false);
        assert_eq!(endless.delay(64), Duration::MAX);
        assert_eq!(endless.delay(u64::MAX), Duration::MAX);
        assert_eq!(endless.delay(34), Duration::from_secs(1 << 33));
        assert_eq!(Backoff::constant(Duration::MAX).delay(2), Duration::MAX);
        assert_eq!(Backoff::default().delay(9), Duration::ZERO);
    }

    #[test]
    fn jitter_is_spread_over_all_that_it_may_be() {
        let backoff = Backoff::exponential(MS(500));
        let drawn: Vec<Duration> = (0..1_000).map(|_| backoff.delay(2)).collect();
        assert!(drawn.iter().all(|delay| *delay <= MS(1_000)));
        let low = drawn.iter().filter(|delay| **delay < MS(500)).count();
        assert!((300..700).contains(&low), "{low} of 1,000 in the lower half");
        let constant = Backoff::constant(MS(10)).jitter(true);
        assert!((0..100).any(|_| constant.delay(1) != constant.delay(1)));
        assert_eq!(Backoff::exponential(Duration::ZERO).delay(5), Duration::ZERO);
    }
}
