//! A store that is not asked while it is known to be down.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::layer::{call_layer, drive, layer};
use super::{Begun, Calls, Found, Life, Tasks, Threads, Within, Written, store_methods};
use crate::clock::{Clock, CoarseClock};
use crate::echo::breaker::Circuit;
use crate::echo::error::{StoreError, StoreErrorKind};
use crate::echo::lock::RefreshLock;

/// A circuit breaker around a store that may be down, such as a remote one.
///
/// After some failures or timeouts in a row calls are refused at once, with errors of kind
/// [`Open`](StoreErrorKind::Open): a fetch then computes, and pays next to nothing for the store.
/// After a pause one call is let through as a probe; if it succeeds all are, and if not there is
/// another pause. What the store has that is [corrupt](StoreErrorKind::Corrupt) is no failure: it
/// has answered. Calls whose callers have left (their contexts ended, or their futures were
/// dropped) count neither way: that says nothing about the store.
///
/// ```
/// use docache::echo::{Breaker, Chaos, EchoCache, Fault, MemoryStore};
/// let chaos = Chaos::new(MemoryStore::new(100));
/// let cache = EchoCache::<_, u32, String>::new(Breaker::new(chaos.clone()).failures(1));
/// chaos.inject(Fault::Fail);
/// cache.fetch("key", || Ok(1)).unwrap();
/// assert!(cache.store().is_open());
/// ```
pub struct Breaker<S> {
    store: S,
    circuit: Circuit,
    failures: u32,
    pause: Duration,
    clock: Arc<dyn Clock>,
}

const FAILURES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

impl<S> Breaker<S> {
    /// A breaker that opens after 5 failures in a row, and pauses for 500 ms.
    #[must_use]
    pub fn new(store: S) -> Breaker<S> {
        let circuit = Circuit::new(FAILURES, PAUSE, CoarseClock.now());
        let clock = Arc::new(CoarseClock);
        Breaker { store, circuit, failures: FAILURES, pause: PAUSE, clock }
    }

    fn renewed(self) -> Breaker<S> {
        let circuit = Circuit::new(self.failures, self.pause, self.clock.now());
        Breaker { circuit, ..self }
    }

    /// After how many failures in a row it opens; 0 counts as 1.
    #[must_use]
    pub fn failures(self, failures: u32) -> Breaker<S> {
        Breaker { failures, ..self }.renewed()
    }

    /// How long it stays open before a probe, to the millisecond.
    #[must_use]
    pub fn pause(self, pause: Duration) -> Breaker<S> {
        Breaker { pause, ..self }.renewed()
    }

    /// Measures pauses on this clock. Default: [`CoarseClock`].
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Breaker<S> {
        Breaker { clock: Arc::new(clock), ..self }.renewed()
    }

    /// Whether the store is known to be down.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.circuit.is_open()
    }

    /// The store inside.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.store
    }

    fn layer<C>(&self, calls: C) -> Guarded<'_, C> {
        Guarded { circuit: &self.circuit, clock: &*self.clock, calls }
    }

    fn at_once<T>(&self, _: &str, _: bool) -> Option<Found<T>> {
        None
    }
}

layer!(Breaker<S: store>);

impl<S: fmt::Debug> fmt::Debug for Breaker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("store", &self.store)
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct Guarded<'b, C> {
    circuit: &'b Circuit,
    clock: &'b dyn Clock,
    calls: C,
}

impl<C> Guarded<'_, C> {
    /// Makes the call, unless the store is known to be down.
    async fn guard<R, F>(
        &self,
        within: &Within<'_>,
        call: impl FnOnce() -> F,
    ) -> Result<R, StoreError>
    where
        F: Future<Output = Result<R, StoreError>>,
    {
        let Some(admitted) = self.circuit.admit(|| self.clock.now()) else {
            return Err(StoreError::new(StoreErrorKind::Open, "the store is known to be down"));
        };
        let called = call().await;
        if called.as_ref().err().is_none_or(|error| error.kind() == StoreErrorKind::Corrupt) {
            admitted.succeed();
        } else if !within.is_left() {
            admitted.fail();
        }
        called
    }
}

/// A call, if it is worth it.
macro_rules! guarded_call {
    ([] $this:ident.$call:ident / $async:ident($($argument:expr),+; $within:expr)) => {
        $this.guard($within, move || $this.calls.$call($($argument),+, $within))
    };
}

impl<T: Send + Sync, C: Calls<T>> Calls<T> for Guarded<'_, C> {
    fn canonical<'k>(&self, key: &'k str) -> &'k str {
        self.calls.canonical(key)
    }

    store_methods! { Calls<T> by guarded_call![] }
}
