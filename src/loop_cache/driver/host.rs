//! A run that its host drives: it asks what is to be done, does the work itself, and hands in what
//! came of it.
//!
//! # State
//! A [`Driven`] is the run (ONE-RUNNER) with its ticker. `call` is set between
//! [`begin`](Driven::begin) and [`finish`](Driven::finish). Its loop's thread is whichever calls
//! in, for as long as it is in here: a logger that stops the loop does not wait for it.

use std::time::Duration;

use super::runner::{Call, Run};
use super::ticker::Ticker;
use crate::clock::Tick;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Level;
use crate::loop_cache::LoopCache;
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
    run: Run<T>,
    ticker: Ticker,
    call: Option<Call>,
}

impl<T: Send + Sync + 'static> LoopCache<T> {
    /// Begins a run that the caller drives.
    pub(crate) fn drive(&self) -> Result<Driven<T>> {
        let run = self.shared.begin_driven()?;
        let ticker = Ticker::new(run.begun, &run.shared.settings);
        let driven = Driven { run, ticker, call: None };
        let shared = &driven.run.shared;
        inside(shared, || shared.log(Level::Info, format_args!("started")));
        Ok(driven)
    }

    /// Whether the run that exists is driven by its host.
    pub(crate) fn is_driven(&self) -> bool {
        let control = self.shared.lock();
        control.is_running() && control.driven
    }

    /// Asks the run to end, and does not wait.
    pub(crate) fn ask_to_stop(&self) {
        drop(self.shared.begin_stop());
    }
}

/// Does something that may run a logger.
fn inside<T: Send + Sync + 'static>(shared: &Shared<T>, body: impl FnOnce()) {
    shared.lock().runner = Some(thread::token());
    body();
    shared.lock().runner = None;
}

impl<T: Send + Sync + 'static> Driven<T> {
    /// What is to be done now.
    pub(crate) fn next(&self) -> Next {
        let refresh = match self.run.shared.called(self.run.number) {
            Some(Called::Stop | Called::Ended) => return Next::Stop,
            called => called.is_some(),
        };
        let now = self.run.shared.now();
        match self.ticker.due.since(now) {
            wait if !refresh && wait > Duration::ZERO => Next::Wait(wait),
            _ => Next::Call { now, refresh },
        }
    }

    /// The moment at which it is to stop, or to call out of turn. `Closed` once the run is over.
    pub(crate) fn called(&self) -> impl Future<Output = Result<()>> + Send + use<T> {
        let calling =
            Wait::new(Calling { shared: self.run.shared.clone(), number: self.run.number });
        async {
            match calling.await {
                Called::Stop | Called::Refresh => Ok(()),
                Called::Ended => Err(Error::new(ErrorKind::Closed, "the run has ended")),
            }
        }
    }

    /// Whether a call is under way.
    pub(crate) fn is_calling(&self) -> bool {
        self.call.is_some()
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, now: Tick, refresh: bool) {
        self.call = Some(Call::begin(&self.run.shared, &self.ticker, now, refresh));
    }

    /// The call under way, if there is one, came to this.
    pub(crate) fn finish(&mut self, result: Result<T>) {
        let Some(call) = self.call.take() else { return };
        let Run { shared, publisher, .. } = &mut self.run;
        inside(shared, || call.end(shared, publisher, &mut self.ticker, result));
    }
}
