//! Models of the records: what a reader sees is not used again.

use std::sync::Arc;

use super::barrier::light;
use super::periods::Periods;
use super::records::Records;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{cell::UnsafeCell, model};
use loom::thread;

/// Two places, one of which is published.
struct Shared {
    records: Records,
    periods: Periods,
    published: AtomicUsize,
    places: [UnsafeCell<u32>; 2],
}

impl Shared {
    fn new() -> Arc<Shared> {
        let places = [UnsafeCell::new(1), UnsafeCell::new(2)];
        let (records, periods) = (Records::new(), Periods::new());
        Arc::new(Shared { records, periods, published: AtomicUsize::new(0), places })
    }

    /// Reads what is published, so often.
    fn reader(self: &Arc<Shared>, times: usize) -> thread::JoinHandle<()> {
        let shared = self.clone();
        thread::spawn(move || {
            let record = shared.records.take();
            for _ in 0..times {
                record.enter();
                let place = shared.published.load(Ordering::Acquire);
                // SAFETY: nobody writes it meanwhile, or loom says so.
                let value = shared.places[place].with(|value| unsafe { *value });
                assert_eq!(value, place as u32 + 1);
                record.leave();
            }
            record.give_up();
        })
    }

    /// Publishes the other place, and uses the first again if it may.
    fn write(&self) -> bool {
        self.published.store(1, Ordering::Release);
        light();
        let era = self.periods.now();
        self.records.advance(&self.periods);
        let over = self.periods.are_past(era);
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
        let era = shared.periods.now();
        shared.records.advance(&shared.periods);
        assert!(shared.periods.are_past(era), "nobody reads");
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
