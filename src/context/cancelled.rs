//! Waiting for the end of a context.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use super::Context;
use crate::clock::{Tick, help, nap};
use crate::wait::{Event, Wait, WaitList};

/// The future of [`Context::cancelled`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Cancelled {
    wait: Wait<Done>,
    /// Whether it is to be woken at the deadline.
    armed: bool,
}

impl Cancelled {
    /// For waiters that watch the deadline themselves.
    pub(crate) fn unarmed(ctx: &Context) -> Cancelled {
        Cancelled { wait: Wait::new(Done(ctx.clone())), armed: false }
    }

    pub(super) fn armed(ctx: &Context) -> Cancelled {
        ctx.inner.arm();
        Cancelled { armed: true, ..Cancelled::unarmed(ctx) }
    }

    /// What `poll` yields, or `None` once the context is done and it is not ready even then.
    pub(crate) fn poll_until<R>(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        mut poll: impl FnMut(&mut TaskContext<'_>) -> Poll<R>,
    ) -> Poll<Option<R>> {
        if let Poll::Ready(output) = poll(cx) {
            return Poll::Ready(Some(output));
        }
        if self.poll(cx).is_pending() {
            return Poll::Pending;
        }
        // What is ready by the time that the context is done counts.
        Poll::Ready(match poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    }

    /// If no thread can be had that would wake the task at the deadline: sleeps a while, wakes the
    /// task, and says so.
    fn nap(&self, cx: &TaskContext<'_>) -> bool {
        let ctx = &self.wait.event().0;
        let Some(deadline) = ctx.deadline().filter(|deadline| self.armed && *deadline != Tick::MAX)
        else {
            return false;
        };
        let left = help().and_then(|_| ctx.clock().real_time_until(deadline));
        if let Some(left) = left {
            nap(left);
            cx.waker().wake_by_ref();
        }
        left.is_some()
    }
}

impl Future for Cancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            // SAFETY: the field is pinned whenever its owner is.
            let wait = unsafe { self.as_mut().map_unchecked_mut(|this| &mut this.wait) };
            if wait.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if !self.nap(cx) || !self.wait.event().0.is_done() {
                return Poll::Pending;
            }
        }
    }
}

#[derive(Debug)]
struct Done(Context);

// SAFETY: the list lies in the context that the event holds.
unsafe impl Event for Done {
    type Output = ();

    fn list(&self) -> &WaitList {
        &self.0.inner.waiters
    }

    fn check(&mut self) -> Option<()> {
        self.0.is_done().then_some(())
    }
}

/// What `future` yields, or `None` once `context` is done and it is not ready even then. Its caller
/// watches the deadline.
pub(crate) fn until<F: Future>(future: F, context: &Context) -> Until<F> {
    Until { future, done: Cancelled::unarmed(context) }
}

/// The same for tasks, which cannot watch a deadline.
pub(crate) fn until_armed<F: Future>(future: F, context: &Context) -> Until<F> {
    Until { future, done: context.cancelled() }
}

/// A future, or the end of a context.
pub(crate) struct Until<F> {
    future: F,
    done: Cancelled,
}

impl<F: Future> Future for Until<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<F::Output>> {
        // SAFETY: both fields are pinned whenever their owner is, and neither is moved out.
        let Until { future, done } = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let mut future = unsafe { Pin::new_unchecked(future) };
        // SAFETY: as above.
        let done = unsafe { Pin::new_unchecked(done) };
        done.poll_until(cx, |cx| future.as_mut().poll(cx))
    }
}
