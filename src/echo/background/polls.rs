//! Tasks that a thread has woken which must not poll them: for the C ABI.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::queue::{Offer, Queue};
use crate::housekeeping;
use crate::sync::fork;

/// How many threads poll at most. A store's callbacks may block one for its time.
const THREADS: usize = 4;

/// The polls of the whole process.
fn polls() -> &'static Arc<Queue> {
    static POLLS: OnceLock<Arc<Queue>> = OnceLock::new();
    POLLS.get().unwrap_or_else(|| {
        housekeeping::watch();
        fork::exclude(|| POLLS.get_or_init(|| Queue::new(usize::MAX, THREADS)))
    })
}

/// Has a thread of the library do something that takes no long time. Whether there is one.
pub(crate) fn on_worker(work: impl FnOnce() + Send + 'static) -> bool {
    static TURNS: AtomicU64 = AtomicU64::new(0);
    // A name that no other has: nothing is left out for being there already.
    let turn = TURNS.fetch_add(1, Ordering::Relaxed);
    polls().offer(turn, &turn.to_string(), Box::new(work)) == Offer::Accepted
}
