//! What a writer leaves for the time when it has given the lock back: user code.

use super::entry::Entry;
use super::limbo::Limbo;
use super::stats::Cause;

/// How many places a call takes out of limbo at most.
pub(crate) const DEAD: usize = 8;

/// Collected under the lock, done without it.
#[derive(Debug)]
pub(crate) struct After<'c, K, V> {
    /// Places that nobody can see any more, whose pairs are to be dropped before they are given back. They are this call's
    /// alone.
    pub(super) dead: [Option<(u32, &'c Entry<K, V>)>; DEAD],
    /// How many there are.
    pub(super) dying: usize,
    /// Whether there is a listener.
    listened: bool,
    /// Claimed entries, which the listener is to see before they go to limbo.
    pub(super) claimed: Vec<(u32, Cause)>,
    /// Whether there is a batch to be had from.
    pub(super) advance: bool,
}

impl<'c, K, V> After<'c, K, V> {
    #[inline]
    pub(super) fn new(listened: bool) -> Self {
        After { dead: [const { None }; DEAD], dying: 0, listened, claimed: Vec::new(), advance: false }
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

    /// Takes a place whose pair is to be dropped; at most [`DEAD`].
    #[inline]
    pub(crate) fn bury(&mut self, index: u32, place: &'c Entry<K, V>) {
        self.dead[self.dying] = Some((index, place));
        self.dying += 1;
    }
}
