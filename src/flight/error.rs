//! What callers of a group get: a shared value, or an error.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::protocol::outcome::Failure;
use crate::error::{BoxError, Error, ErrorKind};

/// A value that a run produced, and whether this caller shares it with others.
///
/// It derefs to the value; [`into_inner`](Shared::into_inner) takes it out.
///
/// ```
/// let group = docache::Group::new();
/// let answer = group.run(|| 42);
/// assert_eq!(*answer + 1, 43);
/// assert!(answer.led() && !answer.is_shared(), "nobody else asked meanwhile");
/// assert_eq!(answer.into_inner(), 42);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Shared<T> {
    value: T,
    led: bool,
    shared: bool,
}

impl<T> Shared<T> {
    /// The value of a call that did not join: it led, or found its value without a flight.
    pub(super) fn own(value: T, shared: bool) -> Shared<T> {
        Shared { value, led: true, shared }
    }

    pub(super) fn joined(value: T) -> Shared<T> {
        Shared { value, led: false, shared: true }
    }

    /// The value.
    ///
    /// ```
    /// assert_eq!(docache::Group::new().run(|| "done").into_inner(), "done");
    /// ```
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Whether this caller led: its own closure ran, or it found on leading that none had to.
    ///
    /// ```
    /// assert!(docache::Group::new().run(|| 1).led());
    /// ```
    pub fn led(&self) -> bool {
        self.led
    }

    /// Whether others got the same outcome: always for a caller that joined, and for the one that
    /// led if anybody was waiting when the run ended.
    ///
    /// ```
    /// assert!(!docache::Group::new().run(|| 1).is_shared());
    /// ```
    pub fn is_shared(&self) -> bool {
        self.shared
    }
}

impl<T: fmt::Display> fmt::Display for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Why a call of a group, or a `try_fetch` of a cache, has no value.
///
/// `E` is the work's own error, which all callers of one flight share. Where the work cannot fail
/// it is [`Infallible`].
///
/// It is a [`std::error::Error`], and `?` turns it into an [`Error`](crate::Error), if `E` is one:
/// take an error type of your own or `io::Error`. With `String` or `Box<dyn Error>`, which are
/// none, match on [`Failed`](FlightError::Failed) or ask [`failure`](FlightError::failure).
///
/// ```
/// use docache::{FlightError, Group};
/// let group = Group::<u8, std::num::ParseIntError>::new();
/// match group.try_run(|| "many".parse()) {
///     Err(FlightError::Failed(error)) => {
///         assert_eq!(error.to_string(), "invalid digit found in string")
///     }
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum FlightError<E = Infallible> {
    /// The run that this call led or joined returned an error.
    Failed(Arc<E>),
    /// The run that this call joined panicked; this is the panic's message. (The call that led it
    /// panics itself.)
    Panicked(Arc<str>),
    /// The call was made from inside the very work that it would have joined, and would have waited
    /// forever. Names the key: `of type` and its type's name, or the key itself, as `Debug`
    /// formats it, if the group or cache was built with
    /// [`debug_keys`](crate::CacheBuilder::debug_keys).
    Reentrant(Arc<str>),
    /// The caller left before there was an outcome. Its own context was done: an error of kind
    /// [`Timeout`](ErrorKind::Timeout) or [`Cancelled`](ErrorKind::Cancelled); the run goes on
    /// without this caller. Or its detached load was dropped: [`Closed`](ErrorKind::Closed).
    Left(Error),
}

