//! One part of a cache: what its readers look at, and what its writers do under the lock.
//!
//! # State
//! The [`Head`] is the readers'; its cache line is only written when something grows. Everything else is behind the
//! lock. An entry is in the table, in a queue of the policy and in a place of the slab; one that was taken out of the first
//! two is in limbo, or *claimed* by the call that took it out, which shows it to the listener first.
//!
//! # Invariants
//! - TABLE: what is in the table is filled, once, and counted in `live`. Entries are taken out of the table first, and only
//!   what was found there goes to limbo. So a key whose hash or equality changes costs at most memory.
//! - BOUND: not more places are used than [`Inner::most_places`].

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::mem::needs_drop;

use crossbeam_utils::CachePadded;

use super::after::{After, DEAD};
use super::entry::{Entry, Moment};
use super::limbo::Limbo;
use super::loads::{LoadId, Loads};
use super::policy::{Arena, Kind, Policy};
use super::reclaim::Guard;
use super::slab::{Directory, Slab, entry};
use super::stats::{Cause, Counts};
use super::table::{Bucket, Table};
use crate::clock::Tick;
use crate::contain::{contained, drop_contained};
use crate::lock::Lock;
use crate::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// How many entries a shard may have retired in any case, beside those it holds.
const FLOOR: usize = 64;
/// The same for a shard that may grow.
const GROWING_FLOOR: usize = 1024;
/// A table for fewer entries is not made smaller.
const SMALL: usize = 64;

/// What readers look at.
#[derive(Debug)]
pub(crate) struct Head<K, V> {
    table: AtomicPtr<Bucket>,
    directory: AtomicPtr<Directory<K, V>>,
    /// Whether a load was beaten whose flight can still be joined. A caller who knows of the write sees it.
    overtaken: AtomicBool,
}

impl<K, V> Head<K, V> {
    #[inline(always)]
    fn table(&self) -> Table {
        // SAFETY: only tables are stored here.
        unsafe { Table::from_ptr(self.table.load(Ordering::Acquire)) }
    }

    #[inline(always)]
    fn directory(&self) -> *const Directory<K, V> {
        self.directory.load(Ordering::Acquire)
    }
}

/// A cache line: the head, and the way to the rest.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Shard<K, V> {
    head: Head<K, V>,
    inner: Box<CachePadded<Lock<Inner<K, V>>>>,
}

/// What a new entry is to be, beside its key and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New {
    pub(super) hash: u64,
    pub(super) until: Moment,
    pub(super) weight: u32,
    /// The time of the call.
    pub(super) now: Moment,
}

/// What is behind the lock.
#[derive(Debug)]
pub(crate) struct Inner<K, V> {
    slab: Slab<K, V>,
    policy: Policy,
    pub(super) limbo: Limbo,
    pub(super) loads: Loads,
    pub(super) counts: Counts,
    live: usize,
    /// The most entries there have been at once.
    peak: usize,
    /// How many entries there may be, where that is fixed.
    share: Option<usize>,
    /// How many periods had ended when a write last waited in vain for one more.
    pub(super) held_up: Option<u64>,
}

// SAFETY: the entries that the pointers lead to are shared among readers, and moved out by whoever reclaims them.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Shard<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Shard<K, V> {}

impl<K, V> Shard<K, V> {
    /// `limit` is the share in what the cache may hold, in entries or, if `weighted`, in weight.
    pub(crate) fn new(kind: Kind, limit: Option<u64>, weighted: bool) -> Shard<K, V> {
        let share = limit.filter(|_| !weighted).map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let inner = Inner {
            slab: Slab::new(share.map(|share| share.saturating_add(share.max(FLOOR)))),
            policy: Policy::new(kind, limit, weighted),
            limbo: Limbo::default(),
            loads: Loads::default(),
            counts: Counts::default(),
            live: 0,
            peak: 0,
            share,
            held_up: None,
        };
        let head = Head {
            table: AtomicPtr::new(Table::for_entries(1).as_ptr()),
            directory: AtomicPtr::new(inner.slab.directory().cast_mut()),
            overtaken: AtomicBool::new(false),
        };
        Shard { head, inner: Box::new(CachePadded::new(Lock::new(inner))) }
    }

