//! The threads that the library keeps for itself: how they are started, and how those that were told to leave are waited
//! for.
//!
//! # State
//! One handle for each thread that may still be there, with the process that started it. A thread leaves by itself when it
//! has nothing to do for a while; its handle then goes with the next thread that is started, or with [`finish`].
//!
//! # Invariants
//! - LEAVES: [`finish`] waits only for threads whose keeper has promised, after their handles were taken, that they leave
//!   whatever comes.

#![cfg_attr(
    any(not(feature = "capi"), docache_loom),
    allow(dead_code, reason = "only the C ABI sends them away")
)]

use std::cell::Cell;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::sync::spawn::Blocked;

struct Started {
    name: &'static str,
    /// In a forked process the handles of its parent mean nothing.
    process: u32,
    thread: JoinHandle<()>,
}

static STARTED: Mutex<Vec<Started>> = Mutex::new(Vec::new());

thread_local!(static HERE: Cell<bool> = const { Cell::new(false) });

fn started() -> MutexGuard<'static, Vec<Started>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread, with the host's signals blocked.
pub(crate) fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let work = move || {
        HERE.set(true);
        body();
    };
    let blocked = Blocked::new();
    let thread = Builder::new().name(name.into()).spawn(work)?;
    drop(blocked);
    let mut started = started();
    started.retain(|one| !one.thread.is_finished());
    started.push(Started { name, process: std::process::id(), thread });
    Ok(())
}

/// Whether the calling thread is one of them.
pub(crate) fn is_here() -> bool {
    HERE.get()
}

/// Waits for the end of all threads of this name if `dismiss` says that they leave. Whether it does.
pub(crate) fn finish(name: &str, dismiss: impl FnOnce() -> bool) -> bool {
    let theirs: Vec<Started> = {
        let mut started = started();
        let (theirs, others) = std::mem::take(&mut *started).into_iter().partition(|one| one.name == name);
        *started = others;
        theirs
    };
    if !dismiss() {
        started().extend(theirs);
        return false;
    }
    let process = std::process::id();
    for one in theirs {
        if one.process == process {
            // LEAVES. What it runs is contained, so that it does not panic.
            let _ = one.thread.join();
        } else {
            std::mem::forget(one.thread);
        }
    }
    true
}
