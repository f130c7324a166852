//! Refresh locks in memory.
//!
//! # State
//! A table of the locks that are held, in shards by hash, each behind a lock for a few
//! instructions. A lock is held by whoever's token it bears, beyond its time too, until another one
//! takes it.
//!
//! # Invariants
//! - WRITES: while its holder writes the value (which runs destructors, and so is done under no
//!   lock of ours) a refresh lock is taken by nobody. So writes of a key by holders do not overlap,
//!   and none comes after one of a later holder.
//! - REVOKED: whoever overwrites or removes a key takes its lock away before. If its holder is just
//!   writing, that is noted, and the holder takes out again what he wrote.
//!
//! In the child of a fork nobody holds a lock: those who did are not there. A shard that another
//! thread was just changing is forgotten.

use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::clock::Tick;
use crate::echo::lock::{RefreshLock, Token};
use crate::lock::{Lock, LockGuard};
use crate::sync::fork::forks;

const SHARDS: usize = 16;

#[derive(Debug)]
struct Held {
    hash: u64,
    key: Box<str>,
    token: Token,
    until: Tick,
    /// WRITES
    writing: bool,
    revoked: bool,
}

#[derive(Debug)]
struct Shard {
    held: HashTable<Held>,
    /// The process whose threads hold them.
    forks: u32,
}

impl Shard {
    fn new() -> Shard {
        Shard { held: HashTable::new(), forks: forks() }
    }

    fn find(&mut self, hash: u64, key: &str) -> Option<&mut Held> {
        self.held.find_mut(hash, |held| *held.key == *key)
    }

    fn take(&mut self, hash: u64, key: &str, which: impl Fn(&Held) -> bool) -> Option<Held> {
        let entry = self.held.find_entry(hash, |held| *held.key == *key && which(held)).ok()?;
        Some(entry.remove().0)
    }
}

/// The locks of one store.
#[derive(Debug)]
pub(super) struct LockTable {
    shards: [Lock<Shard>; SHARDS],
    hasher: RandomState,
}

impl LockTable {
    pub(super) fn new() -> LockTable {
        LockTable {
            shards: std::array::from_fn(|_| Lock::new(Shard::new())),
            hasher: RandomState::default(),
        }
    }

    fn lock(&self, key: &str) -> (u64, LockGuard<'_, Shard>) {
        let hash = self.hasher.hash_one(key);
        let (mut shard, torn) = self.shards[(hash >> 48) as usize % SHARDS].lock_marked();
        if torn || shard.forks != forks() {
            std::mem::forget(std::mem::replace(&mut *shard, Shard::new()));
        }
        (hash, shard)
    }

    /// Takes the lock if nobody has it, its time is over, or the caller has it; else says who has
    /// it.
    pub(super) fn acquire(&self, key: &str, lock: &RefreshLock, now: Tick) -> Result<(), Token> {
        let new: Box<str> = key.into();
        let (hash, mut shard) = self.lock(key);
        let (token, until) = (lock.token(), now.deadline(lock.ttl()));
        if let Some(held) = shard.find(hash, key) {
            if held.token != token && (held.writing || !now.is_past(held.until)) {
                return Err(held.token);
            }
            (held.token, held.until) = (token, until);
            return Ok(());
        }
        let held = Held { hash, key: new, token, until, writing: false, revoked: false };
        shard.held.insert_unique(hash, held, |held| held.hash);
        Ok(())
    }

    /// Whether the lock was the caller's, who has it for another while.
    pub(super) fn renew(&self, key: &str, lock: &RefreshLock, now: Tick) -> bool {
        let (hash, mut shard) = self.lock(key);
        match shard.find(hash, key).filter(|held| held.token == lock.token()) {
            Some(held) => {
                held.until = now.deadline(lock.ttl());
                true
            }
            None => false,
        }
    }

    /// Gives the lock back, if it is the caller's.
    pub(super) fn release(&self, key: &str, token: Token) {
        let (hash, mut shard) = self.lock(key);
        let held = shard.take(hash, key, |held| held.token == token && !held.writing);
        drop(shard);
        drop(held);
    }

    /// Takes the lock away. Whether its holder is just writing.
    pub(super) fn revoke(&self, key: &str) -> bool {
        let (hash, mut shard) = self.lock(key);
        if let Some(held) = shard.find(hash, key).filter(|held| held.writing) {
            held.revoked = true;
            return true;
        }
        let held = shard.take(hash, key, |_| true);
        drop(shard);
        drop(held);
        false
    }

    /// Whether a holder is just writing.
    pub(super) fn is_written(&self, key: &str) -> bool {
        let (hash, mut shard) = self.lock(key);
        shard.find(hash, key).is_some_and(|held| held.writing)
    }

    /// Begins a write of the holder, if the caller is that.
    pub(super) fn write<'l>(&'l self, key: &'l str, token: Token) -> Option<Writing<'l>> {
        let (hash, mut shard) = self.lock(key);
        let held = shard.find(hash, key).filter(|held| held.token == token && !held.writing)?;
        held.writing = true;
        drop(shard);
        Some(Writing { locks: self, key, token, over: false })
    }

    /// How many are held.
    #[cfg(all(test, not(docache_loom)))]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock_marked().0.held.len()).sum()
    }
}

/// A holder's write under way. Its end gives the lock back.
pub(super) struct Writing<'l> {
    locks: &'l LockTable,
    key: &'l str,
    token: Token,
    over: bool,
}

impl Writing<'_> {
    fn finish(&mut self) -> bool {
        if std::mem::replace(&mut self.over, true) {
            return false;
        }
        let (hash, mut shard) = self.locks.lock(self.key);
        let held = shard.take(hash, self.key, |held| held.token == self.token);
        drop(shard);
        held.is_some_and(|held| held.revoked)
    }

    /// Ends the write. Whether the lock was taken away meanwhile (REVOKED).
    pub(super) fn end(mut self) -> bool {
        self.finish()
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// How long whoever overwrites or removes a key waits for a holder who is just writing it.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    #[test]
    fn a_lock_is_one_holders_until_its_time_is_over() {
        let locks = LockTable::new();
        let (ours, theirs) = (RefreshLock::new(TTL), RefreshLock::new(TTL));
        let (start, over) = (Tick::default(), Tick::default().after(TTL));
        let acquire = |lock, now| locks.acquire("key", lock, now);
        assert!(acquire(&ours, start).is_ok() && acquire(&ours, start).is_ok());
        assert_eq!(acquire(&theirs, start), Err(ours.token()));
        locks.release("key", theirs.token());
        assert!(!locks.renew("key", &theirs, start) && locks.renew("key", &ours, start));
        assert!(acquire(&theirs, over).is_ok(), "it has not been renewed");
        assert!(!locks.renew("key", &ours, over) && locks.write("key", ours.token()).is_none());
        locks.release("key", theirs.token());
        assert_eq!(locks.len(), 0);
    }

    #[test]
    fn a_lock_whose_holder_writes_is_taken_by_nobody() {
        let locks = LockTable::new();
        let (ours, theirs) = (RefreshLock::new(TTL), RefreshLock::new(TTL));
        locks.acquire("key", &ours, Tick::default()).unwrap();
        let writing = locks.write("key", ours.token()).unwrap();
        assert!(locks.acquire("key", &theirs, Tick::default().after(2 * TTL)).is_err());
        assert!(locks.revoke("key") && locks.is_written("key"));
        assert!(writing.end(), "what was written is to be taken out again");
        assert!(!locks.revoke("key") && locks.len() == 0);
    }
}
