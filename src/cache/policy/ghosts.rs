//! What a shard remembers of the entries that it evicted, and how it counts the time that has
//! gone by since.
//!
//! A ghost is four bytes: a fingerprint of the key's hash, the queue that the entry was evicted
//! from, its history and when that was. Ghosts lie in sets of eight, chosen by other bits of the
//! hash than the fingerprint, the youngest first; a new one moves the others on, and the last of
//! them out. That is done when the entry that is to take the room has been looked for: by then the
//! set, which nobody has touched for long, has come.
//! Three for each entry measured best for the money; two cost 0.16 points of the mean hit ratio,
//! four bring as little. Two keys of one fingerprint in one set are taken for each other: one
//! look-up in about 4,000, which misleads a little and harms nothing.

use std::num::NonZero;

use crate::sync::prefetch::prefetch;

/// Which queue an entry was evicted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Small,
    Main,
}

/// What is remembered of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ghost {
    pub(super) from: From,
    /// 0..=15: how much it was used.
    pub(super) history: u8,
    /// Ticks since it was evicted.
    pub(super) age: u32,
}

/// Ghosts for each entry of the shard.
const LIFE: usize = 3;
const WAYS: usize = 8;

/// A place of a set: `fingerprint:15 | from main:1 | history:4 | tick:12`. No fingerprint is 0, and
/// 0 is an empty place.
type Slot = u32;

const TICK_MASK: u32 = (1 << HISTORY_SHIFT) - 1;
const HISTORY_SHIFT: u32 = 12;
const HISTORY_MASK: u32 = 15;
const MAIN: u32 = 1 << 16;
const FINGERPRINT_SHIFT: u32 = 17;
const FINGERPRINT_MASK: u32 = 0x7fff;

/// One set, within one cache line: its ghosts, youngest first, before the empty places.
#[derive(Clone, Debug, Default)]
#[repr(align(32))]
struct Set([Slot; WAYS]);

/// The ghosts of a shard. It has no memory before it is [grown](Self::grow).
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    sets: Box<[Set]>,
    /// The youngest, which is not in its set yet, and the number of that.
    pending: Option<(u32, NonZero<Slot>)>,
}

impl Ghosts {
    /// Makes room for the ghosts of a shard of `entries`, if there is less. Those that are there
    /// are forgotten then: their sets would be others.
    #[cold]
    pub(super) fn grow(&mut self, entries: usize) {
        let sets = (LIFE * entries).div_ceil(WAYS);
        self.settle();
        if sets > self.sets.len() {
            // Before the others are there.
            self.sets = Box::default();
            self.sets = vec![Set::default(); sets].into_boxed_slice();
        }
    }

    /// Whether there is no memory yet.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.sets)
    }

    #[inline]
    fn fingerprint(hash: u64) -> u32 {
        (hash as u32 & FINGERPRINT_MASK).max(1)
    }

    /// The set of a hash, by the 32 bits above the fingerprint's: the uppermost have chosen the
    /// shard and are the same for all keys in it.
    #[inline]
    fn set(&mut self, hash: u64) -> Option<&mut Set> {
        let set = self.set_number(hash);
        self.sets.get_mut(set)
    }

    #[inline]
    fn set_number(&self, hash: u64) -> usize {
        let bits = u64::from((hash >> 15) as u32);
        ((bits * self.sets.len() as u64) >> 32) as usize
    }

    /// Says that the ghosts of this hash will be looked at soon.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        self.prefetch_set(self.set_number(hash));
    }

    #[inline]
    fn prefetch_set(&self, number: usize) {
        if let Some(set) = self.sets.get(number) {
            prefetch(set);
        }
    }

    /// Remembers an entry that is evicted, from when that is [settled](Ghosts::settle).
    #[inline]
    pub(super) fn put(&mut self, hash: u64, from: From, history: u8, tick: u32) {
        self.settle();
        let slot = Self::fingerprint(hash) << FINGERPRINT_SHIFT
            | if from == From::Main { MAIN } else { 0 }
            | u32::from(history) << HISTORY_SHIFT
            | tick & TICK_MASK;
        let set = self.set_number(hash);
        self.prefetch_set(set);
        self.pending = NonZero::new(slot).map(|slot| (set as u32, slot));
    }

    /// Puts the youngest into its set.
    #[inline]
    pub(super) fn settle(&mut self) {
        let Some((set, slot)) = self.pending.take() else { return };
        let Some(Set(slots)) = self.sets.get_mut(set as usize) else { return };
        slots.copy_within(..WAYS - 1, 1);
        slots[0] = slot.get();
    }

    /// Recalls an entry, and forgets it.
    #[inline]
    pub(super) fn take(&mut self, hash: u64, tick: u32) -> Option<Ghost> {
        let Set(slots) = self.set(hash)?;
        let fingerprint = Self::fingerprint(hash);
        let is_it = |slot: &Slot| *slot >> FINGERPRINT_SHIFT == fingerprint;
        // Most are not there: that is found out for all places at once.
        if !slots.iter().fold(false, |any, slot| any | is_it(slot)) {
            return None;
        }
        let at = slots.iter().position(is_it)?;
        let slot = slots[at];
        slots.copy_within(at + 1.., at);
        slots[WAYS - 1] = 0;
        Some(Ghost {
            from: if slot & MAIN == 0 { From::Small } else { From::Main },
            history: (slot >> HISTORY_SHIFT & HISTORY_MASK) as u8,
            age: tick.wrapping_sub(slot) & TICK_MASK,
        })
    }
}

