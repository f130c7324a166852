//! What a case does: answers, and the calls.

use arbitrary::{Arbitrary, Result, Unstructured};

use super::model::Came;
use crate::abi::args::Pick;
pub(crate) use crate::abi::keys::{KEYS, Key};
use crate::input::list;

/// What a leader reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer(pub(crate) Came);

impl<'a> Arbitrary<'a> for Answer {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Answer> {
        Ok(Answer(match u8::arbitrary(u)? {
            0..=159 => Came::Value(u.arbitrary()?),
            160..=223 => Came::Failed,
            224..=255 => Came::Panicked,
        }))
    }
}

/// A kind of callbacks. The cache can be freed inside each; inside the work of a fetch it is by an
/// [`Op`].
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callback {
    Listener,
    Visit,
    Notify,
    Drop,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    FreeCache,
    /// The next callback of a kind frees the cache.
    FreeIn(Callback),
    Set(Key, u8, bool),
    SetMany(Vec<(Key, u8)>),
    Remove(Key),
    Clear,
    Read(Key),
    Visit,
    Begin(Key, u64),
    Finish(Pick, Answer, bool),
    OnReady(Pick),
    Cancel(Pick),
    Poll(Pick),
    Free(Pick),
    /// Fetches, with work that is told its key or not.
    Fetch(Key, Answer, bool, Vec<Op>),
    Shutdown,
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Op> {
        Ok(match u8::arbitrary(u)? % 36 {
            0..=7 => Op::Begin(u.arbitrary()?, u64::from(u8::arbitrary(u)? % 8).saturating_sub(4)),
            8..=12 => Op::Finish(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?),
            13..=15 => Op::OnReady(u.arbitrary()?),
            16..=18 => Op::Poll(u.arbitrary()?),
            19..=21 => Op::Free(u.arbitrary()?),
            22..=23 => Op::Set(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?),
            24..=25 => Op::Remove(u.arbitrary()?),
            26 => Op::Clear,
            27 => Op::Cancel(u.arbitrary()?),
            28 => Op::Read(u.arbitrary()?),
            29 => Op::Visit,
            32 if u8::arbitrary(u)? % 4 == 0 => Op::FreeCache,
            32..=33 => Op::FreeIn(u.arbitrary()?),
            34 => Op::Shutdown,
            35 => {
                let count = usize::from(u8::arbitrary(u)? % 24);
                Op::SetMany((0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?)
            }
            _ => {
                let (key, answer, inside) = (u.arbitrary()?, u.arbitrary()?, u8::arbitrary(u)?);
                Op::Fetch(key, answer, inside >= 128, list(u, usize::from(inside % 4))?)
            }
        })
    }
}

/// The bytes of a value, which tell it from others.
pub(crate) fn bytes(value: u8) -> Vec<u8> {
    vec![value; 1 + usize::from(value % 32)]
}
