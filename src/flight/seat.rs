//! A seat: a call together with the home of the flight that it may be in, and what its owner can do with it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
#[cfg(all(feature = "capi", not(docache_loom)))]
use std::time::Duration;

use super::call::{Call, Kind, Stage};
use super::home::{self, CallOf, Entered, Home, OutcomeOf, spin};
use super::outcome::{Failure, FlightError, Outcome, Shared};
#[cfg(all(feature = "capi", not(docache_loom)))]
use crate::clock::Clock;
use crate::clock::SystemClock;
use crate::context::{Context, until, until_armed};
use crate::error::panic_message;
use crate::wait::block_on;

/// What a call of a group comes to.
pub(crate) type Flown<T, E> = Result<Shared<T>, FlightError<E>>;

/// What a call of a [`Home`] comes to.
pub(crate) type FlownOf<H> = Flown<<H as Home>::Value, <H as Home>::Error>;
/// What its work returns.
pub(crate) type WorkedOf<H> = Result<<H as Home>::Value, <H as Home>::Error>;

/// A call, the home of the flight that it may be in, and the promise to take it out again.
///
/// Users keep it pinned: on a stack, in a pinned future or in a box. Its key is borrowed if it lies on the stack, where it
/// cannot be forgotten; where it can, the key lies in the same pinned memory.
pub(crate) struct Seat<H: Home> {
    home: H,
    call: CallOf<H>,
}

/// How waiting ended.
#[derive(Debug)]
pub(crate) enum Landed<T, E> {
    /// The run's outcome.
    Outcome(Outcome<T, E>),
    /// The lead was handed to this call.
    Leads,
    /// The caller's context was done; the call is in no flight any more.
    Left,
}

/// How the wait of a call of a [`Home`] ended.
pub(crate) type LandedOf<H> = Landed<<H as Home>::Value, <H as Home>::Error>;

impl<H: Home> Seat<H> {
    /// # Safety
    /// From the first [`enter`](Self::enter) on the seat is pinned until it is dropped, and `key` lives as long as the
    /// memory that the seat lies in, even if the seat is forgotten (KEY).
    #[inline]
    pub(crate) unsafe fn new(home: H, hash: u64, key: *const H::Key, kind: Kind) -> Self {
        Seat { home, call: Call::new(hash, key, kind) }
    }

    /// The same with an [owner](Call::set_owner).
    #[cfg(all(feature = "capi", not(docache_loom)))]
    pub(super) fn owned_by(mut self, owner: u64) -> Self {
        self.call.set_owner(owner);
        self
    }

    pub(crate) fn call(&self) -> &CallOf<H> {
        &self.call
    }

    /// Joins a flight or begins one.
    #[inline]
    pub(crate) fn enter(&self) -> Entered {
        debug_assert_eq!(self.call.stage(), Stage::Out);
        // SAFETY: pinned and with its key, as promised to `new`; `drop` takes the call out.
        unsafe { self.home.enter(&self.call) }
    }

    /// Ends the flight that this call leads.
    #[inline]
    pub(crate) fn complete(&self, outcome: OutcomeOf<H>) -> FlownOf<H> {
        let shared = self.publish(&outcome);
        match outcome {
            Ok(value) => Ok(Shared::led_by_caller(value, shared)),
            Err(failure) => Err(failure.into()),
        }
    }

    /// The same, for an owner that keeps the outcome: whether others got it too.
    #[inline]
    pub(super) fn publish(&self, outcome: &OutcomeOf<H>) -> bool {
        debug_assert_eq!(self.call.stage(), Stage::Leads);
        // SAFETY: it is ours, and leads.
        unsafe { self.home.complete(&self.call, outcome) }
    }

    /// Gives up the lead of this call: whether somebody took it.
    pub(super) fn abandon(&self) -> bool {
        debug_assert_eq!(self.call.stage(), Stage::Leads);
        // SAFETY: it is ours, and leads.
        unsafe { home::abandon(&self.home, &self.call) }
    }

    /// Ends the flight that this call leads with a panic.
    #[cold]
    pub(super) fn panicked(&self, payload: &(dyn std::any::Any + Send)) {
        let _ = self.complete(Err(Failure::Panicked(panic_message(payload).into())));
    }

    /// Has what the work brought taken for keeping; to be called inside the work.
    #[inline]
    pub(super) fn keep(&self, worked: Result<&H::Value, &H::Error>) {
        // SAFETY: it is ours, and leads.
        unsafe { self.home.keep(&self.call, worked) };
    }

    /// Begins the work of a call that was handed the lead: what makes it unnecessary.
    pub(super) fn begin(&self) -> Option<OutcomeOf<H>> {
        debug_assert_eq!(self.call.stage(), Stage::Leads);
        // SAFETY: it is ours, and leads.
        if unsafe { self.home.begin(&self.call) } { None } else { Some(self.found()) }
    }

