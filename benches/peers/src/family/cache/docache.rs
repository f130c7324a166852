//! Ours behind the same traits.

use std::convert::Infallible;
use std::fmt;

use super::stores::{Hasher, Loading, Make, Read, Store, load};

/// As the builder makes it: with a time to live.
pub(crate) struct Docache<S: Hasher>(pub(crate) docache::Cache<u64, u64, Infallible, S>);

impl<S: Hasher> fmt::Debug for Docache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Docache").finish_non_exhaustive()
    }
}

impl<S: Hasher> Read for Docache<S> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }
}

impl<S: Hasher> Make<S> for Docache<S> {
    fn make(capacity: u64, hasher: S) -> Self {
        let builder = docache::Cache::builder().capacity(capacity as usize).hasher(hasher);
        Docache(builder.build().expect("the options are right"))
    }
}

impl<S: Hasher> Store for Docache<S> {
    #[inline]
    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    #[inline]
    fn remove(&self, key: u64) -> bool {
        self.0.remove(&key).is_some()
    }

    fn settle(&self) {
        // Nobody holds a pin.
        self.0.flush();
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl<S: Hasher> Loading for Docache<S> {
    #[inline]
    fn fetch(&self, key: u64) -> u64 {
        self.0.fetch(&key, || load(key))
    }
}
