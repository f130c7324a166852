//! What writers do to a shard whose lock they have. See [`shard`](super::shard) for the invariants.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use super::deferred::{Deferred, Unlinked};
use super::entries::Entries;
use super::expiry::wheel::TimerWheel;
use super::place::{Deadline, Place};
use super::shard::{NewEntry, ReadView, Shard, ShardConfig, ShardState};
use super::slab::place;
use super::table::{Position, Table};
use crate::cache::key::Lookup;
use crate::cache::policy::{Admission, Evicted, Mark};
use crate::cache::stats::Cause;
use crate::clock::Tick;
use crate::sync::atomic::Ordering;

/// A table for fewer entries is not made smaller.
const MIN_SHRINK_CAPACITY: usize = 64;

/// A shard whose lock the caller has.
pub(crate) struct Locked<'a, K, V, E, S> {
    pub(super) view: &'a ReadView<K, V>,
    pub(super) config: &'a ShardConfig,
    hasher: &'a S,
    pub(crate) state: crate::lock::LockGuard<'a, ShardState<K, V, E>>,
}

impl<K, V, E> Shard<K, V, E> {
    #[inline]
    pub(crate) fn lock<'a, S>(&'a self, hasher: &'a S) -> Locked<'a, K, V, E, S> {
        Locked { view: &self.view, config: &self.config, hasher, state: self.state.lock() }
    }
}

impl<K, V, E, S> Locked<'_, K, V, E, S> {
    /// The weight of the retired entries, but not of those that the listener is being shown.
    pub(crate) fn retired_weight(&self) -> u64 {
        if self.config.weighted {
            self.state.limbo.weight() + self.state.pending_notifications.weight
        } else {
            self.state.unlinked() as u64
        }
    }

    /// Whether so much is retired that a value of this weight had better wait for readers to let go
    /// of some of it.
    #[inline]
    pub(crate) fn is_over_retired_limit(&self, weight: u32) -> bool {
        self.config.weighted
            && self.retired_weight() + u64::from(weight) > self.config.max_retired_weight()
    }
}