    /// What was found, of a call whose work is not needed.
    pub(super) fn found(&self) -> OutcomeOf<H> {
        // SAFETY: it is ours, and does not wait (OUTCOME).
        match unsafe { self.call.take_outcome() } {
            Some(outcome) => outcome,
            None => unreachable!("what was found lies in the call"),
        }
    }

    /// Runs the work on this thread, to which the lead was handed, if it is still necessary.
    pub(super) fn take_over(&self, work: impl FnOnce() -> WorkedOf<H>) -> FlownOf<H> {
        match self.begin() {
            Some(outcome) => self.complete(outcome),
            None => self.lead(work),
        }
    }

    /// Runs the work on this thread.
    #[inline]
    pub(crate) fn lead(&self, work: impl FnOnce() -> WorkedOf<H>) -> FlownOf<H> {
        // The outcome is written where it is wanted: values may be large.
        let mut outcome = None;
        let inside = self.inside(|| {
            let worked = work();
            self.keep(worked.as_ref());
            outcome = Some(worked.map_err(|error| Failure::Failed(Arc::new(error))));
        });
        match inside {
            Ok(()) => match outcome {
                Some(outcome) => self.complete(outcome),
                None => unreachable!("the work has returned"),
            },
            Err(payload) => {
                self.panicked(&*payload);
                resume_unwind(payload)
            }
        }
    }

    /// Calls user code as part of this call's work.
    #[inline]
    pub(crate) fn inside<R>(&self, work: impl FnOnce() -> R) -> std::thread::Result<R> {
        self.call.enter_work();
        // What the work leaves half-done is the user's own.
        let result = catch_unwind(AssertUnwindSafe(work));
        self.call.leave_work();
        result
    }

    /// How the wait of a call that joined has ended, if it has.
    fn landed(&self, stage: Stage) -> Option<LandedOf<H>> {
        match stage {
            Stage::Waits | Stage::Out => None,
            Stage::Leads => Some(Landed::Leads),
            // SAFETY: it is ours and joined.
            Stage::Told | Stage::Tells => unsafe { home::take(&self.home, &self.call) }.map(Landed::Outcome),
        }
    }

    /// One look at a call that joined; its Waker will be woken when there is something to see.
    pub(crate) fn poll(&self, cx: &TaskContext<'_>) -> Poll<LandedOf<H>> {
        // SAFETY: it is ours and joined.
        let stage = unsafe { home::poll(&self.home, &self.call, cx.waker()) };
        stage.and_then(|stage| self.landed(stage)).map_or(Poll::Pending, Poll::Ready)
    }

    /// Stops waiting.
    pub(super) fn leave(&self) -> LandedOf<H> {
        // SAFETY: it is ours and joined.
        unsafe { home::leave(&self.home, &self.call) }.map_or(Landed::Left, Landed::Outcome)
    }

    /// Blocks the thread until the flight has landed or the context is done.
    #[cold]
    #[inline(never)]
    pub(super) fn wait(&self, context: Option<&Context>) -> LandedOf<H> {
        spin(&self.call);
        let landing = std::future::poll_fn(|cx| self.poll(cx));
        let landed = match context {
            None => block_on(landing, &SystemClock, None),
            Some(context) => block_on(until(landing, context), context.clock(), context.deadline()).flatten(),
        };
        landed.unwrap_or_else(|| self.leave())
    }

    /// The same with a limit; 0 only looks.
    #[cfg(all(feature = "capi", not(docache_loom)))]
    #[cold]
    #[inline(never)]
    pub(super) fn wait_for(&self, limit: Option<Duration>) -> LandedOf<H> {
        let deadline = limit.map(|limit| SystemClock.now().after(limit));
        spin(&self.call);
        let landing = std::future::poll_fn(|cx| self.poll(cx));
        block_on(landing, &SystemClock, deadline).unwrap_or_else(|| self.leave())
    }

    /// The same for a task.
    pub(super) async fn wait_async(&self, context: Option<&Context>) -> LandedOf<H> {
        let landing = std::future::poll_fn(|cx| self.poll(cx));
        let landed = match context {
            None => Some(landing.await),
            Some(context) => until_armed(landing, context).await,
        };
        landed.unwrap_or_else(|| self.leave())
    }
}

impl<H: Home> Drop for Seat<H> {
    #[inline]
    fn drop(&mut self) {
        match self.call.stage() {
            Stage::Out => {}
            Stage::Leads => {
                self.abandon();
            }
            Stage::Waits | Stage::Told | Stage::Tells => drop(self.leave()),
        }
    }
}

impl<H: Home> fmt::Debug for Seat<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("call", &self.call).finish_non_exhaustive()
    }
}
