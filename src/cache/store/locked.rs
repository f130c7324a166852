//! What writers do to a shard whose lock they have. See [`shard`](super::shard) for the invariants.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::mem::needs_drop;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::deadlines::Deadlines;
use super::deferred::{Claimed, Deferred, RECLAIM};
use super::entry::{Deadline, Entry};
use super::shard::{FEW, Head, Inner, New, Shard};
use super::slab::{Directory, entry};
use super::table::Table;
use crate::cache::key::Lookup;
use crate::cache::policy::{Arena, Policy};
use crate::cache::stats::Cause;
use crate::clock::Tick;
use crate::contain::contained;
use crate::flight::Registry;
use crate::sync::atomic::Ordering;

/// A table for fewer entries is not made smaller.
const SMALL: usize = 64;

/// A shard whose lock the caller has.
pub(crate) struct Locked<'a, K, V, E, S> {
    head: &'a Head<K, V>,
    hasher: &'a S,
    pub(crate) inner: crate::lock::LockGuard<'a, Inner<K, V, E>>,
}

impl<K, V, E> Shard<K, V, E> {
    #[inline]
    pub(crate) fn lock<'a, S>(&'a self, hasher: &'a S) -> Locked<'a, K, V, E, S> {
        Locked::new(&self.head, hasher, self.inner.lock())
    }
}

impl<'a, K, V, E, S> Locked<'a, K, V, E, S> {
    #[inline]
    pub(crate) fn new(
        head: &'a Head<K, V>,
        hasher: &'a S,
        inner: crate::lock::LockGuard<'a, Inner<K, V, E>>,
    ) -> Self {
        Locked { head, hasher, inner }
    }
}

/// The registry of the shard's flights, under the shard's lock.
pub(crate) struct RegistryGuard<'a, K, V, E>(pub(crate) crate::lock::LockGuard<'a, Inner<K, V, E>>);

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

/// The entries, as the policy sees them.
struct Entries<'a, K, V, S> {
    directory: *const Directory<K, V>,
    hasher: &'a S,
}

impl<'a, K, V, S> Entries<'a, K, V, S> {
    #[inline(always)]
    fn entry(&self, index: u32) -> &'a Entry<K, V> {
        // SAFETY: made under the lock, for indices of the policy, whose places are in use.
        unsafe { entry(self.directory, index) }
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
        self.contained_hash(i)
    }
}

impl<K: Hash, V, S: BuildHasher> Entries<'_, K, V, S> {
    /// The hash of an entry's key, unless that panics.
    #[inline]
    fn contained_hash(&self, i: u32) -> Option<u64> {
        // SAFETY: in use, so filled.
        let (key, _) = unsafe { self.entry(i).pair() };
        contained(|| self.hasher.hash_one(key)).ok()
    }
}

