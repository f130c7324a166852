//! Hostile arguments.

use std::ptr;

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::patience::LIMIT;

/// Which handle of a table a call is given.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Pick(u8);

impl Pick {
    /// NULL.
    pub(crate) const NOTHING: Pick = Pick(254);

    pub(crate) fn at(index: usize) -> Pick {
        u8::try_from(index).map_or(Pick::NOTHING, Pick)
    }

    /// The place in a table of `len`, if the handle is to be a real one.
    pub(crate) fn index(self, len: usize) -> Option<usize> {
        if self.0 >= 250 { None } else { usize::from(self.0).checked_rem(len) }
    }

    /// The handle for a call: of the table, or NULL, or a misaligned one (where the type shows it),
    /// which counts as NULL.
    pub(crate) fn handle<H, T>(self, table: &[H], handle: impl Fn(&H) -> *mut T) -> *mut T {
        match self.index(table.len()) {
            Some(index) => handle(&table[index]),
            None if self.0 == 255 && align_of::<T>() > 1 => {
                ptr::without_provenance_mut(align_of::<T>() + 1)
            }
            None => ptr::null_mut(),
        }
    }
}

/// How a span of bytes is given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Span {
    Honest,
    /// A length of 0, and a pointer to nowhere.
    Nowhere,
    /// NULL, with a length.
    Null,
    /// A length that no object can have.
    Impossible(u8),
}

impl<'a> Arbitrary<'a> for Span {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Span> {
        Ok(match u8::arbitrary(u)? {
            0..=223 => Span::Honest,
            224..=231 => Span::Nowhere,
            232..=243 => Span::Null,
            244..=255 => Span::Impossible(u.arbitrary()?),
        })
    }
}

impl Span {
    /// The arguments, and the bytes that the callee must see if it accepts them.
    pub(crate) fn of(self, bytes: &[u8]) -> (*const u8, usize, Option<&[u8]>) {
        match self {
            Span::Honest => (bytes.as_ptr(), bytes.len(), Some(bytes)),
            Span::Nowhere => (ptr::without_provenance(1), 0, Some(&[])),
            Span::Null => (ptr::null(), bytes.len(), bytes.is_empty().then_some(bytes)),
            Span::Impossible(more) => {
                (bytes.as_ptr(), (1 << (usize::BITS - 1)) | usize::from(more), None)
            }
        }
    }
}

/// A `timeout_ns`.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Timeout {
    Look,
    Tiny(u8),
    Generous,
    Huge,
    Forever(i8),
}

impl Timeout {
    /// The argument. Only a wait that is `sure` to end is given a long time.
    pub(crate) fn ns(self, sure: bool) -> i64 {
        match self {
            Timeout::Look => 0,
            Timeout::Tiny(ns) => i64::from(ns) * 16,
            _ if !sure => 1,
            Timeout::Generous => i64::try_from(LIMIT.as_nanos()).unwrap_or(i64::MAX),
            Timeout::Huge => i64::MAX,
            Timeout::Forever(which) if which < 0 => i64::from(which),
            Timeout::Forever(_) => i64::MIN,
        }
    }

    /// Whether the wait may run out of time, on a slow machine.
    pub(crate) fn is_short(self) -> bool {
        matches!(self, Timeout::Look | Timeout::Tiny(_))
    }
}

/// A status that a callback returns: mostly OK, often DOER_FAILED, but it may be anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned(pub(crate) i32);

impl<'a> Arbitrary<'a> for Returned {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Returned> {
        Ok(Returned(match u8::arbitrary(u)? {
            0..=159 => docache::ffi::DOCACHE_OK,
            160..=199 => docache::ffi::DOCACHE_DOER_FAILED,
            200..=239 => i32::from(i8::arbitrary(u)? % 12),
            240..=255 => i32::arbitrary(u)?,
        }))
    }
}
