//! One part of a cache: what its readers look at, and what its writers do under the lock.
//!
//! # State
//! The [`Head`] is the readers'; its cache line is only written when something grows. Everything
//! else is behind the lock. An entry is in the table, in a queue of the policy and in a place of
//! the slab; one that was taken out of the first two is in limbo, or *claimed* by the call that
//! took it out, which shows it to the listener first, or `unheard`, if that call came from inside
//! user code.
//!
//! The flights of the shard's keys are here too. A load may be kept as long as its flight is
//! registered: who writes, removes or clears a key ends its flight in the same critical section,
//! and who finds that the key is not in the table enters its flight in the same one. So no call
//! that begins after a write joins a load that began before it.
//!
//! # Invariants
//! - TABLE: what is in the table is filled, once, and counted in `live`. Entries are taken out of
//!   the table first, and only what was found there goes to limbo. So a key whose hash or equality
//!   changes costs at most memory.
//! - QUIET: under the lock no user code runs but `Eq`, and `Hash`, whose panics are contained.
//!
//! Readers hold up nothing here: what is retired beside a guard takes another place than what comes
//! after it, so the slab grows while guards stand, and shrinks when they have gone.

use std::mem::needs_drop;

use crossbeam_utils::CachePadded;

use super::deadlines::Deadlines;
#[cfg(not(docache_loom))]
use super::deferred::Inside;
use super::deferred::Unheard;
use super::entry::{Deadline, Entry};
use super::failures::Failures;
use super::limbo::Limbo;
use super::slab::{Directory, MOST, Slab, entry};
use super::table::{Bucket, Table};
use crate::cache::key::Lookup;
use crate::cache::policy::{Kind, Policy};
use crate::cache::reclaim::Guard;
use crate::cache::stats::Counts;
use crate::contain::drop_contained;
use crate::flight::Registry;
use crate::lock::Lock;
use crate::sync::atomic::{AtomicPtr, Ordering};

/// How many retired entries that need no destructor may wait until their places are wanted.
pub(crate) const FEW: usize = 64;

/// What readers look at.
#[derive(Debug)]
pub(crate) struct Head<K, V> {
    pub(crate) table: AtomicPtr<Bucket>,
    pub(crate) directory: AtomicPtr<Directory<K, V>>,
}

impl<K, V> Head<K, V> {
    #[inline(always)]
    pub(crate) fn table(&self) -> Table {
        // SAFETY: only tables are stored here.
        unsafe { Table::from_ptr(self.table.load(Ordering::Acquire)) }
    }

    #[inline(always)]
    pub(crate) fn directory(&self) -> *const Directory<K, V> {
        self.directory.load(Ordering::Acquire)
    }
}

/// A cache line: the head, and the way to the rest.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Shard<K, V, E> {
    pub(super) head: Head<K, V>,
    pub(super) inner: Box<CachePadded<Lock<Inner<K, V, E>>>>,
}

/// What a shard is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    /// The share in what the cache may hold, in entries or, if `weighted`, in weight;
    /// [`Plan::UNBOUNDED`] if that has no limit.
    pub(crate) most: u64,
    pub(crate) weighted: bool,
    /// How many errors are cached, if any are.
    pub(crate) failures: Option<usize>,
}

impl Plan {
    /// What may be retired before a write looks after it, in weight.
    fn slack(&self) -> u64 {
        if self.weighted { self.most } else { u64::MAX }
    }

    pub(crate) const UNBOUNDED: u64 = u64::MAX;

    #[inline]
    pub(crate) fn is_bounded(&self) -> bool {
        self.most != Plan::UNBOUNDED
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy::new(self.kind, self.is_bounded().then_some(self.most), self.weighted)
    }
}

/// What a new entry is to be, beside its key and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New {
    pub(crate) hash: u64,
    pub(crate) until: Deadline,
    pub(crate) weight: u32,
    /// The time of the call.
    pub(crate) now: Deadline,
}

