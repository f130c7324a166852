//! What a Doer does with its own loop during its call.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::abi::args::Timeout;

/// A call that the Doer makes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inside {
    Nothing,
    Shutdown,
    Look,
    Stop(Timeout),
    Start,
    StopAndStart,
    Run,
    Refresh(Timeout),
    WaitFirst(Timeout),
    Changed(Timeout),
    Begin,
}

impl<'a> Arbitrary<'a> for Inside {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Inside> {
        Ok(match u8::arbitrary(u)? {
            0..=119 => Inside::Nothing,
            120..=127 => Inside::Shutdown,
            128..=143 => Inside::Look,
            144..=159 => Inside::Stop(u.arbitrary()?),
            160..=167 => Inside::Start,
            168..=175 => Inside::StopAndStart,
            176..=191 => Inside::Run,
            192..=207 => Inside::Refresh(u.arbitrary()?),
            208..=223 => Inside::WaitFirst(u.arbitrary()?),
            224..=239 => Inside::Changed(u.arbitrary()?),
            240..=255 => Inside::Begin,
        })
    }
}

impl Inside {
    /// The run may end by it.
    pub(crate) fn stops(self) -> bool {
        matches!(self, Inside::Stop(_) | Inside::StopAndStart | Inside::Begin)
    }

    /// Another run may begin by it.
    pub(crate) fn starts(self) -> bool {
        matches!(self, Inside::Start | Inside::StopAndStart)
    }
}
