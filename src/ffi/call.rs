//! Families `group` and `cache`: calls that do not block, in the form begin, finish, on_ready, poll, cancel, free, and end,
//! which is finish and free.
//!
//! # State
//! A call lies on the heap and does not move: its [`Ticket`], and behind a lock what came of it and its [`Bell`]. Freed
//! calls are kept by their lane for the next ones, with the memory of their keys and their bells. A call of a cache that
//! leads begins its load when its caller is told of the lead.
//!
//! # Invariants
//! - OWNER (the ticket's): its functions are called under the lock; or by the thread that set `finishing`, which the
//!   others respect; or where nobody else may be at the call: before it is handed out, in `free`, and in `end`.
//! - NOTIFY-ONCE: see [`Notify`].
//! - TOLD: a notification is armed first, and then the bell is given to the shard, which looks for the outcome or the lead
//!   under its lock. Whoever brings one about later finds the bell; if it is there already, the notification is taken back.
//!
//! # Locks
//! The call's lock is taken before the bell's, before those of the flights and before those of the cache; these never meet.
//! None is held while a notification or a listener is called or a value is dropped.

use std::mem::ManuallyDrop;
use std::ops::DerefMut;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use super::bell::Bell;
use super::call_ticket::{CallTicket, Share};
use super::error::share_error;
use super::flights::{Lane, panicked, reentrant};
use super::notify::{self, Notify, docache_notify_fn};
use super::value::{Value, docache_value, share_value};
use super::{
    DOCACHE_DOER_FAILED, DOCACHE_LEADER, DOCACHE_LEADER_LOST, DOCACHE_OK, DOCACHE_PANIC, DOCACHE_PENDING,
    Out, borrow, check, docache_error, docache_status, guard, perform,
};
use crate::error::{Error, Result};
use crate::flight::home::Entered;
use crate::flight::{Failure, Gone, Landed, Outcome};
use crate::lock::Lock;

/// One caller's part in a run. It has one owner and keeps what it needs, also when its group or its cache is freed.
/// docache_call_on_ready, _poll and _cancel may be called from any thread and at once; nothing else may be going on with
/// the call while it is finished or freed.
///
/// (Aligned, so that calls of different callers share no cache line.)
#[repr(align(128))]
pub struct docache_call {
    ticket: CallTicket,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    /// Whether it began as one that waits.
    joined: bool,
    /// Whether a thread is inside docache_call_finish.
    finishing: bool,
    /// What came of it, and whether others got that too.
    result: Option<Result<(Value, bool)>>,
    bell: Option<Arc<Bell>>,
    /// Whether its caller was told of the lead.
    begun: bool,
}

impl State {
    /// Its call can be finished.
    fn check_leads(&self, ticket: &CallTicket) -> Result<()> {
        if self.finishing || self.result.is_some() || !ticket.leads() {
            return Err(Error::invalid_argument("call", "one that does not lead", "give a LEADER"));
        }
        if !self.begun && ticket.is_of_cache() {
            return Err(Error::invalid_argument(
                "call",
                "one whose lead was not polled for",
                "poll it first",
            ));
        }
        Ok(())
    }
}

const _: () = {
    const fn any_thread<T: Send + Sync>() {}
    any_thread::<docache_call>();
    any_thread::<Lane<docache_call>>();
};

