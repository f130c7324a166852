//! The thread that talks to the server, for all callers of a store.
//!
//! # State
//! The thread is started by the first call, and ends when the store is dropped. It runs one
//! *session* after another: a connection, with a runtime of its own. When a connection is lost the
//! runtime is dropped with all that was under way in it, so that whoever waits hears of it at once,
//! and nothing that was meant for the old connection is sent over the next one.
//!
//! Calls are sent to the thread as closures that make futures there. Values are encoded and decoded
//! by the callers: the thread runs no code of users.
//!
//! # Invariants
//! - BOUNDED: a call waits for the first session to begin, but never for a later one. It is given
//!   up when its time is over or its caller has left, but for those that give a lock back.
//! - FORKED: the child of a fork starts a thread of its own, and leaves what its parent's had:
//!   their sockets and their event queue are the same.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::bucket::Bucket;
use super::job::{Job, Local, Status};
use super::session::{self, End};
use super::settings::Settings;
use crate::echo::error::{StoreError, StoreErrorKind};
use crate::echo::store::Within;
use crate::housekeeping;
use crate::lock::Lock;
use crate::sync::fork::forks;

#[derive(Clone)]
struct Thread {
    jobs: mpsc::UnboundedSender<Job>,
    status: Arc<Status>,
}

struct Slot {
    thread: Option<Thread>,
    /// The process whose thread it is.
    forks: u32,
}

impl Slot {
    fn new() -> Slot {
        Slot { thread: None, forks: forks() }
    }
}

/// The thread, or the place for it.
pub(super) struct Worker {
    settings: Arc<Settings>,
    slot: Lock<Slot>,
}

impl Worker {
    pub(super) fn new(settings: Settings) -> Worker {
        Worker { settings: Arc::new(settings), slot: Lock::new(Slot::new()) }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The thread, and what it is to be given if it has to be started.
    fn thread(&self) -> (Thread, Option<mpsc::UnboundedReceiver<Job>>) {
        housekeeping::watch();
        let (mut slot, torn) = self.slot.lock_marked();
        if torn || slot.forks != forks() {
            // FORKED
            std::mem::forget(std::mem::replace(&mut *slot, Slot::new()));
        }
        // One that has panicked is replaced.
        if let Some(thread) = slot.thread.as_ref().filter(|thread| !thread.jobs.is_closed()) {
            return (thread.clone(), None);
        }
        let (jobs, received) = mpsc::unbounded_channel();
        let thread = Thread { jobs, status: Arc::new(Status::new()) };
        let before = slot.thread.replace(thread.clone());
        drop(slot);
        drop(before);
        (thread, Some(received))
    }

    fn started(&self) -> Result<Thread, StoreError> {
        let (thread, received) = self.thread();
        let Some(received) = received else { return Ok(thread) };
        let (settings, status) = (self.settings.clone(), thread.status.clone());
        match housekeeping::spawn("docache-nats", move || run(&settings, received, &status)) {
            Ok(()) => Ok(thread),
            Err(error) => {
                let before = self.slot.lock_marked().0.thread.take();
                drop(before);
                let message = format!("the system gives no thread for NATS: {error}");
                Err(StoreError::with_source(StoreErrorKind::Unavailable, message, error))
            }
        }
    }

    /// Sends a call to the thread. What is returned is to be awaited by the caller.
    pub(super) fn call<R, F, Fut>(&self, within: &Within<'_>, wanted: Wanted, call: F) -> Called<R>
    where
        R: Send + 'static,
        F: FnOnce(Rc<Bucket>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, StoreError>> + 'static,
    {
        let left = within.left();
        if left.is_zero() && wanted == Wanted::ByCaller {
            return Called::Over(Some(StoreError::timeout()));
        }
        let thread = match self.started() {
            Ok(thread) if thread.status.is_down() => {
                return Called::Over(Some(thread.status.error()));
            }
            Ok(thread) => thread,
            Err(error) => return Called::Over(Some(error)),
        };
        let left = if wanted == Wanted::Anyway { left.max(LEAST) } else { left };
        // Beyond that it is no limit.
        let until = Instant::now() + left.min(Duration::from_secs(86_400));
        let (answer, answered) = oneshot::channel();
        let job = move |bucket: Rc<Bucket>| -> Local {
            Box::pin(bounded(bucket, call, (until, wanted), answer))
        };
        // If the thread has ended, so has the receiver, and the answer is that.
        let _ = thread.jobs.send(Job::new(job, until));
        Called::Sent(answered, thread.status)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let (mut slot, torn) = self.slot.lock_marked();
        let slot = std::mem::replace(&mut *slot, Slot::new());
        if torn || slot.forks != forks() {
            // FORKED
            std::mem::forget(slot);
        }
    }
}

/// How long a call that is wanted anyway has at least.
const LEAST: Duration = Duration::from_secs(1);

/// Who wants a call to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The caller; if he leaves nobody does.
    ByCaller,
    /// Others, too.
    Anyway,
}

async fn bounded<R, F, Fut>(
    bucket: Rc<Bucket>,
    call: F,
    (until, wanted): (Instant, Wanted),
    mut answer: oneshot::Sender<Result<R, StoreError>>,
) where
    F: FnOnce(Rc<Bucket>) -> Fut,
    Fut: Future<Output = Result<R, StoreError>>,
{
    let result = tokio::select! {
        biased;
        result = call(bucket.clone()) => Some(result),
        () = answer.closed(), if wanted == Wanted::ByCaller => None,
        () = tokio::time::sleep_until(until.into()) => None,
    };
    if result.is_none() {
        bucket.suspect();
    }
    let _ = answer.send(result.unwrap_or_else(|| Err(StoreError::timeout())));
}

/// A call that was sent, or is over.
pub(super) enum Called<R> {
    Over(Option<StoreError>),
    Sent(oneshot::Receiver<Result<R, StoreError>>, Arc<Status>),
}

impl<R> Future for Called<R> {
    type Output = Result<R, StoreError>;

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<R, StoreError>> {
        match self.get_mut() {
            Called::Over(error) => {
                std::task::Poll::Ready(Err(error.take().unwrap_or_else(StoreError::timeout)))
            }
            Called::Sent(answered, status) => Pin::new(answered)
                .poll(cx)
                .map(|answer| answer.unwrap_or_else(|_| Err(status.error()))),
        }
    }
}

/// How long the thread waits if the system refuses it a runtime.
const REFUSED: Duration = Duration::from_millis(100);

fn run(settings: &Settings, mut jobs: mpsc::UnboundedReceiver<Job>, status: &Status) {
    let known = Rc::default();
    let mut failures = 0;
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // For names that are looked up.
            .max_blocking_threads(1)
            .thread_keep_alive(Duration::from_secs(1))
            .thread_name("docache-nats")
            .build();
        let end = match runtime {
            Ok(runtime) => {
                let tasks = tokio::task::LocalSet::new();
                let session = session::run(settings, &mut jobs, status, (&known, &mut failures));
                let end = tasks.block_on(&runtime, session);
                drop(tasks);
                runtime.shutdown_background();
                end
            }
            Err(error) => {
                status.down(format!("the system gives no runtime: {error}"));
                std::thread::sleep(REFUSED);
                session::refuse_all(&mut jobs)
            }
        };
        if end == End::Closed {
            return;
        }
    }
}
