//! One call from its beginning to its end, in the thread's frame.

use std::convert::identity;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::error::{FlightError, Shared};
use super::flight_call::{FlightCall, RunResultOf, WaitResult, WorkResult};
use super::protocol::call::WaitKind;
use super::protocol::domain::Domain;
use super::protocol::outcome::Failure;
use super::protocol::registry::Entered;
use crate::context::Context;
use crate::error::Error;

/// Where a call goes: the domain of its flight, its key's hash, and how it fails.
pub(crate) struct Target<D: Domain> {
    pub(crate) domain: D,
    pub(crate) hash: u64,
    pub(crate) error_style: ErrorStyle<D::Key>,
}

/// How calls fail.
pub(crate) struct ErrorStyle<K: ?Sized> {
    /// Whether those who joined a run that panicked are to panic too.
    pub(crate) repanic: bool,
    /// The key as errors show it.
    pub(crate) format_key: fn(&K) -> Arc<str>,
}

impl<K: ?Sized> Clone for ErrorStyle<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized> Copy for ErrorStyle<K> {}

impl<K: ?Sized> ErrorStyle<K> {
    /// Errors name the key's type.
    pub(crate) const DEFAULT: ErrorStyle<K> =
        ErrorStyle { repanic: false, format_key: name_of_type::<K> };
}

/// A key as errors show it where it cannot be shown itself.
fn name_of_type<K: ?Sized>(_: &K) -> Arc<str> {
    format!("of type {}", std::any::type_name::<K>()).into()
}

/// A key as errors show it where it can.
pub(crate) fn name_by_debug<K: Debug + ?Sized>(key: &K) -> Arc<str> {
    format!("{key:?}").into()
}

impl<D: Domain> Target<D> {
    /// Runs the work on this thread, or blocks until the run that is under way has completed.
    #[inline]
    pub(crate) fn run(
        self,
        key: &D::Key,
        context: Option<&Context>,
        work: impl FnOnce() -> WorkResult<D>,
    ) -> RunResultOf<D> {
        self.run_then(key, (context, None), work, identity)
    }

    /// The same, and passes the result to `then`. Values may be large: so the result is not moved
    /// through this frame. Without a context, `limit` bounds the waiting, and nothing else:
    /// a call that leads runs the work, however short it is.
    #[inline]
    pub(crate) fn run_then<R>(
        self,
        key: &D::Key,
        (context, limit): (Option<&Context>, Option<Duration>),
        work: impl FnOnce() -> WorkResult<D>,
        then: impl FnOnce(RunResultOf<D>) -> R,
    ) -> R {
        if let Some(error) = context_error(context) {
            return then(Err(error));
        }
        // SAFETY: the flight call stays where it is until the end of this function, and a stack
        // frame cannot be forgotten.
        let flight_call = unsafe { FlightCall::new(self.domain, self.hash, key, WaitKind::Parked) };
        let shared = match flight_call.enter() {
            Entered::Leads => flight_call.lead(work),
            // Not joined: it counts as this caller's own.
            Entered::Found => false,
            Entered::Reentrant => return then(Err(self.error_style.reentrant(key))),
            Entered::Joined => match flight_call.wait(context, limit) {
                WaitResult::Leads => flight_call.take_over(work),
                end => return then(self.error_style.joined(&flight_call, end, context)),
            },
        };
        then(flight_call.own_result(shared))
    }
}

impl<K: ?Sized> ErrorStyle<K> {
    #[cold]
    pub(super) fn reentrant<E>(self, key: &K) -> FlightError<E> {
        FlightError::Reentrant((self.format_key)(key))
    }

    /// What a call gets that joined.
    pub(super) fn joined<D: Domain>(
        self,
        flight_call: &FlightCall<D>,
        end: WaitResult,
        context: Option<&Context>,
    ) -> RunResultOf<D> {
        if end != WaitResult::Done {
            return Err(left_error(context));
        }
        match flight_call.take() {
            Ok(value) => Ok(Shared::joined(value)),
            Err(Failure::Panicked(message)) if self.repanic => {
                panic!("the run panicked: {message}")
            }
            Err(failure) => Err(failure.into()),
        }
    }
}

/// The error of a call whose context is done before it begins.
#[inline]
pub(super) fn context_error<E>(context: Option<&Context>) -> Option<FlightError<E>> {
    context.and_then(Context::error).map(FlightError::Left)
}

fn left_error<E>(context: Option<&Context>) -> FlightError<E> {
    context_error(context)
        .unwrap_or_else(|| FlightError::Left(Error::timeout("the run that was joined")))
}
