//! How long to wait before another try.

use std::time::Duration;

/// Delays that double from `first` to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::echo) struct Backoff {
    pub(in crate::echo) first: Duration,
    pub(in crate::echo) most: Duration,
}

impl Backoff {
    /// The longest delay after so many tries, which are counted from 0.
    pub(in crate::echo) fn ceiling(self, tries: u32) -> Duration {
        let factor = 1_u32.checked_shl(tries).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.most)
    }

    /// A delay after so many tries with full jitter: anything up to the ceiling, so that those who
    /// failed together do not try again together.
    pub(in crate::echo) fn jittered(self, tries: u32, draw: u64) -> Duration {
        let part = draw as f64 / u64::MAX as f64;
        self.ceiling(tries).mul_f64(part.clamp(0.0, 1.0))
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_most() {
        let ms = Duration::from_millis;
        let backoff = Backoff { first: ms(10), most: ms(70) };
        let ceilings: Vec<_> = (0..5).map(|tries| backoff.ceiling(tries)).collect();
        assert_eq!(ceilings, [ms(10), ms(20), ms(40), ms(70), ms(70)]);
        assert_eq!(backoff.ceiling(u32::MAX), ms(70));
        assert_eq!(backoff.jittered(1, 0), Duration::ZERO);
        assert_eq!(backoff.jittered(1, u64::MAX), ms(20));
        let endless = Backoff { first: Duration::MAX, most: Duration::MAX };
        assert_eq!(endless.jittered(7, 0), Duration::ZERO);
    }
}
