//! Family `loop`: the life of a loop.

use std::sync::Arc;
use std::time::Duration;

use super::executor::LoopExecutor;
use super::options::{DOCACHE_FIXED_DELAY, DOCACHE_FIXED_RATE, docache_loop_options};
use crate::context::Context;
use crate::error::{BoxError, Error, Result};
use crate::ffi::boundary::{
    DOCACHE_OK, Out, Registration, borrow, docache_drop_fn, docache_error, docache_status, guard,
    is_usable, quietly, text, timeout, versioned,
};
use crate::ffi::gate::{self, Gate};
use crate::ffi::perform::{self, Perform, docache_perform_fn};
use crate::ffi::value::Value;
use crate::log::Logger;
use crate::loop_cache::{Doer, LoopCache, Schedule};

/// A loop cache: calls a Doer at an interval and keeps its last results for readers.
#[derive(Debug)]
pub struct docache_loop {
    pub(super) cache: LoopCache<Value>,
    /// Whether it has a Doer of its own; without one, only its host can drive it.
    performs: bool,
    gate: Arc<Gate>,
}

impl docache_loop {
    fn performing(&self) -> Result<&LoopCache<Value>> {
        if self.performs {
            return Ok(&self.cache);
        }
        Err(Error::invalid_argument(
            "handle",
            "a loop made without a perform",
            "drive it: docache_loop_drive",
        ))
    }
}

/// A Doer on the other side of the boundary.
struct CallbackDoer {
    perform: Option<Perform>,
    registration: Registration,
    gate: Arc<Gate>,
}

impl Doer for CallbackDoer {
    type Output = Value;
    type Error = BoxError;

    fn perform(&mut self) -> Result<Value, BoxError> {
        let Some(perform) = self.perform else { return Err("the loop has no perform".into()) };
        gate::serve(&self.gate);
        // SAFETY: CALLBACK.
        let called = self.gate.during(|| unsafe { perform::call(perform, self.registration.ctx) });
        called.unwrap_or_else(|| Err("the loop was freed".into()))
    }
}

/// A logger that calls back for a loop. The loop's share of it lies behind the gate.
fn logger_of(gate: &Arc<Gate>, logger: Logger) -> Logger {
    let max = logger.max();
    let share = Arc::new(logger);
    let (gate, weak) = (gate.clone(), Arc::downgrade(&share));
    gate.keep(share);
    Logger::new(max, move |record| {
        gate.during(|| weak.upgrade().map(|logger| logger.pass(record)));
    })
}

/// # Safety
/// HANDLE, SPAN for what the options point to.
unsafe fn build(options: &docache_loop_options, doer: CallbackDoer) -> Result<docache_loop> {
    let schedule = match options.schedule {
        DOCACHE_FIXED_DELAY => Schedule::FixedDelay,
        DOCACHE_FIXED_RATE => Schedule::FixedRate,
        other => {
            return Err(Error::invalid_argument(
                "options.schedule",
                other,
                "give DOCACHE_FIXED_DELAY or _RATE",
            ));
        }
    };
    versioned::reserved("options.reserved", options.reserved)?;
    if options.interval_ns == 0 {
        return Err(Error::invalid_argument("options.interval_ns", 0, "give at least 1"));
    }
    let (performs, gate) = (doer.perform.is_some(), doer.gate.clone());
    let mut builder = LoopCache::builder(doer)
        .interval(Duration::from_nanos(options.interval_ns))
        .first_delay(Duration::from_nanos(options.first_delay_ns))
        .jitter(Duration::from_nanos(options.jitter_ns))
        .capacity(options.capacity)
        .schedule(schedule)
        // What there is of it lies behind the boundary.
        .stateless();
    // SAFETY: the caller's promise.
    let name = unsafe { text(options.name, options.name_len, "options.name") }?;
    if name.contains('\0') {
        return Err(Error::invalid_argument(
            "options.name",
            format_args!("{name:?}"),
            "give a name without NUL",
        ));
    }
    if !name.is_empty() {
        builder = builder.name(name);
    }
    if !options.logger.is_null() {
        // SAFETY: the caller's promise.
        let logger = unsafe { borrow(options.logger, "options.logger") }?.logger();
        builder = builder.logger(logger_of(&gate, logger));
    }
    if !options.scheduler.is_null() {
        // SAFETY: the caller's promise.
        let scheduler = unsafe { borrow(options.scheduler, "options.scheduler") }?.scheduler();
        builder = builder.scheduler(&LoopExecutor::new(scheduler, &gate));
    }
    Ok(docache_loop { cache: builder.build()?, performs, gate })
}

