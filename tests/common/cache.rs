//! Values to test caches with: they count how often they are made and dropped, and know whether
//! they still live.

use docache::Cache;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use super::flight::until;

/// What is held up by a reader on any thread is held up in every cache. So tests that count what is
/// there go one at a time.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

const ALIVE: u64 = 0x600d_f00d_600d_f00d;
const DEAD: u64 = 0xdead_beef_dead_beef;

/// What became of the values of one test.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    made: AtomicU64,
    dropped: AtomicU64,
    /// Values that were dropped again.
    twice: AtomicU64,
}

impl Tally {
    /// It outlives each value, those too that live longer than they should.
    pub(crate) fn new() -> &'static Tally {
        Box::leak(Box::default())
    }

    pub(crate) fn value(&'static self, of: u64) -> Counted {
        self.made.fetch_add(1, Ordering::Relaxed);
        Counted { canary: AtomicU64::new(ALIVE), of, tally: self }
    }

    /// How many there are now.
    pub(crate) fn alive(&self) -> u64 {
        assert_eq!(self.twice.load(Ordering::SeqCst), 0, "a value was dropped twice");
        let dropped = self.dropped.load(Ordering::SeqCst);
        self.made.load(Ordering::SeqCst) - dropped
    }
}

/// A value, of a key.
#[derive(Debug)]
pub(crate) struct Counted {
    canary: AtomicU64,
    of: u64,
    tally: &'static Tally,
}

impl Counted {
    /// The key that it was made for. Panics if the value was dropped.
    pub(crate) fn of(&self) -> u64 {
        assert_eq!(self.canary.load(Ordering::Relaxed), ALIVE, "a value was seen after its drop");
        self.of
    }
}

impl Clone for Counted {
    fn clone(&self) -> Counted {
        self.tally.value(self.of())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let twice = self.canary.swap(DEAD, Ordering::Relaxed) != ALIVE;
        let count = if twice { &self.tally.twice } else { &self.tally.dropped };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Waits until everything is dropped that was retired: readers on other threads that are in the
/// midst of a call hold it.
pub(crate) fn settle<K: Hash + Eq, V, E, S: BuildHasher>(cache: &Cache<K, V, E, S>) {
    until(|| cache.flush());
    assert_eq!(cache.stats().retired, 0);
}

/// Has another thread hold a guard until the result is dropped or told.
pub(crate) fn hold<'scope, K, V, E, S>(
    scope: &'scope Scope<'scope, '_>,
    cache: &'scope Cache<K, V, E, S>,
) -> Sender<()>
where
    K: Hash + Eq + Send + Sync,
    V: Send + Sync,
    E: Send + Sync,
    S: BuildHasher + Send + Sync,
{
    let (leave, left) = mpsc::channel();
    let (enter, entered) = mpsc::channel();
    scope.spawn(move || {
        let pinned = cache.pin();
        enter.send(()).unwrap();
        // An error says that the sender is gone, which ends the guard too.
        let _ = left.recv();
        drop(pinned);
    });
    entered.recv().unwrap();
    leave
}
