//! A hint that something will soon be read or written.
//!
//! Work that goes over many objects, each of which has long left the processor's caches, waits for
//! one cache line after the other where locks lie between. Asked for together they come together.

/// As much as is worth asking for.
const MOST: usize = 256;
const LINE: usize = 64;

/// Has what `place` refers to brought into the caches, or the beginning of it.
#[inline(always)]
pub(crate) fn prefetch<T: ?Sized>(place: &T) {
    prefetch_at(std::ptr::from_ref(place).cast::<u8>(), size_of_val(place));
}

/// The same for what may not be there any more.
#[inline(always)]
pub(crate) fn prefetch_at(begin: *const u8, size: usize) {
    let mut offset = 0;
    while offset < size.min(MOST) {
        line(begin.wrapping_add(offset));
        offset += LINE;
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
fn line(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: it reads nothing that the program could see, and an address that is not there does
    // no harm.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline(always)]
fn line(_: *const u8) {}

/// Has what a value owns brought into the caches, as its destructor will need it. What it owns is
/// taken to be wherever its words point to, if it is not a large one.
#[inline(always)]
pub(crate) fn prefetch_owned<T>(value: *const T) {
    let words = if size_of::<T>() <= LINE { size_of::<T>() / size_of::<usize>() } else { 0 };
    if align_of::<T>() % align_of::<usize>() == 0 {
        (0..words).for_each(|at| pointee(value.cast::<usize>().wrapping_add(at)));
    }
}

/// Asks for the line that the word points to, which may be of any type, or padding.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri)))]
#[inline(always)]
fn pointee(word: *const usize) {
    // SAFETY: the word is part of a value that is there. Only the processor looks at it, so it need
    // not be initialized; and an address that is none does no harm.
    unsafe {
        std::arch::asm!(
            "mov {word}, qword ptr [{word}]",
            "prefetcht0 byte ptr [{word}]",
            word = inout(reg) word => _,
            options(readonly, nostack, preserves_flags),
        );
    }
}

#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(miri))))]
#[inline(always)]
fn pointee(_: *const usize) {}
