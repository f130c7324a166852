//! What can be waited for, by threads and by tasks.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::shared::{Control, Shared};
use super::view::LoopEntry;
use crate::context::{Context, until};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::atomic::Ordering;
use crate::wait::{Event, Wait, WaitList, block_on};

/// Why the runner wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    Stop,
    Refresh,
    /// The run is over.
    Ended,
}

/// The runner's sleep: until it is called.
pub(super) struct Calling<T> {
    pub(super) shared: Arc<Shared<T>>,
    /// The run that sleeps.
    pub(super) number: u64,
}

// SAFETY: the list lies in the shared state that the event holds.
unsafe impl<T: Send + Sync + 'static> Event for Calling<T> {
    type Output = Called;

    fn list(&self) -> &WaitList {
        &self.shared.wake
    }

    fn check(&mut self) -> Option<Called> {
        self.shared.called(self.number)
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// What the runner of that run has been called for.
    pub(super) fn called(&self, number: u64) -> Option<Called> {
        self.lock().called(number)
    }
}

impl<T> Control<T> {
    /// What the runner of that run has been called for.
    pub(super) fn called(&self, number: u64) -> Option<Called> {
        if self.ended >= number {
            Some(Called::Ended)
        } else if self.stopping {
            Some(Called::Stop)
        } else {
            (self.wanted > self.begun).then_some(Called::Refresh)
        }
    }
}

/// The end of one run.
pub(crate) struct Ending<T> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) number: u64,
}

// SAFETY: the list lies in the shared state that the event holds.
unsafe impl<T: Send + Sync + 'static> Event for Ending<T> {
    type Output = ();

    fn list(&self) -> &WaitList {
        &self.shared.output.changed
    }

    fn check(&mut self) -> Option<()> {
        (self.shared.lock().ended >= self.number).then_some(())
    }
}

/// A version later than `since`.
pub(super) struct Newer<T> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) since: u64,
}

// SAFETY: the list lies in the shared state that the event holds.
unsafe impl<T: Send + Sync + 'static> Event for Newer<T> {
    type Output = Result<u64>;

    fn list(&self) -> &WaitList {
        &self.shared.output.changed
    }

    fn check(&mut self) -> Option<Result<u64>> {
        // Once it is over there may still be a last result, published before.
        let over = self.shared.over();
        let version = self.shared.output.version.load(Ordering::Acquire);
        if version > self.since { Some(Ok(version)) } else { over.map(Err) }
    }
}

/// A success.
pub(super) struct First<T> {
    pub(super) shared: Arc<Shared<T>>,
}

// SAFETY: the list lies in the shared state that the event holds.
unsafe impl<T: Send + Sync + 'static> Event for First<T> {
    type Output = Result<()>;

    fn list(&self) -> &WaitList {
        &self.shared.output.changed
    }

    fn check(&mut self) -> Option<Result<()>> {
        let over = self.shared.over();
        if self.shared.output.view.load().latest().is_some() { Some(Ok(())) } else { over.map(Err) }
    }
}

/// The end of a call that was asked for.
pub(super) struct Requested<T> {
    pub(super) shared: Arc<Shared<T>>,
    /// The call, and the run that owes it.
    pub(super) owed: Option<(u64, u64)>,
}

// SAFETY: the list lies in the shared state that the event holds.
unsafe impl<T: Send + Sync + 'static> Event for Requested<T> {
    type Output = Result<Arc<LoopEntry<T>>>;

    fn list(&self) -> &WaitList {
        &self.shared.output.changed
    }

    fn check(&mut self) -> Option<Result<Arc<LoopEntry<T>>>> {
        let stopped = || Err(Error::new(ErrorKind::Closed, "the loop is not running"));
        let Some((call, run)) = self.owed else { return Some(stopped()) };
        let control = self.shared.lock();
        let (done, ended) = (control.done >= call, control.ended >= run);
        drop(control);
        if done {
            // ORDER: a call that is done has been published.
            return Some(
                self.shared.output.view.load().newest_entry().ok_or_else(|| unreachable!("ORDER")),
            );
        }
        ended.then(stopped)
    }
}

