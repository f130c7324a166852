use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, mpsc};

use super::*;
use crate::clock::ManualClock;
use crate::error::{Error, ErrorKind, Result};
use crate::executor::{Job, Next};

const LONG: Duration = Duration::from_secs(60);

/// A queue whose only worker is in the midst of a refresh of the key "busy", until it is told.
fn busy(size: usize) -> (Arc<Queue>, mpsc::Sender<()>) {
    let queue = Queue::new(size, 1, None);
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
    let queue = Queue::with(10, 1, |_| Err(io::ErrorKind::WouldBlock.into()), None);
    assert_eq!(queue.offer(0, "key", Box::new(|| ())), Offer::Threadless);
    assert_eq!(queue.len(), 0);
}

fn spawn(queue: Arc<Queue>) -> io::Result<()> {
    std::thread::spawn(move || queue.serve());
    Ok(())
}

#[test]
fn a_worker_that_the_executor_refuses_is_a_thread() {
    fn refuses(job: Box<dyn Job>) -> Result<()> {
        drop(job);
        Err(Error::new(ErrorKind::Closed, "it has ended"))
    }
    let without: Spawn = |_| Err(io::ErrorKind::WouldBlock.into());
    for (spawn, told) in [(spawn as Spawn, Offer::Accepted), (without, Offer::Threadless)] {
        let queue = Queue::with(10, 1, spawn, Some(Arc::new(refuses)));
        assert_eq!(queue.offer(0, "key", Box::new(|| ())), told);
        queue.settle(&SystemClock, SystemClock.now().after(LONG));
        assert_eq!(queue.len(), 0);
    }
}

/// A job is called as long as something waits, and one that is dropped before is replaced.
#[test]
fn a_worker_that_is_a_job_leaves_no_refresh_behind() {
    type Jobs = Mutex<Vec<Box<dyn Job>>>;
    let (jobs, ran): (Arc<Jobs>, _) = (Arc::default(), mpsc::channel());
    let place = jobs.clone();
    let intake: Intake = Arc::new(move |job| {
        place.lock().unwrap().push(job);
        Ok(())
    });
    let queue = Queue::with(10, 2, spawn, Some(intake));
    let offer = |key: &'static str| {
        let tell = ran.0.clone();
        queue.offer(0, key, Box::new(move || tell.send(key).unwrap()))
    };
    let take = || jobs.lock().unwrap().pop();
    let run = |job: &mut Box<dyn Job>| job.run(Tick::default(), false).next;
    for key in ["a", "b", "c"] {
        assert_eq!(offer(key), Offer::Accepted);
    }
    let (mut one, mut two) = (take().unwrap(), take().unwrap());
    assert!(take().is_none(), "there are two workers");
    assert_eq!((run(&mut one), run(&mut two)), (Next::AtOnce, Next::AtOnce));
    assert_eq!((run(&mut one), run(&mut two)), (Next::Over, Next::Over));
    assert_eq!(ran.1.try_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    drop((one, two));
    assert_eq!((queue.len(), queue.lock().workers), (0, 0));
    offer("d");
    drop(take().unwrap());
    assert_eq!(ran.1.recv(), Ok("d"), "by a thread");
}

#[test]
fn a_panic_ends_a_refresh_and_no_worker() {
    let queue = Queue::new(10, 1, None);
    let (tell, told) = mpsc::channel();
    queue.offer(0, "bad", Box::new(|| std::panic::resume_unwind(Box::new("bad"))));
    queue.offer(0, "good", Box::new(move || tell.send(()).unwrap()));
    told.recv().unwrap();
    let left = queue.shutdown(&SystemClock, SystemClock.now().after(LONG)).unwrap();
    assert!(left.dropped.is_empty() && left.running.is_empty());
}

#[test]
fn marks_of_what_runs_outside_are_counted_too() {
    let queue = Queue::new(1, 1, None);
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