    /// The entry of a key. O(1), wait-free but for the length of the search.
    #[inline(always)]
    pub(crate) fn find<'g, Q>(&'g self, _guard: &'g Guard, hash: u64, key: &Q) -> Option<&'g Entry<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let test = |index| {
            // SAFETY: found in the table; the guard keeps its place.
            let entry = unsafe { entry(self.head.directory(), index) };
            // SAFETY: as above (TAGGED).
            let (found, _) = unsafe { entry.pair() };
            (found.borrow() == key).then_some(entry)
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

    /// Whether a load was beaten whose flight can still be joined.
    #[inline]
    pub(crate) fn is_overtaken(&self) -> bool {
        self.head.overtaken.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn lock<'a, S>(&'a self, hasher: &'a S) -> Locked<'a, K, V, S> {
        Locked { head: &self.head, hasher, inner: self.inner.lock() }
    }
}

impl<K, V> Drop for Shard<K, V> {
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
    }
}

/// A shard whose lock the caller has.
pub(crate) struct Locked<'a, K, V, S> {
    head: &'a Head<K, V>,
    hasher: &'a S,
    pub(super) inner: crate::lock::Guard<'a, Inner<K, V>>,
}

/// The entries, as the policy sees them.
struct Entries<'a, K, V, S> {
    directory: *const Directory<K, V>,
    hasher: &'a S,
}

impl<K, V, S> Entries<'_, K, V, S> {
    #[inline(always)]
    fn entry(&self, index: u32) -> &Entry<K, V> {
        // SAFETY: made under the lock, for indices of the policy, whose places are in use.
        unsafe { entry(self.directory, index) }
    }
}

impl<K: Hash, V, S: BuildHasher> Entries<'_, K, V, S> {
    /// May panic: the hasher is a user's.
    #[inline]
    fn hash_of(&self, index: u32) -> u64 {
        // SAFETY: in use, so filled.
        self.hasher.hash_one(unsafe { &self.entry(index).pair().0 })
    }
}

impl<K: Hash, V, S: BuildHasher> Arena for Entries<'_, K, V, S> {
    #[inline]
    fn hits(&self, i: u32) -> u8 {
        self.entry(i).hits()
    }

    #[inline]
    fn set_hits(&self, i: u32, hits: u8) {
        self.entry(i).set_hits(hits);
    }

    #[inline]
    fn hist(&self, i: u32) -> u8 {
        self.entry(i).history()
    }

    #[inline]
    fn set_hist(&self, i: u32, hist: u8) {
        self.entry(i).set_history(hist);
    }

    #[inline]
    fn hash(&self, i: u32) -> Option<u64> {
        contained(|| self.hash_of(i)).ok()
    }
}

impl<K, V> Inner<K, V> {
    /// How many places there may be, live and retired together: twice as many as there may be, or have been, entries.
    fn most_places(&self) -> usize {
        match self.share {
            Some(share) => share.saturating_add(share.max(FLOOR)),
            None => 2 * self.peak.max(GROWING_FLOOR),
        }
    }

    /// Ends and counts a load. Whether nobody has beaten it.
    #[inline]
    pub(crate) fn end_load(&mut self, load: LoadId, now: Tick, success: bool) -> bool {
        self.counts.loads += 1;
        self.counts.load_failures += u64::from(!success);
        self.counts.load_time = self.counts.load_time.saturating_add(now.since(load.began));
        self.loads.end(load.id)
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn weight(&self) -> u64 {
        self.policy.weight()
    }

    /// How many entries are retired, or shown to the listener.
    pub(crate) fn retired(&self) -> usize {
        self.slab.used() - self.live
    }
}

impl<'a, K: Hash + Eq, V, S: BuildHasher> Locked<'a, K, V, S> {
    #[inline]
    fn entries(&self) -> Entries<'a, K, V, S> {
        Entries { directory: self.inner.slab.directory(), hasher: self.hasher }
    }

    /// The loads of a hash have lost.
    #[inline]
    pub(crate) fn beat(&mut self, hash: u64) {
        if self.inner.loads.beat(hash) {
            self.head.overtaken.store(true, Ordering::Relaxed);
        }
    }

