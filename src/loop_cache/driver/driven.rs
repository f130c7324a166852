//! A run in steps, for who has no thread for it alone: what is to be done, a call begins, a call
//! has come to this.
//!
//! # State
//! A [`Driven`] is the run (ONE-RUNNER) with its ticker. `call` is set between
//! [`begin`](Driven::begin) and [`finish`](Driven::finish).

use std::time::Duration;

use super::runner::{Call, Run};
use super::ticker::Ticker;
use crate::clock::Tick;
use crate::error::Result;
use crate::log::Level;
use crate::loop_cache::shared::Shared;
use crate::loop_cache::waits::{Called, Calling};
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
        Driven { run, ticker, call: None }
    }

    /// Says that the run has begun.
    pub(super) fn log_start(&self) {
        let shared = &self.run.shared;
        inside(shared, || shared.log(Level::Info, format_args!("started")));
    }

    /// What is to be done at `now`.
    pub(super) fn next_at(&self, now: Tick) -> Next {
        let refresh = match self.run.shared.called(self.run.number) {
            Some(Called::Stop | Called::Ended) => return Next::Stop,
            called => called.is_some(),
        };
        match self.ticker.due.since(now) {
            wait if !refresh && wait > Duration::ZERO => Next::Wait(wait),
            _ => Next::Call { now, refresh },
        }
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
    pub(crate) fn begin(&mut self, now: Tick, refresh: bool) {
        self.call = Some(Call::begin(&self.run.shared, &self.ticker, now, refresh));
    }

    /// The call under way, if there is one, came to this. When it ended.
    pub(super) fn end(&mut self, result: Result<T>) -> Option<Tick> {
        let call = self.call.take()?;
        let Run { shared, publisher, .. } = &mut self.run;
        Some(call.end(shared, publisher, &mut self.ticker, result))
    }
}
