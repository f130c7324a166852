//! A fetch or a refresh that needs no thread: a future that whoever wakes it polls.
//!
//! # State
//! A [polled](crate::ffi::polled) future. Behind a lock of its own, the [`Lead`]: whether the
//! future has come to the point at which its caller must do the work, and then what he has brought.
//!
//! # Invariants
//! - FLAT: a thread polls what it wakes while it polls afterwards, from a list; so the stack does
//!   not grow with the number of those who wait for each other.
//! - FINISHED: the future of a call that was finished is not dropped when the call is freed: it is
//!   to write the value, and whatever wakes it for that keeps the task.
//! - COPIED: in the child of a fork the work is lost, too, if a thread that is not there was just
//!   at its lead.
//!
//! # Locks
//! The future's is taken before the lead's. Neither is held while anything of others is called.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use super::handle::Common;
use crate::contain::{contained, drop_contained};
use crate::echo::{Polls, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::ffi::gate::Gate;
use crate::ffi::notify::{self, Notify};
use crate::ffi::polled::{Pollable, Polled};
use crate::ffi::value::Value;
use crate::lock::{Lock, LockGuard};

/// What a task comes to: a value and where it comes from, or, for a refresh, nothing.
pub(super) type Outcome = Result<Option<(Value, Status)>>;

/// A call of docache_echo_begin or docache_echo_refresh_begin. One owner; its functions may be
/// called from any thread.
pub struct docache_echo_call(pub(super) Arc<Task>);

impl std::fmt::Debug for docache_echo_call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("docache_echo_call").field("key", &self.0.key).finish_non_exhaustive()
    }
}

/// How it stands with the work.
enum Work {
    /// It is not to be done, or not yet.
    Idle,
    /// The caller is to do it; and who is to be woken when it is done.
    Leads(Option<Waker>),
    /// It was done; and what came of it, until that is taken.
    Finished(Option<Result<Value>>),
    /// It need not be done any more.
    Over,
}

/// The part of the caller's in its task.
pub(super) struct Lead(Lock<Work>);

impl Lead {
    pub(super) fn new() -> Arc<Lead> {
        Arc::new(Lead(Lock::new(Work::Idle)))
    }

    /// See COPIED.
    fn lock(&self) -> LockGuard<'_, Work> {
        let (mut work, torn) = self.0.lock_marked();
        if torn {
            let lost = Work::Finished(Some(Err(notify::lost_in_fork("call"))));
            std::mem::forget(std::mem::replace(&mut *work, lost));
        }
        work
    }

    /// The work as the future sees it: from now on the caller is to do it.
    pub(super) fn begin(self: Arc<Lead>) -> Leading {
        *self.lock() = Work::Leads(None);
        Leading(self)
    }

    fn leads(&self) -> bool {
        matches!(*self.lock(), Work::Leads(_))
    }

    fn is_finished(&self) -> bool {
        matches!(*self.lock(), Work::Finished(_))
    }

    fn finish(&self, done: Result<Value>) -> Result<()> {
        let mut work = self.lock();
        match &*work {
            Work::Leads(_) => {}
            Work::Over => {
                return Err(Error::new(ErrorKind::Closed, "the time for the work is over"));
            }
            Work::Idle | Work::Finished(_) => {
                let found = "one that does not lead, or was finished already,";
                let accepted = "finish a call that was LEADER, once";
                return Err(Error::invalid_argument("call", found, accepted));
            }
        }
        let before = std::mem::replace(&mut *work, Work::Finished(Some(done)));
        drop(work);
        // Who finishes polls.
        drop(before);
        Ok(())
    }
}

/// The caller's work as a future. Dropping it ends the lead.
pub(super) struct Leading(Arc<Lead>);

impl Future for Leading {
    type Output = Result<Value>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<Value>> {
        let waker = cx.waker().clone();
        let mut work = self.0.lock();
        let before = match &mut *work {
            Work::Finished(done) => match done.take() {
                Some(done) => return Poll::Ready(done),
                None => return Poll::Pending,
            },
            Work::Leads(place) => place.replace(waker),
            Work::Idle | Work::Over => None,
        };
        drop(work);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        let mut work = self.0.lock();
        if let Work::Leads(_) = *work {
            let before = std::mem::replace(&mut *work, Work::Over);
            drop(work);
            drop(before);
        }
    }
}