/// Blocks on `wait` with a time limit. On the runner's own thread, where waiting could never end,
/// it only looks.
pub(super) fn block<T, E>(
    shared: &Shared<T>,
    wait: Wait<E>,
    timeout: Option<Duration>,
    what: &str,
) -> Result<E::Output>
where
    T: Send + Sync + 'static,
    E: Event,
{
    let own = shared.is_runner();
    let timeout = if own { Some(Duration::ZERO) } else { timeout };
    let deadline = timeout.map(|timeout| shared.now().deadline(timeout));
    block_on(wait, &*shared.settings.clock, deadline).ok_or_else(|| {
        if own {
            Error::new(
                ErrorKind::Reentrant,
                format!("{what} was waited for inside the Doer that it depends on"),
            )
        } else {
            Error::timeout(what)
        }
    })
}

/// Blocks on `wait` until `context` is done.
fn block_in<T, E>(
    shared: &Shared<T>,
    wait: Wait<E>,
    context: &Context,
    what: &str,
) -> Result<E::Output>
where
    T: Send + Sync + 'static,
    E: Event,
{
    if shared.is_runner() {
        return block(shared, wait, None, what);
    }
    let outcome = block_on(until(wait, context), context.clock(), context.deadline()).flatten();
    outcome.ok_or_else(|| context.error().unwrap_or_else(|| Error::timeout(what)))
}

macro_rules! waitable {
    ($(#[$doc:meta])* $name:ident, $event:ident, $output:ty, $what:literal) => {
        $(#[$doc])*
        #[must_use = "nothing is waited for until it is awaited or `wait` is called"]
        pub struct $name<T: Send + Sync + 'static>(pub(super) Wait<$event<T>>);

        impl<T: Send + Sync + 'static> $name<T> {
            /// Blocks the thread until the result is there, but not longer than `timeout` on the
            /// loop cache's clock (`None`: no limit; zero: only look).
            ///
            /// # Errors
            /// Those of the future, and: [`Timeout`](ErrorKind::Timeout);
            /// [`Reentrant`](ErrorKind::Reentrant) when called inside the loop cache's own Doer and
            /// it is not there yet.
            pub fn wait(self, timeout: impl Into<Option<Duration>>) -> $output {
                let shared = self.0.event().shared.clone();
                block(&shared, self.0, timeout.into(), $what)?
            }

            /// Blocks the thread until the result is there or `context` is done.
            ///
            /// # Errors
            /// Those of [`wait`](Self::wait), and the context's when it is done.
            pub fn wait_in(self, context: &Context) -> $output {
                let shared = self.0.event().shared.clone();
                block_in(&shared, self.0, context, $what)?
            }
        }

        impl<T: Send + Sync + 'static> Future for $name<T> {
            type Output = $output;

            fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<$output> {
                // SAFETY: the only field is pinned whenever its owner is.
                unsafe { self.map_unchecked_mut(|this| &mut this.0) }.poll(cx)
            }
        }

        impl<T: Send + Sync + 'static> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

waitable! {
    /// A result newer than a version: a future, or [`wait`](Changed::wait) on a thread. It yields
    /// the new version.
    ///
    /// It may be dropped at any time. It keeps nothing running: once the loop cache is dropped it
    /// yields [`Closed`](ErrorKind::Closed), and once the loop cache's context is done, that
    /// context's error; either way only after the Doer's last call, whose result still counts.
    ///
    /// ```
    /// # let cache = docache::LoopCache::builder(|| Ok::<_, std::io::Error>(7))
    /// #     .interval(std::time::Duration::from_secs(1)).build()?;
    /// cache.start()?;
    /// assert_eq!(cache.changed(0).wait(None)?, 1);
    /// # Ok::<(), docache::Error>(())
    /// ```
    Changed, Newer, Result<u64>, "a new result"
}

waitable! {
    /// A call of the Doer asked for by [`refresh`](super::LoopCache::refresh): a future, or
    /// [`wait`](Refresh::wait) on a thread. It yields the result of that call or of a later one.
    ///
    /// Dropping it does not take the request back. If the loop stops before the call, or is not
    /// running, it yields [`Closed`](ErrorKind::Closed).
    ///
    /// ```
    /// # let mut calls = 0;
    /// # let count = move || { calls += 1; Ok::<_, std::io::Error>(calls) };
    /// # let cache = docache::LoopCache::builder(count)
    /// #     .interval(std::time::Duration::from_secs(3600)).build()?;
    /// cache.start()?;
    /// cache.wait_first(None)?;
    /// let entry = cache.refresh().wait(None)?;
    /// assert_eq!(entry.value(), Some(&2));
    /// # Ok::<(), docache::Error>(())
    /// ```
    Refresh, Requested, Result<Arc<LoopEntry<T>>>, "a refresh"
}
