//! What stands behind the handle: the entries, the errors that are cached beside them, and the flights of the loads.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::core::Core;
use super::failures::Failures;
use super::reclaim::pin;
use super::sweep::{Registered, Swept};
use crate::flight::KeyedGroup;

/// What all clones of a cache share.
pub(super) struct Inner<K, V, E, S> {
    pub(super) core: Core<K, V, S>,
    pub(super) flights: KeyedGroup<K, V, Arc<E>>,
    /// Errors that are cached, if any are.
    pub(super) failures: Option<Failures<K, E, S>>,
    pub(super) coalesced: AtomicU64,
    /// Its place in the sweep, which it leaves when it is dropped.
    pub(super) sweep: Option<Registered>,
}

impl<K, V, E, S> Swept for Inner<K, V, E, S>
where
    K: Hash + Eq + Send + Sync,
    V: Send + Sync,
    E: Send + Sync,
    S: BuildHasher + Send + Sync,
{
    fn sweep(&self) {
        self.purge_expired();
        self.flush();
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Inner<K, V, E, S> {
    pub(super) fn purge_expired(&self) -> usize {
        if let Some(failures) = &self.failures {
            failures.core.purge_expired();
        }
        self.core.purge_expired()
    }

    pub(super) fn flush(&self) -> bool {
        let failures = self.failures.as_ref().is_none_or(|failures| failures.core.flush());
        self.core.flush() && failures
    }

    /// The error that is cached for the key.
    pub(super) fn failure<Q>(&self, key: &Q) -> Option<Arc<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.failures.as_ref()?.get(key)
    }
}

impl<K: Hash + Eq, V: Clone, E, S: BuildHasher> Inner<K, V, E, S> {
    /// A clone of the key's value.
    #[inline]
    pub(super) fn get<Q>(&self, key: &Q, silent: bool) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let guard = pin();
        let entry = self.core.read(&guard, key, silent)?;
        // SAFETY: found in the table under this guard.
        Some(unsafe { &entry.pair().1 }.clone())
    }
}
