//! Refreshes that a fetch hands to its caller, who has them run by a worker of the cache, or drives
//! them itself: for the C ABI, whose work for a refresh is not that of the fetch.

use std::fmt;
use std::sync::Arc;

use super::{Lazy, LazyEchoCache, LazyEchoOptions, Next, Refresh};
use crate::echo::background::queue::Ticket;
use crate::echo::error::StoreError;
use crate::echo::load::flight::{Ask, FetchResult};
use crate::echo::store::{AsyncStore, Calls, Store, Tasks, blocking};

/// A refresh that is due.
pub(crate) struct Due<S, T, E> {
    lazy: Arc<Lazy<S, T, E>>,
    key: Arc<str>,
    refresh: Refresh,
}

/// A refresh that its user drives. Its key counts as being refreshed until this is dropped.
pub(crate) struct Handed<S, T, E> {
    due: Due<S, T, E>,
    ticket: Ticket,
}

impl<S, T, E> Due<S, T, E> {
    /// The key.
    pub(crate) fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// For its user to drive, unless the key has a refresh or there is no room: that is counted.
    pub(crate) fn hand_over(self) -> Option<Handed<S, T, E>> {
        match self.lazy.queue.mark(self.refresh.hash, &self.key) {
            Ok(ticket) => Some(Handed { due: self, ticket }),
            Err(refused) => {
                self.lazy.heed_offer(refused);
                None
            }
        }
    }
}

impl<S, T, E> Due<S, T, E>
where
    S: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    /// Has a worker of the cache run it, inside of `around`. It keeps the cache only while it runs:
    /// one that is gone by then has no refreshes.
    pub(crate) fn run_by_worker(
        self,
        around: impl FnOnce(&mut dyn FnMut()) + Send + 'static,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) where
        S: Store<T>,
    {
        let Due { lazy, key, refresh } = self;
        let (cache, name, hash) = (Arc::downgrade(&lazy), key.clone(), refresh.hash);
        let mut work = Some(work);
        let refresh = Box::new(move || {
            around(&mut || {
                if let (Some(lazy), Some(work)) = (cache.upgrade(), work.take()) {
                    lazy.refresh((&name, refresh.seen), work);
                }
            });
        });
        lazy.heed_offer(lazy.queue.offer(hash, &key, refresh));
    }
}

impl<S, T, E> Handed<S, T, E>
where
    S: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    /// The key.
    pub(crate) fn key(&self) -> &Arc<str> {
        self.due.key()
    }

    /// Refreshes.
    pub(crate) async fn run<F, Fut>(self, work: F)
    where
        S: AsyncStore<T>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let Handed { due, ticket } = self;
        due.lazy.refresh_async((&due.key, due.refresh.seen), work).await;
        drop(ticket);
    }
}

impl<S, T, E> LazyEchoOptions<'_, S, T, E>
where
    S: Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
    E: fmt::Display + Send + Sync + 'static,
{
    /// [`fetch`](LazyEchoOptions::fetch) that gives a refresh to `hand`.
    pub(crate) fn fetch_handing(
        self,
        key: &str,
        work: impl FnOnce() -> Result<T, E>,
        hand: impl FnOnce(Due<S, T, E>),
    ) -> FetchResult<T, E>
    where
        S: Store<T>,
    {
        let (lazy, context) = (self.cache.lazy(), self.context);
        let inner = &lazy.inner;
        let within = inner.within(context);
        let called = blocking(|| inner.store.get(key, &within));
        match lazy.next(key, inner.look((key, context, &within), called)) {
            Next::Done(fetched) => Ok(fetched),
            Next::Refresh(fetched, refresh) => {
                hand(Due { lazy: lazy.clone(), key: key.into(), refresh });
                Ok(fetched)
            }
            Next::Load(budget, stale) => lazy.load(Ask::fetch(key, context, budget), stale, work),
        }
    }

    /// [`fetch_async`](LazyEchoOptions::fetch_async) that gives a refresh to `hand`.
    pub(crate) async fn fetch_async_handing<F, Fut>(
        self,
        key: &str,
        work: F,
        hand: impl FnOnce(Due<S, T, E>),
    ) -> FetchResult<T, E>
    where
        S: AsyncStore<T>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (lazy, context) = (self.cache.lazy(), self.context);
        let inner = &lazy.inner;
        let within = inner.within(context);
        let called = Tasks(&inner.store).get(key, &within).await;
        match lazy.next(key, inner.look((key, context, &within), called)) {
            Next::Done(fetched) => Ok(fetched),
            Next::Refresh(fetched, refresh) => {
                hand(Due { lazy: lazy.clone(), key: key.into(), refresh });
                Ok(fetched)
            }
            Next::Load(budget, stale) => {
                lazy.load_async(Ask::fetch(key, context, budget), stale, work).await
            }
        }
    }
}

impl<S, T, E> LazyEchoCache<S, T, E>
where
    S: Store<T>,
{
    /// As [`EchoCache::put`](crate::echo::EchoCache::put).
    ///
    /// # Errors
    /// That of the store; then the value may be there or not.
    pub(crate) fn put(&self, key: &str, value: &T) -> Result<(), StoreError> {
        let inner = &self.lazy().inner;
        let life = inner.core.life(value);
        let put = blocking(|| inner.store.put(key, value, life, &inner.within(None)));
        inner.forget(inner.store.canonical(key));
        put
    }
}

impl<S, T, E> LazyEchoCache<S, T, E> {
    /// Gives up what is owed to the store, after one more try that is not waited for.
    pub(crate) fn end_upkeep(&self) {
        let inner = &self.lazy().inner;
        let clock = &*inner.core.settings.clock;
        inner.upkeep.shutdown(clock, clock.now());
    }
}
