//! The work of a loop cache.

use crate::contain::contained;
use crate::error::{BoxError, Error, Result};
use std::ptr::NonNull;

/// Work that is done again and again. Closures that return a `Result` are Doers.
///
/// A Doer runs on one thread at a time and may keep state. It may panic: that is recorded as an
/// error and the loop goes on with the same Doer, so a Doer that panics half-way must be fit to be
/// called again. It may block for as long as it likes; readers never notice. It may call any method
/// of its own loop cache; `stop` and `refresh().wait(…)` do not wait for the call that they are
/// made from.
///
/// ```
/// use docache::Doer;
/// struct Counter(u64);
/// impl Doer for Counter {
///     type Output = u64;
///     type Error = std::io::Error;
///     fn perform(&mut self) -> Result<u64, std::io::Error> {
///         self.0 += 1;
///         Ok(self.0)
///     }
/// }
/// assert_eq!(Counter(1).perform().unwrap(), 2);
/// ```
pub trait Doer {
    /// What a success yields.
    type Output;

    /// What a failure yields: any error, or a `String` or `&str`.
    type Error: Into<BoxError>;

    /// Does the work once.
    ///
    /// # Errors
    /// Whatever the work fails with; it is recorded as the entry's error.
    fn perform(&mut self) -> Result<Self::Output, Self::Error>;
}

impl<F, T, E> Doer for F
where
    F: FnMut() -> Result<T, E>,
    E: Into<BoxError>,
{
    type Output = T;
    type Error = E;

    fn perform(&mut self) -> Result<T, E> {
        self()
    }
}

/// A Doer whose errors and panics have become ours.
pub(super) trait Work<T>: Send {
    fn perform(&mut self) -> Result<T>;
}

/// Makes a Doer into work.
pub(super) struct Performs<D>(pub(super) D);

impl<D: Doer + Send> Work<D::Output> for Performs<D> {
    fn perform(&mut self) -> Result<D::Output> {
        // A Doer that panicked is called again: its trait's contract. Inside, because this formats
        // the user's error.
        contained(|| self.0.perform().map_err(|error| Error::reported(error.into())))
            .and_then(|result| result)
    }
}

/// Where a run's Doer lies.
pub(super) struct Lent<T>(#[cfg_attr(docache_loom, allow(dead_code))] NonNull<dyn Work<T>>);

// SAFETY: it leads to something that may be on any thread, and is used only in a process that has
// only one.
unsafe impl<T> Send for Lent<T> {}

impl<T> Lent<T> {
    pub(super) fn new(work: &mut (dyn Work<T> + 'static)) -> Lent<T> {
        Lent(NonNull::from(work))
    }

    /// # Safety
    /// The run's own box is gone without having been dropped.
    #[cfg(not(docache_loom))]
    pub(super) unsafe fn take_back(self) -> Box<dyn Work<T>> {
        // SAFETY: it came out of a box, which nobody else has any more.
        unsafe { Box::from_raw(self.0.as_ptr()) }
    }
}