impl<'a, K: Hash + Eq, V, E, S: BuildHasher> Locked<'a, K, V, E, S> {
    #[inline]
    fn entries(&self) -> Entries<'a, K, V, S> {
        Entries { directory: self.inner.slab.directory(), hasher: self.hasher }
    }

    /// A key is written: what is being loaded for it is not kept, and nobody joins that any more;
    /// what is known of its failure is forgotten.
    #[inline(always)]
    pub(crate) fn invalidate<Q>(&mut self, hash: u64, key: &Q, deferred: &mut Deferred<'_, K, V, E>)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.inner.flights.len() > 0 {
            self.inner.flights.forget(hash, key);
        }
        if let Some(failures) = &mut self.inner.failures {
            if let Some(failure) = failures.remove(hash, key) {
                deferred.rare().failures.push(failure);
            }
        }
    }

    /// Takes the error of a key in.
    pub(crate) fn remember(
        &mut self,
        hash: u64,
        (keys, error): (&mut Option<[K; 2]>, Arc<E>),
        until: Tick,
        deferred: &mut Deferred<'_, K, V, E>,
    ) {
        if let Some(failures) = &mut self.inner.failures {
            failures.insert(hash, (keys, error), until, &mut deferred.rare().failures);
        }
    }

    /// The index of a key, and its entry.
    #[inline]
    pub(crate) fn find<Q: Lookup<K> + ?Sized>(
        &self,
        hash: u64,
        key: &Q,
    ) -> Option<(u32, &'a Entry<K, V>)> {
        let test = |index| {
            let entry = self.entry(index);
            // SAFETY: in the table, so filled (TAGGED).
            let (found, _) = unsafe { entry.pair() };
            key.matches(found).then_some((index, entry))
        };
        // SAFETY: the lock keeps the table.
        unsafe { self.head.table().find(hash, test) }
    }

    /// The entry of an index that was found.
    pub(crate) fn entry(&self, index: u32) -> &'a Entry<K, V> {
        // SAFETY: it was found under this lock; the caller holds a guard if it goes on using it
        // without.
        unsafe { entry(self.inner.slab.directory(), index) }
    }

    /// Puts a pair in, or in the place of an earlier one of its key. What is refused stays with the
    /// caller; the earlier one is gone then, too.
    #[inline(always)]
    pub(crate) fn store(
        &mut self,
        pair: &mut Option<(K, V)>,
        new: New,
        deferred: &mut Deferred<'a, K, V, E>,
    ) -> Stored {
        let Some((key, _)) = pair.as_ref() else { return Stored::Yes };
        let old = self.find(new.hash, key).map(|(index, entry)| {
            (index, if entry.until() <= new.now { Cause::Expired } else { Cause::Replaced })
        });
        let fits = u64::from(new.weight) <= self.inner.plan.most;
        if let Some(index) = if fits { self.place() } else { None } {
            // SAFETY: there is a pair, and the place was just taken from the slab.
            unsafe { self.entry(index).fill(pair, new.until) };
            self.link(index, &new, old, deferred);
            return Stored::Yes;
        }
        self.refuse(old, deferred);
        if fits { Stored::Full } else { Stored::TooHeavy }
    }

    #[cold]
    fn refuse(&mut self, old: Option<(u32, Cause)>, deferred: &mut Deferred<'a, K, V, E>) {
        if let Some((index, cause)) = old {
            self.unlink(index, cause, deferred);
        }
        self.inner.counts.count(Cause::Refused);
    }

    /// A place for a new entry.
    #[inline(always)]
    fn place(&mut self) -> Option<u32> {
        let index = self.inner.slab.take()?;
        if self.inner.slab.directory() != self.head.directory() {
            // Before the index (THERE).
            self.head.directory.store(self.inner.slab.directory().cast_mut(), Ordering::Release);
        }
        Some(index)
    }

    /// Makes a filled place an entry.
    #[inline(always)]
    fn link(
        &mut self,
        index: u32,
        new: &New,
        old: Option<(u32, Cause)>,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        let New { hash, weight, now, .. } = *new;
        if old.is_none() && self.inner.live >= self.head.table().capacity() {
            self.rebuild(self.inner.live + 1 + self.inner.live / 2, deferred);
        }
        if self.inner.plan.is_bounded() {
            self.evict_expired((index, old), new, deferred);
        }
        let (entries, table) = (self.entries(), self.head.table());
        let inner = &mut *self.inner;
        let before = if inner.plan.weighted { inner.policy.weight() } else { 0 };
        let (live, limbo, unheard) = (&mut inner.live, &mut inner.limbo, &mut inner.unheard);
        let (counts, erased) = (&mut inner.counts, &mut inner.erased);
        let evict = |victim: u32, hash: Option<u64>| {
            let entry = entries.entry(victim);
            let cause = if entry.until() <= now { Cause::Expired } else { Cause::Size };
            erase(table, hash, victim, erased);
            *live -= 1;
            counts.count(cause);
            deferred.retire(limbo, unheard, Claimed { index: victim, entry, cause });
        };
        match old {
            Some((old, cause)) => {
                inner.policy.replace(&entries, old, index, weight, evict);
                // SAFETY: filled, and the lock is ours.
                if !unsafe { table.replace(hash, old, index) } {
                    // SAFETY: as above.
                    unsafe { table.erase_anywhere(old) };
                    insert(table, hash, index, &mut inner.erased);
                }
                inner.counts.count(cause);
                let claimed = Claimed { index: old, entry: entries.entry(old), cause };
                deferred.retire(&mut inner.limbo, &mut inner.unheard, claimed);
            }
            None => {
                inner.policy.admit(&entries, index, hash, weight, evict);
                insert(table, hash, index, &mut inner.erased);
                inner.live += 1;
            }
        }
        inner.counts.inserted += 1;
        if inner.plan.weighted {
            let gone = before + u64::from(weight) - inner.policy.weight();
            deferred.add_weight(&mut inner.limbo, &mut inner.unheard, gone);
        }
        if inner.erased.is_some() {
            self.tidy_table(deferred);
        }
    }

    /// Notes the deadline of a new entry, and takes out what has expired if something must go for
    /// the entry: that goes before what is alive.
    #[inline(always)]
    fn evict_expired(
        &mut self,
        (index, old): (u32, Option<(u32, Cause)>),
        new: &New,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        if new.now >= self.inner.earliest {
            self.evict_expired_for(old.map(|(old, _)| old), new, deferred);
        }
        let inner = &mut *self.inner;
        inner.earliest = inner.earliest.min(new.until);
        if let Some(deadlines) = &mut inner.deadlines {
            deadlines.set(index, new.until.units());
        }
    }

    #[cold]
    #[inline(never)]
    fn evict_expired_for(
        &mut self,
        old: Option<u32>,
        new: &New,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        let leaves = u64::from(old.map_or(0, |old| self.inner.policy.weight_of(old)));
        let most = self.inner.plan.most.saturating_add(leaves);
        while self.inner.policy.weight() + u64::from(new.weight) > most {
            let Some(expired) = self.find_expired(new.now, old) else { break };
            self.unlink(expired, Cause::Expired, deferred);
        }
    }

    /// An entry that has expired and that takes up room, but not `old`.
    #[cold]
    fn find_expired(&mut self, now: Deadline, old: Option<u32>) -> Option<u32> {
        let (entries, table) = (self.entries(), self.head.table());
        let inner = &mut *self.inner;
        let deadlines = inner.deadlines.get_or_insert_with(|| {
            let mut deadlines = Box::new(Deadlines::new());
            for at in 0..table.buckets() {
                let note = |index| deadlines.set(index, entries.entry(index).until().units());
                // SAFETY: the lock keeps the table.
                unsafe { table.each_in(at, note) };
            }
            deadlines
        });
        let policy = &inner.policy;
        let deadline_of = |index| {
            let counts = policy.holds(index) && Some(index) != old;
            counts.then(|| entries.entry(index).until().units())
        };
        let found = deadlines.expired(now.units(), deadline_of);
        if found.is_none() {
            // Nothing more expires at this moment.
            inner.earliest = now.next();
        }
        found
    }

    /// Takes an entry out.
    #[inline(always)]
    pub(crate) fn unlink(
        &mut self,
        index: u32,
        cause: Cause,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        let entries = self.entries();
        let inner = &mut *self.inner;
        let before = if inner.plan.weighted { inner.policy.weight() } else { 0 };
        erase(self.head.table(), entries.contained_hash(index), index, &mut inner.erased);
        inner.policy.remove(index);
        inner.live -= 1;
        inner.counts.count(cause);
        let claimed = Claimed { index, entry: entries.entry(index), cause };
        deferred.retire(&mut inner.limbo, &mut inner.unheard, claimed);
        if inner.plan.weighted {
            let gone = before - inner.policy.weight();
            deferred.add_weight(&mut inner.limbo, &mut inner.unheard, gone);
        }
    }

    /// Takes an entry out that was found under a guard which still stands, if it is still there.
    pub(crate) fn unlink_found(
        &mut self,
        (hash, index): (u64, u32),
        cause: Cause,
        deferred: &mut Deferred<'a, K, V, E>,
    ) -> bool {
        // SAFETY: the lock keeps the table. The guard keeps the place from being used again, so the
        // index is the entry's.
        let found = unsafe { self.head.table().find(hash, |i| (i == index).then_some(())) };
        if found.is_some() {
            self.unlink(index, cause, deferred);
        }
        found.is_some()
    }

    /// Moves an entry to the young end of its queue, if the policy wants to know.
    pub(crate) fn touch(&mut self, index: u32) {
        self.inner.policy.touch(index);
    }

    /// Takes the entries out of so many buckets from `at` on that `wanted` says. The bucket to go
    /// on with, if there are more: the first one again if the table is not the one that the caller
    /// began with.
    pub(crate) fn remove_where(
        &mut self,
        (begun, at): (Table, usize),
        buckets: usize,
        mut wanted: impl FnMut(&Entry<K, V>) -> Option<Cause>,
        deferred: &mut Deferred<'a, K, V, E>,
    ) -> Option<(Table, usize)> {
        let (table, entries) = (self.head.table(), self.entries());
        if table != begun {
            return Some((table, 0));
        }
        let end = table.buckets().min(at.saturating_add(buckets));
        let mut found = Vec::new();
        for at in at..end {
            let test =
                |index| found.extend(wanted(entries.entry(index)).map(|cause| (index, cause)));
            // SAFETY: the lock keeps the table.
            unsafe { table.each_in(at, test) };
        }
        for (index, cause) in found {
            self.unlink(index, cause, deferred);
        }
        (end < table.buckets()).then_some((table, end))
    }

    /// The table as it is.
    pub(crate) fn table(&self) -> Table {
        self.head.table()
    }

    /// Makes the shard an empty one, whose loads are not kept, and returns the table of what it
    /// had. The entries are the caller's to retire, and then the table.
    pub(crate) fn detach(&mut self, deferred: &mut Deferred<'_, K, V, E>) -> Detached {
        let inner = &mut *self.inner;
        inner.flights.forget_all();
        if let Some(failures) = &mut inner.failures {
            failures.clear(&mut deferred.rare().failures);
        }
        let old = self.head.table();
        self.head.table.store(Table::for_entries(1).as_ptr(), Ordering::Release);
        let policy = std::mem::replace(&mut inner.policy, inner.plan.policy());
        (inner.live, inner.erased) = (0, None);
        (inner.deadlines, inner.earliest) = (None, Deadline::NEVER);
        Detached { table: old, weight: policy.weight(), _policy: policy }
    }

    /// Retires the entries of some buckets of a table that was detached.
    pub(crate) fn retire_buckets(
        &mut self,
        table: Table,
        buckets: std::ops::Range<usize>,
        cause: impl Fn(&Entry<K, V>) -> Cause,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        let entries = self.entries();
        let inner = &mut *self.inner;
        for at in buckets {
            let retire = |index| {
                let entry = entries.entry(index);
                let cause = cause(entry);
                inner.counts.count(cause);
                deferred.retire(
                    &mut inner.limbo,
                    &mut inner.unheard,
                    Claimed { index, entry, cause },
                );
            };
            // SAFETY: it was not retired yet.
            unsafe { table.each_in(at, retire) };
        }
    }

    /// Lets go of the deadlines if they are many more than the entries: a guard that was held made
    /// indices large.
    pub(crate) fn tidy_deadlines(&mut self) {
        let inner = &mut *self.inner;
        let (entry, most) = (size_of::<u64>(), 4 * inner.live + 4096);
        if inner.deadlines.as_ref().is_some_and(|deadlines| deadlines.memory() > most * entry) {
            (inner.deadlines, inner.earliest) = (None, Deadline::default());
        }
    }

    /// Makes the table smaller if it has become much too large, or new if its counts are lost.
    #[inline]
    pub(crate) fn tidy_table(&mut self, deferred: &mut Deferred<'a, K, V, E>) {
        let (capacity, live) = (self.head.table().capacity(), self.inner.live);
        let lost = self.inner.erased.is_some_and(|erased| erased > live.max(SMALL));
        if lost || (capacity > SMALL && live < capacity / 8) {
            self.rebuild(2 * live + 1, deferred);
        }
    }

    /// Publishes a new table of the same entries. Those whose hash panics nobody can find any more:
    /// they go.
    #[cold]
    fn rebuild(&mut self, capacity: usize, deferred: &mut Deferred<'a, K, V, E>) {
        let (old, entries) = (self.head.table(), self.entries());
        let new = Table::for_entries(capacity);
        let (mut lost, mut erased) = (Vec::new(), None);
        for at in 0..old.buckets() {
            let copy = |index| match entries.contained_hash(index) {
                Some(hash) => insert(new, hash, index, &mut erased),
                None => lost.push(index),
            };
            // SAFETY: the lock keeps the old table.
            unsafe { old.each_in(at, copy) };
        }
        for &index in &lost {
            self.unlink(index, Cause::Removed, deferred);
        }
        self.head.table.store(new.as_ptr(), Ordering::Release);
        self.inner.erased = erased;
        self.inner.limbo.free_tables();
        deferred.leftover |= self.inner.limbo.retire_table(old);
    }

    /// Takes a few entries that nobody can see any more out of limbo, once for each `deferred`.
    /// Where pairs have destructors they go there. Whether there were any.
    #[inline(always)]
    pub(crate) fn reclaim(&mut self, deferred: &mut Deferred<'a, K, V, E>) -> bool {
        let inner = &mut *self.inner;
        if deferred.nested && needs_drop::<(K, V)>() {
            return false;
        }
        // What need not be dropped may wait until its place is wanted, unless it is much.
        let one = !needs_drop::<(K, V)>() && inner.limbo.len() < FEW;
        let mut any = false;
        for _ in 0..if one { 1 } else { RECLAIM } {
            let Some(index) = inner.limbo.release() else { break };
            any = true;
            if needs_drop::<(K, V)>() {
                // SAFETY: it was in limbo, so it is in use until it is given back.
                deferred.reclaim(index, unsafe { entry(inner.slab.directory(), index) });
            } else {
                // SAFETY: nobody can see it (ONCE), and what it holds need not be dropped.
                unsafe { inner.slab.give_back(index) };
            }
        }
        any
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
        let deadlines = self.inner.deadlines.as_ref().map_or(0, |deadlines| deadlines.memory());
        tables + self.inner.slab.memory() + self.inner.policy.memory() + deadlines
    }
}

