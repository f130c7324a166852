//! Places for outputs: filled with a pattern, so that it shows what a function wrote.

use std::mem::MaybeUninit;
use std::ptr;

use arbitrary::{Arbitrary, Result, Unstructured};
use docache::ffi::docache_entry;

/// Every byte of a place that nobody has written.
const PATTERN: u8 = 0xA5;

/// What the caller gives as an output pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Valid,
    Null,
    Misaligned,
}

impl<'a> Arbitrary<'a> for Given {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Given> {
        Ok(match u8::arbitrary(u)? {
            0..=239 => Given::Valid,
            240..=247 => Given::Null,
            248..=255 => Given::Misaligned,
        })
    }
}

/// A type that any bytes make a value of, and without padding.
///
/// # Safety
/// That is so.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: an integer.
unsafe impl Plain for i32 {}
// SAFETY: an integer.
unsafe impl Plain for u32 {}
// SAFETY: an integer.
unsafe impl Plain for u64 {}
// SAFETY: an integer.
unsafe impl Plain for usize {}
// SAFETY: a raw pointer; those that were not written by the library are never used.
unsafe impl<T> Plain for *mut T {}
// SAFETY: integers and raw pointers, eight bytes each but for the last two, which have four.
unsafe impl Plain for docache_entry {}

/// Room for outputs, and for one more that must stay as it is.
pub(crate) struct Places<T> {
    given: Given,
    cells: Box<[MaybeUninit<T>]>,
}

/// Room for one output.
pub(crate) type Place<T> = Places<T>;

impl<T: Plain> Places<T> {
    pub(crate) fn one(given: Given) -> Place<T> {
        Places::many(given, 1)
    }

    pub(crate) fn many(given: Given, count: usize) -> Places<T> {
        let mut cells = vec![MaybeUninit::uninit(); count + 1].into_boxed_slice();
        // SAFETY: the span is the box's own.
        unsafe { ptr::write_bytes(cells.as_mut_ptr(), PATTERN, count + 1) };
        Places { given, cells }
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.given == Given::Valid
    }

    /// Whether the callee can use it if it may be NULL.
    pub(crate) fn is_valid_option(&self) -> bool {
        self.given != Given::Misaligned
    }

    pub(crate) fn pointer(&mut self) -> *mut T {
        let start = self.cells.as_mut_ptr().cast::<T>();
        match self.given {
            Given::Valid => start,
            Given::Null => ptr::null_mut(),
            Given::Misaligned => start.wrapping_byte_add(1),
        }
    }

    fn bytes_from(&self, index: usize) -> &[u8] {
        let cells = &self.cells[index..];
        // SAFETY: the span is the box's own; `many` wrote every byte of it, and `Plain` keeps them
        // initialised.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast(), size_of_val(cells)) }
    }

    /// Nothing was written from the `index`-th place on.
    pub(crate) fn untouched_from(&self, index: usize) -> bool {
        self.bytes_from(index).iter().all(|byte| *byte == PATTERN)
    }

    /// What was written to the only place, if that is `expected`; else nothing may have been.
    pub(crate) fn take(&self, expected: bool, what: &str) -> Option<T> {
        if expected {
            assert!(self.is_valid(), "{what}: success without a place for the output");
            assert!(!self.untouched_from(0), "{what}: success, but no output");
            assert!(self.untouched_from(1), "{what}: wrote past its output");
            return Some(self.get(0));
        }
        assert!(self.untouched_from(0), "{what}: an output was written without success");
        None
    }

    /// What is in the `index`-th place.
    pub(crate) fn get(&self, index: usize) -> T {
        // SAFETY: initialised, if only with the pattern, and `Plain` makes any bytes a value.
        unsafe { self.cells[index].assume_init() }
    }
}

impl<T> Place<*mut T> {
    /// The handle handed out, or nothing: then a valid place holds NULL, and any other is
    /// untouched.
    pub(crate) fn handle(&self, success: bool, what: &str) -> Option<*mut T> {
        if !self.is_valid() {
            assert!(!success, "{what}: success without a place for the handle");
            assert!(self.untouched_from(0), "{what}: wrote to a place it cannot use");
            return None;
        }
        assert!(self.untouched_from(1), "{what}: wrote past its output");
        let handle = self.get(0);
        assert_eq!(!handle.is_null(), success, "{what}: a handle exactly on success");
        success.then_some(handle)
    }
}