    /// All loads have.
    pub(crate) fn beat_all(&mut self) {
        if self.inner.loads.beat_all() {
            self.head.overtaken.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a load of this hash has lost whose flight can be joined, which the caller is to end before it gives the lock
    /// back. Only says so once.
    pub(crate) fn close_beaten(&mut self, hash: u64) -> bool {
        let closed = self.inner.loads.close_beaten(hash);
        self.head.overtaken.store(self.inner.loads.any_beaten(), Ordering::Relaxed);
        closed
    }

    /// The index of a key, and its entry.
    #[inline]
    pub(crate) fn find<Q>(&self, hash: u64, key: &Q) -> Option<(u32, &'a Entry<K, V>)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let test = |index| {
            let entry = self.entry(index);
            // SAFETY: in the table, so filled (TAGGED).
            let (found, _) = unsafe { entry.pair() };
            (found.borrow() == key).then_some((index, entry))
        };
        // SAFETY: the lock keeps the table.
        unsafe { self.head.table().find(hash, test) }
    }

    /// The entry of an index that was found.
    pub(crate) fn entry(&self, index: u32) -> &'a Entry<K, V> {
        // SAFETY: it was found under this lock; the caller holds a guard if it goes on using it without.
        unsafe { entry(self.inner.slab.directory(), index) }
    }

    /// Whether there is a place for one more entry (BOUND).
    #[inline]
    pub(crate) fn has_place(&self) -> bool {
        self.inner.slab.used() < self.inner.most_places()
    }

    /// Puts a new entry in, or in the place of `old`. There must be a [place](Locked::has_place), and `weight` must not be
    /// more than the limit.
    pub(crate) fn put(
        &mut self,
        (key, value): (K, V),
        new: New,
        old: Option<(u32, Cause)>,
        after: &mut After<'_, K, V>,
    ) {
        let New { hash, until, weight, now } = new;
        if old.is_none() && self.inner.live >= self.head.table().capacity() {
            self.rebuild(self.inner.live + 1 + self.inner.live / 2);
        }
        let index = self.inner.slab.take().expect("there is a place");
        if self.inner.slab.directory() != self.head.directory() {
            // Before the index (THERE).
            self.head.directory.store(self.inner.slab.directory().cast_mut(), Ordering::Release);
        }
        let entries = self.entries();
        // SAFETY: just taken from the slab.
        unsafe { entries.entry(index).fill(key, value, until) };
        let table = self.head.table();
        let inner = &mut *self.inner;
        let (live, limbo, counts) = (&mut inner.live, &mut inner.limbo, &mut inner.counts);
        let evict = |victim: u32, hash: Option<u64>| {
            let cause = if entries.entry(victim).until() <= now { Cause::Expired } else { Cause::Size };
            erase(table, hash, victim);
            *live -= 1;
            counts.count(cause);
            after.retire(limbo, victim, cause);
        };
        match old {
            Some((old, cause)) => {
                inner.policy.replace(&entries, old, index, weight, evict);
                // SAFETY: filled, and the lock is ours.
                if !unsafe { table.replace(hash, old, index) } {
                    // SAFETY: as above.
                    unsafe { table.erase_anywhere(old) };
                    // SAFETY: as above.
                    unsafe { table.insert(hash, index) };
                }
                inner.counts.count(cause);
                after.retire(&mut inner.limbo, old, cause);
            }
            None => {
                inner.policy.admit(&entries, index, hash, weight, evict);
                // SAFETY: filled, the lock is ours, and the table has room.
                unsafe { table.insert(hash, index) };
                inner.live += 1;
                inner.peak = inner.peak.max(inner.live);
            }
        }
        inner.counts.inserted += 1;
    }

    /// Takes an entry out.
    #[inline]
    pub(crate) fn unlink(&mut self, index: u32, cause: Cause, after: &mut After<'_, K, V>) {
        erase(self.head.table(), self.entries().hash(index), index);
        self.inner.policy.remove(index);
        self.inner.live -= 1;
        self.inner.counts.count(cause);
        after.retire(&mut self.inner.limbo, index, cause);
    }

