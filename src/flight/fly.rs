//! One call from its beginning to its end: in the thread's frame, or in a future.

use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
#[cfg(all(feature = "capi", not(docache_loom)))]
use std::time::Duration;

use super::call::Kind;
use super::outcome::{Failure, FlightError, Shared};
use super::seat::{Flown, Landed, Seat};
use super::shard::{Entered, Shard};
use crate::contain::drop_contained;
use crate::context::Context;
use crate::error::Error;

/// Where a call goes: the shard, the key and its hash, and how it fails.
pub(super) struct Place<'a, K: ?Sized, T, E> {
    pub(super) shard: &'a Shard<K, T, E>,
    pub(super) hash: u64,
    /// Whether those who joined a run that panicked are to panic too.
    pub(super) repanic: bool,
    /// The key as errors show it.
    pub(super) name: fn(&K) -> Arc<str>,
}

impl<K: ?Sized, T, E> Clone for Place<'_, K, T, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, T, E> Copy for Place<'_, K, T, E> {}

impl<K: ?Sized + Eq, T: Clone, E> Place<'_, K, T, E> {
    /// Runs the work on this thread, or blocks until the run that is under way has landed.
    #[inline]
    pub(super) fn fly(
        self,
        key: &K,
        context: Option<&Context>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Flown<T, E> {
        if let Some(error) = refused(context) {
            return Err(error);
        }
        self.fly_and(key, context, |seat| seat.wait(context), work)
    }

    /// The same with a limit instead of a context. The limit is one of waiting: a call that leads runs the work, however
    /// short the limit is.
    #[cfg(all(feature = "capi", not(docache_loom)))]
    pub(super) fn fly_within(
        self,
        key: &K,
        limit: Option<Duration>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Flown<T, E> {
        self.fly_and(key, None, |seat| seat.wait_for(limit), work)
    }

    #[inline]
    fn fly_and(
        self,
        key: &K,
        context: Option<&Context>,
        wait: impl FnOnce(&Seat<'_, K, T, E>) -> Landed<T, E>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Flown<T, E> {
        // SAFETY: the seat stays where it is until the end of this function, and a stack frame cannot be forgotten.
        let seat = unsafe { Seat::new(self.shard, self.hash, key, Kind::Parked) };
        match seat.enter() {
            Entered::Leads => seat.lead(work),
            Entered::Reentrant => Err(self.reentrant(key)),
            Entered::Joined => match wait(&seat) {
                Landed::Leads => seat.lead(work),
                landed => self.joined(landed, context),
            },
        }
    }

    /// The same for a task. `key` lies in the future's own memory.
    pub(super) async fn fly_async<F, Fut>(self, key: &K, context: Option<&Context>, work: F) -> Flown<T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if let Some(error) = refused(context) {
            return Err(error);
        }
        // SAFETY: it is pinned in the next line; the key lies in the same memory.
        let seat = pin!(unsafe { Seat::new(self.shard, self.hash, key, Kind::Free) });
        let seat = seat.into_ref().get_ref();
        match seat.enter() {
            Entered::Leads => {}
            Entered::Reentrant => return Err(self.reentrant(key)),
            Entered::Joined => match seat.wait_async(context).await {
                Landed::Leads => {}
                landed => return self.joined(landed, context),
            },
        }
        lead_async(seat, work).await
    }

    #[cold]
    pub(super) fn reentrant(self, key: &K) -> FlightError<E> {
        FlightError::Reentrant((self.name)(key))
    }

    /// What a call gets that joined.
    pub(super) fn joined(self, landed: Landed<T, E>, context: Option<&Context>) -> Flown<T, E> {
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
async fn lead_async<K: ?Sized, T: Clone, E, Fut>(
    seat: &Seat<'_, K, T, E>,
    work: impl FnOnce() -> Fut,
) -> Flown<T, E>
where
    Fut: Future<Output = Result<T, E>>,
{
    let result = match seat.inside(work) {
        Ok(future) => Inside { seat, future: Some(future) }.await,
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
struct Inside<'a, 'g, K: ?Sized, T: Clone, E, Fut> {
    seat: &'a Seat<'g, K, T, E>,
    future: Option<Fut>,
}

impl<K: ?Sized, T: Clone, E, Fut: Future> Future for Inside<'_, '_, K, T, E, Fut> {
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
            if polled.is_ready() {
                future.set(None);
            }
            polled
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}

impl<K: ?Sized, T: Clone, E, Fut> Drop for Inside<'_, '_, K, T, E, Fut> {
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
