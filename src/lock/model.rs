//! Models of the lock itself. That nobody sleeps forever is loom's to say: it finds threads that
//! wait for each other.

use std::sync::Arc;

use super::raw::{HELD, RawLock};
use crate::sync::{cell::UnsafeCell, model};
use loom::thread;

struct Shared {
    lock: RawLock,
    count: UnsafeCell<usize>,
    is_asymmetric: bool,
}

impl Shared {
    fn new(is_asymmetric: bool) -> Arc<Shared> {
        Arc::new(Shared { lock: RawLock::new(), count: UnsafeCell::new(0), is_asymmetric })
    }

    /// Counts so often under the lock.
    fn count(&self, times: usize) {
        for _ in 0..times {
            if !self.lock.try_lock() {
                assert!(!self.lock.lock_contended(HELD, || self.is_asymmetric), "nobody forks");
            }
            // SAFETY: the lock is ours, or loom says that it is not.
            self.count.with_mut(|count| unsafe { *count += 1 });
            if self.is_asymmetric {
                self.lock.leave();
            } else {
                self.lock.leave_by_exchange();
            }
        }
    }

    fn spawn(self: &Arc<Shared>, times: usize) -> thread::JoinHandle<()> {
        let shared = self.clone();
        thread::spawn(move || shared.count(times))
    }
}

/// Has as many threads besides the main one count, each as often as is said.
fn counts(is_asymmetric: bool, main: usize, others: &'static [usize]) {
    model(move || {
        let shared = Shared::new(is_asymmetric);
        let threads: Vec<_> = others.iter().map(|times| shared.spawn(*times)).collect();
        shared.count(main);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // SAFETY: the others are through.
        let count = shared.count.with(|count| unsafe { *count });
        assert_eq!(count, main + others.iter().sum::<usize>());
    });
}

#[test]
fn two_threads() {
    counts(true, 2, &[1]);
}

#[test]
fn two_threads_that_exchange() {
    counts(false, 2, &[1]);
}

#[test]
fn three_threads() {
    counts(true, 1, &[1, 1]);
}

#[test]
fn three_threads_that_exchange() {
    counts(false, 1, &[1, 1]);
}

#[test]
fn one_who_is_overtaken() {
    counts(true, 3, &[1]);
}

#[test]
fn one_who_is_overtaken_and_exchanges() {
    counts(false, 3, &[1]);
}
