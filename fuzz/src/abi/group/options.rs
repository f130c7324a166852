//! The options of a group.

use arbitrary::{Arbitrary, Result, Unstructured};
use docache::ffi::docache_group_options;

use crate::abi::memory::{Memory, Size, Tail};
use crate::input::Rare;

/// The options of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    size: Size,
    shards: usize,
    reserved: (u32, u32),
    tail: Tail,
}

impl<'a> Arbitrary<'a> for Options {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Options> {
        let size = u.arbitrary()?;
        let shards = match u8::arbitrary(u)? {
            small @ 0..=239 => usize::from(small % 16),
            240..=247 => usize::from(u16::arbitrary(u)? % 512),
            248 => 1 << 16,
            249..=251 => (1 << 16) + 1,
            252..=255 => usize::MAX - usize::from(u8::arbitrary(u)?),
        };
        let mut rare = || Ok(if Rare::arbitrary(u)?.0 { u.arbitrary()? } else { 0 });
        let reserved = (rare()?, rare()?);
        Ok(Options { size, shards, reserved, tail: u.arbitrary()? })
    }
}

impl Options {
    pub(crate) fn give(self) -> (Memory, bool) {
        let size = self.size.of(size_of::<docache_group_options>());
        let (shards, (reserved, reserved2)) = (self.shards, self.reserved);
        let whole = docache_group_options { size, shards, reserved, reserved2 };
        let memory = Memory::new(&whole, size, self.tail);
        let acceptable = memory.fits && shards <= 1 << 16 && self.reserved == (0, 0);
        (memory, acceptable)
    }
}
