//! One call from its beginning to its end: in the thread's frame, or in a future.

use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
#[cfg(all(feature = "capi", not(docache_loom)))]
use std::time::Duration;

use super::call::Kind;
use super::home::{Entered, Home};
use super::outcome::{Failure, FlightError, Outcome, Shared};
use super::seat::{Flown, FlownOf, Landed, LandedOf, Seat, WorkedOf};
use crate::contain::drop_contained;
use crate::context::Context;
use crate::error::Error;

/// Where a call goes: the home of its flight, its key's hash, and how it fails.
pub(crate) struct Place<H: Home> {
    pub(crate) home: H,
    pub(crate) hash: u64,
    pub(crate) manner: Manner<H::Key>,
}

/// How calls fail.
pub(crate) struct Manner<K: ?Sized> {
    /// Whether those who joined a run that panicked are to panic too.
    pub(crate) repanic: bool,
    /// The key as errors show it.
    pub(crate) name: fn(&K) -> Arc<str>,
}

impl<K: ?Sized> Clone for Manner<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized> Copy for Manner<K> {}

impl<H: Home> Place<H> {
    /// Runs the work on this thread, or blocks until the run that is under way has landed.
    #[inline]
    pub(crate) fn fly(
        self,
        key: &H::Key,
        context: Option<&Context>,
        work: impl FnOnce() -> WorkedOf<H>,
    ) -> FlownOf<H> {
        if let Some(error) = refused(context) {
            return Err(error);
        }
        self.fly_and(key, context, |seat| seat.wait(context), work)
    }

    /// The same with a limit instead of a context. The limit is one of waiting: a call that leads runs the work, however
    /// short the limit is.
    #[cfg(all(feature = "capi", not(docache_loom)))]
    pub(crate) fn fly_within(
        self,
        key: &H::Key,
        limit: Option<Duration>,
        work: impl FnOnce() -> WorkedOf<H>,
    ) -> FlownOf<H> {
        self.fly_and(key, None, |seat| seat.wait_for(limit), work)
    }

    #[inline]
    fn fly_and(
        self,
        key: &H::Key,
        context: Option<&Context>,
        wait: impl FnOnce(&Seat<H>) -> LandedOf<H>,
        work: impl FnOnce() -> WorkedOf<H>,
    ) -> FlownOf<H> {
        // SAFETY: the seat stays where it is until the end of this function, and a stack frame cannot be forgotten.
        let seat = unsafe { Seat::new(self.home, self.hash, key, Kind::Parked) };
        match seat.enter() {
            Entered::Leads => seat.lead(work),
            Entered::Found => found(seat.found()),
            Entered::Reentrant => Err(self.manner.reentrant(key)),
            Entered::Joined => match wait(&seat) {
                Landed::Leads => seat.take_over(work),
                landed => self.manner.joined(landed, context),
            },
        }
    }

    /// The same for a task. `key` lies in the future's own memory.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn moves its arguments, the work too, once more on the way in"
    )]
    pub(crate) fn fly_async<'k, F, Fut>(
        self,
        key: &'k H::Key,
        context: Option<&'k Context>,
        work: F,
    ) -> impl Future<Output = FlownOf<H>> + use<'k, H, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = WorkedOf<H>>,
    {
        async move {
            if let Some(error) = refused(context) {
                return Err(error);
            }
            // SAFETY: it is pinned in the next line; the key lies in the same memory.
            let seat = pin!(unsafe { Seat::new(self.home, self.hash, key, Kind::Free) });
            let seat = seat.into_ref().get_ref();
            match seat.enter() {
                Entered::Leads => {}
                Entered::Found => return found(seat.found()),
                Entered::Reentrant => return Err(self.manner.reentrant(key)),
                Entered::Joined => match seat.wait_async(context).await {
                    Landed::Leads => {
                        if let Some(outcome) = seat.begin() {
                            return seat.complete(outcome);
                        }
                    }
                    landed => return self.manner.joined(landed, context),
                },
            }
            lead_async(seat, work).await
        }
    }
}

