//! Errors that are cached, behind the lock of their keys' shard.
//!
//! # State
//! `table` has the cached errors by hash. Each has its hash beside it, so that only `Eq` runs here
//! of a user's code. `order` is a FIFO queue of their keys; those of errors that have been removed
//! since stay in it as tombstones. All errors live equally long, so the front of the queue expires
//! first, and is evicted first.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::clock::Tick;

/// A key whose error is cached, or was.
#[derive(Debug)]
struct KeyHashExpiry<K> {
    hash: u64,
    key: K,
    expires: Tick,
}

/// The error of a key.
#[derive(Debug)]
struct CachedError<K, E> {
    key: KeyHashExpiry<K>,
    error: Arc<E>,
}

/// What was removed: a key and, unless it was a tombstone's, an error. To be dropped without the
/// lock.
#[derive(Debug)]
pub(crate) struct Gone<K, E> {
    _key: K,
    _error: Option<Arc<E>>,
}

/// The cached errors of a shard.
#[derive(Debug)]
pub(crate) struct NegativeCache<K, E> {
    table: HashTable<CachedError<K, E>>,
    order: VecDeque<KeyHashExpiry<K>>,
    max_len: usize,
}

impl<K, E> NegativeCache<K, E> {
    pub(crate) fn new(max_len: usize) -> NegativeCache<K, E> {
        NegativeCache { table: HashTable::new(), order: VecDeque::new(), max_len: max_len.max(1) }
    }

    /// The error of a key.
    pub(crate) fn get<Q>(&self, hash: u64, key: &Q, now: Tick) -> Option<&Arc<E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let cached = self.table.find(hash, |cached| cached.key.is_of(hash, key))?;
        (now < cached.key.expires).then_some(&cached.error)
    }

    /// Caches the error of a key, which is passed twice: for `table` and for `order`. What is
    /// removed for it goes to `gone`. If `Eq` panics, either `keys` has not been taken yet, or the
    /// error is cached (the panic came from dropping tombstones). Nothing is dropped here in either
    /// case.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        (keys, error): (&mut Option<[K; 2]>, Arc<E>),
        expires: Tick,
        gone: &mut Vec<Gone<K, E>>,
    ) where
        K: Eq,
    {
        let Some([key, _]) = keys.as_ref() else { return };
        gone.extend(self.remove(hash, key));
        if self.table.len() >= self.max_len {
            self.make_room(gone);
        }
        let Some([key, queued]) = keys.take() else { return };
        self.order.push_back(KeyHashExpiry { hash, key: queued, expires });
        self.table.insert_unique(
            hash,
            CachedError { key: KeyHashExpiry { hash, key, expires }, error },
            |cached| cached.key.hash,
        );
        if self.order.len() > 2 * self.table.len() + 16 {
            self.drop_tombstones(gone);
        }
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, gone: &mut Vec<Gone<K, E>>)
    where
        K: Eq,
    {
        while self.table.len() >= self.max_len && self.take_oldest(gone) {}
    }

    /// Takes the keys of errors that are not there any more out of `order`.
    fn drop_tombstones(&mut self, gone: &mut Vec<Gone<K, E>>)
    where
        K: Eq,
    {
        for _ in 0..self.order.len() {
            let Some(queued) = self.order.front() else { break };
            let found = self.table.find(queued.hash, |cached| cached.key.is_same_as(queued));
            let is_tombstone = found.is_none();
            let Some(queued) = self.order.pop_front() else { break };
            if is_tombstone {
                gone.push(queued.into());
            } else {
                self.order.push_back(queued);
            }
        }
    }

    /// Takes out the error of a key.
    #[inline]
    pub(crate) fn remove<Q>(&mut self, hash: u64, key: &Q) -> Option<Gone<K, E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.table.is_empty() {
            return None;
        }
        let entry = self.table.find_entry(hash, |cached| cached.key.is_of(hash, key)).ok()?;
        Some(entry.remove().0.into())
    }

    /// Takes out what has expired.
    pub(crate) fn purge(&mut self, now: Tick, gone: &mut Vec<Gone<K, E>>)
    where
        K: Eq,
    {
        let expired = |oldest: &KeyHashExpiry<K>| oldest.expires <= now;
        while self.order.front().is_some_and(expired) && self.take_oldest(gone) {}
    }

    /// Takes out everything.
    pub(crate) fn clear(&mut self, gone: &mut Vec<Gone<K, E>>) {
        gone.extend(self.order.drain(..).map(Gone::from));
        gone.extend(self.table.drain().map(Gone::from));
    }

    /// Removes the front of `order`, and its error if that is still there. False if `order` is
    /// empty.
    fn take_oldest(&mut self, gone: &mut Vec<Gone<K, E>>) -> bool
    where
        K: Eq,
    {
        let Some(oldest) = self.order.front() else { return false };
        let cached = self.table.find_entry(oldest.hash, |cached| cached.key.is_same_as(oldest));
        gone.extend(cached.ok().map(|entry| entry.remove().0.into()));
        gone.extend(self.order.pop_front().map(Gone::from));
        true
    }
}

