//! Calls that a scheduler is to make, each once.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::ffi::boundary::{
    DOCACHE_MISS, DOCACHE_OK, Registration, borrow, docache_error, docache_status, guard,
    is_usable, quietly,
};
use crate::ffi::gate::Gate;
use crate::lock::Lock;
use crate::run::{Scheduled, Scheduler};
use crate::sync::fork::{self, AtFork, ForkRegistration};
use crate::sync::thread::{self, Token};

/// What a scheduler calls. It must not throw, unwind or longjmp.
pub type docache_scheduler_call_fn = Option<unsafe extern "C-unwind" fn(ctx: usize)>;

/// The same, there.
pub(super) type Callback = unsafe extern "C-unwind" fn(ctx: usize);

/// A call. Dropping it drops its registration.
pub(super) struct Call {
    pub(super) callback: Callback,
    pub(super) registration: Registration,
}

/// What has become of a call.
enum Stage {
    /// It waits; its closure, once that is known.
    Waits(Option<Scheduled>),
    /// It is being made, by this thread.
    Runs(Token),
    /// It was being made by a thread of the parent's when this process was forked.
    Lost,
}

struct Entry {
    call: Call,
    stage: Stage,
}

impl Entry {
    fn waits(&self) -> bool {
        matches!(self.stage, Stage::Waits(_))
    }

    fn runs(&self) -> bool {
        matches!(self.stage, Stage::Runs(_))
    }

    /// Takes the closure back, which would find nothing.
    fn into_call(self) -> Call {
        if let Stage::Waits(Some(scheduled)) = self.stage {
            scheduled.cancel();
        }
        self.call
    }
}

#[derive(Default)]
struct Table {
    entries: BTreeMap<u64, Entry>,
    numbered: u64,
    is_closed: bool,
}

/// The calls of a scheduler. See the [module](super).
pub(super) struct Calls {
    table: Lock<Table>,
    gate: Arc<Gate>,
    fork_registration: OnceLock<ForkRegistration>,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl Calls {
    pub(super) fn new(gate: Arc<Gate>) -> Arc<Calls> {
        let table = Lock::new(Table::default());
        let calls = Arc::new(Calls { table, gate, fork_registration: OnceLock::new() });
        let member: Weak<Calls> = Arc::downgrade(&calls);
        let _ = calls.fork_registration.set(fork::register(member));
        calls
    }

    /// Has a call made after `delay`. Its number.
    pub(super) fn schedule(
        self: &Arc<Calls>,
        scheduler: &Scheduler,
        delay: Duration,
        call: Call,
    ) -> Result<u64> {
        let number = self.insert(call)?;
        let calls = self.clone();
        let scheduled = scheduler.schedule_after(delay, move || calls.make(number));
        match scheduled {
            Ok(scheduled) => {
                self.note(number, scheduled);
                Ok(number)
            }
            Err(error) => {
                self.cancel(number);
                Err(error)
            }
        }
    }

    /// Notes the closure of a call. If that was made or taken out by now, there is to be none.
    fn note(&self, number: u64, scheduled: Scheduled) {
        let mut table = self.table.lock();
        if let Some(Entry { stage: Stage::Waits(place), .. }) = table.entries.get_mut(&number) {
            *place = Some(scheduled);
            return;
        }
        drop(table);
        scheduled.cancel();
    }

    fn insert(&self, call: Call) -> Result<u64> {
        let mut table = self.table.lock();
        if table.is_closed {
            drop(table);
            return Err(Error::new(ErrorKind::Closed, "the scheduler was shut down"));
        }
        table.numbered += 1;
        let number = table.numbered;
        table.entries.insert(number, Entry { call, stage: Stage::Waits(None) });
        Ok(number)
    }

    /// Makes a call that is due, unless it was taken out, or the scheduler was freed.
    fn make(&self, number: u64) {
        self.gate.during(|| {
            let Some((callback, ctx)) = self.begin(number) else { return };
            let _end = End { calls: self, number };
            // SAFETY: CALLBACK.
            unsafe { callback(ctx) };
        });
    }

    fn begin(&self, number: u64) -> Option<(Callback, usize)> {
        let mut table = self.table.lock();
        let entry = table.entries.get_mut(&number).filter(|entry| entry.waits())?;
        entry.stage = Stage::Runs(thread::token());
        Some((entry.call.callback, entry.call.registration.ctx))
    }

    /// Takes a call out, if it waits. Whether it did.
    fn cancel(&self, number: u64) -> bool {
        let take = || {
            let mut table = self.table.lock();
            table.entries.get(&number).filter(|entry| entry.waits())?;
            table.entries.remove(&number)
        };
        let cancelled = self.gate.during(|| take().map(Entry::into_call).is_some());
        cancelled.unwrap_or(false)
    }

    fn is_waiting(&self, number: u64) -> bool {
        self.table.lock().entries.get(&number).is_some_and(Entry::waits)
    }

    /// Takes all calls out that are not being made, and no more in.
    pub(super) fn close(&self) -> Vec<Call> {
        let mut table = self.table.lock();
        table.is_closed = true;
        let entries = mem::take(&mut table.entries).into_iter();
        let (kept, gone): (_, BTreeMap<_, _>) = entries.partition(|(_, entry)| entry.runs());
        table.entries = kept;
        drop(table);
        gone.into_values().map(Entry::into_call).collect()
    }
}

/// The end of a call that was made, whether it returns or unwinds.
struct End<'c> {
    calls: &'c Calls,
    number: u64,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let entry = self.calls.table.lock().entries.remove(&self.number);
        drop(entry);
    }
}

