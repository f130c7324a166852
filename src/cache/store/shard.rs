//! One part of a cache: what its readers look at, and what its writers do under the lock.
//!
//! # State
//! The [`ReadView`] is the readers'; its cache line is only written when the table or the directory
//! is replaced. Everything else is behind the lock. A place of the slab goes through these states:
//!
//! ```text
//!   free ─take─► filled ─link─► linked ─unlink─► limbo ─grace period─► reclaimed ─drop─► free
//!                                  │               ▲
//!                                  ├─► to notify ──┤
//!                                  └─► pending ────┘
//! ```
//!
//! An entry is *linked* while it is in the table and, if it can be evicted, in a queue of the
//! policy. In a cache with a listener, an unlinked entry is shown to the listener before it goes to
//! limbo: by the call that unlinked it, or, if that call came from inside user code, by a later
//! one, which finds it in `pending_notifications`. [`unlinked`](ShardState::unlinked) counts the
//! entries in all states from unlinked until free; users know them as `retired`.
//!
//! The flights of the shard's keys are here too.
//!
//! # Invariants
//! - TABLE: each index in the published table is of a filled place, is there once, and is counted
//!   in `len`. An entry is taken out of the table before anything else is done with it, and only an
//!   entry that was in the table goes to limbo. So a key whose `Hash` or `Eq` is inconsistent never
//!   leads to a place that is in use for something else. It may occupy a place in vain. And since
//!   erasing it decrements the overflow counts on the probe sequence of its present hash, not of
//!   the hash that it was inserted with, other keys may become unreachable (not found, replaced or
//!   removed) until the table is rebuilt, after which they are found again.
//! - QUIET: under the lock no user code runs but the keys' `Eq` (and `Borrow`), whose panic unwinds
//!   through the caller, and `Hash`, whose panic is contained. (The caller's own key is hashed
//!   before.)
//! - FRESH: a write, removal or clearing of a key has the registry forget the key's flight, in its
//!   own critical section; a call that misses looks for the entry and enters the flight in one
//!   critical section; and a load is stored, in one critical section with the end of its flight,
//!   only if that is still registered. So no call that begins after a write joins a load that began
//!   before it, and no such load overwrites what was written.
//!
//! Readers never hold up a writer: while guards protect retired entries, new ones take other
//! places. So the slab grows as long as guards are held, and shrinks when they have gone.

use std::mem::needs_drop;
use std::ops::{Deref, DerefMut};

use crossbeam_utils::CachePadded;

#[cfg(not(docache_loom))]
use super::callback::CallbackScope;
use super::deferred::PendingNotifications;
use super::expiry::negative::{Gone, NegativeCache};
use super::expiry::wheel::TimerWheel;
use super::limbo::Limbo;
use super::place::{Deadline, Place};
use super::slab::{ChunkPtr, MAX_PLACES, Slab, place};
use super::table::{Bucket, Table};
use crate::cache::key::Lookup;
use crate::cache::policy::{Policy, PolicyKind};
use crate::cache::reclaim::Guard;
use crate::cache::stats::{Counts, LoadCounts};
use crate::contain::drop_contained;
use crate::flight::Registry;
use crate::lock::{Lock, LockGuard};
use crate::sync::atomic::{AtomicPtr, Ordering};

/// How many retired entries without a destructor may stay in limbo until a writer needs their
/// places.
pub(crate) const LAZY_RETIRED: usize = 64;

/// What readers look at.
#[derive(Debug)]
pub(crate) struct ReadView<K, V> {
    pub(crate) table: AtomicPtr<Bucket>,
    pub(crate) directory: AtomicPtr<ChunkPtr<K, V>>,
}

impl<K, V> ReadView<K, V> {
    #[inline(always)]
    pub(crate) fn table(&self) -> Table {
        // SAFETY: only tables are stored here.
        unsafe { Table::from_ptr(self.table.load(Ordering::Acquire)) }
    }

