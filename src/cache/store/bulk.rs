//! Storing many pairs at once.
//!
//! # State
//! Pairs are taken from the caller's iterator a *batch* at a time, each into a slot, where it is
//! weighed and hashed; all that without a lock. Then the slots of the batch are linked into
//! *chains*, such that all pairs of a shard are in the same chain. (A chain may have more than one
//! shard's, if the shards are more than the pairs.) A chain is stored a *section* at a time: up to
//! [`SECTION`] pairs of one shard in one critical section. What such a section leaves to be done
//! is done before the next begins, as after any other write.
//!
//! # Invariants
//! - ORDER: the pairs of a shard, and so those of a key, are stored in the order in which the
//!   iterator gave them.
//! - OURS: a pair is in its slot until it is stored, and whoever drops the slots drops what was
//!   not. So a panic loses nothing.
//! - QUIET (of [`shard`](super::shard)): the iterator, the weigher, `Hash` and the clock are
//!   called before the lock is taken.

use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use super::core::Core;
use super::deferred::{Deferred, MAX_RECLAIMED};
use super::locked::{Locked, Refused};
use super::place::Deadline;
use super::shard::{NewEntry, Shard};
use crate::contain::contained;
use crate::sync::prefetch::prefetch;

/// How many pairs are stored before a shard's lock is given back. No more than one
/// [`drain_limbo`](Locked::drain_limbo) takes out, so that limbo does not grow.
const SECTION: usize = MAX_RECLAIMED;
/// How many pairs are taken from the iterator before they are stored, at most,
const BATCH: usize = 1024;
/// and how many bytes their slots may have.
const BATCH_BYTES: usize = 256 << 10;
/// A shard of fewer entries lies near enough, if it is one of the usual number of them.
const FAR: usize = 512;
/// No slot.
const NONE: u32 = u32::MAX;

/// A pair that waits, and what it will be stored with.
struct Slot<K, V> {
    /// `None` once it is stored.
    pair: Option<(K, V)>,
    new: NewEntry,
    /// The next of its chain.
    next: u32,
    /// The first of the chain whose number is the index of this slot.
    head: u32,
}

impl<K, V> Slot<K, V> {
    const fn vacant() -> Slot<K, V> {
        let never = Deadline::NEVER;
        let new = NewEntry { hash: 0, deadline: never, weight: 0, now: never };
        Slot { pair: None, new, next: NONE, head: NONE }
    }
}

/// The most pairs of a batch.
const fn batch_len<K, V>() -> usize {
    match BATCH_BYTES / size_of::<Slot<K, V>>() {
        0 => 1,
        fit if fit < BATCH => fit,
        _ => BATCH,
    }
}

