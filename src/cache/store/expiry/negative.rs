//! Errors that are cached, behind the lock of their keys' shard.
//!
//! # State
//! `table` has the cached errors by hash. Each has its hash beside it, so that only `Eq` runs here
//! of a user's code. `order` is a FIFO queue of them, by number; those that have been removed since
//! stay in it as tombstones. All errors live equally long, so the front of the queue expires first,
//! and is evicted first.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::clock::Tick;

/// The error of a key.
#[derive(Debug)]
struct CachedError<K, E> {
    hash: u64,
    key: K,
    error: Arc<E>,
    expires: Tick,
    /// Unique among all errors that the shard ever cached.
    number: u64,
}

/// An error that is cached, or was.
#[derive(Clone, Copy, Debug)]
struct Queued {
    hash: u64,
    expires: Tick,
    number: u64,
}

/// What was removed; to be dropped without the lock.
#[derive(Debug)]
pub(crate) struct Gone<K, E> {
    _key: K,
    _error: Arc<E>,
}

/// The cached errors of a shard.
#[derive(Debug)]
pub(crate) struct NegativeCache<K, E> {
    table: HashTable<CachedError<K, E>>,
    order: VecDeque<Queued>,
    inserted: u64,
    max_len: usize,
}

impl<K, E> NegativeCache<K, E> {
    pub(crate) fn new(max_len: usize) -> NegativeCache<K, E> {
        NegativeCache {
            table: HashTable::new(),
            order: VecDeque::new(),
            inserted: 0,
            max_len: max_len.max(1),
        }
    }

    /// The error of a key.
    pub(crate) fn get<Q>(&self, hash: u64, key: &Q, now: Tick) -> Option<&Arc<E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let cached = self.table.find(hash, |cached| cached.is_of(hash, key))?;
        (now < cached.expires).then_some(&cached.error)
    }

    /// Caches the error of a key. What is removed for it goes to `gone`. If `Eq` panics, the key
    /// has not been taken yet.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        (key, error): (&mut Option<K>, Arc<E>),
        expires: Tick,
        gone: &mut Vec<Gone<K, E>>,
    ) where
        K: Eq,
    {
        gone.extend(key.as_ref().and_then(|key| self.remove(hash, key)));
        let Some(key) = key.take() else { return };
        while self.table.len() >= self.max_len && self.take_oldest(gone) {}
        let number = self.inserted;
        self.inserted += 1;
        self.order.push_back(Queued { hash, expires, number });
        let cached = CachedError { hash, key, error, expires, number };
        self.table.insert_unique(hash, cached, |cached| cached.hash);
        if self.order.len() > 2 * self.table.len() + 16 {
            let table = &self.table;
            self.order
                .retain(|queued| table.find(queued.hash, |c| c.number == queued.number).is_some());
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
        let entry = self.table.find_entry(hash, |cached| cached.is_of(hash, key)).ok()?;
        Some(entry.remove().0.into())
    }

    /// Takes out what has expired.
    pub(crate) fn purge(&mut self, now: Tick, gone: &mut Vec<Gone<K, E>>) {
        let expired = |oldest: &Queued| oldest.expires <= now;
        while self.order.front().is_some_and(expired) && self.take_oldest(gone) {}
    }

    /// Takes out everything.
    pub(crate) fn clear(&mut self, gone: &mut Vec<Gone<K, E>>) {
        self.order.clear();
        gone.extend(self.table.drain().map(Gone::from));
    }

    /// Removes the front of `order`, and its error if that is still there. False if `order` is
    /// empty.
    fn take_oldest(&mut self, gone: &mut Vec<Gone<K, E>>) -> bool {
        let Some(oldest) = self.order.pop_front() else { return false };
        let cached = self.table.find_entry(oldest.hash, |cached| cached.number == oldest.number);
        gone.extend(cached.ok().map(|entry| entry.remove().0.into()));
        true
    }
}

impl<K, E> CachedError<K, E> {
    fn is_of<Q>(&self, hash: u64, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.hash == hash && self.key.borrow() == key
    }
}

impl<K, E> From<CachedError<K, E>> for Gone<K, E> {
    fn from(cached: CachedError<K, E>) -> Gone<K, E> {
        Gone { _key: cached.key, _error: cached.error }
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    type Numbers = NegativeCache<u64, u64>;

    fn insert(cached: &mut Numbers, key: u64, expires: u64, gone: &mut Vec<Gone<u64, u64>>) {
        cached.insert(key % 7, (&mut Some(key), Arc::new(key)), Tick::from_nanos(expires), gone);
    }

    fn filled(max_len: usize, keys: std::ops::Range<u64>) -> (Numbers, Vec<Gone<u64, u64>>) {
        let (mut cached, mut gone) = (NegativeCache::new(max_len), Vec::new());
        keys.for_each(|key| insert(&mut cached, key, key + 100, &mut gone));
        (cached, gone)
    }

    fn keys(gone: &[Gone<u64, u64>]) -> Vec<u64> {
        gone.iter().map(|gone| gone._key).collect()
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
        cached.insert(0, (&mut Some(0), Arc::new(77)), Tick::from_nanos(300), &mut gone);
        assert_eq!(cached.get(0, &0, Tick::from_nanos(200)).map(|error| **error), Some(77));
        cached.purge(Tick::from_nanos(200), &mut gone);
        assert_eq!((keys(&gone), cached.table.len()), (vec![0, 1], 1));
    }

    /// While the clock goes on, and while it stands still.
    #[test]
    fn keys_that_come_and_go_leave_nothing_behind() {
        for step in [1, 0] {
            let (mut cached, mut gone) = filled(100, 0..0);
            for round in 0..10_000 {
                insert(&mut cached, 1, round * step, &mut gone);
                assert!(cached.remove(1, &1).is_some());
                insert(&mut cached, 1, round * step, &mut gone);
            }
            assert!(cached.order.len() < 100 && keys(&gone).len() < 10_000);
        }
    }
}
