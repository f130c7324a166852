//! The future of one call: what `run_async` and its like return.
//!
//! It is written by hand so that a result is written once, where the caller wants it. `async`
//! functions would each move it once more, right after it was written in parts, for which the
//! processor waits: for a run that nobody joins that took as long as all the rest. So nothing is
//! done here between taking the result and returning it; the call is dropped with the future.

use std::borrow::Borrow;
use std::mem;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use super::drive::{ErrorStyle, Target, context_error};
use super::flight_call::{FlightCall, RunResultOf, WaitResult, WorkResult};
use super::protocol::call::WaitKind;
use super::protocol::domain::Domain;
use super::protocol::registry::Entered;
use crate::contain::drop_contained;
use crate::context::{Cancelled, Context};

/// A call of a task: `key` lies in it, `target` says where the call goes, `work` is what it runs
/// if it leads, and `then` turns its result into what the task gets.
///
/// The call, the work's future and what waits for the context are pinned whenever this is.
#[must_use = "a future does nothing unless it is awaited"]
pub(crate) struct RunFuture<'c, D: Domain, Q, G, F, Fut, O> {
    // They are dropped in this order: the call is in no flight any more when the work is dropped,
    // which may call again, and when the key is (KEY).
    flight_call: Option<FlightCall<D>>,
    stage: Stage<D::Key, G, F, Fut>,
    context: Option<&'c Context>,
    then: O,
    key: Q,
}

/// How far the call is.
enum Stage<K: ?Sized, G, F, Fut> {
    /// It was never polled. The work is there, as it is while it waits.
    New { target: G, work: Option<F> },
    /// It has joined. `done` is the end of its context.
    Waits { work: Option<F>, error_style: ErrorStyle<K>, done: Option<Cancelled> },
    /// Its work is under way.
    Leads { future: Fut },
    /// The call is in no flight, or about to leave it.
    Over,
}

