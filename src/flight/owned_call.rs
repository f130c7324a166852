//! An owned call: one that lies on the heap and owns its key and its share of the group or cache,
//! for callers without a stack frame of ours, such as those behind the C ABI.
//!
//! # Invariants
//! - OUTLIVES: while the flight call may be in a flight, the owned call holds a share of what that
//!   flight's domain lies in, and the key, unchanged. Both are released only after the flight call
//!   is gone (`reset` does it in that order, and so does the order of the fields on drop).
//! - ONE-CALLER: but for [`state`](OwnedCall::state), one function of an owned call is called at a
//!   time. Its `unsafe` functions ask that of the caller.

use std::fmt;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use super::flight_call::{FlightCall, WaitResult};
use super::keyed::KeyedGroup;
use super::protocol::call::{State, WaitKind};
use super::protocol::domain::{Domain, OutcomeOf};
use super::protocol::outcome::Outcome;
use super::protocol::registry::Entered;
use super::shard::FlightShard;
use crate::contain::drop_contained;

/// Keys up to this length lie in the call itself.
const INLINE: usize = 40;
/// Longer ones in memory that is kept for the next key, up to this much of it.
const MAX_RETAINED: usize = 4096;

/// The bytes of a key.
#[derive(Debug)]
pub(crate) struct KeyBytes {
    len: usize,
    inline: [u8; INLINE],
    long: Vec<u8>,
}

