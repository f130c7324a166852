//! What a lock locks with: two words.
//!
//! # State
//! `state` says whether the lock is [`FREE`] or [`HELD`], or [`HANDED`] to one of those who have waited. `waiting` has
//! [`PARKED`] if somebody announced since it was last reset that he is about to sleep, on this word ([`parking`]):
//!
//! ```text
//!   who comes                              who leaves
//!   spin, if PARKED is not there;          state := FREE                (Release)
//!     now and then waiting |= SPINNING     light fence
//!   waiting |= PARKED                      waiting == 0? done
//!   heavy fence, if PARKED was not there   waiting := 0
//!   state == FREE? take it: done           it was PARKED? wake one
//!   sleep while waiting is unchanged
//!   (woken) spin; got it? waiting |= PARKED
//! ```
//!
//! Who leaves stores plainly. If he comes back soon the lock is HELD again before anybody can have seen it FREE: the store
//! waits in his processor for the line that those who spin have just read. So they say that they are there; to reset that is
//! a read-modify-write, which lets the store out first.
//!
//! Where there is no [asymmetric fence](barrier), who leaves does not look but exchanges `waiting` with 0 at once.
//!
//! # Invariants
//! - HOLDER: the lock is HELD while somebody has it, and only he makes it FREE. It becomes HELD by a compare-exchange.
//! - AWAKE: whenever the lock is FREE and somebody sleeps, there is a thread awake, in here or holding the lock later, that
//!   will wake him: one that is about to look at `waiting` and finds it set; or one that was woken; or one that set `waiting`
//!   and has yet to look at `state`.
//!   Who resets PARKED wakes one, and those who are not asleep yet see that it has changed. Who was woken gets the lock
//!   and sets `waiting` while he has it, so he finds it set when he leaves; or he announces himself anew. Who found
//!   `waiting` set and slept relies on the one who set it, who looks at `state` afterwards: either he gets the lock, and
//!   then he finds it set when he leaves; or somebody had the lock, who will find it set.
//! - HANDED: a lock is handed over only to be taken by somebody who was woken for it. If there was nobody to wake, who left
//!   takes it back, and looks again.
//! - BORROWED: who leaves looks at `waiting` after others may have the lock. He borrows it until he is through, and the
//!   lock cannot be freed before, whatever its next holder does.
//!
//! # Orderings
//! Taking acquires and leaving releases, so that each holder sees what the one before did. What happens to a FREE lock
//! (handing over, taking back) is a read-modify-write, so who takes it then acquires what the last holder released.
//!
//! AWAKE needs that who leaves finds `waiting` set, or who set PARKED finds the lock FREE (or taken anew since: then it is about
//! that holder). With an asymmetric fence: the store to `state` comes before the light fence and that before the load of
//! `waiting`; the setting of `waiting` before the heavy one and that before the load of `state`. Without, and where a handed
//! lock is taken back: both sides do a read-modify-write of `waiting`. If it is reset (Release) first, who sets it (Acquire)
//! sees the store to `state`; if it is set first, who resets it finds that.
//!
//! # Progress
//! An uncontended pair costs one read-modify-write, and two where there is no asymmetric fence. Who sleeps pays one heavy fence at
//! most for it, and none if others were about to sleep already. Whoever runs may take a FREE lock, also before those who have
//! waited longer; but who was woken in vain and has waited [so long](PATIENCE) says that he is [`HUNGRY`], and then the next one who
//! leaves hands the lock over to the first of the sleepers.
//!
//! If the heavy fence fails, whoever needed it naps instead of sleeping, until he has got the lock.
//!
//! A lock that is held, or handed over, by another thread at the moment of a fork is never free again in the child; any
//! other works there, whatever `waiting` says.

use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{barrier, parking};

const FREE: u32 = 0;
const HELD: u32 = 1;
const HANDED: u32 = 2;

/// In `waiting`: somebody sleeps, or is about to.
const PARKED: u32 = 1;
/// In `waiting`: one of them has been woken in vain, and waits too long.
const HUNGRY: u32 = 2;
/// In `waiting`: somebody spins.
const SPINNING: u32 = 4;

/// How often a thread looks before it goes to sleep: a few microseconds, longer than the sections that this lock is for.
const SPINS: usize = if cfg!(docache_loom) { 1 } else { 100 };

/// After how many looks each it says that it spins.
const ASK: usize = if cfg!(docache_loom) { 1 } else { 8 };

