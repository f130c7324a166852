//! What a writer does once it has given the lock back: user code.

use std::mem::needs_drop;

use super::limbo::Limbo;
use super::stats::Cause;
use crate::contain::drop_contained;

/// How many pairs a call drops at most that others retired.
const DEAD: usize = 4;
/// The same for pairs that have no destructors.
const PLAIN: usize = 16;

/// Collected under the lock, done without it.
pub(crate) struct After<K, V> {
    dead: [Option<(K, V)>; DEAD],
    /// How many pairs were taken in.
    buried: usize,
    /// Whether there is a listener.
    listened: bool,
    /// Claimed entries, which the listener is to see before they go to limbo.
    pub(super) claimed: Vec<(u32, Cause)>,
    /// Whether it is time to advance the epoch.
    pub(super) advance: bool,
}

impl<K, V> After<K, V> {
    #[inline]
    pub(crate) fn new(listened: bool) -> After<K, V> {
        After { dead: [const { None }; DEAD], buried: 0, listened, claimed: Vec::new(), advance: false }
    }

    /// Sends an entry that was unlinked to limbo, or to the listener first.
    #[inline]
    pub(crate) fn retire(&mut self, limbo: &mut Limbo, index: u32, cause: Cause) {
        if self.listened {
            self.claimed.push((index, cause));
        } else {
            self.advance |= limbo.retire(index);
        }
    }

    #[inline]
    pub(crate) fn takes_dead(&self) -> bool {
        self.buried < if needs_drop::<(K, V)>() { DEAD } else { PLAIN }
    }

    /// Takes a pair that is to be dropped.
    #[inline]
    pub(crate) fn bury(&mut self, pair: (K, V)) {
        if needs_drop::<(K, V)>() {
            self.dead[self.buried] = Some(pair);
        }
        self.buried += 1;
    }

    /// How many pairs it has.
    pub(crate) fn buried(&self) -> usize {
        self.buried
    }

    /// Drops the pairs. No lock is held.
    #[inline]
    pub(crate) fn drop_dead(&mut self) {
        if needs_drop::<(K, V)>() {
            self.dead.iter_mut().take(self.buried).filter_map(Option::take).for_each(drop_contained);
        }
        self.buried = 0;
    }
}
