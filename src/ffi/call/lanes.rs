//! What the handle of a group or of a cache and its calls share: where the flights live, and the
//! calls that were freed. `C` is the type of the calls.

use std::sync::Arc;

use crate::error::Error;
use crate::ffi::store::Store;
use crate::ffi::value::Value;
use crate::flight::KeyedGroup;
use crate::lock::{Lock, LockGuard};

/// How many calls that were freed each lane keeps for the next ones.
const KEPT_CALLS: usize = 32;
const LANES: usize = 8;

/// What the handle has: the calls of some keys have a share of a lane. The lanes are apart, counts
/// and all, so that calls of different keys seldom meet.
pub(crate) struct Lanes<C>([Arc<Lane<C>>; LANES]);

/// Where the flights of calls live.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Group(Arc<KeyedGroup<[u8], Value, Error>>),
    Cache(Store),
}

/// What calls have a share of, and the calls that were freed.
#[repr(align(128))]
pub(crate) struct Lane<C> {
    pub(crate) source: Source,
    kept: Lock<Vec<Box<C>>>,
}

impl<C> Lanes<C> {
    pub(crate) fn new(source: &Source) -> Self {
        let lane =
            || Lane { source: source.clone(), kept: Lock::new(Vec::with_capacity(KEPT_CALLS)) };
        Lanes(std::array::from_fn(|_| Arc::new(lane())))
    }

    /// The lane of a key's calls.
    pub(crate) fn lane(&self, key: &[u8]) -> &Arc<Lane<C>> {
        // The end of a key tells more than its beginning.
        let end = match key.last_chunk() {
            Some(end) => u64::from_ne_bytes(*end),
            None => key.iter().fold(0, |end, byte| end << 8 | u64::from(*byte)),
        };
        // Fibonacci hashing: the uppermost bits depend on all.
        let mix = end.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61;
        &self.0[mix as usize % LANES]
    }
}

impl<C> Lane<C> {
    /// The calls that are kept. In the child of a fork whose other threads were just at it, those
    /// are let go.
    fn lock(&self) -> LockGuard<'_, Vec<Box<C>>> {
        let (mut kept, torn) = self.kept.lock_marked();
        if torn {
            std::mem::forget(std::mem::replace(&mut *kept, Vec::with_capacity(KEPT_CALLS)));
        }
        kept
    }

    /// A call that was used before, if there is one.
    pub(crate) fn take_call(&self) -> Option<Box<C>> {
        self.lock().pop()
    }

    /// Keeps a call for the next one, unless there are enough.
    pub(crate) fn keep_call(&self, call: Box<C>) {
        let mut kept = self.lock();
        if kept.len() < KEPT_CALLS {
            kept.push(call);
        } else {
            drop(kept);
            drop(call);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_of_any_length_are_spread_over_all_lanes() {
        let lanes = Lanes::<()>::new(&Source::Group(Arc::new(KeyedGroup::new())));
        for length in [1, 7, 8, 30] {
            let lane_of = |last: u8| {
                let mut key = vec![b'k'; length];
                key[length - 1] = last;
                assert!(Arc::ptr_eq(lanes.lane(&key), lanes.lane(&key.clone())));
                Arc::as_ptr(lanes.lane(&key))
            };
            let used: BTreeSet<_> = (0..64).map(lane_of).collect();
            assert_eq!(used.len(), LANES, "{length}");
        }
    }
}