    #[inline(always)]
    pub(crate) fn directory(&self) -> *const ChunkPtr<K, V> {
        self.directory.load(Ordering::Acquire)
    }
}

/// A shard: one cache line, which has the readers' [`ReadView`], what else hardly ever changes, and
/// a pointer to the rest.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Shard<K, V, E> {
    pub(super) view: ReadView<K, V>,
    pub(super) config: ShardConfig,
    pub(super) state: Box<CachePadded<Lock<ShardState<K, V, E>>>>,
}

/// How a shard is configured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardConfig {
    pub(crate) kind: PolicyKind,
    /// The share in what the cache may hold, in entries or, if `weighted`, in weight;
    /// [`ShardConfig::UNBOUNDED`] if that has no limit.
    pub(crate) max_weight: u64,
    pub(crate) weighted: bool,
    /// How many errors are cached, if any are.
    pub(crate) max_cached_errors: Option<usize>,
}

impl ShardConfig {
    /// The weight of retired entries above which a write waits for readers; see `limit_retired`.
    pub(super) fn max_retired_weight(&self) -> u64 {
        if self.weighted { self.max_weight } else { u64::MAX }
    }

    pub(crate) const UNBOUNDED: u64 = u64::MAX;

    #[inline]
    pub(crate) fn is_bounded(&self) -> bool {
        self.max_weight != ShardConfig::UNBOUNDED
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy::new(self.kind, self.is_bounded().then_some(self.max_weight), self.weighted)
    }
}

/// What comes with a new entry, beside its key and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewEntry {
    pub(crate) hash: u64,
    pub(crate) deadline: Deadline,
    pub(crate) weight: u32,
    /// The time of the call.
    pub(crate) now: Deadline,
}

/// What is behind the lock.
///
/// A write to a full shard dirties six cache lines of it: the first, which it shares with the lock,
/// the end of the slab, the beginning of limbo, and three of the policy, of which a replacement
/// needs the first alone; and it reads one that hardly ever changes. Few lines move, then, when two
/// threads write to it in turn.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ShardState<K, V, E> {
    pub(crate) len: usize,
    pub(crate) counts: Counts,
    /// A lower bound of the deadlines of the entries that may be evicted.
    pub(crate) earliest_deadline: Deadline,
    /// The timer wheel of the entries that may be evicted. Built when a write to a full shard first
    /// looks for an expired one.
    pub(crate) wheel: Option<Box<TimerWheel>>,
    /// `Some` if an overflow count of the table is saturated: how many entries were erased since
    /// that happened. Enough of them are a reason to rebuild the table.
    pub(crate) erased_since_saturation: Option<usize>,
    pub(crate) negative: Option<Box<NegativeCache<K, E>>>,
    pub(crate) flights: Registry<K, V, E>,
    pub(crate) load_counts: LoadCounts,
    /// How often the table was replaced.
    pub(crate) table_generation: u64,
    /// Places of entries that other threads were working on (dropping them, showing them to the
    /// listener, clearing a shard) when this process was forked off. Those threads are not here:
    /// the places are never given back.
    pub(crate) leaked_by_fork: usize,
    pub(crate) slab: Slab<K, V>,
    pub(crate) limbo: Limbo,
    /// The number of grace periods that had ended when a write last gave up waiting for readers:
    /// until another one has ended, no write waits again.
    pub(crate) gave_up_at: Option<u64>,
    /// Pairs that were refused inside user code.
    pub(crate) refused: Vec<(K, V)>,
    pub(crate) policy: Policy,
    pub(crate) pending_notifications: PendingNotifications,
    /// Cached errors that left inside user code.
    pub(crate) dropped_errors: Vec<Gone<K, E>>,
}

