//! The checks of what C gives: pointers, lengths, texts, times.

use std::fmt::Display;
use std::time::Duration;

use crate::error::{Error, Result};

pub(crate) fn is_usable<T>(pointer: *const T) -> bool {
    !pointer.is_null() && pointer.is_aligned()
}

#[inline(always)]
pub(crate) fn check<T>(pointer: *const T, name: &str) -> Result<()> {
    // Two branches that are not taken cost less than one that needs both.
    if pointer.is_null() {
        return Err(null(name));
    }
    if !pointer.is_aligned() {
        return Err(misaligned(name));
    }
    Ok(())
}

#[cold]
#[inline(never)]
fn null(name: &str) -> Error {
    unusable(name, "NULL")
}

#[cold]
#[inline(never)]
fn misaligned(name: &str) -> Error {
    unusable(name, "a misaligned pointer")
}

fn unusable(name: &str, what: &str) -> Error {
    Error::invalid_argument(name, what, "give a valid pointer")
}

/// A handle, or a struct, as a reference.
///
/// # Safety
/// HANDLE, or SPAN for one element.
#[inline(always)]
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
    if !is_usable(pointer) || len > isize::MAX as usize {
        return Err(no_span(is_usable(pointer), len, name));
    }
    // SAFETY: SPAN; not NULL, and no longer than any object can be.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

#[cold]
#[inline(never)]
fn no_span(usable: bool, len: usize, name: &(impl Display + ?Sized)) -> Error {
    if !usable {
        return null(&name.to_string());
    }
    let accepted = "give the length of a real span";
    Error::invalid_argument(&format!("{name}_len"), len, accepted)
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

#[cfg(test)]
mod tests {
    use std::ptr::{null, without_provenance};

    use super::*;

    #[test]
    fn a_pointer_is_refused_by_what_is_wrong_with_it() {
        assert!(check(&7_u32, "it").is_ok());
        let refused = |pointer: *const u32| check(pointer, "it").unwrap_err().to_string();
        let (null, misaligned) = (refused(null()), refused(without_provenance(2)));
        assert!(null.contains("it") && null.contains("NULL"), "{null}");
        assert!(misaligned.contains("misaligned"), "{misaligned}");
    }

    #[test]
    fn a_span_is_refused_if_it_cannot_be() {
        let some = b"some";
        let span = |data, len| {
            // SAFETY: `some` is there; of the others no byte is read.
            unsafe { bytes(data, len, "it") }.ok()
        };
        assert_eq!(span(some.as_ptr(), 4), Some(&some[..]));
        assert_eq!(span(null(), 0), Some(&[][..]));
        assert_eq!(span(null(), 1), None);
        assert_eq!(span(some.as_ptr(), isize::MAX as usize + 1), None);
    }

    #[test]
    fn a_timeout_below_zero_is_none() {
        let limits = [-1, 0, 1].map(timeout);
        assert_eq!(limits, [None, Some(Duration::ZERO), Some(Duration::from_nanos(1))]);
    }
}
