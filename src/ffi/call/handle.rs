//! Families `group` and `cache`: calls that do not block, in the form begin, finish, on_ready,
//! poll, cancel, free, and end, which is finish and free.
//!
//! # State
//! A call lies on the heap and does not move: its [`AnyCall`], and behind a lock what came of it
//! and its [`NotifyWaker`]. Freed calls are kept by their lane for the next ones, with the memory
//! of their keys and their wakers. A call of a cache that leads begins its load when its caller is
//! told of the lead.
//!
//! # Invariants
//! - ONE-CALLER (of `owned_call`): its functions are called under the lock; or by the thread that
//!   set `finishing`, which the others respect; or where nobody else may be at the call: before it
//!   is handed out, in `free`, and in `end`.
//! - NOTIFY-ONCE: see [`Notify`].
//! - NO-LOST-WAKEUP: a notification is armed first, and then the waker is given to the shard, which
//!   looks for the outcome or the lead under its lock. Whoever brings one about later finds the
//!   waker; if it is there already, the notification is taken back.
//!
//! # Locks
//! The call's lock is taken before the waker's, before those of the flights and before those of the
//! cache; these never meet. None is held while a notification or a listener is called or a value is
//! dropped.

use std::ops::DerefMut;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use super::any_call::{AnyCall, LoadOptions, SharedLane};
use super::lanes::Lane;
use super::notify_waker::NotifyWaker;
use crate::error::{Error, Result};
use crate::ffi::boundary::{DOCACHE_LEADER, DOCACHE_PENDING, docache_status};
use crate::ffi::notify::Notify;
use crate::ffi::perform::{panicked, reentrant};
use crate::ffi::value::Value;
use crate::flight::{Departure, Entered, Failure, Outcome, WaitResult};
use crate::lock::Lock;

/// One caller's part in a run. It has one owner and keeps what it needs, also when its group or its
/// cache is freed. docache_call_on_ready, _poll and _cancel may be called from any thread and at
/// once; nothing else may be going on with the call while it is finished or freed.
///
/// (Aligned, so that calls of different callers share no cache line.)
#[repr(align(128))]
pub struct docache_call {
    inner: AnyCall<docache_call>,
    state: Lock<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Whether it began as one that waits.
    joined: bool,
    /// Whether a thread is inside docache_call_finish.
    finishing: bool,
    /// What came of it, and whether others got that too.
    result: Option<Result<(Value, bool)>>,
    waker: Option<Arc<NotifyWaker>>,
    /// Whether its caller was told of the lead.
    begun: bool,
}

impl State {
    /// Its call can be finished.
    fn check_leads(&self, call: &AnyCall<docache_call>) -> Result<()> {
        if self.finishing || self.result.is_some() || !call.leads() {
            return Err(Error::invalid_argument(
                "call",
                "one that does not lead, or was finished already,",
                "give a LEADER",
            ));
        }
        if !self.begun && call.is_of_cache() {
            return Err(Error::invalid_argument(
                "call",
                "one whose lead was not polled for",
                "poll it first",
            ));
        }
        Ok(())
    }
}

/// What a call has to say when it is polled.
pub(super) enum Polled {
    Pending,
    Leads,
    /// A value, and whether others got it too.
    Value(Value, bool),
}

const _: () = {
    const fn any_thread<T: Send + Sync>() {}
    any_thread::<docache_call>();
    any_thread::<Lane<docache_call>>();
};

impl std::fmt::Debug for docache_call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("docache_call").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// The outcome of a run as C gets it.
fn convert(outcome: Outcome<Value, Error>, shared: bool) -> Result<(Value, bool)> {
    match outcome {
        Ok(value) => Ok((value, shared)),
        Err(Failure::Failed(error)) => Err((*error).clone()),
        Err(Failure::Panicked(message)) => Err(panicked(&message)),
    }
}

impl docache_call {
    /// The state of a call that was not freed.
    fn open(&self) -> Result<impl DerefMut<Target = State>> {
        let state = self.state.lock();
        if self.inner.is_prepared() {
            return Ok(state);
        }
        Err(Error::invalid_argument("call", "one that was freed", "give one that was begun"))
    }

