//! What a writer does once it has given the lock back: user code.

use std::hash::{BuildHasher, Hash};

use super::core::Core;
use super::entry::Entry;
use super::limbo::Limbo;
use super::reclaim::hint;
use super::shard::Shard;
use super::stats::Cause;
use crate::contain::drop_contained;

/// How many places a call takes out of limbo at most.
pub(crate) const DEAD: usize = 8;

/// Collected under the lock, done without it.
#[derive(Debug)]
pub(crate) struct After<'c, K, V> {
    /// Places that nobody can see any more, whose pairs are to be dropped before they are given back. They are this call's
    /// alone.
    dead: [Option<(u32, &'c Entry<K, V>)>; DEAD],
    /// How many there are.
    dying: usize,
    /// Whether there is a listener.
    listened: bool,
    /// Claimed entries, which the listener is to see before they go to limbo.
    claimed: Vec<(u32, Cause)>,
    /// Whether there is a batch to be had from.
    advance: bool,
}

impl<'c, K, V> After<'c, K, V> {
    /// Sends an entry that was unlinked to limbo, or to the listener first.
    #[inline]
    pub(crate) fn retire(&mut self, limbo: &mut Limbo, index: u32, cause: Cause) {
        if self.listened {
            self.claimed.push((index, cause));
        } else {
            self.advance |= limbo.retire(index);
        }
    }

    /// Takes a place whose pair is to be dropped; at most [`DEAD`].
    #[inline]
    pub(crate) fn bury(&mut self, index: u32, place: &'c Entry<K, V>) {
        self.dead[self.dying] = Some((index, place));
        self.dying += 1;
    }
}

/// An [`After`] that is seen to in any case, also if the caller panics.
pub(crate) struct Finish<'c, K: Hash + Eq, V, S: BuildHasher> {
    core: &'c Core<K, V, S>,
    shard: &'c Shard<K, V>,
    pub(crate) after: After<'c, K, V>,
}

impl<'c, K: Hash + Eq, V, S: BuildHasher> Finish<'c, K, V, S> {
    #[inline]
    pub(crate) fn new(core: &'c Core<K, V, S>, shard: &'c Shard<K, V>, listened: bool) -> Self {
        let after =
            After { dead: [const { None }; DEAD], dying: 0, listened, claimed: Vec::new(), advance: false };
        Finish { core, shard, after }
    }

    /// What comes after the lock.
    #[inline]
    pub(crate) fn finish(&mut self) {
        if !self.after.claimed.is_empty() {
            self.after.advance |= self.core.tell(self.shard, &mut self.after.claimed);
        }
        if self.after.advance {
            hint();
            self.after.advance = false;
        }
        if self.after.dying > 0 {
            self.drop_dead();
        }
    }

    /// Drops the pairs, and gives their places back.
    #[inline(never)]
    fn drop_dead(&mut self) {
        let count = std::mem::take(&mut self.after.dying);
        for (_, place) in self.after.dead[..count].iter().flatten() {
            // SAFETY: it left limbo for this call alone, and is filled (ONCE).
            unsafe { place.drop_pair(drop_contained) };
        }
        let mut locked = self.core.lock(self.shard);
        for (index, _) in self.after.dead[..count].iter_mut().filter_map(Option::take) {
            // SAFETY: it has just been emptied.
            unsafe { locked.give_back(index) };
        }
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Drop for Finish<'_, K, V, S> {
    #[inline]
    fn drop(&mut self) {
        self.finish();
    }
}
