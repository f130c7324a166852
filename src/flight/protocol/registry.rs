//! The flights behind one lock: an intrusive chained hash table of the calls that lead.

use std::borrow::Borrow;
use std::fmt;
use std::mem;

use super::call::{Call, CallPtr, State, WaitKind};
use crate::sync::fork::forks;

/// How many flights there may be for each bucket before there are to be more buckets.
const MAX_LOAD: usize = 2;

/// The calls that lead, by key. It belongs to the lock of their [domain](super::domain::Domain).
#[repr(C)]
pub(crate) struct Registry<K: ?Sized, T, E> {
    len: usize,
    /// The one bucket of a small registry, which therefore needs no memory of its own.
    inline_bucket: Option<CallPtr<K, T, E>>,
    /// Once there were many flights: a power of two of buckets.
    buckets: Vec<Option<CallPtr<K, T, E>>>,
    /// The number of forks ([`forks`]) that lie before the process whose calls these are (COPIED).
    forks: u32,
}

/// What a call that wanted to join finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// Nobody: the call leads.
    Leads,
    /// A flight: the call waits.
    Joined,
    /// A flight that the call must not wait for: the calling thread is inside its work, or the same
    /// caller (`caller_id`) leads it. The call is in no flight.
    Reentrant,
    /// A value (or cached error) that is there already: the call has it, and is in no flight.
    Found,
}

impl<K: ?Sized, T, E> fmt::Debug for Registry<K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("len", &self.len).finish_non_exhaustive()
    }
}

// SAFETY: what the calls hold for others may travel between threads, and LINKS orders who touches
// it.
unsafe impl<K: ?Sized + Sync, T: Send, E: Send + Sync> Send for Registry<K, T, E> {}

impl<K: ?Sized, T, E> Registry<K, T, E> {
    pub(crate) const fn new() -> Self {
        Registry { len: 0, inline_bucket: None, buckets: Vec::new(), forks: 0 }
    }

    /// Whether its calls may be those of a process of which this one is a copy (COPIED).
    #[inline]
    pub(crate) fn is_copied(&self) -> bool {
        self.forks != forks()
    }

    /// Begins anew, without touching the calls: they may not exist any more (COPIED). If `torn`, a
    /// thread that is not here was in the middle of changing the registry; then its heap memory is
    /// leaked as well.
    pub(crate) fn reset(&mut self, torn: bool) {
        if torn {
            mem::forget(mem::take(&mut self.buckets));
        }
        self.buckets.fill(None);
        (self.len, self.inline_bucket) = (0, None);
        self.forks = forks();
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Joins the flight of the call's key, or begins one.
    ///
    /// # Safety
    /// As [`Domain::enter`](super::domain::Domain::enter)'s.
    #[inline]
    pub(crate) unsafe fn enter(&mut self, me: &Call<K, T, E>) -> Entered
    where
        K: Eq,
    {
        // SAFETY: the caller's promise.
        let call = unsafe { CallPtr::new(me) };
        // SAFETY: the caller owns the call (KEY).
        let key = unsafe { me.key() };
        if let Some(leader) = self.find(me.hash, key) {
            return join(leader, call);
        }
        me.set_state(State::Leads);
        self.insert(call);
        Entered::Leads
    }

    /// Whether calls can join the flight that `me` leads: nobody has forgotten it.
    ///
    /// # Safety
    /// `me` belongs to the caller and leads in this registry.
    #[inline]
    pub(crate) unsafe fn is_registered(&self, me: &Call<K, T, E>) -> bool {
        // SAFETY: a call that leads is in this registry (PINNED).
        unsafe { CallPtr::new(me) }.links(|links| links.registered)
    }

    /// Lets calls join the flight again that `me` leads and that was forgotten, unless there is
    /// another one of its key.
    ///
    /// # Safety
    /// `me` belongs to the caller and leads in this registry.
    pub(crate) unsafe fn register_again(&mut self, me: &Call<K, T, E>)
    where
        K: Eq,
    {
        // SAFETY: a call that leads is in this registry (PINNED).
        let call = unsafe { CallPtr::new(me) };
        // SAFETY: the caller owns the call (KEY).
        let key = unsafe { me.key() };
        if !call.links(|links| links.registered) && self.find(me.hash, key).is_none() {
            self.insert(call);
        }
    }

    /// Takes the flight that `me` leads out of the registry: nobody joins it any more. True if
    /// somebody waits in it: [`deliver_outcome`](super::deliver::deliver_outcome) is next.
    ///
    /// # Safety
    /// `me` belongs to the caller and leads in this registry.
    #[inline]
    pub(crate) unsafe fn unregister(&mut self, me: &Call<K, T, E>) -> bool {
        // SAFETY: a call that leads is in this registry (PINNED).
        let call = unsafe { CallPtr::new(me) };
        self.remove(call);
        call.next().is_some()
    }

    /// Makes later calls of the key begin a new flight. True if there was one to be forgotten.
    #[inline]
    pub(crate) fn forget<Q>(&mut self, hash: u64, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let found = self.find(hash, key);
        found.is_some_and(|flight| self.remove(flight))
    }

    /// The same for all keys.
    pub(crate) fn forget_all(&mut self) {
        let mut buckets = mem::take(&mut self.buckets);
        for bucket in buckets.iter_mut().chain([&mut self.inline_bucket]) {
            let mut next = bucket.take();
            while let Some(flight) = next {
                next = flight.links(|links| {
                    links.registered = false;
                    links.chain_next
                });
            }
        }
        self.buckets = buckets;
        self.len = 0;
    }

    #[inline]
    fn bucket(&mut self, hash: u64) -> &mut Option<CallPtr<K, T, E>> {
        if self.buckets.is_empty() {
            return &mut self.inline_bucket;
        }
        // The shard was chosen by the hash's upper bits.
        let index = hash as usize & (self.buckets.len() - 1);
        &mut self.buckets[index]
    }

    /// The call that leads for `key`. User code runs here, under the lock: `K`'s `Eq`, which may
    /// panic.
    #[inline]
    fn find<Q>(&mut self, hash: u64, key: &Q) -> Option<CallPtr<K, T, E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut next = *self.bucket(hash);
        while let Some(flight) = next {
            let call = flight.call();
            // SAFETY: it is registered, so it leads, and stays while we hold the lock (KEY).
            if call.hash == hash && unsafe { call.key() }.borrow() == key {
                return Some(flight);
            }
            next = flight.links(|links| links.chain_next);
        }
        None
    }

