//! Lists of keys and values.

use super::arguments::{bytes, check};
use crate::error::{Error, Result};

/// Bytes that are the caller's. A pointer whose length is 0 is ignored.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_bytes {
    /// The first byte.
    pub data: *const u8,
    /// How many there are.
    pub len: usize,
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<docache_bytes>() == 16 && offset_of!(docache_bytes, len) == 8);
};

/// An array of spans, whose own pointers may not have been [checked](Spans::check_each) yet.
#[derive(Clone, Copy)]
pub(crate) struct Spans<'a> {
    spans: &'a [docache_bytes],
    name: &'a str,
}

impl<'a> Spans<'a> {
    /// # Safety
    /// SPAN, for the array and for each span in it, for as long as this is used.
    pub(crate) unsafe fn new(
        spans: *const docache_bytes,
        count: usize,
        name: &'a str,
    ) -> Result<Spans<'a>> {
        if count == 0 {
            return Ok(Spans { spans: &[], name });
        }
        check(spans, name)?;
        if count > isize::MAX as usize / size_of::<docache_bytes>() {
            return Err(Error::invalid_argument("count", count, "give the length of a real array"));
        }
        // SAFETY: SPAN; not NULL, aligned, and no longer than any object can be.
        Ok(Spans { spans: unsafe { std::slice::from_raw_parts(spans, count) }, name })
    }

    /// Refuses the whole if one of the spans is not acceptable.
    pub(crate) fn check_each(&self) -> Result<()> {
        self.spans.iter().enumerate().try_for_each(|(at, span)| {
            // SAFETY: SPAN, promised when this was made.
            unsafe { bytes(span.data, span.len, &format_args!("{}[{at}]", self.name)) }.map(drop)
        })
    }

    /// The bytes of each; of one that is not acceptable none.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        // SAFETY: SPAN, promised when this was made.
        self.spans
            .iter()
            .map(|span| unsafe { bytes(span.data, span.len, "span") }.unwrap_or_default())
    }
}
