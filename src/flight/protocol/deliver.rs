//! Delivery: how the outcome of a flight gets to the calls that wait for it (step 4 in the
//! documentation of [`flight`](crate::flight)).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::call::{CallPtr, State, WaitKind};
use super::domain::{CallOf, CallPtrOf, Domain, OutcomeOf};
use super::outcome::{Failure, Outcome};
use crate::contain::{contained, drop_contained};
use crate::error::panic_message;

/// How many waiters get the outcome in one critical section.
const BATCH: usize = if cfg!(docache_loom) { 2 } else { 16 };

/// Outcomes larger than this, in bytes, are delivered one by one: the clones of a batch lie on the
/// stack.
pub(in crate::flight) const MAX_BATCHED_BYTES: usize = 256;

/// Delivers the outcome to those who wait in a flight that was
/// [unregistered](super::registry::Registry::unregister), which has returned `has_waiters`. That
/// is returned again.
///
/// # Safety
/// `me` belongs to the caller, and led the flight.
#[inline]
pub(crate) unsafe fn deliver_outcome<D: Domain + ?Sized>(
    domain: &D,
    me: &CallOf<D>,
    outcome: &OutcomeOf<D>,
    has_waiters: bool,
) -> bool {
    if has_waiters {
        // SAFETY: it is pinned, and leaves its ring in here (PINNED). It led a flight of this
        // domain, so its links are under the domain's lock (LINKS).
        deliver(domain, unsafe { CallPtr::new(me) }, outcome);
    }
    me.set_state(State::Out);
    has_waiters
}

/// Serves the others if the call is a relay. It is `Out` afterwards, and has its outcome.
///
/// # Safety
/// `me` belongs to the caller, waited in this registry, and is at `Done` or `Relays`.
pub(in crate::flight) unsafe fn relay<D: Domain>(domain: &D, me: &CallOf<D>) {
    let serve = |outcome: Option<&OutcomeOf<D>>| {
        if let (State::Relays, Some(outcome)) = (me.state(), outcome) {
            // SAFETY: a call that relays is in this registry (PINNED).
            deliver(domain, unsafe { CallPtr::new(me) }, outcome);
        }
    };
    // SAFETY: the state says that it was put there and is the owner's now (OUTCOME).
    unsafe { me.with_outcome(serve) };
    me.set_state(State::Out);
}

/// Serves the ring of `me`, which nobody can join any more, or passes that duty to a parked thread.
/// `me` is alone afterwards.
fn deliver<D: Domain + ?Sized>(domain: &D, me: CallPtrOf<D>, outcome: &OutcomeOf<D>) {
    if size_of::<OutcomeOf<D>>() <= MAX_BATCHED_BYTES {
        deliver_by::<D, BATCH>(domain, me, outcome);
    } else {
        deliver_by::<D, 1>(domain, me, outcome);
    }
}

#[cold]
#[inline(never)]
fn deliver_by<D: Domain + ?Sized, const MAX: usize>(
    domain: &D,
    me: CallPtrOf<D>,
    outcome: &OutcomeOf<D>,
) {
    loop {
        let count = batch_len(domain, me, MAX);
        if count == 0 {
            return;
        }
        let mut copies: [Option<OutcomeOf<D>>; MAX] = [const { None }; MAX];
        copies[..count].iter_mut().for_each(|out| copy(outcome, out));
        let mut wakers: [Option<Waker>; MAX] = [const { None }; MAX];
        // Whether all clones succeeded: a relay must have the real outcome.
        let whole = copies.iter().flatten().all(|copy| copy.is_ok() == outcome.is_ok());
        let registry = domain.registry();
        // A `Clone` may have forked (COPIED).
        me.call().reset_if_forked();
        match me.parked_next().filter(|_| whole) {
            Some(relay) => deliver_with_relay(me, relay, &mut copies[..count], &mut wakers),
            None => deliver_to_last(me, &mut copies[..count], &mut wakers),
        }
        let done = me.next().is_none();
        drop(registry);
        wakers.into_iter().for_each(wake);
        // Clones that were made for calls that have left in the meantime.
        copies.iter_mut().for_each(|copy| drop(contained(|| *copy = None)));
        if done {
            return;
        }
    }
}

/// How many calls the next batch serves, up to `max`.
fn batch_len<D: Domain + ?Sized>(domain: &D, me: CallPtrOf<D>, max: usize) -> usize {
    let _registry = domain.registry();
    // A Waker, or the destructor of a clone, may have forked (COPIED).
    me.call().reset_if_forked();
    // A leader serves one parked thread, and leaves the rest to it.
    let leads = me.call().state() == State::Leads;
    let max = if leads && me.parked_next().is_some() { 1 } else { max };
    let mut count = 0;
    let mut next = me.next();
    while let Some(call) = next.filter(|call| *call != me && count < max) {
        count += 1;
        next = call.next();
    }
    count
}

/// Hands the copies out, from the end of the ring: no parked thread is in it, or one of the copies
/// is not what a relay must have.
fn deliver_to_last<K: ?Sized, T, E>(
    me: CallPtr<K, T, E>,
    copies: &mut [Option<Outcome<T, E>>],
    wakers: &mut [Option<Waker>],
) {
    for (copy, waker) in copies.iter_mut().zip(wakers) {
        let Some(call) = me.prev() else { return };
        call.unlink();
        *waker = deliver_to(call, copy, State::Done);
    }
}

/// Hands the copies out, the first one to `relay`, the parked thread right behind `me`, which
/// becomes the relay for those that are left. `me` is alone afterwards.
fn deliver_with_relay<K: ?Sized, T, E>(
    me: CallPtr<K, T, E>,
    relay: CallPtr<K, T, E>,
    copies: &mut [Option<Outcome<T, E>>],
    wakers: &mut [Option<Waker>],
) {
    for (copy, waker) in copies.iter_mut().zip(&mut *wakers).skip(1) {
        // From the end of the ring, where the calls are that cannot be relays; then other parked
        // threads, so that they return sooner.
        let last = me.prev().filter(|last| last.call().wait_kind == WaitKind::Polled);
        let Some(call) = last.or_else(|| relay.parked_next()) else { break };
        if call == me {
            break;
        }
        call.unlink();
        *waker = deliver_to(call, copy, State::Done);
    }
    me.unlink();
    let state = if relay.next().is_none() { State::Done } else { State::Relays };
    wakers[0] = deliver_to(relay, &mut copies[0], state);
}

/// Gives a call its outcome and returns its Waker. With `Done` this is the last access to it
/// (LAST).
fn deliver_to<K: ?Sized, T, E>(
    call: CallPtr<K, T, E>,
    copy: &mut Option<Outcome<T, E>>,
    state: State,
) -> Option<Waker> {
    let waker = call.links(|links| links.waker.take());
    // SAFETY: it waits, and we hold the lock (OUTCOME).
    unsafe { call.call().swap_outcome(copy) };
    call.call().set_state(state);
    waker
}

/// A copy for one who waits. The clone of a value is user code; if it panics, that is what the
/// waiter gets.
#[inline(never)]
fn copy<T: Clone, E>(outcome: &Outcome<T, E>, out: &mut Option<Outcome<T, E>>) {
    let copied = catch_unwind(AssertUnwindSafe(|| *out = Some(outcome.clone())));
    if let Err(payload) = copied {
        *out = Some(Err(Failure::Panicked(panic_message(&*payload).into())));
        drop_contained(payload);
    }
}

pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        // A Waker is foreign code; its panic must not cost the others their wake-up.
        let _ = contained(|| waker.wake());
    }
}
