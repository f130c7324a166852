//! A gate to wait at, for the tests and the models of the wait list.

use super::*;
use crate::sync::atomic::AtomicBool;

pub(super) struct Gate {
    open: AtomicBool,
    pub(super) list: WaitList,
}

impl Gate {
    pub(super) fn new() -> Arc<Gate> {
        Arc::new(Gate { open: AtomicBool::new(false), list: WaitList::new() })
    }

    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
        self.list.notify_all();
    }

    pub(super) fn wait(self: &Arc<Gate>) -> Wait<Opened> {
        Wait::new(Opened(self.clone()))
    }

    pub(super) fn linked(&self) -> usize {
        self.list.linked.load(Ordering::Relaxed)
    }
}

pub(super) struct Opened(Arc<Gate>);

// SAFETY: the list lies in the gate that the event holds.
unsafe impl Event for Opened {
    type Output = ();

    fn list(&self) -> &WaitList {
        &self.0.list
    }

    fn check(&mut self) -> Option<()> {
        self.0.open.load(Ordering::Relaxed).then_some(())
    }
}

/// Counts wake-ups, with std's atomics: they are not part of a model.
#[derive(Default)]
pub(super) struct Count(std::sync::atomic::AtomicUsize);

impl Count {
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.add();
    }
}

pub(super) fn poll(wait: Pin<&mut Wait<Opened>>, count: &Arc<Count>) -> Poll<()> {
    wait.poll(&mut TaskContext::from_waker(&count.clone().into()))
}
