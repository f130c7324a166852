//! Structs that begin with their size, so that the caller's may be newer than this library:
//! options, which are read, and counters, which are filled.

use super::arguments::check;
use crate::error::{Error, Result};

/// No struct of ours will ever be larger: a larger size is garbage.
const LARGEST: usize = 4096;

/// A struct that begins with its size.
///
/// # Safety
/// It is `repr(C)`, its first field is its `usize` size, and any bytes are a valid value of it.
pub(crate) unsafe trait Versioned: Copy {
    /// As C calls it.
    const NAME: &'static str;
}

/// Reads an options struct that may be longer than ours. (None is shorter: this is its first
/// version.)
///
/// # Safety
/// SPAN: `options` leads to as many readable bytes as its first field says, but to one `usize` at
/// least.
pub(crate) unsafe fn read<O: Versioned>(options: *const O) -> Result<O> {
    // SAFETY: the caller's promise.
    unsafe { read_as(options, "options") }
}

/// The same for what is no `options`, but has a name of its own.
///
/// # Safety
/// As [`read`].
pub(crate) unsafe fn read_as<O: Versioned>(options: *const O, name: &str) -> Result<O> {
    let ours = size_of::<O>();
    check(options, name)?;
    // SAFETY: SPAN.
    let size = unsafe { options.cast::<usize>().read() };
    if !(ours..=LARGEST).contains(&size) {
        let accepted = format!("give sizeof({})", O::NAME);
        return Err(Error::invalid_argument(&format!("{name}.size"), size, &accepted));
    }
    // SAFETY: SPAN, and `size` is the struct's own.
    let given = unsafe { std::slice::from_raw_parts(options.cast::<u8>(), size) };
    if let Some(at) = given.iter().skip(ours).position(|byte| *byte != 0) {
        let what = format!("a value in an unknown field at offset {}", ours + at);
        return Err(Error::invalid_argument(name, what, "give 0 there, or use a newer library"));
    }
    // SAFETY: SPAN: the first version of the struct, which is all that `O` is, fits; any bytes are
    // a valid value of it.
    Ok(unsafe { options.read() })
}

/// Reads an options struct that may be NULL.
///
/// # Safety
/// SPAN, unless it is NULL.
pub(crate) unsafe fn optional<O: Versioned>(options: *const O) -> Result<Option<O>> {
    // SAFETY: the caller's promise.
    if options.is_null() { Ok(None) } else { unsafe { read(options) }.map(Some) }
}

/// Fills a struct of counters that may be longer than ours: the rest of it becomes zero. `make` is
/// given its size.
///
/// # Safety
/// SPAN: `out` leads to as many readable and writable bytes as its first field says, but to one
/// `usize` at least.
pub(crate) unsafe fn fill<C: Versioned>(out: *mut C, make: impl FnOnce(usize) -> C) -> Result<()> {
    check(out, "out")?;
    // SAFETY: SPAN: the first field is readable, whatever the size.
    let size = unsafe { out.cast::<usize>().read() };
    if !(size_of::<C>()..=LARGEST).contains(&size) {
        return Err(Error::invalid_argument(
            "out.size",
            size,
            &format!("give sizeof({})", C::NAME),
        ));
    }
    let filled = make(size);
    // SAFETY: SPAN: the caller's struct has `size` bytes.
    unsafe { out.cast::<u8>().write_bytes(0, size) };
    // SAFETY: SPAN, and `size` is at least ours.
    unsafe { out.write(filled) };
    Ok(())
}

/// Refuses a value in a field that has no meaning yet.
pub(crate) fn reserved(name: &str, value: u32) -> Result<()> {
    if value == 0 { Ok(()) } else { Err(Error::invalid_argument(name, value, "give 0")) }
}

/// Refuses more shards than there may be; 0 is a default.
pub(crate) fn shards(given: usize, most: usize) -> Result<()> {
    if given <= most {
        return Ok(());
    }
    Err(Error::invalid_argument("options.shards", given, &format!("give 1 to {most}, or 0")))
}
