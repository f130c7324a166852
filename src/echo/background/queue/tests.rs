use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::*;
use crate::clock::ManualClock;

const LONG: Duration = Duration::from_secs(60);

/// A queue whose only worker is in the midst of a refresh of the key "busy", until it is told.
fn busy(size: usize) -> (Arc<Queue>, mpsc::Sender<()>) {
    let queue = Queue::new(size, 1);
    let (leave, left) = mpsc::channel::<()>();
    let (enter, entered) = mpsc::channel();
    let work = move || {
        enter.send(()).unwrap();
        let _ = left.recv();
    };
    assert_eq!(queue.offer(0, "busy", Box::new(work)), Offer::Accepted);
    entered.recv().unwrap();
    (queue, leave)
}

#[test]
fn a_key_has_one_refresh_and_a_full_queue_refuses() {
    let (queue, leave) = busy(1);
    let nothing = || Box::new(|| ());
    assert_eq!(queue.offer(0, "busy", nothing()), Offer::Marked);
    assert_eq!(queue.offer(1, "a", nothing()), Offer::Accepted);
    assert_eq!(queue.offer(1, "a", nothing()), Offer::Marked);
    assert_eq!(queue.offer(1, "b", nothing()), Offer::Full, "of the same hash");
    assert_eq!(queue.offer(4, "b", nothing()), Offer::Full);
    assert!(!queue.is_marked(4, "b"), "what is refused has no mark");
    assert_eq!(queue.len(), 2);
    let left = std::thread::scope(|scope| {
        let shutdown =
            scope.spawn(|| queue.shutdown(&SystemClock, SystemClock.now().after(LONG)).unwrap());
        while !queue.is_closed() {
            std::thread::yield_now();
        }
        leave.send(()).unwrap();
        shutdown.join().unwrap()
    });
    assert_eq!((left.drained, left.dropped.len(), left.running.len()), (2, 0, 0));
    assert_eq!(queue.offer(1, "a", nothing()), Offer::Closed);
    assert!(queue.shutdown(&SystemClock, SystemClock.now().after(LONG)).is_none());
}

#[test]
fn a_shutdown_reports_what_it_dropped_and_what_runs() {
    let (queue, leave) = busy(10);
    let dropped = Arc::new(AtomicUsize::new(0));
    for key in ["a", "b"] {
        struct Counts(Arc<AtomicUsize>);
        impl Drop for Counts {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
                std::panic::resume_unwind(Box::new("a bad destructor"));
            }
        }
        let counts = Counts(dropped.clone());
        queue.offer(1, key, Box::new(move || drop(counts)));
    }
    let left = queue.shutdown(&ManualClock::new(), Tick::default()).unwrap();
    assert_eq!(left.dropped.iter().map(|key| &**key).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(left.running.iter().map(|key| &**key).collect::<Vec<_>>(), ["busy"]);
    assert_eq!((left.drained, dropped.load(Ordering::Relaxed)), (0, 2));
    leave.send(()).unwrap();
    while queue.len() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn without_a_thread_a_refresh_is_refused() {
    let queue = Queue::with_threads(10, 1, |_| Err(io::ErrorKind::WouldBlock.into()));
    assert_eq!(queue.offer(0, "key", Box::new(|| ())), Offer::Threadless);
    assert_eq!(queue.len(), 0);
}

#[test]
fn a_panic_ends_a_refresh_and_no_worker() {
    let queue = Queue::new(10, 1);
    let (tell, told) = mpsc::channel();
    queue.offer(0, "bad", Box::new(|| std::panic::resume_unwind(Box::new("bad"))));
    queue.offer(0, "good", Box::new(move || tell.send(()).unwrap()));
    told.recv().unwrap();
    let left = queue.shutdown(&SystemClock, SystemClock.now().after(LONG)).unwrap();
    assert!(left.dropped.is_empty() && left.running.is_empty());
}

#[test]
fn marks_of_what_runs_outside_are_counted_too() {
    let queue = Queue::new(1, 1);
    let ticket = queue.mark(0, "key").unwrap();
    assert_eq!(queue.mark(0, "key").unwrap_err(), Offer::Marked);
    assert_eq!(queue.mark(0, "other").unwrap_err(), Offer::Full);
    drop(ticket);
    drop(queue.mark(0, "key").unwrap());
    let ticket = queue.mark(0, "key").unwrap();
    let left = queue.shutdown(&ManualClock::new(), Tick::default()).unwrap();
    assert_eq!(left.running.len(), 1);
    drop(ticket);
    assert_eq!(queue.len(), 0);
}

#[test]
fn a_queue_that_is_closed_drops_what_waits() {
    let (queue, leave) = busy(10);
    let (tell, told) = mpsc::channel::<()>();
    queue.offer(1, "a", Box::new(move || drop(tell)));
    queue.close();
    assert!(told.recv().is_err(), "it was dropped and not run");
    leave.send(()).unwrap();
    while queue.len() > 0 {
        std::thread::yield_now();
    }
}
