//! Refresh locks in memory.
//!
//! # State
//! A table of the locks that are held, in shards by hash, each behind a lock for a few
//! instructions. A lock is held by whoever's token it bears, beyond its time too, until another one
//! takes it.
//!
//! # Invariants
//! - WRITES: whoever writes or removes a value has the lock meanwhile, marked as `writing`, and
//!   then nobody takes it (user's code runs there, so it is no lock of ours that keeps others out).
//!   So writes and removals of a key do not overlap, and none comes after one of a later holder.
//! - SEIZED: whoever overwrites or removes a key takes its lock from whoever has it, waits for a
//!   write under way, and keeps the lock until the value has changed. So no load that began before
//!   it writes after it.
//! - REPEATED: who must not wait for a write under way, or not for so long, changes the value at
//!   once, and leaves the same change with the writer, who makes it again at his end.
//!
//! A lock whose time is over is its holder's until somebody else wants it, or until the table grows
//! and is swept.
//!
//! In the child of a fork nobody holds a lock: those who did are not there. A shard that another
//! thread was just changing is forgotten.

use std::fmt;
use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::clock::{Clock, SystemClock, Tick};
use crate::contain::contained;
use crate::echo::lock::{RefreshLock, Token};
use crate::lock::{Lock, LockGuard};
use crate::sync::fork::forks;
use crate::sync::thread;

const SHARDS: usize = 16;

/// As many locks as a shard has room for before it is swept, and as it keeps room for.
const ROOM: usize = 32;

/// A change that is made again (REPEATED).
pub(super) type Change = Box<dyn FnOnce() + Send>;

struct Held {
    hash: u64,
    key: Box<str>,
    token: Token,
    until: Tick,
    /// The thread that is just writing (WRITES).
    writing: Option<thread::Token>,
    repeat: Option<Change>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("key", &self.key).field("token", &self.token).finish()
    }
}

#[derive(Debug)]
struct Shard {
    held: HashTable<Held>,
    /// With so many it is swept.
    full: usize,
    /// The process whose threads hold them.
    forks: u32,
}

impl Shard {
    fn new() -> Shard {
        Shard { held: HashTable::new(), full: ROOM, forks: forks() }
    }

    /// Adds a lock; those whose time is over make room for it.
    fn insert(&mut self, held: Held, now: Option<Tick>) {
        if let Some(now) = now.filter(|_| self.held.len() >= self.full) {
            self.held.retain(|held| held.writing.is_some() || !now.is_past(held.until));
            self.full = (2 * self.held.len()).max(ROOM);
        }
        self.held.insert_unique(held.hash, held, |held| held.hash);
    }

    /// Gives back memory that is not needed any more.
    fn shrink(&mut self) {
        if self.held.capacity() > 4 * ROOM && self.held.len() < self.held.capacity() / 8 {
            self.full = (2 * self.held.len()).max(ROOM);
            self.held.shrink_to(self.full, |held| held.hash);
        }
    }

    fn find(&mut self, hash: u64, key: &str) -> Option<&mut Held> {
        self.held.find_mut(hash, |held| *held.key == *key)
    }

    fn take(&mut self, hash: u64, key: &str, which: impl Fn(&Held) -> bool) -> Option<Held> {
        let entry = self.held.find_entry(hash, |held| *held.key == *key && which(held)).ok()?;
        let taken = entry.remove().0;
        self.shrink();
        Some(taken)
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
            if held.token != token && (held.writing.is_some() || !now.is_past(held.until)) {
                return Err(held.token);
            }
            (held.token, held.until) = (token, until);
            return Ok(());
        }
        let held = Held { hash, key: new, token, until, writing: None, repeat: None };
        shard.insert(held, Some(now));
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
        let held = shard.take(hash, key, |held| held.token == token && held.writing.is_none());
        drop(shard);
        drop(held);
    }

    /// Takes the lock away, but from a holder who is just writing.
    pub(super) fn revoke(&self, key: &str) {
        let (hash, mut shard) = self.lock(key);
        let held = shard.take(hash, key, |held| held.writing.is_none());
        drop(shard);
        drop(held);
    }

    /// Begins a write of the holder, if the caller is that.
    pub(super) fn write<'l>(&'l self, key: &'l str, token: Token) -> Option<Writing<'l>> {
        let (hash, mut shard) = self.lock(key);
        let is_ours = |held: &&mut Held| held.token == token && held.writing.is_none();
        let held = shard.find(hash, key).filter(is_ours)?;
        held.writing = Some(thread::token());
        drop(shard);
        Some(Writing { locks: self, key, token, over: false })
    }

    /// Begins a change of somebody who need not be the holder (SEIZED). If the key is just being
    /// written, and will be for longer than the caller can wait, `change` is left with the writer.
    pub(super) fn seize<'l>(
        &'l self,
        key: &'l str,
        mut change: impl FnMut() -> Change,
    ) -> Option<Writing<'l>> {
        if let Ok(writing) = self.try_seize(key) {
            return Some(writing);
        }
        let start = SystemClock.now();
        loop {
            let writer = match self.try_seize(key) {
                Ok(writing) => return Some(writing),
                Err(writer) => writer,
            };
            // The writer that calls back in here waits in vain for itself.
            if writer == thread::token() || SystemClock.now().since(start) >= PATIENCE {
                if self.leave(key, change()) {
                    return None;
                }
            } else {
                std::thread::yield_now();
            }
        }
    }

    fn try_seize<'l>(&'l self, key: &'l str) -> Result<Writing<'l>, thread::Token> {
        let (token, writing) = (Token::NOBODYS, Some(thread::token()));
        let (hash, mut shard) = self.lock(key);
        match shard.find(hash, key) {
            Some(Held { writing: Some(writer), .. }) => return Err(*writer),
            Some(held) => (held.token, held.writing) = (token, writing),
            None => {
                let (key, until) = (key.into(), Tick::MAX);
                shard.insert(Held { hash, key, token, until, writing, repeat: None }, None);
            }
        }
        drop(shard);
        Ok(Writing { locks: self, key, token, over: false })
    }

    /// Leaves a change with whoever is just writing (REPEATED); false if nobody is.
    fn leave(&self, key: &str, change: Change) -> bool {
        let (hash, mut shard) = self.lock(key);
        let Some(held) = shard.find(hash, key).filter(|held| held.writing.is_some()) else {
            return false;
        };
        let before = held.repeat.replace(change);
        drop(shard);
        drop(before);
        true
    }

    /// How many are held.
    #[cfg(all(test, not(docache_loom)))]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock_marked().0.held.len()).sum()
    }
}

