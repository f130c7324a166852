//! The system's allocator, which counts what each thread asks of it. Whoever wants to count makes
//! it the global one; the side-by-side measurements (`benches/peers`) do so too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // Neither made lazily nor dropped, so that the allocator may use it at any time of a thread's
    // life.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// How often the calling thread has allocated or grown memory so far.
pub(crate) fn on_this_thread() -> u64 {
    COUNT.get()
}

/// The allocator.
#[derive(Debug)]
pub(crate) struct Counting;

#[inline]
fn count() {
    COUNT.set(COUNT.get() + 1);
}

// SAFETY: everything is passed on to the system's allocator; counting neither allocates nor
// unwinds.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise; `place` came from the system's allocator.
        unsafe { System.realloc(place, layout, size) }
    }

    #[inline]
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}