impl<'c, D: Domain, Q, G, F, Fut, O> RunFuture<'c, D, Q, G, F, Fut, O>
where
    // Borrowed keys may go while this is forgotten (KEY).
    Q: Borrow<D::Key> + 'static,
    G: Fn(&D::Key) -> Target<D> + Copy,
    F: FnOnce() -> Fut,
    Fut: Future<Output = WorkResult<D>>,
{
    #[inline]
    pub(crate) fn new<R>(
        key: Q,
        target: G,
        context: Option<&'c Context>,
        work: F,
        then: O,
    ) -> RunFuture<'c, D, Q, G, F, Fut, O>
    where
        O: Fn(RunResultOf<D>) -> R,
    {
        let stage = Stage::New { target, work: Some(work) };
        RunFuture { flight_call: None, stage, context, then, key }
    }

    /// The first poll.
    #[inline]
    fn begin<R>(&mut self, cx: &mut TaskContext<'_>) -> Poll<R>
    where
        O: Fn(RunResultOf<D>) -> R,
    {
        let Stage::New { target, work } = &mut self.stage else {
            unreachable!("it is the first poll");
        };
        let (target, work) = (*target, work.take());
        self.stage = Stage::Over;
        if let Some(error) = context_error(self.context) {
            return Poll::Ready((self.then)(Err(error)));
        }
        let key = self.key.borrow();
        let Target { domain, hash, error_style } = target(key);
        // SAFETY: it is pinned here, and the key lies in the same memory and is not touched before
        // the call is dropped (PINNED, KEY).
        let flight_call = unsafe { FlightCall::new(domain, hash, key, WaitKind::Polled) };
        let flight_call = &*self.flight_call.insert(flight_call);
        match flight_call.enter() {
            Entered::Leads => Self::lead(flight_call, &mut self.stage, work, &self.then, cx),
            Entered::Found => Poll::Ready((self.then)(flight_call.own_result(false))),
            Entered::Reentrant => Poll::Ready((self.then)(Err(error_style.reentrant(key)))),
            Entered::Joined => {
                let done = self.context.map(Context::cancelled);
                self.stage = Stage::Waits { work, error_style, done };
                self.wait(cx)
            }
        }
    }

    /// A poll of a call that joined.
    #[cold]
    #[inline(never)]
    fn wait<R>(&mut self, cx: &mut TaskContext<'_>) -> Poll<R>
    where
        O: Fn(RunResultOf<D>) -> R,
    {
        let (Some(flight_call), Stage::Waits { work, error_style, done }) =
            (&self.flight_call, &mut self.stage)
        else {
            unreachable!("the call waits");
        };
        // SAFETY: it is pinned whenever its owner is.
        let mut done = unsafe { Pin::new_unchecked(done) };
        let end = ready!(flight_call.poll_until(done.as_mut().as_pin_mut(), cx));
        // Dropped where it was pinned.
        done.set(None);
        // The work stays until the call is in no flight: it may call again when it is dropped.
        let result = match end {
            WaitResult::Leads if flight_call.recheck() => {
                let work = work.take();
                return Self::lead(flight_call, &mut self.stage, work, &self.then, cx);
            }
            WaitResult::Leads => flight_call.own_result(flight_call.complete()),
            end => error_style.joined(flight_call, end, self.context),
        };
        self.stage = Stage::Over;
        Poll::Ready((self.then)(result))
    }

    /// A poll of a call that leads: of its work's future, which is made first if there is `work`.
    #[inline]
    fn lead<R>(
        flight_call: &FlightCall<D>,
        stage: &mut Stage<D::Key, G, F, Fut>,
        work: Option<F>,
        then: &O,
        cx: &mut TaskContext<'_>,
    ) -> Poll<R>
    where
        O: Fn(RunResultOf<D>) -> R,
    {
        let polled = flight_call.run_as_work(|| {
            if let Some(work) = work {
                *stage = Stage::Leads { future: work() };
            }
            let Stage::Leads { future } = stage else {
                unreachable!("the work is under way");
            };
            // SAFETY: it was made where it is pinned, and is dropped there.
            let result = ready!(unsafe { Pin::new_unchecked(future) }.poll(cx));
            *stage = Stage::Over;
            flight_call.put_result(result);
            flight_call.stage();
            Poll::Ready(())
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => {
                Poll::Ready(then(flight_call.own_result(flight_call.complete())))
            }
            Err(payload) => {
                // What is left of the work is dropped now, while the call still leads. If that
                // panics too, the first panic counts.
                if let Err(second) = flight_call.run_as_work(|| *stage = Stage::Over) {
                    drop_contained(second);
                }
                flight_call.panicked(&*payload);
                resume_unwind(payload)
            }
        }
    }
}

impl<D: Domain, Q, G, F, Fut, O, R> Future for RunFuture<'_, D, Q, G, F, Fut, O>
where
    Q: Borrow<D::Key> + 'static,
    G: Fn(&D::Key) -> Target<D> + Copy,
    F: FnOnce() -> Fut,
    Fut: Future<Output = WorkResult<D>>,
    O: Fn(RunResultOf<D>) -> R,
{
    type Output = R;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<R> {
        // SAFETY: nothing that is pinned is moved: all that is taken out is work that was not
        // begun.
        let this = LeavesIfItPanics(unsafe { self.get_unchecked_mut() });
        let polled = match (&this.0.stage, &this.0.flight_call) {
            (Stage::New { .. }, _) => this.0.begin(cx),
            (Stage::Waits { .. }, _) => this.0.wait(cx),
            (Stage::Leads { .. }, Some(flight_call)) => {
                Self::lead(flight_call, &mut this.0.stage, None, &this.0.then, cx)
            }
            _ => panic!("a future was polled after it was ready"),
        };
        mem::forget(this);
        polled
    }
}

/// Takes the call out of its flight at once if a poll panics: nobody has to drop the future then.
struct LeavesIfItPanics<'f, 'c, D: Domain, Q, G, F, Fut, O>(
    &'f mut RunFuture<'c, D, Q, G, F, Fut, O>,
);

impl<D: Domain, Q, G, F, Fut, O> Drop for LeavesIfItPanics<'_, '_, D, Q, G, F, Fut, O> {
    #[cold]
    fn drop(&mut self) {
        self.0.flight_call = None;
        self.0.stage = Stage::Over;
    }
}

impl<D: Domain, Q, G, F, Fut, O> Drop for RunFuture<'_, D, Q, G, F, Fut, O> {
    #[inline]
    fn drop(&mut self) {
        if let (Stage::Leads { .. }, Some(flight_call)) = (&self.stage, &self.flight_call) {
            drop_work(flight_call, &mut self.stage);
        }
    }
}

/// Drops work that is under way, where it is pinned. The thread counts as inside it meanwhile.
#[cold]
fn drop_work<D: Domain, G, F, Fut>(
    flight_call: &FlightCall<D>,
    stage: &mut Stage<D::Key, G, F, Fut>,
) {
    if let Err(payload) = flight_call.run_as_work(|| *stage = Stage::Over) {
        if std::thread::panicking() {
            drop_contained(payload);
        } else {
            resume_unwind(payload);
        }
    }
}
