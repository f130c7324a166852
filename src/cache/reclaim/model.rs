//! Models of the records: what a reader sees is not used again.

use std::sync::Arc;

use super::grace::GracePeriods;
use super::records::Records;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use crate::sync::{cell::UnsafeCell, model};
use loom::thread;

/// Two places, one of which is published.
struct Shared {
    records: Records,
    periods: GracePeriods,
    published: AtomicUsize,
    places: [UnsafeCell<u32>; 2],
}

impl Shared {
    fn new() -> Arc<Shared> {
        let places = [UnsafeCell::new(1), UnsafeCell::new(2)];
        let (records, periods) = (Records::new(), GracePeriods::new());
        Arc::new(Shared { records, periods, published: AtomicUsize::new(0), places })
    }

    /// Reads what is published, so often.
    fn reader(self: &Arc<Shared>, times: usize) -> thread::JoinHandle<()> {
        let shared = self.clone();
        thread::spawn(move || {
            let record = shared.records.take();
            for _ in 0..times {
                record.pin();
                let place = shared.published.load(Ordering::Acquire);
                // SAFETY: nobody writes it meanwhile, or loom says so.
                let value = shared.places[place].with(|value| unsafe { *value });
                assert_eq!(value, place as u32 + 1);
                assert!(!record.unpin());
            }
            shared.records.give_back(record);
        })
    }

    /// Publishes the other place, and uses the first again if it may.
    fn write(&self) -> bool {
        self.published.store(1, Ordering::Release);
        fence(Ordering::SeqCst);
        let cookie = self.periods.cookie();
        self.records.advance(&self.periods);
        let over = self.periods.has_elapsed(cookie);
        if over {
            // SAFETY: nobody reads it, or loom says so.
            self.places[0].with_mut(|value| unsafe { *value = 7 });
        }
        over
    }
}

#[test]
fn a_read_against_the_end_of_a_period() {
    model(|| {
        let shared = Shared::new();
        let reader = shared.reader(2);
        shared.write();
        reader.join().unwrap();
        let cookie = shared.periods.cookie();
        shared.records.advance(&shared.periods);
        assert!(shared.periods.has_elapsed(cookie), "nobody reads");
    });
}

#[test]
fn a_period_that_another_thread_ends() {
    model(|| {
        let shared = Shared::new();
        let reader = shared.reader(1);
        let other = {
            let shared = shared.clone();
            thread::spawn(move || shared.records.advance(&shared.periods))
        };
        shared.write();
        reader.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_record_that_changes_hands() {
    model(|| {
        let shared = Shared::new();
        let readers = [shared.reader(1), shared.reader(1)];
        shared.write();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

/// What `membarrier` does: a fence in each thread, at a moment of its own while the heavy one
/// lasts.
struct Interrupts {
    sent: AtomicBool,
    taken: [AtomicBool; 2],
}

impl Interrupts {
    /// The place in a thread's program where it is interrupted, if that happens while the fence
    /// lasts.
    fn may_come(&self, thread: usize) {
        if self.sent.load(Ordering::Acquire) {
            fence(Ordering::SeqCst);
            self.taken[thread].store(true, Ordering::Release);
        }
    }

    /// Whether all were interrupted: this waits for nobody.
    fn heavy(&self) -> bool {
        fence(Ordering::SeqCst);
        self.sent.store(true, Ordering::Release);
        let all = self.taken.iter().all(|taken| taken.load(Ordering::Acquire));
        fence(Ordering::SeqCst);
        all
    }
}

#[test]
fn a_fence_that_comes_to_each_thread_at_another_moment() {
    for (reader_at, writer_at) in
        (0..3).flat_map(|reader| (0..3).map(move |writer| (reader, writer)))
    {
        model(move || {
            let shared = Shared::new();
            let interrupts =
                Arc::new(Interrupts { sent: AtomicBool::new(false), taken: Default::default() });
            let record = shared.records.take();
            let reader = {
                let (shared, interrupts) = (shared.clone(), interrupts.clone());
                let step = move |at| (at == reader_at).then(|| interrupts.may_come(0));
                thread::spawn(move || {
                    step(0);
                    record.set(record.ctr().pinned());
                    step(1);
                    let found = shared.published.load(Ordering::Acquire);
                    step(2);
                    found
                })
            };
            let writer = {
                let (shared, interrupts) = (shared.clone(), interrupts.clone());
                let step = move |at| (at == writer_at).then(|| interrupts.may_come(1));
                thread::spawn(move || {
                    step(0);
                    shared.published.store(1, Ordering::Release);
                    fence(Ordering::SeqCst);
                    step(1);
                    let cookie = shared.periods.cookie();
                    step(2);
                    cookie
                })
            };
            shared.periods.begin();
            if interrupts.heavy() && !record.seen().is_pinned() {
                shared.periods.end();
            }
            let (found, cookie) = (reader.join().unwrap(), writer.join().unwrap());
            assert!(
                found == 1 || !shared.periods.has_elapsed(cookie),
                "who is not waited for finds what is new"
            );
        });
    }
}
