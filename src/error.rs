//! One error type for the whole crate.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// What a [`Doer`](crate::Doer)'s own error is turned into: any error that may cross threads.
///
/// A closure with several kinds of errors says so in its last line:
///
/// ```
/// let cache = docache::LoopCache::builder(|| {
///     let text = std::fs::read_to_string("/proc/uptime")?;
///     let seconds: f64 = text.split(' ').next().unwrap_or_default().parse()?;
///     Ok::<_, docache::BoxError>(seconds)
/// });
/// ```
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// A result with docache's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as one of a growing list of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The time allowed ran out; what was waited for may still happen.
    Timeout,
    /// A [`Context`](crate::Context) was cancelled.
    Cancelled,
    /// The object was closed, stopped or dropped, so what was asked for cannot happen any more.
    Closed,
    /// User code (a Doer, a loader) returned an error; [`downcast_ref`](Error::downcast_ref) gives
    /// that error.
    Failed,
    /// User code panicked; the message carries the panic's.
    Panicked,
    /// The object is doing this already, for somebody else.
    Busy,
    /// The call was made from inside the very work whose end it would wait for.
    Reentrant,
    /// An argument is not acceptable; the message names it, the value and what is accepted.
    InvalidArgument,
    /// The machine refused something docache needs, such as a new thread.
    Internal,
}

/// The text that a panic's payload carries.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(a payload that is not a string)")
}

struct Inner {
    kind: ErrorKind,
    /// Ends with a NUL that is not part of it, so that C can read it where it lies.
    message: Box<str>,
    source: Option<BoxError>,
}

/// A panic that user code contained and reports as its error, such as a C callback's.
#[derive(Debug)]
pub(crate) struct ReportedPanic(pub(crate) BoxError);

impl fmt::Display for ReportedPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for ReportedPanic {}

/// Why an operation of docache failed.
///
/// An error of user code is passed on as it is: the message and the [`source`](StdError::source)
/// are its own. Cheap to clone (one atomic increment), so that all who waited for one run share its
/// error.
///
/// ```
/// use std::time::Duration;
/// let error = docache::LoopCache::builder(|| Ok::<_, std::io::Error>(1))
///     .interval(Duration::ZERO)
///     .build()
///     .unwrap_err();
/// assert!(error.is_invalid_argument());
/// assert_eq!(error.to_string(), "interval: 0ns is not accepted; give at least 1ns");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

impl Error {
    pub(crate) fn with(
        kind: ErrorKind,
        message: impl Into<String>,
        source: Option<BoxError>,
    ) -> Error {
        let mut message = message.into();
        message.push('\0');
        Error(Arc::new(Inner { kind, message: message.into(), source }))
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::with(kind, message, None)
    }

