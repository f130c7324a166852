//! A store for tasks, as the suite calls it: its futures are driven on the calling thread.

use crate::echo::error::StoreError;
use crate::echo::lock::RefreshLock;
use crate::echo::store::layer::drive;
use crate::echo::store::{AsyncStore, Begun, Found, Life, Store, Within, Written};

pub(super) struct Driven<S>(pub(super) S);

impl<T, S: AsyncStore<T>> Store<T> for Driven<S> {
    fn get(&self, key: &str, within: &Within<'_>) -> Result<Option<Found<T>>, StoreError> {
        drive(self.0.get_async(key, within))
    }

    fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<T>, StoreError> {
        drive(self.0.begin_refresh_async(key, lock, within))
    }

    fn renew(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<bool, StoreError> {
        drive(self.0.renew_async(key, lock, within))
    }

    fn finish_refresh(
        &self,
        key: &str,
        value: &T,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        drive(self.0.finish_refresh_async(key, value, life, lock, within))
    }

    fn abandon_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        drive(self.0.abandon_refresh_async(key, lock, within))
    }

    fn put(&self, key: &str, value: &T, life: Life, within: &Within<'_>) -> Result<(), StoreError> {
        drive(self.0.put_async(key, value, life, within))
    }

    fn remove(&self, key: &str, within: &Within<'_>) -> Result<(), StoreError> {
        drive(self.0.remove_async(key, within))
    }
}