/// What is behind the lock.
///
/// A write of a full shard changes five cache lines of it: the first, which it shares with the
/// lock, one of the slab, one of limbo and two of the policy. So threads that take turns hand over
/// few.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Inner<K, V, E> {
    pub(crate) live: usize,
    pub(crate) counts: Counts,
    pub(crate) plan: Plan,
    /// No entry that may be evicted has an earlier deadline.
    pub(crate) earliest: Deadline,
    /// How many periods of grace had ended when a write last waited in vain for one more.
    pub(crate) held_up: Option<u64>,
    /// The deadlines of those entries, once one may have expired in a full shard.
    pub(crate) deadlines: Option<Box<Deadlines>>,
    /// Entries erased since the table was built, if one of its buckets has lost count.
    pub(crate) erased: Option<usize>,
    pub(crate) failures: Option<Box<Failures<K, E>>>,
    pub(crate) slab: Slab<K, V>,
    pub(crate) limbo: Limbo,
    _gap: u64,
    pub(crate) policy: Policy,
    pub(crate) unheard: Unheard,
    /// Pairs that were refused inside user code.
    pub(crate) refused: Vec<(K, V)>,
    /// Entries that threads were dropping, or showing to the listener, which did not come along in
    /// a fork. They stay.
    pub(crate) lost: usize,
    pub(crate) flights: Registry<K, V, E>,
}

/// That these begin a cache line, behind a lock of two words.
#[cfg(all(target_pointer_width = "64", not(docache_loom)))]
const _: () = {
    use std::mem::offset_of;
    const fn begins_line(offset: usize) {
        assert!((offset + 8) % 64 == 0);
    }
    begins_line(offset_of!(Inner<u64, u64, ()>, slab));
    begins_line(offset_of!(Inner<u64, u64, ()>, limbo));
    begins_line(offset_of!(Inner<u64, u64, ()>, policy));
};

// SAFETY: the entries that the pointers lead to are shared among readers, and moved out by whoever
// reclaims them.
unsafe impl<K: Send + Sync, V: Send + Sync, E: Send + Sync> Send for Shard<K, V, E> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync, E: Send + Sync> Sync for Shard<K, V, E> {}

impl<K, V, E> Inner<K, V, E> {
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn weight(&self) -> u64 {
        self.policy.weight()
    }

    /// How many entries are retired, or shown to the listener.
    pub(crate) fn retired(&self) -> usize {
        (self.slab.used() - self.live).saturating_sub(self.lost)
    }

    /// What they weigh; those that the listener is being shown are not known here.
    pub(crate) fn retired_weight(&self) -> u64 {
        if self.plan.weighted {
            self.limbo.weight() + self.unheard.weight
        } else {
            self.retired() as u64
        }
    }

    /// Whether writes have left something that should not wait for the next write.
    #[cfg_attr(docache_loom, allow(dead_code, reason = "models have no background"))]
    pub(crate) fn has_leftovers(&self) -> bool {
        let few = !needs_drop::<(K, V)>() && self.limbo.len() < FEW;
        let unheard = !self.unheard.entries.is_empty() || !self.refused.is_empty();
        unheard || !(few || self.limbo.is_empty()) || self.limbo.has_large_tables()
    }

    /// Whether so much is retired that a value of this weight should wait until readers were asked
    /// to let go of it.
    #[inline]
    pub(crate) fn is_behind(&self, weight: u32) -> bool {
        self.plan.weighted && self.retired_weight() + u64::from(weight) > self.plan.slack()
    }
}

impl<K, V, E> Shard<K, V, E> {
    pub(crate) fn new(plan: Plan) -> Shard<K, V, E> {
        let inner = Inner {
            live: 0,
            counts: Counts::default(),
            plan,
            earliest: Deadline::NEVER,
            held_up: None,
            deadlines: None,
            erased: None,
            failures: plan.failures.map(|most| Box::new(Failures::new(most))),
            slab: Slab::new(MOST),
            limbo: Limbo::new((plan.slack() / 8).max(1)),
            _gap: 0,
            policy: plan.policy(),
            unheard: Unheard::default(),
            refused: Vec::new(),
            lost: 0,
            flights: Registry::new(),
        };
        let head = Head {
            table: AtomicPtr::new(Table::for_entries(1).as_ptr()),
            directory: AtomicPtr::new(inner.slab.directory().cast_mut()),
        };
        Shard { head, inner: Box::new(CachePadded::new(Lock::new(inner))) }
    }

