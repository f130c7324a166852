//! A refresh: the work of a fetch that did not wait for it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::Lazy;
use crate::contain::contained;
use crate::context::until_armed;
use crate::echo::core::count;
use crate::echo::error::Warning;
use crate::echo::load::flight::Ask;
use crate::echo::load::lead::Purpose;
use crate::echo::store::{AsyncStore, Store};
use crate::error::Error;
use crate::flight::FlightError;
use crate::wait::block_on;

impl<S, T, E> Lazy<S, T, E> {
    #[cold]
    pub(super) fn note_refresh_failure(&self, key: &str, message: &str) {
        count(&self.inner.core.counters.refresh_failures);
        self.inner.core.warn(&Warning::Refresh { key, message });
    }

    /// `ended` is whether there was anything to do. A load that failed has been noted as that.
    fn note_refresh<F: fmt::Display>(
        &self,
        key: &str,
        ended: Result<Result<bool, FlightError<F>>, Error>,
    ) {
        if matches!(ended, Ok(Err(FlightError::Left(_)))) {
            // It has taken too long.
            self.inner.core.pauses(|pauses| pauses.failed(key));
        }
        match ended {
            Ok(Ok(true)) => self.inner.core.pauses(|pauses| pauses.succeeded(key)),
            Ok(Ok(false)) => {}
            // The user's Display may panic as well.
            Ok(Err(failure)) => match contained(|| failure.to_string()) {
                Ok(message) => self.note_refresh_failure(key, &message),
                Err(error) => self.note_refresh_failure(key, &error.to_string()),
            },
            Err(panic) => self.note_refresh_failure(key, &panic.to_string()),
        }
    }
}

impl<S, T, E> Lazy<S, T, E>
where
    S: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    fn ask<'a>(&self, key: &'a str, seen: Duration) -> Ask<'a> {
        let budget = Some(self.inner.core.settings.budget);
        Ask { key, context: None, budget, purpose: Purpose::Refresh(seen) }
    }

    /// On a worker.
    pub(super) fn refresh(&self, (key, seen): (&str, Duration), work: impl FnOnce() -> Result<T, E>)
    where
        S: Store<T>,
    {
        count(&self.inner.core.counters.refreshes);
        // A load of somebody else's that this would join may take longer than a refresh should.
        let limit = self.inner.core.root.with_timeout(self.refresh_timeout);
        let ask = Ask { context: Some(&limit), ..self.ask(key, seen) };
        let ended = contained(|| self.inner.load(ask, work).map(|flown| flown.is_some()));
        self.note_refresh(key, ended);
    }

    /// As a task. It is dropped when its time is over.
    pub(super) async fn refresh_async<F, Fut>(&self, (key, seen): (&str, Duration), work: F)
    where
        S: AsyncStore<T>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        count(&self.inner.core.counters.refreshes);
        let limit = self.inner.core.root.with_timeout(self.refresh_timeout);
        // The load is gone, and with it its lead and its lock, before the hook is called.
        let ended = {
            let load = pin!(self.inner.load_async(self.ask(key, seen), work));
            until_armed(Caught(load), &limit).await
        };
        let ended = match ended {
            Some(ended) => ended.map(|flown| flown.map(|flown| flown.is_some())),
            None => Ok(Err(FlightError::Left(Error::timeout("the refresh")))),
        };
        self.note_refresh(key, ended);
    }

    /// A task's refresh on a worker.
    pub(super) fn refresh_blocking<F, Fut>(&self, due: (&str, Duration), work: F)
    where
        S: AsyncStore<T>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let clock = &*self.inner.core.settings.clock;
        block_on(self.refresh_async(due, work), clock, None);
    }
}

/// A future whose panic is an error.
struct Caught<'f, F>(Pin<&'f mut F>);

impl<F: Future> Future for Caught<'_, F> {
    type Output = Result<F::Output, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => {
                let error = Error::panicked(&*payload);
                crate::contain::drop_contained(payload);
                Poll::Ready(Err(error))
            }
        }
    }
}

/// The longest delay that is accepted for a backoff: beyond it nothing would ever be tried again.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