impl<K> KeyHashExpiry<K> {
    fn is_of<Q>(&self, hash: u64, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.hash == hash && self.key.borrow() == key
    }

    fn is_same_as(&self, other: &KeyHashExpiry<K>) -> bool
    where
        K: Eq,
    {
        self.expires == other.expires && self.hash == other.hash && self.key == other.key
    }
}

impl<K, E> From<KeyHashExpiry<K>> for Gone<K, E> {
    fn from(queued: KeyHashExpiry<K>) -> Gone<K, E> {
        Gone { _key: queued.key, _error: None }
    }
}

impl<K, E> From<CachedError<K, E>> for Gone<K, E> {
    fn from(cached: CachedError<K, E>) -> Gone<K, E> {
        Gone { _key: cached.key.key, _error: Some(cached.error) }
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    type Numbers = NegativeCache<u64, u64>;

    fn insert(cached: &mut Numbers, key: u64, expires: u64, gone: &mut Vec<Gone<u64, u64>>) {
        cached.insert(
            key % 7,
            (&mut Some([key; 2]), Arc::new(key)),
            Tick::from_nanos(expires),
            gone,
        );
    }

    fn filled(max_len: usize, keys: std::ops::Range<u64>) -> (Numbers, Vec<Gone<u64, u64>>) {
        let (mut cached, mut gone) = (NegativeCache::new(max_len), Vec::new());
        keys.for_each(|key| insert(&mut cached, key, key + 100, &mut gone));
        (cached, gone)
    }

    /// The keys of those that had an error.
    fn keys(gone: &[Gone<u64, u64>]) -> Vec<u64> {
        gone.iter().filter(|gone| gone._error.is_some()).map(|gone| gone._key).collect()
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many() {
        let (cached, gone) = filled(10, 0..25);
        assert_eq!(keys(&gone), (0..15).collect::<Vec<_>>());
        for key in 0..25 {
            let found = cached.get(key % 7, &key, Tick::default()).map(|error| **error);
            assert_eq!(found, (key >= 15).then_some(key));
        }
    }

    #[test]
    fn what_has_expired_is_not_given_and_goes_when_it_is_purged() {
        let (mut cached, mut gone) = filled(100, 0..50);
        let now = Tick::from_nanos(120);
        assert!(cached.get(20 % 7, &20, now).is_none() && cached.get(21 % 7, &21, now).is_some());
        assert!(cached.remove(30 % 7, &30).is_some() && cached.remove(30 % 7, &30).is_none());
        cached.purge(now, &mut gone);
        assert_eq!((keys(&gone).len(), cached.table.len()), (21, 28));
        cached.clear(&mut gone);
        assert_eq!((keys(&gone).len(), cached.table.len(), cached.order.len()), (49, 0, 0));
    }

    #[test]
    fn a_key_that_fails_again_has_the_new_error() {
        let (mut cached, mut gone) = filled(2, 0..2);
        cached.insert(0, (&mut Some([0; 2]), Arc::new(77)), Tick::from_nanos(300), &mut gone);
        assert_eq!(cached.get(0, &0, Tick::from_nanos(200)).map(|error| **error), Some(77));
        cached.purge(Tick::from_nanos(200), &mut gone);
        assert_eq!((keys(&gone), cached.table.len()), (vec![0, 1], 1));
    }

    #[test]
    fn keys_that_come_and_go_leave_nothing_behind() {
        let (mut cached, mut gone) = filled(100, 0..0);
        for round in 0..10_000 {
            insert(&mut cached, 1, round, &mut gone);
            assert!(cached.remove(1, &1).is_some());
        }
        assert!(cached.order.len() < 100 && keys(&gone).is_empty());
    }
}
