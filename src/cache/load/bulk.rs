//! Getting many keys at once.

use std::convert::Infallible;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash};

use super::fetch::infallible;
use crate::cache::handle::Cache;
use crate::cache::inner::Inner;
use crate::flight::{FlightError, run_all};

impl<K: Hash + Eq + Debug + Clone, V: Clone, E, S: BuildHasher> Inner<K, V, E, S> {
    fn fetch_many(
        &self,
        keys: &[&K],
        work: impl FnMut(&[&K]) -> Result<Vec<V>, E>,
    ) -> Vec<Result<V, FlightError<E>>> {
        let mut fetched: Vec<Option<Result<V, FlightError<E>>>> = Vec::with_capacity(keys.len());
        fetched.extend(keys.iter().map(|key| self.get(*key).map(Ok)));
        let missing =
            keys.iter().zip(&fetched).filter(|(_, found)| found.is_none()).map(|(key, _)| *key);
        let places = missing.map(|key| (self.place(key, None), key));
        let mut resolve =
            run_all(places, None, work).into_iter().map(|result| self.resolve(result));
        fetched.into_iter().filter_map(|found| found.or_else(|| resolve.next())).collect()
    }
}

impl<K: Hash + Eq + Debug + Clone, V: Clone, S: BuildHasher> Cache<K, V, Infallible, S> {
    /// The values of many keys, in their order: `work` is run once for all that are neither in the
    /// cache nor being loaded; what others are loading is waited for, after that. Keys may be
    /// repeated.
    ///
    /// `work` gets the keys that are missing and returns their values in the same order. See
    /// [`KeyedGroup::try_run_many`](crate::KeyedGroup::try_run_many) for when it is called again.
    ///
    /// # Panics
    /// If `work` panics or returns another number of values, or if a run that was joined panicked.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u64>::new(100);
    /// cache.insert(1, 10);
    /// let values =
    ///     cache.fetch_many(&[&1, &2, &3], |missing| missing.iter().map(|k| *k * 10).collect());
    /// assert_eq!(values, [10, 20, 30]);
    /// ```
    pub fn fetch_many(&self, keys: &[&K], mut work: impl FnMut(&[&K]) -> Vec<V>) -> Vec<V> {
        self.inner.fetch_many(keys, |keys| Ok(work(keys))).into_iter().map(infallible).collect()
    }
}

impl<K: Hash + Eq + Debug + Clone, V: Clone, E, S: BuildHasher> Cache<K, V, E, S> {
    /// [`fetch_many`](Cache::fetch_many) for work that may fail: an error counts for all keys of
    /// that call of `work`.
    ///
    /// # Errors
    /// For each key those of [`try_fetch`](Cache::try_fetch).
    ///
    /// # Panics
    /// If `work` panics or returns another number of values.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u64, String>::builder().build()?;
    /// cache.insert(1, 10);
    /// let values = cache.try_fetch_many(&[&1, &2], |_| Err("no route".to_owned()));
    /// assert!(values[0].is_ok() && values[1].as_ref().unwrap_err().is_failed());
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn try_fetch_many(
        &self,
        keys: &[&K],
        work: impl FnMut(&[&K]) -> Result<Vec<V>, E>,
    ) -> Vec<Result<V, FlightError<E>>> {
        self.inner.fetch_many(keys, work)
    }
}
