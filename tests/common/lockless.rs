//! The control of what counts loads of several processes: without the lock.

use docache::echo::{Begun, Found, Life, RefreshLock, Store, StoreError, Within, Written};

/// A store that grants every process the lock.
#[derive(Debug)]
pub(crate) struct Lockless<S>(pub(crate) S);

impl<T, S: Store<T>> Store<T> for Lockless<S> {
    fn get(&self, key: &str, within: &Within<'_>) -> Result<Option<Found<T>>, StoreError> {
        self.0.get(key, within)
    }

    fn begin_refresh(
        &self,
        key: &str,
        _: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<T>, StoreError> {
        Ok(Begun::new(true, self.0.get(key, within)?))
    }

    fn renew(&self, _: &str, _: &RefreshLock, _: &Within<'_>) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn finish_refresh(
        &self,
        key: &str,
        value: &T,
        life: Life,
        _: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        self.0.put(key, value, life, within).map(|()| Written::Yes)
    }

    fn abandon_refresh(&self, _: &str, _: &RefreshLock, _: &Within<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    fn put(&self, key: &str, value: &T, life: Life, within: &Within<'_>) -> Result<(), StoreError> {
        self.0.put(key, value, life, within)
    }

    fn remove(&self, key: &str, within: &Within<'_>) -> Result<(), StoreError> {
        self.0.remove(key, within)
    }
}
