//! What goes wrong in stores, and how users hear of it.

use std::error::Error as StdError;
use std::fmt;

use crate::error::{BoxError, Error};

/// How a store failed.
///
/// ```
/// use docache::echo::{StoreError, StoreErrorKind};
/// assert_eq!(StoreError::timeout().kind(), StoreErrorKind::Timeout);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It cannot be reached, or refuses.
    Unavailable,
    /// It did not answer in time.
    Timeout,
    /// What it has under the key is no value of the type.
    Corrupt,
    /// Its code panicked.
    Panicked,
    /// It was not asked: it is known to be down. See [`Breaker`](super::Breaker).
    Open,
}

struct Inner {
    kind: StoreErrorKind,
    message: Box<str>,
    source: Option<BoxError>,
}

/// Why a [store](super::Store) could not do what it was asked. It never fails a fetch that can be
/// computed.
///
/// ```
/// use docache::echo::{StoreError, StoreErrorKind};
/// let error = StoreError::new(StoreErrorKind::Unavailable, "no route to host");
/// assert_eq!(error.to_string(), "no route to host");
/// assert_eq!(error.kind(), StoreErrorKind::Unavailable);
/// ```
pub struct StoreError(Box<Inner>);

impl StoreError {
    /// An error with a text.
    #[must_use]
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
        StoreError(Box::new(Inner { kind, message: message.into().into(), source: None }))
    }

    /// An error with a text and what caused it.
    ///
    /// ```
    /// use docache::echo::{StoreError, StoreErrorKind};
    /// use std::error::Error;
    /// let cause = "many".parse::<u8>().unwrap_err();
    /// let error = StoreError::with_source(StoreErrorKind::Corrupt, "not a number", cause);
    /// assert!(error.source().is_some());
    /// ```
    #[must_use]
    pub fn with_source(
        kind: StoreErrorKind,
        message: impl Into<String>,
        source: impl Into<BoxError>,
    ) -> StoreError {
        let source = Some(source.into());
        StoreError(Box::new(Inner { kind, message: message.into().into(), source }))
    }

    /// What a call is answered with whose time is over.
    #[must_use]
    pub fn timeout() -> StoreError {
        StoreError::new(StoreErrorKind::Timeout, "the store did not answer in time")
    }

    pub(crate) fn panicked(error: &Error) -> StoreError {
        StoreError::new(StoreErrorKind::Panicked, format!("the store {error}"))
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.0.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .finish()
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

/// What the hook of a cache is told; see [`on_warning`](super::EchoCacheBuilder::on_warning). It
/// can be shown.
///
/// ```
/// use docache::echo::{Operation, StoreError, Warning};
/// let error = StoreError::timeout();
/// let warning = Warning::Store { key: "ada", operation: Operation::Get, error: &error };
/// let text = "key \"ada\": Get failed: the store did not answer in time";
/// assert_eq!(warning.to_string(), text);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Warning<'a> {
    /// A call to the store failed, and the fetch went on without it.
    Store {
        /// The key.
        key: &'a str,
        /// What the store was asked to do.
        operation: Operation,
        /// Why it did not.
        error: &'a StoreError,
    },
    /// Another process held the key's refresh lock for longer than the lock wait, and the value was
    /// loaded beside it.
    LockWait {
        /// The key.
        key: &'a str,
    },
    /// The key's refresh lock was lost before the load was over, and its value was not written.
    LockLost {
        /// The key.
        key: &'a str,
    },
    /// The key's refresh lock could not be renewed or given back in the background: the system gave
    /// no thread, or too many waited. It is held for its time to live at most.
    Unattended {
        /// The key.
        key: &'a str,
        /// What was to be done.
        operation: Operation,
    },
    /// A refresh in the background failed or panicked.
    Refresh {
        /// The key.
        key: &'a str,
        /// The text of the error, or of the panic.
        message: &'a str,
    },
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Store { key, operation, error } => {
                write!(f, "key {key:?}: {operation:?} failed: {error}")
            }
            Warning::LockWait { key } => {
                write!(f, "key {key:?}: loaded beside the holder of its refresh lock")
            }
            Warning::LockLost { key } => {
                write!(f, "key {key:?}: the refresh lock was lost, and the value not written")
            }
            Warning::Unattended { key, operation } => {
                write!(f, "key {key:?}: no thread for {operation:?} of its refresh lock")
            }
            Warning::Refresh { key, message } => {
                write!(f, "key {key:?}: the refresh failed: {message}")
            }
        }
    }
}

/// What a store is asked to do: the methods of [`Store`](super::Store).
///
/// ```
/// use docache::echo::{Chaos, Fault, MemoryStore, Operation};
/// let store = Chaos::new(MemoryStore::<u32>::new(100));
/// store.inject_into(Operation::FinishRefresh, Fault::Fail);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`get`](super::Store::get).
    Get,
    /// [`begin_refresh`](super::Store::begin_refresh).
    BeginRefresh,
    /// [`renew`](super::Store::renew).
    Renew,
    /// [`finish_refresh`](super::Store::finish_refresh).
    FinishRefresh,
    /// [`abandon_refresh`](super::Store::abandon_refresh).
    AbandonRefresh,
    /// [`put`](super::Store::put).
    Put,
    /// [`remove`](super::Store::remove).
    Remove,
}
