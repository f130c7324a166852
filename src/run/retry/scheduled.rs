//! A retry that has a thread only while an attempt is made.

use std::task::Waker;
use std::time::Duration;

use super::error::{GaveUp, RetryError};
use super::retrier::Retrier;
use crate::clock::{Alarm, Clock, SystemClock, Tick};
use crate::context::Hook;
use crate::executor::{Job, Next, Turn};

/// A retry as a job. It waits for an alarm on its own clock, and for the end of its context.
pub(super) struct RetryJob<A, D, E> {
    retrier: Retrier,
    attempt: A,
    /// Is told the outcome.
    done: Option<D>,
    last: Option<E>,
    /// When the wait under way ends.
    until: Tick,
    waker: Waker,
    alarm: Option<Alarm>,
    hook: Option<Hook>,
}

impl<A, D, E> RetryJob<A, D, E> {
    pub(super) fn new(retrier: Retrier, attempt: A, done: D) -> RetryJob<A, D, E> {
        RetryJob {
            retrier,
            attempt,
            done: Some(done),
            last: None,
            until: Tick::default(),
            waker: Waker::noop().clone(),
            alarm: None,
            hook: None,
        }
    }

    fn clock(&self) -> &dyn Clock {
        self.retrier.context().map_or(&SystemClock, |context| context.clock())
    }

    /// Goes on after a wait.
    fn wait(&mut self) -> Next {
        self.alarm = Some(self.clock().alarm(self.until, self.waker.clone()));
        Next::Called
    }
}

impl<T, E, A, D> Job for RetryJob<A, D, E>
where
    E: Send,
    A: FnMut(&mut Retrier) -> Result<T, E> + Send,
    D: FnOnce(Result<T, RetryError<E>>) + Send,
{
    fn enlist(&mut self, waker: &Waker) -> Next {
        self.waker = waker.clone();
        let wakes = waker.clone();
        self.hook = self.retrier.context().map(|context| context.on_cancel(move || wakes.wake()));
        Next::AtOnce
    }

    fn run(&mut self, _: Tick, _: bool) -> Turn {
        let next = match self.step() {
            Ok(next) => next,
            Err(outcome) => {
                (self.alarm, self.hook) = (None, None);
                if let Some(done) = self.done.take() {
                    done(outcome);
                }
                Next::Over
            }
        };
        Turn { next, ended: None }
    }
}

impl<A, D, E> RetryJob<A, D, E> {
    /// Makes an attempt if it is time. When to go on, or what it all came to.
    fn step<T>(&mut self) -> Result<Next, Result<T, RetryError<E>>>
    where
        A: FnMut(&mut Retrier) -> Result<T, E>,
    {
        if let Some(reason) = self.retrier.refuse() {
            return Err(Err(self.give_up(reason)));
        }
        if self.clock().now() < self.until {
            return Ok(self.wait());
        }
        self.retrier.begin();
        match (self.attempt)(&mut self.retrier) {
            Ok(value) => return Err(Ok(value)),
            Err(error) => self.last = Some(error),
        }
        match self.retrier.failed() {
            Err(reason) => Err(Err(self.give_up(reason))),
            Ok(Duration::ZERO) => Ok(Next::AtOnce),
            Ok(delay) => {
                self.until = self.clock().now().after(delay);
                Ok(self.wait())
            }
        }
    }

    fn give_up(&mut self, reason: GaveUp) -> RetryError<E> {
        RetryError { last: self.last.take(), attempts: self.retrier.iteration(), reason }
    }
}