    /// Moves an entry to the young end of its queue, if the policy wants to know.
    pub(crate) fn touch(&mut self, index: u32) {
        self.inner.policy.touch(index);
    }

    /// Takes the entries out of so many buckets from `at` on that `wanted` says. False if there are no more.
    pub(crate) fn sift(
        &mut self,
        at: usize,
        buckets: usize,
        mut wanted: impl FnMut(&Entry<K, V>) -> Option<Cause>,
        after: &mut After<'_, K, V>,
    ) -> bool {
        let (table, entries) = (self.head.table(), self.entries());
        let end = table.buckets().min(at.saturating_add(buckets));
        let mut found = Vec::new();
        for at in at..end {
            let test = |index| found.extend(wanted(entries.entry(index)).map(|cause| (index, cause)));
            // SAFETY: the lock keeps the table.
            unsafe { table.each_in(at, test) };
        }
        for (index, cause) in found {
            self.unlink(index, cause, after);
        }
        end < table.buckets()
    }

    /// Makes the table smaller if it has become much too large.
    pub(crate) fn shrink(&mut self) {
        let capacity = self.head.table().capacity();
        if capacity > SMALL && self.inner.live < capacity / 8 {
            self.rebuild(2 * self.inner.live + 1);
            // What has just been retired is not to make the shard look full.
            self.inner.peak = self.inner.slab.used();
        }
    }

    /// Publishes a new table of the same entries.
    #[cold]
    fn rebuild(&mut self, capacity: usize) {
        /// Frees a table that was not finished: a key's hash panicked.
        struct Unfinished(Table);
        impl Drop for Unfinished {
            fn drop(&mut self) {
                // SAFETY: it was not published.
                unsafe { self.0.free() };
            }
        }
        let (old, entries) = (self.head.table(), self.entries());
        let new = Unfinished(Table::for_entries(capacity));
        for at in 0..old.buckets() {
            // SAFETY: the new table is ours and has room; its entries are those of the old.
            let copy = |index| unsafe { new.0.insert(entries.hash_of(index), index) };
            // SAFETY: the lock keeps the old table.
            unsafe { old.each_in(at, copy) };
        }
        self.head.table.store(new.0.as_ptr(), Ordering::Release);
        std::mem::forget(new);
        self.inner.limbo.free_tables();
        self.inner.limbo.retire_table(old);
    }

    /// Takes a few entries that nobody can see any more out of limbo, once for each `after`. Where pairs have destructors they
    /// go there.
    #[inline]
    pub(crate) fn reclaim(&mut self, after: &mut After<'a, K, V>) {
        let inner = &mut *self.inner;
        // What need not be dropped may wait until its place is wanted, unless it is much.
        let one = !needs_drop::<(K, V)>() && inner.limbo.len() < FLOOR;
        for _ in 0..if one { 1 } else { DEAD } {
            let Some(index) = inner.limbo.release() else { break };
            if needs_drop::<(K, V)>() {
                // SAFETY: it was in limbo, so it is in use until it is given back.
                after.bury(index, unsafe { entry(inner.slab.directory(), index) });
            } else {
                // SAFETY: nobody can see it (ONCE), and what it holds need not be dropped.
                unsafe { inner.slab.give_back(index) };
            }
        }
    }

    /// Takes a place back.
    ///
    /// # Safety
    /// It left limbo for the caller, who has dropped its pair.
    pub(crate) unsafe fn give_back(&mut self, index: u32) {
        // SAFETY: the caller's promise.
        unsafe { self.inner.slab.give_back(index) };
    }

    /// Bytes that the shard has allocated.
    pub(crate) fn memory(&self) -> usize {
        let tables = self.head.table().memory() + self.inner.limbo.memory();
        tables + self.inner.slab.memory() + self.inner.policy.memory()
    }
}

/// Takes an entry out of the table. Without a hash, all buckets are searched.
#[inline]
fn erase(table: Table, hash: Option<u64>, index: u32) {
    let erase = |hash| {
        // SAFETY: the lock is the caller's.
        unsafe { table.erase(hash, index) }
    };
    if !hash.is_some_and(erase) {
        // SAFETY: as above.
        unsafe { table.erase_anywhere(index) };
    }
}
