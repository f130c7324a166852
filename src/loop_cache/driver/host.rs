//! A run that its host drives: it asks what is to be done, does the work itself, and hands in what
//! came of it.
//!
//! Its loop's thread is whichever calls in, for as long as it is in here: a logger that stops the
//! loop does not wait for it.

use super::driven::{Driven, Next, inside};
use crate::error::{Error, ErrorKind, Result};
use crate::loop_cache::LoopCache;
use crate::loop_cache::waits::Called;

impl<T: Send + Sync + 'static> LoopCache<T> {
    /// Begins a run that the caller drives.
    pub(crate) fn drive(&self) -> Result<Driven<T>> {
        let driven = Driven::new(self.shared.begin_driven()?);
        driven.log_start();
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

impl<T: Send + Sync + 'static> Driven<T> {
    /// What is to be done now.
    pub(crate) fn next(&self) -> Next {
        self.next_at(self.run.shared.now())
    }

    /// The moment at which it is to stop, or to call out of turn. `Closed` once the run is over.
    pub(crate) fn called(&self) -> impl Future<Output = Result<()>> + Send + use<T> {
        let calling = self.calling();
        async {
            match calling.await {
                Called::Stop | Called::Refresh => Ok(()),
                Called::Ended => Err(Error::new(ErrorKind::Closed, "the run has ended")),
            }
        }
    }

    /// The call under way, if there is one, came to this.
    pub(crate) fn finish(&mut self, result: Result<T>) {
        let shared = self.run.shared.clone();
        inside(&shared, || self.end(result));
    }
}
