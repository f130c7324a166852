//! A load in two halves, for callers that begin it in one call and end it in another, such as those behind the C ABI.
//!
//! Such a caller has flights of its own, since its keys are not ours. It wins the lead there, [begins](Cache::begin) the load
//! and [suspends](Loading::suspend) it; whoever has its result [resumes](Cache::resume) the load and ends it, and after that
//! the flight.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::Ordering;

use super::handle::Cache;
use super::loading::{Begun, Loading};
use super::loads::LoadId;

/// A load under way that nobody is at. It must be resumed, if only to be given up: the cache remembers it until then.
#[derive(Debug)]
#[must_use = "the cache remembers the load until it is resumed"]
pub(crate) struct Suspended(LoadId);

impl<K: Hash + Eq, V: Clone, E, S: BuildHasher> Cache<K, V, E, S> {
    /// Begins the load of a key whose flight the caller leads, unless the value has come in since the caller looked.
    pub(crate) fn begin<Q>(&self, key: &Q) -> Begun<'_, K, V, E, S>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner.begin(key)
    }

    /// Has `forget` end the flight of a key whose load was beaten; to be called before a flight is joined.
    pub(crate) fn forget_overtaken<Q>(&self, key: &Q, forget: impl FnOnce())
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner.core.forget_overtaken(key, forget);
    }
}

impl<K, V, E, S> Cache<K, V, E, S> {
    /// Goes on with a load of this cache.
    pub(crate) fn resume(&self, suspended: Suspended) -> Loading<'_, K, V, E, S> {
        Loading { cache: &self.inner, load: suspended.0, over: false }
    }

    /// Counts a call that shares what somebody else loaded.
    pub(crate) fn count_coalesced(&self) {
        self.inner.coalesced.fetch_add(1, Ordering::Relaxed);
    }
}

impl<K, V, E, S> Loading<'_, K, V, E, S> {
    /// Leaves the load for the moment.
    pub(crate) fn suspend(mut self) -> Suspended {
        self.over = true;
        Suspended(self.load)
    }
}
