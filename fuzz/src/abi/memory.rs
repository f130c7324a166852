//! The memory of an options struct, as a caller of any age or honesty may give it.

use std::ptr;

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::input::Rare;

/// The library refuses a struct that claims to be larger than this, as it does one that is smaller
/// than its own.
pub(crate) const LARGEST: usize = 4096;
/// What the `size` field says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Size {
    Exact,
    Claim(u16),
    Impossible(u8),
}

impl Size {
    /// The field, where ours is `ours`.
    pub(crate) fn of(self, ours: usize) -> usize {
        match self {
            Size::Exact => ours,
            // Mostly about as large as ours.
            Size::Claim(claim) if claim % 8 > 0 => usize::from(claim / 8) % (2 * ours),
            Size::Claim(claim) => usize::from(claim / 8),
            Size::Impossible(less) => usize::MAX - usize::from(less),
        }
    }
}

impl<'a> Arbitrary<'a> for Size {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Size> {
        Ok(match u8::arbitrary(u)? {
            0..=159 => Size::Exact,
            160..=250 => Size::Claim(u.arbitrary()?),
            251..=255 => Size::Impossible(u.arbitrary()?),
        })
    }
}

/// A byte in the part that the library does not know, mostly 0, and where.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tail(u8, u16);

impl Tail {
    pub(crate) const NONE: Tail = Tail(0, 0);
}

impl<'a> Arbitrary<'a> for Tail {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Tail> {
        Ok(Tail(if Rare::arbitrary(u)?.0 { u.arbitrary()? } else { 0 }, u.arbitrary()?))
    }
}

/// Options in memory: exactly as much of it as is promised to be readable.
pub(crate) struct Memory {
    words: Vec<u64>,
    /// Whether the size and the unknown part are acceptable.
    pub(crate) fits: bool,
}

impl Memory {
    /// `whole`, whose size field says `size`.
    pub(crate) fn new<T>(whole: &T, size: usize, Tail(byte, at): Tail) -> Memory {
        let ours = size_of::<T>();
        // What the caller has: a size at least, and no more than anyone would claim.
        let readable =
            if size > LARGEST { size_of::<usize>() } else { size.max(size_of::<usize>()) };
        let mut words = vec![0_u64; readable.div_ceil(8)];
        let (from, to) = (ptr::from_ref(whole).cast::<u8>(), words.as_mut_ptr().cast::<u8>());
        // SAFETY: both are at least that long, and the vector is not the struct.
        unsafe { ptr::copy_nonoverlapping(from, to, readable.min(ours)) };
        let mut unknown = false;
        if (ours + 1..=LARGEST).contains(&size) && byte != 0 {
            let at = ours + usize::from(at) % (size - ours);
            words[at / 8] |= u64::from(byte) << (8 * (at % 8));
            unknown = true;
        }
        Memory { words, fits: (ours..=LARGEST).contains(&size) && !unknown }
    }

    pub(crate) fn pointer<T>(&self) -> *const T {
        self.words.as_ptr().cast()
    }
}
