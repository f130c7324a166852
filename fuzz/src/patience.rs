//! Waiting for what another thread is about to do.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What takes longer than this will never happen.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not hold within [`LIMIT`]: that is a finding.
pub fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    let mut looks = 0_u32;
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        looks += 1;
        if looks < 100 {
            std::thread::yield_now();
        } else {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

/// How many threads this process has, where the system tells.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// The threads that were there before a case.
#[derive(Clone, Copy, Debug)]
pub struct Threads(usize);

impl Threads {
    /// Counts them.
    pub fn now() -> Threads {
        static FIRST: OnceLock<usize> = OnceLock::new();
        Threads(*FIRST.get_or_init(threads))
    }

    /// Waits until all threads that came later are gone, those that nobody joins too: what a thread
    /// holds while it ends looks like a leak.
    pub fn await_end(self) {
        soon("the end of all threads", || threads() <= self.0);
    }
}