impl AtFork for Calls {
    fn hold(&self) {
        self.table.hold();
    }

    unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.table.release() };
    }

    unsafe fn reset_in_child(&self) {
        let token = thread::token();
        // What waits is made no more here, but still dropped once, and so is what others made.
        let lose = |table: &mut Table| {
            for entry in table.entries.values_mut() {
                if matches!(entry.stage, Stage::Runs(by) if by != token) {
                    entry.stage = Stage::Lost;
                }
            }
        };
        // SAFETY: the caller's promise.
        unsafe { self.table.reset_in_child(lose) };
    }
}

/// A call that a scheduler is to make. It keeps nothing going, and may outlive its scheduler.
#[derive(Debug)]
pub struct docache_scheduled {
    pub(super) calls: Arc<Calls>,
    pub(super) number: u64,
}

/// Takes the call back: OK: it will never be made, and its `drop` has been called. MISS: it is too
/// late for that: it has been made, or is under way, or was dropped with its scheduler. O(log n);
/// it never waits for a callback. \[CB\] only `drop`
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_scheduled_cancel(
    scheduled: *const docache_scheduled,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let scheduled = unsafe { borrow(scheduled, "scheduled") }?;
        // A share, as `drop` may free the handle.
        let (calls, number) = (scheduled.calls.clone(), scheduled.number);
        Ok(if calls.cancel(number) { DOCACHE_OK } else { DOCACHE_MISS })
    })
}

/// Whether the call is still to be made; false for NULL. In the child of a fork this is true of
/// what waited in the parent, until it is cancelled or the scheduler freed. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_scheduled_is_waiting(scheduled: *const docache_scheduled) -> bool {
    quietly(false, || {
        // SAFETY: the caller's promise.
        let scheduled = unsafe { borrow(scheduled, "scheduled") };
        scheduled.is_ok_and(|scheduled| scheduled.calls.is_waiting(scheduled.number))
    })
}

/// Frees the handle, and leaves the call scheduled. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE; nothing else may be going on with the handle, but calls from inside of which it is
/// freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_scheduled_free(scheduled: *mut docache_scheduled) {
    if is_usable(scheduled) {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        quietly((), || drop(unsafe { Box::from_raw(scheduled) }));
    }
}