impl<E> FlightError<E> {
    /// The error of the work, if that is what this is.
    ///
    /// ```
    /// # let group = docache::Group::<u8, &str>::new();
    /// assert_eq!(group.try_run(|| Err("no route")).unwrap_err().failure(), Some(&"no route"));
    /// ```
    pub fn failure(&self) -> Option<&E> {
        match self {
            FlightError::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the work returned an error.
    ///
    /// ```
    /// # let group = docache::Group::<u8, &str>::new();
    /// assert!(group.try_run(|| Err("no route")).unwrap_err().is_failed());
    /// ```
    pub fn is_failed(&self) -> bool {
        matches!(self, FlightError::Failed(_))
    }

    /// Whether the run that was joined panicked.
    ///
    /// ```
    /// # let group = docache::Group::<u8, &str>::new();
    /// assert!(!group.try_run(|| Err("no route")).unwrap_err().is_panicked());
    /// ```
    pub fn is_panicked(&self) -> bool {
        matches!(self, FlightError::Panicked(_))
    }

    /// Whether the call came from inside the work that it would have waited for.
    ///
    /// ```
    /// let group = docache::Group::<_>::new();
    /// let inner =
    ///     group.run(|| group.try_run(|| Ok(None)).map_err(|error| error.is_reentrant()).err());
    /// assert_eq!(*inner, Some(true));
    /// ```
    pub fn is_reentrant(&self) -> bool {
        matches!(self, FlightError::Reentrant(_))
    }

    /// Whether the caller left before there was an outcome.
    ///
    /// ```
    /// let ctx = docache::Context::new();
    /// ctx.cancel();
    /// assert!(docache::Group::<u8>::new().run_in(&ctx, || 1).unwrap_err().is_left());
    /// ```
    pub fn is_left(&self) -> bool {
        matches!(self, FlightError::Left(_))
    }

    /// Whether the caller's context reached its deadline.
    ///
    /// ```
    /// use std::time::Duration;
    /// let ctx = docache::Context::new().with_timeout(Duration::ZERO);
    /// assert!(docache::Group::<u8>::new().run_in(&ctx, || 1).unwrap_err().is_timeout());
    /// ```
    pub fn is_timeout(&self) -> bool {
        matches!(self, FlightError::Left(error) if error.is_timeout())
    }

    /// Whether the caller's context was cancelled.
    ///
    /// ```
    /// let ctx = docache::Context::new();
    /// ctx.cancel();
    /// assert!(docache::Group::<u8>::new().run_in(&ctx, || 1).unwrap_err().is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        matches!(self, FlightError::Left(error) if error.is_cancelled())
    }
}

impl<E> Clone for FlightError<E> {
    fn clone(&self) -> Self {
        match self {
            FlightError::Failed(error) => FlightError::Failed(error.clone()),
            FlightError::Panicked(message) => FlightError::Panicked(message.clone()),
            FlightError::Reentrant(key) => FlightError::Reentrant(key.clone()),
            FlightError::Left(error) => FlightError::Left(error.clone()),
        }
    }
}

impl<E> From<Failure<E>> for FlightError<E> {
    fn from(failure: Failure<E>) -> Self {
        match failure {
            Failure::Failed(error) => FlightError::Failed(error),
            Failure::Panicked(message) => FlightError::Panicked(message),
        }
    }
}

impl<E: fmt::Display> fmt::Display for FlightError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlightError::Failed(error) => error.fmt(f),
            FlightError::Panicked(message) => write!(f, "the run panicked: {message}"),
            FlightError::Reentrant(key) => {
                write!(
                    f,
                    "key {key}: the call came from inside the run that it would have waited for"
                )
            }
            FlightError::Left(error) => error.fmt(f),
        }
    }
}

impl<E: StdError + 'static> StdError for FlightError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // `Display` shows the inner error itself, so the chain goes on with its source.
            FlightError::Failed(error) => error.source(),
            FlightError::Left(error) => error.source(),
            FlightError::Panicked(_) | FlightError::Reentrant(_) => None,
        }
    }
}

/// The work's error becomes one of kind [`Failed`](ErrorKind::Failed), with which
/// [`downcast_ref`](Error::downcast_ref) finds the shared `Arc<E>`.
impl<E: StdError + Send + Sync + 'static> From<FlightError<E>> for Error {
    fn from(error: FlightError<E>) -> Error {
        let kind = match error {
            FlightError::Failed(error) => return Error::failed(BoxError::from(error)),
            FlightError::Left(error) => return error,
            FlightError::Panicked(_) => ErrorKind::Panicked,
            FlightError::Reentrant(_) => ErrorKind::Reentrant,
        };
        Error::new(kind, error.to_string())
    }
}
