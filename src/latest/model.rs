//! Models of the published value and the word that tells of it.

use super::*;
use crate::sync::model;
use loom::thread;

impl Versioned for u64 {
    fn version(&self) -> u64 {
        *self
    }
}

/// The protocol of a loop cache's VERSION invariant, bare: value first, word second.
struct Pair {
    value: Latest<u64>,
    word: AtomicU64,
}

impl Pair {
    fn new() -> Arc<Pair> {
        Arc::new(Pair { value: Latest::new(0), word: AtomicU64::new(0) })
    }

    fn publish(&self, version: u64) {
        self.value.swap(Arc::new(version));
        self.word.store(version, Ordering::Release);
    }
}

#[test]
fn store_against_load() {
    model(|| {
        let pair = Pair::new();
        let writer = {
            let pair = pair.clone();
            thread::spawn(move || {
                pair.publish(1);
                pair.publish(2);
            })
        };
        let reader = {
            let pair = pair.clone();
            thread::spawn(move || {
                let first = *pair.value.load();
                let second = *pair.value.load_full();
                assert!(first <= second, "a thread never sees an older value after a newer one");
            })
        };
        let word = pair.word.load(Ordering::Acquire);
        assert!(*pair.value.load() >= word, "who sees a version finds its value");
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!((*pair.value.load(), pair.word.load(Ordering::Relaxed)), (2, 2));
    });
}

struct Holder(Arc<Pair>);

impl Deref for Holder {
    type Target = Latest<u64>;

    fn deref(&self) -> &Latest<u64> {
        &self.0.value
    }
}

#[test]
fn store_against_a_cached_load() {
    model(|| {
        let pair = Pair::new();
        let writer = {
            let pair = pair.clone();
            thread::spawn(move || pair.publish(1))
        };
        let mut cached = Cached::new(Holder(pair.clone()));
        let first = **cached.load();
        let seen = *pair.value.load();
        let second = **cached.load();
        assert!(
            first <= second && seen <= second,
            "ANNOUNCED: a copy is never behind what its thread has seen"
        );
        writer.join().unwrap();
        assert_eq!(**cached.load(), 1);
    });
}
