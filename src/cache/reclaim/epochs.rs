//! Where there is no `membarrier`: the epochs of [`crossbeam_epoch`].
//!
//! Its garbage lists are not used: they would run destructors inside some reader's pin, on a thread
//! that has nothing to do with them. Instead a deferred function ends a [period](super::grace).
//!
//! # Invariants
//! - GRACE: what was unlinked before a cookie was taken is out of every reader's sight once a later
//!   period has ended.
//!
//! # Orderings
//! A reader that pins after the period has begun must not find what was unlinked. A writer W does a
//! SeqCst fence between unlinking and taking the cookie. `advance` begins the period, and then
//! crossbeam takes the deferred function in: it does a SeqCst fence and reads the epoch that the
//! function is for. A reader does one in its pin, after it has read the epoch.
//! - The cookie was taken before the period began, so W's fence comes before that of `advance`:
//!   else W would have seen the period.
//! - The function runs only when all readers of its epoch and of earlier ones are gone. One that is
//!   still there has read a later epoch, so its fence comes after that of `advance`: else
//!   `advance` would have read that epoch, too.
//!
//! So that reader's fence comes after W's, and it finds what W left.

use std::cell::RefCell;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crossbeam_epoch::{Collector, Guard, LocalHandle};

use super::grace::GracePeriods;

/// The collector, once it is needed. It is never freed: in the child of a fork another one takes
/// its place, and the old one is leaked with all its handles.
static COLLECTOR: AtomicPtr<Collector> = AtomicPtr::new(ptr::null_mut());
static UNDER_WAY: AtomicBool = AtomicBool::new(false);

/// A collector of our own: no other library's destructors run in our readers' pins, and their
/// guards do not hold ours up.
fn collector() -> &'static Collector {
    // SAFETY: it is null, or leads to one that is never freed.
    unsafe { COLLECTOR.load(Ordering::Acquire).as_ref() }.unwrap_or_else(make)
}

#[cold]
fn make() -> &'static Collector {
    let new = Box::into_raw(Box::new(Collector::new()));
    match COLLECTOR.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: it is never freed from now on.
        Ok(_) => unsafe { &*new },
        Err(other) => {
            // SAFETY: nobody has seen it.
            drop(unsafe { Box::from_raw(new) });
            // SAFETY: it is never freed.
            unsafe { &*other }
        }
    }
}

/// A thread's handle, and the collector that it is of.
struct Local(&'static Collector, LocalHandle);

thread_local!(static LOCAL: RefCell<Option<Local>> = const { RefCell::new(None) });

pub(super) fn pin() -> Guard {
    let collector = collector();
    let pinned = LOCAL.try_with(|local| {
        let mut local = local.borrow_mut();
        if !local.as_ref().is_some_and(|local| ptr::eq(local.0, collector)) {
            // A handle from before a fork is leaked: dropping it could run the old collector's
            // deferred functions, and so end a period that takes no notice of today's guards.
            mem::forget(local.replace(Local(collector, collector.register())));
        }
        local.as_ref().map(|local| local.1.pin())
    });
    pinned.ok().flatten().unwrap_or_else(|| collector.register().pin())
}

/// Starts over in the child of a fork, whose only thread has no guard: nobody waits for those of
/// other threads.
pub(super) fn reset_in_child() {
    // The thread's own handle is leaked as well, and not dropped when the thread ends: see `pin`.
    let _ = LOCAL.try_with(|local| mem::forget(local.try_borrow_mut().map(|mut own| own.take())));
    COLLECTOR.store(ptr::null_mut(), Ordering::Release);
    UNDER_WAY.store(false, Ordering::Relaxed);
}

/// Begins a period if none is under way, and takes a step towards the end of the one that is.
pub(super) fn advance(periods: &'static GracePeriods) {
    if !UNDER_WAY.load(Ordering::Relaxed) && !UNDER_WAY.swap(true, Ordering::Acquire) {
        // Before the function is taken in, and so before the fence that this does (GRACE).
        periods.begin();
        pin().defer(|| {
            periods.end();
            UNDER_WAY.store(false, Ordering::Release);
        });
    }
    pin().flush();
}
