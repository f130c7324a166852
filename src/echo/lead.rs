//! How a value is loaded that the store does not have: under the key's refresh lock, and into the
//! store.
//!
//! This is the work of a flight, so it runs once at a time for each key in this process. The lock
//! is for the other processes. It is given back on every path: [`Held`] does that when it is
//! dropped, whatever has happened.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use super::backoff::Backoff;
use super::core::{Core, Judged, count};
use super::error::{Operation, Warning};
use super::fetched::{Fetched, Status};
use super::keep::Kept;
use super::lock::{RefreshLock, random};
use super::store::{Begun, Calls, Found, Within, Written};
use crate::clock::{Clock, Tick};

/// How long a fetch naps between two looks at a lock that is another process's.
const LOOKS: Backoff = Backoff { first: Duration::from_millis(2), most: Duration::from_millis(50) };

/// For how long beyond a lock's time to live a fetch waits for it, if nothing else is said: clocks
/// do not quite agree.
const GRACE: Duration = Duration::from_millis(50);

/// How a load came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody waits for the value.
    Fetch,
    /// Nobody does: what another process is at is left to it. Asked for by somebody who has seen
    /// a value of this age.
    Refresh(Duration),
}

/// What a flight comes to. `None`: another process loads the value, and nobody here waits for it.
pub(super) type Flown<T> = Option<Fetched<T>>;

/// Sees to the renewal of a lock while a thread loads.
pub(super) type Keep<'r> = &'r (dyn Fn(&str, RefreshLock) -> Kept + Send + Sync);

pub(super) struct Lead<'r, T, C> {
    pub(super) core: &'r Core<T>,
    pub(super) calls: C,
    pub(super) key: &'r str,
    /// For a thread's loads; tasks renew by themselves.
    pub(super) keep: Option<Keep<'r>>,
    pub(super) purpose: Purpose,
    /// What is left of the time for the store; `None` if that has just failed.
    pub(super) budget: Option<Duration>,
}

impl<T: Clone + Send + Sync, C: Calls<T>> Lead<'_, T, C> {
    fn within(&self, budget: Duration) -> Within<'_> {
        Within::new(&self.core.root, budget)
    }

    fn fresh_within(&self) -> Within<'_> {
        self.within(self.core.settings.budget)
    }

    pub(super) async fn run<E, F, Fut>(self, work: F) -> Result<Flown<T>, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let Some(budget) = self.budget else {
            return self.load(None, work).await.map(|value| Some(loaded(value)));
        };
        match self.begin(budget).await {
            Start::Found(fetched) => Ok(Some(fetched)),
            Start::Others => Ok(None),
            Start::Alone => self.load(None, work).await.map(|value| Some(loaded(value))),
            Start::Granted(held, left) => match self.load(Some(&held), work).await {
                Ok(value) => {
                    self.finish(held, &value, left).await;
                    Ok(Some(loaded(value)))
                }
                Err(error) => {
                    held.give_back(left).await;
                    Err(error)
                }
            },
        }
    }

    /// Takes the lock, or waits for whoever has it.
    async fn begin(&self, budget: Duration) -> Start<'_, '_, T, C> {
        let lock = RefreshLock::new(self.core.settings.lock_ttl);
        let (mut within, mut looks) = (self.within(budget), 0);
        let mut wait: Option<(Option<u64>, Tick)> = None;
        loop {
            // Before the call: if it comes too late, the lock may have been taken all the same.
            let held = Held { lead: self, lock, armed: true };
            let called = self.calls.begin_refresh(self.key, &lock, &within).await;
            let what = (self.key, Operation::BeginRefresh);
            let Some(Begun { granted, found, holder }) = self.core.heed(what, called) else {
                held.give_back(within.rest(&self.core.root).budget()).await;
                // Nobody would have what a refresh brings, and cannot write.
                return if self.purpose == Purpose::Fetch { Start::Alone } else { Start::Others };
            };
            if let Some(fetched) = found.and_then(|found| self.accept(found, looks > 0)) {
                if granted {
                    held.give_back(within.rest(&self.core.root).budget()).await;
                } else {
                    held.forget();
                }
                return Start::Found(fetched);
            }
            if granted {
                let left = within.rest(&self.core.root).budget();
                return Start::Granted(held, left);
            }
            held.forget();
            if self.purpose != Purpose::Fetch {
                return Start::Others;
            }
            if looks == 0 {
                count(&self.core.counters.lock_waits);
            }
            let now = self.core.now();
            let (_, end) = match wait.take_if(|(before, _)| *before == holder) {
                Some(goes_on) => *wait.insert(goes_on),
                // It is another holder.
                None => *wait.insert((holder, now.deadline(self.lock_wait()))),
            };
            if now.is_past(end) {
                self.core.warn(&Warning::LockWait { key: self.key });
                return Start::Alone;
            }
            let nap = LOOKS.ceiling(looks) / 2 + LOOKS.jittered(looks, random()) / 2;
            self.core.root.with_deadline(now.deadline(nap).min(end)).cancelled().await;
            looks = looks.saturating_add(1);
            within = self.fresh_within();
        }
    }

    fn lock_wait(&self) -> Duration {
        let settings = &self.core.settings;
        settings.lock_wait.unwrap_or_else(|| settings.lock_ttl.saturating_add(GRACE))
    }

    /// What the store has by now, if it will do.
    fn accept(&self, found: Found<T>, waited: bool) -> Option<Fetched<T>> {
        let (Judged::Serve(status) | Judged::Due(status, _)) = self.core.judge(&found) else {
            return None;
        };
        if let Purpose::Refresh(seen) = self.purpose {
            // It is older by now, unless it is another.
            let is_new = found.age.is_none_or(|age| age < seen);
            if !is_new || matches!(status, Status::Stale { .. }) {
                return None;
            }
        }
        let status = if waited { Status::Coalesced } else { status };
        Some(Fetched { value: found.value, status })
    }

    async fn load<E, F, Fut>(&self, held: Option<&Held<'_, '_, T, C>>, work: F) -> Result<T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut counted = Counted { core: self.core, began: self.core.now(), is_ok: false };
        let kept = match (held, self.keep) {
            (Some(held), Some(keep)) => Some(keep(self.key, held.lock)),
            _ => None,
        };
        let result = match held {
            Some(held) if kept.is_none() => renewing(work(), held).await,
            _ => work().await,
        };
        drop(kept);
        counted.is_ok = result.is_ok();
        result
    }

    async fn finish(&self, held: Held<'_, '_, T, C>, value: &T, left: Duration) {
        let (within, life) = (self.within(left), self.core.life(value));
        let called = self.calls.finish_refresh(self.key, (value, life), &held.lock, &within).await;
        match self.core.heed((self.key, Operation::FinishRefresh), called) {
            Some(Written::Yes) => held.forget(),
            Some(Written::Lost) => {
                held.forget();
                count(&self.core.counters.lost_writes);
                self.core.warn(&Warning::LockLost { key: self.key });
            }
            None => held.give_back(within.rest(&self.core.root).budget()).await,
        }
    }
}

