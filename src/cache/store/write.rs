//! Writes, and the order in which the lock, the listener and destructors come.
//!
//! The order of a write: compute the weight, without a lock; lock the shard; take a few pairs out
//! of limbo; write; unlock; show the listener what was removed; drop the pairs from limbo. So no
//! user code but `Hash`, `Eq` and `Borrow` runs under the lock, and no reader ever runs a
//! destructor.
//! [`Core::with_shard`] keeps that order.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::mem::needs_drop;
use std::time::Duration;

use super::callback::CallbackScope;
use super::core::Core;
use super::deferred::{Deferred, Uncommon, Unlinked};
use super::locked::{Found, Locked, Refused};
use super::place::Place;
use super::shard::Shard;
use super::slab::place;
use crate::cache::reclaim::{advance, advance_throttled, ended, is_pinned, pin};
use crate::cache::stats::Cause;
use crate::contain::{contained, drop_contained};

/// In a cache whose entries have weights: how often a write that is over the limit tries to reclaim
/// before it goes on regardless, and how long it sleeps in between: 1.6 ms in all, plus what the
/// system adds to eight sleeps.
const WAIT_TRIES: usize = 10;
const WAIT_PAUSE: Duration = Duration::from_micros(200);

impl<K: Hash + Eq, V, E, S: BuildHasher> Core<K, V, E, S> {
    /// Runs `f` under the shard's lock, then the deferred work after unlocking.
    #[inline(always)]
    pub(crate) fn with_shard<'a, R>(
        &'a self,
        shard: &'a Shard<K, V, E>,
        f: impl FnOnce(&mut Locked<'a, K, V, E, S>, &mut Deferred<'a, K, V, E>) -> R,
    ) -> R {
        self.with_shard_then(shard, f, |result| result)
    }

    /// The same, with a step `then` between the unlocking and the deferred work: for a `Clone` that
    /// must run while the caller still has its guard, or for waking waiters.
    #[inline(always)]
    pub(crate) fn with_shard_then<'a, R, T>(
        &'a self,
        shard: &'a Shard<K, V, E>,
        f: impl FnOnce(&mut Locked<'a, K, V, E, S>, &mut Deferred<'a, K, V, E>) -> R,
        then: impl FnOnce(R) -> T,
    ) -> T {
        let has_listener = self.settings.listener.is_some();
        let reentrant = (has_listener || needs_drop::<(K, V)>()) && CallbackScope::is_active();
        // Its `drop` does the deferred work if `f` or `then` panics.
        let mut work =
            RunDeferred { core: self, shard, deferred: Deferred::new(has_listener, reentrant) };
        let mut locked = self.lock(shard);
        let result = f(&mut locked, &mut work.deferred);
        drop(locked);
        let result = then(result);
        // Here, so that a write that leaves nothing, or only a pair to be dropped, makes no call.
        if work.deferred.has_work() {
            work.run();
        } else if work.deferred.needs_maintenance {
            self.schedule_maintenance();
        }
        // Nothing is left in it that has a destructor.
        std::mem::forget(work);
        result
    }

    /// Stores a value.
    #[inline]
    pub(crate) fn put(&self, key: K, value: V, ttl: Option<Duration>) -> Result<(), Refused> {
        let weight = self.weigh(&key, &value);
        let hash = self.hash(&key);
        let shard = self.shard(hash);
        let mut pair = Some((key, value));
        self.limit_retired(shard, weight);
        // After that, which may have slept.
        let new = self.new_entry(hash, weight, ttl, self.now());
        let stored = self.with_shard(shard, |locked, deferred| {
            locked.drain_limbo_if_wanted(deferred);
            if let Some((key, _)) = &pair {
                locked.invalidate(hash, key, deferred);
            }
            locked.store(&mut pair, new, deferred)
        });
        if let Some(pair) = pair {
            self.drop_refused(shard, pair);
        }
        stored
    }

    /// Shows the listener a pair that was not stored, and drops it; inside user code, leaves both
    /// to the background.
    #[cold]
    pub(crate) fn drop_refused(&self, shard: &Shard<K, V, E>, pair: (K, V)) {
        if CallbackScope::is_active() {
            self.lock(shard).state.refused.push(pair);
            self.schedule_maintenance_now();
        } else {
            self.notify_refused(shard, pair);
        }
    }

    /// Shows the listener a pair that was not stored, and drops it.
    pub(crate) fn notify_refused(&self, shard: &Shard<K, V, E>, (key, value): (K, V)) {
        let _scope = CallbackScope::enter();
        let notified = self
            .settings
            .listener
            .as_ref()
            .map(|tell| contained(|| tell(&key, &value, Cause::Refused)));
        if let Some(Err(_)) = notified {
            self.lock(shard).state.load_counts.listener_panics += 1;
        }
        drop_contained((key, value));
    }

    /// Where entries have weights: keeps the weight of the retired entries, together with `weight`,
    /// below the shard's limit if it can. Drops the retired entries that no reader can see. If that
    /// is not enough, waits for readers ([`WAIT_TRIES`]), unless the calling thread has a guard
    /// itself, or no grace period has ended since another write waited in vain.
    #[inline(always)]
    pub(crate) fn limit_retired(&self, shard: &Shard<K, V, E>, weight: u32) {
        if self.settings.weigher.is_some() && self.lock(shard).is_over_retired_limit(weight) {
            self.wait_for_readers(shard, weight);
        }
    }

    #[cold]
    fn wait_for_readers(&self, shard: &Shard<K, V, E>, weight: u32) {
        if needs_drop::<(K, V)>() && CallbackScope::is_active() {
            // It would wait in vain: here nothing is dropped. The background does so, as soon as it
            // can.
            return self.schedule_maintenance_now();
        }
        let is_over_retired_limit = || self.lock(shard).is_over_retired_limit(weight);
        for tries in 0.. {
            self.reclaim_all(shard);
            if !is_over_retired_limit() {
                return;
            }
            if tries == WAIT_TRIES {
                break;
            }
            advance();
            if tries > 1 {
                if is_pinned() || self.lock(shard).state.gave_up_at == Some(ended()) {
                    return;
                }
                std::thread::sleep(WAIT_PAUSE);
            }
        }
        self.lock(shard).state.gave_up_at = Some(ended());
    }

    /// Removes a key. Returns what `found` makes of its value, if that was there and alive.
    pub(crate) fn remove<Q, R>(&self, key: &Q, found: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.shard(hash);
        let now = self.expiry.now_for_lock();
        let guard = pin();
        self.with_shard_then(
            shard,
            |locked, deferred| {
                locked.drain_limbo(deferred);
                locked.invalidate(hash, key, deferred);
                // SAFETY: the guard is dropped when the value was used.
                let Found { index, place, at } = unsafe { locked.find_beyond_lock(hash, key) }?;
                let live = self.expiry.is_live_at(place, now);
                let cause = if live { Cause::Removed } else { Cause::Expired };
                locked.unlink_at((index, at), hash, cause, deferred);
                locked.rebuild_if_due(deferred);
                live.then_some(place)
            },
            |removed| {
                // SAFETY: the guard has been there since before the entry was retired.
                let removed = removed.map(|place| found(unsafe { &place.pair().1 }));
                drop(guard);
                removed
            },
        )
    }
}

