//! The ticket of a call: one of a group's flight, or one of a cache's.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::call::docache_call;
use super::flights::{Lane, Source};
use super::store::Key;
use super::value::Value;
use crate::cache::LoadHome;
use crate::error::Error;
use crate::flight::home::Entered;
use crate::flight::{Failure, Gone, GroupPort, KeyedGroup, Landed, Outcome, Port, Ticket};

/// The longest key whose memory is kept for the next one.
const MOST_KEPT: usize = 4096;

pub(super) type Share = Arc<Lane<docache_call>>;

impl AsRef<KeyedGroup<[u8], Value, Error>> for Lane<docache_call> {
    fn as_ref(&self) -> &KeyedGroup<[u8], Value, Error> {
        match &self.source {
            Source::Group(group) => group,
            Source::Cache(_) => unreachable!("a lane of a cache has tickets of a cache"),
        }
    }
}

/// The port of caches.
pub(super) struct CachePort;

impl Port for CachePort {
    type Home = LoadHome<'static, Key, Value, Error, RandomState>;
    type Share = Share;
    type Key = Option<Key>;
    type Options = Option<Duration>;

    fn set_key(key: &mut Option<Key>, bytes: &[u8]) {
        match key {
            Some(key) => key.set(bytes),
            None => *key = Some(bytes.into()),
        }
    }

    fn forget_key(key: &mut Option<Key>) {
        key.take_if(|key| key.len() > MOST_KEPT);
    }

    unsafe fn home(share: &Share, key: &Option<Key>, ttl: Option<Duration>) -> (Self::Home, u64, *const Key) {
        let (Source::Cache(store), Some(key)) = (&share.source, key) else {
            unreachable!("a lane of a group has tickets of a group")
        };
        let store = std::ptr::from_ref(store);
        // SAFETY: KEPT: the handle lies in the share, and what it refers to lives as long.
        let place = unsafe { &*store }.place(key, ttl);
        (place.home, place.hash, key)
    }
}

/// A ticket of either.
#[derive(Debug)]
pub(super) enum CallTicket {
    Group(Ticket<GroupPort<Lane<docache_call>, Value, Error>>),
    Cache(Ticket<CachePort>),
}

/// Does the same with whichever ticket it is.
macro_rules! either {
    ($ticket:expr, $either:ident => $result:expr) => {
        match $ticket {
            CallTicket::Group($either) => $result,
            CallTicket::Cache($either) => $result,
        }
    };
}

/// Does the same with whichever pinned ticket it is.
macro_rules! either_pinned {
    ($ticket:expr, $either:ident => $result:expr) => {
        match $ticket {
            CallTicket::Group($either) => {
                // SAFETY: the enum is pinned, and with it what it holds.
                let $either = unsafe { Pin::new_unchecked($either) };
                $result
            }
            CallTicket::Cache($either) => {
                // SAFETY: as above.
                let $either = unsafe { Pin::new_unchecked($either) };
                $result
            }
        }
    };
}

impl CallTicket {
    pub(super) fn new(source: &Source) -> CallTicket {
        match source {
            Source::Group(_) => CallTicket::Group(Ticket::new()),
            Source::Cache(_) => CallTicket::Cache(Ticket::new()),
        }
    }

    /// Whether it is a cache's.
    pub(super) fn is_of_cache(&self) -> bool {
        matches!(self, CallTicket::Cache(_))
    }

    pub(super) fn prepare(self: Pin<&mut Self>, share: Share, key: &[u8], owner: u64, ttl: Option<Duration>) {
        // SAFETY: nothing is moved.
        match unsafe { self.get_unchecked_mut() } {
            CallTicket::Group(ticket) => {
                // SAFETY: the enum is pinned, and with it what it holds.
                unsafe { Pin::new_unchecked(ticket) }.prepare(share, key, owner, ());
            }
            CallTicket::Cache(ticket) => {
                // SAFETY: as above.
                unsafe { Pin::new_unchecked(ticket) }.prepare(share, key, owner, ttl);
            }
        }
    }

    /// # Safety
    /// As [`Ticket::enter`]'s.
    pub(super) unsafe fn enter(self: Pin<&Self>) -> Entered {
        // SAFETY: the caller's promise.
        either_pinned!(self.get_ref(), ticket => unsafe { ticket.enter() })
    }

    pub(super) fn is_prepared(&self) -> bool {
        either!(self, ticket => ticket.is_prepared())
    }

    pub(super) fn leads(&self) -> bool {
        either!(self, ticket => ticket.leads())
    }

    pub(super) fn waits(&self) -> bool {
        either!(self, ticket => ticket.waits())
    }

    /// # Safety
    /// OWNER.
    pub(super) unsafe fn poll(&self, cx: &TaskContext<'_>) -> Poll<Landed> {
        // SAFETY: the caller's promise.
        either!(self, ticket => unsafe { ticket.poll(cx) })
    }

    /// # Safety
    /// As [`Ticket::take`]'s.
    pub(super) unsafe fn take(&self) -> Option<Outcome<Value, Error>> {
        // SAFETY: the caller's promise.
        either!(self, ticket => unsafe { ticket.take() })
    }

    /// # Safety
    /// OWNER; the call leads.
    pub(super) unsafe fn begin(&self) -> Option<Outcome<Value, Error>> {
        // SAFETY: the caller's promise.
        either!(self, ticket => unsafe { ticket.begin() })
    }

    /// Ends the flight that the call leads: whether others got the outcome too. A cache keeps it before.
    ///
    /// # Safety
    /// OWNER; the call leads.
    pub(super) unsafe fn publish(&self, outcome: &Outcome<Value, Error>) -> bool {
        match self {
            // SAFETY: the caller's promise.
            CallTicket::Group(ticket) => unsafe { ticket.publish(outcome) },
            CallTicket::Cache(ticket) => {
                let result = match outcome {
                    Ok(value) => Some(Ok(value)),
                    Err(Failure::Failed(error)) => Some(Err(&**error)),
                    Err(Failure::Panicked(_)) => None,
                };
                if let Some(result) = result {
                    // SAFETY: the caller's promise.
                    unsafe { ticket.keep(result) };
                }
                // SAFETY: the caller's promise.
                unsafe { ticket.publish(outcome) }
            }
        }
    }

    /// Ends the flight with what was found in the cache.
    ///
    /// # Safety
    /// OWNER; the call leads.
    pub(super) unsafe fn publish_found(&self, outcome: &Outcome<Value, Error>) {
        // SAFETY: the caller's promise.
        either!(self, ticket => unsafe { ticket.publish(outcome) });
    }

    /// # Safety
    /// OWNER.
    pub(super) unsafe fn go(&self) -> Gone<Value, Error> {
        // SAFETY: the caller's promise.
        either!(self, ticket => unsafe { ticket.go() })
    }

    pub(super) fn recall(self: Pin<&mut Self>) -> Option<Share> {
        // SAFETY: nothing is moved.
        either_pinned!(unsafe { self.get_unchecked_mut() }, ticket => ticket.recall())
    }

    /// Counts that the call shares what somebody else loaded.
    pub(super) fn count_coalesced(&self) {
        if let CallTicket::Cache(ticket) = self {
            if let Some(Source::Cache(store)) = ticket.share().map(|lane| &lane.source) {
                store.count_coalesced();
            }
        }
    }
}
