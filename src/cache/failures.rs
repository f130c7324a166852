//! Errors that are cached.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use super::core::Core;
use super::reclaim::pin;

/// The errors of loads, by key, for a short time.
///
/// A write to a key ends what is remembered of its failure. It says so here *after* it has beaten the loads of the key, and
/// a load leaves its error here *before* it asks whether it was beaten, and takes it back if so. So no error survives a
/// write that came after its load had begun.
pub(super) struct Failures<K, E, S> {
    pub(super) core: Core<K, Arc<E>, S>,
    pub(super) clone_key: fn(&K) -> K,
}

impl<K: Hash + Eq, E, S: BuildHasher> Failures<K, E, S> {
    /// The error of a key.
    pub(super) fn get<Q>(&self, key: &Q) -> Option<Arc<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let guard = pin();
        let entry = self.core.read(&guard, key, true)?;
        // SAFETY: found in the table under this guard.
        Some(unsafe { &entry.pair().1 }.clone())
    }

    pub(super) fn remember(&self, key: K, error: &Arc<E>) {
        // Without a weigher nothing is too heavy.
        let _ = self.core.put(key, error.clone(), None, None);
    }

    pub(super) fn forget<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.core.remove(key, |_| ());
    }
}
