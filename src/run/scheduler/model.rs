//! Models of a scheduler: what is scheduled against what takes it back, calls it, or ends it all.
//! The clock stands still unless a model moves it; a worker that lingers may go at any moment. A
//! wake-up that is lost shows as a deadlock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as StdOrdering};
use std::task::Waker;
use std::time::Duration;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::Scheduler;
use crate::clock::{ManualClock, Tick};
use crate::executor::{Job, Jobs, Next, Turn};
use crate::loop_cache::LoopCache;
use crate::sync::model;

const NOW: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

fn scheduler(workers: usize) -> (ManualClock, Scheduler) {
    let clock = ManualClock::new();
    let builder = Scheduler::builder().workers(workers).max_workers(workers);
    (clock.clone(), builder.clock(clock).build().unwrap())
}

/// How often something has happened.
#[derive(Default)]
struct Count(Mutex<usize>, Condvar);

impl Count {
    fn add(&self) {
        *self.0.lock().unwrap() += 1;
        self.1.notify_all();
    }

    fn get(&self) -> usize {
        *self.0.lock().unwrap()
    }

    fn wait_for(&self, times: usize) {
        let mut count = self.0.lock().unwrap();
        while *count < times {
            count = self.1.wait(count).unwrap();
        }
    }
}

/// Counts its end, and is called at most once.
struct Owned(Arc<Count>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.add();
    }
}

#[test]
fn insert_against_cancel_against_fire() {
    model(|| {
        let (_, scheduler) = scheduler(1);
        let (called, dropped) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let closure = || {
            let (called, owned) = (called.clone(), Owned(dropped.clone()));
            move || {
                called.add();
                drop(owned);
            }
        };
        let first = scheduler.schedule_after(NOW, closure()).unwrap();
        let canceller = thread::spawn(move || first.cancel());
        let second = scheduler.schedule_after(NOW, closure()).unwrap();
        let cancelled = usize::from(canceller.join().unwrap());
        dropped.wait_for(2);
        assert_eq!(called.get() + cancelled, 2, "each is called, or taken back in time");
        assert!(!second.cancel());
    });
}

#[test]
fn the_last_handle_against_a_fire() {
    model(|| {
        let (_, scheduler) = scheduler(1);
        let (called, dropped) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (calls, owned) = (called.clone(), Owned(dropped.clone()));
        let closure = move || {
            calls.add();
            drop(owned);
        };
        let other = scheduler.clone();
        let scheduled = scheduler.schedule_after(NOW, closure).unwrap();
        let dropper = thread::spawn(move || drop(other));
        drop(scheduler);
        dropper.join().unwrap();
        dropped.wait_for(1);
        assert!(called.get() <= 1 && dropped.get() == 1 && !scheduled.cancel());
    });
}

#[test]
fn the_last_handle_in_a_call() {
    model(|| {
        let (_, scheduler) = scheduler(1);
        let dropped = Arc::new(Count::default());
        let (inside, owned) = (scheduler.clone(), Owned(dropped.clone()));
        let never = Owned(dropped.clone());
        scheduler.schedule_after(SECOND, move || drop(never)).unwrap();
        let both = move || drop((inside, owned));
        scheduler.schedule_after(NOW, both).unwrap();
        drop(scheduler);
        dropped.wait_for(2);
    });
}

#[test]
fn time_against_who_rests_until_then() {
    model(|| {
        let (clock, scheduler) = scheduler(1);
        let called = Arc::new(Count::default());
        let calls = called.clone();
        scheduler.schedule_after(SECOND, move || calls.add()).unwrap();
        let passes = thread::spawn(move || clock.advance(SECOND));
        called.wait_for(1);
        passes.join().unwrap();
    });
}

#[test]
fn what_is_due_sooner_against_who_rests() {
    model(|| {
        let (_, scheduler) = scheduler(1);
        let called = Arc::new(Count::default());
        let calls = called.clone();
        let later = scheduler.schedule_after(SECOND, || unreachable!()).unwrap();
        scheduler.schedule_after(NOW, move || calls.add()).unwrap();
        called.wait_for(1);
        assert!(later.cancel());
    });
}