/// How long a thread waits, if it is woken in vain, before it asks for the lock to be handed over: while that is done nobody
/// else has it, which costs all of them, so not often.
const PATIENCE: Duration = if cfg!(docache_loom) { Duration::ZERO } else { Duration::from_millis(10) };

/// How long a thread sleeps that could miss its wake.
const NAP: Duration = Duration::from_micros(500);

#[derive(Debug)]
pub(super) struct RawLock {
    state: AtomicU32,
    waiting: AtomicU32,
}

impl RawLock {
    #[cfg(not(docache_loom))]
    pub(super) const fn new() -> RawLock {
        RawLock { state: AtomicU32::new(FREE), waiting: AtomicU32::new(0) }
    }

    #[cfg(docache_loom)]
    pub(super) fn new() -> RawLock {
        RawLock { state: AtomicU32::new(FREE), waiting: AtomicU32::new(0) }
    }

    #[cfg(not(docache_loom))]
    #[inline]
    pub(super) fn lock(&self) {
        if !self.try_lock() {
            self.lock_contended(barrier::exists);
        }
    }

    /// Gives back what the caller holds.
    #[cfg(not(docache_loom))]
    #[inline]
    pub(super) fn unlock(&self) {
        if barrier::is_found() {
            self.leave();
        } else {
            self.leave_by_exchange();
            // So that it is known the next time.
            barrier::exists();
        }
    }

    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        self.take(FREE)
    }

    /// Whether somebody has announced himself.
    #[cfg(all(test, not(docache_loom)))]
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) & PARKED != 0
    }

    #[inline]
    fn take(&self, from: u32) -> bool {
        self.state.compare_exchange(from, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Gives back what the caller holds: where an asymmetric fence exists.
    #[inline]
    pub(super) fn leave(&self) {
        self.state.store(FREE, Ordering::Release);
        barrier::light();
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.wake();
        }
    }

    /// Gives back what the caller holds: anywhere.
    pub(super) fn leave_by_exchange(&self) {
        self.state.store(FREE, Ordering::Release);
        self.wake();
    }

    /// Resets `waiting`, and wakes one if it was set.
    #[cold]
    #[inline(never)]
    fn wake(&self) {
        loop {
            let waiting = self.waiting.swap(0, Ordering::Release);
            if waiting & PARKED == 0 {
                return;
            }
            let handed = waiting & HUNGRY != 0 && self.replace(FREE, HANDED);
            let woken = parking::wake_one(&self.waiting);
            // HANDED.
            if woken || !handed || !self.replace(HANDED, FREE) {
                return;
            }
        }
    }

    /// Changes the state of a lock that nobody holds.
    fn replace(&self, from: u32, to: u32) -> bool {
        self.state.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Takes it if it is free, or handed over to those who have waited. `is_asymmetric` says whether who leaves relies on the
    /// heavy fence of those who come.
    #[cold]
    #[inline(never)]
    pub(super) fn lock_contended(&self, is_asymmetric: impl Fn() -> bool) {
        if self.spin(false) {
            return;
        }
        let (began, mut waits, mut misses) = (Instant::now(), 0, false);
        loop {
            let hungry = waits > 0 && began.elapsed() >= PATIENCE;
            // With SPINNING, so that those who spin do not change the word before this one sleeps.
            let mark = PARKED | SPINNING | if hungry { HUNGRY } else { 0 };
            let seen = self.waiting.fetch_or(mark, Ordering::Acquire);
            let fenced = seen & PARKED != 0 || !is_asymmetric() || barrier::heavy();
            if self.look(waits > 0) {
                return;
            }
            misses |= !fenced;
            parking::wait(&self.waiting, seen | mark, misses.then_some(NAP));
            waits += 1;
            if self.spin(true) {
                // AWAKE: it may have been reset for the sake of the one who was woken.
                self.waiting.fetch_or(PARKED, Ordering::Relaxed);
                return;
            }
        }
    }

    fn look(&self, has_waited: bool) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        (state == FREE || has_waited && state == HANDED) && self.take(state)
    }

    /// Looks often enough for the section of another to end, unless others sleep already: where threads are more than
    /// processors, those that spin too only keep the holder from running.
    fn spin(&self, has_waited: bool) -> bool {
        for turn in 1..=SPINS {
            std::hint::spin_loop();
            if self.look(has_waited) {
                return true;
            }
            if self.waiting.load(Ordering::Relaxed) & PARKED != 0 {
                return false;
            }
            if turn % ASK == 0 {
                self.waiting.fetch_or(SPINNING, Ordering::Relaxed);
            }
        }
        false
    }
}
