//! Family `run`: groups.

use std::ffi::{c_char, c_int};
use std::sync::Arc;

use super::actor::{ActorPlan, docache_run_actor, name_of};
use super::handle::docache_run_handle;
use super::options::docache_run_group_options;
use super::repeat::docache_run_loop;
use super::report::docache_run_report;
use super::runner::{Part, Runner};
use super::runs::{self, Runs};
use crate::error::{Error, Result};
use crate::ffi::boundary::{
    DOCACHE_OK, Out, Registration, borrow, docache_drop_fn, docache_error, docache_status, guard,
    versioned,
};

/// A group: actors that run together and stop together. It is run once, and then only good for
/// being freed.
#[derive(Debug)]
pub struct docache_run_group {
    runner: Arc<Runner>,
}

impl Runs for docache_run_group {
    fn runner(&self) -> &Arc<Runner> {
        &self.runner
    }
}

/// Makes a group without actors. `options` may be NULL: all defaults. Nothing that they point to is
/// needed afterwards. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_group_new(
    options: *const docache_run_group_options,
    out: *mut *mut docache_run_group,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { versioned::optional(options) }?;
        let options = options.unwrap_or_else(docache_run_group_options::defaults);
        // SAFETY: the caller's promise.
        let runner = unsafe { Runner::group(&options) }?;
        out.write(Box::into_raw(Box::new(docache_run_group { runner })));
        Ok(DOCACHE_OK)
    })
}

/// Adds an actor, to a group that has not run yet; else BUSY or CLOSED. `drop(ctx)`, if there is a
/// `drop`, is called exactly once, when the group is gone or when this function fails; `ctx` is
/// what the actor's callbacks get. Nothing that `actor` points to is needed afterwards. \[CB\] only
/// `drop`
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_group_add(
    group: *const docache_run_group,
    actor: *const docache_run_actor,
    ctx: usize,
    drop: docache_drop_fn,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let registration = Registration { ctx, drop };
    guard(out_error, || {
        // A share, as `drop` may free the group.
        // SAFETY: the caller's promise.
        let runner = unsafe { borrow(group, "group") }?.runner.clone();
        // SAFETY: the caller's promise.
        let plan = unsafe { ActorPlan::new(actor, ctx) }?;
        runner.add(Part::Actor(plan), registration)?;
        Ok(DOCACHE_OK)
    })
}

/// Gives what is behind a handle to a group, as an actor, and frees the handle.
///
/// # Safety
/// HANDLE, SPAN.
unsafe fn give_away<H: Runs>(
    group: *const docache_run_group,
    (name, name_len): (*const c_char, usize),
    stage: u32,
    inner: *mut H,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let outer = unsafe { borrow(group, "group") }?;
        // SAFETY: the caller's promise.
        let runner = unsafe { borrow(inner, "inner") }?.runner();
        // SAFETY: the caller's promise.
        let name = unsafe { name_of(name, name_len, "name") }?;
        outer.runner.give(name, stage, runner)?;
        // SAFETY: HANDLE: it came from `Box::into_raw` and was given away.
        drop(unsafe { Box::from_raw(inner) });
        Ok(DOCACHE_OK)
    })
}

/// Adds another group, `inner`, as an actor of this one, with stages and deadlines of its own. It
/// is interrupted when the outer group stops; its actors appear in reports as "name/actor"; its
/// failures and signals are the outer group's too.
///
/// OK: `inner` belongs to the outer group and must not be used any more, nor freed; its handles of
/// docache_run_group_handle go on stopping it. With any other status it stays the caller's: BUSY or
/// CLOSED if one of the two runs, or has run. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_group_add_group(
    group: *const docache_run_group,
    name: *const c_char,
    name_len: usize,
    stage: u32,
    inner: *mut docache_run_group,
    out_error: *mut *mut docache_error,
) -> docache_status {
    if std::ptr::eq(group, inner) && !group.is_null() {
        return guard(out_error, || {
            Err(Error::invalid_argument("inner", "the group itself", "give another group"))
        });
    }
    // SAFETY: the caller's promise.
    unsafe { give_away(group, (name, name_len), stage, inner, out_error) }
}

/// Adds a loop as an actor of the group, in the manner of docache_run_group_add_group. It stops
/// only when it is interrupted. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_group_add_loop(
    group: *const docache_run_group,
    name: *const c_char,
    name_len: usize,
    stage: u32,
    inner: *mut docache_run_loop,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the caller's promise.
    unsafe { give_away(group, (name, name_len), stage, inner, out_error) }
}

/// Has the group stop, without a failure, when the process is sent one of `signals`, by number;
/// with a `count` of 0: SIGINT (Ctrl-C) or SIGTERM. A second one while it stops ends the wait for
/// its actors at once, and the report says so.
///
/// They are listened to from this call on, until the group is over; then they do what they did
/// before. Handlers of the program's own are called as well. In a group inside another one it stops
/// that one, too, but hears nothing after its own group's end: it belongs in the outermost.
///
/// BUSY or CLOSED as docache_run_group_add. UNSUPPORTED if the library was built without the
/// feature `signals`, or for a system without them. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_group_add_signals(
    group: *const docache_run_group,
    signals: *const c_int,
    count: usize,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let group = unsafe { borrow(group, "group") }?;
        // SAFETY: the caller's promise.
        let numbers = unsafe { numbers(signals, count) }?;
        add_signals(group, numbers)?;
        Ok(DOCACHE_OK)
    })
}