impl std::fmt::Debug for docache_call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("docache_call").field("ticket", &self.ticket).finish_non_exhaustive()
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
        if self.ticket.is_prepared() {
            return Ok(state);
        }
        Err(Error::invalid_argument("call", "one that was freed", "give one that was begun"))
    }

    /// Looks for an outcome, and has the Waker woken if there is neither that nor the lead. Whether there is.
    fn look(&self, state: &mut State, waker: &Waker) -> bool {
        if state.result.is_some() || state.finishing || self.ticket.leads() {
            return true;
        }
        // SAFETY: OWNER: the caller has the state, and nobody is finishing.
        match unsafe { self.ticket.poll(&TaskContext::from_waker(waker)) } {
            Poll::Pending => return false,
            Poll::Ready(Landed::Told) => {
                // SAFETY: as above; it was just told.
                let outcome = unsafe { self.ticket.take() };
                if matches!(outcome, Some(Ok(_))) {
                    self.ticket.count_coalesced();
                }
                state.result = outcome.map(|outcome| convert(outcome, true));
            }
            Poll::Ready(Landed::Leads | Landed::Left) => {}
        }
        true
    }

    fn on_ready(&self, call: unsafe extern "C-unwind" fn(usize), token: usize) -> Result<docache_status> {
        let mut state = self.open()?;
        if !state.joined {
            return Err(Error::invalid_argument("call", "one that leads", "give one that is PENDING"));
        }
        let bell = state.bell.get_or_insert_default().clone();
        bell.with(|notify| {
            notify.check_unused("call")?;
            *notify = Notify::Armed(call, token);
            Ok::<_, Error>(())
        })?;
        // TOLD. It may have been told, and the bell rung, since an earlier notification was cancelled.
        let ready = self.look(&mut state, &Waker::from(bell.clone()));
        Ok(if ready && bell.with(Notify::cancel) { DOCACHE_OK } else { DOCACHE_PENDING })
    }

    /// Begins the load of a call of a cache that has got the lead. If the value is there by now, that is what comes of the run,
    /// and the others are notified.
    fn take_lead(&self, mut state: impl DerefMut<Target = State>) {
        if state.begun || state.finishing || state.result.is_some() || !self.ticket.leads() {
            return;
        }
        // SAFETY: OWNER: the caller has the state, and nobody is finishing.
        let Some(outcome) = (unsafe { self.ticket.begin() }) else {
            state.begun = true;
            return;
        };
        // Whoever polls meanwhile sees it too.
        state.result = Some(convert(outcome.clone(), true));
        state.finishing = true;
        drop(state);
        // SAFETY: OWNER: `finishing` is ours, and it leads.
        unsafe { self.ticket.publish_found(&outcome) };
        self.state.lock().finishing = false;
    }

    /// The state of a call that can be finished.
    fn open_as_leader(&self) -> Result<impl DerefMut<Target = State>> {
        let state = self.open()?;
        state.check_leads(&self.ticket)?;
        Ok(state)
    }

    /// Begins to finish: from here on the ticket is the caller's.
    fn begin_finish(&self) -> Result<()> {
        self.open_as_leader()?.finishing = true;
        Ok(())
    }

    /// Ends the run: whether others got the outcome too.
    fn finish(&self, outcome: Outcome<Value, Error>) -> Result<bool> {
        self.begin_finish()?;
        // SAFETY: OWNER: `finishing` is ours, and it leads.
        let shared = unsafe { self.ticket.publish(&outcome) };
        let mut state = self.state.lock();
        state.result = Some(convert(outcome, shared));
        state.finishing = false;
        Ok(shared)
    }

    /// Takes the call out of its run. Others' notifications are called here, and values may be dropped.
    ///
    /// # Safety
    /// The call is being freed.
    unsafe fn leave(&self) -> Result<docache_status> {
        let mut state = self.open()?;
        if state.finishing {
            return Err(Error::invalid_argument("call", "one that is being finished", "free it afterwards"));
        }
        if let Some(bell) = state.bell.as_ref().filter(|_| state.joined) {
            bell.with(Notify::cancel);
        }
        let result = state.result.take();
        drop(state);
        // SAFETY: OWNER: nobody else may be at a call that is being freed.
        let gone = unsafe { self.ticket.go() };
        let status = if matches!(gone, Gone::Lost) { DOCACHE_LEADER_LOST } else { DOCACHE_OK };
        drop((result, gone));
        Ok(status)
    }
}

