//! Tasks that a thread has woken which must not poll them: for the C ABI.
//!
//! What they poll may call the user back, who may take his time. So each cache has threads of its
//! own for that, and keeps none of them while there is nothing to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::queue::{Offer, Queue};

/// How many threads poll at most. A store's callbacks may block one for its time.
const THREADS: usize = 4;

/// The threads that poll for a cache, and what they are to poll. They go when nobody has it.
#[derive(Clone, Debug)]
pub(crate) struct Polls(Arc<Handle>);

#[derive(Debug)]
struct Handle(Arc<Queue>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Polls {
    /// No thread is there yet.
    pub(crate) fn new() -> Polls {
        Polls(Arc::new(Handle(Queue::new(usize::MAX, THREADS, None))))
    }

    /// Tells the cache from others that are there.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Has one of the threads do something that takes no long time. Whether there is one.
    pub(crate) fn run(&self, work: impl FnOnce() + Send + 'static) -> bool {
        static TURNS: AtomicU64 = AtomicU64::new(0);
        // A name that no other has: nothing is left out for being there already.
        let turn = TURNS.fetch_add(1, Ordering::Relaxed);
        self.0.0.offer(turn, &turn.to_string(), Box::new(work)) == Offer::Accepted
    }
}
