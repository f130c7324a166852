//! The system's clock, replaced: a program that is slowed down fifty times, and on a busy machine
//! more, sees time pass as if it ran at its own speed.
//!
//! What docache does by the clock (a grace period is begun each 100 µs at most) would otherwise be
//! done as often as the machine pleases. Time moves with each look at it, which a writer takes once
//! in fourteen writes. It begins far ahead of the real time: threads that wait until some moment
//! wait for as long as the program lives. So do threads that sleep, that is the one that ticks: by
//! real time it would stop in the midst of what is counted on a slow machine, and not before its
//! end on a fast one. Before its first tick reads take another way, hence [`wait_until_ticking`].

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

use docache::{Clock, CoarseClock};
use libc::{clockid_t, pause, timespec};

/// How far each look moves the clock, in nanoseconds: as long as fourteen writes take.
const STEP: i64 = 1_000;
const SECOND: i64 = 1_000_000_000;
/// Where it begins: in the year 2106.
const BEGIN: i64 = (1 << 32) * SECOND;

static NOW: AtomicI64 = AtomicI64::new(BEGIN);

/// Whether a thread sleeps.
static SLEEPS: AtomicBool = AtomicBool::new(false);

/// Returns when the clock that caches go by has ticked. It never stops.
pub(crate) fn wait_until_ticking() {
    let _ = CoarseClock.now();
    while !SLEEPS.load(Ordering::Acquire) {
        thread::yield_now();
    }
}

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

/// Takes the place of the C library's function in this program, and does not return.
#[unsafe(no_mangle)]
extern "C" fn clock_nanosleep(
    _clock: clockid_t,
    _flags: c_int,
    _time: *const timespec,
    _left: *mut timespec,
) -> c_int {
    SLEEPS.store(true, Ordering::Release);
    loop {
        // SAFETY: it only waits for signals.
        unsafe { pause() };
    }
}
