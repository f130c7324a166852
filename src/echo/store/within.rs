//! How long a fetch may spend on its store.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Tick, saturating_nanos};
use crate::context::Context;

/// How long the calls of one fetch to its store may take together.
///
/// Time begins to count in a call when the call first asks here. So a store that answers from
/// memory and does not ask pays nothing, not even for a look at the clock; one that may wait asks
/// before all else.
///
/// ```
/// use docache::Context;
/// use docache::echo::Within;
/// use std::time::Duration;
/// let context = Context::background();
/// let within = Within::new(&context, Duration::from_millis(50));
/// assert!(within.left() <= Duration::from_millis(50));
/// assert!(within.context().deadline().is_some());
/// ```
pub struct Within<'a> {
    base: &'a Context,
    /// Nanoseconds, counted down when a call is over.
    left: AtomicU64,
    /// The tick at which the call first asked.
    began: AtomicU64,
    /// Whether `Found::left` is of use.
    asks_left: AtomicBool,
}

/// The call has not asked.
const NOT_BEGUN: u64 = u64::MAX;

impl<'a> Within<'a> {
    /// At most `budget`, and no longer than `context` allows.
    #[must_use]
    pub fn new(context: &'a Context, budget: Duration) -> Within<'a> {
        Within {
            base: context,
            left: AtomicU64::new(saturating_nanos(budget)),
            began: AtomicU64::new(NOT_BEGUN),
            asks_left: AtomicBool::new(true),
        }
    }

    /// The same for calls whose caller has no use for [`Found::left`](super::Found::left).
    pub(in crate::echo) fn without_left(self) -> Within<'a> {
        Within { asks_left: AtomicBool::new(false), ..self }
    }

    /// Asks the stores that are called with this to tell how long they will keep what they find.
    /// A store that keeps copies of what another one has found needs it.
    pub fn ask_left(&self) {
        // Relaxed: it is one call's.
        self.asks_left.store(true, Ordering::Relaxed);
    }

    /// Whether the caller has a use for [`Found::left`](super::Found::left). A cache itself has
    /// none, so that a store for which it costs something may leave it out.
    ///
    /// ```
    /// use docache::Context;
    /// use docache::echo::Within;
    /// use std::time::Duration;
    /// let context = Context::background();
    /// let within = Within::new(&context, Duration::from_millis(50));
    /// assert!(within.asks_left(), "by default");
    /// ```
    #[must_use]
    pub fn asks_left(&self) -> bool {
        self.asks_left.load(Ordering::Relaxed)
    }

    fn deadline(&self) -> Tick {
        // Relaxed: it is one call's.
        let mut began = self.began.load(Ordering::Relaxed);
        if began == NOT_BEGUN {
            began = self.base.clock().now().as_nanos().min(NOT_BEGUN - 1);
            self.began.store(began, Ordering::Relaxed);
        }
        let left = Duration::from_nanos(self.left.load(Ordering::Relaxed));
        let end = Tick::from_nanos(began).deadline(left);
        self.base.deadline().map_or(end, |own| own.min(end))
    }

    /// A context that is done when the time is over. O(1), allocates.
    #[must_use]
    pub fn context(&self) -> Context {
        self.base.with_deadline(self.deadline())
    }

    /// How much time is left; zero if it is over.
    #[must_use]
    pub fn left(&self) -> Duration {
        let deadline = self.deadline();
        if self.base.is_done() {
            return Duration::ZERO;
        }
        deadline.since(self.base.clock().now())
    }

    /// Whether its caller has left: whatever has failed since, that need not be the store's fault.
    pub(crate) fn is_left(&self) -> bool {
        self.base.is_done()
    }

    /// The time that there is for the next call.
    pub(crate) fn budget(&self) -> Duration {
        Duration::from_nanos(self.left.load(Ordering::Relaxed))
    }

    /// The same for what comes after the call that was just made; another context bounds it.
    pub(crate) fn rest<'b>(&self, context: &'b Context) -> Within<'b> {
        let mut left = self.left.load(Ordering::Relaxed);
        let began = self.began.load(Ordering::Relaxed);
        if began != NOT_BEGUN {
            let took = self.base.clock().now().since(Tick::from_nanos(began));
            left = left.saturating_sub(saturating_nanos(took));
        }
        Within::new(context, Duration::from_nanos(left))
    }
}

impl fmt::Debug for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Within")
            .field("left", &Duration::from_nanos(self.left.load(Ordering::Relaxed)))
            .finish_non_exhaustive()
    }
}
