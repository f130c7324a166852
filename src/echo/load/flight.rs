//! The flight of a key: one call of this process loads, and those that come meanwhile wait for it.

use std::sync::Arc;
use std::time::Duration;

use super::inner::Inner;
use super::lead::{Flown, Keep, Lead, Purpose};
use crate::clock::{Clock, SystemClock, Tick};
use crate::context::{Context, until, until_armed};
use crate::echo::background::keep::{Keeper, Kept};
use crate::echo::background::upkeep::{Face, Owed};
use crate::echo::core::count;
use crate::echo::error::Operation;
use crate::echo::fetched::{Fetched, Status};
use crate::echo::lock::RefreshLock;
use crate::echo::store::{AsyncStore, Calls, Store, Tasks, Threads, blocking};
use crate::error::Error;
use crate::flight::FlightError;
use crate::wait::block_on;

/// What a fetch comes to.
pub(in crate::echo) type FetchResult<T, E> = Result<Fetched<T>, FlightError<E>>;

/// Why a call came to nothing whose context is done.
pub(in crate::echo) fn left<E>(context: &Context) -> FlightError<E> {
    FlightError::Left(context.error().unwrap_or_else(|| Error::timeout("the load")))
}

/// A load that somebody asks for.
#[derive(Clone, Copy)]
pub(in crate::echo) struct Ask<'a> {
    pub(in crate::echo) key: &'a str,
    pub(in crate::echo) context: Option<&'a Context>,
    /// What is left of the time for the store, unless that has just failed.
    pub(in crate::echo) budget: Option<Duration>,
    pub(in crate::echo) purpose: Purpose,
}

impl<'a> Ask<'a> {
    pub(in crate::echo) fn fetch(
        key: &'a str,
        context: Option<&'a Context>,
        budget: Option<Duration>,
    ) -> Ask<'a> {
        Ask { key, context, budget, purpose: Purpose::Fetch }
    }
}

impl<S, T, E> Inner<S, T, E>
where
    S: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Joins the flight of the key, or leads it. For a refresh, `None`: it is left to another
    /// process.
    async fn fly<C, F, Fut>(
        self: &Arc<Self>,
        (calls, face): (C, Face<S, T>),
        keep: Option<Keep<'_>>,
        ask: Ask<'_>,
        work: F,
    ) -> Result<Flown<T>, FlightError<E>>
    where
        C: Calls<T>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let Ask { key, budget, purpose, .. } = ask;
        let (owned, mut work): (Arc<str>, _) = (calls.canonical(key).into(), Some(work));
        let owe = |key: &str, lock, value| self.owe(Owed::new((key, lock), value, face));
        // A task that leaves is dropped.
        let context = ask.context.filter(|_| keep.is_some());
        let (core, owe) = (&self.core, &owe);
        loop {
            let lead = Lead { core, calls, key, keep, owe, context, purpose, budget };
            let led = || {
                let Some(work) = work.take() else { unreachable!("a fetch that led is over") };
                lead.run(work)
            };
            let shared = self.group.try_run_async(owned.clone(), led).await?;
            let joined = !shared.led();
            match shared.into_inner() {
                Some(fetched) if joined => return Ok(Some(self.joined(fetched))),
                // A refresh was joined, which another process is at.
                None if joined && purpose == Purpose::Fetch => {}
                flown => return Ok(flown),
            }
        }
    }

    fn joined(&self, fetched: Fetched<T>) -> Fetched<T> {
        count(&self.core.counters.coalesced);
        let status = match fetched.status {
            Status::Loaded if self.core.negative_ttl(&fetched.value).is_some() => Status::Negative,
            Status::Loaded => Status::Coalesced,
            status => status,
        };
        Fetched { status, ..fetched }
    }

    /// Loads what the store does not have, in a task.
    pub(in crate::echo) async fn load_async<F, Fut>(
        self: &Arc<Self>,
        ask: Ask<'_>,
        work: F,
    ) -> Result<Flown<T>, FlightError<E>>
    where
        S: AsyncStore<T>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if let Some(context) = ask.context.filter(|context| context.is_done()) {
            return Err(left(context));
        }
        let fly = self.fly((Tasks(&self.store), Face::tasks()), None, ask, work);
        match ask.context {
            None => fly.await,
            // Whoever leads and leaves hands the lead to another, who begins his own work.
            Some(context) => until_armed(fly, context).await.unwrap_or_else(|| Err(left(context))),
        }
    }

    /// Loads what the store does not have, on this thread.
    #[cold]
    pub(in crate::echo) fn load(
        self: &Arc<Self>,
        ask: Ask<'_>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<Flown<T>, FlightError<E>>
    where
        S: Store<T>,
    {
        if let Some(context) = ask.context.filter(|context| context.is_done()) {
            return Err(left(context));
        }
        let keep = |key: &str, lock| self.keep(key, lock);
        let face = (Threads(&self.store), Face::threads());
        let fly = self.fly(face, Some(&keep), ask, || async { work() });
        match ask.context {
            None => match block_on(fly, &SystemClock, None) {
                Some(flown) => flown,
                None => unreachable!("there is no deadline"),
            },
            Some(context) => block_on(until(fly, context), context.clock(), context.deadline())
                .flatten()
                .unwrap_or_else(|| Err(left(context))),
        }
    }

    /// Has a lock renewed while a thread loads.
    fn keep(self: &Arc<Self>, key: &str, lock: RefreshLock) -> Kept
    where
        S: Store<T>,
    {
        let settings = &self.core.settings;
        let until = settings.keep_for.map_or(Tick::MAX, |span| self.core.now().after(span));
        let keeper: Arc<dyn Keeper> = self.clone();
        Kept::new(&keeper, &self.upkeep.queue, (key, lock), (settings.lock_ttl / 3, until))
    }
}

impl<S, T, E> Keeper for Inner<S, T, E>
where
    S: Store<T>,
    T: Send + Sync,
    E: Send + Sync,
{
    fn clock(&self) -> &dyn Clock {
        &*self.core.settings.clock
    }

    fn renew(&self, key: &str, lock: &RefreshLock) -> bool {
        let within = self.within(None);
        let called = blocking(|| self.store.renew(key, lock, &within));
        // A store that fails may be better next time.
        self.core.heed((key, Operation::Renew), called).unwrap_or(true)
    }

    fn unattended(&self, key: &str) {
        Inner::unattended(self, key, Operation::Renew);
    }
}

/// What a fetch that waits for its value comes to.
pub(in crate::echo) fn fetched<T, E>(flown: Result<Flown<T>, FlightError<E>>) -> FetchResult<T, E> {
    flown.map(|flown| match flown {
        Some(fetched) => fetched,
        None => unreachable!("only refreshes are left to others"),
    })
}
