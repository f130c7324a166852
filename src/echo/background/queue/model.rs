//! Models of the queue: a refresh that is offered against the mark of its key, against the worker
//! that leaves, and against a shutdown.

use std::sync::Arc;

use super::*;
use crate::clock::ManualClock;
use crate::executor::{Job, Next};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::model;
use loom::thread;

fn spawn(queue: Arc<Queue>) -> io::Result<()> {
    thread::spawn(move || queue.serve());
    Ok(())
}

/// A queue whose workers are loom's threads, which its threads are too.
fn queue(size: usize) -> Arc<Queue> {
    Queue::with(size, 1, spawn, None)
}

/// One whose worker is a job, which is called until it is over, or so often and then dropped.
fn queue_of_jobs(size: usize, calls: usize) -> Arc<Queue> {
    let adopt = move |mut job: Box<dyn Job>| {
        thread::spawn(move || {
            let mut calls = 0..calls;
            let is_over =
                |job: &mut Box<dyn Job>| job.run(Tick::default(), false).next == Next::Over;
            while calls.next().is_some() && !is_over(&mut job) {}
        });
        Ok(())
    };
    Queue::with(size, 1, spawn, Some(Arc::new(adopt)))
}

fn counting(count: &Arc<AtomicUsize>) -> Work {
    let count = count.clone();
    Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    })
}

fn offer(queue: &Arc<Queue>, key: &str, count: &Arc<AtomicUsize>) -> usize {
    usize::from(queue.offer(1, key, counting(count)) == Offer::Accepted)
}

#[test]
fn two_offers_of_a_key_against_its_end() {
    model(|| {
        let (queue, ran) = (queue(2), Arc::new(AtomicUsize::new(0)));
        let other = {
            let (queue, ran) = (queue.clone(), ran.clone());
            thread::spawn(move || offer(&queue, "key", &ran))
        };
        let accepted = offer(&queue, "key", &ran) + other.join().unwrap();
        let left = queue.shutdown(&ManualClock::new(), Tick::MAX).unwrap();
        assert!(accepted >= 1);
        assert_eq!(ran.load(Ordering::Relaxed), accepted, "what is accepted is run");
        assert!(left.dropped.is_empty() && left.running.is_empty() && queue.len() == 0);
    });
}

#[test]
fn an_offer_against_a_shutdown() {
    model(|| {
        let (queue, ran) = (queue(2), Arc::new(AtomicUsize::new(0)));
        let other = {
            let (queue, ran) = (queue.clone(), ran.clone());
            thread::spawn(move || offer(&queue, "key", &ran))
        };
        queue.shutdown(&ManualClock::new(), Tick::MAX).unwrap();
        let before = ran.load(Ordering::Relaxed);
        let accepted = other.join().unwrap();
        assert_eq!(before, accepted, "it was run before the shutdown ended, or refused");
        assert!(queue.len() == 0 && queue.shutdown(&ManualClock::new(), Tick::MAX).is_none());
    });
}

#[test]
fn a_deadline_that_is_over_against_a_worker() {
    model(|| {
        let (queue, ran) = (queue(2), Arc::new(AtomicUsize::new(0)));
        assert_eq!(offer(&queue, "key", &ran), 1);
        let left = queue.shutdown(&ManualClock::new(), Tick::default()).unwrap();
        let of_key = left.drained + left.dropped.len() + left.running.len();
        let ran = ran.load(Ordering::Relaxed);
        assert!(of_key + ran >= 1 && of_key <= 1, "it is reported once, or over: {left:?}");
    });
}

#[test]
fn two_offers_against_a_worker_that_is_a_job_and_leaves() {
    model(|| two_offers(&queue_of_jobs(2, usize::MAX)));
}

#[test]
fn two_offers_against_a_worker_that_is_a_job_and_lost() {
    model(|| two_offers(&queue_of_jobs(2, 0)));
    model(|| two_offers(&queue_of_jobs(2, 1)));
}

fn two_offers(queue: &Arc<Queue>) {
    let ran = Arc::new(AtomicUsize::new(0));
    let other = {
        let (queue, ran) = (queue.clone(), ran.clone());
        thread::spawn(move || offer(&queue, "other", &ran))
    };
    assert_eq!(offer(queue, "key", &ran) + other.join().unwrap(), 2);
    let left = queue.shutdown(&ManualClock::new(), Tick::MAX).unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 2, "nothing is left behind: {left:?}");
}
