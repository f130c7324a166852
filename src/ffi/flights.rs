//! What a group's handle and its calls share: the flights, and the calls that were freed. `C` is what calls are.

use crossbeam_utils::CachePadded;

use super::value::Value;
use crate::error::{Error, ErrorKind};
use crate::flight::KeyedGroup;
use crate::lock::Lock;

/// How many calls that were freed each of the `POOLS` keeps for the next ones.
const KEPT_CALLS: usize = 32;
/// Calls are kept apart by key, so that those of different keys seldom meet.
const POOLS: usize = 8;

/// What a group's handle and its calls share.
pub(super) struct Flights<C> {
    pub(super) group: KeyedGroup<[u8], Value, Error>,
    /// Calls that were freed, by a few bits of their keys.
    pools: [CachePadded<Lock<Vec<Box<C>>>>; POOLS],
}

impl<C> AsRef<KeyedGroup<[u8], Value, Error>> for Flights<C> {
    fn as_ref(&self) -> &KeyedGroup<[u8], Value, Error> {
        &self.group
    }
}

impl<C> Flights<C> {
    pub(super) fn new(group: KeyedGroup<[u8], Value, Error>) -> Self {
        let pools = std::array::from_fn(|_| CachePadded::new(Lock::new(Vec::with_capacity(KEPT_CALLS))));
        Flights { group, pools }
    }

    /// A call, used before or new, for a key whose pool is `pool`.
    pub(super) fn take_call(&self, pool: usize) -> Box<C>
    where
        C: Default,
    {
        let kept = self.pools[pool % POOLS].lock().pop();
        kept.unwrap_or_default()
    }

    /// Keeps a call for the next one of the pool, unless there are enough.
    pub(super) fn keep_call(&self, pool: usize, call: Box<C>) {
        let mut kept = self.pools[pool % POOLS].lock();
        if kept.len() < KEPT_CALLS {
            kept.push(call);
        } else {
            drop(kept);
            drop(call);
        }
    }
}

/// The pool of a key's calls.
pub(super) fn pool_of(key: &[u8]) -> usize {
    let (first, last) = (key.first().copied(), key.last().copied());
    key.len() ^ usize::from(first.unwrap_or(0)) ^ usize::from(last.unwrap_or(0)).rotate_left(1)
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
