//! A stand-in that reclaims as early as any collector could: a cookie has elapsed as soon as all
//! guards are gone that were there when it was taken. So a model finds each access that no guard
//! protects.

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::thread::{Token, token};
use std::sync::Mutex;

loom::lazy_static! {
    /// How many guards and cookies there have been, and which of the guards are alive. Not a lock
    /// of loom's: it must order nothing.
    static ref GUARDS: Mutex<(u64, Vec<(u64, Token)>)> = Mutex::new((0, Vec::new()));
    /// Stands for the fences of the real thing: what precedes the taking of a cookie happens before
    /// later pins.
    static ref PINS: AtomicUsize = AtomicUsize::new(0);
    /// The same for unpins, which happen before the elapsing of cookies that waited for them.
    static ref UNPINS: AtomicUsize = AtomicUsize::new(0);
}

#[derive(Debug)]
pub(crate) struct Guard(u64);

pub(crate) fn pin() -> Guard {
    PINS.fetch_add(1, Ordering::AcqRel);
    let mut guards = GUARDS.lock().unwrap();
    guards.0 += 1;
    let id = guards.0;
    guards.1.push((id, token()));
    Guard(id)
}

impl Guard {
    pub(crate) fn repin(&mut self) {
        *self = pin();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        UNPINS.fetch_add(1, Ordering::Release);
        GUARDS.lock().unwrap().1.retain(|guard| guard.0 != self.0);
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct GraceCookie(u64);

impl GraceCookie {
    /// One that does not elapse.
    pub(crate) const NEVER: GraceCookie = GraceCookie(u64::MAX);

    pub(crate) fn take() -> GraceCookie {
        PINS.fetch_add(1, Ordering::AcqRel);
        let mut guards = GUARDS.lock().unwrap();
        guards.0 += 1;
        GraceCookie(guards.0)
    }

    pub(crate) fn has_elapsed(self) -> bool {
        if self.0 == u64::MAX || GUARDS.lock().unwrap().1.iter().any(|guard| guard.0 < self.0) {
            return false;
        }
        UNPINS.fetch_add(0, Ordering::AcqRel);
        true
    }
}

/// Whether the calling thread has a guard.
#[allow(dead_code, reason = "models may do without")]
pub(crate) fn is_pinned() -> bool {
    GUARDS.lock().unwrap().1.iter().any(|guard| guard.1 == token())
}

pub(crate) fn advance() {}

pub(crate) fn advance_throttled() {}

pub(crate) fn advance_is_costly() -> bool {
    true
}

/// Where nothing is waited for, this may always be the same.
pub(crate) fn ended() -> u64 {
    0
}
