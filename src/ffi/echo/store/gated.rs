//! A store as a cache of the C ABI has it: if its calls are callbacks, they begin only while the
//! cache is there.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::any::AnyStore;
use crate::echo::{
    AsyncStore, Begun, Found, Life, RefreshLock, Store, StoreError, StoreErrorKind, Within, Written,
};
use crate::ffi::gate::Gate;
use crate::ffi::value::Value;

/// A share of a store, and the gate of the cache that has it, if the store calls back.
pub(in crate::ffi::echo) struct Gated {
    store: AnyStore,
    gate: Option<Arc<Gate>>,
}

impl Gated {
    pub(in crate::ffi::echo) fn new(store: AnyStore, gate: &Arc<Gate>) -> Gated {
        let gate = store.calls_back().then(|| gate.clone());
        Gated { store, gate }
    }
}

#[cold]
fn freed() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the cache was freed")
}

/// A call of a thread.
macro_rules! call {
    ($this:ident.$call:ident($($argument:expr),*)) => {
        match &$this.gate {
            None => Store::<Value>::$call(&$this.store, $($argument),*),
            Some(gate) => gate
                .inside(|| Store::<Value>::$call(&$this.store, $($argument),*))
                .unwrap_or_else(|| Err(freed())),
        }
    };
}

/// A call of a task: it is inside the gate whenever it is polled.
macro_rules! call_async {
    ($this:ident.$call:ident($($argument:expr),*)) => {
        async move {
            let call = AsyncStore::<Value>::$call(&$this.store, $($argument),*);
            let Some(gate) = &$this.gate else { return call.await };
            let mut call = pin!(call);
            std::future::poll_fn(move |cx| {
                let polled = gate.inside(|| Future::poll(call.as_mut(), cx));
                polled.unwrap_or_else(|| Poll::Ready(Err(freed())))
            })
            .await
        }
    };
}

impl Store<Value> for Gated {
    #[inline]
    fn get(&self, key: &str, within: &Within<'_>) -> Result<Option<Found<Value>>, StoreError> {
        call!(self.get(key, within))
    }

    fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<Value>, StoreError> {
        call!(self.begin_refresh(key, lock, within))
    }

    fn renew(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<bool, StoreError> {
        call!(self.renew(key, lock, within))
    }

    fn finish_refresh(
        &self,
        key: &str,
        value: &Value,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        call!(self.finish_refresh(key, value, life, lock, within))
    }

    fn abandon_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        call!(self.abandon_refresh(key, lock, within))
    }

    fn put(
        &self,
        key: &str,
        value: &Value,
        life: Life,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        call!(self.put(key, value, life, within))
    }

    fn remove(&self, key: &str, within: &Within<'_>) -> Result<(), StoreError> {
        call!(self.remove(key, within))
    }
}

impl AsyncStore<Value> for Gated {
    fn get_async(
        &self,
        key: &str,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<Option<Found<Value>>, StoreError>> + Send {
        call_async!(self.get_async(key, within))
    }

    fn begin_refresh_async(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<Begun<Value>, StoreError>> + Send {
        call_async!(self.begin_refresh_async(key, lock, within))
    }

    fn renew_async(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        call_async!(self.renew_async(key, lock, within))
    }

    fn finish_refresh_async(
        &self,
        key: &str,
        value: &Value,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<Written, StoreError>> + Send {
        call_async!(self.finish_refresh_async(key, value, life, lock, within))
    }

    fn abandon_refresh_async(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        call_async!(self.abandon_refresh_async(key, lock, within))
    }

    fn put_async(
        &self,
        key: &str,
        value: &Value,
        life: Life,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        call_async!(self.put_async(key, value, life, within))
    }

    fn remove_async(
        &self,
        key: &str,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        call_async!(self.remove_async(key, within))
    }
}

impl fmt::Debug for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gated").field("store", &self.store).finish_non_exhaustive()
    }
}
