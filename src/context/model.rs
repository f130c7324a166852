//! Models of contexts: what is made, added or dropped while an ancestor is cancelled.

use super::*;
use crate::sync::atomic::AtomicUsize;
use crate::sync::model;
use loom::thread;
use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering as StdOrdering};

/// Counts, with std's atomics: they are not part of a model.
#[derive(Clone, Default)]
struct Count(Arc<StdAtomicUsize>);

impl Count {
    fn get(&self) -> usize {
        self.0.load(StdOrdering::SeqCst)
    }

    fn hook(&self) -> impl FnOnce() + Send + use<> {
        let count = self.0.clone();
        move || {
            count.fetch_add(1, StdOrdering::SeqCst);
        }
    }
}

fn cancel(context: &Context) -> thread::JoinHandle<bool> {
    let context = context.clone();
    thread::spawn(move || context.cancel())
}

#[test]
fn child_against_cancel() {
    model(|| {
        let parent = Context::new();
        let canceller = cancel(&parent);
        let child = parent.child();
        assert!(canceller.join().unwrap());
        assert!(child.is_done(), "BORN");
        assert!(!child.cancel());
    });
}

#[test]
fn grandchild_against_cancel() {
    model(|| {
        let parent = Context::new();
        let canceller = cancel(&parent);
        let child = parent.child();
        let grandchild = child.child();
        assert!(!grandchild.is_done() || child.is_done(), "a descendant is not done first");
        assert!(canceller.join().unwrap());
        assert!(child.is_done() && grandchild.is_done(), "BORN");
    });
}

#[test]
fn cancel_against_an_ancestors_cancel() {
    model(|| {
        let parent = Context::new();
        let child = parent.child();
        let grandchild = child.child();
        let (seen, look) = (Count::default(), grandchild.clone());
        let sees = seen.hook();
        let _hook = parent.on_cancel(move || {
            if look.is_done() {
                sees();
            }
        });
        let canceller = cancel(&child);
        assert!(parent.cancel());
        assert!(child.is_done() && grandchild.is_done() && seen.get() == 1, "DOWN");
        canceller.join().unwrap();
    });
}

#[test]
fn hook_against_cancel() {
    model(|| {
        let context = Context::new();
        let canceller = cancel(&context);
        let count = Count::default();
        let _hook = context.on_cancel(count.hook());
        canceller.join().unwrap();
        assert_eq!(count.get(), 1, "told once, by whoever was second");
    });
}

#[test]
fn hook_taken_back_against_cancel() {
    model(|| {
        let context = Context::new();
        let count = Count::default();
        let hook = context.on_cancel(count.hook());
        let canceller = cancel(&context);
        let removed = hook.remove();
        canceller.join().unwrap();
        assert_eq!(count.get(), usize::from(!removed));
    });
}

#[test]
fn drop_of_a_child_against_cancel() {
    model(|| {
        let parent = Context::new();
        let (child, count) = (parent.child(), Count::default());
        child.on_cancel(count.hook()).detach();
        let grandchild = child.child();
        let other = parent.child();
        let dropper = thread::spawn(move || drop((child, other)));
        assert!(parent.cancel());
        assert!(grandchild.is_done(), "a grandchild keeps the child that its end comes through");
        assert_eq!(count.get(), 1);
        dropper.join().unwrap();
        drop(grandchild);
        assert_eq!(Arc::strong_count(&parent.inner), 1);
        assert!(parent.inner.heard.lock().listeners.is_empty());
    });
}

#[test]
fn wait_against_cancel() {
    model(|| {
        let parent = Context::new();
        let child = parent.child();
        let waiter = thread::spawn(move || child.wait(None));
        assert!(parent.cancel());
        assert!(waiter.join().unwrap(), "a lost wake-up would show as a deadlock");
    });
}

/// Cancels a context after it has written something down.
fn note_and_cancel(context: &Context) -> (Arc<AtomicUsize>, thread::JoinHandle<bool>) {
    let (note, context) = (Arc::new(AtomicUsize::new(0)), context.clone());
    let writes = note.clone();
    let canceller = thread::spawn(move || {
        writes.store(1, Ordering::Relaxed);
        context.cancel()
    });
    (note, canceller)
}

#[test]
fn who_sees_the_end_sees_what_was_before() {
    model(|| {
        let context = Context::new();
        let (note, canceller) = note_and_cancel(&context);
        let (done, seen) = (context.is_done(), note.load(Ordering::Relaxed));
        assert!(!done || seen == 1);
        canceller.join().unwrap();
    });
}

#[test]
fn who_is_born_done_sees_what_was_before() {
    model(|| {
        let parent = Context::new();
        let (note, canceller) = note_and_cancel(&parent);
        let (done, seen) = (parent.child().is_done(), note.load(Ordering::Relaxed));
        assert!(!done || seen == 1);
        canceller.join().unwrap();
    });
}
