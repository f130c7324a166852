//! Models of the timers: alarms that are set and taken back while the thread falls asleep, serves
//! or ends. Each spawns; loom runs every interleaving.

use super::*;
use crate::sync::model;
use crate::sync::thread::{Parker, Unparker};
use loom::thread;
use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering as StdOrdering};
use std::task::Wake;

/// Tells that it rang, and counts, with std's atomics, how often: they are not part of a model.
struct Bell {
    rings: StdAtomicUsize,
    rang: Unparker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rings.fetch_add(1, StdOrdering::SeqCst);
        self.rang.unpark();
    }
}

fn bell() -> (Arc<Bell>, Parker) {
    let parker = Parker::new();
    let rang = parker.unparker().clone();
    (Arc::new(Bell { rings: StdAtomicUsize::new(0), rang }), parker)
}

impl Bell {
    fn rings(&self) -> usize {
        self.rings.load(StdOrdering::SeqCst)
    }
}

fn due() -> Tick {
    present()
}

fn far() -> Tick {
    present().after(Duration::from_secs(1_000))
}

/// Timers that count as served by a thread that is awake. No other is to be had.
fn served(shards: usize) -> Arc<Timers> {
    let timers = Timers::new(shards, Some(|_, _| Err(io::ErrorKind::WouldBlock.into())));
    let mut server = timers.server.lock();
    server.serving = true;
    timers.looks_at.set(&server, Tick::default());
    drop(server);
    Arc::new(timers)
}

fn start(timers: &Arc<Timers>) -> thread::JoinHandle<()> {
    let timers = timers.clone();
    thread::spawn(move || timers.run(0))
}

/// Sets an alarm that is due and waits until it has rung. A lost wake-up would show as a deadlock.
fn set_one(timers: &Arc<Timers>, shard: usize) -> thread::JoinHandle<Arc<Bell>> {
    let timers = timers.clone();
    thread::spawn(move || {
        let (bell, rang) = bell();
        timers.set(&timers.shards()[shard], due(), bell.clone().into());
        rang.park();
        bell
    })
}

/// Sends the thread away, who has nothing to do any more, and waits for it.
fn end(timers: &Timers, serves: thread::JoinHandle<()>) {
    assert!(timers.dismiss());
    serves.join().unwrap();
}

#[test]
fn a_sooner_alarm_against_falling_asleep() {
    model(|| {
        let timers = served(2);
        let (first, _) = bell();
        let (sooner, rang) = bell();
        let far = timers.set(&timers.shards()[0], far(), first.clone().into());
        let serves = start(&timers);
        let id = timers.set(&timers.shards()[1], due(), sooner.clone().into());
        // A lost wake-up would show as a deadlock.
        rang.park();
        assert!(timers.shards()[1].lock().remove(id).is_none());
        timers.shards()[0].disarm(far);
        end(&timers, serves);
        assert_eq!((first.rings(), sooner.rings()), (0, 1));
    });
}

#[test]
fn a_sooner_and_a_later_alarm_against_falling_asleep() {
    model(|| {
        let timers = served(1);
        let serves = start(&timers);
        let setter = {
            let timers = timers.clone();
            thread::spawn(move || timers.set(&timers.shards()[0], far(), Waker::noop().clone()))
        };
        let (sooner, rang) = bell();
        timers.set(&timers.shards()[0], due(), sooner.clone().into());
        rang.park();
        timers.shards()[0].disarm(setter.join().unwrap());
        assert_eq!(sooner.rings(), 1);
        end(&timers, serves);
    });
}

#[test]
fn set_against_take_back_against_fire() {
    model(|| {
        let timers = served(1);
        let (taken, _) = bell();
        let id = timers.set(&timers.shards()[0], due(), taken.clone().into());
        let serves = start(&timers);
        let takes = {
            let timers = timers.clone();
            thread::spawn(move || timers.shards()[0].lock().remove(id).is_some())
        };
        let (kept, rang) = bell();
        timers.set(&timers.shards()[0], due(), kept.clone().into());
        rang.park();
        let back = takes.join().unwrap();
        end(&timers, serves);
        assert_eq!(kept.rings(), 1, "one that is taken back takes nobody else's place along");
        assert_eq!(taken.rings() + usize::from(back), 1, "it rings, or is taken back");
    });
}

#[test]
fn set_against_leave() {
    model(|| {
        let timers = served(2);
        let serves = {
            let timers = timers.clone();
            thread::spawn(move || {
                if !timers.leave(0, 0) {
                    timers.run(0);
                }
            })
        };
        let (bell, rang) = bell();
        timers.set(&timers.shards()[1], due(), bell.clone().into());
        // Either the thread stays, or this one finds that it has left and cannot start another.
        rang.park();
        end(&timers, serves);
        assert_eq!(bell.rings(), 1);
    });
}

#[test]
fn set_against_dismiss() {
    model(|| {
        let timers = served(2);
        let serves = start(&timers);
        let setter = set_one(&timers, 1);
        let dismissed = timers.dismiss();
        let bell = setter.join().unwrap();
        assert_eq!(bell.rings(), 1);
        assert!(dismissed || timers.dismiss());
        serves.join().unwrap();
    });
}

#[test]
fn an_alarm_that_nobody_serves_against_another() {
    model(|| {
        let timers = served(2);
        assert!(timers.dismiss());
        let setter = set_one(&timers, 0);
        let (waits, _) = bell();
        let far = timers.set(&timers.shards()[1], far(), waits.clone().into());
        assert!(timers.are_stranded() && timers.rescue().is_some());
        assert_eq!((setter.join().unwrap().rings(), waits.rings()), (1, 0));
        timers.shards()[1].disarm(far);
        assert!(timers.rescue().is_none() && !timers.are_stranded());
    });
}