/// Makes a loop cache, not yet started. `drop(ctx)`, if there is a `drop`, is called exactly once,
/// after the last call of `perform`, the Doer of this loop, also when this function fails. Without
/// a `perform` only its host can drive it: see docache_loop_drive. Nothing that `options` point to
/// is needed afterwards. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_new(
    options: *const docache_loop_options,
    perform: docache_perform_fn,
    ctx: usize,
    drop: docache_drop_fn,
    out: *mut *mut docache_loop,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let registration = Registration { ctx, drop };
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { versioned::read(options) }?;
        // SAFETY: the caller's promise.
        let made =
            unsafe { build(&options, CallbackDoer { perform, registration, gate: Gate::new() }) }?;
        out.write(Box::into_raw(Box::new(made)));
        Ok(DOCACHE_OK)
    })
}

/// Stops the loop, waits for the Doer's call under way, and frees the handle. When it has returned
/// the Doer was dropped, and the logger hears nothing more of the loop. Called from inside the
/// Doer, or from the logger while that hears of this loop, it does not wait: the Doer, which must
/// not use the handle any more, is called no more, and is dropped when the run ends; that of
/// docache_loop_run before that returns. Called from inside callbacks of other objects it waits,
/// unless the thread that it waits for is freeing that object. Called from elsewhere, the caller
/// sees to it that the Doer no longer uses the handle either. Snapshots, values and waits stay
/// valid. NULL is fine. \[CB\] \[BLK\]
///
/// # Safety
/// HANDLE; nothing else may be going on with the handle, but calls from inside of which it is
/// freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_free(handle: *mut docache_loop) {
    if !is_usable(handle) {
        return;
    }
    quietly((), || {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        let owned = unsafe { Box::from_raw(handle) };
        let gate = owned.gate.clone();
        // If somebody waits for this thread, the loop stops and ends without being waited for.
        let Some(_wait) = gate.begin_wait() else { return drop(owned) };
        if owned.cache.is_driven() {
            owned.cache.ask_to_stop();
        } else {
            owned.cache.stop();
        }
        gate.close(owned);
    });
}

/// Starts the loop on a thread of its own, or on its scheduler. A loop that is running is fine; one
/// that is about to stop runs again as soon as the Doer's call ends. On Unix the thread blocks all
/// signals but SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP, as all threads of the library do;
/// threads and processes that the Doer starts inherit that. CLOSED if its scheduler was shut down.
/// \[CB\] only the logger
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_start(
    handle: *const docache_loop,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        unsafe { borrow(handle, "handle") }?.performing()?.start()?;
        Ok(DOCACHE_OK)
    })
}

/// Runs the loop on the calling thread until it is stopped; BUSY if it is running already. \[CB\]
/// \[BLK\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_run(
    handle: *const docache_loop,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(handle, "handle") }?;
        // The loop may be gone when the frame is.
        let (cache, gate) = (handle.performing()?, handle.gate.clone());
        gate.call(|| cache.run(&Context::background()))?;
        Ok(DOCACHE_OK)
    })
}

/// Stops the loop and waits until the Doer's call under way has ended, or until the host that
/// drives it has freed the drive; a loop that is not running is fine. TIMEOUT: that is not so yet,
/// and the loop stops when it is. From inside the Doer it asks and returns OK at once. A refresh
/// that has been asked for and not been served gets CLOSED. \[BLK\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_stop(
    handle: *const docache_loop,
    timeout_ns: i64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(handle, "handle") }?;
        match timeout(timeout_ns) {
            None => handle.cache.stop(),
            Some(limit) => handle.cache.stop_within(limit)?,
        }
        Ok(DOCACHE_OK)
    })
}

/// Whether the loop is running; false for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_is_running(handle: *const docache_loop) -> bool {
    quietly(false, || {
        // SAFETY: the caller's promise.
        unsafe { borrow(handle, "handle") }.is_ok_and(|handle| handle.cache.is_running())
    })
}
