//! Adapts work that cannot fail to the interface of work that can.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use super::error::FlightError;

/// The value of a call whose work cannot fail: a run that panicked, and a reentrant call, are a
/// panic here.
#[inline]
pub(crate) fn value_or_panic<T>(result: Result<T, FlightError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => no_value(&error),
    }
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