    /// An [`ErrorKind::InvalidArgument`] that names the argument, the value given and what is
    /// accepted.
    pub(crate) fn invalid_argument(name: &str, value: impl fmt::Display, accepted: &str) -> Error {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{name}: {value} is not accepted; {accepted}"),
        )
    }

    pub(crate) fn timeout(what: &str) -> Error {
        Error::new(ErrorKind::Timeout, format!("timed out: {what}"))
    }

    pub(crate) fn internal(what: &str, source: impl Into<BoxError>) -> Error {
        let source = source.into();
        Error::with(ErrorKind::Internal, format!("{what}: {source}"), Some(source))
    }

    /// An [`ErrorKind::Failed`] around the error of user code.
    pub(crate) fn failed(source: BoxError) -> Error {
        Error::with(ErrorKind::Failed, source.to_string(), Some(source))
    }

    /// What user code reported: a failure, or a panic that it had contained itself.
    pub(crate) fn reported(error: BoxError) -> Error {
        match error.downcast::<ReportedPanic>() {
            Ok(panic) => Error::with(ErrorKind::Panicked, panic.0.to_string(), Some(panic.0)),
            Err(error) => Error::failed(error),
        }
    }

    /// An [`ErrorKind::Panicked`] that carries the message of a panic's payload.
    pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Error {
        Error::new(ErrorKind::Panicked, format!("panicked: {}", panic_message(payload)))
    }

    /// The message, followed by a NUL.
    #[cfg(feature = "capi")]
    pub(crate) fn terminated(&self) -> &str {
        &self.0.message
    }

    fn message(&self) -> &str {
        &self.0.message[..self.0.message.len() - 1]
    }

    /// The address of what this error shares, for handing it to C.
    #[cfg(feature = "capi")]
    pub(crate) fn as_ptr(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }

    /// Gives this share of the error away.
    #[cfg(feature = "capi")]
    pub(crate) fn into_ptr(self) -> *const () {
        Arc::into_raw(self.0).cast()
    }

    /// Takes a share back.
    ///
    /// # Safety
    /// `ptr` came from [`into_ptr`](Error::into_ptr), and that share was not taken back before.
    #[cfg(feature = "capi")]
    pub(crate) unsafe fn from_ptr(ptr: *const ()) -> Error {
        // SAFETY: the caller's promise is `Arc::from_raw`'s.
        Error(unsafe { Arc::from_raw(ptr.cast()) })
    }

    /// The kind of this error.
    ///
    /// ```
    /// use docache::{Context, ErrorKind};
    /// let ctx = Context::new();
    /// ctx.cancel();
    /// assert_eq!(ctx.error().unwrap().kind(), ErrorKind::Cancelled);
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The error that user code reported, if it was an `E`.
    ///
    /// ```
    /// use docache::LoopCache;
    /// use std::time::Duration;
    /// let cache = LoopCache::builder(|| Err::<u8, _>(std::io::Error::other("no signal")))
    ///     .interval(Duration::from_secs(60))
    ///     .build()?;
    /// cache.start()?;
    /// cache.changed(0).wait(None)?;
    /// let error = cache.stats().last_error.unwrap();
    /// assert_eq!(error.downcast_ref::<std::io::Error>().unwrap().to_string(), "no signal");
    /// # Ok::<(), docache::Error>(())
    /// ```
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.source.as_ref()?.downcast_ref()
    }

    /// Whether the time allowed ran out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// Whether a context was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.kind() == ErrorKind::Cancelled
    }

    /// Whether the object was closed, stopped or dropped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.kind() == ErrorKind::Closed
    }

    /// Whether user code returned an error.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.kind() == ErrorKind::Failed
    }

    /// Whether user code panicked.
    #[must_use]
    pub fn is_panicked(&self) -> bool {
        self.kind() == ErrorKind::Panicked
    }

    /// Whether the object was doing this already.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.kind() == ErrorKind::Busy
    }

    /// Whether the call would have waited for the work that it was made from.
    #[must_use]
    pub fn is_reentrant(&self) -> bool {
        self.kind() == ErrorKind::Reentrant
    }

    /// Whether the machine refused something that is needed.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.kind() == ErrorKind::Internal
    }

    /// Whether an argument was refused.
    #[must_use]
    pub fn is_invalid_argument(&self) -> bool {
        self.kind() == ErrorKind::InvalidArgument
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.message())
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The message is the source's own, so the chain goes on behind it.
        self.0.source.as_ref()?.source()
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_panic_message_survives_and_other_payloads_are_named() {
        assert_eq!(Error::panicked(&"boom").to_string(), "panicked: boom");
        assert_eq!(Error::panicked(&String::from("bang")).to_string(), "panicked: bang");
        assert_eq!(
            Error::panicked(&7_u8).to_string(),
            "panicked: (a payload that is not a string)"
        );
    }

    #[test]
    fn the_source_is_the_users_error() {
        let error = Error::failed(Box::new(std::fmt::Error));
        assert!(error.is_failed());
        assert!(error.downcast_ref::<std::fmt::Error>().is_some());
        assert!(error.downcast_ref::<std::io::Error>().is_none());
        assert!(error.source().is_none(), "a chain does not say the same twice");
    }
}
