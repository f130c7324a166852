//! Why a retry came to nothing.

use std::error::Error as StdError;
use std::fmt;

use crate::error::Error;

/// Why no other attempt was made.
///
/// ```
/// use docache::run::{GaveUp, retry};
/// let error = retry(|r| {
///     r.stop();
///     Err::<(), _>("no such user")
/// });
/// assert!(matches!(error.unwrap_err().reason(), GaveUp::Stopped));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum GaveUp {
    /// The attempt said so: [`Retrier::stop`](super::Retrier::stop).
    Stopped,
    /// There have been as many attempts as there may be.
    Attempts,
    /// The next attempt would begin after the budget is spent.
    Budget,
    /// The context is done; the error says whether it was cancelled or timed out.
    Context(Error),
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GaveUp::Stopped => f.write_str("it cannot succeed"),
            GaveUp::Attempts => f.write_str("no attempts are left"),
            GaveUp::Budget => f.write_str("no time is left"),
            GaveUp::Context(error) => error.fmt(f),
        }
    }
}

/// The last error of a call that was retried in vain, with the number of attempts and the reason
/// why there was no other.
///
/// ```
/// use docache::run::Retry;
/// let error = Retry::new().max_attempts(3).run(|_| Err::<(), _>("busy")).unwrap_err();
/// assert_eq!(error.attempts(), 3);
/// assert_eq!(error.to_string(), "gave up after 3 attempts, as no attempts are left: busy");
/// assert_eq!(error.into_last(), Some("busy"));
/// ```
#[derive(Clone, Debug)]
pub struct RetryError<E> {
    pub(super) last: Option<E>,
    pub(super) attempts: u64,
    pub(super) reason: GaveUp,
}

impl<E> RetryError<E> {
    /// The error of the last attempt; `None` only if there was none, because the context was done
    /// before.
    #[must_use]
    pub fn last(&self) -> Option<&E> {
        self.last.as_ref()
    }

    /// The same, for keeps.
    #[must_use]
    pub fn into_last(self) -> Option<E> {
        self.last
    }

    /// How many attempts there were.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    /// Why there was no other.
    #[must_use]
    pub fn reason(&self) -> &GaveUp {
        &self.reason
    }
}

impl<E: fmt::Display> fmt::Display for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attempts, reason) = (self.attempts, &self.reason);
        let s = if attempts == 1 { "" } else { "s" };
        match &self.last {
            Some(last) => write!(f, "gave up after {attempts} attempt{s}, as {reason}: {last}"),
            None => write!(f, "gave up before the first attempt, as {reason}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> StdError for RetryError<E> {}
