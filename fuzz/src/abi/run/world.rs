//! The handles and actors of a case, and what actors do with them.
//!
//! A handle lies in a [`Slot`], behind a lock that short calls hold, so that whoever takes it out
//! frees it beside nothing but a run that has begun.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use docache::ffi::*;

use super::script::{Does, Reacts};
use crate::abi::args::Pick;
use crate::abi::outcome::{call, relay};
use crate::abi::place::{Given, Place};
use crate::abi::registry::Registration;
use crate::patience::soon;

/// A group or a loop.
#[derive(Clone, Copy)]
pub(super) enum Handle {
    Group(*mut docache_run_group),
    Loop(*mut docache_run_loop),
}

// SAFETY: its functions may be called from any thread.
unsafe impl Send for Handle {}

/// A share of what stops one.
pub(super) struct Share(pub(super) *mut docache_run_handle);

// SAFETY: its functions may be called from any thread.
unsafe impl Send for Share {}
// SAFETY: as above.
unsafe impl Sync for Share {}

impl Drop for Share {
    fn drop(&mut self) {
        // SAFETY: HANDLE: this share.
        unsafe { docache_run_handle_release(self.0) };
    }
}

/// A place for a group or a loop.
pub(crate) struct Slot {
    pub(crate) repeats: bool,
    /// Whether its actors are waited for only so long.
    pub(crate) is_limited: bool,
    /// Until it is freed, or given to another one.
    pub(super) handle: Mutex<Option<Handle>>,
    pub(super) share: Share,
    pub(super) has_run: AtomicBool,
    pub(crate) has_begun: AtomicBool,
    pub(super) acts: Mutex<Vec<Arc<Act>>>,
    pub(super) outer: Mutex<Option<Arc<Slot>>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("not poisoned")
}

impl Slot {
    /// The outermost group that it is in.
    pub(crate) fn root(self: &Arc<Slot>) -> Arc<Slot> {
        let mut at = self.clone();
        loop {
            let outer = lock(&at.outer).clone();
            let Some(outer) = outer else { return at };
            at = outer;
        }
    }

    pub(crate) fn stop(&self) {
        // SAFETY: HANDLE: this share.
        let stopped = unsafe { docache_run_handle_stop(self.share.0, null_mut()) };
        assert!(matches!(stopped, DOCACHE_OK | DOCACHE_MISS));
        // SAFETY: HANDLE: this share.
        assert!(unsafe { docache_run_handle_is_stopping(self.share.0) });
    }

    pub(crate) fn stop_waiting(&self) {
        // SAFETY: HANDLE: this share.
        let stopped = unsafe { docache_run_handle_stop_waiting(self.share.0, null_mut()) };
        assert_eq!(stopped, DOCACHE_OK);
    }

    /// Frees it inside a callback of its own, unless it was freed.
    pub(crate) fn free_inside(&self, world: &World) {
        let handle = lock(&self.handle).take();
        if let Some(handle) = handle {
            world.leave.store(true, Ordering::SeqCst);
            free(handle);
        }
    }

    /// Calls what is refused while it runs, and afterwards.
    pub(crate) fn meddle(&self) {
        let handle = lock(&self.handle);
        let refused = [DOCACHE_BUSY, DOCACHE_CLOSED];
        if let Some(handle) = *handle {
            run(handle, Given::Null, Given::Valid).0.is_one_of(&refused);
            deadline(handle, 0, Given::Valid).is_one_of(&refused);
        }
    }
}

pub(super) fn free(handle: Handle) {
    match handle {
        // SAFETY: HANDLE: whoever took it out of its slot frees it.
        Handle::Group(group) => unsafe { docache_run_group_free(group) },
        // SAFETY: as above.
        Handle::Loop(repeated) => unsafe { docache_run_loop_free(repeated) },
    }
}

pub(super) type Ran = (crate::abi::outcome::Outcome, Option<*mut docache_run_report>);

pub(super) fn run(handle: Handle, report: Given, error: Given) -> Ran {
    let mut place: Place<*mut docache_run_report> = Place::one(report);
    let outcome = relay("run", error, |error| match handle {
        // SAFETY: HANDLE, SPAN.
        Handle::Group(group) => unsafe { docache_run_group_run(group, place.pointer(), error) },
        // SAFETY: as above.
        Handle::Loop(repeated) => unsafe { docache_run_loop_run(repeated, place.pointer(), error) },
    });
    let has_run =
        !matches!(outcome.status, DOCACHE_BUSY | DOCACHE_CLOSED | DOCACHE_INVALID_ARGUMENT);
    let report = (report != Given::Null).then(|| place.handle(has_run, "run")).flatten();
    (outcome, report)
}

pub(super) fn deadline(handle: Handle, stage: u32, error: Given) -> crate::abi::outcome::Outcome {
    const MS: i64 = 1_000_000;
    call("stage_deadline", error, |error| match handle {
        // SAFETY: HANDLE.
        Handle::Group(group) => unsafe {
            docache_run_group_stage_deadline(group, stage, MS, error)
        },
        // SAFETY: as above.
        Handle::Loop(repeated) => unsafe {
            docache_run_loop_stage_deadline(repeated, stage, MS, error)
        },
    })
}

/// See the [module](self).
pub(crate) struct World {
    pub(super) slots: Mutex<Vec<Arc<Slot>>>,
    pub(super) shares: Mutex<Vec<Share>>,
    pub(super) acts: Mutex<Vec<Arc<Act>>>,
    /// Whether those who stay are to go.
    pub(super) leave: AtomicBool,
}

impl World {
    pub(crate) fn new() -> Arc<World> {
        Arc::new(World {
            slots: Mutex::default(),
            shares: Mutex::default(),
            acts: Mutex::default(),
            leave: AtomicBool::new(false),
        })
    }

    pub(super) fn slot(&self, pick: Pick) -> Option<Arc<Slot>> {
        let slots = lock(&self.slots);
        pick.index(slots.len()).map(|at| slots[at].clone())
    }

    pub(crate) fn await_leave(&self) {
        soon("leave to go", || self.leave.load(Ordering::SeqCst));
    }

    /// Frees one that an actor can free beside whatever the thread of the case does.
    pub(crate) fn free_other(&self, pick: Pick) {
        let Some(slot) = self.slot(pick) else { return };
        if slot.has_begun.load(Ordering::SeqCst) {
            slot.free_inside(self);
        }
    }
}

/// An actor: what it does, and what has become of it. It lives as long as its world.
pub(crate) struct Act {
    pub(crate) world: Weak<World>,
    pub(crate) slot: Weak<Slot>,
    pub(crate) does: Does,
    pub(crate) interrupt: Reacts,
    pub(crate) failure: Reacts,
    /// After so many calls it stops its loop.
    pub(crate) most: u32,
    pub(crate) calls: AtomicU32,
    pub(crate) inside: AtomicU32,
    pub(crate) interrupted: AtomicBool,
    pub(crate) registration: Registration,
}