/// Gets a call ready for `key` and lets it enter.
///
/// # Safety
/// The call is pinned, and nobody else knows it.
unsafe fn enter(
    call: *mut docache_call,
    lane: &Share,
    key: &[u8],
    owner: u64,
    ttl: Option<Duration>,
) -> Entered {
    // SAFETY: the caller's promise.
    let ticket = unsafe { &mut (*call).ticket };
    // SAFETY: it is pinned.
    let ticket = unsafe { Pin::new_unchecked(ticket) };
    ticket.prepare(lane.clone(), key, owner, ttl);
    // SAFETY: the caller's promise. From here on there are only shared references to the ticket.
    let ticket = unsafe { &(*call).ticket };
    // SAFETY: it is pinned.
    let ticket = unsafe { Pin::new_unchecked(ticket) };
    // SAFETY: OWNER: nobody else knows it; it was just prepared.
    let entered = unsafe { ticket.enter() };
    // SAFETY: the flight knows the ticket; the state is nobody else's yet.
    let state = unsafe { &mut (*call).state }.get_mut();
    state.joined = entered == Entered::Joined;
    state.begun = entered == Entered::Leads;
    entered
}

/// Keeps a call that is in no run for the next one.
///
/// # Safety
/// It came from `Box::into_raw`, is in no run, and nobody else knows it any more.
unsafe fn put_away(call: *mut docache_call) {
    // SAFETY: the caller's promise. A call in no run need not be pinned.
    let mut call = unsafe { Box::from_raw(call) };
    // SAFETY: it lies in a box, and `recall` does not move it.
    let ticket = unsafe { Pin::new_unchecked(&mut call.ticket) };
    let lane = ticket.recall();
    let state = call.state.get_mut();
    state.begun = false;
    if state.joined {
        // It may have been armed.
        state.bell = Bell::renew(state.bell.take());
        state.joined = false;
    }
    if let Some(lane) = lane {
        lane.keep_call(call);
    }
}

/// What beginning a call comes to.
pub(super) enum Begun {
    /// A cache has the value.
    Value(Value),
    /// A call, and whether it is LEADER or PENDING.
    Call(*mut docache_call, docache_status),
}

/// Begins a call of `key`; a cache keeps what it brings for `ttl`, if that is not for its own time to live.
pub(super) fn begin(lane: &Share, key: &[u8], owner: u64, ttl: Option<Duration>) -> Result<Begun> {
    let call = Box::into_raw(lane.take_call().unwrap_or_else(|| {
        let ticket = CallTicket::new(&lane.source);
        Box::new(docache_call { ticket, state: Lock::new(State::default()) })
    }));
    // SAFETY: it is ours, and stays where it is until `put_away`.
    let entered = unsafe { enter(call, lane, key, owner, ttl) };
    let outcome = match entered {
        Entered::Leads => return Ok(Begun::Call(call, DOCACHE_LEADER)),
        Entered::Joined => return Ok(Begun::Call(call, DOCACHE_PENDING)),
        Entered::Reentrant => None,
        Entered::Found => {
            // SAFETY: it is ours.
            let ticket = unsafe { &(*call).ticket };
            // SAFETY: OWNER; it was just found.
            unsafe { ticket.take() }
        }
    };
    // SAFETY: it is in no run, and ours.
    unsafe { put_away(call) };
    match outcome {
        Some(outcome) => convert(outcome, false).map(|(value, _)| Begun::Value(value)),
        None => Err(reentrant(key)),
    }
}

/// What a leader reports. It takes shares of its own.
///
/// # Safety
/// HANDLE.
unsafe fn outcome(
    status: docache_status,
    value: *const docache_value,
    error: *const docache_error,
) -> Result<Outcome<Value, Error>> {
    match status {
        DOCACHE_OK if error.is_null() => {
            check(value, "value")?;
            // SAFETY: HANDLE, not NULL.
            Ok(Ok(unsafe { share_value(value) }))
        }
        DOCACHE_OK => Err(Error::invalid_argument("error", "an error with DOCACHE_OK", "give NULL")),
        DOCACHE_DOER_FAILED | DOCACHE_PANIC if value.is_null() => {
            let error = if error.is_null() {
                None
            } else {
                check(error, "error")?;
                // SAFETY: HANDLE, not NULL.
                Some(unsafe { share_error(error) })
            };
            let error = perform::into_error(perform::reported(status, error));
            Ok(Err(Failure::Failed(Arc::new(error))))
        }
        DOCACHE_DOER_FAILED | DOCACHE_PANIC => {
            Err(Error::invalid_argument("value", "a value with a failure", "give NULL"))
        }
        other => {
            let accepted = "give DOCACHE_OK, DOCACHE_DOER_FAILED or DOCACHE_PANIC";
            Err(Error::invalid_argument("status", other, accepted))
        }
    }
}

