//! What a call does in a flight besides completing it: waiting, and leaving.

use std::mem;
use std::task::Waker;

use super::call::{CallPtr, State};
use super::deliver::{relay, wake};
use super::domain::{CallOf, Domain};

/// Stores the newest Waker of a waiting call. If it no longer waits, returns its state.
///
/// # Safety
/// `me` belongs to the caller and waited in this registry.
pub(in crate::flight) unsafe fn poll<D: Domain>(
    domain: &D,
    me: &CallOf<D>,
    waker: &Waker,
) -> Option<State> {
    // SAFETY: a call that waits is in this registry (PINNED).
    let call = unsafe { CallPtr::new(me) };
    if me.state() == State::Waits {
        let mut spare = Some(waker.clone());
        let registry = domain.registry();
        let waits = me.state() == State::Waits;
        if waits {
            spare = call.links(|links| mem::replace(&mut links.waker, spare));
        }
        drop(registry);
        drop(spare);
        if waits {
            return None;
        }
    }
    Some(me.state())
}

/// Stops waiting. If the call was served in the meantime, does the relay's duty; if it became the
/// leader, abandons the lead. True if it has an outcome.
///
/// # Safety
/// `me` belongs to the caller and waited in this registry.
pub(in crate::flight) unsafe fn leave<D: Domain>(domain: &D, me: &CallOf<D>) -> bool {
    // SAFETY: a call that waits is in this registry (PINNED).
    let call = unsafe { CallPtr::new(me) };
    let registry = domain.registry();
    if me.state() == State::Waits {
        call.unlink();
        let waker = call.links(|links| links.waker.take());
        drop(registry);
        me.set_state(State::Out);
        drop(waker);
        return false;
    }
    drop(registry);
    if me.state() == State::Leads {
        // SAFETY: the lead was handed to us.
        unsafe { abandon(domain, me) };
        return false;
    }
    // SAFETY: it is ours, joined, and no longer at `Waits` or `Leads`: so it is at `Done` or
    // `Relays`.
    unsafe { relay(domain, me) };
    true
}

/// Gives up the lead without an outcome: the heir takes it, or the flight ends. True if there was
/// an heir.
///
/// # Safety
/// `me` belongs to the caller and leads in this registry.
pub(in crate::flight) unsafe fn abandon<D: Domain>(domain: &D, me: &CallOf<D>) -> bool {
    // SAFETY: a call that leads is in this registry (PINNED).
    let call = unsafe { CallPtr::new(me) };
    let mut registry = domain.registry();
    let registered = call.links(|links| links.registered);
    registry.remove(call);
    let heir = call.heir();
    let waker = heir.and_then(|heir| {
        call.replace_by(heir);
        if registered {
            registry.insert(heir);
        }
        heir.call().set_state(State::Leads);
        heir.links(|links| links.waker.take())
    });
    drop(registry);
    me.set_state(State::Out);
    wake(waker);
    heir.is_some()
}
