//! Delivery: how the outcome of a flight gets to the calls that wait for it (step 4 in the
//! documentation of [`flight`](crate::flight)).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::call::{Kind, Ref, Stage};
use super::home::{CallOf, Home, OutcomeOf, RefOf};
use super::outcome::{Failure, Outcome};
use crate::contain::{contained, drop_contained};
use crate::error::panic_message;

/// How many waiters get the outcome in one critical section.
const BATCH: usize = if cfg!(docache_loom) { 2 } else { 16 };

/// Outcomes larger than this, in bytes, are delivered one by one: the clones of a batch lie on the
/// stack.
pub(in crate::flight) const LARGE: usize = 256;

/// Serves those who wait in a flight that was taken out of the registry by
/// [`end`](super::registry::Registry::end). Returns `has_followers`, which that returned.
///
/// # Safety
/// `me` belongs to the caller, and led the flight.
#[inline]
pub(crate) unsafe fn conclude<H: Home + ?Sized>(
    home: &H,
    me: &CallOf<H>,
    outcome: &OutcomeOf<H>,
    has_followers: bool,
) -> bool {
    if has_followers {
        // SAFETY: a call that leads is in this registry (PINNED).
        tell(home, unsafe { Ref::new(me) }, outcome);
    }
    me.set_stage(Stage::Out);
    has_followers
}

/// Serves the others if the call is a relay. It is `Out` afterwards, and has its outcome.
///
/// # Safety
/// `me` belongs to the caller, waited in this registry, and is at `Done` or `Relays`.
pub(in crate::flight) unsafe fn settle<H: Home>(home: &H, me: &CallOf<H>) {
    let pass_on = |outcome: Option<&OutcomeOf<H>>| {
        if let (Stage::Relays, Some(outcome)) = (me.stage(), outcome) {
            // SAFETY: a call that tells is in this registry (PINNED).
            tell(home, unsafe { Ref::new(me) }, outcome);
        }
    };
    // SAFETY: the stage says that it was put there and is the owner's now (OUTCOME).
    unsafe { me.with_outcome(pass_on) };
    me.set_stage(Stage::Out);
}

/// Serves the ring of `me`, which nobody can join any more, or passes that duty to a parked thread.
/// `me` is alone afterwards.
fn tell<H: Home + ?Sized>(home: &H, me: RefOf<H>, outcome: &OutcomeOf<H>) {
    if size_of::<OutcomeOf<H>>() <= LARGE {
        tell_by::<H, BATCH>(home, me, outcome);
    } else {
        tell_by::<H, 1>(home, me, outcome);
    }
}

#[cold]
#[inline(never)]
fn tell_by<H: Home + ?Sized, const MOST: usize>(home: &H, me: RefOf<H>, outcome: &OutcomeOf<H>) {
    loop {
        let count = count_told(home, me, MOST);
        if count == 0 {
            return;
        }
        let mut copies: [Option<OutcomeOf<H>>; MOST] = [const { None }; MOST];
        copies[..count].iter_mut().for_each(|place| copy(outcome, place));
        let mut wakers: [Option<Waker>; MOST] = [const { None }; MOST];
        // Whether all clones succeeded: a relay must have the real outcome.
        let whole = copies.iter().flatten().all(|copy| copy.is_ok() == outcome.is_ok());
        let registry = home.registry();
        let teller = me.parked_next().filter(|_| whole);
        tell_batch(me, teller, &mut copies[..count], &mut wakers);
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

/// How many copies of the outcome the next batch can use, up to `most`.
fn count_told<H: Home + ?Sized>(home: &H, me: RefOf<H>, most: usize) -> usize {
    let _registry = home.registry();
    // A leader serves one parked thread, and leaves the rest to it.
    let leads = me.call().stage() == Stage::Leads;
    let most = if leads && me.parked_next().is_some() { 1 } else { most };
    let mut count = 0;
    let mut next = me.next();
    while let Some(call) = next.filter(|call| *call != me && count < most) {
        count += 1;
        next = call.next();
    }
    count
}

/// Hands out the copies. If there is a `teller`, the parked thread right behind `me`, it gets the
/// first one and is to tell those who are left, and `me` is alone.
fn tell_batch<K: ?Sized, T, E>(
    me: Ref<K, T, E>,
    teller: Option<Ref<K, T, E>>,
    copies: &mut [Option<Outcome<T, E>>],
    wakers: &mut [Option<Waker>],
) {
    let (first, rest) = match copies.split_first_mut() {
        Some((first, rest)) => (first, rest),
        None => return,
    };
    let Some(teller) = teller else {
        for (copy, waker) in std::iter::once(first).chain(rest).zip(wakers) {
            let Some(call) = me.prev() else { return };
            call.unlink();
            *waker = put(call, copy, Stage::Done);
        }
        return;
    };
    for (copy, waker) in rest.iter_mut().zip(&mut wakers[1..]) {
        // From the end of the ring, where the calls stand that cannot be relays; then other parked
        // threads, so that they return sooner.
        let last = me.prev().filter(|last| last.call().kind == Kind::Free);
        let Some(call) = last.or_else(|| teller.parked_next()) else { break };
        if call == me {
            break;
        }
        call.unlink();
        *waker = put(call, copy, Stage::Done);
    }
    me.unlink();
    let stage = if teller.next().is_none() { Stage::Done } else { Stage::Relays };
    wakers[0] = put(teller, first, stage);
}

/// Gives a call its outcome and returns its Waker. With `Done` this is the last access to it
/// (LAST).
fn put<K: ?Sized, T, E>(
    call: Ref<K, T, E>,
    copy: &mut Option<Outcome<T, E>>,
    stage: Stage,
) -> Option<Waker> {
    let waker = call.links(|links| links.waker.take());
    // SAFETY: it waits, and we hold the lock (OUTCOME).
    unsafe { call.call().swap_outcome(copy) };
    call.call().set_stage(stage);
    waker
}

/// A copy for one who waits. The clone of a value is user code; if it panics, that is what the
/// waiter gets.
#[inline(never)]
fn copy<T: Clone, E>(outcome: &Outcome<T, E>, place: &mut Option<Outcome<T, E>>) {
    let copied = catch_unwind(AssertUnwindSafe(|| *place = Some(outcome.clone())));
    if let Err(payload) = copied {
        *place = Some(Err(Failure::Panicked(panic_message(&*payload).into())));
        drop_contained(payload);
    }
}

pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        // A Waker is foreign code; its panic must not cost the others their wake-up.
        let _ = contained(|| waker.wake());
    }
}
