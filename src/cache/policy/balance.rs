//! How a shard's room is shared between entries on probation and proven ones.
//!
//! `p`, the room for those on probation, moves as in ARC (Megiddo & Modha, FAST 2003): an entry
//! that comes back soon after it was evicted from one part says that this part is too small. A
//! step is the larger, the rarer such entries are among those that were evicted lately.
//!
//! While entries are evicted from probation and none is hit there, `p` shrinks slowly: nothing is
//! gained by the room.

use super::ghosts::From;

/// Fractional bits of `p`.
const FRACTION: u32 = 16;

/// In weight units; the limit is at least 1, and at most 2^47 here: no shard has more.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Balance {
    /// In 1 / 2^[`FRACTION`], as the bounds are.
    p: u64,
    /// Entries evicted from either part lately.
    small_out: u32,
    main_out: u32,
    /// How many more may be evicted from probation before it seems to be of no use.
    patience: u32,
    least: u64,
    most: u64,
}

/// How much patience a hit on probation gives, and how much there may be.
const PATIENCE: u32 = 16;
const MAX_PATIENCE: u32 = 64;

impl Balance {
    /// How many bytes [`count`](Self::count) looks at.
    #[cfg(target_pointer_width = "64")]
    pub(super) const EVICTED_BYTES: usize = std::mem::offset_of!(Self, most);

    /// `percent` of it is the least room for those on probation.
    pub(super) fn new(limit: u64, percent: u128) -> Balance {
        let whole = u128::from(limit.clamp(1, 1 << 47)) << FRACTION;
        // One unit at least; two if there are more, so that the newest is not alone.
        let part =
            |percent: u128, units: u128| (whole * percent / 100).max(units << FRACTION) as u64;
        let most = part(90, 1);
        let least = part(percent, 2).min(most);
        Balance { p: part(10, 1).max(least), least, most, small_out: 0, main_out: 0, patience: 0 }
    }

    /// The room for entries on probation.
    #[inline]
    pub(super) fn small(&self) -> u64 {
        self.p >> FRACTION
    }

    /// The young part of it.
    #[inline]
    pub(super) fn window(&self) -> u64 {
        self.p >> (FRACTION + 2)
    }

    /// An entry was hit on probation.
    #[inline]
    pub(super) fn probation_pays(&mut self) {
        self.patience = (self.patience + PATIENCE).min(MAX_PATIENCE);
    }

    /// An entry of this weight was evicted from `from`, of a shard that holds about `entries`.
    #[inline]
    pub(super) fn count(&mut self, from: From, weight: u32, entries: u32) {
        if u64::from(self.small_out) + u64::from(self.main_out) >= 2 * u64::from(entries) {
            self.small_out /= 2;
            self.main_out /= 2;
        }
        match from {
            From::Small => {
                self.small_out += 1;
                if self.patience > 0 {
                    self.patience -= 1;
                } else {
                    let less = u64::from(weight) << (FRACTION - 5);
                    self.p = self.p.saturating_sub(less).max(self.least);
                }
            }
            From::Main => self.main_out += 1,
        }
    }

    /// An entry that was evicted from `from` came back; `weight` is that of an average entry.
    #[inline(never)]
    pub(super) fn adapt(&mut self, from: From, weight: u64) {
        let (lost, others) = match from {
            From::Small => (self.small_out, self.main_out),
            From::Main => (self.main_out, self.small_out),
        };
        let ratio = (u64::from(others) << FRACTION) / u64::from(lost.max(1));
        let step = ratio.clamp(1 << FRACTION, 16 << FRACTION) * weight;
        let p = match from {
            From::Small => self.p.saturating_add(step),
            From::Main => self.p.saturating_sub(step),
        };
        self.p = p.clamp(self.least, self.most);
    }

    #[cfg(all(test, not(docache_loom)))]
    pub(super) fn p(&self) -> u64 {
        self.p
    }
}
