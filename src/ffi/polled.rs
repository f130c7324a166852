//! A future behind a handle of C's, which whoever wakes it polls, and who is to be notified.
//!
//! # State
//! Behind one lock: the future (unless it is being polled or over), its result (from then on), and
//! who is to be notified. The [`Pollable`] that it is in is the future's Waker: woken, it polls
//! again, so that it notifies only when there is really something to see.
//!
//! # Invariants
//! - ONE-POLLER: while `poller` is set the future is with the thread that set it. Others leave a
//!   mark, `woken`, and that thread polls once more. So the future is polled, and dropped, without
//!   the lock, by one thread at a time.
//! - NOTIFY-ONCE: `notify` leaves `Armed` under the lock (see [`Notify`]). So after `cancel` says
//!   so it is never called, and it is called at most once in any case.
//! - NO-LOST-WAKEUP: whoever has polled takes an armed notification with it if there is something
//!   to see; arming looks for that first. So an armed notification is called whoever finds it.
//! - COPIED: `poller` says of which process the thread is. In the child of a fork the future of one
//!   that is not there is lost: it ends with an error.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use super::gate::Gate;
use super::notify::{self, Notify};
use crate::contain::{contained, drop_contained};
use crate::error::Result;
use crate::lock::{Lock, LockGuard};
use crate::sync::fork::forks;

pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// See the [module](self).
pub(super) struct Polled<T>(Lock<State<T>>);

pub(super) struct State<T> {
    future: Option<BoxFuture<T>>,
    pub(super) result: Option<Result<T>>,
    pub(super) notify: Notify,
    /// The process whose thread polls, by the number of forks before it.
    poller: Option<u32>,
    woken: bool,
    freed: bool,
}

impl<T> State<T> {
    fn new(future: Option<BoxFuture<T>>, result: Option<Result<T>>) -> State<T> {
        State { future, result, notify: Notify::None, poller: None, woken: false, freed: false }
    }
}

impl<T> Polled<T> {
    pub(super) fn new(future: BoxFuture<T>) -> Polled<T> {
        Polled(Lock::new(State::new(Some(future), None)))
    }
}

/// What has a future to poll.
pub(super) trait Pollable: Wake + Send + Sync + Sized + 'static {
    type Output;

    /// What errors call it.
    const NAME: &'static str;

    fn polled(&self) -> &Polled<Self::Output>;

    /// What its notification is called through.
    fn gate(&self) -> &Arc<Gate>;

    /// Whether there is something to see before the future is over.
    fn is_ready_early(&self) -> bool {
        false
    }

    /// Whether its future is to go on when the handle is freed.
    fn outlives_handle(&self) -> bool {
        false
    }

    /// See COPIED.
    fn lock(&self) -> LockGuard<'_, State<Self::Output>> {
        let (mut state, torn) = self.polled().0.lock_marked();
        if torn || state.poller.is_some_and(|process| process != forks()) {
            let lost = State::new(None, Some(Err(notify::lost_in_fork(Self::NAME))));
            std::mem::forget(std::mem::replace(&mut *state, lost));
        }
        state
    }

    /// Polls, unless there is a result or somebody else polls (ONE-POLLER).
    fn drive(self: &Arc<Self>) {
        while let Some(future) = begin_poll(&**self) {
            if !poll(self, future) {
                return;
            }
        }
    }

    /// Arms a notification; false: there is something to see already.
    fn arm(&self, notify: unsafe extern "C-unwind" fn(usize), token: usize) -> Result<bool> {
        let mut state = self.lock();
        state.notify.check_unused(Self::NAME)?;
        if state.result.is_some() || self.is_ready_early() {
            return Ok(false);
        }
        // Under the lock under which the result will be stored (NO-LOST-WAKEUP).
        state.notify = Notify::Armed(notify, token);
        Ok(true)
    }

    /// Takes the notification back: whether it will never be called.
    fn cancel(&self) -> bool {
        self.lock().notify.cancel()
    }

    /// Its handle is freed: what is left of the future, to be dropped, unless it goes on.
    fn give_up(&self) -> Option<BoxFuture<Self::Output>> {
        let mut state = self.lock();
        state.freed = true;
        state.notify.cancel();
        if self.outlives_handle() { None } else { state.future.take() }
    }
}

fn begin_poll<P: Pollable>(task: &P) -> Option<BoxFuture<P::Output>> {
    let mut state = task.lock();
    if state.poller.is_some() {
        state.woken = true;
        return None;
    }
    let future = state.future.take()?;
    state.poller = Some(forks());
    state.woken = false;
    Some(future)
}

/// Polls once; whether a wake came meanwhile.
fn poll<P: Pollable>(task: &Arc<P>, mut future: BoxFuture<P::Output>) -> bool {
    let waker = Waker::from(task.clone());
    let polled = contained(|| future.as_mut().poll(&mut TaskContext::from_waker(&waker)));
    let (future, result) = match polled {
        Ok(Poll::Pending) => (Some(future), None),
        Ok(Poll::Ready(result)) => {
            drop_contained(future);
            (None, Some(result))
        }
        Err(panic) => {
            drop_contained(future);
            (None, Some(Err(panic)))
        }
    };
    let mut state = task.lock();
    state.poller = None;
    state.result = result;
    let given_up = state.freed && !task.outlives_handle();
    let spare = if given_up { future } else { std::mem::replace(&mut state.future, future) };
    let again = state.woken && !given_up;
    let is_due = state.result.is_some() || task.is_ready_early();
    let due = if is_due { state.notify.fire() } else { None };
    drop(state);
    drop_contained(spare);
    if let Some(due) = due {
        task.gate().during(|| due.call());
    }
    again
}
