//! Timers with threads, and with none to be had.

use super::*;
use crate::clock::real::spawn;
use crate::clock::{Clock, SystemClock};
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::task::Wake;

struct Tell(mpsc::Sender<Option<String>>);

impl Wake for Tell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(std::thread::current().name().map(str::to_owned));
    }
}

#[test]
fn an_alarm_is_spent_when_it_has_rung_and_not_before() {
    let (tell, told) = mpsc::channel();
    let far = SystemClock.now().after(Duration::from_secs(3600));
    let waits = SystemClock.alarm(far, Arc::new(Tell(tell.clone())).into());
    assert!(!waits.is_spent());
    let rings = SystemClock.alarm(SystemClock.now(), Arc::new(Tell(tell)).into());
    told.recv().unwrap();
    assert!(rings.is_spent() && !waits.is_spent());
}

#[test]
fn without_a_thread_callers_serve_it_until_there_is_one() {
    static TRIES: AtomicUsize = AtomicUsize::new(0);
    let refuse_thrice = |timers, dismissals| match TRIES.fetch_add(1, Ordering::Relaxed) {
        0..3 => Err(io::ErrorKind::WouldBlock.into()),
        _ => spawn(timers, dismissals),
    };
    let timers = Arc::new(Timers::new(1, Some(refuse_thrice)));
    let (tell, told) = mpsc::channel();
    let waker = || Arc::new(Tell(tell.clone())).into();
    let here = std::thread::current().name().map(str::to_owned);
    let (now, later) = (SystemClock.now(), Duration::from_secs(3600));
    // Two that are refused a thread; the second one finds itself due.
    let far = timers.arm(now.after(later), waker());
    assert!(told.try_recv().is_err());
    let due = timers.arm(now, waker());
    assert_eq!(told.try_recv().unwrap(), here);
    // A thread that is about to park: it is to help again, and not to sleep for an hour.
    assert_eq!(timers.rescue(), Some(HELP_AGAIN));
    assert!(told.try_recv().is_err() && timers.are_stranded());
    assert_eq!(timers.rescue(), None, "there is a thread now");
    let by_thread = timers.arm(now, waker());
    assert_eq!(told.recv().unwrap().as_deref(), Some("docache-timer"));
    drop((far, due, by_thread));
}

/// Sets another alarm that is due when it is woken, each in the shard before the last one's.
struct Chain {
    timers: Arc<Timers>,
    due: Tick,
    left: Mutex<Vec<usize>>,
    depth: AtomicUsize,
}

impl Wake for Chain {
    fn wake(self: Arc<Self>) {
        assert_eq!(self.depth.fetch_add(1, Ordering::Relaxed), 0, "inside another one");
        let shard = self.left.lock().pop();
        if let Some(shard) = shard {
            self.timers.set(&self.timers.shards[shard], self.due, self.clone().into());
        }
        self.depth.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn whoever_serves_alarms_wakes_none_inside_another() {
    let timers = Timers::new(4, Some(|_, _| Err(io::ErrorKind::WouldBlock.into())));
    let chain = Arc::new(Chain {
        timers: Arc::new(timers),
        due: SystemClock.now(),
        left: Mutex::new(vec![0, 1, 2]),
        depth: AtomicUsize::new(0),
    });
    chain.timers.set(&chain.timers.shards[3], chain.due, chain.clone().into());
    assert!(chain.left.lock().is_empty(), "one after the other, in whichever shard they are");
    assert_eq!((chain.timers.survey(), chain.depth.load(Ordering::Relaxed)), ((None, 4), 0));
}

#[test]
fn a_sooner_alarm_in_any_shard_wakes_the_thread() {
    let timers = Arc::new(Timers::new(4, Some(spawn)));
    let far = SystemClock.now().after(Duration::from_secs(3600));
    let (tell, told) = mpsc::channel();
    let first = timers.arm(far, Waker::noop().clone());
    for shard in timers.shards() {
        // The thread sleeps, or is about to.
        let at = SystemClock.now().after(Duration::from_millis(5));
        timers.set(shard, at, Arc::new(Tell(tell.clone())).into());
        assert_eq!(told.recv().unwrap().as_deref(), Some("docache-timer"));
        assert!(SystemClock.now() >= at);
    }
    drop(first);
}

#[test]
fn one_who_is_sent_away_leaves_what_there_is_to_another() {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let counted = |timers, dismissals| {
        STARTED.fetch_add(1, Ordering::Relaxed);
        spawn(timers, dismissals)
    };
    let timers = Arc::new(Timers::new(4, Some(counted)));
    let (tell, told) = mpsc::channel();
    let far = SystemClock.now().after(Duration::from_secs(3600));
    let id = timers.set(&timers.shards()[2], far, Waker::noop().clone());
    assert!(!timers.dismiss(), "there is an alarm");
    timers.shards()[2].disarm(id);
    assert!(timers.dismiss());
    let id = timers.set(&timers.shards()[3], far, Waker::noop().clone());
    timers.set(&timers.shards()[1], SystemClock.now(), Arc::new(Tell(tell)).into());
    assert_eq!(told.recv().unwrap().as_deref(), Some("docache-timer"));
    assert_eq!(STARTED.load(Ordering::Relaxed), 2);
    timers.shards()[3].disarm(id);
}

#[test]
fn the_end_of_time_does_not_come() {
    let timers = Arc::new(Timers::default());
    let (tell, told) = mpsc::channel();
    let never = timers.arm(Tick::MAX, Arc::new(Tell(tell)).into());
    timers.fire(Tick::MAX);
    assert!(
        matches!(told.try_recv(), Err(mpsc::TryRecvError::Disconnected)),
        "its waker is not even kept"
    );
    drop(never);
}
