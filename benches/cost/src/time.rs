//! The system's clock, replaced: a program that is slowed down fifty times, and on a busy machine
//! more, sees time pass as if it ran at its own speed.
//!
//! What docache does by the clock (a grace period is begun each 100 µs at most) would otherwise be
//! done as often as the machine pleases. Time moves with each look at it, which a writer takes once
//! in sixteen writes. It begins far ahead of the real time: threads that wait until some moment
//! wait for as long as the program lives.

use std::ffi::c_int;
use std::sync::atomic::{AtomicI64, Ordering};

use libc::{clockid_t, timespec};

/// How far each look moves the clock, in nanoseconds: as long as sixteen writes take.
const STEP: i64 = 1_000;
const SECOND: i64 = 1_000_000_000;
/// Where it begins: in the year 2106.
const BEGIN: i64 = (1 << 32) * SECOND;

static NOW: AtomicI64 = AtomicI64::new(BEGIN);

/// Takes the place of the C library's function in this program.
///
/// # Safety
/// `time` may be written to.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(_clock: clockid_t, time: *mut timespec) -> c_int {
    let now = NOW.fetch_add(STEP, Ordering::Relaxed);
    // SAFETY: the caller's promise.
    unsafe { time.write(timespec { tv_sec: now / SECOND, tv_nsec: now % SECOND }) };
    0
}
