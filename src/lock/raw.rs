//! What a lock locks with: two words.
//!
//! # State
//! `state` says whether the lock is [`FREE`] or [`HELD`], or [`HANDED`] to one of those who have
//! waited. `waiting` has [`PARKED`] if somebody announced since it was last reset that he is about
//! to sleep, on this word ([`parking`]):
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
//! Who leaves stores plainly. If he comes back soon the lock is HELD again before anybody can have
//! seen it FREE: the store waits in his processor for the line that those who spin have just read.
//! So they say that they are there; to reset that is a read-modify-write, which lets the store out
//! first.
//!
//! Where there is no [asymmetric fence](barrier), who leaves does not look but exchanges `waiting`
//! with 0 at once.
//!
//! # Invariants
//! - HOLDER: the lock is HELD while somebody has it, and only he makes it FREE. It becomes HELD by
//!   a compare-exchange.
//! - AWAKE: whenever the lock is FREE and somebody sleeps, there is a thread awake, in here or
//!   holding the lock later, that will wake him: one that is about to look at `waiting` and finds
//!   it set; or one that was woken; or one that set `waiting` and has yet to look at `state`. Who
//!   resets PARKED wakes one, and those who are not asleep yet see that it has changed. Who was
//!   woken gets the lock and sets `waiting` while he has it, so he finds it set when he leaves; or
//!   he announces himself anew. Who found `waiting` set and slept relies on the one who set it, who
//!   looks at `state` afterwards: either he gets the lock, and then he finds it set when he leaves;
//!   or somebody had the lock, who will find it set.
//! - HANDED: a lock is handed over only to be taken by somebody who was woken for it. If there was
//!   nobody to wake, who left takes it back, and looks again.
//! - BORROWED: who leaves looks at `waiting` after others may have the lock. He borrows it until he
//!   is through, and the lock cannot be freed before, whatever its next holder does.
//!
//! # Orderings
//! Taking acquires and leaving releases, so that each holder sees what the one before did. What
//! happens to a FREE lock (handing over, taking back) is a read-modify-write, so who takes it then
//! acquires what the last holder released.
//!
//! AWAKE needs that who leaves finds `waiting` set, or who set PARKED finds the lock FREE (or taken
//! anew since: then it is about that holder). With an asymmetric fence: the store to `state` comes
//! before the light fence and that before the load of `waiting`; the setting of `waiting` before
//! the heavy one and that before the load of `state`. Without, and where a handed lock is taken
//! back: both sides do a read-modify-write of `waiting`. If it is reset (Release) first, who sets
//! it (Acquire) sees the store to `state`; if it is set first, who resets it finds that.
//!
//! # Progress
//! An uncontended pair costs one read-modify-write, and two where there is no asymmetric fence. Who
//! sleeps pays one heavy fence at most for it, and none if others were about to sleep already.
//! Whoever runs may take a FREE lock, also before those who have waited longer; but who was woken
//! in vain and has waited [so long](PATIENCE) says that he is [`HUNGRY`], and then the next one who
//! leaves hands the lock over to the first of the sleepers.
//!
//! If the heavy fence fails, whoever needed it naps instead of sleeping, until he has got the lock.
//!
//! # In the child of a fork
//! A lock that another thread holds at that moment would never be free again. Two ways lead out:
//! - Who forks has taken it before, as a [member](crate::sync::fork), and in the child it is
//!   [renewed](RawLock::renew): nobody sleeps there, and it is INHERITED, which is free and has
//!   whoever takes it first say that the child is in use.
//! - It is [marked](RawLock::lock_marked) with the number of the process when it is taken. A mark
//!   of another number is that of a thread that is not there. Whoever finds that takes the lock and
//!   is told, since what it protects may be half-done.
//!
//! A lock that was handed over has such a mark in any case, and is free if that is of another
//! number. `waiting` may say that somebody sleeps who is not there. That costs a wake in vain.

use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::fork::forks;
use crate::sync::{barrier, parking};

const FREE: u32 = 0;
pub(super) const HELD: u32 = 1;
const HANDED: u32 = 2;
#[cfg(not(docache_loom))]
const INHERITED: u32 = 3;

/// The bits of those; the others are the mark.
const KIND_BITS: u32 = 2;
const KIND: u32 = (1 << KIND_BITS) - 1;

/// This process's mark.
#[inline]
fn mark() -> u32 {
    forks() << KIND_BITS
}

/// In `waiting`: somebody sleeps, or is about to.
const PARKED: u32 = 1;
/// In `waiting`: one of them has been woken in vain, and waits too long.
const HUNGRY: u32 = 2;
/// In `waiting`: somebody spins.
const SPINNING: u32 = 4;

