//! A flight call: a call together with the domain of its flight, and what its owner can do with it.

use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::error::{FlightError, Shared};
use super::protocol::call::{Call, State, WaitKind};
use super::protocol::deliver::{self, MAX_BATCHED_BYTES};
use super::protocol::domain::{CallOf, Domain, OutcomeOf};
use super::protocol::outcome::Failure;
use super::protocol::registry::Entered;
use super::protocol::wait;
use crate::clock::{Clock, SystemClock};
use crate::contain::contained;
use crate::context::{Cancelled, Context, until};
use crate::error::panic_message;
use crate::wait::block_on;

/// The result of a call of a group.
pub(crate) type RunResult<T, E> = Result<Shared<T>, FlightError<E>>;

/// The result of a call of a [`Domain`].
pub(crate) type RunResultOf<D> = RunResult<<D as Domain>::Value, <D as Domain>::Error>;
/// What its work returns.
pub(crate) type WorkResult<D> = Result<<D as Domain>::Loaded, <D as Domain>::Error>;

/// A call, the domain of the flight that it may be in, and the promise to take it out again.
///
/// Users keep it pinned: on a stack, in a pinned future or in a box. Its key is borrowed if it
/// lies on the stack, where it cannot be forgotten; where it can, the key lies in the same pinned
/// memory.
///
/// Values may be large. So an outcome stays where it is, in the call, until its owner
/// [takes](FlightCall::take) it.
///
/// All functions are its owner's (OWNER), and each is for the states that it names. Misuse would be
/// unsound; they are not `unsafe` because nothing outside `flight` can reach one.
pub(crate) struct FlightCall<D: Domain> {
    domain: D,
    call: CallOf<D>,
    staged: UnsafeCell<D::Staged>,
}

// SAFETY: `staged` is the owner's, which is one thread at a time (OWNER).
unsafe impl<D: Domain<Staged: Send> + Sync> Sync for FlightCall<D> where CallOf<D>: Sync {}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitResult {
    /// The call has the run's outcome.
    Done,
    /// The lead was handed to this call.
    Leads,
    /// The caller's context was done; the call is in no flight any more.
    Left,
}

impl<D: Domain> FlightCall<D> {
    /// # Safety
    /// From the first [`enter`](Self::enter) on the call stays pinned until it is dropped, and
    /// `key` lives as long as the memory that the call lies in, even if the call is passed to
    /// `mem::forget` (KEY).
    #[inline]
    pub(crate) unsafe fn new(
        domain: D,
        hash: u64,
        key: *const D::Key,
        wait_kind: WaitKind,
    ) -> Self {
        FlightCall {
            domain,
            call: Call::new(hash, key, wait_kind),
            staged: UnsafeCell::new(D::Staged::default()),
        }
    }

    /// The same with a [caller id](Call::set_caller_id).
    #[cfg(all(feature = "capi", not(docache_loom)))]
    pub(super) fn with_caller_id(mut self, caller_id: u64) -> Self {
        self.call.set_caller_id(caller_id);
        self
    }

