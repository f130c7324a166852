//! A store as a cache of the C ABI has it: if its calls are callbacks, they begin only while the
//! cache is there.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::any::{AnyStore, WeakStore};
use crate::echo::{
    AsyncStore, Begun, Found, Life, RefreshLock, Store, StoreError, StoreErrorKind, Within,
    Written, store_methods,
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
    ([] $this:ident.$call:ident / $call_async:ident($($argument:expr),+; $within:expr)) => {
        match $this {
            Gated::Open(store) => Store::<Value>::$call(store, $($argument),+, $within),
            Gated::CallsBack(store, gate) => gate
                .inside(|| {
                    let store = store.upgrade().ok_or_else(freed)?;
                    Store::<Value>::$call(&store, $($argument),+, $within)
                })
                .unwrap_or_else(|| Err(freed())),
        }
    };
}

/// A call of a task: it is inside the gate whenever it is polled.
macro_rules! call_async {
    ([] $this:ident.$call:ident / $call_async:ident($($argument:expr),+; $within:expr)) => {
        async move {
            let (store, gate) = match $this {
                Gated::Open(store) => {
                    return AsyncStore::<Value>::$call_async(store, $($argument),+, $within).await;
                }
                Gated::CallsBack(store, gate) => (store.upgrade().ok_or_else(freed)?, gate),
            };
            let mut call = pin!(AsyncStore::<Value>::$call_async(&store, $($argument),+, $within));
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

    store_methods! { Store<Value> by call![] }
}

impl AsyncStore<Value> for Gated {
    fn canonical<'k>(&self, key: &'k str) -> &'k str {
        Store::<Value>::canonical(self, key)
    }

    store_methods! { AsyncStore<Value> by call_async![] }
}

impl fmt::Debug for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = matches!(self, Gated::Open(_));
        f.debug_struct("Gated").field("open", &is_open).finish_non_exhaustive()
    }
}
