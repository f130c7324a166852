//! Work that cannot fail, as work that could.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use super::outcome::{FlightError, Shared};
use super::pinned_call::RunResult;

/// The value of a call that cannot fail, but by a panic.
#[inline]
pub(super) fn value<T>(result: RunResult<T, Infallible>) -> Shared<T> {
    result.unwrap_or_else(|error| no_value(&error))
}

#[cold]
#[inline(never)]
fn no_value(error: &FlightError) -> ! {
    panic!("{error}")
}

/// A future that cannot fail as one that could.
pub(super) fn infallible<F: Future>(future: F) -> Infallibly<F> {
    Infallibly(future)
}

pub(super) struct Infallibly<F>(F);

impl<F: Future> Future for Infallibly<F> {
    type Output = Result<F::Output, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        // SAFETY: the only field is pinned whenever its owner is.
        unsafe { self.map_unchecked_mut(|this| &mut this.0) }.poll(cx).map(Ok)
    }
}