#[test]
fn a_call_that_waits_for_another_one() {
    model(|| {
        let (_, scheduler) = scheduler(2);
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (waits, done) = (first.clone(), second.clone());
        // Whoever takes this one has the other worker see to the next.
        scheduler
            .schedule_after(NOW, move || {
                waits.wait_for(1);
                done.add();
            })
            .unwrap();
        scheduler.schedule_after(NOW, move || first.add()).unwrap();
        second.wait_for(1);
    });
}

#[test]
fn shutdown_against_a_call() {
    model(|| {
        let (_, scheduler) = scheduler(1);
        let inside = Arc::new(AtomicUsize::new(0));
        let enters = inside.clone();
        scheduler
            .schedule_after(NOW, move || {
                enters.store(1, StdOrdering::SeqCst);
                thread::yield_now();
                enters.store(2, StdOrdering::SeqCst);
            })
            .unwrap();
        scheduler.shutdown();
        let seen = inside.load(StdOrdering::SeqCst);
        assert_ne!(seen, 1, "a call is under way");
        assert!(scheduler.schedule_after(NOW, || ()).is_err());
        thread::yield_now();
        assert_eq!(inside.load(StdOrdering::SeqCst), seen, "nothing is called any more");
    });
}

/// A job that is called when it is woken.
struct Sleeper {
    waker: Arc<Mutex<Option<Waker>>>,
    wanted: Arc<AtomicUsize>,
    served: Arc<Count>,
}

impl Job for Sleeper {
    fn enlist(&mut self, waker: &Waker) -> Next {
        *self.waker.lock().unwrap() = Some(waker.clone());
        Next::Called
    }

    fn run(&mut self, _: Tick, called: bool) -> Turn {
        assert!(called);
        let wanted = self.wanted.load(StdOrdering::SeqCst);
        thread::yield_now();
        while self.served.get() < wanted {
            self.served.add();
        }
        Turn { next: Next::Called, ended: None }
    }
}

#[test]
fn a_wake_up_against_a_call() {
    model(|| {
        let (_, scheduler) = scheduler(1);
        let (waker, wanted) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let served = Arc::new(Count::default());
        let job =
            Sleeper { waker: Arc::clone(&waker), wanted: wanted.clone(), served: served.clone() };
        scheduler.adopt(Box::new(job)).unwrap();
        let waker: Waker = waker.lock().unwrap().take().unwrap();
        let ask = move || {
            wanted.fetch_add(1, StdOrdering::SeqCst);
            waker.wake_by_ref();
        };
        let asks = ask.clone();
        let other = thread::spawn(asks);
        ask();
        // HEARD: whatever was asked for before a wake-up is seen by a call after it.
        served.wait_for(2);
        other.join().unwrap();
    });
}

/// Is called at once, and again a second later.
struct Twice(usize, Arc<Count>);

impl Job for Twice {
    fn enlist(&mut self, _: &Waker) -> Next {
        Next::AtOnce
    }

    fn run(&mut self, now: Tick, _: bool) -> Turn {
        self.0 += 1;
        self.1.add();
        let next = if self.0 < 2 { Next::At(now.after(SECOND)) } else { Next::Over };
        Turn { next, ended: None }
    }
}

#[test]
fn what_a_call_brings_back_against_who_rests() {
    model(|| {
        let (clock, scheduler) = scheduler(2);
        let called = Arc::new(Count::default());
        // While the call is under way the other worker rests until then.
        let later = scheduler.schedule_after(3 * SECOND, || unreachable!()).unwrap();
        scheduler.adopt(Box::new(Twice(0, called.clone()))).unwrap();
        called.wait_for(1);
        clock.advance(SECOND);
        called.wait_for(2);
        assert!(later.cancel());
    });
}

#[test]
fn a_loop_that_is_stopped_against_its_call() {
    model(|| {
        let (clock, scheduler) = scheduler(1);
        let calls = Arc::new(AtomicUsize::new(0));
        let counts = calls.clone();
        let doer = move || {
            counts.fetch_add(1, StdOrdering::SeqCst);
            Ok::<_, std::io::Error>(())
        };
        let cache = LoopCache::builder(doer).interval(SECOND).clock(clock);
        let cache = cache.scheduler(&scheduler).build().unwrap();
        drop(scheduler);
        assert!(cache.start().unwrap());
        cache.stop();
        assert!(!cache.is_running());
        assert_eq!(cache.version(), calls.load(StdOrdering::SeqCst) as u64);
    });
}
