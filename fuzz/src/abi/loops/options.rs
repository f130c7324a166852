//! The options of a loop.

use std::ptr;

use arbitrary::{Arbitrary, Result, Unstructured};
use docache::ffi::*;

use crate::abi::args::{Pick, Span};
use crate::abi::memory::{Memory, Size, Tail};
use crate::input::{Bytes, Rare};

const HOUR: u64 = 3_600_000_000_000;

/// Options.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    size: Size,
    /// Far away, so that nothing but a refresh brings a second call.
    interval: Option<u64>,
    first_delay: Option<u64>,
    jitter: u64,
    capacity: usize,
    name: (Bytes, Span),
    logger: Pick,
    schedule: u32,
    reserved: u32,
    tail: Tail,
}

fn capacity(u: &mut Unstructured<'_>) -> Result<usize> {
    Ok(match u8::arbitrary(u)? {
        small @ 0..=99 => usize::from(small % 24),
        some @ 100..=223 => usize::from(some),
        huge => usize::MAX - usize::from(huge - 224),
    })
}

impl<'a> Arbitrary<'a> for Options {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Options> {
        let rare = |u: &mut Unstructured<'a>| Ok(Rare::arbitrary(u)?.0);
        let far = |u: &mut Unstructured<'a>| Ok(HOUR.saturating_add(u64::arbitrary(u)? << 16));
        Ok(Options {
            size: u.arbitrary()?,
            interval: if rare(u)? { None } else { Some(far(u)?) },
            first_delay: if u8::arbitrary(u)? >= 208 { Some(far(u)?) } else { None },
            jitter: u.arbitrary()?,
            capacity: capacity(u)?,
            name: (u.arbitrary()?, u.arbitrary()?),
            logger: u.arbitrary()?,
            schedule: if rare(u)? { u.arbitrary()? } else { u32::from(u8::arbitrary(u)? % 2) },
            reserved: if rare(u)? { u.arbitrary()? } else { 0 },
            tail: u.arbitrary()?,
        })
    }
}

/// What the library must make of options that it accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effect {
    pub(crate) capacity: usize,
    /// The first call comes at once; else never.
    pub(crate) at_once: bool,
}

/// Options in memory.
pub(crate) struct Given {
    memory: Memory,
    /// What must come of it, unless it is to be refused.
    pub(crate) effect: Option<Effect>,
}

impl Given {
    pub(crate) fn pointer(&self) -> *const docache_loop_options {
        self.memory.pointer()
    }
}

impl Options {
    /// What needs no thought.
    pub(crate) fn plain(capacity: usize) -> Options {
        Options {
            size: Size::Exact,
            interval: Some(HOUR),
            first_delay: None,
            jitter: 0,
            capacity,
            name: (Bytes::default(), Span::Honest),
            logger: Pick::NOTHING,
            schedule: DOCACHE_FIXED_DELAY,
            reserved: 0,
            tail: Tail::default(),
        }
    }

    /// A copy of the struct with all its fields.
    fn whole(&self, logger: Option<*mut docache_logger>, size: usize) -> docache_loop_options {
        let (name, name_len, _) = self.name.1.of(&self.name.0.0);
        docache_loop_options {
            size,
            interval_ns: self.interval.unwrap_or(0),
            first_delay_ns: self.first_delay.unwrap_or(0),
            jitter_ns: self.jitter,
            capacity: self.capacity,
            name: name.cast(),
            name_len,
            logger: logger.unwrap_or(ptr::null_mut()),
            schedule: self.schedule,
            reserved: self.reserved,
            scheduler: ptr::null(),
        }
    }

    /// As they lie in memory. `logger` has the handle of a logger, if there is one.
    pub(crate) fn give(&self, logger: impl Fn(Pick) -> Option<*mut docache_logger>) -> Given {
        let size = self.size.of(size_of::<docache_loop_options>());
        let memory = Memory::new(&self.whole(logger(self.logger), size), size, self.tail);
        let effect = if memory.fits { self.effect() } else { None };
        Given { memory, effect }
    }

    /// What the library must make of the fields, if it accepts them.
    fn effect(&self) -> Option<Effect> {
        let (_, _, name) = self.name.1.of(&self.name.0.0);
        let name = std::str::from_utf8(name?).ok()?;
        let known = self.schedule <= DOCACHE_FIXED_RATE && self.reserved == 0;
        let effect = Effect { capacity: self.capacity, at_once: self.first_delay.is_none() };
        (known && !name.contains('\0') && self.interval.is_some()).then_some(effect)
    }
}
