//! How a value is loaded that the store does not have: under the key's refresh lock, and into the
//! store.
//!
//! This is the work of a flight, so it runs once at a time for each key in this process. The lock
//! is for the other processes. It is given back on every path: [`Held`] does that when it is
//! dropped, whatever has happened; what cannot be done in the time that there is is left to the
//! [cache's own threads](crate::echo::background::upkeep).

use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use crate::clock::Tick;
use crate::context::Context;
use crate::echo::background::keep::Kept;
use crate::echo::core::{Core, Ended, Judged, count};
use crate::echo::error::{Operation, StoreError, StoreErrorKind, Warning};
use crate::echo::fetched::{Fetched, Status};
use crate::echo::lock::{RefreshLock, random};
use crate::echo::store::{Begun, Calls, Found, Life, Within, Written};
use crate::echo::timing::backoff::Backoff;

/// How long a fetch naps between two looks at a lock that is another process's.
const LOOKS: Backoff = Backoff { first: Duration::from_millis(2), most: Duration::from_millis(50) };

/// For how long beyond a lock's time to live a fetch waits for it, if nothing else is said: clocks
/// do not quite agree.
const GRACE: Duration = Duration::from_millis(50);

/// For how long a refresh that is left to another process is not asked for again. No longer than a
/// quarter of the lock's time to live, so that a dead holder is taken over in time.
const OTHERS: Duration = Duration::from_millis(200);

/// How a load came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::echo) enum Purpose {
    /// Somebody waits for the value.
    Fetch,
    /// Nobody does: what another process is at is left to it. Asked for by somebody who has seen
    /// a value of this age.
    Refresh(Duration),
}

/// What a flight comes to. `None`: another process loads the value, and nobody here waits for it.
pub(in crate::echo) type Flown<T> = Option<Fetched<T>>;

/// Sees to the renewal of a lock while a thread loads.
pub(in crate::echo) type Keep<'r> = &'r (dyn Fn(&str, RefreshLock) -> Kept + Send + Sync);

/// Has a lock given back, and the value written that was loaded under it, in the background.
pub(in crate::echo) type Owe<'r, T> =
    &'r (dyn Fn(&str, RefreshLock, Option<(T, Life)>) + Send + Sync);

pub(in crate::echo) struct Lead<'r, T, C> {
    pub(in crate::echo) core: &'r Core<T>,
    pub(in crate::echo) calls: C,
    pub(in crate::echo) key: &'r str,
    /// For a thread's loads; tasks renew by themselves.
    pub(in crate::echo) keep: Option<Keep<'r>>,
    pub(in crate::echo) owe: Owe<'r, T>,
    /// Bounds a thread's calls to the store. A task that leaves drops them.
    pub(in crate::echo) context: Option<&'r Context>,
    pub(in crate::echo) purpose: Purpose,
    /// What is left of the time for the store; `None` if that has just failed.
    pub(in crate::echo) budget: Option<Duration>,
}

impl<T: Clone + Send + Sync, C: Calls<T>> Lead<'_, T, C> {
    fn within(&self, budget: Duration) -> Within<'_> {
        Within::new(self.context.unwrap_or(&self.core.root), budget)
    }

    /// What is left of the time for the store after a call.
    fn rest(&self, within: &Within<'_>) -> Duration {
        within.rest(&self.core.root).budget()
    }

    /// Whether the caller has gone, or would have but for the call that it waited for.
    fn is_left(&self) -> bool {
        self.context.is_some_and(Context::is_done)
    }

    /// What a call to the store came to, if it did not fail. One that its caller has cut short is
    /// no failure of the store.
    fn heed<R>(&self, operation: Operation, called: Result<R, StoreError>) -> Option<R> {
        if called.is_err() && self.is_left() {
            return None;
        }
        self.core.heed((self.key, operation), called)
    }

    fn fresh_within(&self) -> Within<'_> {
        self.within(self.core.settings.budget)
    }

    pub(in crate::echo) async fn run<E, F, Fut>(self, work: F) -> Result<Flown<T>, E>
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
            Start::Granted(held) => match self.load(Some(&held), work).await {
                Ok(value) => {
                    self.finish(held, &value).await;
                    Ok(Some(loaded(value)))
                }
                Err(error) => {
                    held.give_back().await;
                    Err(error)
                }
            },
        }
    }

    /// Takes the lock, or waits for whoever has it.
    async fn begin(&self, budget: Duration) -> Start<'_, '_, T, C> {
        let lock = RefreshLock::new(self.core.settings.lock_ttl);
        let (mut within, mut looks, mut wait) = (self.within(budget), 0, Waiting::default());
        loop {
            // Before the call: if it comes too late, the lock may have been taken all the same.
            let mut held = Held { lead: self, lock, left: Duration::ZERO, armed: true };
            let called = self.calls.begin_refresh(self.key, &lock, &within).await;
            held.left = self.rest(&within);
            let is_open = called.as_ref().is_err_and(|error| error.kind() == StoreErrorKind::Open);
            let Some(Begun { granted, found, holder }) = self.heed(Operation::BeginRefresh, called)
            else {
                if is_open {
                    held.forget()
                } else {
                    held.give_back().await
                }
                if self.is_left() {
                    // The caller goes; another one that waits takes the lead.
                    return std::future::pending().await;
                }
                // Nobody would have what a refresh brings, and cannot write.
                return if self.purpose == Purpose::Fetch { Start::Alone } else { Start::Others };
            };
            if let Some(fetched) = found.and_then(|found| self.accept(found, looks > 0)) {
                if granted {
                    held.give_back().await
                } else {
                    held.forget()
                }
                return Start::Found(fetched);
            }
            if granted {
                return Start::Granted(held);
            }
            held.forget();
            if self.purpose != Purpose::Fetch {
                let pause = OTHERS.min(self.core.settings.lock_ttl / 4);
                self.core.pauses(|pauses| pauses.left_to_others(self.key, pause));
                return Start::Others;
            }
            if looks == 0 {
                count(&self.core.counters.lock_waits);
            }
            let now = self.core.now();
            let end = wait.end(holder, now, self.lock_wait());
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
        let status = if waited && status == Status::Fresh { Status::Coalesced } else { status };
        Some(Fetched { value: found.value, status })
    }

    async fn load<E, F, Fut>(&self, held: Option<&Held<'_, '_, T, C>>, work: F) -> Result<T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let counted =
            Counted { core: self.core, key: self.key, began: self.core.now(), ended: Ended::Left };
        let kept = match (held, self.keep) {
            (Some(held), Some(keep)) => Some(keep(self.key, held.lock)),
            _ => None,
        };
        let work = counted.run(work);
        let result = match held {
            Some(held) if kept.is_none() => renewing(work, held).await,
            _ => work.await,
        };
        drop(kept);
        result
    }

    async fn finish(&self, mut held: Held<'_, '_, T, C>, value: &T) {
        let (within, life) = (self.within(held.left), self.core.life(value));
        let called = self.calls.finish_refresh(self.key, value, life, &held.lock, &within).await;
        held.left = self.rest(&within);
        let is_cut_short = called.is_err() && self.is_left();
        match self.heed(Operation::FinishRefresh, called) {
            Some(Written::Yes) => held.forget(),
            Some(Written::Lost) => {
                held.forget();
                self.core.lost_write(self.key);
            }
            // The store may be well; it is the caller who has no time for it.
            None if is_cut_short => {
                (self.owe)(self.key, held.lock, Some((value.clone(), life)));
                held.forget();
            }
            None => held.give_back().await,
        }
    }
}

