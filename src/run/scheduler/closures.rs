//! Closures as jobs.

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Waker;

use super::core::Core;
use super::jobs::JobId;
use crate::clock::Tick;
use crate::executor::{Job, Next, Turn};

/// A closure that is called once.
pub(super) struct Once<F>(pub(super) Option<F>);

impl<F: FnOnce() + Send> Job for Once<F> {
    fn enlist(&mut self, _: &Waker) -> Next {
        Next::Called
    }

    fn run(&mut self, _: Tick, _: bool) -> Turn {
        if let Some(f) = self.0.take() {
            f();
        }
        Turn { next: Next::Over, ended: None }
    }
}

/// A closure that waits on a [`Scheduler`](super::Scheduler) for its time.
///
/// Dropping this leaves the closure scheduled. It does not keep the scheduler going.
///
/// ```
/// # use docache::run::Scheduler;
/// # use std::time::Duration;
/// let scheduler = Scheduler::builder().build()?;
/// let hour = Duration::from_secs(3600);
/// let reminder = scheduler.schedule_after(hour, || println!("an hour has passed"))?;
/// assert!(reminder.cancel());
/// assert!(!reminder.cancel());
/// # Ok::<(), docache::Error>(())
/// ```
#[derive(Clone)]
pub struct Scheduled {
    core: Weak<Core>,
    id: JobId,
}

impl Scheduled {
    pub(super) fn new(core: &Arc<Core>, id: JobId) -> Scheduled {
        Scheduled { core: Arc::downgrade(core), id }
    }

    /// Takes the closure back. Whether that was in time: if so it is not called, and has been
    /// dropped on this thread; else it has been called, is in its call, or was dropped. O(1); a
    /// short lock. A panic of what the closure owns, as it is dropped, is contained.
    #[allow(clippy::must_use_candidate, reason = "who does not mind need not look")]
    pub fn cancel(&self) -> bool {
        self.core.upgrade().is_some_and(|core| core.cancel(self.id))
    }

    /// Whether the closure is still to be called. A short lock.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.core.upgrade().is_some_and(|core| core.lock().jobs.is_waiting(self.id))
    }
}

impl fmt::Debug for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduled").field("waiting", &self.is_waiting()).finish_non_exhaustive()
    }
}
