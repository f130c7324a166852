//! The table of those who wait, for systems of whose futex we know nothing.

#[cfg(not(docache_loom))]
use std::sync::LazyLock;
use std::time::Duration;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::thread::{Parker, Unparker};

const BUCKETS: usize = if cfg!(docache_loom) { 1 } else { 64 };

/// Those who wait for words whose addresses lie here, in their order.
#[derive(Default)]
pub(super) struct Bucket {
    /// Whose process they are.
    process: u32,
    waiters: Vec<(usize, Unparker)>,
}

type Table = [Mutex<Bucket>; BUCKETS];

#[cfg(not(docache_loom))]
static TABLE: LazyLock<Table> = LazyLock::new(|| std::array::from_fn(|_| Mutex::default()));

#[cfg(docache_loom)]
loom::lazy_static! {
    static ref TABLE: Table = std::array::from_fn(|_| Mutex::new(Bucket::default()));
}

/// Does something with the bucket of an address.
fn with<R>(address: usize, f: impl FnOnce(&mut Vec<(usize, Unparker)>) -> R) -> R {
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

/// Sleeps if the word is still `seen`. There is no limit: it is for those who could miss a wake,
/// which nobody does here.
pub(crate) fn wait(word: &AtomicU32, seen: u32, _limit: Option<Duration>) {
    let address = std::ptr::from_ref(word).addr();
    let parker = with(address, |waiters| {
        (word.load(Ordering::Relaxed) == seen).then(|| {
            let parker = Parker::new();
            waiters.push((address, parker.unparker().clone()));
            parker
        })
    });
    if let Some(parker) = parker {
        parker.park();
    }
}

/// Wakes one of those who wait, and says whether there was one.
pub(crate) fn wake_one(word: &AtomicU32) -> bool {
    let address = std::ptr::from_ref(word).addr();
    let first = with(address, |waiters| {
        let first = waiters.iter().position(|waiter| waiter.0 == address);
        first.map(|first| waiters.remove(first))
    });
    first.inspect(|(_, unparker)| unparker.unpark()).is_some()
}
