//! The flights of one shard: a hash table whose entries are the calls that lead, where they lie.

use std::mem;

use super::call::Ref;

/// How many flights a list may hold on average before there are to be more lists.
const CROWD: usize = 2;

/// The calls that lead, by key. It belongs to the shard's lock.
pub(super) struct Registry<K: ?Sized, T, E> {
    flights: usize,
    /// The one list of a small registry, which therefore needs no memory of its own.
    single: Option<Ref<K, T, E>>,
    /// Once there were many flights: a power of two of lists.
    lists: Vec<Option<Ref<K, T, E>>>,
}

// SAFETY: what the calls hold for others may travel between threads, and LINKS orders who touches it.
unsafe impl<K: ?Sized + Sync, T: Send, E: Send + Sync> Send for Registry<K, T, E> {}

impl<K: ?Sized, T, E> Registry<K, T, E> {
    pub(super) const fn new() -> Self {
        Registry { flights: 0, single: None, lists: Vec::new() }
    }

    pub(super) fn flights(&self) -> usize {
        self.flights
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

    /// The call that leads for `key`. User code runs here, under the lock: `K`'s `Eq`, which may panic.
    #[inline]
    pub(super) fn find(&mut self, hash: u64, key: &K) -> Option<Ref<K, T, E>>
    where
        K: Eq,
    {
        let mut next = *self.list(hash);
        while let Some(flight) = next {
            let call = flight.call();
            // SAFETY: it is registered, so it leads, and stays while we hold the lock (KEY).
            if call.hash == hash && unsafe { call.key() } == key {
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

    /// Takes a call out, if it is in: one that was forgotten is not (OWN).
    #[inline]
    pub(super) fn remove(&mut self, flight: Ref<K, T, E>) {
        let (was_in, before, after) =
            flight.links(|links| (mem::take(&mut links.registered), links.before, links.after));
        if !was_in {
            return;
        }
        self.flights -= 1;
        match before {
            Some(before) => before.links(|links| links.after = after),
            None => *self.list(flight.call().hash) = after,
        }
        if let Some(after) = after {
            after.links(|links| links.before = before);
        }
    }

    /// The number of lists that there should be, if it is not what there is.
    #[inline]
    pub(super) fn wants(&self) -> Option<usize> {
        let lists = self.lists.len().max(1);
        (self.flights > CROWD * lists).then(|| (4 * lists).max(8))
    }

    /// Moves all flights to `lists`, which are empty, and leaves the old lists there; they are to be freed without the
    /// lock.
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