/// Ends the run that the call leads: later calls of the key begin a new one, and those that wait are notified.
/// `status` is DOCACHE_OK with a value, or DOCACHE_DOER_FAILED, or DOCACHE_PANIC for a defect, with an error or NULL; what
/// is not given is NULL. The library takes shares of its own. `out_shared`, which may be NULL, becomes 1 if others got the
/// outcome, else 0. INVALID_ARGUMENT, also if the call does not lead, or if it is one of a cache and was not polled since
/// the lead came to it (in a cache: when notified, poll before you finish): nothing has happened.
/// \[CB\] others' `notify`; for a cache also `on_evict` and `drop`
///
/// A call of a cache first puts the value there, unless the key was written, removed or cleared since the call was LEADER;
/// a failure, but not PANIC, if the cache keeps those.
///
/// # Safety
/// HANDLE; nothing else may be going on with the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_call_finish(
    call: *mut docache_call,
    status: docache_status,
    value: *mut docache_value,
    error: *mut docache_error,
    out_shared: *mut u32,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(out_shared, "out_shared") }?;
        // SAFETY: the caller's promise.
        let call = unsafe { borrow(call, "call") }?;
        // SAFETY: the caller's promise.
        let outcome = unsafe { outcome(status, value, error) };
        // Of two mistakes the greater one is told.
        let outcome = outcome.map_err(|error| call.open_as_leader().err().unwrap_or(error))?;
        let shared = call.finish(outcome)?;
        if let Some(out) = out {
            out.write(u32::from(shared));
        }
        Ok(DOCACHE_OK)
    })
}

/// Ends the run of a call that nobody else may be at, and leaves the call as one to put away: whether others got the
/// outcome too.
///
/// # Safety
/// HANDLE, not NULL; nothing else is going on with the call.
unsafe fn end(call: *mut docache_call, outcome: &Outcome<Value, Error>) -> Result<bool> {
    // SAFETY: the caller's promise.
    let ticket = unsafe { &(*call).ticket };
    {
        // SAFETY: the caller's promise. Others may know the ticket, but not the state.
        let state = unsafe { &mut (*call).state }.get_mut();
        // A notification that asks how its teller stands hears that it leads.
        state.check_leads(ticket)?;
        state.finishing = true;
        if let Some(bell) = state.bell.as_ref().filter(|_| state.joined) {
            bell.with(Notify::cancel);
        }
    }
    // SAFETY: OWNER: nobody else may be at it, and it leads.
    let shared = unsafe { ticket.publish(outcome) };
    // SAFETY: as above.
    unsafe { &mut (*call).state }.get_mut().finishing = false;
    Ok(shared)
}

/// docache_call_finish and then docache_call_free, at a lower price: for a caller that will not poll any more. `value` and
/// `error` stay the caller's, who releases them after this has returned, whatever it returns. OK: the call is freed.
/// INVALID_ARGUMENT, also if the call does not lead: nothing has happened, and the call is still to be freed.
/// \[CB\] as docache_call_finish
///
/// # Safety
/// HANDLE; nothing else may be going on with the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_call_end(
    call: *mut docache_call,
    status: docache_status,
    value: *mut docache_value,
    error: *mut docache_error,
    out_shared: *mut u32,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(out_shared, "out_shared") }?;
        check(call, "call")?;
        let shared = if status == DOCACHE_OK && error.is_null() {
            check(value, "value")?;
            // SAFETY: HANDLE, not NULL. It stays the caller's share: those that wait are given clones of it.
            let borrowed = ManuallyDrop::new(Ok(unsafe { Value::from_ptr(value) }));
            // SAFETY: the caller's promise.
            unsafe { end(call, &borrowed) }?
        } else {
            // SAFETY: the caller's promise.
            let outcome = unsafe { outcome(status, value, error) }?;
            // SAFETY: the caller's promise.
            unsafe { end(call, &outcome) }?
        };
        if let Some(out) = out {
            out.write(u32::from(shared));
        }
        // SAFETY: HANDLE: it was begun, and its run is over.
        unsafe { put_away(call) };
        Ok(DOCACHE_OK)
    })
}

