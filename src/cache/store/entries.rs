//! What the policy of a shard sees of the entries.

use std::hash::{BuildHasher, Hash};

use super::place::Place;
use super::shard::ReadView;
use super::slab::{ChunkPtr, place};
use crate::cache::policy::{Mark, PolicyEntries};
use crate::contain::contained;
use crate::sync::prefetch::prefetch;

/// The entries, as the policy sees them. It is made under the shard's lock and used only while that
/// is held, and so is what it gives out. [`linked_place`](Entries::linked_place) must only be given
/// indices that are in the table or known to the policy, although it is no `unsafe` function:
/// [`PolicyEntries`], which calls it, is a safe trait.
pub(super) struct Entries<'a, K, V, S> {
    pub(super) directory: *const ChunkPtr<K, V>,
    pub(super) view: &'a ReadView<K, V>,
    pub(super) hasher: &'a S,
}

impl<'a, K, V, S> Entries<'a, K, V, S> {
    /// # Safety
    /// The place is in use, and not given back for as long as the result is used.
    #[inline(always)]
    pub(super) unsafe fn place(&self, index: u32) -> &'a Place<K, V> {
        // SAFETY: the caller's promise.
        unsafe { place(self.directory, index) }
    }

    /// An entry of the policy's, for as long as it is one.
    #[inline(always)]
    pub(super) fn linked_place(&self, index: u32) -> &'a Place<K, V> {
        // SAFETY: the policy knows only entries that are linked, or about to be (LINKED of the
        // policy, TABLE), and what is linked is not given back under the lock.
        unsafe { self.place(index) }
    }
}

impl<'a, K: Hash + 'a, V: 'a, S: BuildHasher> PolicyEntries for Entries<'a, K, V, S> {
    type Entry = &'a Place<K, V>;

    #[inline]
    fn entry(&self, i: u32) -> &'a Place<K, V> {
        self.linked_place(i)
    }

    #[inline]
    fn mark(&self, entry: &'a Place<K, V>) -> Mark {
        entry.mark()
    }

    #[inline]
    fn set_mark(&self, entry: &'a Place<K, V>, mark: Mark) {
        entry.set_mark(mark);
    }

    #[inline]
    fn prefetch(&self, i: u32) {
        prefetch(self.linked_place(i));
    }

    #[inline]
    fn prefetch_unlinking(&self, hash: u64) {
        self.view.table().prefetch(hash);
    }

    #[inline]
    fn hash(&self, entry: &'a Place<K, V>) -> Option<u64> {
        // SAFETY: the policy's entries are filled (TABLE).
        let (key, _) = unsafe { entry.pair() };
        contained(|| self.hasher.hash_one(key)).ok()
    }
}

impl<K: Hash, V, S: BuildHasher> Entries<'_, K, V, S> {
    /// The hash of an entry's key, unless that panics.
    #[inline]
    pub(super) fn try_hash(&self, i: u32) -> Option<u64> {
        self.hash(self.linked_place(i))
    }
}
