//! The table of those who wait, for systems of whose futex we know nothing.

#[cfg(not(docache_loom))]
use std::sync::LazyLock;
use std::time::Duration;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::thread::{Parker, Unparker};

const BUCKETS: usize = if cfg!(docache_loom) { 1 } else { 64 };

struct Waiter {
    address: usize,
    /// No other wait has it.
    number: u64,
    unparker: Unparker,
}

/// Those who wait for words whose addresses lie here, in their order.
#[derive(Default)]
pub(super) struct Bucket {
    /// Whose process they are.
    process: u32,
    waiters: Vec<Waiter>,
}

type Table = [Mutex<Bucket>; BUCKETS];

#[cfg(not(docache_loom))]
static TABLE: LazyLock<Table> = LazyLock::new(|| std::array::from_fn(|_| Mutex::default()));

#[cfg(docache_loom)]
loom::lazy_static! {
    static ref TABLE: Table = std::array::from_fn(|_| Mutex::new(Bucket::default()));
}

/// Does something with the bucket of an address.
fn with<R>(address: usize, f: impl FnOnce(&mut Vec<Waiter>) -> R) -> R {
    // Fibonacci hashing: the uppermost bits depend on all.
    let mix = (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58;
    let mut bucket = TABLE[mix as usize % BUCKETS].lock();
    let process = std::process::id();
    if bucket.process != process {
        bucket.process = process;
        bucket.waiters.clear();
    }
    f(&mut bucket.waiters)
}

/// Sleeps if the word is still `seen`, at most for so long.
pub(crate) fn wait(word: &AtomicU32, seen: u32, limit: Option<Duration>) {
    static WAITS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let address = std::ptr::from_ref(word).addr();
    let number = WAITS.fetch_add(1, Ordering::Relaxed);
    let parker = with(address, |waiters| {
        (word.load(Ordering::Relaxed) == seen).then(|| {
            let parker = Parker::new();
            waiters.push(Waiter { address, number, unparker: parker.unparker().clone() });
            parker
        })
    });
    let Some(parker) = parker else { return };
    park(&parker, limit);
    if limit.is_some() {
        // If nobody has woken it. Else a later wake would be for one who is not there.
        with(address, |waiters| waiters.retain(|waiter| waiter.number != number));
    }
}

#[cfg(not(docache_loom))]
fn park(parker: &Parker, limit: Option<Duration>) {
    match limit {
        Some(limit) => parker.park_timeout(limit),
        None => parker.park(),
    }
}

/// Models have no time: no limit passes.
#[cfg(docache_loom)]
fn park(parker: &Parker, _: Option<Duration>) {
    parker.park();
}

/// Wakes one of those who wait, and says whether there was one.
pub(crate) fn wake_one(word: &AtomicU32) -> bool {
    let address = std::ptr::from_ref(word).addr();
    let first = with(address, |waiters| {
        let first = waiters.iter().position(|waiter| waiter.address == address);
        first.map(|first| waiters.remove(first))
    });
    first.inspect(|waiter| waiter.unparker.unpark()).is_some()
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_when_its_time_is_over_is_not_woken() {
        let word = AtomicU32::new(7);
        wait(&word, 7, Some(Duration::from_millis(1)));
        assert!(!wake_one(&word), "nobody is there");
        wait(&word, 8, None);
    }

    #[test]
    fn who_waits_with_a_limit_is_woken_before_it() {
        let word = AtomicU32::new(7);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| wait(&word, 7, Some(Duration::MAX)));
            while !wake_one(&word) {
                std::thread::yield_now();
            }
            waiter.join().unwrap();
        });
    }
}
