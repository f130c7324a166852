//! All kinds of stores as one type.
//!
//! A store is for threads and for tasks. The calls of those that never wait, and of those that are
//! the user's callbacks, are made at once, also for tasks; so a task's call of a store of callbacks
//! takes as long as these.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::custom_call::CustomStore;
#[cfg(feature = "nats")]
use crate::echo::NatsStore;
#[cfg(feature = "redis")]
use crate::echo::RedisStore;
use crate::echo::{
    AsyncStore, Begun, Breaker, Found, Life, MemoryStore, RefreshLock, SingleStore, Store,
    StoreError, TieredStore, Within, Written, store_methods,
};
use crate::ffi::value::Value;

/// A store of any kind; a share of it.
#[derive(Clone)]
pub(in crate::ffi::echo) struct AnyStore {
    kind: Arc<Kind>,
    traits: Traits,
}

/// A store without a share of it.
#[derive(Clone)]
pub(in crate::ffi::echo) struct WeakStore {
    kind: Weak<Kind>,
    traits: Traits,
}

impl WeakStore {
    pub(super) fn upgrade(&self) -> Option<AnyStore> {
        Some(AnyStore { kind: self.kind.upgrade()?, traits: self.traits })
    }
}

/// What there is to know about a store.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traits {
    /// Its calls may be the user's callbacks.
    pub(super) calls_back: bool,
    /// Its values must be JSON.
    pub(super) wants_json: bool,
}

impl Traits {
    fn and(self, other: Traits) -> Traits {
        Traits {
            calls_back: self.calls_back || other.calls_back,
            wants_json: self.wants_json || other.wants_json,
        }
    }
}

pub(super) enum Kind {
    /// Values live no longer than this.
    Memory(MemoryStore<Value>, Option<Duration>),
    Single(SingleStore<Value>, Option<Duration>),
    Custom(CustomStore),
    Tiered(TieredStore<AnyStore, AnyStore>),
    Breaker(Breaker<AnyStore>),
    #[cfg(feature = "redis")]
    Redis(RedisStore<super::json::Format>),
    #[cfg(feature = "nats")]
    Nats(NatsStore<super::json::Format>),
}

impl Kind {
    /// One that never waits, or is called as threads call it in any case.
    fn at_once(&self) -> Option<&dyn Store<Value>> {
        match self {
            Kind::Memory(store, _) => Some(store),
            Kind::Single(store, _) => Some(store),
            Kind::Custom(store) => Some(store),
            _ => None,
        }
    }

    fn for_threads(&self) -> &dyn Store<Value> {
        match self {
            Kind::Memory(store, _) => store,
            Kind::Single(store, _) => store,
            Kind::Custom(store) => store,
            Kind::Tiered(store) => store,
            Kind::Breaker(store) => store,
            #[cfg(feature = "redis")]
            Kind::Redis(store) => store,
            #[cfg(feature = "nats")]
            Kind::Nats(store) => store,
        }
    }

    fn shortened(&self, life: Life) -> Life {
        match self {
            Kind::Memory(_, Some(most)) | Kind::Single(_, Some(most)) => {
                Life { ttl: Some(life.ttl.map_or(*most, |ttl| ttl.min(*most))), ..life }
            }
            _ => life,
        }
    }
}

impl AnyStore {
    pub(super) fn new(kind: Kind) -> AnyStore {
        let traits = match &kind {
            Kind::Memory(..) | Kind::Single(..) => Traits::default(),
            Kind::Custom(_) => Traits { calls_back: true, wants_json: false },
            Kind::Tiered(store) => store.near().traits.and(store.far().traits),
            Kind::Breaker(store) => store.inner().traits,
            #[cfg(feature = "redis")]
            Kind::Redis(_) => Traits { calls_back: false, wants_json: true },
            #[cfg(feature = "nats")]
            Kind::Nats(_) => Traits { calls_back: false, wants_json: true },
        };
        AnyStore { kind: Arc::new(kind), traits }
    }

    /// Whether they are the same store.
    pub(super) fn is(&self, other: &AnyStore) -> bool {
        Arc::ptr_eq(&self.kind, &other.kind)
    }

    pub(super) fn downgrade(&self) -> WeakStore {
        WeakStore { kind: Arc::downgrade(&self.kind), traits: self.traits }
    }

    pub(in crate::ffi::echo) fn calls_back(&self) -> bool {
        self.traits.calls_back
    }

    pub(in crate::ffi::echo) fn wants_json(&self) -> bool {
        self.traits.wants_json
    }
}

type Later<'c, R> = Pin<Box<dyn Future<Output = R> + Send + 'c>>;

/// A call for a thread.
macro_rules! call {
    ([] $this:ident.$call:ident / $call_async:ident($($argument:expr),+; $within:expr)) => {
        $this.kind.for_threads().$call($($argument),+, $within)
    };
}

/// A call for a task.
macro_rules! call_async {
    ([] $this:ident.$call:ident / $call_async:ident($($argument:expr),+; $within:expr)) => {
        async move {
            if let Some(store) = $this.kind.at_once() {
                return Store::<Value>::$call(store, $($argument),+, $within);
            }
            // In a box, since stores are made of stores.
            let call: Later<'_, _> = match &*$this.kind {
                Kind::Tiered(store) => {
                    Box::pin(AsyncStore::<Value>::$call_async(store, $($argument),+, $within))
                }
                Kind::Breaker(store) => {
                    Box::pin(AsyncStore::<Value>::$call_async(store, $($argument),+, $within))
                }
                #[cfg(feature = "redis")]
                Kind::Redis(store) => {
                    Box::pin(AsyncStore::<Value>::$call_async(store, $($argument),+, $within))
                }
                #[cfg(feature = "nats")]
                Kind::Nats(store) => {
                    Box::pin(AsyncStore::<Value>::$call_async(store, $($argument),+, $within))
                }
                Kind::Memory(..) | Kind::Single(..) | Kind::Custom(_) => {
                    unreachable!("it was called above")
                }
            };
            call.await
        }
    };
}

impl Store<Value> for AnyStore {
    fn canonical<'k>(&self, key: &'k str) -> &'k str {
        self.kind.for_threads().canonical(key)
    }

    store_methods! { Store<Value> by call![]: get begin_refresh renew abandon_refresh remove }

    fn finish_refresh(
        &self,
        key: &str,
        value: &Value,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        let life = self.kind.shortened(life);
        self.kind.for_threads().finish_refresh(key, value, life, lock, within)
    }

    fn put(
        &self,
        key: &str,
        value: &Value,
        life: Life,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        let life = self.kind.shortened(life);
        self.kind.for_threads().put(key, value, life, within)
    }
}

impl AsyncStore<Value> for AnyStore {
    fn canonical<'k>(&self, key: &'k str) -> &'k str {
        Store::<Value>::canonical(self, key)
    }

    store_methods! {
        AsyncStore<Value> by call_async![]: get begin_refresh renew abandon_refresh remove
    }

    fn finish_refresh_async(
        &self,
        key: &str,
        value: &Value,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<Written, StoreError>> + Send {
        let life = self.kind.shortened(life);
        call_async!([] self.finish_refresh / finish_refresh_async(key, value, life, lock; within))
    }

    fn put_async(
        &self,
        key: &str,
        value: &Value,
        life: Life,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let life = self.kind.shortened(life);
        call_async!([] self.put / put_async(key, value, life; within))
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyStore").field("traits", &self.traits).finish_non_exhaustive()
    }
}
