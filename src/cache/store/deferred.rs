//! What a write leaves to be done after it has unlocked: calls into user code.
//!
//! That user code (a listener, a destructor) may write to the cache itself. If what such a
//! reentrant write leaves were done at once, the stack would grow with the number of entries. So a
//! thread notes that it is [inside](super::callback::CallbackScope) such user code, and a reentrant
//! write leaves its work with the shard: pairs to be dropped stay in limbo, entries that the
//! listener is to see go to its `pending_notifications`. Later writes and the background do the
//! work.

use std::mem::needs_drop;

use super::expiry::negative::Gone;
use super::limbo::Limbo;
use super::place::Place;
use crate::cache::reclaim::advance_is_costly;
use crate::cache::stats::Cause;

/// How many places a call takes out of limbo at most.
pub(crate) const MAX_RECLAIMED: usize = 6;

/// An entry that was unlinked, and that the listener is to see before it goes to limbo. Whoever
/// holds this value alone sends the entry to limbo, so its place stays filled until then.
#[derive(Debug)]
pub(crate) struct Unlinked<'c, K, V> {
    pub(crate) index: u32,
    pub(crate) place: &'c Place<K, V>,
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
    reclaimed: [u32; MAX_RECLAIMED],
    count: usize,
    /// Whether the cache has a listener.
    has_listener: bool,
    /// Whether the call comes from inside user code.
    pub(crate) reentrant: bool,
    /// What few calls need, boxed, so that the others do not pay for it.
    uncommon: Option<Box<Uncommon<'c, K, V, E>>>,
    /// Whether a batch in limbo was sealed, so that
    /// [`advance_throttled`](crate::cache::reclaim::advance_throttled) is due.
    pub(crate) wants_advance: bool,
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
            reclaimed: [0; MAX_RECLAIMED],
            count: 0,
            has_listener,
            reentrant,
            uncommon: None,
            wants_advance: false,
            needs_maintenance: false,
        }
    }

    /// Sends an unlinked entry to limbo. If there is a listener, only notes that the listener is to
    /// see it first: in `to_notify`, or, in a reentrant call, in `pending`.
    #[inline(always)]
    pub(crate) fn retire_or_notify(
        &mut self,
        limbo: &mut Limbo,
        pending: &mut PendingNotifications,
        unlinked: Unlinked<'c, K, V>,
    ) {
        if !self.has_listener {
            let is_full = limbo.retire(unlinked.index);
            self.needs_maintenance |= is_full || needs_drop::<(K, V)>();
            // There is no hurry as long as writes find something in limbo to reuse.
            self.wants_advance |= is_full && !(advance_is_costly() && limbo.has_elapsed());
        } else if self.reentrant {
            pending.entries.push((unlinked.index, unlinked.cause));
            self.needs_maintenance = true;
        } else {
            self.uncommon_mut().to_notify.push(unlinked);
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
            self.wants_advance |= limbo.add_weight(weight);
        } else if self.reentrant {
            pending.weight += weight;
        } else {
            self.uncommon_mut().to_notify_weight += weight;
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn uncommon_mut(&mut self) -> &mut Uncommon<'c, K, V, E> {
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
    pub(crate) fn push_reclaimed(&mut self, index: u32) {
        self.reclaimed[self.count] = index;
        self.count += 1;
    }

    /// The places whose pairs are to be dropped, which the caller then does.
    #[inline]
    pub(crate) fn take_reclaimed(&mut self) -> ([u32; MAX_RECLAIMED], usize) {
        (self.reclaimed, std::mem::take(&mut self.count))
    }

    /// Whether there is anything to be done but to schedule the background.
    #[inline(always)]
    pub(crate) fn has_work(&self) -> bool {
        let leaves_notifications = self.leaves_notifications();
        self.wants_advance | (self.count > 0) | self.uncommon.is_some() | leaves_notifications
    }

    /// Whether entries that leave are left to the background, which shows them to the listener.
    #[inline(always)]
    pub(crate) fn leaves_notifications(&self) -> bool {
        self.reentrant && self.has_listener
    }

    #[inline]
    pub(crate) fn has_reclaimed(&self) -> bool {
        self.count > 0
    }

    /// Whether as many places were taken as there is room for.
    pub(crate) fn is_full(&self) -> bool {
        self.count == MAX_RECLAIMED
    }

    /// The weight of the entries that the listener is to see, which are not in limbo yet.
    pub(crate) fn to_notify_weight(&self) -> u64 {
        self.uncommon.as_ref().map_or(0, |uncommon| uncommon.to_notify_weight)
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;
    use crate::cache::reclaim::{advance, pin};

    /// What is retired and not taken, as after removals, must not wait for writes.
    #[test]
    fn the_background_comes_even_if_there_is_no_hurry() {
        let retire_some = |limbo: &mut Limbo| {
            let mut deferred = Deferred::<u64, u64, ()>::new(false, false);
            let (place, mut pending) = (Place::vacant(), PendingNotifications::default());
            for index in 0..32 {
                let unlinked = Unlinked { index, place: &place, cause: Cause::Removed };
                deferred.retire_or_notify(limbo, &mut pending, unlinked);
            }
            (deferred.wants_advance, deferred.needs_maintenance)
        };
        let mut limbo = Limbo::new(u64::MAX);
        let guard = pin();
        assert_eq!(retire_some(&mut limbo), (true, true));
        drop(guard);
        while !limbo.has_elapsed() {
            advance();
            std::thread::yield_now();
        }
        assert_eq!(retire_some(&mut limbo), (!advance_is_costly(), true));
    }
}
