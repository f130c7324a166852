//! One call from its beginning to its end: in the thread's frame, or in a future.

use std::convert::identity;
use std::fmt::Debug;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::error::{FlightError, Shared};
use super::flight_call::{FlightCall, RunResultOf, WaitResult, WorkResult};
use super::protocol::call::WaitKind;
use super::protocol::domain::Domain;
use super::protocol::outcome::Failure;
use super::protocol::registry::Entered;
use crate::contain::drop_contained;
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

    /// The same for a task. `key` lies in the future's own memory.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn moves its arguments, the work too, once more on the way in"
    )]
    pub(crate) fn run_async<'k, F, Fut>(
        self,
        key: &'k D::Key,
        context: Option<&'k Context>,
        work: F,
    ) -> impl Future<Output = RunResultOf<D>> + use<'k, D, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = WorkResult<D>>,
    {
        async move {
            if let Some(error) = context_error(context) {
                return Err(error);
            }
            let kind = WaitKind::Polled;
            // SAFETY: it is pinned here, and the key lies in the same memory.
            let flight_call = pin!(unsafe { FlightCall::new(self.domain, self.hash, key, kind) });
            let flight_call = flight_call.into_ref().get_ref();
            match flight_call.enter() {
                Entered::Leads => {}
                Entered::Found => return flight_call.own_result(false),
                Entered::Reentrant => return Err(self.error_style.reentrant(key)),
                Entered::Joined => match flight_call.wait_async(context).await {
                    WaitResult::Leads => {
                        if !flight_call.recheck() {
                            return flight_call.own_result(flight_call.complete());
                        }
                    }
                    end => return self.error_style.joined(flight_call, end, context),
                },
            }
            lead_async(flight_call, work).await
        }
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
fn context_error<E>(context: Option<&Context>) -> Option<FlightError<E>> {
    context.and_then(Context::error).map(FlightError::Left)
}

fn left_error<E>(context: Option<&Context>) -> FlightError<E> {
    context_error(context)
        .unwrap_or_else(|| FlightError::Left(Error::timeout("the run that was joined")))
}

/// Runs the work of a call that leads, as a future.
async fn lead_async<D: Domain, Fut>(
    flight_call: &FlightCall<D>,
    work: impl FnOnce() -> Fut,
) -> RunResultOf<D>
where
    Fut: Future<Output = WorkResult<D>>,
{
    let mut leader_work = pin!(LeaderWork { flight_call, future: None });
    // SAFETY: nothing is moved: the future is made where it is pinned.
    let future = unsafe { &mut leader_work.as_mut().get_unchecked_mut().future };
    let result = match flight_call.run_as_work(|| *future = Some(work())) {
        Ok(()) => leader_work.await,
        Err(payload) => Err(payload),
    };
    match result {
        Ok(()) => flight_call.own_result(flight_call.complete()),
        Err(payload) => {
            flight_call.panicked(&*payload);
            resume_unwind(payload)
        }
    }
}

/// The work of a call that leads, as a future. The thread counts as inside the work while this is
/// polled, and while it is dropped.
struct LeaderWork<'a, D: Domain, Fut> {
    flight_call: &'a FlightCall<D>,
    future: Option<Fut>,
}

impl<D: Domain, Fut: Future<Output = WorkResult<D>>> Future for LeaderWork<'_, D, Fut> {
    type Output = std::thread::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        // SAFETY: `future` is pinned whenever its owner is, and `flight_call` is a reference.
        let LeaderWork { flight_call, future } = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let mut future = unsafe { Pin::new_unchecked(future) };
        let polled = flight_call.run_as_work(|| {
            let polled = match future.as_mut().as_pin_mut() {
                Some(work) => work.poll(cx),
                None => panic!("a future was polled after it was ready"),
            };
            polled.map(|result| {
                future.set(None);
                flight_call.put_result(result);
                flight_call.stage();
            })
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Err(payload) => {
                // What is left of the work is dropped now, while the call still leads. If that
                // panics too, the first panic counts.
                if let Err(second) = flight_call.run_as_work(|| future.set(None)) {
                    drop_contained(second);
                }
                Poll::Ready(Err(payload))
            }
        }
    }
}

impl<D: Domain, Fut> Drop for LeaderWork<'_, D, Fut> {
    fn drop(&mut self) {
        let (flight_call, future) = (self.flight_call, &mut self.future);
        if future.is_none() {
            return;
        }
        // Assigning drops the work where it was pinned.
        if let Err(payload) = flight_call.run_as_work(|| *future = None) {
            if std::thread::panicking() {
                drop_contained(payload);
            } else {
                resume_unwind(payload);
            }
        }
    }
}
