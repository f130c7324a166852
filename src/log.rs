//! The hook through which docache tells of what happens in the background.

use std::fmt;
use std::sync::Arc;

use crate::contain::contained;

/// How important a [`Record`] is; `Error` is the most important and the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Something broke: a Doer panicked.
    Error = 1,
    /// Something failed and will be tried again: a Doer returned an error.
    Warn = 2,
    /// A change of state: started, stopped.
    Info = 3,
    /// Each success.
    Debug = 4,
    /// Everything else.
    Trace = 5,
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    level: Level,
    target: &'a str,
    message: &'a str,
}

impl<'a> Record<'a> {
    /// How important it is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// The name of the object that speaks, such as a loop cache's.
    #[must_use]
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// The text.
    #[must_use]
    pub fn message(&self) -> &'a str {
        self.message
    }
}

/// A hook that receives [`Record`]s up to a level.
///
/// It is called on whichever thread has something to say, possibly on several at once, with no lock
/// held. A panic in it is contained and ignored.
///
/// ```
/// use docache::{Level, Logger};
/// let logger =
///     Logger::new(Level::Warn, |record| eprintln!("{}: {}", record.target(), record.message()));
/// assert!(logger.enabled(Level::Error) && !logger.enabled(Level::Info));
/// ```
#[derive(Clone)]
pub struct Logger {
    max: Level,
    log: Arc<dyn Fn(&Record<'_>) + Send + Sync>,
}

impl Logger {
    /// A logger that passes records of `max` and more important ones to `log`.
    #[must_use]
    pub fn new(max: Level, log: impl Fn(&Record<'_>) + Send + Sync + 'static) -> Logger {
        Logger { max, log: Arc::new(log) }
    }

    /// Whether records of this level reach the hook.
    #[must_use]
    pub fn enabled(&self, level: Level) -> bool {
        level <= self.max
    }

    /// The least important level that reaches the hook.
    #[cfg(feature = "capi")]
    pub(crate) fn max(&self) -> Level {
        self.max
    }

    /// Passes a record of another logger's on.
    #[cfg(feature = "capi")]
    pub(crate) fn pass(&self, record: &Record<'_>) {
        let _ = contained(|| (self.log)(record));
    }

    pub(crate) fn log(&self, level: Level, target: &str, message: fmt::Arguments<'_>) {
        if self.enabled(level) {
            // Formatting runs user code too: the Display of a Doer's error.
            let _ = contained(|| {
                let message = message.to_string();
                (self.log)(&Record { level, target, message: &message });
            });
        }
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("max", &self.max).finish_non_exhaustive()
    }
}