/// What a shard had before it was [detached](Locked::detach).
#[derive(Debug)]
pub(crate) struct Detached {
    pub(crate) table: Table,
    pub(crate) weight: u64,
    /// Dropped without the lock.
    _policy: Policy,
}

/// Whether a value was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Yes,
    /// It is heavier than the shard's share.
    TooHeavy,
    /// The shard has as many entries, live and retired, as it can have.
    Full,
}

/// Why a value was not taken in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refused {
    /// It is heavier than a shard's share.
    Heavy { weight: u32, share: u64 },
    /// The shard has as many entries, live and retired, as it can have.
    Full,
}

/// Puts an entry into the table, which has room for it.
#[inline]
fn insert(table: Table, hash: u64, index: u32, erased: &mut Option<usize>) {
    // SAFETY: the entry is filled, and the lock is the caller's.
    if unsafe { table.insert(hash, index) } && erased.is_none() {
        *erased = Some(0);
    }
}

/// Takes an entry out of the table.
#[inline]
fn erase(table: Table, hash: Option<u64>, index: u32, erased: &mut Option<usize>) {
    // SAFETY: the lock is the caller's.
    let found = hash.is_some_and(|hash| unsafe { table.erase(hash, index) });
    if !found {
        // SAFETY: as above.
        unsafe { table.erase_anywhere(index) };
    }
    if let Some(erased) = erased {
        *erased += 1;
    }
}
