//! Family `loop`: its life. Reading is in `loop_reads`, waiting in `loop_waits`.

use std::ffi::c_char;
use std::sync::Arc;
use std::time::Duration;

use super::gate::{self, Gate};
use super::logger::docache_logger;
use super::options::{self, Options};
use super::perform::{self, Perform, docache_perform_fn};
use super::value::Value;
use super::{
    DOCACHE_MISS, DOCACHE_OK, Out, Registration, borrow, check, docache_drop_fn, docache_error,
    docache_status, guard, is_usable, quietly, text, timeout,
};
use crate::clock::saturating_nanos;
use crate::context::Context;
use crate::error::{BoxError, Error, Result};
use crate::log::Logger;
use crate::loop_cache::{Doer, LoopCache, Schedule};

/// A negative `timeout_ns`: no limit.
pub const DOCACHE_FOREVER: i64 = -1;
/// The interval counts from the end of the last call.
pub const DOCACHE_FIXED_DELAY: u32 = 0;
/// The interval counts from when the last call was due; ticks that pass during a call are skipped.
pub const DOCACHE_FIXED_RATE: u32 = 1;

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

/// How a loop cache is to run. Begin with DOCACHE_LOOP_OPTIONS_INIT and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_loop_options {
    /// sizeof(docache_loop_options), as the caller was compiled.
    pub size: usize,
    /// The time between calls. Required: 0 is refused.
    pub interval_ns: u64,
    /// How long after a start the first call comes; 0: at once.
    pub first_delay_ns: u64,
    /// Each wait is lengthened by a random time of up to this.
    pub jitter_ns: u64,
    /// How many results a snapshot shows at most; they take memory as they come. 0: snapshots are
    /// empty, and only the latest success is kept.
    pub capacity: usize,
    /// The thread's name, of which the system may show 15 bytes, and the target of log records;
    /// copied. "docache-loop" if `name_len` is 0.
    pub name: *const c_char,
    /// The length of `name`.
    pub name_len: usize,
    /// Who is told of failures, starts and stops; the loop takes a share of its own. NULL: nobody.
    pub logger: *mut docache_logger,
    /// DOCACHE_FIXED_DELAY or DOCACHE_FIXED_RATE.
    pub schedule: u32,
    /// 0.
    pub reserved: u32,
}

/// Counters since the loop cache was made.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_loop_counters {
    /// In: sizeof(docache_loop_counters), as the caller was compiled. Stays as it is.
    pub size: usize,
    /// Calls of the Doer that have ended.
    pub calls: u64,
    /// Those that failed or panicked.
    pub failures: u64,
    /// Those that panicked.
    pub panics: u64,
    /// Failures since the last success.
    pub consecutive_failures: u64,
    /// Ticks of a fixed rate that were left out because they had passed when a call ended.
    pub skipped_ticks: u64,
    /// How long the last call took.
    pub last_duration_ns: u64,
    /// How long after it was due the last call began.
    pub last_lateness_ns: u64,
    /// The greatest lateness of all calls.
    pub max_lateness_ns: u64,
    /// 1 while the loop is running.
    pub running: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: it is, it is, and all of its fields are numbers and pointers.
unsafe impl Options for docache_loop_options {
    const NAME: &'static str = "docache_loop_options";
}

/// A Doer on the other side of the boundary.
struct ForeignDoer {
    perform: Option<Perform>,
    registration: Registration,
    gate: Arc<Gate>,
}

impl Doer for ForeignDoer {
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
unsafe fn build(options: &docache_loop_options, doer: ForeignDoer) -> Result<docache_loop> {
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
    options::reserved("options.reserved", options.reserved)?;
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
        let options = unsafe { options::read(options) }?;
        // SAFETY: the caller's promise.
        let made = unsafe { build(&options, ForeignDoer { perform, registration, gate: Gate::new() }) }?;
        out.write(Box::into_raw(Box::new(made)));
        Ok(DOCACHE_OK)
    })
}

/// Stops the loop, waits for the Doer's call under way, and frees the handle. When it has returned the Doer was dropped, and
/// the logger hears nothing more of the loop. Called from inside the Doer, or from the logger while that hears of this loop, it
/// does not wait: the Doer, which must not use the handle any more, is called no more, and is dropped when the run ends; that of
/// docache_loop_run before that returns. Called from inside callbacks of other objects it waits, unless these are being freed
/// by who is waited for. Called from elsewhere, it is the caller's part that the Doer no longer uses the handle either.
/// Snapshots, values and waits stay valid. NULL is fine. \[CB\] \[BLK\]
///
/// # Safety
/// HANDLE; nothing else may be going on with the handle, but calls from inside of which it is freed.
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

/// Starts the loop on a thread of its own. A loop that is running is fine; one that is about to stop runs again as soon
/// as the Doer's call ends. On Unix the thread blocks all signals but SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP, as all
/// threads of the library do; threads and processes that the Doer starts inherit that. \[CB\] only the logger
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

/// Runs the loop on the calling thread until it is stopped; BUSY if it is running already. \[CB\] \[BLK\]
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
    // SAFETY: the caller's promise.
    quietly(false, || unsafe { borrow(handle, "handle") }.is_ok_and(|handle| handle.cache.is_running()))
}

/// Fills `out`; a part of it that this library does not know becomes zero. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_stats(
    handle: *const docache_loop,
    out: *mut docache_loop_counters,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(handle, "handle") }?;
        check(out, "out")?;
        // SAFETY: SPAN: the first field is readable, whatever the size.
        let size = unsafe { out.cast::<usize>().read() };
        const OURS: usize = size_of::<docache_loop_counters>();
        if !(OURS..=options::LARGEST).contains(&size) {
            return Err(Error::invalid_argument("out.size", size, "give sizeof(docache_loop_counters)"));
        }
        let stats = handle.cache.stats();
        let filled = docache_loop_counters {
            size,
            calls: stats.calls,
            failures: stats.failures,
            panics: stats.panics,
            consecutive_failures: stats.consecutive_failures,
            skipped_ticks: stats.skipped_ticks,
            last_duration_ns: saturating_nanos(stats.last_duration),
            last_lateness_ns: saturating_nanos(stats.last_lateness),
            max_lateness_ns: saturating_nanos(stats.max_lateness),
            running: u32::from(stats.running),
            reserved: 0,
        };
        // SAFETY: SPAN: the caller's struct has `size` bytes.
        unsafe { out.cast::<u8>().write_bytes(0, size) };
        // SAFETY: SPAN, and `size` is at least ours.
        unsafe { out.write(filled) };
        Ok(DOCACHE_OK)
    })
}

/// The last failure's error, also after later successes; MISS if there was none. The caller releases it. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_loop_last_error(
    handle: *const docache_loop,
    out: *mut *mut docache_error,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let Some(error) = unsafe { borrow(handle, "handle") }?.cache.stats().last_error else {
            return Ok(DOCACHE_MISS);
        };
        out.write(error.into_ptr().cast_mut().cast());
        Ok(DOCACHE_OK)
    })
}