    /// What the call stages for its domain.
    ///
    /// # Safety
    /// The caller is the owner, and has no other reference to it.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "only the owner calls it")]
    unsafe fn staged(&self) -> &mut D::Staged {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.staged.get() }
    }

    pub(crate) fn call(&self) -> &CallOf<D> {
        &self.call
    }

    /// Joins a flight or begins one.
    #[inline]
    pub(crate) fn enter(&self) -> Entered {
        debug_assert_eq!(self.call.state(), State::Out);
        self.call.reset_if_forked();
        // SAFETY: ours (OWNER), and `enter` gets at it by this reference only.
        let staged = unsafe { self.staged() };
        // SAFETY: pinned and with its key, as promised to `new`; `drop` takes the call out.
        unsafe { self.domain.enter(&self.call, staged) }
    }

    /// Ends the flight that this call leads, with the outcome that was [put](Self::put) into it.
    /// True if others waited for it.
    #[inline]
    pub(super) fn complete(&self) -> bool {
        let complete = |outcome: Option<&OutcomeOf<D>>| match outcome {
            Some(outcome) => self.complete_with(outcome),
            None => unreachable!("the work has left its outcome in the call"),
        };
        // SAFETY: the outcome is the owner's while the call leads (OUTCOME).
        unsafe { self.call.with_outcome(complete) }
    }

    /// The same with an outcome that lies elsewhere.
    #[inline]
    pub(super) fn complete_with(&self, outcome: &OutcomeOf<D>) -> bool {
        self.call.reset_if_forked();
        debug_assert_eq!(self.call.state(), State::Leads);
        // SAFETY: as in `enter`.
        let staged = unsafe { self.staged() };
        // SAFETY: it is ours, and leads.
        unsafe { self.domain.complete(&self.call, outcome, staged) }
    }

    /// The result of a call that led, or that found its value without a flight.
    #[inline]
    pub(super) fn own_result(&self, shared: bool) -> RunResultOf<D> {
        match self.take() {
            Ok(value) => Ok(Shared::own(value, shared)),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Gives up the lead of this call: whether somebody took it.
    pub(super) fn abandon(&self) -> bool {
        self.call.reset_if_forked();
        debug_assert_eq!(self.call.state(), State::Leads);
        // SAFETY: it is ours, and leads.
        unsafe { wait::abandon(&self.domain, &self.call) }
    }

    /// Ends the flight that this call leads with a panic.
    #[cold]
    pub(super) fn panicked(&self, payload: &(dyn std::any::Any + Send)) {
        self.complete_with(&Err(Failure::Panicked(panic_message(payload).into())));
        // The result that the work had left, if the panic came after it.
        // SAFETY: it is ours, and out (OUTCOME).
        let _ = contained(|| drop(unsafe { self.call.take_outcome() }));
    }

    /// The value in what the work returned.
    #[inline(always)]
    pub(super) fn value_of(&self, loaded: D::Loaded) -> D::Value {
        // SAFETY: as in `enter`.
        self.domain.value_of(loaded, unsafe { self.staged() })
    }

    /// Begins the work of a call that was handed the lead. False if it is unnecessary: then the
    /// call has the outcome.
    pub(super) fn recheck(&self) -> bool {
        self.call.reset_if_forked();
        debug_assert_eq!(self.call.state(), State::Leads);
        // SAFETY: as in `enter`.
        let staged = unsafe { self.staged() };
        // A value that is there is cloned, and the call leads: a call of its key from in there is
        // reentrant.
        self.call.enter_work();
        // SAFETY: it is ours, and leads.
        let is_needed = unsafe { self.domain.recheck(&self.call, staged) };
        self.call.leave_work();
        is_needed
    }

    /// Takes the outcome of a call that has one and does not wait.
    #[inline]
    pub(super) fn take(&self) -> OutcomeOf<D> {
        // SAFETY: it is ours, and does not wait (OUTCOME).
        match unsafe { self.call.take_outcome() } {
            Some(outcome) => outcome,
            None => unreachable!("the call has an outcome"),
        }
    }

    /// Runs the work on this thread after the lead was handed to it, unless that has become
    /// unnecessary; see [`lead`](FlightCall::lead).
    #[inline(never)]
    pub(super) fn take_over(&self, work: impl FnOnce() -> WorkResult<D>) -> bool {
        if self.recheck() { self.lead(work) } else { self.complete() }
    }

    /// Runs the work on this thread, and ends the flight. Whether others got the outcome too.
    #[inline]
    pub(crate) fn lead(&self, work: impl FnOnce() -> WorkResult<D>) -> bool {
        let work = || {
            in_frame_of_its_own_if_large::<D::Value>(|| self.put_result(work()));
            in_frame_of_its_own_if_large::<D::Value>(|| self.stage());
        };
        match self.run_as_work(work) {
            Ok(()) => self.complete(),
            Err(payload) => {
                self.panicked(&*payload);
                resume_unwind(payload)
            }
        }
    }

    /// Puts what the work returned into the call that leads.
    #[inline]
    pub(super) fn put_result(&self, result: WorkResult<D>) {
        let outcome = match result {
            Ok(loaded) => Ok(self.value_of(loaded)),
            Err(error) => Err(Failure::Failed(Arc::new(error))),
        };
        // SAFETY: the outcome is the owner's while the call leads (OUTCOME).
        unsafe { self.call.put_outcome(outcome) };
    }

    /// Puts an outcome into the call that leads.
    #[inline]
    pub(super) fn put(&self, outcome: OutcomeOf<D>) {
        // SAFETY: the outcome is the owner's while the call leads (OUTCOME).
        unsafe { self.call.put_outcome(outcome) };
    }

    /// [Stages](Domain::stage) the outcome that was [put](Self::put) into the call; to be called as
    /// part of the work.
    #[inline]
    pub(super) fn stage(&self) {
        let stage = |outcome: Option<&OutcomeOf<D>>| match outcome {
            Some(Ok(value)) => self.stage_with(Ok(value)),
            Some(Err(Failure::Failed(error))) => self.stage_with(Err(error)),
            _ => {}
        };
        // SAFETY: the outcome is the owner's while the call leads (OUTCOME).
        unsafe { self.call.with_outcome(stage) };
    }

    /// The same with a result that lies elsewhere.
    #[inline]
    pub(super) fn stage_with(&self, result: Result<&D::Value, &D::Error>) {
        // SAFETY: as in `enter`.
        let staged = unsafe { self.staged() };
        // SAFETY: it is ours, and leads.
        unsafe { self.domain.stage(&self.call, result, staged) };
    }

    /// Calls user code as part of this call's work.
    #[inline]
    pub(crate) fn run_as_work<R>(&self, work: impl FnOnce() -> R) -> std::thread::Result<R> {
        self.call.enter_work();
        // What the work leaves half-done is the user's own.
        let result = catch_unwind(AssertUnwindSafe(work));
        self.call.leave_work();
        result
    }

    /// How the wait of a call that joined has ended, if it has.
    fn wait_result(&self, state: State) -> Option<WaitResult> {
        match state {
            State::Waits | State::Out => None,
            State::Leads => Some(WaitResult::Leads),
            State::Done | State::Relays => {
                // SAFETY: it is ours and joined.
                unsafe { deliver::relay(&self.domain, &self.call) };
                Some(WaitResult::Done)
            }
        }
    }

    /// One look at a call that joined; its Waker will be woken when there is something to see.
    pub(crate) fn poll(&self, cx: &TaskContext<'_>) -> Poll<WaitResult> {
        self.call.reset_if_forked();
        // SAFETY: it is ours and joined.
        let state = unsafe { wait::poll(&self.domain, &self.call, cx.waker()) };
        state.and_then(|state| self.wait_result(state)).map_or(Poll::Pending, Poll::Ready)
    }

    /// Stops waiting.
    pub(super) fn leave(&self) -> WaitResult {
        self.call.reset_if_forked();
        // SAFETY: it is ours and joined.
        if unsafe { wait::leave(&self.domain, &self.call) } {
            WaitResult::Done
        } else {
            WaitResult::Left
        }
    }

    /// Blocks the thread until the flight has completed, or the context is done; without a context,
    /// until the limit has passed, where 0 only looks.
    #[cold]
    #[inline(never)]
    pub(super) fn wait(&self, context: Option<&Context>, limit: Option<Duration>) -> WaitResult {
        let deadline = limit.map(|limit| SystemClock.now().after(limit));
        spin(&self.call);
        let completion = std::future::poll_fn(|cx| self.poll(cx));
        let result = match context {
            None => block_on(completion, &SystemClock, deadline),
            Some(context) => {
                block_on(until(completion, context), context.clock(), context.deadline()).flatten()
            }
        };
        result.unwrap_or_else(|| self.leave())
    }

    /// One look at a call that joined, and at the end of its context.
    pub(super) fn poll_until(
        &self,
        done: Option<Pin<&mut Cancelled>>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<WaitResult> {
        match done {
            None => self.poll(cx),
            Some(done) => done
                .poll_until(cx, |cx| self.poll(cx))
                .map(|result| result.unwrap_or_else(|| self.leave())),
        }
    }
}

impl<D: Domain> Drop for FlightCall<D> {
    #[inline]
    fn drop(&mut self) {
        match self.call.state() {
            State::Out => {}
            State::Leads => {
                self.abandon();
            }
            State::Waits | State::Done | State::Relays => {
                self.leave();
            }
        }
        self.domain.on_drop(self.staged.get_mut());
    }
}

/// Spins for about as long as a very short run takes.
fn spin<K: ?Sized, T, E>(me: &Call<K, T, E>) {
    const TURNS: usize = if cfg!(docache_loom) { 0 } else { 40 };
    for _ in 0..TURNS {
        if me.state() != State::Waits {
            return;
        }
        std::hint::spin_loop();
    }
}

/// Calls `f`; if `T` is large, in a stack frame of its own, so that the space for its temporaries
/// is free again when this returns.
#[inline(always)]
fn in_frame_of_its_own_if_large<T>(f: impl FnOnce()) {
    #[inline(never)]
    fn apart(f: impl FnOnce()) {
        f();
    }
    if size_of::<T>() > MAX_BATCHED_BYTES { apart(f) } else { f() }
}

impl<D: Domain> fmt::Debug for FlightCall<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightCall").field("call", &self.call).finish_non_exhaustive()
    }
}
