//! A suite that every store passes: what the caches rely on, check by check.
//!
//! ```
//! use docache::echo::{MemoryStore, conformance};
//! conformance::check(|| MemoryStore::new(1_000));
//! ```
//!
//! A store of one's own is checked in the same way, in a test; one that is for tasks only by
//! [`check_async`]. Seven [broken](broken) stores are shipped with the suite, each of which fails
//! the check that is [named](broken::Flaw::check) for it.

mod checks;
mod driven;

pub mod broken;

use std::fmt;
use std::time::Duration;

use super::{AsyncStore, Store, Within};
use crate::contain::contained;
use crate::context::Context;
use driven::Driven;

/// Has a store checked, a new and empty one for each check.
///
/// # Panics
/// If a check fails; the message has all that fail.
pub fn check<S: Store<String>>(make: impl Fn() -> S) {
    Suite::new().run(make).unwrap();
}

/// [`check`] for a store that is for tasks. Futures are driven on the calling thread, and some on
/// threads that the check starts; a store that needs a runtime brings a handle of it along.
///
/// # Panics
/// As [`check`].
///
/// ```
/// use docache::echo::{MemoryStore, conformance};
/// conformance::check_async(|| MemoryStore::new(1_000));
/// ```
pub fn check_async<S: AsyncStore<String>>(make: impl Fn() -> S) {
    Suite::new().run_async(make).unwrap();
}

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The name of the check.
    pub check: &'static str,
    /// What went wrong.
    pub message: String,
}

/// The checks that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Report {
    failures: Vec<Failure>,
}

impl Report {
    /// What failed.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Ends a test.
    ///
    /// # Panics
    /// If a check failed.
    pub fn unwrap(&self) {
        assert!(self.failures.is_empty(), "the store does not conform:\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failures
            .iter()
            .try_for_each(|Failure { check, message }| writeln!(f, "{check}: {message}"))
    }
}

/// How the suite lets time pass.
type Pass<'s> = Box<dyn Fn(Duration) + 's>;

/// The suite, for stores that are special.
///
/// ```
/// use docache::ManualClock;
/// use docache::echo::conformance::Suite;
/// use docache::echo::{MemoryStore, SingleStore};
/// let clock = ManualClock::new();
/// let make = || SingleStore::with_clock(clock.clone());
/// Suite::new().single_key().time(|span| clock.advance(span)).run(make).unwrap();
/// ```
pub struct Suite<'s> {
    keys: Vec<String>,
    pass: Pass<'s>,
    ttl: Duration,
    budget: Duration,
}

impl Default for Suite<'_> {
    fn default() -> Self {
        Suite::new()
    }
}

impl<'s> Suite<'s> {
    /// A suite in which 200 ms are the shortest time to live, and time passes by itself.
    #[must_use]
    pub fn new() -> Suite<'s> {
        Suite {
            keys: checks::KEYS.iter().map(ToString::to_string).collect(),
            pass: Box::new(std::thread::sleep),
            ttl: Duration::from_millis(200),
            budget: Duration::from_secs(5),
        }
    }

    /// The store ignores the key.
    #[must_use]
    pub fn single_key(self) -> Self {
        self.keys::<String>([])
    }

    /// The keys that are put beside each other, for a store that cannot keep apart all. By default
    /// they are keys with letters, spaces and signs of all kinds, the empty one, one of 200
    /// characters, and `lock:key`.
    ///
    /// ```
    /// use docache::echo::MemoryStore;
    /// use docache::echo::conformance::Suite;
    /// Suite::new().keys(["key", "KEY", "a:b"]).run(|| MemoryStore::new(100)).unwrap();
    /// ```
    #[must_use]
    pub fn keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.keys = keys.into_iter().map(Into::into).collect();
        self
    }

    /// The store has the lock of a key under `lock:` and the key, as the
    /// [formats](crate::echo::codec) have it that are shared with Go: nobody has a key of his own
    /// there.
    #[must_use]
    pub fn locks_beside_keys(mut self) -> Self {
        self.keys.retain(|key| !key.starts_with("lock:"));
        self
    }

    /// How to let time pass, for a store on a clock of its own.
    #[must_use]
    pub fn time(mut self, pass: impl Fn(Duration) + 's) -> Self {
        self.pass = Box::new(pass);
        self
    }

    /// The time to live that is tried: as long as the store is accurate, and a few times of that.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long a call may take, but where that is what is checked. Default: 5 s.
    #[must_use]
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// Runs all checks, each with a store of its own.
    pub fn run<S: Store<String>>(&self, make: impl Fn() -> S) -> Report {
        let context = Context::background();
        let mut report = Report::default();
        for &(check, run) in checks::ALL {
            if check == checks::KEYS_APART && self.keys.is_empty() {
                continue;
            }
            let checked = contained(|| {
                let store = make();
                run(&Subject { store: &store, suite: self, context: &context })
            });
            let failed = checked.unwrap_or_else(|panic| Err(panic.to_string()));
            if let Err(message) = failed {
                report.failures.push(Failure { check, message });
            }
        }
        report
    }

    /// [`run`](Suite::run) for a store that is for tasks; see [`check_async`].
    pub fn run_async<S: AsyncStore<String>>(&self, make: impl Fn() -> S) -> Report {
        self.run(|| Driven(make()))
    }
}

impl fmt::Debug for Suite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("keys", &self.keys)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// A store that is being checked.
#[derive(Clone, Copy)]
struct Subject<'c> {
    store: &'c dyn Store<String>,
    suite: &'c Suite<'c>,
    context: &'c Context,
}

impl Subject<'_> {
    fn within(&self) -> Within<'_> {
        Within::new(self.context, self.suite.budget)
    }

    fn pass(&self, span: Duration) {
        (self.suite.pass)(span);
    }
}
