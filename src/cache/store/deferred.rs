//! What a write leaves to be done after it has unlocked: calls into user code.
//!
//! That user code (a listener, a destructor) may write to the cache itself. If what such a
//! reentrant write leaves were done at once, the stack would grow with the number of entries. So a
//! thread notes that it is [inside](CallbackScope) such user code, and a reentrant write leaves its
//! work with the shard: pairs to be dropped stay in limbo, entries that the listener is to see go
//! to its `pending_notifications`. Later writes and the background do the work.

use std::hash::{BuildHasher, Hash};
use std::mem::{MaybeUninit, needs_drop};

use super::callback::CallbackScope;
use super::core::Core;
use super::entry::Entry;
use super::expiry::negative::Gone;
use super::limbo::Limbo;
use super::shard::Shard;
use crate::cache::reclaim::hint;
use crate::cache::stats::Cause;
use crate::contain::{contained, drop_contained};

/// How many places a call takes out of limbo at most.
pub(crate) const MAX_RECLAIMED: usize = 8;

/// An entry that was unlinked, and that the listener is to see before it goes to limbo. It is its
/// owner's: nobody else sends it to limbo, so its place stays filled until then.
#[derive(Debug)]
pub(crate) struct Unlinked<'c, K, V> {
    pub(crate) index: u32,
    pub(crate) entry: &'c Entry<K, V>,
    pub(crate) cause: Cause,
}

/// Entries that were unlinked from inside user code, and that the listener was not told of.
#[derive(Debug, Default)]
pub(crate) struct PendingNotifications {
    /// Indices, and why they left.
    pub(crate) entries: Vec<(u32, Cause)>,
    pub(crate) weight: u64,
}

/// Collected under the lock, done without it.
#[derive(Debug)]
pub(crate) struct Deferred<'c, K, V, E> {
    /// Places that no reader can see any more: their pairs are to be dropped, then they are given
    /// back. They belong to this call alone. The first `count` are set.
    reclaimed: [MaybeUninit<(u32, &'c Entry<K, V>)>; MAX_RECLAIMED],
    count: usize,
    /// Whether the cache has a listener.
    has_listener: bool,
    /// Whether the call comes from inside user code.
    pub(crate) reentrant: bool,
    /// What few calls need, boxed, so that the others do not pay for it.
    uncommon: Option<Box<Uncommon<'c, K, V, E>>>,
    /// Whether a batch in limbo was sealed, so that it is time for a
    /// [`hint`].
    pub(crate) hint: bool,
    /// Whether the shard has something left for the cache's background work.
    pub(crate) needs_maintenance: bool,
}

/// What few calls leave.
#[derive(Debug)]
pub(crate) struct Uncommon<'c, K, V, E> {
    pub(crate) to_notify: Vec<Unlinked<'c, K, V>>,
    pub(crate) to_notify_weight: u64,
    /// Cached errors that are to be dropped.
    pub(crate) errors: Vec<Gone<K, E>>,
}

impl<'c, K, V, E> Deferred<'c, K, V, E> {
    #[inline(always)]
    pub(crate) fn new(has_listener: bool, reentrant: bool) -> Self {
        Deferred {
            reclaimed: [MaybeUninit::uninit(); MAX_RECLAIMED],
            count: 0,
            has_listener,
            reentrant,
            uncommon: None,
            hint: false,
            needs_maintenance: false,
        }
    }

    /// Sends an entry that was unlinked to limbo; or, if there is a listener, to that first.
    #[inline(always)]
    pub(crate) fn retire(
        &mut self,
        limbo: &mut Limbo,
        pending: &mut PendingNotifications,
        unlinked: Unlinked<'c, K, V>,
    ) {
        if !self.has_listener {
            self.hint |= limbo.retire(unlinked.index);
            self.needs_maintenance |= needs_drop::<(K, V)>();
        } else if self.reentrant {
            pending.entries.push((unlinked.index, unlinked.cause));
            self.needs_maintenance = true;
        } else {
            self.uncommon().to_notify.push(unlinked);
        }
    }

    /// Notes the weight of the entries that were just retired, wherever they went.
    #[inline]
    pub(crate) fn add_weight(
        &mut self,
        limbo: &mut Limbo,
        pending: &mut PendingNotifications,
        weight: u64,
    ) {
        if !self.has_listener {
            self.hint |= limbo.add_weight(weight);
        } else if self.reentrant {
            pending.weight += weight;
        } else {
            self.uncommon().to_notify_weight += weight;
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn uncommon(&mut self) -> &mut Uncommon<'c, K, V, E> {
        self.uncommon.get_or_insert_with(|| {
            Box::new(Uncommon { to_notify: Vec::new(), to_notify_weight: 0, errors: Vec::new() })
        })
    }

    #[inline]
    pub(crate) fn take_uncommon(&mut self) -> Option<Box<Uncommon<'c, K, V, E>>> {
        self.uncommon.take()
    }

