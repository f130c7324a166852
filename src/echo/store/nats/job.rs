//! A call as the thread gets it, and whether there is a connection as callers see it.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use super::bucket::Bucket;
use crate::echo::error::{StoreError, StoreErrorKind};
use crate::lock::Lock;

pub(super) type Local = Pin<Box<dyn Future<Output = ()>>>;

/// A call, as the thread gets it.
pub(super) struct Job {
    call: Box<dyn FnOnce(Rc<Bucket>) -> Local + Send>,
    until: Instant,
}

impl Job {
    pub(super) fn new(
        call: impl FnOnce(Rc<Bucket>) -> Local + Send + 'static,
        until: Instant,
    ) -> Job {
        Job { call: Box::new(call), until }
    }

    pub(super) fn run(self, bucket: Rc<Bucket>) -> Local {
        (self.call)(bucket)
    }

    /// When its time is over.
    pub(super) fn until(&self) -> tokio::time::Instant {
        self.until.into()
    }
}

const STARTING: u8 = 0;
const READY: u8 = 1;
const DOWN: u8 = 2;

/// Whether there is a connection, as callers see it.
pub(super) struct Status {
    state: AtomicU8,
    why: Lock<Arc<str>>,
}

impl Status {
    pub(super) fn new() -> Status {
        Status { state: AtomicU8::new(STARTING), why: Lock::new("the store is starting".into()) }
    }

    pub(super) fn ready(&self) {
        self.state.store(READY, Ordering::Release);
    }

    pub(super) fn down(&self, why: String) {
        let before = std::mem::replace(&mut *self.why.lock(), why.into());
        drop(before);
        self.state.store(DOWN, Ordering::Release);
    }

    pub(super) fn is_starting(&self) -> bool {
        self.state.load(Ordering::Acquire) == STARTING
    }

    pub(super) fn is_down(&self) -> bool {
        self.state.load(Ordering::Acquire) == DOWN
    }

    pub(super) fn error(&self) -> StoreError {
        let why = self.why.lock().clone();
        StoreError::new(StoreErrorKind::Unavailable, format!("NATS: {why}"))
    }
}
