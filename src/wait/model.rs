//! Models of the wait list. Each spawns; loom runs every interleaving.

use super::gate::{Count, Gate, poll};
use super::*;
use crate::clock::ManualClock;
use crate::sync::model;
use loom::thread;

#[test]
fn notify_against_wait() {
    model(|| {
        let gate = Gate::new();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let gate = gate.clone();
                thread::spawn(move || block_on(gate.wait(), &ManualClock::new(), None))
            })
            .collect();
        gate.open();
        for waiter in waiters {
            // A lost wake-up would show as a deadlock.
            assert_eq!(waiter.join().unwrap(), Some(()));
        }
        assert_eq!(gate.linked(), 0);
    });
}

#[test]
fn notify_against_timeout() {
    model(|| {
        let gate = Gate::new();
        let waiter = {
            let gate = gate.clone();
            thread::spawn(move || {
                // The deadline has come: it looks, queues, looks again and leaves.
                let clock = ManualClock::new();
                block_on(gate.wait(), &clock, Some(clock.now()))
            })
        };
        let other = {
            let gate = gate.clone();
            thread::spawn(move || block_on(gate.wait(), &ManualClock::new(), None))
        };
        gate.open();
        waiter.join().unwrap();
        assert_eq!(other.join().unwrap(), Some(()), "one that leaves takes nobody's wake-up along");
        assert_eq!(gate.linked(), 0);
    });
}

#[test]
fn notify_against_cancel() {
    model(|| {
        let gate = Gate::new();
        let task = {
            let gate = gate.clone();
            thread::spawn(move || {
                let count = Arc::new(Count::default());
                {
                    let mut wait = pin!(gate.wait());
                    let _ = poll(wait.as_mut(), &count);
                    // Dropped here: linked, notified, or being notified.
                }
                assert!(count.get() <= 1);
            })
        };
        gate.open();
        task.join().unwrap();
        assert_eq!(gate.linked(), 0);
    });
}

#[test]
fn notify_against_a_replaced_waker() {
    model(|| {
        let gate = Gate::new();
        let task = {
            let gate = gate.clone();
            thread::spawn(move || {
                let (old, new) = (Arc::new(Count::default()), Arc::new(Count::default()));
                let mut wait = pin!(gate.wait());
                let _ = poll(wait.as_mut(), &old);
                if poll(wait.as_mut(), &new).is_pending() {
                    // The newest Waker is the one that will be woken: wait for it.
                    while new.get() == 0 {
                        thread::yield_now();
                    }
                    assert!(poll(wait.as_mut(), &new).is_ready());
                }
            })
        };
        gate.open();
        task.join().unwrap();
    });
}

#[test]
fn two_waiters_one_leaves() {
    model(|| {
        let gate = Gate::new();
        let count = Arc::new(Count::default());
        let mut stays = Box::pin(gate.wait());
        let mut leaves = Box::pin(gate.wait());
        assert!(poll(leaves.as_mut(), &Arc::default()).is_pending());
        assert!(poll(stays.as_mut(), &count).is_pending());
        let leaver = thread::spawn(move || drop(leaves));
        let opener = {
            let gate = gate.clone();
            thread::spawn(move || gate.open())
        };
        leaver.join().unwrap();
        opener.join().unwrap();
        assert_eq!(count.get(), 1, "the one that stays is woken, whatever the other does");
        assert!(poll(stays.as_mut(), &count).is_ready());
    });
}