/// How often a thread looks before it goes to sleep: a few microseconds, longer than the sections
/// that this lock is for.
const SPINS: usize = if cfg!(docache_loom) { 1 } else { 100 };

/// After how many looks each it says that it spins.
const ASK: usize = if cfg!(docache_loom) { 1 } else { 8 };

/// How long a thread waits, if it is woken in vain, before it asks for the lock to be handed over:
/// while that is done nobody else has it, which costs all of them, so not often.
const PATIENCE: Duration =
    if cfg!(docache_loom) { Duration::ZERO } else { Duration::from_millis(10) };

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
            self.lock_contended(HELD, barrier::exists);
        }
    }

    /// Takes it with this process's mark. Whether it was held by a thread that is not there; it is
    /// to be taken in this way only, then.
    #[cfg(not(docache_loom))]
    #[inline]
    #[must_use]
    pub(super) fn lock_marked(&self) -> bool {
        let held = HELD | mark();
        !self.take(FREE, held) && self.lock_contended(held, barrier::exists)
    }

    /// Makes it as new, in the child of a fork, whose only thread holds it.
    #[cfg(not(docache_loom))]
    pub(super) fn renew(&self) {
        self.waiting.store(0, Ordering::Relaxed);
        self.state.store(INHERITED, Ordering::Relaxed);
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
        self.take(FREE, HELD)
    }

    /// Whether somebody has announced himself.
    #[cfg(all(test, not(docache_loom)))]
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) & PARKED != 0
    }

    #[inline]
    fn take(&self, from: u32, held: u32) -> bool {
        self.state.compare_exchange(from, held, Ordering::Acquire, Ordering::Relaxed).is_ok()
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
            let handed = waiting & HUNGRY != 0 && self.replace(FREE, HANDED | mark());
            let woken = parking::wake_one(&self.waiting);
            // HANDED.
            if woken || !handed || !self.replace(HANDED | mark(), FREE) {
                return;
            }
        }
    }

    /// Changes the state of a lock that nobody holds.
    fn replace(&self, from: u32, to: u32) -> bool {
        self.state.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Takes it, so that it is `held`, if it is free, or handed over to those who have waited.
    /// `is_asymmetric` says whether who leaves relies on the heavy fence of those who come. Whether
    /// it was held by a thread that is not there.
    #[cold]
    #[inline(never)]
    pub(super) fn lock_contended(&self, held: u32, is_asymmetric: impl Fn() -> bool) -> bool {
        if let Some(torn) = self.spin(held, false) {
            return torn;
        }
        let (began, mut waits, mut misses) = (Instant::now(), 0, false);
        loop {
            let hungry = waits > 0 && began.elapsed() >= PATIENCE;
            // With SPINNING, so that those who spin do not change the word before this one sleeps.
            let mark = PARKED | SPINNING | if hungry { HUNGRY } else { 0 };
            let seen = self.waiting.fetch_or(mark, Ordering::Acquire);
            let fenced = seen & PARKED != 0 || !is_asymmetric() || barrier::heavy();
            if let Some(torn) = self.look(held, waits > 0) {
                return torn;
            }
            misses |= !fenced;
            parking::wait(&self.waiting, seen | mark, misses.then_some(NAP));
            waits += 1;
            if let Some(torn) = self.spin(held, true) {
                // AWAKE: it may have been reset for the sake of the one who was woken.
                self.waiting.fetch_or(PARKED, Ordering::Relaxed);
                return torn;
            }
        }
    }

    /// Takes it if that can be; then, whether it was held by a thread that is not there.
    fn look(&self, held: u32, has_waited: bool) -> Option<bool> {
        let state = self.state.load(Ordering::Relaxed);
        let is_marked_as = |other: u32| (state ^ other) & !KIND == 0;
        let may = match state & KIND {
            FREE => true,
            HELD => !is_marked_as(held),
            HANDED => has_waited || !is_marked_as(mark()),
            _ => {
                #[cfg(not(docache_loom))]
                crate::sync::fork::revive();
                true
            }
        };
        (may && self.take(state, held)).then_some(state & KIND == HELD)
    }

    /// Looks often enough for the section of another to end, unless others sleep already: where
    /// threads are more than processors, those that spin too only keep the holder from running.
    fn spin(&self, held: u32, has_waited: bool) -> Option<bool> {
        for turn in 1..=SPINS {
            std::hint::spin_loop();
            let looked = self.look(held, has_waited);
            if looked.is_some() {
                return looked;
            }
            if self.waiting.load(Ordering::Relaxed) & PARKED != 0 {
                return None;
            }
            if turn % ASK == 0 {
                self.waiting.fetch_or(SPINNING, Ordering::Relaxed);
            }
        }
        None
    }
}
