//! Giving back what a cache owes its store. The list of that, and its invariants, are in
//! [`upkeep`](crate::echo::background::upkeep).

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;

use super::inner::Inner;
use crate::contain::drop_contained;
use crate::echo::background::queue::Offer;
use crate::echo::background::upkeep::Owed;
use crate::echo::error::Operation;
use crate::echo::store::{Written, drive};
use crate::echo::timing::backoff::Backoff;

/// Naps between two tries.
const NAPS: Backoff = Backoff { first: Duration::from_millis(5), most: Duration::from_millis(250) };

impl<S, T, E> Inner<S, T, E>
where
    S: Send + Sync + 'static,
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Has a lock given back by a thread of the cache.
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
        let inner = self.clone();
        let hash = FixedState::default().hash_one(name.as_str());
        let offer = self.upkeep.queue.offer(hash, name.as_str(), Box::new(move || inner.serve()));
        if offer != Offer::Accepted {
            self.upkeep.not_served();
            self.unattended(&key, Operation::AbandonRefresh);
        }
    }

    /// Gives back what is owed, until nothing is.
    fn serve(&self) {
        let mut failures = 0;
        while let Some(owed) = self.upkeep.pop() {
            if self.core.now().is_past(owed.until) {
                drop_contained(owed);
                continue;
            }
            let Some(owed) = self.pay(owed) else {
                failures = 0;
                continue;
            };
            let nap = self.core.root.with_timeout(NAPS.ceiling(failures));
            match self.upkeep.again(owed, nap) {
                Ok(nap) => drive(nap.cancelled()),
                Err(owed) => drop_contained(owed),
            }
            failures = failures.saturating_add(1);
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
