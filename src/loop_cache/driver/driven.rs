//! A run in steps, for who has no thread for it alone: what is to be done, a call begins, a call
//! has come to this.
//!
//! # State
//! A [`Driven`] is the run (ONE-RUNNER) with its ticker. `call` is set while a call is under way
//! that its host has begun and not finished.

use std::time::Duration;

use super::runner::{Call, Run};
use super::ticker::Ticker;
use crate::clock::Tick;
#[cfg(feature = "capi")]
use crate::error::Result;
use crate::log::Level;
use crate::loop_cache::shared::Shared;
use crate::loop_cache::waits::{Called, Calling};
use crate::sync::prefetch::prefetch;
use crate::sync::thread;
use crate::wait::Wait;

/// What a run has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// To end: somebody asked it to.
    Stop,
    /// To call the Doer, from now on; whether that was asked for.
    Call { now: Tick, refresh: bool },
    /// Nothing, for so long.
    Wait(Duration),
}

/// A run and its ticker. Dropping it ends the run; a call under way is then without a result.
pub(crate) struct Driven<T: Send + Sync + 'static> {
    pub(super) run: Run<T>,
    pub(super) ticker: Ticker,
    #[cfg(feature = "capi")]
    call: Option<Call>,
}

/// Does something that may run a logger, or the Doer. A stop from in there does not wait for it.
pub(super) fn inside<T: Send + Sync + 'static, R>(
    shared: &Shared<T>,
    body: impl FnOnce() -> R,
) -> R {
    shared.lock().runner = Some(thread::token());
    let result = body();
    shared.lock().runner = None;
    result
}

impl<T: Send + Sync + 'static> Driven<T> {
    pub(super) fn new(run: Run<T>) -> Driven<T> {
        let ticker = Ticker::new(run.begun, &run.shared.settings);
        Driven {
            run,
            ticker,
            #[cfg(feature = "capi")]
            call: None,
        }
    }

    /// Says that the run has begun.
    pub(super) fn log_start(&self) {
        let shared = &self.run.shared;
        inside(shared, || shared.log(Level::Info, format_args!("started")));
    }

    /// What is to be done at `now`, when the run was called for this.
    fn next_if(&self, called: Option<Called>, now: Tick) -> Next {
        let refresh = match called {
            Some(Called::Stop | Called::Ended) => return Next::Stop,
            called => called.is_some(),
        };
        match self.ticker.due.since(now) {
            wait if !refresh && wait > Duration::ZERO => Next::Wait(wait),
            _ => Next::Call { now, refresh },
        }
    }

    /// What is to be done at `now`.
    #[cfg(feature = "capi")]
    pub(super) fn next_at(&self, now: Tick) -> Next {
        self.next_if(self.run.shared.called(self.run.number), now)
    }

    /// Asks for what a call touches, much of which it would otherwise wait for at a lock.
    #[inline]
    pub(super) fn prefetch(&self) {
        let Run { shared, publisher, work, .. } = &self.run;
        shared.prefetch();
        publisher.prefetch();
        if let Some(work) = work {
            prefetch(&**work);
        }
    }

    /// Calls the Doer if that is to be done at `now`. What was, and when the call ended.
    pub(super) fn call_if_due(&mut self, now: Tick) -> (Next, Option<Tick>) {
        let mut control = self.run.shared.lock();
        let next = self.next_if(control.called(self.run.number), now);
        let Next::Call { refresh, .. } = next else { return (next, None) };
        control.begun += 1;
        // As `inside` does, in one section less.
        control.runner = Some(thread::token());
        drop(control);
        let Run { shared, publisher, work, .. } = &mut self.run;
        let call = Call::counted(shared, &self.ticker, now, refresh);
        let result = work.as_mut().map(|work| work.perform());
        let ended = result.map(|result| call.end(shared, publisher, &mut self.ticker, result));
        shared.lock().runner = None;
        (next, ended)
    }

    /// Is there when the run is to stop, to call out of turn, or over.
    pub(super) fn calling(&self) -> Wait<Calling<T>> {
        Wait::new(Calling { shared: self.run.shared.clone(), number: self.run.number })
    }

    /// Whether a call is under way.
    #[cfg(feature = "capi")]
    pub(crate) fn is_calling(&self) -> bool {
        self.call.is_some()
    }

    /// A call begins.
    #[cfg(feature = "capi")]
    pub(crate) fn begin(&mut self, now: Tick, refresh: bool) {
        self.call = Some(Call::begin(&self.run.shared, &self.ticker, now, refresh));
    }

    /// The call under way, if there is one, came to this. When it ended.
    #[cfg(feature = "capi")]
    pub(super) fn end(&mut self, result: Result<T>) -> Option<Tick> {
        let call = self.call.take()?;
        let Run { shared, publisher, .. } = &mut self.run;
        Some(call.end(shared, publisher, &mut self.ticker, result))
    }
}