/// # Safety
/// SPAN.
unsafe fn numbers<'a>(signals: *const c_int, count: usize) -> Result<&'a [c_int]> {
    if count == 0 {
        return Ok(&[]);
    }
    crate::ffi::boundary::check(signals, "signals")?;
    if count > isize::MAX as usize / size_of::<c_int>() {
        return Err(Error::invalid_argument("count", count, "give the length of a real array"));
    }
    // SAFETY: SPAN; not NULL, aligned, and no longer than any object can be.
    Ok(unsafe { std::slice::from_raw_parts(signals, count) })
}

#[cfg(all(unix, feature = "signals"))]
fn add_signals(group: &docache_run_group, numbers: &[c_int]) -> Result<()> {
    use crate::run::{DEFAULT_SIGNALS, Signal, signals};
    let actor = if numbers.is_empty() {
        signals(DEFAULT_SIGNALS)?
    } else {
        signals(numbers.iter().map(|number| Signal::from_number(*number)))?
    };
    group.runner.add(Part::Signals(actor), ())
}

#[cfg(not(all(unix, feature = "signals")))]
fn add_signals(_: &docache_run_group, _: &[c_int]) -> Result<()> {
    Err(crate::ffi::boundary::unsupported("docache_run_group_add_signals", "signals"))
}

/// Gives a stage a deadline of its own: how long its actors may take to stop, counted from their
/// interrupts. BUSY or CLOSED as docache_run_group_add. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_group_stage_deadline(
    group: *const docache_run_group,
    stage: u32,
    timeout_ns: i64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the caller's promise.
    unsafe { runs::stage_deadline((group, "group"), stage, timeout_ns, out_error) }
}

/// Writes a share of what stops the group from anywhere, also after it was freed. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_group_handle(
    group: *const docache_run_group,
    out: *mut *mut docache_run_handle,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the caller's promise.
    unsafe { runs::hand_out((group, "group"), out, out_error) }
}

/// docache_run_handle_stop for the group. It may come from anywhere, one of its actors included.
/// \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_group_stop(
    group: *const docache_run_group,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the caller's promise.
    unsafe { runs::stop((group, "group"), out_error) }
}

/// Runs the actors, each on a thread of its own, and blocks until they have stopped or been given
/// up. The group stops when the first actor fails (or returns: `stop_on`), when it is told to, at a
/// signal, or when it is freed. Then its actors are interrupted, stage by stage, and waited for,
/// each stage until its deadline. An actor that has not begun by then does not begin.
///
/// OK: it has stopped without a failure. DOER_FAILED or PANIC: an actor has failed, and that was
/// why it stopped; INTERNAL: the system gave no thread for one; the error has the actor's name, and
/// the number that it gave. TIMEOUT: actors have not stopped by their deadlines; the error names
/// them; their threads go on, and so the group cannot be freed before they return, but see
/// docache_run_group_detach. The report, which the caller frees, is written with all of these;
/// `out_report` may be NULL. A panic in an interrupt is PANIC, too.
///
/// BUSY: the group runs already. CLOSED: it has run; each group is run once. \[CB\] \[BLK\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_group_run(
    group: *const docache_run_group,
    out_report: *mut *mut docache_run_report,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the caller's promise.
    unsafe { runs::run((group, "group"), out_report, out_error) }
}

/// Frees the handle. If the group runs, it is told to stop; this waits until the run is over and
/// all callbacks have returned, those of actors that were left behind included. When this has
/// returned none of them runs or will, and every `drop` has been called. It is fine while a
/// docache_run_group_run is under way, whose caller gets the report.
///
/// Inside a callback of the group's own, or of a group inside it, it returns at once, and all that
/// happens when the run and the callback are over. Inside callbacks of other objects it waits,
/// unless a thread that it waits for is freeing that object, or runs it. NULL is fine. \[CB\] only
/// `drop` \[BLK\]
///
/// # Safety
/// HANDLE; nothing else may be going on with the handle, but a docache_run_group_run that has begun
/// to call its actors, and calls from inside of which it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_group_free(group: *mut docache_run_group) {
    // SAFETY: the caller's promise.
    unsafe { runs::free(group, true) }
}

/// Frees the handle without waiting: for programs that go on although an actor is stuck. What runs
/// goes on until it is over, with all that its callbacks use, and then each `drop` is called. NULL
/// is fine. \[CB\] only `drop`
///
/// # Safety
/// As docache_run_group_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_group_detach(group: *mut docache_run_group) {
    // SAFETY: the caller's promise.
    unsafe { runs::free(group, false) }
}