/// How long to wait for locks that are others'.
#[derive(Default)]
struct Waiting {
    /// Who has it, and how long it is waited for.
    holder: Option<(Option<u64>, Tick)>,
    /// How long all of them are.
    end: Option<Tick>,
}

impl Waiting {
    /// Until when to wait for this holder, who was seen now.
    fn end(&mut self, holder: Option<u64>, now: Tick, wait: Duration) -> Tick {
        let last = *self.end.get_or_insert(now.deadline(wait.saturating_mul(2)));
        let (_, end) = match self.holder.take_if(|(before, _)| *before == holder) {
            Some(goes_on) => *self.holder.insert(goes_on),
            // It is another holder.
            None => *self.holder.insert((holder, now.deadline(wait))),
        };
        end.min(last)
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
    /// The lock is ours.
    Granted(Held<'h, 'r, T, C>),
    /// To be loaded without the lock, and not written: that is for whoever has it.
    Alone,
    /// Not to be loaded: another process is at it, or it could not be written.
    Others,
}

/// Counts a load when this is dropped: its caller has left it, unless something else was said.
struct Counted<'r, T> {
    core: &'r Core<T>,
    key: &'r str,
    began: Tick,
    ended: Ended,
}

impl<T> Counted<'_, T> {
    /// While the user's code runs a panic would end the load.
    fn guard<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.ended = Ended::Failed;
        let result = f();
        self.ended = Ended::Left;
        result
    }

    async fn run<E, F, Fut>(mut self, work: F) -> Result<T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut load = pin!(self.guard(work));
        let result =
            std::future::poll_fn(|cx| self.guard(|| Pin::as_mut(&mut load).poll(cx))).await;
        self.ended = if result.is_ok() { Ended::Loaded } else { Ended::Failed };
        result
    }
}

impl<T> Drop for Counted<'_, T> {
    fn drop(&mut self) {
        let took = self.core.now().since(self.began);
        self.core.count_load(self.key, took, self.ended);
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
    /// What is left of the time for the store.
    left: Duration,
    armed: bool,
}

impl<T: Clone + Send + Sync, C: Calls<T>> Held<'_, '_, T, C> {
    /// It is not ours any more.
    fn forget(mut self) {
        self.armed = false;
    }

    /// Gives it back now if there is time for that.
    async fn give_back(mut self) {
        let lead = self.lead;
        if self.left.is_zero() {
            return;
        }
        let within = lead.within(self.left);
        let called = lead.calls.abandon_refresh(lead.key, &self.lock, &within).await;
        self.left = Duration::ZERO;
        self.armed = lead.heed(Operation::AbandonRefresh, called).is_none();
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
        let (lead, left) = (self.lead, self.left);
        if !left.is_zero() {
            let within = lead.within(left);
            // A thread's call is over by then, a task's has been sent, where the store does as it
            // is asked to.
            let mut call = pin!(lead.calls.abandon_refresh(lead.key, &self.lock, &within));
            let polled = call.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
            let Poll::Ready(called) = polled else {
                return (lead.owe)(lead.key, self.lock, None);
            };
            if lead.heed(Operation::AbandonRefresh, called).is_some() {
                return;
            }
        }
        (lead.owe)(lead.key, self.lock, None);
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
