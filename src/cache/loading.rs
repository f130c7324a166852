//! One load: from the moment its caller leads to the moment its value is in the cache.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::inner::Inner;
use super::loads::LoadId;
use super::reclaim::pin;
use crate::flight::{FlightError, Shared};

/// What a caller finds that has just won the lead.
pub(crate) enum Begun<'c, K, V, E, S> {
    /// The value came in between.
    Found(V),
    /// An error that is cached.
    Failed(Arc<E>),
    /// The load is this caller's.
    Load(Loading<'c, K, V, E, S>),
}

/// A load under way. Dropping it gives it up: it has failed then.
pub(crate) struct Loading<'c, K, V, E, S> {
    pub(super) cache: &'c Inner<K, V, E, S>,
    pub(super) load: LoadId,
    pub(super) over: bool,
}

impl<K: Hash + Eq, V: Clone, E, S: BuildHasher> Inner<K, V, E, S> {
    /// Ends the flight of a key whose load was beaten: this caller comes after that, and runs its own.
    #[inline]
    pub(super) fn forget_overtaken(&self, key: &K)
    where
        K: Debug,
    {
        self.core.forget_overtaken(key, || {
            self.flights.forget(key);
        });
    }

    /// Begins the load of a key whose flight the caller leads, unless the value has come in since the caller looked.
    pub(super) fn begin<Q>(&self, key: &Q) -> Begun<'_, K, V, E, S>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.failure(key) {
            Some(error) => Begun::Failed(error),
            None => self.begin_anyway(key),
        }
    }

    /// The same, whether it has failed or not.
    pub(super) fn begin_anyway<Q>(&self, key: &Q) -> Begun<'_, K, V, E, S>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.core.hash(key);
        let began = self.core.settings.time.now();
        let mut locked = self.core.lock(self.core.shard(hash));
        let found = locked.find(hash, key).filter(|(_, entry)| self.core.is_live(entry));
        let Some((_, entry)) = found else {
            let load = LoadId { id: locked.inner.loads.begin(hash), hash, began };
            return Begun::Load(Loading { cache: self, load, over: false });
        };
        let guard = pin();
        drop(locked);
        // SAFETY: found under the lock; the guard was there before that was given back.
        let value = unsafe { &entry.pair().1 }.clone();
        drop(guard);
        Begun::Found(value)
    }

    /// What a call returns, from what its flight brought.
    #[inline]
    pub(super) fn landed(&self, flown: Result<Shared<V>, FlightError<Arc<E>>>) -> Result<V, FlightError<E>> {
        match flown {
            Ok(shared) => {
                if !shared.led() {
                    self.coalesced.fetch_add(1, Ordering::Relaxed);
                }
                Ok(shared.into_inner())
            }
            Err(error) => Err(error.flatten()),
        }
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Loading<'_, K, V, E, S> {
    /// Ends the load with what its work returned, which is what its flight brings.
    #[inline]
    pub(super) fn end(self, key: K, worked: Result<V, E>, ttl: Option<Duration>) -> Result<V, Arc<E>>
    where
        V: Clone,
    {
        match worked {
            Ok(value) => {
                self.succeed(key, value.clone(), ttl);
                Ok(value)
            }
            Err(error) => {
                let error = Arc::new(error);
                self.fail(key, &error);
                Err(error)
            }
        }
    }

    /// Keeps the value, unless somebody wrote to the key meanwhile. The load is over then, and the flight may end.
    #[inline]
    pub(crate) fn succeed(mut self, key: K, value: V, ttl: Option<Duration>) {
        // A load whose value is too heavy is refused, and counted as that.
        let _ = self.cache.core.put(key, value, ttl, Some(self.load));
        self.over = true;
    }

    /// Ends the load, and keeps the error if errors are cached and nobody wrote to the key meanwhile.
    pub(crate) fn fail(mut self, key: K, error: &Arc<E>) {
        let Some(failures) = &self.cache.failures else { return };
        if self.cache.core.is_beaten(self.load) {
            // Whoever has come since may have an error of their own there.
            return;
        }
        let named = (failures.clone_key)(&key);
        failures.remember(key, error);
        self.over = true;
        if !self.cache.core.give_up(self.load) {
            failures.forget(&named);
        }
    }
}

impl<K, V, E, S> Drop for Loading<'_, K, V, E, S> {
    fn drop(&mut self) {
        if !self.over {
            self.cache.core.give_up(self.load);
        }
    }
}