fn loaded<T>(value: T) -> Fetched<T> {
    Fetched { value, status: Status::Loaded }
}

/// How a lead begins.
enum Start<'h, 'r, T, C>
where
    T: Clone + Send + Sync,
    C: Calls<T>,
{
    /// The store has it by now.
    Found(Fetched<T>),
    /// The lock is ours, and so much of the budget is left.
    Granted(Held<'h, 'r, T, C>, Duration),
    /// To be loaded without the lock, and not written: that is for whoever has it.
    Alone,
    /// Not to be loaded: another process is at it, or it could not be written.
    Others,
}

/// Counts a load, which has failed unless something else is said before this is dropped.
struct Counted<'r, T> {
    core: &'r Core<T>,
    began: Tick,
    is_ok: bool,
}

impl<T> Drop for Counted<'_, T> {
    fn drop(&mut self) {
        self.core.count_load(self.core.now().since(self.began), self.is_ok);
    }
}

/// A lock that is, or may be, ours, and is given back when this is dropped.
struct Held<'h, 'r, T, C>
where
    T: Clone + Send + Sync,
    C: Calls<T>,
{
    lead: &'h Lead<'r, T, C>,
    lock: RefreshLock,
    armed: bool,
}

impl<T: Clone + Send + Sync, C: Calls<T>> Held<'_, '_, T, C> {
    /// It is not ours any more.
    fn forget(mut self) {
        self.armed = false;
    }

    /// Gives it back if there is time left for that; if not, `drop` does, in a time of its own.
    async fn give_back(mut self, left: Duration) {
        let lead = self.lead;
        if left.is_zero() {
            return;
        }
        let within = lead.within(left);
        let called = lead.calls.abandon_refresh(lead.key, &self.lock, &within).await;
        self.armed = false;
        let _ = lead.core.heed((lead.key, Operation::AbandonRefresh), called);
    }

    /// Renews it, time and again; never ready.
    async fn renew(&self) {
        let lead = self.lead;
        let began = lead.core.now();
        let until = lead.core.settings.keep_for.map(|span| began.deadline(span));
        loop {
            lead.core.root.with_timeout(lead.core.settings.lock_ttl / 3).cancelled().await;
            let is_over = until.is_some_and(|until| lead.core.now().is_past(until));
            let within = lead.fresh_within();
            let what = (lead.key, Operation::Renew);
            if is_over
                || lead.core.heed(what, lead.calls.renew(lead.key, &self.lock, &within).await)
                    == Some(false)
            {
                return std::future::pending().await;
            }
        }
    }
}

impl<T, C> Drop for Held<'_, '_, T, C>
where
    T: Clone + Send + Sync,
    C: Calls<T>,
{
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (lead, within) = (self.lead, self.lead.fresh_within());
        // A thread's call is over by then, a task's has been sent, where the store does as it is
        // asked to.
        let mut call = pin!(lead.calls.abandon_refresh(lead.key, &self.lock, &within));
        let polled = call.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
        if let Poll::Ready(called) = polled {
            let _ = lead.core.heed((lead.key, Operation::AbandonRefresh), called);
        }
    }
}

/// Loads in a task, and renews the lock meanwhile. A load that is ready at once sets no alarm.
async fn renewing<T, C, E>(
    load: impl Future<Output = Result<T, E>>,
    held: &Held<'_, '_, T, C>,
) -> Result<T, E>
where
    T: Clone + Send + Sync,
    C: Calls<T>,
{
    let mut load = pin!(load);
    let mut renew = pin!(held.renew());
    std::future::poll_fn(move |cx| {
        let polled: Poll<Result<T, E>> = Pin::as_mut(&mut load).poll(cx);
        if polled.is_pending() {
            let _ = renew.as_mut().poll(cx);
        }
        polled
    })
    .await
}

/// What a thread's lead needs for the renewal of its locks, besides the store.
pub(super) fn keep<T>(
    core: &Core<T>,
    lock: RefreshLock,
    renew: impl Fn() -> bool + Send + Sync + 'static,
) -> Kept {
    let until = core.settings.keep_for.map_or(Tick::MAX, |span| core.now().after(span));
    let clock: Arc<dyn Clock> = core.settings.clock.clone();
    let every = core.settings.lock_ttl / 3;
    Kept::new(lock.token().as_str(), (clock, every, until), Box::new(renew))
}
