//! Getting many keys at once.

use std::convert::Infallible;
use std::hash::{BuildHasher, Hash};

use super::options::{FetchOptions, Loaded, WaitLimit};
use crate::cache::handle::Cache;
use crate::context::Context;
use crate::flight::{FlightError, run_all, value_or_panic};

/// What is known of a key: its outcome, or that it is missing, and its hash.
type Looked<V, E> = Result<Result<V, FlightError<E>>, u64>;

impl<K, V, E, S, L, P> FetchOptions<'_, K, V, E, S, L, P>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
    L: Loaded<V>,
    P: WaitLimit,
{
    /// [`Cache::try_fetch_many`] with these options.
    ///
    /// # Errors
    /// For each key those of [`try_fetch`](FetchOptions::try_fetch).
    ///
    /// # Panics
    /// If `work` panics or returns another number of values.
    ///
    /// ```
    /// use std::time::Duration;
    /// let cache = docache::Cache::<u64, u64>::new(100);
    /// let short = cache.options().ttl(Duration::from_secs(5));
    /// let values = short.try_fetch_many(&[&1, &2], |_| Ok(vec![10, 20]));
    /// assert!(values.iter().all(|value| value.is_ok()));
    /// ```
    pub fn try_fetch_many(
        self,
        keys: &[&K],
        work: impl FnMut(&[&K]) -> Result<Vec<L>, E>,
    ) -> Vec<Result<V, FlightError<E>>> {
        let inner = &*self.cache.inner;
        let context = self.wait_limit.context();
        let mut looked: Vec<Looked<V, E>> = Vec::with_capacity(keys.len());
        looked.extend(keys.iter().map(|key| inner.get_or_hash(*key).map(Ok)));
        if let Some(error) = context.and_then(Context::error) {
            let left = |_| Err(FlightError::Left(error.clone()));
            return looked.into_iter().map(|looked| looked.unwrap_or_else(left)).collect();
        }
        let missing = keys.iter().zip(&looked);
        let missing = missing.filter_map(|(key, looked)| looked.as_ref().err().map(|h| (*h, *key)));
        let targets = missing.map(|(hash, key)| (inner.target::<L>(hash, self.ttl), key));
        let mut resolve =
            run_all(targets, context, work).into_iter().map(|result| inner.resolve(result));
        looked.into_iter().filter_map(|looked| looked.ok().or_else(|| resolve.next())).collect()
    }
}

impl<K, V, S, L> FetchOptions<'_, K, V, Infallible, S, L>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
    L: Loaded<V>,
{
    /// [`Cache::fetch_many`] with these options.
    ///
    /// # Panics
    /// As [`Cache::fetch_many`].
    ///
    /// ```
    /// use std::time::Duration;
    /// let cache = docache::Cache::<u64, u64>::new(100);
    /// let short = cache.options().ttl(Duration::from_secs(5));
    /// assert_eq!(short.fetch_many(&[&1, &2], |_| vec![10, 20]), [10, 20]);
    /// ```
    pub fn fetch_many(self, keys: &[&K], mut work: impl FnMut(&[&K]) -> Vec<L>) -> Vec<V> {
        self.try_fetch_many(keys, |keys| Ok(work(keys))).into_iter().map(value_or_panic).collect()
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Cache<K, V, Infallible, S> {
    /// The values of many keys, in their order: `work` is run once for all that are neither in the
    /// cache nor being loaded; what others are loading is waited for, after that. Keys may be
    /// repeated. Unlike [`get_many`](Cache::get_many) it takes references to whole keys.
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
    pub fn fetch_many(&self, keys: &[&K], work: impl FnMut(&[&K]) -> Vec<V>) -> Vec<V> {
        self.options().fetch_many(keys, work)
    }
}

impl<K: Hash + Eq + Clone, V: Clone, E, S: BuildHasher> Cache<K, V, E, S> {
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
        self.options().try_fetch_many(keys, work)
    }
}
