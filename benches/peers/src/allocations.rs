//! The allocator of the tests, which counts what each thread asks of it, and on a [`Scale`] what
//! all hold.
//!
//! All families run over it. What it adds is one addition to a thread's own word per allocation and
//! a look at a word that hardly ever changes, below what can be measured beside an allocation. Only
//! while there is a [`Scale`] are the bytes of all threads added up.

#[path = "../../../tests/common/allocations.rs"]
mod counting;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use counting::Counting;
pub(crate) use counting::on_this_thread;

/// Whether bytes are added up.
static WEIGHING: AtomicBool = AtomicBool::new(false);
/// Bytes asked for and not given back since.
static ASKED: AtomicI64 = AtomicI64::new(0);
/// The same, as glibc's malloc rounds them up.
static TAKEN: AtomicI64 = AtomicI64::new(0);

/// What all threads have asked for, less what they have given back, since the scale was made.
#[derive(Debug)]
pub(crate) struct Scale(());

/// What lies on a scale, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    /// As asked for.
    pub(crate) asked: i64,
    /// With what glibc's malloc adds to each allocation: its header, and a length that is a
    /// multiple of 16, or of a page.
    pub(crate) taken: i64,
}

impl Scale {
    /// An empty scale. There is one at a time.
    pub(crate) fn new() -> Self {
        let second = WEIGHING.swap(true, Ordering::Relaxed);
        assert!(!second, "one scale at a time");
        ASKED.store(0, Ordering::Relaxed);
        TAKEN.store(0, Ordering::Relaxed);
        Scale(())
    }

    /// What lies on it now.
    pub(crate) fn weight(&self) -> Weight {
        Weight { asked: ASKED.load(Ordering::Relaxed), taken: TAKEN.load(Ordering::Relaxed) }
    }
}

impl Drop for Scale {
    fn drop(&mut self) {
        WEIGHING.store(false, Ordering::Relaxed);
    }
}

#[inline]
fn weigh(sign: i64, size: usize) {
    if WEIGHING.load(Ordering::Relaxed) {
        ASKED.fetch_add(sign * size as i64, Ordering::Relaxed);
        TAKEN.fetch_add(sign * taken(size) as i64, Ordering::Relaxed);
    }
}

/// What an allocation of `size` bytes takes of glibc's heap, or of the system where it is large.
fn taken(size: usize) -> usize {
    const LARGE: usize = 128 * 1024;
    if size < LARGE {
        (size + 8).next_multiple_of(16).max(32)
    } else {
        (size + 16).next_multiple_of(4096)
    }
}

/// The allocator.
#[derive(Debug)]
pub(crate) struct Weighing;

// SAFETY: everything is passed on to the allocator that counts; weighing neither allocates nor
// unwinds.
unsafe impl GlobalAlloc for Weighing {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        weigh(1, layout.size());
        // SAFETY: the caller's promise.
        unsafe { Counting.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        weigh(1, layout.size());
        // SAFETY: the caller's promise.
        unsafe { Counting.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        weigh(-1, layout.size());
        weigh(1, size);
        // SAFETY: the caller's promise; `place` came from that allocator.
        unsafe { Counting.realloc(place, layout, size) }
    }

    #[inline]
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        weigh(-1, layout.size());
        // SAFETY: as above.
        unsafe { Counting.dealloc(place, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn allocations_count_for_the_thread_that_makes_them() {
        let before = on_this_thread();
        let elsewhere = std::thread::spawn(|| {
            let before = on_this_thread();
            let mut grown = black_box(vec![1_u64]);
            grown.extend([2; 100]);
            drop(black_box(grown));
            on_this_thread() - before
        });
        assert!(matches!(elsewhere.join(), Ok(2)), "one made, one grown");
        let after_spawn = on_this_thread();
        black_box(0);
        assert_eq!(on_this_thread(), after_spawn);
        drop(black_box(Box::new(1)));
        assert_eq!(on_this_thread(), after_spawn + 1);
        assert!(after_spawn > before, "to spawn a thread allocates");
    }

    #[test]
    fn malloc_rounds_up() {
        assert_eq!([1, 24, 25, 40, 41].map(taken), [32, 32, 48, 48, 64]);
        assert_eq!(taken(1 << 20), (1 << 20) + 4096);
    }

    #[test]
    fn a_scale_shows_what_all_threads_hold() {
        const SIZE: usize = 1 << 28;
        // Other tests run beside this one: what they hold is far less.
        let about = |weight: i64, bytes: usize| weight.abs_diff(bytes as i64) < (SIZE / 4) as u64;
        let scale = Scale::new();
        let elsewhere = std::thread::spawn(|| Vec::<u8>::with_capacity(SIZE)).join();
        assert!(about(scale.weight().asked, SIZE) && about(scale.weight().taken, SIZE));
        drop(black_box(elsewhere));
        assert!(about(scale.weight().asked, 0) && about(scale.weight().taken, 0));
    }
}