/// Ticks in a turn.
pub(super) const TURN: u32 = 128;
/// Ticks in an epoch: twelve turns.
const EPOCH: u32 = 12 * TURN;
/// Where the count of ticks starts again: a multiple of what a ghost's tick and what a history's
/// epoch wrap at.
const WRAP: u32 = 16 * EPOCH;
const _: () = assert!(WRAP % (TICK_MASK + 1) == 0);

/// Time as a shard sees it. A turn has gone by when as many entries were evicted as the shard
/// holds.
#[derive(Debug)]
pub(super) struct Turns {
    /// Evictions in a turn: 1..=2^30.
    span: u32,
    /// One eviction is `step + part / span` ticks; `rest / span` is the part of a tick that has
    /// gone by.
    step: u32,
    part: u32,
    rest: u32,
    /// Modulo [`WRAP`].
    ticks: u32,
    /// That of `ticks`.
    epoch: u8,
}

impl Turns {
    pub(super) fn new(span: usize) -> Turns {
        let mut turns = Turns { span: 1, step: 0, part: 0, rest: 0, ticks: 0, epoch: 0 };
        turns.set_span(span);
        turns
    }

    #[inline]
    pub(super) fn span(&self) -> u32 {
        self.span
    }

    pub(super) fn set_span(&mut self, span: usize) {
        self.span = span.clamp(1, 1 << 30) as u32;
        (self.step, self.part, self.rest) = (TURN / self.span, TURN % self.span, 0);
    }

    /// Now, as ghosts have it; its upper bits do not matter to them.
    #[inline]
    pub(super) fn tick(&self) -> u32 {
        self.ticks
    }

    /// Now, as histories have it: 0..=15.
    #[inline]
    pub(super) fn epoch(&self) -> u8 {
        self.epoch
    }

    /// How many epochs began in the last `age` ticks.
    #[inline]
    pub(super) fn epochs_since(&self, age: u32) -> u32 {
        (self.ticks + WRAP) / EPOCH - (self.ticks + WRAP - age) / EPOCH
    }

    /// An entry was evicted: whether a turn ends with it.
    #[inline]
    pub(super) fn advance(&mut self) -> bool {
        self.rest += self.part;
        let ticks = self.step + u32::from(self.rest >= self.span);
        ticks > 0 && self.tick_on(ticks)
    }

    /// So many ticks have gone by: whether a turn ends with them.
    #[inline(never)]
    fn tick_on(&mut self, ticks: u32) -> bool {
        if self.rest >= self.span {
            self.rest -= self.span;
        }
        let before = self.ticks;
        self.ticks += ticks;
        let ends = before / TURN != self.ticks / TURN;
        if self.ticks >= WRAP {
            self.ticks -= WRAP;
        }
        self.epoch = (self.ticks / EPOCH) as u8;
        ends
    }
}