impl KeyBytes {
    fn set(&mut self, key: &[u8]) {
        self.len = key.len();
        match self.inline.get_mut(..key.len()) {
            Some(inline) => inline.copy_from_slice(key),
            None => {
                self.long.clear();
                self.long.extend_from_slice(key);
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        self.inline.get(..self.len).unwrap_or(&self.long)
    }

    /// Keeps memory for the next key, unless there is too much of it.
    fn forget(&mut self) {
        self.len = 0;
        if self.long.capacity() > MAX_RETAINED {
            self.long = Vec::new();
        }
    }
}

impl Default for KeyBytes {
    fn default() -> KeyBytes {
        KeyBytes { len: 0, inline: [0; INLINE], long: Vec::new() }
    }
}

/// How a call left its flight.
#[derive(Debug)]
pub(crate) enum Departure<T, E> {
    /// It was in no flight any more.
    NotInFlight,
    /// It waited; it may have had an outcome that nobody looked at.
    Waited(Option<Outcome<T, E>>),
    /// It led, and somebody who waited leads now.
    HandedOver,
    /// It led, nobody waited, and the flight is over.
    Ended,
}

type ValueOf<O> = <<O as OwnedDomain>::Domain as Domain>::Value;
type ErrorOf<O> = <<O as OwnedDomain>::Domain as Domain>::Error;

/// Where the flights of owned calls live, and how their keys are stored.
pub(crate) trait OwnedDomain {
    /// The domain of a flight. It refers to what a handle keeps alive.
    type Domain: Domain;
    /// What keeps the domain alive.
    type Handle;
    /// The memory of a key, used again and again.
    type Key: Default;
    /// What else a call may say.
    type Options;

    /// Stores a key.
    fn set_key(key: &mut Self::Key, bytes: &[u8]);

    /// Drops the key; memory may be kept for the next one.
    fn clear_key(key: &mut Self::Key);

    /// The domain of the key's flight, the key's hash, and the key.
    ///
    /// # Safety
    /// The result is used only while the handle exists and the key is unchanged, where it is
    /// (OUTLIVES).
    unsafe fn domain(
        handle: &Self::Handle,
        key: &Self::Key,
        options: Self::Options,
    ) -> (Self::Domain, u64, *const <Self::Domain as Domain>::Key);
}

/// A group whose keys are bytes; `G` has the group.
pub(crate) struct GroupDomain<G, T, E>(std::marker::PhantomData<(G, T, E)>);

impl<G, T, E> OwnedDomain for GroupDomain<G, T, E>
where
    G: AsRef<KeyedGroup<[u8], T, E>>,
    T: Clone + 'static,
    E: 'static,
{
    type Domain = &'static FlightShard<[u8], T, E>;
    type Handle = Arc<G>;
    type Key = KeyBytes;
    type Options = ();

    fn set_key(key: &mut KeyBytes, bytes: &[u8]) {
        key.set(bytes);
    }

    fn clear_key(key: &mut KeyBytes) {
        key.forget();
    }

    unsafe fn domain(handle: &Arc<G>, key: &KeyBytes, (): ()) -> (Self::Domain, u64, *const [u8]) {
        let target = (**handle).as_ref().target(key.bytes());
        let shard = std::ptr::from_ref(target.domain);
        // SAFETY: OUTLIVES: the shard lies in what the handle keeps alive, and is only reached by
        // shared references.
        (unsafe { &*shard }, target.hash, key.bytes())
    }
}

/// A call, reusable.
pub(crate) struct OwnedCall<O: OwnedDomain> {
    /// Refers to the two fields below, and so goes before them (OUTLIVES).
    flight_call: Option<FlightCall<O::Domain>>,
    key: O::Key,
    handle: Option<O::Handle>,
    _pinned: PhantomPinned,
}

impl<O: OwnedDomain> OwnedCall<O> {
    pub(crate) fn new() -> Self {
        OwnedCall {
            flight_call: None,
            key: O::Key::default(),
            handle: None,
            _pinned: PhantomPinned,
        }
    }

    /// Gets ready for [`enter`](Self::enter). `caller_id` is who calls, or 0.
    ///
    /// # Panics
    /// If it was not [reset](Self::reset) since the last time.
    pub(crate) fn prepare(
        self: Pin<&mut Self>,
        handle: O::Handle,
        key: &[u8],
        caller_id: u64,
        options: O::Options,
    ) {
        // SAFETY: nothing is moved; the flight call is in no flight, and only a flight call cares
        // where it lies.
        let this = unsafe { self.get_unchecked_mut() };
        assert!(this.flight_call.is_none(), "a call is in use");
        O::set_key(&mut this.key, key);
        let handle = this.handle.insert(handle);
        // SAFETY: handle and key stay as they are until the flight call has left (OUTLIVES).
        let (domain, hash, key) = unsafe { O::domain(handle, &this.key, options) };
        // SAFETY: `enter` asks for a pinned `OwnedCall`, and the key lies in that or in memory that
        // it owns, which stay as they are until the flight call has left (OUTLIVES).
        let flight_call = unsafe { FlightCall::new(domain, hash, key, WaitKind::Polled) };
        this.flight_call = Some(flight_call.with_caller_id(caller_id));
    }

    /// Joins the flight of the key, or begins one.
    ///
    /// # Safety
    /// ONE-CALLER; called once after [`prepare`](Self::prepare).
    pub(crate) unsafe fn enter(self: Pin<&Self>) -> Entered {
        self.get_ref().flight_call.as_ref().map_or(Entered::Reentrant, FlightCall::enter)
    }

    /// What keeps the flight's domain alive, while the call is in use.
    pub(crate) fn handle(&self) -> Option<&O::Handle> {
        self.handle.as_ref()
    }

    /// Where the call stands; [`Out`](State::Out) if it was not prepared.
    fn state(&self) -> State {
        self.flight_call.as_ref().map_or(State::Out, |flight_call| flight_call.call().state())
    }

    /// Takes the outcome of a call that has one.
    ///
    /// # Safety
    /// ONE-CALLER; it was [found](Entered::Found) or [served](WaitResult::Done), and this is called
    /// once.
    pub(crate) unsafe fn take(&self) -> Option<OutcomeOf<O::Domain>> {
        self.flight_call.as_ref().map(FlightCall::take)
    }

    /// Begins the work of a call that the lead was handed to: what makes it unnecessary, if
    /// something has come meanwhile.
    ///
    /// # Safety
    /// ONE-CALLER; the call leads.
    pub(crate) unsafe fn recheck(&self) -> Option<OutcomeOf<O::Domain>> {
        self.flight_call.as_ref().filter(|flight_call| !flight_call.recheck()).map(FlightCall::take)
    }

    /// Stages the result for storing, if the domain has a place for it. A panic is contained.
    ///
    /// # Safety
    /// ONE-CALLER; the call leads.
    pub(crate) unsafe fn stage(&self, result: Result<&ValueOf<O>, &ErrorOf<O>>) {
        if let Some(Err(payload)) = self
            .flight_call
            .as_ref()
            .map(|flight_call| flight_call.run_as_work(|| flight_call.stage_with(result)))
        {
            drop_contained(payload);
        }
    }

    /// Whether the call is in use: prepared and not reset.
    pub(crate) fn is_prepared(&self) -> bool {
        self.flight_call.is_some()
    }

    pub(crate) fn leads(&self) -> bool {
        self.state() == State::Leads
    }

    pub(crate) fn waits(&self) -> bool {
        self.state() == State::Waits
    }

    /// One look at a call that joined and still waits; its Waker will be woken when there is
    /// something to see.
    ///
    /// # Safety
    /// ONE-CALLER.
    pub(crate) unsafe fn poll(&self, cx: &TaskContext<'_>) -> Poll<WaitResult> {
        self.flight_call.as_ref().map_or(Poll::Pending, |flight_call| flight_call.poll(cx))
    }

    /// Ends the flight that the call leads: whether others got the outcome too.
    ///
    /// # Safety
    /// ONE-CALLER; the call leads.
    pub(crate) unsafe fn complete(&self, outcome: &OutcomeOf<O::Domain>) -> bool {
        self.flight_call.as_ref().is_some_and(|flight_call| flight_call.complete_with(outcome))
    }

    /// Takes the call out of its flight.
    ///
    /// # Safety
    /// ONE-CALLER.
    pub(crate) unsafe fn leave(&self) -> Departure<ValueOf<O>, ErrorOf<O>> {
        let Some(flight_call) = &self.flight_call else { return Departure::NotInFlight };
        match self.state() {
            State::Out => Departure::NotInFlight,
            State::Leads if flight_call.abandon() => Departure::HandedOver,
            State::Leads => Departure::Ended,
            State::Waits | State::Done | State::Relays => match flight_call.leave() {
                WaitResult::Done => Departure::Waited(Some(flight_call.take())),
                WaitResult::Leads | WaitResult::Left => Departure::Waited(None),
            },
        }
    }

    /// Gives the handle back, after [`leave`](Self::leave). The call can be used again.
    pub(crate) fn reset(self: Pin<&mut Self>) -> Option<O::Handle> {
        // SAFETY: the flight call is dropped where it is, and nothing is moved but what need not be
        // pinned.
        let this = unsafe { self.get_unchecked_mut() };
        this.flight_call = None;
        O::clear_key(&mut this.key);
        this.handle.take()
    }
}

impl<O: OwnedDomain> fmt::Debug for OwnedCall<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedCall").field("flight_call", &self.flight_call).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Owner(KeyedGroup<[u8], u8, ()>);

    impl AsRef<KeyedGroup<[u8], u8, ()>> for Owner {
        fn as_ref(&self) -> &KeyedGroup<[u8], u8, ()> {
            &self.0
        }
    }

    fn entered(
        owner: &Arc<Owner>,
        key: &[u8],
        expected: Entered,
    ) -> Pin<Box<OwnedCall<GroupDomain<Owner, u8, ()>>>> {
        let mut call = Box::pin(OwnedCall::new());
        call.as_mut().prepare(owner.clone(), key, 0, ());
        // SAFETY: nobody else has it, and it was just prepared.
        assert_eq!(unsafe { call.as_ref().enter() }, expected);
        assert_eq!(
            (call.leads(), call.waits()),
            (expected == Entered::Leads, expected == Entered::Joined)
        );
        call
    }

    #[test]
    fn an_owned_call_that_is_dropped_in_its_flight_leaves_it() {
        let owner = Arc::new(Owner(KeyedGroup::new()));
        let key = [7; 100];
        let (leader, waiter) =
            (entered(&owner, &key, Entered::Leads), entered(&owner, &key, Entered::Joined));
        drop(leader);
        assert!(waiter.leads(), "the lead was handed on");
        drop(waiter);
        assert_eq!((owner.0.in_flight(), Arc::strong_count(&owner)), (0, 1));
    }

    #[test]
    fn only_a_reasonable_amount_of_memory_is_kept_for_keys() {
        let owner = Arc::new(Owner(KeyedGroup::new()));
        for (len, kept) in [
            (INLINE, 0),
            (INLINE + 1, INLINE + 1),
            (MAX_RETAINED, MAX_RETAINED),
            (MAX_RETAINED + 1, 0),
        ] {
            let mut call = entered(&owner, &vec![1; len], Entered::Leads);
            assert_eq!(call.key.bytes().len(), len);
            // SAFETY: nobody else has it.
            assert!(matches!(unsafe { call.leave() }, Departure::Ended));
            assert!(call.as_mut().reset().is_some() && !call.is_prepared());
            assert_eq!((call.key.len, call.key.long.capacity()), (0, kept));
        }
    }
}
