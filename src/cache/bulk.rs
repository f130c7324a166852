//! Getting many keys at once.

use std::convert::Infallible;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use super::fetch::infallible;
use super::handle::Cache;
use super::inner::Inner;
use super::loading::Begun;
use crate::flight::FlightError;

impl<K: Hash + Eq + Debug + Clone, V: Clone, E, S: BuildHasher> Inner<K, V, E, S> {
    /// Loads the keys that this call leads: those that are still missing, by one call of `work`.
    fn lead_many(
        &self,
        keys: &[&K],
        work: &mut impl FnMut(&[&K]) -> Result<Vec<V>, E>,
    ) -> Result<Vec<V>, Arc<E>> {
        let mut values: Vec<Option<V>> = Vec::with_capacity(keys.len());
        let mut loadings = Vec::new();
        let mut missing = Vec::new();
        for key in keys {
            // An error that came after this call had looked would be all keys' error.
            match self.begin_anyway(*key) {
                Begun::Load(loading) => {
                    loadings.push(loading);
                    missing.push(*key);
                    values.push(None);
                }
                Begun::Found(value) => values.push(Some(value)),
                Begun::Failed(error) => return Err(error),
            }
        }
        let mut loaded = Vec::new();
        if !missing.is_empty() {
            loaded = match work(&missing) {
                Ok(loaded) => loaded,
                Err(error) => {
                    let error = Arc::new(error);
                    loadings
                        .into_iter()
                        .zip(missing)
                        .for_each(|(loading, key)| loading.fail(key.clone(), &error));
                    return Err(error);
                }
            };
        }
        let (wanted, got) = (missing.len(), loaded.len());
        assert!(wanted == got, "the work returned {got} values for {wanted} keys");
        for ((loading, key), value) in loadings.into_iter().zip(missing).zip(&loaded) {
            loading.succeed(key.clone(), value.clone(), None);
        }
        let mut loaded = loaded.into_iter();
        Ok(values.into_iter().filter_map(|value| value.or_else(|| loaded.next())).collect())
    }

    fn fetch_many(
        &self,
        keys: &[&K],
        mut work: impl FnMut(&[&K]) -> Result<Vec<V>, E>,
    ) -> Vec<Result<V, FlightError<E>>> {
        let mut fetched: Vec<Option<Result<V, FlightError<E>>>> = Vec::with_capacity(keys.len());
        let mut missing = Vec::new();
        for key in keys {
            let found = self.get(*key, false).map(Ok);
            let found = found.or_else(|| self.failure(*key).map(|error| Err(FlightError::Failed(error))));
            if found.is_none() {
                self.forget_overtaken(key);
                missing.push(*key);
            }
            fetched.push(found);
        }
        if missing.is_empty() {
            return fetched.into_iter().flatten().collect();
        }
        let flown = self.flights.try_run_many(&missing, |keys| self.lead_many(keys, &mut work));
        let mut landed = flown.into_iter().map(|flown| self.landed(flown));
        fetched.into_iter().filter_map(|found| found.or_else(|| landed.next())).collect()
    }
}

impl<K: Hash + Eq + Debug + Clone, V: Clone, S: BuildHasher> Cache<K, V, Infallible, S> {
    /// The values of many keys, in their order: `work` is run once for all that are neither in the cache nor being loaded;
    /// what others are loading is waited for, after that. Keys may be repeated.
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
    /// let values = cache.fetch_many(&[&1, &2, &3], |missing| missing.iter().map(|key| *key * 10).collect());
    /// assert_eq!(values, [10, 20, 30]);
    /// ```
    pub fn fetch_many(&self, keys: &[&K], mut work: impl FnMut(&[&K]) -> Vec<V>) -> Vec<V> {
        self.inner.fetch_many(keys, |keys| Ok(work(keys))).into_iter().map(infallible).collect()
    }
}

impl<K: Hash + Eq + Debug + Clone, V: Clone, E, S: BuildHasher> Cache<K, V, E, S> {
    /// [`fetch_many`](Cache::fetch_many) for work that may fail: an error counts for all keys of that call of `work`.
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
