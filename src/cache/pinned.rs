//! Reading under a guard.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;

use super::inner::Inner;
use super::reclaim::Guard;
use super::store::core::{Access, Core};
use super::store::table::Table;

/// A guard under which values are lent; see [`Cache::pin`](crate::Cache::pin).
///
/// It belongs to its thread. All reads through it are lock-free.
///
/// ```
/// let cache = docache::Cache::<u64, String>::new(100);
/// cache.insert(1, "one".to_owned());
/// let pinned = cache.pin();
/// let one = pinned.get(&1).unwrap();
/// cache.remove(&1);
/// assert_eq!(one, "one", "it stays for as long as the guard does");
/// ```
#[must_use = "a guard does nothing but hold values"]
pub struct Pinned<'c, K, V, E = Infallible, S = RandomState> {
    cache: &'c Inner<K, V, E, S>,
    guard: Guard,
}

impl<'c, K: Hash + Eq, V, E, S: BuildHasher> Pinned<'c, K, V, E, S> {
    pub(crate) fn new(cache: &'c Inner<K, V, E, S>, guard: Guard) -> Pinned<'c, K, V, E, S> {
        Pinned { cache, guard }
    }

    /// The key's value, if it is there and has not expired.
    ///
    /// ```
    /// let cache = docache::Cache::<String, u32>::new(100);
    /// cache.insert("key".to_owned(), 1);
    /// assert_eq!(cache.pin().get("key"), Some(&1));
    /// ```
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let core = &self.cache.core;
        let entry = core.read(&self.guard, (core.hash(key), key), Access::Get)?;
        // SAFETY: found in the table under the guard, so it stays filled (TAGGED).
        Some(unsafe { &entry.pair().1 })
    }

    /// Whether the key is there and has not expired. Does not count as a use.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// assert!(!cache.pin().contains_key(&1));
    /// ```
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let core = &self.cache.core;
        core.read(&self.guard, (core.hash(key), key), Access::Peek).is_some()
    }

    /// All that is in the cache and has not expired, shard by shard as each stands when the
    /// iterator gets there, in no order. What is written to a shard meanwhile it may see or not.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// cache.insert_many([(1, 10), (2, 20)]);
    /// assert_eq!(cache.pin().iter().map(|(key, _)| key).sum::<u64>(), 3);
    /// ```
    pub fn iter(&self) -> Iter<'_, K, V, E, S> {
        Iter {
            core: &self.cache.core,
            guard: &self.guard,
            shard: 0,
            table: None,
            bucket: 0,
            found: Vec::new(),
        }
    }

    /// Lets go of what was read so far, so that it can be dropped, and begins again. Costs less
    /// than another guard.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// let mut pinned = cache.pin();
    /// for key in 0..1_000 {
    ///     if key % 100 == 0 {
    ///         pinned.repin();
    ///     }
    ///     assert_eq!(pinned.get(&key), None);
    /// }
    /// ```
    #[inline]
    pub fn repin(&mut self) {
        self.guard.repin();
    }
}

impl<K, V, E, S> fmt::Debug for Pinned<'_, K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").field("core", &self.cache.core).finish_non_exhaustive()
    }
}

/// The entries of a cache; see [`Pinned::iter`].
///
/// ```
/// let cache = docache::Cache::<u64, u32>::new(100);
/// let pinned = cache.pin();
/// let mut entries: docache::Iter<'_, u64, u32> = pinned.iter();
/// assert!(entries.next().is_none());
/// ```
pub struct Iter<'p, K, V, E = Infallible, S = RandomState> {
    core: &'p Core<K, V, E, S>,
    guard: &'p Guard,
    /// The shard it is at.
    shard: usize,
    /// That shard's table, which is not replaced under the iterator's feet.
    table: Option<Table>,
    /// The next bucket of it.
    bucket: usize,
    /// What was found in the one before.
    found: Vec<u32>,
}

impl<'p, K, V, E, S> Iterator for Iter<'p, K, V, E, S> {
    type Item = (&'p K, &'p V);

    fn next(&mut self) -> Option<(&'p K, &'p V)> {
        loop {
            let shard = self.core.shards().get(self.shard)?;
            while let Some(index) = self.found.pop() {
                // SAFETY: found in the table under this guard (TAGGED).
                let entry = unsafe { shard.place(self.guard, index) };
                if self.core.expiry.is_live(entry) {
                    // SAFETY: as above.
                    let (key, value) = unsafe { entry.pair() };
                    return Some((key, value));
                }
            }
            let table = *self.table.get_or_insert_with(|| shard.table(self.guard));
            if self.bucket == table.buckets() {
                (self.table, self.bucket) = (None, 0);
                self.shard += 1;
                continue;
            }
            // SAFETY: one of its buckets; found under this guard, which keeps it.
            unsafe { table.each_in(self.bucket, |index| self.found.push(index)) };
            self.bucket += 1;
        }
    }
}

impl<K, V, E, S> fmt::Debug for Iter<'_, K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter")
            .field("shard", &self.shard)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}