/// Has `notify(token)` called once when docache_call_poll has something to say, an outcome or the lead: PENDING. OK if it
/// has already: then `notify` is not called. One notification at a time: a second one is refused unless the first was
/// cancelled. A call that was LEADER from the beginning is refused. \[NC\]
///
/// # Safety
/// HANDLE, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_call_on_ready(
    call: *mut docache_call,
    notify: docache_notify_fn,
    token: usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        unsafe { borrow(call, "call") }?.on_ready(notify::required(notify)?, token)
    })
}

/// Looks: PENDING; LEADER if the call leads, from the beginning or because the lead was handed to it; or what came of the
/// run. OK: a share of the value, which the caller releases, and in `out_shared`, which may be NULL, 1 if others got it
/// too, else 0. DOER_FAILED or PANIC with the error that the leader reported. May be called again and says the same, with
/// one more share each time. A call of a cache that is handed the lead, and finds that the value has come meanwhile, ends the
/// run with that. \[NC\] for a group; for a cache \[CB\] others' `notify`
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_call_poll(
    call: *mut docache_call,
    out_value: *mut *mut docache_value,
    out_shared: *mut u32,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out_value = unsafe { Out::handle(out_value, "out_value") }?;
        // SAFETY: the caller's promise.
        let out_shared = unsafe { Out::optional(out_shared, "out_shared") }?;
        // SAFETY: the caller's promise.
        let call = unsafe { borrow(call, "call") }?;
        let mut state = call.open()?;
        // A call that waits keeps the bell that it has.
        if call.ticket.waits() || !call.look(&mut state, Waker::noop()) {
            return Ok(DOCACHE_PENDING);
        }
        call.take_lead(state);
        let result = call.state.lock().result.clone();
        let Some((value, shared)) = result.transpose()? else { return Ok(DOCACHE_LEADER) };
        if let Some(out) = out_shared {
            out.write(u32::from(shared));
        }
        out_value.write(value.into_ptr());
        Ok(DOCACHE_OK)
    })
}

/// Takes the notification back; the call itself goes on (docache_call_free gives it up). OK: it will not be called; another
/// may be given. PENDING: it has been called, or is being called now. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_call_cancel(call: *mut docache_call) -> docache_status {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let state = unsafe { borrow(call, "call") }?.open()?;
        let never = state.bell.as_ref().is_none_or(|bell| bell.with(Notify::cancel));
        Ok(if never { DOCACHE_OK } else { DOCACHE_PENDING })
    })
}

/// Frees the call, and so gives it up: one that waits leaves its run, which goes on. One that leads and was not finished hands
/// its lead on, or, if nobody waits, the run is over: LEADER_LOST. Else, and for NULL, OK. The notification is cancelled, but,
/// unlike docache_wait_free, this does not wait for one that is being called: what `token` leads to must stay valid until
/// docache_call_cancel has said OK or `notify` has returned. \[CB\] others' `notify`, and `drop`
///
/// # Safety
/// HANDLE; nothing else may be going on with the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_call_free(call: *mut docache_call) -> docache_status {
    guard(std::ptr::null_mut(), || {
        if call.is_null() {
            return Ok(DOCACHE_OK);
        }
        // SAFETY: the caller's promise.
        let leaver = unsafe { borrow(call, "call") }?;
        // SAFETY: it is being freed.
        let status = unsafe { leaver.leave() }?;
        // SAFETY: HANDLE: it was begun, and has left its run.
        unsafe { put_away(call) };
        Ok(status)
    })
}
