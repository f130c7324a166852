//! What the handle of a group or of a cache and its calls share: the flights, the cache if it is one, and the calls that were
//! freed. `C` is what calls are.

use std::sync::Arc;

use super::store::Store;
use super::value::Value;
use crate::error::{Error, ErrorKind};
use crate::flight::KeyedGroup;
use crate::lock::Lock;

/// How many calls that were freed each lane keeps for the next ones.
const KEPT_CALLS: usize = 32;
const LANES: usize = 8;

/// What the handle has.
pub(super) struct Flights<C> {
    pub(super) group: Arc<KeyedGroup<[u8], Value, Error>>,
    lanes: [Arc<Lane<C>>; LANES],
}

/// What the calls of some keys have a share of. The lanes are apart, counts and all, so that calls of different keys
/// seldom meet.
#[repr(align(128))]
pub(super) struct Lane<C> {
    group: Arc<KeyedGroup<[u8], Value, Error>>,
    /// Where the outcomes of runs are kept, if they are.
    store: Option<Store>,
    kept: Lock<Vec<Box<C>>>,
}

impl<C> AsRef<KeyedGroup<[u8], Value, Error>> for Lane<C> {
    fn as_ref(&self) -> &KeyedGroup<[u8], Value, Error> {
        &self.group
    }
}

impl<C> Flights<C> {
    pub(super) fn new(group: KeyedGroup<[u8], Value, Error>, store: Option<&Store>) -> Self {
        let group = Arc::new(group);
        let lane = || Lane {
            group: group.clone(),
            store: store.cloned(),
            kept: Lock::new(Vec::with_capacity(KEPT_CALLS)),
        };
        let lanes = std::array::from_fn(|_| Arc::new(lane()));
        Flights { group, lanes }
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
        &self.lanes[mix as usize % LANES]
    }
}

impl<C> Lane<C> {
    pub(super) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }
}

impl<C: Default> Lane<C> {
    /// A call, used before or new.
    pub(super) fn take_call(&self) -> Box<C> {
        let kept = self.kept.lock().pop();
        kept.unwrap_or_default()
    }

    /// Keeps a call for the next one, unless there are enough.
    pub(super) fn keep_call(&self, call: Box<C>) {
        let mut kept = self.kept.lock();
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
