//! The flights of one shard: a hash table whose entries are the calls that lead, where they lie.

use std::borrow::Borrow;
use std::fmt;
use std::mem;

use super::call::{Call, Kind, Ref, State};
use crate::sync::fork::forks;

/// How many flights a list may hold on average before there are to be more lists.
const CROWD: usize = 2;

/// The calls that lead, by key. It belongs to the lock of their [domain](super::domain::Domain).
pub(crate) struct Registry<K: ?Sized, T, E> {
    flights: usize,
    /// The one list of a small registry, which therefore needs no memory of its own.
    single: Option<Ref<K, T, E>>,
    /// Once there were many flights: a power of two of lists.
    lists: Vec<Option<Ref<K, T, E>>>,
    /// The number of forks ([`forks`]) that lie before the process whose calls these are (COPIED).
    forks: u32,
}

/// What a call that wants to join finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// Nobody: the call leads.
    Leads,
    /// A flight: the call waits.
    Joined,
    /// A flight that the call must not wait for: the calling thread is inside its work, or the same
    /// owner leads it. The call is in no flight.
    Reentrant,
    /// A value (or cached error) that is there already: the call has it, and is in no flight.
    Found,
}

impl<K: ?Sized, T, E> fmt::Debug for Registry<K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("flights", &self.flights).finish_non_exhaustive()
    }
}

// SAFETY: what the calls hold for others may travel between threads, and LINKS orders who touches
// it.
unsafe impl<K: ?Sized + Sync, T: Send, E: Send + Sync> Send for Registry<K, T, E> {}

impl<K: ?Sized, T, E> Registry<K, T, E> {
    pub(crate) const fn new() -> Self {
        Registry { flights: 0, single: None, lists: Vec::new(), forks: 0 }
    }

    /// Whether its calls may be those of a process of which this one is a copy (COPIED).
    #[inline]
    pub(crate) fn is_copied(&self) -> bool {
        self.forks != forks()
    }

    /// Forgets all calls without touching them: they may not exist any more (COPIED). If `torn`, a
    /// thread that is not here was in the middle of changing the registry; then its heap memory is
    /// leaked as well.
    pub(crate) fn renew(&mut self, torn: bool) {
        if torn {
            mem::forget(mem::take(&mut self.lists));
        }
        self.lists.fill(None);
        (self.flights, self.single) = (0, None);
        self.forks = forks();
    }

    pub(crate) fn flights(&self) -> usize {
        self.flights
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
        let call = unsafe { Ref::new(me) };
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
        unsafe { Ref::new(me) }.links(|links| links.registered)
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
        let call = unsafe { Ref::new(me) };
        // SAFETY: the caller owns the call (KEY).
        let key = unsafe { me.key() };
        if !call.links(|links| links.registered) && self.find(me.hash, key).is_none() {
            self.insert(call);
        }
    }

    /// Takes the flight that `me` leads out of the registry: nobody joins it any more. True if
    /// somebody waits in it, to be served by [`notify_followers`](super::deliver::notify_followers).
    ///
    /// # Safety
    /// `me` belongs to the caller and leads in this registry.
    #[inline]
    pub(crate) unsafe fn unregister(&mut self, me: &Call<K, T, E>) -> bool {
        // SAFETY: a call that leads is in this registry (PINNED).
        let call = unsafe { Ref::new(me) };
        self.remove(call);
        call.next().is_some()
    }

    /// Makes later calls of the key begin a new flight. Whether there was one to be forgotten.
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
        let mut lists = mem::take(&mut self.lists);
        for list in lists.iter_mut().chain([&mut self.single]) {
            let mut next = list.take();
            while let Some(flight) = next {
                next = flight.links(|links| {
                    links.registered = false;
                    links.after
                });
            }
        }
        self.lists = lists;
        self.flights = 0;
    }

    #[inline]
    fn list(&mut self, hash: u64) -> &mut Option<Ref<K, T, E>> {
        if self.lists.is_empty() {
            return &mut self.single;
        }
        // The shard was chosen by the hash's upper bits.
        let index = hash as usize & (self.lists.len() - 1);
        &mut self.lists[index]
    }

    /// The call that leads for `key`. User code runs here, under the lock: `K`'s `Eq`, which may
    /// panic.
    #[inline]
    fn find<Q>(&mut self, hash: u64, key: &Q) -> Option<Ref<K, T, E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut next = *self.list(hash);
        while let Some(flight) = next {
            let call = flight.call();
            // SAFETY: it is registered, so it leads, and stays while we hold the lock (KEY).
            if call.hash == hash && unsafe { call.key() }.borrow() == key {
                return Some(flight);
            }
            next = flight.links(|links| links.after);
        }
        None
    }

    #[inline]
    pub(super) fn insert(&mut self, flight: Ref<K, T, E>) {
        self.flights += 1;
        self.link(flight);
    }

    #[inline]
    fn link(&mut self, flight: Ref<K, T, E>) {
        let list = self.list(flight.call().hash);
        let after = list.replace(flight);
        flight.links(|links| {
            links.registered = true;
            links.before = None;
            links.after = after;
        });
        if let Some(after) = after {
            after.links(|links| links.before = Some(flight));
        }
    }

    /// Takes a call out, if it is in: one that was forgotten is not (OWN). Whether it was.
    #[inline]
    pub(super) fn remove(&mut self, flight: Ref<K, T, E>) -> bool {
        let (was_in, before, after) =
            flight.links(|links| (mem::take(&mut links.registered), links.before, links.after));
        if !was_in {
            return false;
        }
        self.flights -= 1;
        match before {
            Some(before) => before.links(|links| links.after = after),
            None => *self.list(flight.call().hash) = after,
        }
        if let Some(after) = after {
            after.links(|links| links.before = before);
        }
        true
    }

    /// How many lists there should be, if there are too few.
    #[inline]
    pub(crate) fn wants(&self) -> Option<usize> {
        let lists = self.lists.len().max(1);
        (self.flights > CROWD * lists).then(|| (4 * lists).max(8))
    }

    /// Moves all flights to `lists`, which are empty, and leaves the old lists there; they are to
    /// be freed without the lock.
    pub(super) fn grow(&mut self, lists: &mut Vec<Option<Ref<K, T, E>>>) {
        if lists.len() <= self.lists.len() {
            return;
        }
        let single = self.single.take();
        mem::swap(&mut self.lists, lists);
        for list in lists.iter_mut().chain([&mut { single }]) {
            let mut next = list.take();
            while let Some(flight) = next {
                next = flight.links(|links| links.after);
                self.link(flight);
            }
        }
    }
}

fn join<K: ?Sized, T, E>(leader: Ref<K, T, E>, me: Ref<K, T, E>) -> Entered {
    if leader.call().runs_here() || leader.call().has_owner_of(me.call()) {
        return Entered::Reentrant;
    }
    // RING: the leader, then parked threads, then the others.
    match me.call().kind {
        Kind::Parked => leader.insert_after(me),
        Kind::Free => leader.insert_before(me),
    }
    me.call().set_state(State::Waits);
    Entered::Joined
}