    #[inline]
    pub(super) fn insert(&mut self, flight: CallPtr<K, T, E>) {
        self.len += 1;
        self.link(flight);
    }

    #[inline]
    fn link(&mut self, flight: CallPtr<K, T, E>) {
        let bucket = self.bucket(flight.call().hash);
        let next = bucket.replace(flight);
        flight.links(|links| {
            links.registered = true;
            links.chain_prev = None;
            links.chain_next = next;
        });
        if let Some(next) = next {
            next.links(|links| links.chain_prev = Some(flight));
        }
    }

    /// Removes a call, if it is registered: one that was forgotten is not (REGISTERED). Returns
    /// whether it was.
    #[inline]
    pub(super) fn remove(&mut self, flight: CallPtr<K, T, E>) -> bool {
        let (was_in, prev, next) = flight
            .links(|links| (mem::take(&mut links.registered), links.chain_prev, links.chain_next));
        if !was_in {
            return false;
        }
        self.len -= 1;
        match prev {
            Some(prev) => prev.links(|links| links.chain_next = next),
            None => *self.bucket(flight.call().hash) = next,
        }
        if let Some(next) = next {
            next.links(|links| links.chain_prev = prev);
        }
        true
    }

    /// How many buckets there should be, if there are too few.
    #[inline]
    pub(crate) fn wanted_buckets(&self) -> Option<usize> {
        let buckets = self.buckets.len().max(1);
        (self.len > MAX_LOAD * buckets).then(|| (4 * buckets).max(8))
    }

    /// Moves all flights to `buckets`, which are empty, and leaves the old ones there: to be freed
    /// without the lock.
    pub(super) fn grow(&mut self, buckets: &mut Vec<Option<CallPtr<K, T, E>>>) {
        if buckets.len() <= self.buckets.len() {
            return;
        }
        let inline_bucket = self.inline_bucket.take();
        mem::swap(&mut self.buckets, buckets);
        for bucket in buckets.iter_mut().chain([&mut { inline_bucket }]) {
            let mut next = bucket.take();
            while let Some(flight) = next {
                next = flight.links(|links| links.chain_next);
                self.link(flight);
            }
        }
    }
}

fn join<K: ?Sized, T, E>(leader: CallPtr<K, T, E>, me: CallPtr<K, T, E>) -> Entered {
    if leader.call().runs_here() || leader.call().has_caller_of(me.call()) {
        return Entered::Reentrant;
    }
    // RING: the leader, then parked threads, then the others.
    match me.call().wait_kind {
        WaitKind::Parked => leader.insert_after(me),
        WaitKind::Polled => leader.insert_before(me),
    }
    me.call().set_state(State::Waits);
    Entered::Joined
}
