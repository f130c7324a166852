//! A store of one entry.

use std::future::ready;

use super::{AsyncStore, Begun, Found, Life, MemoryStore, Store, Within, Written};
use crate::clock::Clock;
use crate::echo::error::StoreError;
use crate::echo::lock::RefreshLock;

/// A store in memory that ignores the key: it has one entry, and one lock.
///
/// For what there is one of, such as a configuration. Else as [`MemoryStore`].
///
/// ```
/// use docache::echo::{EchoCache, SingleStore, Status};
/// let config = EchoCache::<_, String, std::io::Error>::new(SingleStore::new());
/// config.fetch("config", || Ok("verbose".to_owned())).unwrap();
/// let again = config.fetch("of any name", || unreachable!("it is there")).unwrap();
/// assert_eq!((again.as_str(), again.status), ("verbose", Status::Fresh));
/// ```
#[derive(Debug)]
pub struct SingleStore<T>(MemoryStore<T>);

const KEY: &str = "";

impl<T> Clone for SingleStore<T> {
    fn clone(&self) -> Self {
        SingleStore(self.0.clone())
    }
}

impl<T: Clone + Send + Sync + 'static> SingleStore<T> {
    /// An empty store.
    #[must_use]
    pub fn new() -> SingleStore<T> {
        SingleStore(MemoryStore::new(1))
    }

    /// An empty store that measures time on this clock.
    #[must_use]
    pub fn with_clock(clock: impl Clock) -> SingleStore<T> {
        match MemoryStore::<T>::builder().capacity(1).clock(clock).build() {
            Ok(store) => SingleStore(store),
            Err(error) => panic!("{error}"),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Default for SingleStore<T> {
    fn default() -> Self {
        SingleStore::new()
    }
}

impl<T: Clone + Send + Sync + 'static> Store<T> for SingleStore<T> {
    fn canonical<'k>(&self, _: &'k str) -> &'k str {
        KEY
    }

    #[inline(always)]
    fn get_now(&self, _: &str, aged: bool) -> Option<Found<T>> {
        self.0.get_now(KEY, aged)
    }

    fn get(&self, _: &str, within: &Within<'_>) -> Result<Option<Found<T>>, StoreError> {
        self.0.get(KEY, within)
    }

    fn begin_refresh(
        &self,
        _: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<T>, StoreError> {
        self.0.begin_refresh(KEY, lock, within)
    }

    fn renew(&self, _: &str, lock: &RefreshLock, within: &Within<'_>) -> Result<bool, StoreError> {
        self.0.renew(KEY, lock, within)
    }

    fn finish_refresh(
        &self,
        _: &str,
        value: &T,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        self.0.finish_refresh(KEY, value, life, lock, within)
    }

    fn abandon_refresh(
        &self,
        _: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        self.0.abandon_refresh(KEY, lock, within)
    }

    fn put(&self, _: &str, value: &T, life: Life, within: &Within<'_>) -> Result<(), StoreError> {
        self.0.put(KEY, value, life, within)
    }

    fn remove(&self, _: &str, within: &Within<'_>) -> Result<(), StoreError> {
        self.0.remove(KEY, within)
    }
}

super::ready_at_once!(SingleStore<T>);