/// Asserts that these begin a cache line, behind the 8 bytes of the lock.
#[cfg(all(target_pointer_width = "64", not(docache_loom)))]
const _: () = {
    use std::mem::offset_of;
    const fn begins_line(offset: usize) {
        assert!((offset + 8) % 64 == 0);
    }
    begins_line(offset_of!(ShardState<u64, u64, ()>, earliest_deadline));
    begins_line(offset_of!(ShardState<u64, u64, ()>, limbo) - Slab::<u64, u64>::HOT_BYTES);
    begins_line(offset_of!(ShardState<u64, u64, ()>, policy));
    assert!(size_of::<Shard<u64, u64, ()>>() == 64);
};

// SAFETY: entries are read by all threads (K, V: Sync), and dropped by whichever of them reclaims
// them (K, V: Send). Cached errors are shared (`Arc<E>`). The registry's pointers lead to calls,
// which are Send and Sync on the same conditions.
unsafe impl<K: Send + Sync, V: Send + Sync, E: Send + Sync> Send for Shard<K, V, E> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync, E: Send + Sync> Sync for Shard<K, V, E> {}

impl<K, V, E> ShardState<K, V, E> {
    /// How many entries are unlinked and their places not free yet.
    pub(crate) fn unlinked(&self) -> usize {
        (self.slab.used() - self.len).saturating_sub(self.leaked_by_fork)
    }

    /// Whether writes have left something that should not wait for the next write.
    #[cfg_attr(docache_loom, allow(dead_code, reason = "models have no background"))]
    pub(crate) fn needs_maintenance(&self) -> bool {
        let few = !needs_drop::<(K, V)>() && self.limbo.len() < LAZY_RETIRED;
        let pending = !self.pending_notifications.entries.is_empty()
            || !self.refused.is_empty()
            || !self.dropped_errors.is_empty();
        pending || !(few || self.limbo.is_empty()) || self.limbo.has_large_tables()
    }
}

impl<K, V, E> Shard<K, V, E> {
    pub(crate) fn new(config: ShardConfig) -> Shard<K, V, E> {
        let state = ShardState {
            len: 0,
            counts: Counts::default(),
            earliest_deadline: Deadline::NEVER,
            wheel: None,
            erased_since_saturation: None,
            negative: config.max_cached_errors.map(|max| Box::new(NegativeCache::new(max))),
            flights: Registry::new(),
            load_counts: LoadCounts::default(),
            table_generation: 0,
            leaked_by_fork: 0,
            slab: Slab::new(MAX_PLACES),
            limbo: Limbo::new((config.max_retired_weight() / 8).max(1)),
            gave_up_at: None,
            refused: Vec::new(),
            dropped_errors: Vec::new(),
            policy: config.policy(),
            pending_notifications: PendingNotifications::default(),
        };
        let view = ReadView {
            table: AtomicPtr::new(Table::for_entries(1).as_ptr()),
            directory: AtomicPtr::new(state.slab.directory().cast_mut()),
        };
        Shard { view, config, state: Box::new(CachePadded::new(Lock::new(state))) }
    }