impl<'a, K: Hash + Eq, V, E, S: BuildHasher> Locked<'a, K, V, E, S> {
    #[inline]
    pub(super) fn entries(&self) -> Entries<'a, K, V, S> {
        Entries { directory: self.view.directory(), view: self.view, hasher: self.hasher }
    }

    /// To be called when a key is written or removed. A flight of the key is unregistered: nobody
    /// joins it any more, and its value will not be stored (FRESH). A cached error is removed.
    #[inline(always)]
    pub(crate) fn invalidate<Q>(&mut self, hash: u64, key: &Q, deferred: &mut Deferred<'_, K, V, E>)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.state.flights.len() > 0 {
            self.state.flights.forget(hash, key);
        }
        if let Some(negative) = &mut self.state.negative {
            if let Some(error) = negative.remove(hash, key) {
                deferred.uncommon_mut().errors.push(error);
            }
        }
    }

    /// Caches the error of a key.
    pub(crate) fn cache_error(
        &mut self,
        hash: u64,
        (key, error): (&mut Option<K>, Arc<E>),
        expires: Tick,
        deferred: &mut Deferred<'_, K, V, E>,
    ) {
        if let Some(negative) = &mut self.state.negative {
            negative.insert(hash, (key, error), expires, &mut deferred.uncommon_mut().errors);
        }
    }

    /// The index of a key, and its entry.
    #[inline]
    pub(crate) fn find<Q: Lookup<K> + ?Sized>(
        &self,
        hash: u64,
        key: &Q,
    ) -> Option<(u32, &Place<K, V>)> {
        // SAFETY: linked for as long as the lock is held, and the result borrows that.
        let Found { index, place, .. } = unsafe { self.find_beyond_lock(hash, key) }?;
        Some((index, place))
    }

    /// [`find`](Locked::find), for callers that use the entry beyond the lock.
    ///
    /// # Safety
    /// The result is used as [`place`](Locked::place) demands.
    #[inline]
    pub(crate) unsafe fn find_beyond_lock<Q: Lookup<K> + ?Sized>(
        &self,
        hash: u64,
        key: &Q,
    ) -> Option<Found<'a, K, V>> {
        let test = |index| {
            // SAFETY: in the table, so in use; the rest is the caller's promise.
            let place = unsafe { self.place(index) };
            // SAFETY: as above (TAGGED).
            let (found, _) = unsafe { place.pair() };
            key.matches(found).then_some((index, place))
        };
        // SAFETY: the lock keeps the table.
        let ((index, place), at) = unsafe { self.view.table().find_at(hash, test) }?;
        Some(Found { index, place, at })
    }

    /// The entry of an index.
    ///
    /// # Safety
    /// Its place is in use, and is not given back for as long as the result is used: because the
    /// entry is linked and the lock is held; because the caller is to show it to the listener; or
    /// because a guard is held that was taken when it was linked.
    pub(crate) unsafe fn place(&self, index: u32) -> &'a Place<K, V> {
        // SAFETY: the caller's promise.
        unsafe { place(self.view.directory(), index) }
    }

    /// Stores the pair, in place of an earlier one of its key. On success `pair` is `None`. What is
    /// refused is left in `pair`; the earlier entry of the key is removed all the same.
    #[inline(always)]
    pub(crate) fn store(
        &mut self,
        pair: &mut Option<(K, V)>,
        new: NewEntry,
        deferred: &mut Deferred<'a, K, V, E>,
    ) -> Result<(), Refused> {
        let Some((key, _)) = pair.as_ref() else { return Ok(()) };
        // SAFETY: linked for as long as the lock is held, and used no longer.
        let old = unsafe { self.find_beyond_lock(new.hash, key) };
        let max_weight = self.config.max_weight;
        let fits = u64::from(new.weight) <= max_weight;
        let Some(index) = (if fits { self.allocate() } else { None }) else {
            self.refuse(old, new.now, deferred);
            let weight = new.weight;
            return Err(if fits {
                Refused::Full
            } else {
                Refused::TooHeavy { weight, max_weight }
            });
        };
        let weighted = self.config.weighted;
        let before = if weighted { self.state.policy.weight() } else { 0 };
        match old {
            Some(old) => self.replace((index, pair), new, old, deferred),
            None => self.add((index, pair), new, deferred),
        }
        let state = &mut *self.state;
        state.counts.inserted += 1;
        if weighted {
            let gone = before + u64::from(new.weight) - state.policy.weight();
            deferred.add_weight(&mut state.limbo, &mut state.pending_notifications, gone);
        }
        if state.erased_since_saturation.is_some() {
            self.rebuild_if_due(deferred);
        }
        Ok(())
    }

    #[cold]
    fn refuse(
        &mut self,
        old: Option<Found<'a, K, V>>,
        now: Deadline,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        if let Some(old) = old {
            self.unlink(old.index, old.cause(now), deferred);
        }
        self.state.counts.count(Cause::Refused);
    }

    /// Fills a free place with a pair.
    ///
    /// # Safety
    /// There is a pair, and the place was just taken from the slab.
    #[inline(always)]
    unsafe fn fill(
        &self,
        (index, pair): (u32, &mut Option<(K, V)>),
        deadline: Deadline,
        mark: Mark,
    ) {
        // SAFETY: just taken from the slab, under the lock.
        let place = unsafe { self.place(index) };
        // SAFETY: there is a pair, and the place is this call's alone.
        unsafe { place.fill(pair, deadline, mark) };
    }

    /// Makes an entry of a pair, of a key that has none, in a place that was just taken.
    #[inline(always)]
    fn add(
        &mut self,
        (index, pair): (u32, &mut Option<(K, V)>),
        new: NewEntry,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        self.state.policy.prefetch(new.hash);
        if self.view.table().is_full(self.state.len) {
            self.rebuild(self.state.len + 1 + self.state.len / 2, deferred);
        }
        if self.config.is_bounded() {
            if new.now >= self.state.earliest_deadline {
                self.evict_expired(None, new, deferred);
            }
            self.note_deadline(index, new.deadline);
        }
        let entries = self.entries();
        self.make_room(&entries, new, deferred);
        let mark = self.state.policy.admit(&entries, index, new.hash, new.weight);
        // SAFETY: the caller has just taken it.
        unsafe { self.fill((index, pair), new.deadline, mark) };
        let (table, state) = (self.view.table(), &mut *self.state);
        // SAFETY: it is filled, and the lock is held (WRITER).
        unsafe { insert(table, new.hash, index, &mut state.erased_since_saturation) };
        state.len += 1;
    }

    /// The same of a key that has another entry, which is retired.
    #[inline(always)]
    fn replace(
        &mut self,
        (index, pair): (u32, &mut Option<(K, V)>),
        new: NewEntry,
        old: Found<'a, K, V>,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        if self.config.is_bounded() {
            if self.config.weighted && new.now >= self.state.earliest_deadline {
                self.evict_expired(Some(old.index), new, deferred);
            }
            self.note_deadline(index, new.deadline);
        }
        let entries = self.entries();
        let (admission, mark) = self.state.policy.replace(&entries, old.index, index, new.weight);
        // SAFETY: the caller has just taken it.
        unsafe { self.fill((index, pair), new.deadline, mark) };
        if admission != Admission::Done {
            self.enqueue(index, new, admission, deferred);
        }
        // SAFETY: it is filled, and the lock is held (WRITER). The old one was found under it, and
        // no table was published since.
        unsafe { self.view.table().replace(old.at, index) };
        let cause = old.cause(new.now);
        let state = &mut *self.state;
        state.counts.count(cause);
        let unlinked = Unlinked { index: old.index, place: old.place, cause };
        deferred.retire_or_notify(&mut state.limbo, &mut state.pending_notifications, unlinked);
    }

    /// Evicts as many as the policy must give up for a new entry.
    #[inline(always)]
    fn make_room(
        &mut self,
        entries: &Entries<'a, K, V, S>,
        new: NewEntry,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        while let Some(victim) = self.state.policy.next_victim(entries, new.weight) {
            self.evict(victim, new.now, deferred);
        }
    }

    /// The same for what the policy has taken in, which then takes its place there.
    #[inline(never)]
    fn enqueue(
        &mut self,
        index: u32,
        new: NewEntry,
        admission: Admission,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        let entries = self.entries();
        self.make_room(&entries, new, deferred);
        self.state.policy.enqueue(&entries, index, new.weight, admission);
    }

    /// Takes out what the policy has evicted.
    #[inline(always)]
    fn evict(
        &mut self,
        Evicted { i: victim, hash }: Evicted,
        now: Deadline,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        let (entries, table, state) = (self.entries(), self.view.table(), &mut *self.state);
        // SAFETY: linked, and then this call's or in limbo.
        let place = unsafe { entries.place(victim) };
        let cause = if place.deadline() <= now { Cause::Expired } else { Cause::Size };
        // SAFETY: the lock is held (WRITER).
        unsafe { erase(table, hash, victim, &mut state.erased_since_saturation) };
        state.len -= 1;
        state.counts.count(cause);
        let unlinked = Unlinked { index: victim, place, cause };
        deferred.retire_or_notify(&mut state.limbo, &mut state.pending_notifications, unlinked);
    }

    /// Notes when a new entry expires.
    #[inline(always)]
    fn note_deadline(&mut self, index: u32, deadline: Deadline) {
        let state = &mut *self.state;
        // Hardly ever: others read the line.
        if deadline < state.earliest_deadline {
            state.earliest_deadline = deadline;
        }
        if let Some(wheel) = &mut state.wheel {
            wheel.set(index, deadline.units());
        }
    }

    /// If room must be made, takes out what has expired: that goes before what is alive.
    #[cold]
    #[inline(never)]
    fn evict_expired(
        &mut self,
        old: Option<u32>,
        new: NewEntry,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        let freed_weight = u64::from(old.map_or(0, |old| self.state.policy.weight_of(old)));
        let max = self.config.max_weight.saturating_add(freed_weight);
        while self.state.policy.weight() + u64::from(new.weight) > max {
            let Some(expired) = self.find_expired(new.now, old) else { break };
            self.unlink(expired, Cause::Expired, deferred);
        }
    }

    /// An entry that has expired and that takes up room, but not `old`.
    #[cold]
    fn find_expired(&mut self, now: Deadline, old: Option<u32>) -> Option<u32> {
        let (entries, table) = (self.entries(), self.view.table());
        let state = &mut *self.state;
        let wheel = state.wheel.get_or_insert_with(|| {
            let mut wheel = Box::new(TimerWheel::new());
            for at in 0..table.buckets() {
                let note = |index| wheel.set(index, entries.linked_place(index).deadline().units());
                // SAFETY: the lock keeps the table.
                unsafe { table.each_in(at, note) };
            }
            wheel
        });
        let policy = &state.policy;
        let deadline_of = |index| {
            let takes_room = policy.holds(index) && Some(index) != old;
            takes_room.then(|| entries.linked_place(index).deadline().units())
        };
        let found = wheel.expired(now.units(), deadline_of);
        if found.is_none() {
            // Nothing more expires at this moment.
            state.earliest_deadline = now.next();
        }
        found
    }

    /// Takes an entry out.
    pub(crate) fn unlink(
        &mut self,
        index: u32,
        cause: Cause,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        let (table, hash) = (self.view.table(), self.entries().try_hash(index));
        // SAFETY: the lock is held (WRITER).
        unsafe { erase(table, hash, index, &mut self.state.erased_since_saturation) };
        self.note_unlinked(index, cause, deferred);
    }

    /// Takes out the entry of this hash that was found there, under the lock.
    #[inline]
    pub(crate) fn unlink_at(
        &mut self,
        (index, at): (u32, Position),
        hash: u64,
        cause: Cause,
        deferred: &mut Deferred<'a, K, V, E>,
    ) {
        // SAFETY: the lock is held (WRITER), and has been since the entry was found.
        unsafe { self.view.table().erase_at(hash, at) };
        if let Some(erased) = &mut self.state.erased_since_saturation {
            *erased += 1;
        }
        self.note_unlinked(index, cause, deferred);
    }

    /// An entry is not in the table any more.
    #[inline(always)]
    fn note_unlinked(&mut self, index: u32, cause: Cause, deferred: &mut Deferred<'a, K, V, E>) {
        let entries = self.entries();
        let (weighted, state) = (self.config.weighted, &mut *self.state);
        let before = if weighted { state.policy.weight() } else { 0 };
        state.policy.remove(index);
        state.len -= 1;
        state.counts.count(cause);
        // SAFETY: just unlinked, and then this call's or in limbo.
        let place = unsafe { entries.place(index) };
        let unlinked = Unlinked { index, place, cause };
        deferred.retire_or_notify(&mut state.limbo, &mut state.pending_notifications, unlinked);
        if weighted {
            let gone = before - state.policy.weight();
            deferred.add_weight(&mut state.limbo, &mut state.pending_notifications, gone);
        }
    }

    /// Rebuilds the table if it is much too large, or if many entries were erased since one of its
    /// overflow counts became saturated.
    #[inline]
    pub(crate) fn rebuild_if_due(&mut self, deferred: &mut Deferred<'a, K, V, E>) {
        let (capacity, len) = (self.view.table().capacity(), self.state.len);
        let is_due = self
            .state
            .erased_since_saturation
            .is_some_and(|erased| erased > len.max(MIN_SHRINK_CAPACITY));
        if is_due || (capacity > MIN_SHRINK_CAPACITY && len < capacity / 8) {
            self.rebuild(2 * len + 1, deferred);
        }
    }

    /// Publishes a new table with the same entries. Those whose `Hash` panics could never be found
    /// again, and are removed.
    #[cold]
    fn rebuild(&mut self, capacity: usize, deferred: &mut Deferred<'a, K, V, E>) {
        let (old, entries) = (self.view.table(), self.entries());
        let new = Table::for_entries(capacity);
        let (mut unhashable, mut erased) = (Vec::new(), None);
        for at in 0..old.buckets() {
            let copy = |index| match entries.try_hash(index) {
                // SAFETY: in the old table, so filled; the new one is not published yet.
                Some(hash) => unsafe { insert(new, hash, index, &mut erased) },
                None => unhashable.push(index),
            };
            // SAFETY: the lock keeps the old table.
            unsafe { old.each_in(at, copy) };
        }
        for &index in &unhashable {
            self.unlink(index, Cause::Removed, deferred);
        }
        self.view.table.store(new.as_ptr(), Ordering::Release);
        self.state.table_generation += 1;
        self.state.erased_since_saturation = erased;
        self.state.limbo.free_tables();
        deferred.needs_maintenance |= self.state.limbo.retire_table(old);
    }

    /// Bytes that the shard has allocated, but for cached errors and flights.
    pub(crate) fn memory(&self) -> usize {
        let tables = self.view.table().memory() + self.state.limbo.memory();
        let wheel = self.state.wheel.as_ref().map_or(0, |wheel| wheel.memory());
        tables + self.state.slab.memory() + self.state.policy.memory() + wheel
    }
}

