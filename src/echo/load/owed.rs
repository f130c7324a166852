//! Giving back what a cache owes its store. The list of that, and its invariants, are in
//! [`upkeep`](crate::echo::background::upkeep).

use std::hash::BuildHasher;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use foldhash::fast::FixedState;

use super::inner::Inner;
use crate::clock::Tick;
use crate::contain::drop_contained;
use crate::context::{Context, Hook};
use crate::echo::background::queue::{Offer, Ticket};
use crate::echo::background::upkeep::Owed;
use crate::echo::error::Operation;
use crate::echo::lock::Token;
use crate::echo::store::{Written, drive};
use crate::echo::timing::backoff::Backoff;
use crate::executor::{Job, Jobs, Next, Turn};

/// Naps between two tries.
const NAPS: Backoff = Backoff { first: Duration::from_millis(5), most: Duration::from_millis(250) };

impl<S, T, E> Inner<S, T, E>
where
    S: Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Has a lock given back in the background.
    #[cold]
    pub(super) fn owe(self: &Arc<Self>, owed: Owed<S, T>) {
        let settings = &self.core.settings;
        // It may have been granted at the end of the call that took it.
        let until = self.core.now().deadline(settings.lock_ttl.saturating_add(settings.budget));
        let (name, key) = (owed.lock.token(), owed.key.clone());
        let starts = match self.upkeep.push(Owed { until, ..owed }) {
            Ok(starts) => starts,
            Err(owed) => {
                drop_contained(owed);
                return self.unattended(&key, Operation::AbandonRefresh);
            }
        };
        if !starts {
            return;
        }
        match &self.upkeep.executor {
            Some(executor) => self.have_served_by_job(&**executor, name, key),
            None => self.have_served_by_thread(&name, &key),
        }
    }

    fn have_served_by_thread(self: &Arc<Self>, name: &Token, key: &str) {
        let inner = self.clone();
        let serve = move || {
            let mut failures = 0;
            while let Some(nap) = inner.serve_one(&mut failures) {
                if let Some(nap) = nap {
                    drive(nap.cancelled());
                }
            }
        };
        let offer = self.upkeep.queue.offer(hash(name), name.as_str(), Box::new(serve));
        if offer != Offer::Accepted {
            self.not_served(key);
        }
    }

    fn have_served_by_job(self: &Arc<Self>, executor: &dyn Jobs, name: Token, key: Box<str>) {
        // It counts as a call of the queue's, so that a shutdown waits for it.
        let Ok(ticket) = self.upkeep.queue.mark(hash(&name), name.as_str()) else {
            return self.not_served(&key);
        };
        let (inner, waker) = (self.clone(), Waker::noop().clone());
        let ticket = Some(ticket);
        let serving = Serving { inner, name, key, ticket, failures: 0, nap: None, waker };
        // If it is refused a thread takes its place.
        let _ = executor.adopt(Box::new(serving));
    }

    #[cold]
    fn not_served(&self, key: &str) {
        self.upkeep.not_served();
        self.unattended(key, Operation::AbandonRefresh);
    }

    /// Gives one back, and says how long to nap if that has failed. `None` if nothing is owed.
    fn serve_one(&self, failures: &mut u32) -> Option<Option<Context>> {
        let owed = self.upkeep.pop()?;
        if self.core.now().is_past(owed.until) {
            drop_contained(owed);
            return Some(None);
        }
        let Some(owed) = self.pay(owed) else {
            *failures = 0;
            return Some(None);
        };
        let nap = self.core.root.with_timeout(NAPS.ceiling(*failures));
        *failures = failures.saturating_add(1);
        match self.upkeep.again(owed, nap) {
            Ok(nap) => Some(Some(nap)),
            Err(owed) => {
                drop_contained(owed);
                Some(None)
            }
        }
    }

    /// Makes one try; what has failed comes back.
    fn pay(&self, owed: Owed<S, T>) -> Option<Owed<S, T>> {
        let Owed { key, lock, value, face, .. } = &owed;
        let within = self.within(None);
        let Some((value, life)) = value else {
            let released = (face.release)(&self.store, key, lock, &within);
            return released.is_err().then_some(owed);
        };
        match (face.write)(&self.store, key, (value, *life), lock, &within) {
            Ok(Written::Yes) => {}
            Ok(Written::Lost) => self.core.lost_write(key),
            Err(_) => {
                // It may have been written; what is left is the lock.
                let (released, value) = (Owed { value: None, ..owed }, owed.value);
                drop_contained(value);
                return Some(released);
            }
        }
        drop_contained(owed);
        None
    }
}

fn hash(name: &Token) -> u64 {
    FixedState::default().hash_one(name.as_str())
}

/// Who serves the list as a job of an executor's: between two tries it has no thread.
struct Serving<S, T, E>
where
    S: Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    inner: Arc<Inner<S, T, E>>,
    /// What it is called, and the key for which it was called.
    name: Token,
    key: Box<str>,
    /// Until the list is empty.
    ticket: Option<Ticket>,
    failures: u32,
    nap: Option<(Context, Hook)>,
    waker: Waker,
}

impl<S, T, E> Job for Serving<S, T, E>
where
    S: Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn enlist(&mut self, waker: &Waker) -> Next {
        self.waker = waker.clone();
        Next::AtOnce
    }

    fn run(&mut self, _: Tick, _: bool) -> Turn {
        let next = match self.inner.serve_one(&mut self.failures) {
            Some(Some(nap)) => {
                let waker = self.waker.clone();
                let hook = nap.on_cancel(move || waker.wake());
                self.nap = Some((nap, hook));
                Next::Called
            }
            Some(None) => Next::AtOnce,
            None => {
                drop(self.ticket.take());
                Next::Over
            }
        };
        Turn { next, ended: None }
    }
}

impl<S, T, E> Drop for Serving<S, T, E>
where
    S: Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            // The executor has ended.
            drop(ticket);
            self.inner.have_served_by_thread(&self.name, &self.key);
        }
    }
}