/// A write or a removal under way. Its end gives the lock back.
pub(super) struct Writing<'l> {
    locks: &'l LockTable,
    key: &'l str,
    token: Token,
    over: bool,
}

impl Writing<'_> {
    fn finish(&mut self) -> bool {
        let mut is_repeated = false;
        while !std::mem::replace(&mut self.over, true) {
            let (hash, mut shard) = self.locks.lock(self.key);
            let held = shard.find(hash, self.key).filter(|held| held.token == self.token);
            if let Some(change) = held.and_then(|held| held.repeat.take()) {
                drop(shard);
                let _ = contained(change);
                (is_repeated, self.over) = (true, false);
                continue;
            }
            let held = shard.take(hash, self.key, |held| held.token == self.token);
            drop(shard);
            drop(held);
        }
        is_repeated
    }

    /// Ends the write. Whether somebody else has changed the value meanwhile (REPEATED).
    pub(super) fn end(mut self) -> bool {
        self.finish()
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// How long whoever overwrites or removes a key waits for somebody who is just writing it.
const PATIENCE: Duration = Duration::from_millis(50);

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
        locks.revoke("key");
        let changes = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let change = || -> Change {
                let changes = changes.clone();
                Box::new(move || {
                    changes.fetch_add(1, Ordering::Relaxed);
                })
            };
            assert!(locks.seize("key", change).is_none(), "this thread is writing it");
        }
        assert!(writing.end(), "somebody else has changed it");
        assert_eq!((changes.load(Ordering::Relaxed), locks.len()), (1, 0), "the last counts");
    }

    #[test]
    fn a_lock_that_is_seized_is_nobodys_until_the_change_is_made() {
        let locks = LockTable::new();
        let (ours, theirs) = (RefreshLock::new(TTL), RefreshLock::new(TTL));
        locks.acquire("key", &ours, Tick::default()).unwrap();
        let seized = locks.seize("key", || unreachable!()).unwrap();
        assert!(locks.write("key", ours.token()).is_none());
        assert!(locks.acquire("key", &theirs, Tick::default()).is_err());
        locks.release("key", ours.token());
        assert!(!seized.end() && locks.len() == 0);
        assert!(locks.acquire("key", &theirs, Tick::default()).is_ok());
    }

    #[test]
    fn a_table_has_no_locks_of_the_dead_and_no_room_for_them() {
        const DEAD: usize = 20_000;
        let locks = LockTable::new();
        let acquire = |at: usize, now| {
            let lock = RefreshLock::new(TTL);
            locks.acquire(&at.to_string(), &lock, now).unwrap();
            lock.token()
        };
        for at in 0..DEAD {
            acquire(at, Tick::default());
        }
        assert_eq!(locks.len(), DEAD);
        let over = Tick::default().after(TTL);
        let alive: Vec<_> = (DEAD..2 * DEAD).map(|at| (at, acquire(at, over))).collect();
        assert!(locks.len() < DEAD + DEAD / 4, "{} are left", locks.len());
        alive.into_iter().for_each(|(at, token)| locks.release(&at.to_string(), token));
        (0..DEAD).for_each(|at| locks.revoke(&at.to_string()));
        assert_eq!(locks.len(), 0);
        let rooms: Vec<_> =
            locks.shards.iter().map(|shard| shard.lock_marked().0.held.capacity()).collect();
        assert!(rooms.iter().all(|room| *room <= 8 * ROOM), "{rooms:?}");
    }
}
