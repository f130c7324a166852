//! Where new entries get their places: those that are ready, those that limbo gives back, and those
//! of the slab's chunks, in this order.

use std::hash::{BuildHasher, Hash};
use std::mem::needs_drop;

use super::deferred::{Deferred, MAX_RECLAIMED};
use super::locked::Locked;
use super::slab::READY;
use crate::sync::atomic::Ordering;
use crate::sync::prefetch::prefetch;

impl<'a, K: Hash + Eq, V, E, S: BuildHasher> Locked<'a, K, V, E, S> {
    /// A free place, for a new entry.
    #[inline(always)]
    pub(super) fn allocate(&mut self) -> Option<u32> {
        let Some(index) = self.state.slab.take_ready() else { return self.allocate_slow() };
        self.prefetch_limbo();
        Some(index)
    }

    /// Before a write takes something out of limbo, asks for what it will find there: the batch;
    /// and one write later, if they have destructors, its pairs.
    #[inline(always)]
    fn prefetch_limbo(&self) {
        let (ready, limbo) = (self.state.slab.ready(), &self.state.limbo);
        if !needs_drop::<(K, V)>() {
            if ready == 0 {
                limbo.prefetch_front();
            }
        } else if ready == READY - MAX_RECLAIMED + 1 {
            limbo.prefetch_front();
        } else if ready == READY - MAX_RECLAIMED {
            // SAFETY: in limbo, so in use.
            let pairs = limbo.front().iter().map(|&index| unsafe { self.place(index) });
            pairs.take(MAX_RECLAIMED).for_each(prefetch);
        }
    }

    /// [`allocate`](Locked::allocate), when the slab has no place ready.
    #[inline(never)]
    fn allocate_slow(&mut self) -> Option<u32> {
        if !needs_drop::<(K, V)>() {
            self.reuse_elapsed();
        }
        let index = self.state.slab.take()?;
        if self.state.slab.directory() != self.view.directory() {
            // Before the index (THERE).
            self.view.directory.store(self.state.slab.directory().cast_mut(), Ordering::Release);
        }
        Some(index)
    }

    /// Has the slab take back the places of a batch that no reader can see any more; their pairs
    /// have no destructors. False if there is none.
    fn reuse_elapsed(&mut self) -> bool {
        let state = &mut *self.state;
        let batch = state.limbo.pop_elapsed_batch();
        if let Some(batch) = &batch {
            // SAFETY: nobody can see them (ONCE), and what they hold need not be dropped.
            unsafe { state.slab.give_all_back(batch.places()) };
        }
        batch.is_some()
    }

    /// [`drain_limbo`](Locked::drain_limbo), if the slab will have the places ready for the next
    /// writes; else they would go back to their chunks, from where they are fetched one by one.
    #[inline(always)]
    pub(crate) fn drain_limbo_if_wanted(&mut self, deferred: &mut Deferred<'a, K, V, E>) {
        if self.config.weighted || self.state.slab.ready() + MAX_RECLAIMED <= READY {
            self.drain_limbo(deferred);
        }
    }

    /// Takes up to [`MAX_RECLAIMED`] entries that no reader can see any more out of limbo, for
    /// `deferred` to drop their pairs after unlocking; it has room for one call of this. True if
    /// there were any. Pairs that have no destructors stay until their places are
    /// [wanted](Locked::allocate), or the background comes.
    #[inline(always)]
    pub(crate) fn drain_limbo(&mut self, deferred: &mut Deferred<'a, K, V, E>) -> bool {
        if !needs_drop::<(K, V)>() || deferred.reentrant {
            return false;
        }
        let mut any = false;
        for _ in 0..MAX_RECLAIMED {
            let Some(index) = self.state.limbo.pop_elapsed() else { break };
            any = true;
            // All at once: each may be far away.
            // SAFETY: it left limbo for this call, so its place is in use.
            prefetch(unsafe { self.place(index) });
            deferred.push_reclaimed(index);
        }
        any
    }

    /// The same, but pairs without destructors leave as well, a batch of them.
    pub(crate) fn reclaim_some(&mut self, deferred: &mut Deferred<'a, K, V, E>) -> bool {
        if needs_drop::<(K, V)>() { self.drain_limbo(deferred) } else { self.reuse_elapsed() }
    }
}