/// What a write leaves, and where. Dropping it does that work, so it is done also if the caller
/// panics.
struct RunDeferred<'c, K: Hash + Eq, V, E, S: BuildHasher> {
    core: &'c Core<K, V, E, S>,
    shard: &'c Shard<K, V, E>,
    deferred: Deferred<'c, K, V, E>,
}

impl<'c, K: Hash + Eq, V, E, S: BuildHasher> RunDeferred<'c, K, V, E, S> {
    #[cold]
    #[inline(never)]
    fn run_uncommon(&mut self, uncommon: Uncommon<'c, K, V, E>) {
        if !uncommon.to_notify.is_empty() {
            self.deferred.wants_advance |=
                self.notify_listener(uncommon.to_notify, uncommon.to_notify_weight);
            self.deferred.needs_maintenance |= needs_drop::<(K, V)>();
        }
        let mut errors = uncommon.errors;
        if !errors.is_empty() && CallbackScope::is_active() {
            self.core.lock(self.shard).state.dropped_errors.append(&mut errors);
            return self.core.schedule_maintenance_now();
        }
        let _scope = CallbackScope::enter();
        errors.into_iter().for_each(drop_contained);
    }

    /// Notifies the listener of entries, and sends them to limbo. True if that filled a batch
    /// there.
    #[cold]
    fn notify_listener(&self, to_notify: Vec<Unlinked<'c, K, V>>, weight: u64) -> bool {
        let Some(listener) = self.core.listener() else { return false };
        let mut panics = 0;
        let scope = CallbackScope::enter();
        for unlinked in &to_notify {
            // SAFETY: this call's, and not in limbo, and nobody empties its place.
            let (key, value) = unsafe { unlinked.place.pair() };
            panics += u64::from(contained(|| listener(key, value, unlinked.cause)).is_err());
        }
        drop(scope);
        let mut locked = self.core.lock(self.shard);
        locked.state.load_counts.listener_panics += panics;
        let retire =
            |full, unlinked: Unlinked<'c, K, V>| locked.state.limbo.retire(unlinked.index) || full;
        let full = to_notify.into_iter().fold(false, retire);
        locked.state.limbo.add_weight(weight) || full
    }

    /// Drops the pairs, and gives their places back.
    #[inline(never)]
    fn drop_reclaimed(&mut self) {
        let (reclaimed, count) = self.deferred.take_reclaimed();
        let reclaimed = &reclaimed[..count];
        let scope = CallbackScope::enter();
        let places = reclaimed.iter().map(|&index| {
            // SAFETY: it left limbo for this call alone, so it is in use until it is given back.
            unsafe { place(self.shard.view.directory(), index) }
        });
        places.clone().for_each(Place::prefetch_owned);
        for place in places {
            // SAFETY: nobody else can see it, and it is filled (ONCE).
            unsafe { place.drop_pair(drop_contained) };
        }
        drop(scope);
        let mut locked = self.core.lock(self.shard);
        // SAFETY: they left limbo for this call, which has just dropped their pairs.
        unsafe { locked.state.slab.give_all_back(reclaimed) };
    }

    #[inline(never)]
    fn run(&mut self) {
        if let Some(uncommon) = self.deferred.take_uncommon() {
            self.run_uncommon(*uncommon);
        }
        if self.deferred.wants_advance {
            advance_throttled();
            // Entries without a destructor are left to the background only when a batch is full. It
            // takes them only if there are [`LAZY_RETIRED`](super::shard::LAZY_RETIRED) or more by
            // then; otherwise later writes do.
            self.deferred.needs_maintenance |= !needs_drop::<(K, V)>();
        }
        if self.deferred.has_reclaimed() {
            self.drop_reclaimed();
        }
        if self.deferred.needs_maintenance {
            if self.deferred.leaves_notifications() {
                self.core.schedule_maintenance_now();
            } else {
                self.core.schedule_maintenance();
            }
        }
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Drop for RunDeferred<'_, K, V, E, S> {
    fn drop(&mut self) {
        self.run();
    }
}
