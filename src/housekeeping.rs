//! The threads that the library keeps for itself: how they are started, and how those that were
//! told to leave are waited for.
//!
//! # State
//! One handle for each thread that may still be there. A thread leaves by itself when it has
//! nothing to do for a while; its handle then goes with the next thread that is started, or with
//! [`finish`].
//!
//! # Invariants
//! - LEAVES: [`finish`] waits only for threads whose keeper has promised, after their handles were
//!   taken, that they leave whatever comes.

#![cfg_attr(
    any(not(feature = "capi"), docache_loom),
    allow(dead_code, reason = "only the C ABI sends them away")
)]

use std::cell::Cell;
use std::io;
#[cfg(not(docache_loom))]
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

#[cfg(not(docache_loom))]
use crate::sync::fork::{self, AcrossFork, AtFork};
use crate::sync::spawn::Blocked;

struct Started {
    /// What the library calls it; its user may call it something else.
    name: &'static str,
    thread: JoinHandle<()>,
}

static STARTED: Mutex<Vec<Started>> = Mutex::new(Vec::new());

thread_local!(static HERE: Cell<bool> = const { Cell::new(false) });

fn started() -> MutexGuard<'static, Vec<Started>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread, with the host's signals blocked.
pub(crate) fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    spawn_as(name, name, body)
}

/// The same with a name that its user gave it.
pub(crate) fn spawn_as(
    name: &'static str,
    shown: &str,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let work = move || {
        HERE.set(true);
        body();
    };
    let blocked = Blocked::new();
    let thread = Builder::new().name(shown.into()).spawn(work)?;
    drop(blocked);
    let mut started = started();
    started.retain(|one| !one.thread.is_finished());
    started.push(Started { name, thread });
    Ok(())
}

/// Has the child of a fork forget its parent's handles. To be called with no lock held, before the
/// first thread is started.
#[cfg(not(docache_loom))]
pub(crate) fn watch() {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    fork::register_once(&REGISTERED, fork::LockLevel::Threads, &Handles);
}

#[cfg(not(docache_loom))]
struct Handles;

#[cfg(not(docache_loom))]
static HELD: AcrossFork<MutexGuard<'static, Vec<Started>>> = AcrossFork::new();

#[cfg(not(docache_loom))]
impl AtFork for Handles {
    fn hold(&self) {
        // SAFETY: it is called before the fork by the thread that forks.
        unsafe { HELD.put(started()) };
    }

    unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        drop(unsafe { HELD.take() });
    }

    unsafe fn reset_in_child(&self) {
        // SAFETY: the caller's promise.
        if let Some(mut started) = unsafe { HELD.take() } {
            std::mem::forget(std::mem::take(&mut *started));
        }
    }
}

/// Whether the calling thread is one of them.
pub(crate) fn is_here() -> bool {
    HERE.get()
}

/// Waits for the end of all threads of these names, which leave by themselves when they have
/// nothing to do, for some `turns` of a `pause`. Whether they have left.
pub(crate) fn finish_leaving(names: &[&str], turns: u32, pause: Duration) -> bool {
    let mut turn = 0;
    loop {
        let mut started = started();
        let (ended, others): (Vec<_>, Vec<_>) = std::mem::take(&mut *started)
            .into_iter()
            .partition(|one| names.contains(&one.name) && one.thread.is_finished());
        let have_left = others.iter().all(|one| !names.contains(&one.name));
        *started = others;
        drop(started);
        for one in ended {
            // It has ended, but for what the system does after it.
            let _ = one.thread.join();
        }
        turn += 1;
        if have_left || turn >= turns {
            return have_left;
        }
        std::thread::sleep(pause);
    }
}

/// Waits for the end of all threads of this name if `dismiss` says that they leave. Whether it
/// does.
pub(crate) fn finish(name: &str, dismiss: impl FnOnce() -> bool) -> bool {
    let theirs: Vec<Started> = {
        let mut started = started();
        let (theirs, others) =
            std::mem::take(&mut *started).into_iter().partition(|one| one.name == name);
        *started = others;
        theirs
    };
    if !dismiss() {
        started().extend(theirs);
        return false;
    }
    for one in theirs {
        // LEAVES. What it runs is contained, so that it does not panic.
        let _ = one.thread.join();
    }
    true
}
