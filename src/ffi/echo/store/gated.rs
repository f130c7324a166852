//! A store as a cache of the C ABI has it: if its calls are callbacks, they begin only while the
//! cache is there.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::any::{AnyStore, WeakStore};
use crate::echo::{
    AsyncStore, Begun, Found, Life, RefreshLock, Store, StoreError, StoreErrorKind, Within, Written,
};
use crate::ffi::gate::Gate;
use crate::ffi::value::Value;

/// A share of a store; or, of one that calls back, none: that lies behind the gate of the cache, so
/// that it goes with the cache, whoever else knows of that.
pub(in crate::ffi::echo) enum Gated {
    Open(AnyStore),
    CallsBack(WeakStore, Arc<Gate>),
}

impl Gated {
    pub(in crate::ffi::echo) fn new(store: AnyStore, gate: &Arc<Gate>) -> Gated {
        if !store.calls_back() {
            return Gated::Open(store);
        }
        let weak = store.downgrade();
        gate.keep(store);
        Gated::CallsBack(weak, gate.clone())
    }
}

#[cold]
fn freed() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the cache was freed")
}

/// A call of a thread.
macro_rules! call {
    ($this:ident.$call:ident($($argument:expr),*)) => {
        match $this {
            Gated::Open(store) => Store::<Value>::$call(store, $($argument),*),
            Gated::CallsBack(store, gate) => gate
                .inside(|| {
                    let store = store.upgrade().ok_or_else(freed)?;
                    Store::<Value>::$call(&store, $($argument),*)
                })
                .unwrap_or_else(|| Err(freed())),
        }
    };
}

/// A call of a task: it is inside the gate whenever it is polled.
macro_rules! call_async {
    ($this:ident.$call:ident($($argument:expr),*)) => {
        async move {
            let (store, gate) = match $this {
                Gated::Open(store) => {
                    return AsyncStore::<Value>::$call(store, $($argument),*).await;
                }
                Gated::CallsBack(store, gate) => (store.upgrade().ok_or_else(freed)?, gate),
            };
            let mut call = pin!(AsyncStore::<Value>::$call(&store, $($argument),*));
            std::future::poll_fn(move |cx| {
                let polled = gate.inside(|| Future::poll(call.as_mut(), cx));
                polled.unwrap_or_else(|| Poll::Ready(Err(freed())))
            })
            .await
        }
    };
}

impl Store<Value> for Gated {
    fn canonical<'k>(&self, key: &'k str) -> &'k str {
        match self {
            Gated::Open(store) => Store::<Value>::canonical(store, key),
            Gated::CallsBack(store, _) => match store.upgrade() {
                Some(store) => Store::<Value>::canonical(&store, key),
                None => key,
            },
        }
    }

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

#[allow(
    clippy::manual_async_fn,
    reason = "stores are made of stores: that futures are Send must be known without a look inside"
)]
impl AsyncStore<Value> for Gated {
    fn canonical<'k>(&self, key: &'k str) -> &'k str {
        Store::<Value>::canonical(self, key)
    }

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
        let is_open = matches!(self, Gated::Open(_));
        f.debug_struct("Gated").field("open", &is_open).finish_non_exhaustive()
    }
}
