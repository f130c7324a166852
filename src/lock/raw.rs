//! What a lock locks with: two words.
//!
//! # State
//! `state` says whether the lock is [`FREE`] or [`HELD`], or [`HANDED`] to a thread that has
//! waited. `waiting` has [`PARKED`] if a thread has announced, since it was last reset, that it is
//! about to sleep on this word ([`parking`]):
//!
//! ```text
//!   lock                                   unlock
//!   spin, if PARKED is not there;          state := FREE                (Release)
//!     now and then waiting |= SPINNING     light fence
//!   waiting |= PARKED                      waiting == 0? done
//!   heavy fence, if PARKED was not there   waiting := 0
//!   state == FREE? take it: done           it was PARKED? wake one
//!   sleep while waiting is unchanged
//!   (woken) spin; got it? waiting |= PARKED
//! ```
//!
//! Unlocking is a plain store. If the thread takes the lock again soon, it is HELD before any other
//! can have seen it FREE: the store waits in the processor's store buffer for the cache line that
//! the spinning threads have just read. So those set SPINNING; to reset that is a
//! read-modify-write, which drains the store buffer first.
//!
//! Where there is no [asymmetric fence](barrier), unlocking exchanges `waiting` with 0 at once,
//! instead of looking first.
//!
//! # Invariants
//! - HOLDER: the lock is HELD while a thread has it, and only that thread makes it FREE. It becomes
//!   HELD by a compare-exchange.
//! - AWAKE: whenever the lock is FREE and a thread sleeps, another one is awake, waiting for the
//!   lock or holding it later, that will wake it:
//!   - one that is about to look at `waiting`, and finds it set;
//!   - or one that was woken;
//!   - or one that set `waiting` and has yet to look at `state`.
//!
//!   A thread that resets PARKED wakes one sleeper, and those that do not sleep yet see that the
//!   word has changed. A thread that was woken either gets the lock, and sets `waiting` while it
//!   has it, so that it finds it set when it unlocks; or it announces itself again. A thread that
//!   found `waiting` set, and slept, relies on the one that set it, which looks at `state`
//!   afterwards: either that one gets the lock, and finds `waiting` set when it unlocks; or another
//!   thread had the lock, which will find it set.
//! - HANDED: a lock is handed over only to be taken by a thread that was woken for it. If there was
//!   none to wake, the one that unlocked takes the offer back, and looks again.
//! - BORROWED: the thread that unlocks looks at `waiting` when others may have the lock already. It
//!   borrows the lock until it is through, so the lock cannot be freed before, whatever its next
//!   holder does.
//!
//! # Orderings
//! Locking acquires and unlocking releases, so each holder sees what the one before did. What
//! happens to a FREE lock (handing over, taking that back) is a read-modify-write, so a thread that
//! takes it then acquires what the last holder released.
//!
//! AWAKE needs that the thread that unlocks finds `waiting` set, or the one that set PARKED finds
//! the lock FREE (or taken again since: then it is about that holder). With an asymmetric fence:
//! the store to `state` comes before the light fence, and that before the load of `waiting`; the
//! setting of `waiting` comes before the heavy fence, and that before the load of `state`. Without
//! one, and where a handed lock is taken back, both sides do a read-modify-write of `waiting`. If
//! it is reset (Release) first, the thread that sets it (Acquire) sees the store to `state`; if it
//! is set first, the one that resets it finds that.
//!
//! # Progress
//! An uncontended pair costs one read-modify-write, and two where there is no asymmetric fence. A
//! thread that sleeps pays one heavy fence at most for it, and none if others were about to sleep
//! already. A running thread may take a FREE lock before those that have waited longer; but one
//! that was woken in vain and has waited [too long](PATIENCE) says that it is [`HUNGRY`], and then
//! the next thread that unlocks hands the lock over to the first sleeper.
//!
//! If the heavy fence fails, the thread that needed it naps instead of sleeping, until it has the
//! lock.
//!
//! # In the child of a fork
//! A lock that another thread holds at the fork would never be free again. There are two ways out:
//! - The thread that forks has taken it before, as a [member](crate::sync::fork), and in the child
//!   it is [renewed](RawLock::reset_in_child): nobody sleeps there, and it is INHERITED, which
//!   counts as free and has the thread that takes it first say that the child is in use.
//! - It is [marked](RawLock::lock_marked) with the number of forks before the process when it is
//!   taken. A mark with another number is that of a thread that is not here. A thread that finds
//!   one takes the lock and is told, since what the lock protects may be half-changed.
//!
//! A lock that was handed over always has such a mark, and is free if the number is another.
//! `waiting` may say that a thread sleeps that is not here. That costs a wake-up in vain.

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

