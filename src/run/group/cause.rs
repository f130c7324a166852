//! Why a group stops, and what an actor failed with.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use super::signal::Signal;
use crate::error::Error;

/// When a group stops by itself.
///
/// ```
/// use docache::run::{Actor, Cause, Group, StopOn};
/// let mut group = Group::new().stop_on(StopOn::AnyReturn);
/// group.add(Actor::new("short", || Ok::<(), String>(())));
/// group.add(Actor::with_context("long", |ctx| {
///     ctx.wait(None);
///     Ok::<(), String>(())
/// }));
/// assert!(matches!(group.run()?.cause(), Cause::Returned(name) if &**name == "short"));
/// # Ok::<(), docache::run::RunError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopOn {
    /// When the first actor fails, or when all have returned.
    #[default]
    FirstError,
    /// When the first actor returns, with an error or without.
    AnyReturn,
}

/// Why a group stopped. Interrupts are told; [`Report`](crate::run::Report) keeps it.
///
/// ```
/// use docache::run::{Cause, Group};
/// let group = Group::new();
/// group.handle().stop();
/// assert!(matches!(group.run()?.cause(), Cause::Stopped));
/// # Ok::<(), docache::run::RunError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// All actors returned, none with an error.
    Finished,
    /// The actor of this name returned, under [`StopOn::AnyReturn`].
    Returned(Arc<str>),
    /// An actor failed, or the system gave no thread for it.
    Failed(ActorError),
    /// An actor panicked. [`run`](crate::run::Group::run) goes on with the panic after the
    /// teardown.
    Panicked(ActorError),
    /// The process was sent a signal.
    Signal(Signal),
    /// [`Handle::stop`](crate::run::Handle::stop) was called.
    Stopped,
    /// The group's context is done; the error says whether it was cancelled or timed out.
    Context(Error),
    /// This process is the child of a fork; the group's threads are the parent's.
    Forked,
}

impl Cause {
    /// The error of the actor that failed or panicked, if that is the cause.
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// let mut group = Group::new();
    /// group.add(Actor::new("server", || Err("no port")));
    /// let error = group.run().unwrap_err();
    /// assert_eq!(error.cause().error().unwrap().to_string(), "server: no port");
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&ActorError> {
        match self {
            Cause::Failed(error) | Cause::Panicked(error) => Some(error),
            _ => None,
        }
    }

    /// The signal, if that is the cause.
    ///
    /// ```
    /// use docache::run::{Cause, Signal};
    /// assert_eq!(Cause::Signal(Signal::INT).signal(), Some(Signal::INT));
    /// assert_eq!(Cause::Stopped.signal(), None);
    /// ```
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        match self {
            Cause::Signal(signal) => Some(*signal),
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Finished => f.write_str("all actors have returned"),
            Cause::Returned(name) => write!(f, "actor {name:?} has returned"),
            Cause::Failed(error) => {
                write!(f, "actor {:?} has failed: {}", error.name(), error.error())
            }
            // The message begins with "panicked: ".
            Cause::Panicked(error) => write!(f, "actor {:?} {}", error.name(), error.error()),
            Cause::Signal(signal) => write!(f, "{signal} was received"),
            Cause::Stopped => f.write_str("the group was told to stop"),
            Cause::Context(error) => error.fmt(f),
            Cause::Forked => f.write_str("this is the child of a fork, without the actors"),
        }
    }
}

/// What an actor failed with, and the actor's name.
///
/// The name of an actor in a nested group is a path: `outer/inner`. Cheap to clone.
///
/// ```
/// use docache::run::{Actor, Group};
/// let mut inner = Group::new();
/// inner.add(Actor::new("disk", || std::fs::read("/no/such/file").map(drop)));
/// let mut outer = Group::new();
/// outer.add(Actor::group("storage", inner));
/// let error = outer.run().unwrap_err();
/// let error = error.cause().error().unwrap();
/// assert_eq!(error.name(), "storage/disk");
/// assert!(error.error().downcast_ref::<std::io::Error>().is_some());
/// ```
#[derive(Clone, Debug)]
pub struct ActorError {
    name: Arc<str>,
    error: Error,
}

impl ActorError {
    pub(in crate::run) fn new(name: Arc<str>, error: Error) -> ActorError {
        ActorError { name, error }
    }

    /// The name of the actor.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name as it is kept.
    pub(in crate::run) fn path(&self) -> &Arc<str> {
        &self.name
    }

    /// What it failed with: of kind [`Failed`](crate::ErrorKind::Failed) with the actor's own error
    /// inside, [`Panicked`](crate::ErrorKind::Panicked), or
    /// [`Internal`](crate::ErrorKind::Internal) if the system gave no thread.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Whether it panicked.
    #[must_use]
    pub fn is_panicked(&self) -> bool {
        self.error.is_panicked()
    }
}

impl fmt::Display for ActorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.error)
    }
}

impl StdError for ActorError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The message has the error's own, so the chain goes on behind it.
        self.error.source()
    }
}
