//! The cache itself.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::inner::Inner;
use super::pinned::Pinned;
use super::reclaim::pin;
use super::stats::CacheStats;
use super::store::core::Access;
use super::store::locked::Refused;
use crate::error::{Error, ErrorKind, Result};

/// A keyed cache with expiry, whose reads never wait, and whose [`fetch`](Cache::fetch) runs the
/// work once however many ask.
///
/// A `Cache` is a handle: its clones are the same cache. `V` is cloned for each read, so a large
/// value is best an [`Arc`]; [`pin`](Cache::pin) lends values without cloning. `E` is the error of
/// the work that [`try_fetch`](Cache::try_fetch) runs.
///
/// # Reads
/// A read is lock-free: it takes a guard (a plain store), looks at one bucket and one entry, and
/// never waits for a writer or for another reader. (With
/// [`EvictionPolicy::Lru`](crate::EvictionPolicy::Lru) a hit also takes its shard's lock.) It
/// sees everything that was written before it began, and never a value that is expired, replaced or
/// removed by then.
///
/// # Writes
/// A write takes the lock of one of the shards for some ten to hundred nanoseconds; `K`'s `Eq` runs
/// under it, and its `Hash` where entries are moved or evicted; they must not use the cache. What
/// was written is there when the call returns. A write does not wait for readers, with one
/// exception: in a cache with weights, where values that readers still hold would bring memory
/// above twice the limit, a write gives them up to 10 ms, and no more until other readers come. A
/// shard that grows copies its table under that lock, which takes time in proportion to its
/// entries, and which readers do not notice. (An entry whose `Hash` panics then is taken out. As
/// with a [`HashMap`](std::collections::HashMap), it is a logic error if a key's `Hash` or `Eq` is
/// not always the same. Memory stays safe, but such a key may hide itself and other keys until
/// their shard's table is rebuilt: what is hidden is not found, replaced or removed, and may come
/// back.)
///
/// # Capacity
/// A bounded cache never holds more than its capacity, not even for a moment. The capacity is split
/// evenly over the shards, each of which evicts when its own part is full; since hashes do not
/// spread quite evenly the first evictions come a little before the whole is full (at about 92 %
/// with 64 shards of 1,000). A shard can have 2^30 entries, those included that have left and that
/// readers still hold; what comes then is [refused](crate::Cause::Refused).
///
/// # When values are dropped
/// A value that was removed, replaced or evicted may still be looked at. It is dropped when no
/// reader can see it any more, by a later write to its shard, by [`flush`](Cache::flush) or in the
/// background, within a second: never by a reader, and never while a lock is held. For as long as a
/// guard is held anywhere in the process ([`pin`](Cache::pin), or a read whose thread is suspended,
/// or whose value's `Clone` takes long) what leaves meanwhile is kept, in all caches:
/// [`retired`](crate::CacheStats::retired) says how much. Without guards, a cache whose entries
/// have weights holds at most twice its greatest weight, beside what its listener is being shown,
/// what writes from inside destructors and listeners put there, and one value for each thread that
/// is writing.
///
/// # Listeners and destructors
/// They run on the thread of the call that took the entry out, after it has taken effect, and may
/// use the cache. What leaves by such a use, inside a listener or a destructor, is told to the
/// listener and dropped later and by other threads, so that the stack does not grow with the number
/// of entries. A listener or destructor that blocks holds up the call that it runs in, and what its
/// own cache does in the background; one that panics is contained.
///
/// ```
/// use docache::Cache;
/// let cache = Cache::<String, usize>::new(1_000);
/// assert_eq!(cache.fetch("docache", || "docache".len()), 7);
/// assert_eq!(cache.get("docache"), Some(7));
/// ```
pub struct Cache<K, V, E = Infallible, S = RandomState> {
    pub(crate) inner: Arc<Inner<K, V, E, S>>,
}

impl<K, V, E, S> Clone for Cache<K, V, E, S> {
    fn clone(&self) -> Self {
        Cache { inner: self.inner.clone() }
    }
}