    /// The entry of a key. O(1), wait-free but for the length of the search.
    #[inline(always)]
    pub(crate) fn find<'g, Q>(
        &'g self,
        _guard: &'g Guard,
        hash: u64,
        key: &Q,
    ) -> Option<&'g Place<K, V>>
    where
        Q: Lookup<K> + ?Sized,
    {
        let test = |index| {
            // SAFETY: found in the table under this guard, so it is filled and stays so (TAGGED);
            // the directory reaches it (THERE).
            let place = unsafe { place(self.view.directory(), index) };
            // SAFETY: as above (TAGGED).
            let (found, _) = unsafe { place.pair() };
            key.matches(found).then_some(place)
        };
        // SAFETY: the table was found under this guard, so it is not freed before that goes
        // (GRACE).
        unsafe { self.view.table().find(hash, test) }
    }

    /// The table, for an iterator.
    pub(crate) fn table(&self, _guard: &Guard) -> Table {
        self.view.table()
    }

    /// The entry of an index that was found in [`table`](Shard::table) under this guard.
    ///
    /// # Safety
    /// It was.
    pub(crate) unsafe fn place<'g>(&'g self, _guard: &'g Guard, index: u32) -> &'g Place<K, V> {
        // SAFETY: found in the table under this guard, so it stays filled (TAGGED); the directory
        // reaches it (THERE).
        unsafe { place(self.view.directory(), index) }
    }

    /// Takes the lock across a fork.
    #[cfg(not(docache_loom))]
    pub(crate) fn hold(&self) {
        self.state.hold();
    }

    /// # Safety
    /// The calling thread holds it.
    #[cfg(not(docache_loom))]
    pub(crate) unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.state.release() };
    }

    /// Resets the registry of flights, whose leaders and waiters are not in this process. A call of
    /// the calling thread itself finds that out by its own count of forks (COPIED).
    ///
    /// # Safety
    /// The calling thread holds it, and is the only one.
    #[cfg(not(docache_loom))]
    pub(crate) unsafe fn reset_in_child(&self) {
        let reset = |state: &mut ShardState<K, V, E>| {
            state.flights.reset(false);
            // Unless the calling thread has some of them itself.
            if !CallbackScope::is_active() {
                let waiting = state.limbo.len() + state.pending_notifications.entries.len();
                state.leaked_by_fork += state.unlinked().saturating_sub(waiting);
            }
        };
        // SAFETY: the caller's promise.
        unsafe { self.state.reset_in_child(reset) };
    }
}

/// The registry of the shard's flights, under the shard's lock.
pub(crate) struct RegistryGuard<'a, K, V, E>(pub(crate) LockGuard<'a, ShardState<K, V, E>>);

impl<K, V, E> Deref for RegistryGuard<'_, K, V, E> {
    type Target = Registry<K, V, E>;

    fn deref(&self) -> &Registry<K, V, E> {
        &self.0.flights
    }
}

impl<K, V, E> DerefMut for RegistryGuard<'_, K, V, E> {
    fn deref_mut(&mut self) -> &mut Registry<K, V, E> {
        &mut self.0.flights
    }
}

impl<K, V, E> Drop for Shard<K, V, E> {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        let (table, directory) = (self.view.table(), self.view.directory());
        let free = |index| {
            // SAFETY: the place is filled (TABLE, ONCE).
            let place: &Place<K, V> = unsafe { place(directory, index) };
            // SAFETY: nobody else is there, and each place is in the table or in limbo, once.
            unsafe { place.drop_pair(drop_contained) };
        };
        for at in 0..table.buckets() {
            // SAFETY: nobody frees it but the next statement.
            unsafe { table.each_in(at, free) };
        }
        // SAFETY: it is the published one, which nobody uses any more.
        unsafe { table.free() };
        state.limbo.drain().for_each(free);
        state.pending_notifications.entries.drain(..).for_each(|(index, _)| free(index));
        state.refused.drain(..).for_each(drop_contained);
        state.dropped_errors.drain(..).for_each(drop_contained);
        if let Some(negative) = &mut state.negative {
            let mut gone = Vec::new();
            negative.clear(&mut gone);
            gone.into_iter().for_each(drop_contained);
        }
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_retired_weighs_what_is_in_limbo_and_what_the_listener_is_still_to_see() {
        let config = ShardConfig {
            kind: PolicyKind::Adaptive,
            max_weight: 100,
            weighted: true,
            max_cached_errors: None,
        };
        let shard = Shard::<u64, u64, ()>::new(config);
        let mut locked = shard.lock(&());
        locked.state.limbo.add_weight(30);
        locked.state.pending_notifications.weight = 4;
        assert_eq!(locked.retired_weight(), 34);
        assert!(!locked.is_over_retired_limit(66) && locked.is_over_retired_limit(67));
    }
}