    /// Looks for an outcome, and has the Waker woken if there is neither that nor the lead. Whether
    /// there is.
    fn look(&self, state: &mut State, waker: &Waker) -> bool {
        if state.result.is_some() || state.finishing || self.inner.leads() {
            return true;
        }
        // SAFETY: ONE-CALLER: the caller has the state, and nobody is finishing.
        match unsafe { self.inner.poll(&TaskContext::from_waker(waker)) } {
            Poll::Pending => return false,
            Poll::Ready(WaitResult::Done) => {
                // SAFETY: as above; it was just told.
                let outcome = unsafe { self.inner.take() };
                if matches!(outcome, Some(Ok(_))) {
                    self.inner.count_coalesced();
                }
                state.result = outcome.map(|outcome| convert(outcome, true));
            }
            Poll::Ready(WaitResult::Leads | WaitResult::Left) => {}
        }
        true
    }

    /// Arms a notification: whether it will be called, since there is nothing to see yet.
    pub(super) fn on_ready(
        &self,
        call: unsafe extern "C-unwind" fn(usize),
        token: usize,
    ) -> Result<bool> {
        let mut state = self.open()?;
        if !state.joined {
            return Err(Error::invalid_argument(
                "call",
                "one that leads",
                "give one that is PENDING",
            ));
        }
        let waker = state.waker.get_or_insert_default().clone();
        waker.with(|notify| {
            notify.check_unused("call")?;
            *notify = Notify::Armed(call, token);
            Ok::<_, Error>(())
        })?;
        // NO-LOST-WAKEUP. It may have been told, and its waker woken, since an earlier notification
        // was cancelled.
        let ready = self.look(&mut state, &Waker::from(waker.clone()));
        Ok(!(ready && waker.with(Notify::cancel)))
    }

    /// Takes the notification back: whether it will never be called.
    pub(super) fn cancel(&self) -> Result<bool> {
        let state = self.open()?;
        Ok(state.waker.as_ref().is_none_or(|waker| waker.with(Notify::cancel)))
    }

    /// Where the call stands.
    pub(super) fn poll(&self) -> Result<Polled> {
        let mut state = self.open()?;
        // A call that waits keeps the waker that it has.
        if self.inner.waits() || !self.look(&mut state, Waker::noop()) {
            return Ok(Polled::Pending);
        }
        self.take_lead(state);
        let result = self.state.lock().result.clone();
        let polled = result.transpose()?;
        Ok(polled.map_or(Polled::Leads, |(value, shared)| Polled::Value(value, shared)))
    }

    /// Begins the load of a call of a cache that has got the lead. If the value is there by now,
    /// that is what comes of the run, and the others are notified.
    fn take_lead(&self, mut state: impl DerefMut<Target = State>) {
        if state.begun || state.finishing || state.result.is_some() || !self.inner.leads() {
            return;
        }
        // SAFETY: ONE-CALLER: the caller has the state, and nobody is finishing.
        let Some(outcome) = (unsafe { self.inner.recheck() }) else {
            state.begun = true;
            return;
        };
        // A thread that polls meanwhile sees it too.
        state.result = Some(convert(outcome.clone(), true));
        state.finishing = true;
        drop(state);
        // SAFETY: ONE-CALLER: `finishing` is ours, and it leads.
        unsafe { self.inner.complete_found(&outcome) };
        self.state.lock().finishing = false;
    }

    /// The state of a call that can be finished.
    pub(super) fn open_as_leader(&self) -> Result<impl DerefMut<Target = State>> {
        let state = self.open()?;
        state.check_leads(&self.inner)?;
        Ok(state)
    }

    /// Begins to finish: from here on the call is the caller's.
    fn begin_finish(&self) -> Result<()> {
        self.open_as_leader()?.finishing = true;
        Ok(())
    }

    /// Ends the run: whether others got the outcome too.
    pub(super) fn finish(&self, outcome: Outcome<Value, Error>) -> Result<bool> {
        self.begin_finish()?;
        // SAFETY: ONE-CALLER: `finishing` is ours, and it leads.
        let shared = unsafe { self.inner.complete(&outcome) };
        let mut state = self.state.lock();
        state.result = Some(convert(outcome, shared));
        state.finishing = false;
        Ok(shared)
    }

    /// Takes the call out of its run: whether that is lost with it. Others' notifications are
    /// called here, and values may be dropped.
    ///
    /// # Safety
    /// The call is being freed.
    pub(super) unsafe fn leave(&self) -> Result<bool> {
        let mut state = self.open()?;
        if state.finishing {
            return Err(Error::invalid_argument(
                "call",
                "one that is being finished",
                "free it afterwards",
            ));
        }
        if let Some(waker) = state.waker.as_ref().filter(|_| state.joined) {
            waker.with(Notify::cancel);
        }
        let result = state.result.take();
        drop(state);
        // SAFETY: ONE-CALLER: nobody else may be at a call that is being freed.
        let departure = unsafe { self.inner.leave() };
        let lost = matches!(departure, Departure::Ended);
        drop((result, departure));
        Ok(lost)
    }
}