/// An entry that was found.
#[derive(Debug)]
pub(crate) struct Found<'a, K, V> {
    pub(crate) index: u32,
    pub(crate) place: &'a Place<K, V>,
    pub(crate) at: Position,
}

impl<K, V> Found<'_, K, V> {
    /// Why it goes, where its key is written.
    #[inline]
    fn cause(&self, now: Deadline) -> Cause {
        if self.place.deadline() <= now { Cause::Expired } else { Cause::Replaced }
    }
}

/// Why a value was not stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refused {
    /// It is heavier than a shard's share.
    TooHeavy { weight: u32, max_weight: u64 },
    /// The shard has as many entries, live and retired, as it can have.
    Full,
}

/// Puts an entry into the table, which has room for it.
///
/// # Safety
/// As [`Table::insert`]'s.
#[inline]
unsafe fn insert(table: Table, hash: u64, index: u32, erased: &mut Option<usize>) {
    // SAFETY: the caller's promise.
    if unsafe { table.insert(hash, index) } && erased.is_none() {
        *erased = Some(0);
    }
}

/// Takes an entry out of the table.
///
/// # Safety
/// As [`Table::erase`]'s.
#[inline]
unsafe fn erase(table: Table, hash: Option<u64>, index: u32, erased: &mut Option<usize>) {
    // SAFETY: the caller's promise.
    let found = hash.is_some_and(|hash| unsafe { table.erase(hash, index) });
    if !found {
        // SAFETY: as above.
        unsafe { table.erase_anywhere(index) };
    }
    if let Some(erased) = erased {
        *erased += 1;
    }
}
