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

/// A cached error. In `order`, where it only serves to name one in `table`, `error` is `None`.
#[derive(Debug)]
pub(crate) struct Failure<K, E> {
    hash: u64,
    key: K,
    error: Option<Arc<E>>,
    expires: Tick,
}

/// The failures of a shard.
#[derive(Debug)]
pub(crate) struct Failures<K, E> {
    table: HashTable<Failure<K, E>>,
    order: VecDeque<Failure<K, E>>,
    max_len: usize,
}

impl<K, E> Failures<K, E> {
    pub(crate) fn new(max_len: usize) -> Failures<K, E> {
        Failures { table: HashTable::new(), order: VecDeque::new(), max_len: max_len.max(1) }
    }

    /// The error of a key.
    pub(crate) fn get<Q>(&self, hash: u64, key: &Q, now: Tick) -> Option<&Arc<E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let failure = self.table.find(hash, |failure| failure.is_of(hash, key))?;
        failure.error.as_ref().filter(|_| now < failure.expires)
    }

    /// Caches the error of a key, which is passed twice: for `table` and for `order`. What is
    /// removed for it goes to `gone`, to be dropped without the lock. If `Eq` panics, `keys` has
    /// not been taken yet, and nothing is dropped here.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        (keys, error): (&mut Option<[K; 2]>, Arc<E>),
        expires: Tick,
        gone: &mut Vec<Failure<K, E>>,
    ) where
        K: Eq,
    {
        let Some([key, _]) = keys.as_ref() else { return };
        if let Some(earlier) = self.remove(hash, key) {
            gone.push(earlier);
        }
        if self.table.len() >= self.max_len {
            self.make_room(gone);
        }
        let Some([key, queued]) = keys.take() else { return };
        self.order.push_back(Failure { hash, key: queued, error: None, expires });
        self.table.insert_unique(
            hash,
            Failure { hash, key, error: Some(error), expires },
            |failure| failure.hash,
        );
        if self.order.len() > 2 * self.table.len() + 16 {
            for _ in 0..self.order.len() {
                let Some(queued) = self.order.front() else { break };
                let named =
                    self.table.find(queued.hash, |failure| failure.is_named_by(queued)).is_some();
                let Some(queued) = self.order.pop_front() else { break };
                if named { self.order.push_back(queued) } else { gone.push(queued) }
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, gone: &mut Vec<Failure<K, E>>)
    where
        K: Eq,
    {
        while self.table.len() >= self.max_len && self.take_oldest(gone) {}
    }

    /// Takes out the error of a key.
    #[inline]
    pub(crate) fn remove<Q>(&mut self, hash: u64, key: &Q) -> Option<Failure<K, E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.table.is_empty() {
            return None;
        }
        let entry = self.table.find_entry(hash, |failure| failure.is_of(hash, key)).ok()?;
        Some(entry.remove().0)
    }

    /// Takes out what has expired.
    pub(crate) fn purge(&mut self, now: Tick, gone: &mut Vec<Failure<K, E>>)
    where
        K: Eq,
    {
        while self.order.front().is_some_and(|oldest| oldest.expires <= now)
            && self.take_oldest(gone)
        {}
    }

    /// Takes out everything.
    pub(crate) fn clear(&mut self, gone: &mut Vec<Failure<K, E>>) {
        gone.extend(self.order.drain(..));
        gone.extend(self.table.drain());
    }

    /// Removes the front of `order`, and its error if that is still there. False if `order` is
    /// empty.
    fn take_oldest(&mut self, gone: &mut Vec<Failure<K, E>>) -> bool
    where
        K: Eq,
    {
        let Some(oldest) = self.order.front() else { return false };
        let named = self.table.find_entry(oldest.hash, |failure| failure.is_named_by(oldest)).ok();
        gone.extend(named.map(|entry| entry.remove().0));
        gone.extend(self.order.pop_front());
        true
    }
}

impl<K, E> Failure<K, E> {
    fn is_of<Q>(&self, hash: u64, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.hash == hash && self.key.borrow() == key
    }

    fn is_named_by(&self, name: &Failure<K, E>) -> bool
    where
        K: Eq,
    {
        self.expires == name.expires && self.hash == name.hash && self.key == name.key
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    type Numbers = Failures<u64, u64>;

    fn insert(failures: &mut Numbers, key: u64, expires: u64, gone: &mut Vec<Failure<u64, u64>>) {
        failures.insert(
            key % 7,
            (&mut Some([key; 2]), Arc::new(key)),
            Tick::from_nanos(expires),
            gone,
        );
    }

    fn filled(max_len: usize, keys: std::ops::Range<u64>) -> (Numbers, Vec<Failure<u64, u64>>) {
        let (mut failures, mut gone) = (Failures::new(max_len), Vec::new());
        keys.for_each(|key| insert(&mut failures, key, key + 100, &mut gone));
        (failures, gone)
    }

    /// The keys of those that had an error.
    fn keys(gone: &[Failure<u64, u64>]) -> Vec<u64> {
        gone.iter().filter(|failure| failure.error.is_some()).map(|failure| failure.key).collect()
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many() {
        let (failures, gone) = filled(10, 0..25);
        assert_eq!(keys(&gone), (0..15).collect::<Vec<_>>());
        for key in 0..25 {
            let found = failures.get(key % 7, &key, Tick::default()).map(|error| **error);
            assert_eq!(found, (key >= 15).then_some(key));
        }
    }

    #[test]
    fn what_has_expired_is_not_given_and_goes_when_it_is_purged() {
        let (mut failures, mut gone) = filled(100, 0..50);
        let now = Tick::from_nanos(120);
        assert!(
            failures.get(20 % 7, &20, now).is_none() && failures.get(21 % 7, &21, now).is_some()
        );
        assert!(failures.remove(30 % 7, &30).is_some() && failures.remove(30 % 7, &30).is_none());
        failures.purge(now, &mut gone);
        assert_eq!((keys(&gone).len(), failures.table.len()), (21, 28));
        failures.clear(&mut gone);
        assert_eq!((keys(&gone).len(), failures.table.len(), failures.order.len()), (49, 0, 0));
    }

    #[test]
    fn a_key_that_fails_again_has_the_new_error() {
        let (mut failures, mut gone) = filled(2, 0..2);
        failures.insert(0, (&mut Some([0; 2]), Arc::new(77)), Tick::from_nanos(300), &mut gone);
        assert_eq!(failures.get(0, &0, Tick::from_nanos(200)).map(|error| **error), Some(77));
        failures.purge(Tick::from_nanos(200), &mut gone);
        assert_eq!((keys(&gone), failures.table.len()), (vec![0, 1], 1));
    }

    #[test]
    fn keys_that_come_and_go_leave_nothing_behind() {
        let (mut failures, mut gone) = filled(100, 0..0);
        for round in 0..10_000 {
            insert(&mut failures, 1, round, &mut gone);
            assert!(failures.remove(1, &1).is_some());
        }
        assert!(failures.order.len() < 100 && keys(&gone).is_empty());
    }
}
