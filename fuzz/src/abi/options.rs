//! The options of a loop, and the memory of any options, as a caller of any age or honesty may give them.

use std::ptr;

use arbitrary::{Arbitrary, Result, Unstructured};
use docache::ffi::*;

use super::World;
use super::args::{Pick, Span};
use crate::input::{Bytes, Rare};

/// The library refuses a struct that claims to be larger than this, as it does one that is smaller than its own.
pub(super) const LARGEST: usize = 4096;
const HOUR: u64 = 3_600_000_000_000;

/// What the `size` field says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    Exact,
    Claim(u16),
    Impossible(u8),
}

impl Size {
    /// The field, where ours is `ours`.
    pub(super) fn of(self, ours: usize) -> usize {
        match self {
            Size::Exact => ours,
            // Mostly about as large as ours.
            Size::Claim(claim) if claim % 8 > 0 => usize::from(claim / 8) % (2 * ours),
            Size::Claim(claim) => usize::from(claim / 8),
            Size::Impossible(less) => usize::MAX - usize::from(less),
        }
    }
}

/// A byte in the part that the library does not know, mostly 0, and where.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tail(u8, u16);

impl<'a> Arbitrary<'a> for Tail {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Tail> {
        Ok(Tail(if Rare::arbitrary(u)?.0 { u.arbitrary()? } else { 0 }, u.arbitrary()?))
    }
}

/// Options in memory: exactly as much of it as is promised to be readable.
pub(super) struct Memory {
    words: Vec<u64>,
    /// Whether the size and the unknown part are acceptable.
    pub(super) fits: bool,
}

impl Memory {
    /// `whole`, whose size field says `size`.
    pub(super) fn new<T>(whole: &T, size: usize, Tail(byte, at): Tail) -> Memory {
        let ours = size_of::<T>();
        // What the caller has: a size at least, and no more than anyone would claim.
        let readable = if size > LARGEST { size_of::<usize>() } else { size.max(size_of::<usize>()) };
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

    pub(super) fn pointer<T>(&self) -> *const T {
        self.words.as_ptr().cast()
    }
}

/// Options.
#[derive(Clone, Debug)]
pub(super) struct Options {
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

impl<'a> Arbitrary<'a> for Size {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Size> {
        Ok(match u8::arbitrary(u)? {
            0..=159 => Size::Exact,
            160..=250 => Size::Claim(u.arbitrary()?),
            251..=255 => Size::Impossible(u.arbitrary()?),
        })
    }
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
pub(super) struct Effect {
    pub(super) capacity: usize,
    /// The first call comes at once; else never.
    pub(super) at_once: bool,
}

/// Options in memory.
pub(super) struct Given {
    memory: Memory,
    /// What must come of it, unless it is to be refused.
    pub(super) effect: Option<Effect>,
}

impl Given {
    pub(super) fn pointer(&self) -> *const docache_loop_options {
        self.memory.pointer()
    }
}

impl Options {
    /// What needs no thought.
    pub(super) fn plain(capacity: usize) -> Options {
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
    fn whole(&self, world: &World, size: usize) -> docache_loop_options {
        let (name, name_len, _) = self.name.1.of(&self.name.0.0);
        let logger = self.logger.index(world.loggers.len()).map(|index| world.loggers[index].for_loop());
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
        }
    }

    pub(super) fn give(&self, world: &World) -> Given {
        let size = self.size.of(size_of::<docache_loop_options>());
        let memory = Memory::new(&self.whole(world, size), size, self.tail);
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
