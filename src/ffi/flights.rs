//! What the handle of a group or of a cache and its calls share: where the flights live, and the calls that were freed. `C` is
//! what calls are.

use std::sync::Arc;

use super::store::Store;
use super::value::Value;
use crate::error::{Error, ErrorKind};
use crate::flight::KeyedGroup;
use crate::lock::{Guard, Lock};

/// How many calls that were freed each lane keeps for the next ones.
const KEPT_CALLS: usize = 32;
const LANES: usize = 8;

/// What the handle has: the calls of some keys have a share of a lane. The lanes are apart, counts and all, so that calls of
/// different keys seldom meet.
pub(super) struct Lanes<C>([Arc<Lane<C>>; LANES]);

/// Where the flights of calls live.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Group(Arc<KeyedGroup<[u8], Value, Error>>),
    Cache(Store),
}

/// What calls have a share of, and the calls that were freed.
#[repr(align(128))]
pub(super) struct Lane<C> {
    pub(super) source: Source,
    kept: Lock<Vec<Box<C>>>,
}

impl<C> Lanes<C> {
    pub(super) fn new(source: &Source) -> Self {
        let lane = || Lane { source: source.clone(), kept: Lock::new(Vec::with_capacity(KEPT_CALLS)) };
        Lanes(std::array::from_fn(|_| Arc::new(lane())))
    }

    /// The lane of a key's calls.
    pub(super) fn lane(&self, key: &[u8]) -> &Arc<Lane<C>> {
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
    /// The calls that are kept. In the child of a fork whose other threads were just at it, those are let go.
    fn lock(&self) -> Guard<'_, Vec<Box<C>>> {
        let (mut kept, torn) = self.kept.lock_marked();
        if torn {
            std::mem::forget(std::mem::replace(&mut *kept, Vec::with_capacity(KEPT_CALLS)));
        }
        kept
    }

    /// A call that was used before, if there is one.
    pub(super) fn take_call(&self) -> Option<Box<C>> {
        self.lock().pop()
    }

    /// Keeps a call for the next one, unless there are enough.
    pub(super) fn keep_call(&self, call: Box<C>) {
        let mut kept = self.lock();
        if kept.len() < KEPT_CALLS {
            kept.push(call);
        } else {
            drop(kept);
            drop(call);
        }
    }
}

/// Why a call comes to nothing that came from inside the work of its own key.
pub(super) fn reentrant(key: &[u8]) -> Error {
    let key = key.escape_ascii();
    let message = format!("key \"{key}\": the call came from inside the run that it would have waited for");
    Error::new(ErrorKind::Reentrant, message)
}

/// Why a run panicked, for those who joined it.
pub(super) fn panicked(message: &str) -> Error {
    Error::new(ErrorKind::Panicked, format!("the run panicked: {message}"))
}
