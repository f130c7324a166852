//! Stopping a group from outside.

use std::fmt;
use std::sync::Arc;

use super::cause::Cause;
use super::shared::Shared;

/// Stops a [`Group`](crate::run::Group) or a [`Loop`](crate::run::Loop) from anywhere: another
/// thread, a callback, one of its own actors.
///
/// Clones are of the same group. No method blocks: each takes a short lock. A handle may outlive
/// its group; then it does nothing.
///
/// ```
/// use docache::run::{Actor, Cause, Group};
/// let mut group = Group::new();
/// let handle = group.handle();
/// group.add(Actor::with_context("worker", move |ctx| {
///     handle.stop(); // from inside an actor: it does not wait for itself
///     ctx.wait(None);
///     Ok::<(), String>(())
/// }));
/// assert!(matches!(group.run()?.cause(), Cause::Stopped));
/// # Ok::<(), docache::run::RunError>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    pub(in crate::run) shared: Arc<Shared>,
}

impl Handle {
    /// Has the group stop: its actors are interrupted, stage by stage. One that is not running yet
    /// will not start any. Returns at once; whether this call is what stops it.
    ///
    /// ```
    /// let group = docache::run::Group::new();
    /// let handle = group.handle();
    /// assert!(handle.stop() && !handle.stop());
    /// ```
    pub fn stop(&self) -> bool {
        self.stop_with(Cause::Stopped)
    }

    pub(in crate::run) fn stop_with(&self, cause: Cause) -> bool {
        self.shared.stop(cause)
    }

    /// The same, and ends the wait for its actors: those of the later stages are still interrupted,
    /// but [`run`](crate::run::Group::run) waits for nobody any more, not in nested groups either,
    /// and [says so](crate::run::Report::cut_short).
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// let (_keep, never) = std::sync::mpsc::channel::<()>();
    /// let mut group = Group::new();
    /// let handle = group.handle();
    /// group.add(Actor::new("deaf", move || {
    ///     handle.stop_waiting();
    ///     never.recv()
    /// }));
    /// let report = group.run().unwrap_err().into_report();
    /// assert!(report.cut_short().is_some());
    /// assert_eq!(report.unfinished()[0].name(), "deaf");
    /// ```
    pub fn stop_waiting(&self) {
        self.shared.stop_waiting(Cause::Stopped);
    }

    /// Whether the group is to stop, or has stopped.
    ///
    /// ```
    /// let group = docache::run::Group::new();
    /// let handle = group.handle();
    /// assert!(!handle.is_stopping());
    /// let _ = group.run();
    /// assert!(handle.is_stopping());
    /// ```
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.cause().is_some()
    }

    /// The names of the actors that run now, in nested groups too. After
    /// [`run`](crate::run::Group::run) has returned: of those that were left behind and still run.
    ///
    /// ```
    /// let group = docache::run::Group::new();
    /// assert!(group.handle().running().is_empty());
    /// ```
    #[must_use]
    pub fn running(&self) -> Vec<Arc<str>> {
        self.shared.unfinished().into_iter().map(|one| one.name).collect()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("stopping", &self.shared.cause())
            .field("running", &self.running())
            .finish()
    }
}
