//! Pieces of input. Each is built so that an input which has run out of bytes gives the harmless
//! choice.

use arbitrary::{Arbitrary, Result, Unstructured};

/// Up to `MOST` things: as many as the input has bytes for.
pub fn list<'a, T: Arbitrary<'a>>(u: &mut Unstructured<'a>, most: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    while list.len() < most && !u.is_empty() {
        list.push(T::arbitrary(u)?);
    }
    Ok(list)
}

/// A few bytes.
#[derive(Clone, Debug, Default)]
pub struct Bytes(pub Vec<u8>);

impl<'a> Arbitrary<'a> for Bytes {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Bytes> {
        let len = usize::from(u8::arbitrary(u)? % 48).min(u.len());
        Ok(Bytes(u.bytes(len)?.to_vec()))
    }
}

/// A short text without NUL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub String);

impl<'a> Arbitrary<'a> for Text {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Text> {
        Ok(Text(String::from_utf8_lossy(&Bytes::arbitrary(u)?.0).replace('\0', "·")))
    }
}

/// True once in a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rare(pub bool);

impl<'a> Arbitrary<'a> for Rare {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Rare> {
        Ok(Rare(u8::arbitrary(u)? >= 250))
    }
}
