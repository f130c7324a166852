//! Family `run`: loops.

use std::sync::Arc;

use super::actor::{LoopActorPlan, docache_run_loop_actor};
use super::handle::docache_run_handle;
use super::options::docache_run_loop_options;
use super::report::docache_run_report;
use super::runner::{Part, Runner};
use super::runs::{self, Runs};
use crate::ffi::boundary::{
    DOCACHE_OK, Out, Registration, borrow, docache_drop_fn, docache_error, docache_status, guard,
    versioned,
};

/// A loop: actors that are repeated until it is stopped, whatever they fail with. It is run once,
/// and then only good for being freed.
#[derive(Debug)]
pub struct docache_run_loop {
    runner: Arc<Runner>,
}

impl Runs for docache_run_loop {
    fn runner(&self) -> &Arc<Runner> {
        &self.runner
    }
}

/// Makes a loop without actors; running, it waits to be stopped. `options` may be NULL: all
/// defaults. Nothing that they point to is needed afterwards. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_loop_new(
    options: *const docache_run_loop_options,
    out: *mut *mut docache_run_loop,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { versioned::optional(options) }?;
        let options = options.unwrap_or_else(docache_run_loop_options::defaults);
        // SAFETY: the caller's promise.
        let runner = unsafe { Runner::repeated(&options) }?;
        out.write(Box::into_raw(Box::new(docache_run_loop { runner })));
        Ok(DOCACHE_OK)
    })
}

/// Adds an actor, to a loop that has not run yet; else BUSY or CLOSED. `drop(ctx)` is called as by
/// docache_run_group_add. Nothing that `actor` points to is needed afterwards. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_loop_add(
    handle: *const docache_run_loop,
    actor: *const docache_run_loop_actor,
    ctx: usize,
    drop: docache_drop_fn,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let registration = Registration { ctx, drop };
    guard(out_error, || {
        // A share, as `drop` may free the loop.
        // SAFETY: the caller's promise.
        let runner = unsafe { borrow(handle, "handle") }?.runner.clone();
        // SAFETY: the caller's promise.
        let plan = unsafe { LoopActorPlan::new(actor, ctx) }?;
        runner.add(Part::LoopActor(plan), registration)?;
        Ok(DOCACHE_OK)
    })
}

/// As docache_run_group_stage_deadline. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_loop_stage_deadline(
    handle: *const docache_run_loop,
    stage: u32,
    timeout_ns: i64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the caller's promise.
    unsafe { runs::stage_deadline((handle, "handle"), stage, timeout_ns, out_error) }
}

/// Writes a share of what stops the loop from anywhere, also after it was freed. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_loop_handle(
    handle: *const docache_run_loop,
    out: *mut *mut docache_run_handle,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the caller's promise.
    unsafe { runs::hand_out((handle, "handle"), out, out_error) }
}

/// docache_run_handle_stop for the loop. It may come from anywhere, one of its actors included.
/// \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_loop_stop(
    handle: *const docache_run_loop,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the caller's promise.
    unsafe { runs::stop((handle, "handle"), out_error) }
}

/// Repeats the actors, each on a thread of its own, and blocks until the loop was told to stop (or
/// was freed) and they have stopped, or been given up. A wait between two calls ends at once then,
/// and no call begins any more, but for actors of later stages, which go on until it is their turn.
///
/// OK: so it has stopped; the report has the failures. TIMEOUT, INTERNAL, PANIC, BUSY and CLOSED,
/// and the report, as docache_run_group_run has them. \[CB\] \[BLK\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_loop_run(
    handle: *const docache_run_loop,
    out_report: *mut *mut docache_run_report,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the caller's promise.
    unsafe { runs::run((handle, "handle"), out_report, out_error) }
}

/// Frees the handle, as docache_run_group_free. \[CB\] only `drop` \[BLK\]
///
/// # Safety
/// As docache_run_group_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_loop_free(handle: *mut docache_run_loop) {
    // SAFETY: the caller's promise.
    unsafe { runs::free(handle, true) }
}

/// Frees the handle without waiting, as docache_run_group_detach. \[CB\] only `drop`
///
/// # Safety
/// As docache_run_group_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_run_loop_detach(handle: *mut docache_run_loop) {
    // SAFETY: the caller's promise.
    unsafe { runs::free(handle, false) }
}
