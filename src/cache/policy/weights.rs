//! What the entries of a queue weigh: one each, or what was said of them.

use std::fmt::Debug;

use super::by_index::ByIndex;

/// What the entries of a queue weigh together.
pub(super) trait Total: Copy + Debug + Default {
    fn get(self, len: u32) -> u64;
    /// Some weight more, some less.
    fn change(&mut self, more: u32, less: u32);
}

/// Their number.
impl Total for () {
    #[inline]
    fn get(self, len: u32) -> u64 {
        u64::from(len)
    }

    #[inline]
    fn change(&mut self, _: u32, _: u32) {}
}

impl Total for u64 {
    #[inline]
    fn get(self, _: u32) -> u64 {
        self
    }

    #[inline]
    fn change(&mut self, more: u32, less: u32) {
        *self = *self + u64::from(more) - u64::from(less);
    }
}

/// What each entry weighs.
pub(super) trait Weights: Debug + Default {
    /// Whether weights differ; else each is 1.
    const DIFFER: bool;
    type Total: Total;
    fn get(&self, i: u32) -> u32;
    fn set(&mut self, i: u32, weight: u32);
    fn clear(&mut self, i: u32);
    /// Makes so many indices near; see [`ByIndex`].
    fn grow(&mut self, near: usize);
    /// Bytes on the heap.
    fn memory(&self) -> usize;
}

/// One.
#[derive(Debug, Default)]
pub(super) struct UnitWeight;

impl Weights for UnitWeight {
    const DIFFER: bool = false;
    type Total = ();

    #[inline]
    fn get(&self, _: u32) -> u32 {
        1
    }

    #[inline]
    fn set(&mut self, _: u32, weight: u32) {
        debug_assert_eq!(weight, 1);
    }

    fn clear(&mut self, _: u32) {}

    fn grow(&mut self, _: usize) {}

    fn memory(&self) -> usize {
        0
    }
}

/// As it was said; that of free indices is 0.
#[derive(Debug, Default)]
pub(super) struct PerEntryWeight(ByIndex<u32>);

impl Weights for PerEntryWeight {
    const DIFFER: bool = true;
    type Total = u64;

    #[inline]
    fn get(&self, i: u32) -> u32 {
        self.0.get(i)
    }

    #[inline]
    fn set(&mut self, i: u32, weight: u32) {
        if weight == 0 { self.0.clear(i) } else { self.0.set(i, weight) }
    }

    #[inline]
    fn clear(&mut self, i: u32) {
        self.0.clear(i);
    }

    fn grow(&mut self, near: usize) {
        self.0.grow(near);
    }

    fn memory(&self) -> usize {
        self.0.memory()
    }
}