impl<K: Hash + Eq, V: Clone, E, S: BuildHasher> Cache<K, V, E, S> {
    /// A clone of the key's value, if it is there and has not expired. Lock-free.
    ///
    /// ```
    /// let cache = docache::Cache::<String, u32>::new(100);
    /// assert_eq!(cache.get("key"), None);
    /// cache.insert("key".to_owned(), 1);
    /// assert_eq!(cache.get("key"), Some(1));
    /// ```
    #[doc(alias = "get_if_present")]
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner.get(self.inner.core.hash(key), key)
    }

    /// What `read` makes of the key's value, if that is there and has not expired.
    #[cfg(all(feature = "capi", not(docache_loom)))]
    #[inline(always)]
    pub(crate) fn with<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner.read(self.inner.core.hash(key), key, read)
    }

    /// [`get`](Cache::get) for each of the keys, in their order. Lock-free.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// cache.insert(2, 20);
    /// assert_eq!(cache.get_many(&[&1, &2]), [None, Some(20)]);
    /// ```
    pub fn get_many<Q>(&self, keys: &[&Q]) -> Vec<Option<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        keys.iter().map(|key| self.get(*key)).collect()
    }

    /// Takes the key out. A clone of its value, if it was there and had not expired.
    ///
    /// Invalidates loads of the key that are under way: their callers get what they load, the cache
    /// does not keep it, and a call that comes later gets another load. O(1), under a short lock.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// cache.insert(1, 10);
    /// assert_eq!(cache.remove(&1), Some(10));
    /// assert_eq!(cache.remove(&1), None);
    /// ```
    #[doc(alias = "invalidate")]
    #[doc(alias = "delete")]
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner.core.remove(key, V::clone)
    }

    /// Clones of all that is in the cache and has not expired, shard by shard as each stands when
    /// the iterator gets there. It holds no lock; what is written to a shard meanwhile it may see
    /// or not.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// cache.insert_many([(1, 10), (2, 20)]);
    /// assert_eq!(cache.iter().map(|(key, value)| key + u64::from(value)).sum::<u64>(), 33);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (K, V)>
    where
        K: Clone,
    {
        let clone = |(key, value): (&K, &V)| (key.clone(), value.clone());
        self.pin().iter().map(clone).collect::<Vec<_>>().into_iter()
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Cache<K, V, E, S> {
    /// A guard under which values can be read without being cloned. Reads under it cost a little
    /// less.
    ///
    /// While there is a guard, values that are replaced or removed are kept; see
    /// [above](Cache#when-values-are-dropped). So let it go, or [`repin`](Pinned::repin) it, from
    /// time to time.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, String>::new(100);
    /// cache.insert(1, "one".to_owned());
    /// let pinned = cache.pin();
    /// let one: Option<&String> = pinned.get(&1);
    /// assert_eq!(one.unwrap(), "one");
    /// ```
    #[inline]
    pub fn pin(&self) -> Pinned<'_, K, V, E, S> {
        Pinned::new(&self.inner, pin())
    }

    /// Whether the key is there and has not expired. Does not count as a use; there is no call that
    /// reads a value without that. Lock-free.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// assert!(!cache.contains_key(&1));
    /// ```
    #[doc(alias = "peek")]
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let core = &self.inner.core;
        core.read(&pin(), (core.hash(key), key), Access::Peek).is_some()
    }

    /// Puts a value in, for the cache's time to live. An earlier value of the key is replaced, and
    /// loads of the key that are under way are [invalidated](Cache::remove).
    ///
    /// O(1), amortized, under a short lock. A value that is heavier than a shard's share of
    /// [`max_weight`](crate::CacheBuilder::max_weight) is refused and dropped, the earlier one of
    /// its key with it; [`try_insert`](Cache::try_insert) says so.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// cache.insert(1, 10);
    /// cache.insert(1, 11);
    /// assert_eq!(cache.get(&1), Some(11));
    /// ```
    #[doc(alias = "set")]
    #[doc(alias = "put")]
    #[inline]
    pub fn insert(&self, key: K, value: V) {
        let _ = self.inner.core.put(key, value, None);
    }

    /// [`insert`](Cache::insert) with a time to live of its own; [`Duration::MAX`] is for ever.
    ///
    /// Deadlines are kept in units of 4,096 ns, rounded down.
    ///
    /// ```
    /// use std::time::Duration;
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// cache.insert_with_ttl(1, 10, Duration::from_secs(3600));
    /// cache.insert_with_ttl(2, 20, Duration::ZERO);
    /// assert_eq!((cache.get(&1), cache.get(&2)), (Some(10), None));
    /// ```
    pub fn insert_with_ttl(&self, key: K, value: V, ttl: Duration) {
        let _ = self.inner.core.put(key, value, Some(ttl));
    }

    /// [`insert`](Cache::insert), but says when a value was refused.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the value is heavier than a
    /// shard's share of the greatest weight.
    ///
    /// ```
    /// use docache::Cache;
    /// let cache: Cache<u64, String> = Cache::builder()
    ///     .weigher(|_, value: &String| value.len() as u32)
    ///     .max_weight(10)
    ///     .shards(1)
    ///     .build()?;
    /// let error = cache.try_insert(1, "more than ten bytes".to_owned()).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "weight: 19 is not accepted; give at most 10, a shard's share of max_weight"
    /// );
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn try_insert(&self, key: K, value: V) -> Result<()> {
        self.try_put(key, value, None)
    }

    /// [`try_insert`](Cache::try_insert), perhaps with a time to live of its own.
    pub(crate) fn try_put(&self, key: K, value: V, ttl: Option<Duration>) -> Result<()> {
        self.inner.core.put(key, value, ttl).map_err(refusal)
    }

    /// [`insert`](Cache::insert) for each of the pairs, in their order: of several with one key the
    /// last stays.
    ///
    /// No more pairs than there are [shards](crate::CacheBuilder::shards), by the iterator's
    /// [`size_hint`](Iterator::size_hint), are put in one by one. More cost less than as many
    /// calls, since a shard's lock is taken for up to 6 pairs at a time; other writers wait no
    /// longer than for 6 insertions. To that end pairs are taken from the iterator up to 1,024 at a
    /// time (fewer if those are more than 256 KiB), with no lock held, and then put in shard by
    /// shard. So while the call is under way others may see a later pair and not yet an earlier one
    /// of another key, and may not see yet what a slow iterator has given; if that waits for more
    /// to come, call [`insert`](Cache::insert) for each instead. The listener is told of what
    /// leaves in the order in which the pairs are put in.
    ///
    /// O(pairs), amortized; allocates a buffer for as many as are taken at a time, with 40 bytes
    /// besides each.
    ///
    /// # Panics
    /// If the iterator, the weigher or a key's `Hash` panics: the pairs before are in. If a key's
    /// `Eq` or the clock panics: some are in. All others are dropped.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// cache.insert_many((1..=3).map(|key| (key, 0)));
    /// cache.insert_many([(3, 1), (3, 2)]);
    /// assert_eq!((cache.len(), cache.get(&3)), (3, Some(2)));
    /// ```
    #[doc(alias = "extend")]
    pub fn insert_many(&self, pairs: impl IntoIterator<Item = (K, V)>) {
        let _ = self.inner.core.put_many(pairs.into_iter(), None);
    }

    /// [`insert_many`](Cache::insert_many), perhaps with a time to live of its own. The error is
    /// that of the first pair that was refused, with its number.
    #[cfg(all(feature = "capi", not(docache_loom)))]
    pub(crate) fn try_put_many(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
        ttl: Option<Duration>,
    ) -> std::result::Result<(), (usize, Error)> {
        let refused = self.inner.core.put_many(pairs.into_iter(), ttl);
        refused.map_or(Ok(()), |(at, why)| Err((at, refusal(why))))
    }

    /// Takes the keys out, and says how many of them were there and had not expired. Invalidates
    /// their loads, as [`remove`](Cache::remove).
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// cache.insert(1, 10);
    /// assert_eq!(cache.remove_many(&[&1, &2]), 1);
    /// ```
    pub fn remove_many<Q>(&self, keys: &[&Q]) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        keys.iter().filter(|key| self.inner.core.remove(**key, |_| ()).is_some()).count()
    }

    /// Takes everything out, shard by shard, and invalidates all loads that are under way.
    /// O(entries).
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// cache.insert(1, 10);
    /// cache.clear();
    /// assert!(cache.is_empty());
    /// ```
    #[doc(alias = "invalidate_all")]
    pub fn clear(&self) {
        self.inner.core.clear();
    }

    /// Takes out every entry for which `keep` is false, and says how many were removed.
    ///
    /// Keys that are only being loaded are not shown, and what they load is kept: against loads
    /// there are [`remove`](Cache::remove) and [`clear`](Cache::clear).
    ///
    /// `keep` is shown each entry that has not expired, shard by shard, in no order, with no lock
    /// held; it may use the cache. What is written meanwhile it may see or not; what was replaced
    /// after it was shown stays. If many entries are inserted or removed meanwhile, so that a table
    /// is replaced, it is shown some entries again. It runs under a guard, as if
    /// [pinned](Cache::pin): while it blocks, what leaves is kept, in all caches. O(entries).
    ///
    /// # Panics
    /// If `keep` panics: what it had refused by then is out, or some of it.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// cache.insert_many([(1, 10), (2, 20), (3, 30)]);
    /// assert_eq!(cache.retain(|_, value| *value > 10), 1);
    /// assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(20)));
    /// ```
    #[doc(alias = "invalidate_entries_if")]
    #[doc(alias = "remove_if")]
    pub fn retain(&self, keep: impl FnMut(&K, &V) -> bool) -> usize {
        self.inner.core.retain(keep)
    }

    /// Takes out what has expired, as the sweep does from time to time, and says how much that was.
    /// O(entries); gives each shard's lock back now and then.
    ///
    /// ```
    /// use std::time::Duration;
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// cache.insert_with_ttl(1, 10, Duration::ZERO);
    /// assert_eq!((cache.len(), cache.purge_expired(), cache.len()), (1, 1, 0));
    /// ```
    pub fn purge_expired(&self) -> usize {
        self.inner.core.purge_expired()
    }

    /// Drops all values that were taken out and that no reader can see any more. False if some are
    /// left: readers hold them, or other calls are at dropping them or at telling the listener.
    /// Inside a listener or a destructor it runs neither, and leaves what they would see.
    ///
    /// Blocks for short locks, and gives reads that are about to end a moment to do so.
    ///
    /// ```
    /// use std::sync::Arc;
    /// let cache = docache::Cache::<u64, Arc<str>>::new(100);
    /// let value: Arc<str> = "value".into();
    /// cache.insert(1, value.clone());
    /// cache.remove(&1);
    /// while !cache.flush() {}
    /// assert_eq!(Arc::strong_count(&value), 1);
    /// ```
    #[doc(alias = "run_pending_tasks")]
    pub fn flush(&self) -> bool {
        self.inner.core.flush()
    }

    /// How many entries there are, those included that have expired and were not yet swept.
    /// O(shards), under a short lock each.
    ///
    /// ```
    /// assert_eq!(docache::Cache::<u64, u32>::new(100).len(), 0);
    /// ```
    #[doc(alias = "entry_count")]
    pub fn len(&self) -> usize {
        self.inner.core.len()
    }

    /// Whether there is no entry; as [`len`](Cache::len).
    ///
    /// ```
    /// assert!(docache::Cache::<u64, u32>::new(100).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight of all entries; without a weigher, their number. As [`len`](Cache::len).
    ///
    /// ```
    /// assert_eq!(docache::Cache::<u64, u32>::new(100).weight(), 0);
    /// ```
    #[doc(alias = "weighted_size")]
    pub fn weight(&self) -> u64 {
        self.inner.core.weight()
    }

    /// The most that it holds, in entries, or in weight if there is a weigher; `None` if there is
    /// no limit.
    ///
    /// ```
    /// assert_eq!(docache::Cache::<u64, u32>::new(100).capacity(), Some(100));
    /// ```
    pub fn capacity(&self) -> Option<u64> {
        self.inner.core.settings.capacity
    }

    /// The counters. O(shards), under a short lock each.
    ///
    /// ```
    /// let cache = docache::Cache::<u64, u32>::new(100);
    /// cache.fetch(&1, || 10);
    /// assert_eq!(cache.stats().loads, 1);
    /// ```
    pub fn stats(&self) -> CacheStats {
        let mut stats = CacheStats::default();
        self.inner.core.add_to(&mut stats);
        stats.coalesced = self.inner.coalesced.load(Ordering::Relaxed);
        stats
    }
}

impl<K, V, E, S> fmt::Debug for Cache<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("core", &self.inner.core).finish_non_exhaustive()
    }
}

/// What is said of a value that was refused.
#[cold]
fn refusal(refused: Refused) -> Error {
    match refused {
        Refused::TooHeavy { weight, max_weight } => {
            let accepted = format!("give at most {max_weight}, a shard's share of max_weight");
            Error::invalid_argument("weight", weight, &accepted)
        }
        Refused::Full => Error::new(
            ErrorKind::Busy,
            "a shard of the cache has 2^30 entries; give it more shards",
        ),
    }
}
