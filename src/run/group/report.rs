//! How a group ended.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use super::cause::{ActorError, Cause};
use crate::error::Error;

/// An actor that had not stopped when its group's [`run`](crate::run::Group::run) returned. Its
/// thread goes on alone.
///
/// ```
/// use docache::run::{Actor, Group};
/// use std::time::Duration;
/// let (_keep, never) = std::sync::mpsc::channel::<()>();
/// let mut group = Group::new().deadline(Duration::from_millis(10));
/// group.add(Actor::new("deaf", move || never.recv()));
/// group.add(Actor::new("weak", || Err("it broke")));
/// let error = group.run().unwrap_err();
/// assert_eq!(error.report().unfinished()[0].name(), "deaf");
/// assert_eq!(
///     error.to_string(),
///     "actor \"weak\" has failed: it broke; still running: \"deaf\"",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    pub(in crate::run) name: Arc<str>,
    pub(in crate::run) execute: bool,
    pub(in crate::run) interrupt: bool,
}

impl Unfinished {
    /// The actor's name; of one in a nested group a path such as `outer/inner`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its `execute`, or the failure handler after it, still runs.
    #[must_use]
    pub fn in_execute(&self) -> bool {
        self.execute
    }

    /// Whether its `interrupt` still runs.
    #[must_use]
    pub fn in_interrupt(&self) -> bool {
        self.interrupt
    }
}

/// How a group ended.
///
/// ```
/// use docache::run::{Actor, Cause, Group};
/// let mut group = Group::new();
/// group.add(Actor::new("work", || Ok::<(), String>(())));
/// let report = group.run()?;
/// assert!(matches!(report.cause(), Cause::Finished));
/// assert!(report.unfinished().is_empty() && report.errors().is_empty());
/// # Ok::<(), docache::run::RunError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    pub(in crate::run) cause: Cause,
    pub(in crate::run) errors: Vec<ActorError>,
    pub(in crate::run) failures: u64,
    pub(in crate::run) unfinished: Vec<Unfinished>,
    pub(in crate::run) cut_short: Option<Cause>,
}

impl Report {
    /// Why it stopped.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The last failure of each actor that failed, in the order in which the actors were added:
    /// with the one that was the cause, those of the teardown.
    #[must_use]
    pub fn errors(&self) -> &[ActorError] {
        &self.errors
    }

    /// How many executions failed; in a [`Loop`](crate::run::Loop) there may be many of one actor.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// The actors that had not stopped in time.
    ///
    /// ```
    /// let report = docache::run::Group::new().run()?;
    /// assert!(report.unfinished().is_empty() && report.cut_short().is_none());
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    #[must_use]
    pub fn unfinished(&self) -> &[Unfinished] {
        &self.unfinished
    }

    /// What ended the wait for the actors before they had stopped and before their deadlines, if
    /// something did: a second signal, or
    /// [`Handle::stop_waiting`](crate::run::Handle::stop_waiting).
    #[must_use]
    pub fn cut_short(&self) -> Option<&Cause> {
        self.cut_short.as_ref()
    }

    /// An error if an actor failed and that was the cause, or if one has not stopped.
    pub(in crate::run) fn into_result(self) -> Result<Report, RunError> {
        if self.cause.error().is_none() && self.unfinished.is_empty() {
            Ok(self)
        } else {
            Err(RunError { report: Box::new(self) })
        }
    }
}

/// Why [`run`](crate::run::Group::run) was no success: an actor failed, or some have not stopped.
///
/// ```
/// use docache::run::{Actor, Group};
/// let mut group = Group::new();
/// group.add(Actor::new("server", || Err(std::io::Error::other("the port is taken"))));
/// let error = group.run().unwrap_err();
/// assert_eq!(error.actor(), Some("server"));
/// assert_eq!(error.to_string(), "actor \"server\" has failed: the port is taken");
/// assert!(error.downcast_ref::<std::io::Error>().is_some());
/// ```
#[derive(Clone, Debug)]
pub struct RunError {
    report: Box<Report>,
}

impl RunError {
    /// Why the group stopped.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.report.cause
    }

    /// The name of the actor that failed, if that was the cause.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        Some(self.report.cause.error()?.name())
    }

    /// What that actor failed with.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        Some(self.report.cause.error()?.error())
    }

    /// The error that the actor returned, if it was an `E`.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.error()?.downcast_ref()
    }

    /// How the group ended.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The same, for keeps.
    #[must_use]
    pub fn into_report(self) -> Report {
        *self.report
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.cause.fmt(f)?;
        match &self.report.cut_short {
            Some(Cause::Signal(signal)) => {
                write!(f, "; the wait was cut short by a second signal, {signal}")?;
            }
            Some(_) => f.write_str("; the wait was cut short")?,
            None => {}
        }
        let mut before = "; still running: ";
        for unfinished in &self.report.unfinished {
            write!(f, "{before}{:?}", unfinished.name())?;
            before = ", ";
        }
        Ok(())
    }
}

impl StdError for RunError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The message has the actor's own, so the chain goes on behind it.
        self.report.cause.error()?.source()
    }
}
