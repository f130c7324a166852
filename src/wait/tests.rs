use super::gate::{Count, Gate, Opened, poll};
use super::*;
use crate::clock::{ManualClock, SystemClock};
use std::sync::Barrier;
use std::time::Duration;

#[test]
fn waiters_may_leave_from_anywhere_in_the_queue() {
    let (gate, count) = (Gate::new(), Arc::new(Count::default()));
    let mut waits: Vec<_> = (0..5).map(|_| Box::pin(gate.wait())).collect();
    for wait in &mut waits {
        assert!(poll(wait.as_mut(), &count).is_pending());
    }
    for (place, left) in [(2, 4), (0, 3), (2, 2)] {
        drop(waits.remove(place));
        assert_eq!(gate.linked(), left, "the middle, the head, the tail");
    }
    gate.open();
    assert_eq!((count.get(), gate.linked()), (2, 0));
    assert!(waits.iter_mut().all(|wait| poll(wait.as_mut(), &count).is_ready()));
}

#[test]
fn a_wakers_panic_costs_nobody_the_wake_up() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("a bad waker");
        }
    }
    let (gate, count) = (Gate::new(), Arc::new(Count::default()));
    let (mut bad, mut good) = (Box::pin(gate.wait()), Box::pin(gate.wait()));
    assert!(bad.as_mut().poll(&mut TaskContext::from_waker(&Arc::new(Bad).into())).is_pending());
    assert!(poll(good.as_mut(), &count).is_pending());
    gate.open();
    assert_eq!(count.get(), 1);
}

#[test]
fn ten_thousand_waiters_are_all_woken() {
    let (gate, count) = (Gate::new(), Arc::new(Count::default()));
    let mut waits: Vec<_> = (0..10_000).map(|_| Box::pin(gate.wait())).collect();
    for wait in &mut waits {
        assert!(poll(wait.as_mut(), &count).is_pending());
    }
    gate.open();
    assert_eq!((count.get(), gate.linked()), (10_000, 0));
}

#[test]
fn one_who_queues_again_when_woken_does_not_keep_the_notifier() {
    /// Queues again on each wake-up, on the notifier's own thread.
    struct Again(crate::sync::Mutex<Option<Pin<Box<Wait<Opened>>>>>, Count);
    impl Wake for Again {
        fn wake(self: Arc<Self>) {
            self.1.add();
            let mut wait = self.0.lock().take().unwrap();
            let _ = wait.as_mut().poll(&mut TaskContext::from_waker(&self.clone().into()));
            *self.0.lock() = Some(wait);
        }
    }
    let gate = Gate::new();
    let again = Arc::new(Again(crate::sync::Mutex::new(None), Count::default()));
    let mut wait = Box::pin(gate.wait());
    assert!(wait.as_mut().poll(&mut TaskContext::from_waker(&again.clone().into())).is_pending());
    *again.0.lock() = Some(wait);
    gate.list.notify_all();
    assert_eq!((again.1.get(), gate.linked()), (1, 1));
    drop(again.0.lock().take());
}

#[test]
fn threads_wait_for_a_manual_deadline() {
    let (gate, clock) = (Gate::new(), ManualClock::new());
    let deadline = Some(clock.now().after(Duration::from_secs(1)));
    let waiter = std::thread::spawn({
        let (gate, clock) = (gate.clone(), clock.clone());
        move || block_on(gate.wait(), &clock, deadline)
    });
    clock.advance(Duration::from_secs(1));
    assert_eq!(waiter.join().unwrap(), None);
    gate.open();
    assert_eq!(
        block_on(gate.wait(), &clock, deadline),
        Some(()),
        "ready wins over a deadline that has passed"
    );
}

#[test]
fn threads_that_come_go_and_time_out_lose_no_wake_up() {
    const THREADS: usize = 8;
    for round in 0..200_u64 {
        let (gate, start) = (Gate::new(), Barrier::new(THREADS + 1));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (gate, start) = (&gate, &start);
                scope.spawn(move || {
                    start.wait();
                    if thread % 2 == 0 {
                        let soon = SystemClock.now().after(Duration::from_micros(round));
                        block_on(gate.wait(), &SystemClock, Some(soon));
                    } else {
                        assert_eq!(block_on(gate.wait(), &SystemClock, None), Some(()));
                    }
                });
            }
            start.wait();
            gate.open();
        });
        assert_eq!(gate.linked(), 0);
    }
}
