//! A value for each slab index.
//!
//! Indices are small as long as few entries are retired. Beside a guard that is held for long they
//! are not, and there may be few between them; values of such indices lie in a map, so that no
//! memory is left behind.

use std::fmt::Debug;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Values by index; those that were not set, or were cleared, are the default.
#[derive(Debug)]
#[repr(C)]
pub(super) struct ByIndex<T> {
    near: Box<[T]>,
    /// Those whose index is not below the length of `near`, unless they are the default.
    far: Option<Box<Far<T>>>,
}

type Far<T> = HashMap<u32, T, FixedState>;

impl<T> Default for ByIndex<T> {
    fn default() -> ByIndex<T> {
        ByIndex { near: Box::default(), far: None }
    }
}

impl<T: Copy + Default + Debug> ByIndex<T> {
    #[inline]
    pub(super) fn get(&self, i: u32) -> T {
        match self.near.get(i as usize) {
            Some(value) => *value,
            None => self.get_far(i),
        }
    }

    #[cold]
    #[inline(never)]
    fn get_far(&self, i: u32) -> T {
        self.far.as_ref().and_then(|far| far.get(&i).copied()).unwrap_or_default()
    }

    #[inline]
    pub(super) fn set(&mut self, i: u32, value: T) {
        match self.near.get_mut(i as usize) {
            Some(place) => *place = value,
            None => self.set_far(i, value),
        }
    }

    #[cold]
    #[inline(never)]
    fn set_far(&mut self, i: u32, value: T) {
        self.far().insert(i, value);
    }

    /// Makes the value of an index the default.
    #[inline]
    pub(super) fn clear(&mut self, i: u32) {
        match self.near.get_mut(i as usize) {
            Some(place) => *place = T::default(),
            None => self.clear_far(i),
        }
    }

    /// Has no memory left of a value that nobody asks for any more.
    #[inline]
    pub(super) fn forget(&mut self, i: u32) {
        if i as usize >= self.near.len() {
            self.clear_far(i);
        }
    }

    #[cold]
    #[inline(never)]
    fn clear_far(&mut self, i: u32) {
        let Some(far) = &mut self.far else { return };
        far.remove(&i);
        if far.is_empty() {
            self.far = None;
        } else if far.capacity() > 64 && far.len() < far.capacity() / 8 {
            far.shrink_to_fit();
        }
    }

    fn far(&mut self) -> &mut Far<T> {
        self.far.get_or_insert_with(|| Box::new(HashMap::with_hasher(FixedState::default())))
    }

    /// How many indices are near.
    #[inline]
    pub(super) fn near(&self) -> usize {
        self.near.len()
    }

    /// Makes exactly so many indices near, which are more than there are.
    pub(super) fn grow(&mut self, near: usize) {
        self.near = longer(&self.near, near, T::default());
        if let Some(far) = &mut self.far {
            let near = &mut self.near;
            let len = near.len();
            let come_near = far.extract_if(|i, _| (*i as usize) < len);
            come_near.for_each(|(i, value)| near[i as usize] = value);
        }
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.near)
            + self.far.as_ref().map_or(0, |far| far.capacity() * size_of::<(u32, T)>())
    }
}

/// How many there are to be where there are too few: twice as many, but at least `least`, up to the
/// expected number; beyond it a sixteenth more.
pub(super) fn some_more(had: usize, expected: usize, least: usize) -> usize {
    if had < expected { (2 * had).max(least).min(expected) } else { had + had / 16 + 4 }
}

/// The same values, and so many in all, of which the others are `new`.
pub(super) fn longer<T: Copy>(values: &[T], len: usize, new: T) -> Box<[T]> {
    let mut longer = Vec::with_capacity(len);
    longer.extend_from_slice(values);
    longer.resize(len, new);
    longer.into_boxed_slice()
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn values_stay_when_their_indices_come_near_and_leave_no_memory_behind() {
        let mut values = ByIndex::<u32>::default();
        values.grow(10);
        (0..5_000).step_by(7).for_each(|i| values.set(i, i + 1));
        values.grow(2_000);
        for i in 0..5_000 {
            assert_eq!(values.get(i), if i % 7 == 0 { i + 1 } else { 0 });
        }
        (0..4_900).for_each(|i| values.clear(i));
        (0..4_900).for_each(|i| values.forget(i));
        assert!(
            (0..5_000).all(|i| values.get(i) == if i < 4_900 || i % 7 > 0 { 0 } else { i + 1 })
        );
        let few = values.memory();
        assert!(few < 2_000 * 4 + 4_000, "{few} for what is near and some that are far");
        (0..5_000).for_each(|i| values.clear(i));
        assert!((0..5_000).all(|i| values.get(i) == 0));
        assert!(values.memory() < 2_000 * 4 + 1_000, "{}", values.memory());
    }
}
