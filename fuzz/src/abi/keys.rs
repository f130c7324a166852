//! Keys, as those of a cache.

use arbitrary::{Arbitrary, Result, Unstructured};

use super::args::Span;

pub(crate) const KEYS: [&[u8]; 6] = [b"a", b"", b"b", &[b'k'; 40], &[b'k'; 41], &[b'k'; 5000]];

/// A key as an argument.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(usize, Span);

impl<'a> Arbitrary<'a> for Key {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Key> {
        let which = u8::arbitrary(u)?;
        // Mostly few keys, so that calls meet.
        let key = usize::from(which) % if which < 208 { 2 } else { KEYS.len() };
        Ok(Key(key, u.arbitrary()?))
    }
}

impl Key {
    /// The arguments, and the key that the callee must see if it accepts them.
    pub(crate) fn arguments(self) -> (*const u8, usize, Option<usize>) {
        let (start, len, seen) = self.1.of(KEYS[self.0]);
        // The empty key is a key like others.
        (start, len, seen.map(|seen| if seen.is_empty() { 1 } else { self.0 }))
    }
}