    /// Takes a place whose pair is to be dropped; at most [`MAX_RECLAIMED`].
    #[inline]
    pub(crate) fn push_reclaimed(&mut self, index: u32, place: &'c Entry<K, V>) {
        self.reclaimed[self.count].write((index, place));
        self.count += 1;
    }

    /// The places whose pairs are to be dropped, which the caller then does.
    #[inline]
    pub(crate) fn take_reclaimed(&mut self) -> Reclaimed<'c, K, V> {
        Reclaimed { places: self.reclaimed, count: std::mem::take(&mut self.count) }
    }

    /// Whether there is anything to be done.
    #[inline(always)]
    pub(crate) fn has_work(&self) -> bool {
        self.hint | self.needs_maintenance | (self.count > 0) | self.uncommon.is_some()
    }

    /// Whether entries that leave are left to the background, which shows them to the listener.
    pub(crate) fn leaves_notifications(&self) -> bool {
        self.reentrant && self.has_listener
    }

    #[inline]
    pub(crate) fn has_reclaimed(&self) -> bool {
        self.count > 0
    }
}

/// Places out of limbo.
pub(crate) struct Reclaimed<'c, K, V> {
    places: [MaybeUninit<(u32, &'c Entry<K, V>)>; MAX_RECLAIMED],
    count: usize,
}

impl<'c, K, V> Reclaimed<'c, K, V> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &'c Entry<K, V>)> + '_ {
        // SAFETY: the first `count` are written before that is counted up.
        self.places[..self.count].iter().map(|place| unsafe { place.assume_init() })
    }
}

/// What a write leaves, and where. Dropping it does that work, so it is done also if the caller
/// panics.
pub(crate) struct DeferredWork<'c, K: Hash + Eq, V, E, S: BuildHasher> {
    pub(crate) core: &'c Core<K, V, E, S>,
    pub(crate) shard: &'c Shard<K, V, E>,
    pub(crate) deferred: Deferred<'c, K, V, E>,
}

impl<'c, K: Hash + Eq, V, E, S: BuildHasher> DeferredWork<'c, K, V, E, S> {
    #[cold]
    #[inline(never)]
    fn run_uncommon(&mut self, uncommon: Uncommon<'c, K, V, E>) {
        if !uncommon.to_notify.is_empty() {
            self.deferred.hint |=
                self.notify_listener(uncommon.to_notify, uncommon.to_notify_weight);
            self.deferred.needs_maintenance |= needs_drop::<(K, V)>();
        }
        let _scope = CallbackScope::enter();
        uncommon.errors.into_iter().for_each(drop_contained);
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
            let (key, value) = unsafe { unlinked.entry.pair() };
            panics += u64::from(contained(|| listener(key, value, unlinked.cause)).is_err());
        }
        drop(scope);
        let mut locked = self.core.lock(self.shard);
        locked.state.counts.listener_panics += panics;
        let retire =
            |full, unlinked: Unlinked<'c, K, V>| locked.state.limbo.retire(unlinked.index) || full;
        let full = to_notify.into_iter().fold(false, retire);
        locked.state.limbo.add_weight(weight) || full
    }

    /// Drops the pairs, and gives their places back.
    #[inline(never)]
    fn drop_reclaimed(&mut self) {
        let reclaimed = self.deferred.take_reclaimed();
        let scope = CallbackScope::enter();
        for (_, place) in reclaimed.iter() {
            // SAFETY: it left limbo for this call alone, and is filled (ONCE).
            unsafe { place.drop_pair(drop_contained) };
        }
        drop(scope);
        let mut locked = self.core.lock(self.shard);
        for (index, _) in reclaimed.iter() {
            // SAFETY: it left limbo for this call, which has just dropped its pair.
            unsafe { locked.state.slab.give_back(index) };
        }
    }

    #[inline(never)]
    fn run(&mut self) {
        if let Some(uncommon) = self.deferred.take_uncommon() {
            self.run_uncommon(*uncommon);
        }
        if self.deferred.hint {
            hint();
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

impl<K: Hash + Eq, V, E, S: BuildHasher> Drop for DeferredWork<'_, K, V, E, S> {
    #[inline(always)]
    fn drop(&mut self) {
        // Here, so that a write that leaves nothing makes no call.
        if self.deferred.has_work() {
            self.run();
        }
    }
}
