//! Family `logger`: a hook that hangs on objects.

use std::ffi::c_char;
use std::sync::Arc;

use super::boundary::{
    DOCACHE_OK, Out, Registration, docache_drop_fn, docache_error, docache_status, guard,
    is_usable, quietly,
};
use crate::error::{Error, Result};
use crate::log::{Level, Logger, Record};

/// Something broke: a callback panicked.
pub const DOCACHE_LEVEL_ERROR: i32 = 1;
/// Something failed and will be tried again.
pub const DOCACHE_LEVEL_WARN: i32 = 2;
/// A change of state: started, stopped.
pub const DOCACHE_LEVEL_INFO: i32 = 3;
/// Each success.
pub const DOCACHE_LEVEL_DEBUG: i32 = 4;
/// Everything else.
pub const DOCACHE_LEVEL_TRACE: i32 = 5;

/// A message. Its texts are UTF-8, not NUL-terminated, and valid only during the call.
#[repr(C)]
#[derive(Debug)]
pub struct docache_log_record {
    /// The size of this struct as the library knows it.
    pub size: usize,
    /// The name of the object that speaks.
    pub target: *const c_char,
    /// The length of `target`.
    pub target_len: usize,
    /// The text.
    pub message: *const c_char,
    /// The length of `message`.
    pub message_len: usize,
    /// A DOCACHE_LEVEL.
    pub level: i32,
    /// 0.
    pub reserved: u32,
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<docache_log_record>() == 48 && offset_of!(docache_log_record, level) == 40);
};

/// Receives messages, on any thread, perhaps on several at once. It must return. It may free the
/// object that speaks, which then ends when its call or its run is over, and may say so. Of an
/// object that was freed elsewhere it receives nothing more.
pub type docache_log_fn =
    Option<unsafe extern "C-unwind" fn(ctx: usize, record: *const docache_log_record)>;

/// A logger, shared by reference counting; the count is atomic. An object that was given it gives
/// its share back when it is freed, before the free returns, or when it ends, if it was freed
/// inside a callback of its own.
#[derive(Debug)]
pub struct docache_logger(Logger);

impl docache_logger {
    pub(super) fn logger(&self) -> Logger {
        self.0.clone()
    }
}

/// Makes a logger of messages up to `max_level`, a DOCACHE_LEVEL from 1. Loops speak: of starts and
/// stops at INFO, of failures at WARN, of panics at ERROR, of each success at DEBUG. So do
/// docache_run_groups and docache_run_loops: of why they stop at INFO, of failures and of who has
/// not stopped at WARN, of panics at ERROR. Caches and docache_groups do not. `drop` may be NULL.
/// \[CB\] only `drop`
///
/// # Safety
/// HANDLE, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_logger_new(
    log: docache_log_fn,
    ctx: usize,
    drop: docache_drop_fn,
    max_level: i32,
    out: *mut *mut docache_logger,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let registration = Registration { ctx, drop };
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        let log = log.ok_or_else(|| Error::invalid_argument("log", "NULL", "give a function"))?;
        let max = level(max_level)?;
        let logger = Logger::new(max, move |record| pass(log, &registration, record));
        out.write(Arc::into_raw(Arc::new(docache_logger(logger))).cast_mut());
        Ok(DOCACHE_OK)
    })
}

fn pass(
    log: unsafe extern "C-unwind" fn(usize, *const docache_log_record),
    registration: &Registration,
    record: &Record<'_>,
) {
    let record = docache_log_record {
        size: size_of::<docache_log_record>(),
        target: record.target().as_ptr().cast(),
        target_len: record.target().len(),
        message: record.message().as_ptr().cast(),
        message_len: record.message().len(),
        level: record.level() as i32,
        reserved: 0,
    };
    // SAFETY: CALLBACK; the record lives through the call.
    unsafe { log(registration.ctx, &raw const record) };
}

fn level(number: i32) -> Result<Level> {
    Ok(match number {
        DOCACHE_LEVEL_ERROR => Level::Error,
        DOCACHE_LEVEL_WARN => Level::Warn,
        DOCACHE_LEVEL_INFO => Level::Info,
        DOCACHE_LEVEL_DEBUG => Level::Debug,
        DOCACHE_LEVEL_TRACE => Level::Trace,
        _ => {
            return Err(Error::invalid_argument(
                "max_level",
                number,
                "give a DOCACHE_LEVEL, 1 to 5",
            ));
        }
    })
}

/// Takes one more share; returns its argument. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_logger_retain(
    logger: *const docache_logger,
) -> *mut docache_logger {
    if is_usable(logger) {
        // SAFETY: HANDLE: the caller has a share.
        unsafe { Arc::increment_strong_count(logger) };
    }
    logger.cast_mut()
}

/// Gives a share back. NULL is fine. \[CB\] only `drop`
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_logger_release(logger: *const docache_logger) {
    if is_usable(logger) {
        // SAFETY: HANDLE: the share given back is the caller's.
        quietly((), || drop(unsafe { Arc::from_raw(logger) }));
    }
}