/// What a call comes to that needed no flight.
pub(super) fn found<T, E>(outcome: Outcome<T, E>) -> Flown<T, E> {
    match outcome {
        Ok(value) => Ok(Shared::led_by_caller(value, false)),
        Err(failure) => Err(failure.into()),
    }
}

impl<K: ?Sized> Manner<K> {
    #[cold]
    pub(super) fn reentrant<E>(self, key: &K) -> FlightError<E> {
        FlightError::Reentrant((self.name)(key))
    }

    /// What a call gets that joined.
    pub(super) fn joined<T, E>(self, landed: Landed<T, E>, context: Option<&Context>) -> Flown<T, E> {
        match landed {
            Landed::Outcome(Ok(value)) => Ok(Shared::joined(value)),
            Landed::Outcome(Err(Failure::Panicked(message))) if self.repanic => {
                panic!("the run panicked: {message}")
            }
            Landed::Outcome(Err(failure)) => Err(failure.into()),
            Landed::Leads | Landed::Left => Err(left(context)),
        }
    }
}

/// Why a call whose context is done already comes to nothing.
#[inline]
fn refused<E>(context: Option<&Context>) -> Option<FlightError<E>> {
    context.and_then(Context::error).map(FlightError::Left)
}

fn left<E>(context: Option<&Context>) -> FlightError<E> {
    refused(context).unwrap_or_else(|| FlightError::Left(Error::timeout("a run of a group")))
}

/// Leads with a future.
async fn lead_async<H: Home, Fut>(seat: &Seat<H>, work: impl FnOnce() -> Fut) -> FlownOf<H>
where
    Fut: Future<Output = WorkedOf<H>>,
{
    let mut inside = pin!(Inside { seat, future: None });
    // SAFETY: the place is filled where it is pinned.
    let place = unsafe { &mut inside.as_mut().get_unchecked_mut().future };
    let result = match seat.inside(|| *place = Some(work())) {
        Ok(()) => inside.await,
        Err(payload) => Err(payload),
    };
    match result {
        Ok(result) => seat.complete(result.map_err(|error| Failure::Failed(Arc::new(error)))),
        Err(payload) => {
            seat.panicked(&*payload);
            resume_unwind(payload)
        }
    }
}

/// The work of a leading task: while it is polled, and while it is dropped, the thread is inside of it.
struct Inside<'a, H: Home, Fut> {
    seat: &'a Seat<H>,
    future: Option<Fut>,
}

impl<H: Home, Fut: Future<Output = WorkedOf<H>>> Future for Inside<'_, H, Fut> {
    type Output = std::thread::Result<Fut::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        // SAFETY: `future` is pinned whenever its owner is, and `seat` is a reference.
        let Inside { seat, future } = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let mut future = unsafe { Pin::new_unchecked(future) };
        let polled = seat.inside(|| {
            let polled = match future.as_mut().as_pin_mut() {
                Some(work) => work.poll(cx),
                None => panic!("a future was polled after it was ready"),
            };
            if let Poll::Ready(worked) = &polled {
                future.set(None);
                seat.keep(worked.as_ref());
            }
            polled
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => {
                // What is left of the work goes now, while the call leads: of two panics the first is the run's.
                if let Err(second) = seat.inside(|| future.set(None)) {
                    drop_contained(second);
                }
                Poll::Ready(Err(payload))
            }
        }
    }
}

impl<H: Home, Fut> Drop for Inside<'_, H, Fut> {
    fn drop(&mut self) {
        let (seat, future) = (self.seat, &mut self.future);
        if future.is_none() {
            return;
        }
        // Assigning drops the work where it was pinned.
        if let Err(payload) = seat.inside(|| *future = None) {
            if std::thread::panicking() {
                drop_contained(payload);
            } else {
                resume_unwind(payload);
            }
        }
    }
}