/// In `waiting`: a thread sleeps, or is about to.
const PARKED: u32 = 1;
/// In `waiting`: one of them was woken in vain, and has waited too long.
const HUNGRY: u32 = 2;
/// In `waiting`: a thread spins.
const SPINNING: u32 = 4;

/// How often a thread looks before it goes to sleep: a few microseconds, longer than the sections
/// that this lock is for.
const SPINS: usize = if cfg!(docache_loom) { 1 } else { 100 };

/// After how many looks each it says that it spins.
const ASK: usize = if cfg!(docache_loom) { 1 } else { 8 };

/// How long a thread that is woken in vain waits before it asks for the lock to be handed over.
/// While that is done no other thread has the lock, which costs all of them: so, not often.
const PATIENCE: Duration =
    if cfg!(docache_loom) { Duration::ZERO } else { Duration::from_millis(10) };

/// How long a thread sleeps that could miss its wake-up.
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

    /// Locks, with this process's mark. True if a thread held it that is not here. Such a lock is
    /// always locked in this way.
    #[cfg(not(docache_loom))]
    #[inline]
    #[must_use]
    pub(super) fn lock_marked(&self) -> bool {
        let held = HELD | mark();
        !self.take(FREE, held) && self.lock_contended(held, barrier::exists)
    }

    /// Resets the lock, in the child of a fork, whose only thread holds it.
    #[cfg(not(docache_loom))]
    pub(super) fn reset_in_child(&self) {
        self.waiting.store(0, Ordering::Relaxed);
        self.state.store(INHERITED, Ordering::Relaxed);
    }

    /// The same, but whoever takes it first says nothing.
    #[cfg(not(docache_loom))]
    pub(super) fn free_in_child(&self) {
        self.waiting.store(0, Ordering::Relaxed);
        self.state.store(FREE, Ordering::Relaxed);
    }

    /// Unlocks; the caller holds the lock.
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

    /// [`lock`](Self::lock) before a fork, beside which nobody asks for the fence: that would wait
    /// for the end of the fork. So whether it was found does not change meanwhile.
    #[cfg(not(docache_loom))]
    pub(super) fn lock_to_fork(&self) {
        if !self.try_lock() {
            self.lock_contended(HELD, barrier::is_found);
        }
    }

    /// Unlocks after that, in the parent.
    #[cfg(not(docache_loom))]
    pub(super) fn unlock_after_fork(&self) {
        if barrier::is_found() {
            self.leave();
        } else {
            self.leave_by_exchange();
        }
    }

    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        self.take(FREE, HELD)
    }

    /// Whether a thread has announced itself.
    #[cfg(all(test, not(docache_loom)))]
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) & PARKED != 0
    }

    #[inline]
    fn take(&self, from: u32, held: u32) -> bool {
        self.state.compare_exchange(from, held, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Unlocks, where an asymmetric fence exists.
    #[inline]
    pub(super) fn leave(&self) {
        self.state.store(FREE, Ordering::Release);
        barrier::light();
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.wake();
        }
    }

    /// Unlocks, anywhere.
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

    /// Waits for the lock and takes it: its state is `held` then. `is_asymmetric` says whether
    /// unlocking relies on the heavy fence of threads that lock. True if a thread held it that is
    /// not here.
    #[cold]
    #[inline(never)]
    pub(super) fn lock_contended(&self, held: u32, is_asymmetric: impl Fn() -> bool) -> bool {
        if let Some(torn) = self.spin(held, false) {
            return torn;
        }
        let (began, mut has_waited, mut misses) = (Instant::now(), false, false);
        loop {
            let hungry = has_waited && began.elapsed() >= PATIENCE;
            // With SPINNING, so that those who spin do not change the word before this one sleeps.
            let mark = PARKED | SPINNING | if hungry { HUNGRY } else { 0 };
            let seen = self.waiting.fetch_or(mark, Ordering::Acquire);
            let fenced = seen & PARKED != 0 || !is_asymmetric() || barrier::heavy();
            if let Some(torn) = self.look(held, has_waited) {
                return torn;
            }
            misses |= !fenced;
            parking::wait(&self.waiting, seen | mark, misses.then_some(NAP));
            has_waited = true;
            if let Some(torn) = self.spin(held, true) {
                // AWAKE: it may have been reset to wake this thread.
                self.waiting.fetch_or(PARKED, Ordering::Relaxed);
                return torn;
            }
        }
    }

    /// Takes the lock if it can be taken; then, whether a thread held it that is not here.
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

    /// Looks for as long as another thread's critical section takes, unless others sleep already:
    /// with more threads than processors, spinning would only keep the holder from running.
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