/// See the [module](self).
pub(super) struct Task {
    polled: Polled<Option<(Value, Status)>>,
    lead: Arc<Lead>,
    pub(super) key: Arc<str>,
    pub(super) common: Common,
    pub(super) gate: Arc<Gate>,
}

impl Pollable for Task {
    type Output = Option<(Value, Status)>;

    const NAME: &'static str = "call";

    fn polled(&self) -> &Polled<Self::Output> {
        &self.polled
    }

    fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    fn is_ready_early(&self) -> bool {
        self.lead.leads()
    }

    fn outlives_handle(&self) -> bool {
        self.lead.is_finished()
    }
}

/// What there is to say about a task.
pub(super) enum Seen {
    Pending,
    Leads,
    Over(Outcome),
}

impl Task {
    /// A task, which has been polled once.
    pub(super) fn start(
        key: Arc<str>,
        common: Common,
        lead: Arc<Lead>,
        future: impl Future<Output = Outcome> + Send + 'static,
    ) -> Arc<Task> {
        let polled = Polled::new(Box::pin(future));
        let task = Arc::new(Task { polled, lead, key, common, gate: Gate::new() });
        task.on_behalf(|| task.drive());
        task
    }

    /// Looks.
    pub(super) fn look(&self) -> Seen {
        let state = self.lock();
        match &state.result {
            Some(result) => Seen::Over(result.clone()),
            None if self.lead.leads() => Seen::Leads,
            None => Seen::Pending,
        }
    }

    /// Brings what the work came to. There may be another notification from then on.
    pub(super) fn finish(self: &Arc<Task>, done: Result<Value>) -> Result<()> {
        self.lead.finish(done)?;
        let mut state = self.lock();
        if matches!(state.notify, Notify::Fired) {
            state.notify = Notify::None;
        }
        drop(state);
        self.on_behalf(|| self.drive());
        Ok(())
    }

    /// Gives it up, unless it was finished (FINISHED).
    pub(super) fn free(&self) {
        let future = self.give_up();
        self.on_behalf(|| drop_contained(future));
    }

    /// Does what the user has called for: on this thread the cache may call him back meanwhile.
    fn on_behalf<R>(&self, f: impl FnOnce() -> R) -> R {
        let address = self.common.polls.as_ref().map_or(0, Polls::address);
        let _leave = Leave(BEHALF.replace(address));
        f()
    }
}

/// Ends what [`Task::on_behalf`] has begun.
struct Leave(usize);

impl Drop for Leave {
    fn drop(&mut self) {
        BEHALF.set(self.0);
    }
}

thread_local! {
    /// For which cache's user this thread is at it (by the address of its polls), if it is.
    static BEHALF: Cell<usize> = const { Cell::new(0) };

    /// What this thread has yet to poll, while it polls (FLAT). Without a destructor, so that it is
    /// there to the thread's end: the last one to use it leaves nothing.
    static WOKEN: RefCell<ManuallyDrop<Option<VecDeque<Arc<Task>>>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Polls a task that was woken, at once or when what this thread polls just now is over.
fn poll_flat(task: Arc<Task>) {
    let is_outermost = WOKEN.with_borrow_mut(|woken| match &mut **woken {
        Some(woken) => {
            woken.push_back(task);
            false
        }
        woken @ None => {
            *woken = Some(VecDeque::from([task]));
            true
        }
    });
    if !is_outermost {
        return;
    }
    loop {
        let next = WOKEN.with_borrow_mut(|woken| {
            let next = woken.as_mut().and_then(VecDeque::pop_front);
            if next.is_none() {
                **woken = None;
            }
            next
        });
        let Some(task) = next else { return };
        let _ = contained(|| task.drive());
    }
}

impl Wake for Task {
    fn wake(self: Arc<Task>) {
        if let Some(polls) = &self.common.polls {
            // The thread that wakes may be one that must not run callbacks, such as the timer's, or
            // that of another cache's user.
            let task = self.clone();
            if BEHALF.get() != polls.address() && polls.run(move || task.drive()) {
                return;
            }
        }
        poll_flat(self);
    }
}
