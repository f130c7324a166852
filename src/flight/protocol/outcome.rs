//! Outcomes of flights.

use std::sync::Arc;

/// What a run produced: shared by all calls of its flight.
pub(crate) type Outcome<T, E> = Result<T, Failure<E>>;

/// How a run failed.
#[derive(Debug)]
pub(crate) enum Failure<E> {
    /// It returned this error.
    Failed(Arc<E>),
    /// It panicked, with this message.
    Panicked(Arc<str>),
}

impl<E> Clone for Failure<E> {
    fn clone(&self) -> Self {
        match self {
            Failure::Failed(error) => Failure::Failed(error.clone()),
            Failure::Panicked(message) => Failure::Panicked(message.clone()),
        }
    }
}