/// Where a section has ended.
struct Ended {
    /// The slot that comes next.
    next: u32,
    /// The slot whose pair was refused.
    refused: Option<(u32, Refused)>,
    /// Whether as much was reclaimed as one call may, so that there may be more.
    reclaimed_all: bool,
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Core<K, V, E, S> {
    /// Stores the pairs as so many calls of [`put`](Core::put) would. Returns the number of the
    /// first that was refused, and why.
    ///
    /// If user code panics that a pair is taken or prepared with, the pairs before it are stored.
    pub(crate) fn put_many(
        &self,
        mut pairs: impl Iterator<Item = (K, V)>,
        ttl: Option<Duration>,
    ) -> Option<(usize, Refused)> {
        if pairs.size_hint().1.is_some_and(|most| most <= self.shards().len()) {
            // Hardly two of them are of one shard.
            return self.put_each(pairs, ttl);
        }
        let most = batch_len::<K, V>();
        let mut slots = Vec::with_capacity(pairs.size_hint().0.saturating_add(1).min(most));
        let (mut first, mut count) = (None, 0);
        loop {
            let filled = self.fill(&mut slots, most, &mut pairs);
            let refused = self.put_batch(&mut slots, ttl);
            first = first.or(refused.map(|(at, why)| (count + at as usize, why)));
            count += slots.len();
            slots.clear();
            match filled {
                Ok(true) => {}
                Ok(false) => return first,
                Err(payload) => resume_unwind(payload),
            }
        }
    }

    /// The same, one after the other.
    fn put_each(
        &self,
        pairs: impl Iterator<Item = (K, V)>,
        ttl: Option<Duration>,
    ) -> Option<(usize, Refused)> {
        let mut first = None;
        for (at, (key, value)) in pairs.enumerate() {
            let refused = self.put(key, value, ttl).err();
            first = first.or(refused.map(|why| (at, why)));
        }
        first
    }

    /// Takes a batch from the iterator. False if that is its end. If user code panics, returns the
    /// payload; the slots have what came before.
    fn fill(
        &self,
        slots: &mut Vec<Slot<K, V>>,
        most: usize,
        pairs: &mut impl Iterator<Item = (K, V)>,
    ) -> std::thread::Result<bool> {
        let mut ready = 0;
        // Nothing of ours is half-done when it panics but the last slot, which goes.
        let filled = catch_unwind(AssertUnwindSafe(|| {
            while ready < most {
                slots.push(Slot::vacant());
                let slot = &mut slots[ready];
                slot.pair = pairs.next();
                let Some((key, value)) = &slot.pair else { return false };
                slot.new.weight = self.weigh(key, value);
                slot.new.hash = self.hash(key);
                ready += 1;
            }
            true
        }));
        let _ = contained(|| slots.truncate(ready));
        filled
    }

    /// Stores a batch. Returns the first that was refused, and why.
    fn put_batch(&self, slots: &mut [Slot<K, V>], ttl: Option<Duration>) -> Option<(u32, Refused)> {
        let mut first: Option<(u32, Refused)> = None;
        for chain in 0..self.link_chains(slots) {
            let mut at = slots[chain].head;
            while at != NONE {
                let refused;
                (at, refused) = self.put_section(slots, at, ttl);
                if let Some((refused, why)) = refused {
                    if first.is_none_or(|(first, _)| refused < first) {
                        first = Some((refused, why));
                    }
                }
            }
        }
        first
    }

    /// Links the slots into chains, and returns how many there are.
    fn link_chains(&self, slots: &mut [Slot<K, V>]) -> usize {
        let Some(log) = slots.len().checked_ilog2() else { return 0 };
        // Both are powers of two, so that shards are not split.
        let chains = self.shards().len().min(1 << log);
        slots[..chains].iter_mut().for_each(|slot| slot.head = NONE);
        // From the last to the first: so each is put before those that came later (ORDER).
        for at in (0..slots.len()).rev() {
            let chain = self.shard_number(slots[at].new.hash) & (chains - 1);
            let head = std::mem::replace(&mut slots[chain].head, at as u32);
            slots[at].next = head;
        }
        chains
    }

    /// Stores a section, from this slot on. Returns the slot that comes next in the chain, and the
    /// one that was refused, if one was.
    fn put_section(
        &self,
        slots: &mut [Slot<K, V>],
        begin: u32,
        ttl: Option<Duration>,
    ) -> (u32, Option<(u32, Refused)>) {
        let NewEntry { hash, weight, .. } = slots[begin as usize].new;
        let shard = self.shard(hash);
        self.limit_retired(shard, weight);
        let end = self.date_section(slots, begin, ttl);
        let ended = self.with_shard(shard, |locked, deferred| {
            locked.put_section(slots, (begin, end), deferred)
        });
        if let Some((at, _)) = ended.refused {
            if let Some(pair) = slots[at as usize].pair.take() {
                self.drop_refused(shard, pair);
            }
        }
        if ended.reclaimed_all {
            self.catch_up(shard);
        }
        (ended.next, ended.refused)
    }

    /// Gives the pairs of a section their deadlines, before the lock: the clock may be the user's.
    /// Returns the slot that is behind the section.
    fn date_section(&self, slots: &mut [Slot<K, V>], begin: u32, ttl: Option<Duration>) -> u32 {
        let now = self.now();
        let shard = self.shard_number(slots[begin as usize].new.hash);
        let mut at = begin;
        for _ in 0..SECTION {
            let slot = &mut slots[at as usize];
            slot.new = self.new_entry(slot.new.hash, slot.new.weight, ttl, now);
            at = slot.next;
            if at == NONE || self.shard_number(slots[at as usize].new.hash) != shard {
                break;
            }
        }
        at
    }

    /// Reclaims what readers have held up until now, but no more than as many calls of
    /// [`put`](Core::put) as a section has pairs.
    #[cold]
    fn catch_up(&self, shard: &Shard<K, V, E>) {
        for _ in 1..SECTION {
            let all = self.with_shard(shard, |locked, deferred| {
                locked.drain_limbo(deferred);
                deferred.is_full()
            });
            if !all {
                break;
            }
        }
    }
}

impl<'a, K: Hash + Eq, V, E, S: BuildHasher> Locked<'a, K, V, E, S> {
    /// Stores the pairs of a chain from one slot up to another. Stops before a pair that had better
    /// wait for readers, and behind one that was refused.
    fn put_section(
        &mut self,
        slots: &mut [Slot<K, V>],
        (begin, end): (u32, u32),
        deferred: &mut Deferred<'a, K, V, E>,
    ) -> Ended {
        if self.state.len >= FAR && slots[begin as usize].next != end {
            self.prefetch_earlier(slots, (begin, end));
        }
        // `deferred` has room for one call.
        self.drain_limbo(deferred);
        let mut at = begin;
        loop {
            let slot = &mut slots[at as usize];
            if let Some((key, _)) = &slot.pair {
                self.invalidate(slot.new.hash, key, deferred);
            }
            let stored = self.store(&mut slot.pair, slot.new, deferred);
            let refused = stored.err().map(|why| (at, why));
            at = slot.next;
            if at == end || refused.is_some() || self.must_wait(&slots[at as usize], deferred) {
                return Ended { next: at, refused, reclaimed_all: deferred.is_full() };
            }
        }
    }

    /// Looks for what the pairs of a section may replace, and asks for it: the buckets, and then
    /// the entries, come all at once instead of one after the other.
    fn prefetch_earlier(&self, slots: &[Slot<K, V>], (begin, end): (u32, u32)) {
        let mut at = begin;
        while at != end {
            let slot = &slots[at as usize];
            let ask = |index| {
                // SAFETY: in the table, so linked, and the lock is held.
                prefetch(unsafe { self.place(index) });
                None::<()>
            };
            // SAFETY: the lock keeps the table.
            unsafe { self.view.table().find_at(slot.new.hash, ask) };
            at = slot.next;
        }
    }

    /// Whether a pair is to wait for readers first, as `limit_retired` has it, which also counts
    /// what this section shows the listener.
    fn must_wait(&self, slot: &Slot<K, V>, deferred: &Deferred<'a, K, V, E>) -> bool {
        self.config.weighted
            && self.retired_weight() + deferred.to_notify_weight() + u64::from(slot.new.weight)
                > self.config.max_retired_weight()
    }
}
