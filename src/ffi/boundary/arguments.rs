//! The checks of what C gives: pointers, lengths, texts, times.

use std::fmt::Display;
use std::time::Duration;

use crate::error::{Error, Result};

pub(crate) fn is_usable<T>(pointer: *const T) -> bool {
    !pointer.is_null() && pointer.is_aligned()
}

#[inline]
pub(crate) fn check<T>(pointer: *const T, name: &str) -> Result<()> {
    if is_usable(pointer) { Ok(()) } else { Err(unusable(pointer.is_null(), name)) }
}

#[cold]
#[inline(never)]
fn unusable(null: bool, name: &str) -> Error {
    let what = if null { "NULL" } else { "a misaligned pointer" };
    Error::invalid_argument(name, what, "give a valid pointer")
}

/// A handle, or a struct, as a reference.
///
/// # Safety
/// HANDLE, or SPAN for one element.
#[inline]
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    check(pointer, name)?;
    // SAFETY: the caller's promise; not NULL and aligned.
    Ok(unsafe { &*pointer })
}

/// A handle whose owner uses it on one thread at a time.
///
/// # Safety
/// HANDLE; nothing else is going on with the handle.
pub(crate) unsafe fn borrow_mut<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T> {
    check(pointer, name)?;
    // SAFETY: the caller's promise; not NULL and aligned.
    Ok(unsafe { &mut *pointer })
}

/// The bytes that a pointer and a length name.
///
/// # Safety
/// SPAN.
#[inline]
pub(crate) unsafe fn bytes<'a>(
    pointer: *const u8,
    len: usize,
    name: &(impl Display + ?Sized),
) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if !is_usable(pointer) {
        return Err(unusable(true, &name.to_string()));
    }
    if len > isize::MAX as usize {
        return Err(Error::invalid_argument(
            &format!("{name}_len"),
            len,
            "give the length of a real span",
        ));
    }
    // SAFETY: SPAN; not NULL, and no longer than any object can be.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// The text that a pointer and a length name.
///
/// # Safety
/// SPAN.
pub(crate) unsafe fn text<'a>(
    pointer: *const std::ffi::c_char,
    len: usize,
    name: &str,
) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(pointer.cast(), len, name) }?;
    std::str::from_utf8(bytes).map_err(|error| {
        let found = format!("a text with a bad byte at {}", error.valid_up_to());
        Error::invalid_argument(name, found, "give UTF-8")
    })
}

/// A `timeout_ns`: `None` is no limit.
pub(crate) fn timeout(ns: i64) -> Option<Duration> {
    u64::try_from(ns).ok().map(Duration::from_nanos)
}