    /// The entry of a key. O(1), wait-free but for the length of the search.
    #[inline(always)]
    pub(crate) fn find<'g, Q>(
        &'g self,
        _guard: &'g Guard,
        hash: u64,
        key: &Q,
    ) -> Option<&'g Entry<K, V>>
    where
        Q: Lookup<K> + ?Sized,
    {
        let test = |index| {
            // SAFETY: found in the table; the guard keeps its place.
            let entry = unsafe { entry(self.head.directory(), index) };
            // SAFETY: as above (TAGGED).
            let (found, _) = unsafe { entry.pair() };
            key.matches(found).then_some(entry)
        };
        // SAFETY: the guard was there before the table was found, and keeps it.
        unsafe { self.head.table().find(hash, test) }
    }

    /// What stands in the table, for an iterator.
    pub(crate) fn table(&self, _guard: &Guard) -> Table {
        self.head.table()
    }

    /// The entry of an index that was found in [`table`](Shard::table) under this guard.
    ///
    /// # Safety
    /// It was.
    pub(crate) unsafe fn entry<'g>(&'g self, _guard: &'g Guard, index: u32) -> &'g Entry<K, V> {
        // SAFETY: found in the table; the guard keeps its place.
        unsafe { entry(self.head.directory(), index) }
    }

    /// Takes the lock across a fork.
    #[cfg(not(docache_loom))]
    pub(crate) fn hold(&self) {
        self.inner.hold();
    }

    /// # Safety
    /// The calling thread holds it.
    #[cfg(not(docache_loom))]
    pub(crate) unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.inner.release() };
    }

    /// Forgets the flights: who led them, or waited, is not there. Those calls that the calling
    /// thread has are in none.
    ///
    /// # Safety
    /// The calling thread holds it, and is the only one.
    #[cfg(not(docache_loom))]
    pub(crate) unsafe fn renew(&self) {
        let renew = |inner: &mut Inner<K, V, E>| {
            inner.flights.renew(false);
            // Unless the calling thread has some of them itself.
            if !Inside::is_here() {
                let waiting = inner.limbo.len() + inner.unheard.entries.len();
                inner.lost += inner.retired().saturating_sub(waiting);
            }
        };
        // SAFETY: the caller's promise.
        unsafe { self.inner.renew(renew) };
    }
}

impl<K, V, E> Drop for Shard<K, V, E> {
    fn drop(&mut self) {
        let mut inner = self.inner.lock();
        let (table, directory) = (self.head.table(), self.head.directory());
        let free = |index| {
            // SAFETY: the place is filled (TABLE, ONCE).
            let place: &Entry<K, V> = unsafe { entry(directory, index) };
            // SAFETY: nobody else is there, and each place is in the table or in limbo, once.
            unsafe { place.drop_pair(drop_contained) };
        };
        for at in 0..table.buckets() {
            // SAFETY: nobody frees it but the next statement.
            unsafe { table.each_in(at, free) };
        }
        // SAFETY: it is the published one, which nobody uses any more.
        unsafe { table.free() };
        inner.limbo.drain().for_each(free);
        inner.unheard.entries.drain(..).for_each(|(index, _)| free(index));
        inner.refused.drain(..).for_each(drop_contained);
        if let Some(failures) = &mut inner.failures {
            let mut gone = Vec::new();
            failures.clear(&mut gone);
            gone.into_iter().for_each(drop_contained);
        }
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_retired_weighs_what_is_in_limbo_and_what_nobody_has_heard_of() {
        let plan = Plan { kind: Kind::Adaptive, most: 100, weighted: true, failures: None };
        let shard = Shard::<u64, u64, ()>::new(plan);
        let mut inner = shard.inner.lock();
        inner.limbo.add_weight(30);
        inner.unheard.weight = 4;
        assert_eq!(inner.retired_weight(), 34);
        assert!(!inner.is_behind(66) && inner.is_behind(67));
    }
}