/// Gets a call ready for `key` and lets it enter.
///
/// # Safety
/// The call is pinned, and nobody else knows it.
unsafe fn enter(
    call: *mut docache_call,
    lane: &SharedLane<docache_call>,
    key: &[u8],
    owner: u64,
    options: LoadOptions,
) -> Entered {
    // SAFETY: the caller's promise.
    let inner = unsafe { &mut (*call).inner };
    // SAFETY: it is pinned.
    let inner = unsafe { Pin::new_unchecked(inner) };
    inner.prepare(lane.clone(), key, owner, options);
    // SAFETY: the caller's promise. From here on there are only shared references to it.
    let inner = unsafe { &(*call).inner };
    // SAFETY: it is pinned.
    let inner = unsafe { Pin::new_unchecked(inner) };
    // SAFETY: ONE-CALLER: nobody else knows it; it was just prepared.
    let entered = unsafe { inner.enter() };
    // SAFETY: the flight knows the call; the state is nobody else's yet.
    let state = unsafe { &mut (*call).state }.get_mut();
    state.joined = entered == Entered::Joined;
    state.begun = entered == Entered::Leads;
    entered
}

/// Keeps a call that is in no run for the next one.
///
/// # Safety
/// It came from `Box::into_raw`, is in no run, and nobody else knows it any more.
pub(super) unsafe fn put_away(call: *mut docache_call) {
    // SAFETY: the caller's promise. A call in no run need not be pinned.
    let mut call = unsafe { Box::from_raw(call) };
    // SAFETY: it lies in a box, and `reset` does not move it.
    let inner = unsafe { Pin::new_unchecked(&mut call.inner) };
    let lane = inner.reset();
    let state = call.state.get_mut();
    state.begun = false;
    if state.joined {
        // It may have been armed.
        state.waker = NotifyWaker::renew(state.waker.take());
        state.joined = false;
    }
    if let Some(lane) = lane {
        lane.keep_call(call);
    }
}

/// What beginning a call comes to.
pub(crate) enum Begun {
    /// A cache has the value.
    Value(Value),
    /// A call, and whether it is LEADER or PENDING.
    Call(*mut docache_call, docache_status),
}

/// Begins a call of `key`; a cache goes by `options`.
pub(crate) fn begin(
    lane: &SharedLane<docache_call>,
    key: &[u8],
    owner: u64,
    options: LoadOptions,
) -> Result<Begun> {
    let call = Box::into_raw(lane.take_call().unwrap_or_else(|| {
        let inner = AnyCall::new(&lane.source);
        Box::new(docache_call { inner, state: Lock::new(State::default()) })
    }));
    // SAFETY: it is ours, and stays where it is until `put_away`.
    let entered = unsafe { enter(call, lane, key, owner, options) };
    let outcome = match entered {
        Entered::Leads => return Ok(Begun::Call(call, DOCACHE_LEADER)),
        Entered::Joined => return Ok(Begun::Call(call, DOCACHE_PENDING)),
        Entered::Reentrant => None,
        Entered::Found => {
            // SAFETY: it is ours.
            let inner = unsafe { &(*call).inner };
            // SAFETY: ONE-CALLER; it was just found.
            unsafe { inner.take() }
        }
    };
    // SAFETY: it is in no run, and ours.
    unsafe { put_away(call) };
    match outcome {
        Some(outcome) => convert(outcome, false).map(|(value, _)| Begun::Value(value)),
        None => Err(reentrant(key)),
    }
}

/// Ends the run of a call that nobody else may be at, and leaves the call as one to put away:
/// whether others got the outcome too.
///
/// # Safety
/// HANDLE, not NULL; nothing else is going on with the call.
pub(super) unsafe fn end(call: *mut docache_call, outcome: &Outcome<Value, Error>) -> Result<bool> {
    // SAFETY: the caller's promise.
    let inner = unsafe { &(*call).inner };
    {
        // SAFETY: the caller's promise. The flight may know the call, but not its state.
        let state = unsafe { &mut (*call).state }.get_mut();
        // A notification that polls its leader's call hears that it leads.
        state.check_leads(inner)?;
        state.finishing = true;
        if let Some(waker) = state.waker.as_ref().filter(|_| state.joined) {
            waker.with(Notify::cancel);
        }
    }
    // SAFETY: ONE-CALLER: nobody else may be at it, and it leads.
    let shared = unsafe { inner.complete(outcome) };
    // SAFETY: as above.
    unsafe { &mut (*call).state }.get_mut().finishing = false;
    Ok(shared)
}
