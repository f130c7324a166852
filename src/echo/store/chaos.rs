//! A store that does badly what it is told to do badly.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::layer::{call_layer, drive, layer};
use super::{Begun, Calls, Found, Life, Tasks, Threads, Within, Written, store_methods};
use crate::echo::error::{Operation, StoreError, StoreErrorKind};
use crate::echo::lock::RefreshLock;
use crate::lock::striped::{self, Order, Striped};

/// What a [`Chaos`] does instead of what it is asked.
///
/// ```
/// use docache::echo::{Chaos, EchoCache, Fault, MemoryStore, Operation};
/// let store = Chaos::new(MemoryStore::new(100));
/// let cache = EchoCache::<_, u32, String>::new(store.clone());
/// store.inject_next(Operation::Get, Fault::Hang, 1);
/// assert_eq!(*cache.fetch("key", || Ok(1)).unwrap(), 1); // 50 ms later
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It returns an error of kind [`Unavailable`](StoreErrorKind::Unavailable).
    Fail,
    /// It answers nothing until the time of the call is over.
    Hang,
    /// It answers so much later, or not in time.
    Delay(Duration),
    /// What it has is no value of the type: reads return an error of kind
    /// [`Corrupt`](StoreErrorKind::Corrupt). Other operations go on as usual.
    Corrupt,
    /// It reads nothing, and loses what it is given to write. Locks go on as usual.
    Forget,
    /// It does what it is asked, and then says that it failed: the answer is lost on its way.
    Unsaid,
    /// It panics.
    Panic,
}

const OPERATIONS: [Operation; 7] = [
    Operation::Get,
    Operation::BeginRefresh,
    Operation::Renew,
    Operation::FinishRefresh,
    Operation::AbandonRefresh,
    Operation::Put,
    Operation::Remove,
];

/// What is wrong with an operation, and for how many calls still.
type Wrong = Option<(Fault, Option<u32>)>;

/// What is wrong with each operation.
#[derive(Debug)]
struct Faults(Striped<[Wrong; OPERATIONS.len()]>);

impl Default for Faults {
    fn default() -> Faults {
        striped::watch();
        Faults(Striped::new(Order::Outer, Default::default()))
    }
}

impl Faults {
    fn set(&self, fault: Wrong, which: impl Fn(Operation) -> bool) {
        let mut faults = self.0.lock();
        let those = faults.iter_mut().zip(OPERATIONS).filter(|(_, one)| which(*one));
        those.for_each(|(place, _)| *place = fault);
    }

    /// What is wrong with this call.
    fn take(&self, operation: Operation) -> Option<Fault> {
        let mut faults = self.0.lock();
        let (place, _) = faults.iter_mut().zip(OPERATIONS).find(|(_, one)| *one == operation)?;
        let (fault, calls) = (*place)?;
        if let Some(calls) = calls {
            *place = (calls > 1).then_some((fault, Some(calls - 1)));
        }
        Some(fault)
    }
}

/// A store around another one that fails, hangs, delays, corrupts and forgets as told, for tests.
///
/// Clones share their faults, so that a test keeps one to tell what is to go wrong.
///
/// ```
/// use docache::echo::{Chaos, EchoCache, Fault, MemoryStore};
/// let store = Chaos::new(MemoryStore::new(100));
/// let cache = EchoCache::<_, u32, String>::new(store.clone());
/// store.inject(Fault::Fail);
/// assert_eq!(*cache.fetch("key", || Ok(1)).unwrap(), 1); // computed without the store
/// assert_eq!(*cache.fetch("key", || Ok(2)).unwrap(), 2);
/// store.calm();
/// cache.fetch("key", || Ok(3)).unwrap();
/// assert_eq!(*cache.fetch("key", || Ok(4)).unwrap(), 3);
/// ```
#[derive(Clone)]
pub struct Chaos<S> {
    store: S,
    faults: Arc<Faults>,
}

impl<S> Chaos<S> {
    /// A store that does nothing wrong yet.
    #[must_use]
    pub fn new(store: S) -> Chaos<S> {
        Chaos { store, faults: Arc::default() }
    }

    /// The store inside.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.store
    }

    /// Has every operation do this from now on.
    pub fn inject(&self, fault: Fault) {
        self.faults.set(Some((fault, None)), |_| true);
    }

    /// Has one operation do this from now on.
    pub fn inject_into(&self, operation: Operation, fault: Fault) {
        self.faults.set(Some((fault, None)), |one| one == operation);
    }

    /// Has the next `calls` calls of one operation do this.
    pub fn inject_next(&self, operation: Operation, fault: Fault, calls: u32) {
        let fault = (calls > 0).then_some((fault, Some(calls)));
        self.faults.set(fault, |one| one == operation);
    }

    /// Has everything done as it should be from now on. What hangs goes on hanging.
    pub fn calm(&self) {
        self.faults.set(None, |_| true);
    }

    fn layer<C>(&self, calls: C) -> Disturbed<'_, C> {
        Disturbed { faults: &self.faults, calls }
    }

    fn at_once<T>(&self, _: &str, _: bool) -> Option<Found<T>> {
        None
    }
}

impl<S: fmt::Debug> fmt::Debug for Chaos<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chaos").field("store", &self.store).field("faults", &self.faults).finish()
    }
}

layer!(Chaos<S: store>);

/// The calls of a store, disturbed.
#[derive(Clone, Copy)]
struct Disturbed<'c, C> {
    faults: &'c Faults,
    calls: C,
}

/// What is left to go wrong when a call has begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Usual,
    Corrupt,
    Forget,
    Unsaid,
}

fn unavailable() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the store fails, as it was told to")
}

impl Then {
    /// What is read.
    fn read<T>(self, found: Option<Found<T>>) -> Result<Option<Found<T>>, StoreError> {
        match self {
            Then::Usual => Ok(found),
            Then::Forget => Ok(None),
            Then::Unsaid => Err(unavailable()),
            Then::Corrupt => {
                let message = "the store has garbage, as it was told to";
                Err(StoreError::new(StoreErrorKind::Corrupt, message))
            }
        }
    }

    fn say<R>(self, result: R) -> Result<R, StoreError> {
        if self == Then::Unsaid { Err(unavailable()) } else { Ok(result) }
    }
}

impl<C> Disturbed<'_, C> {
    async fn begin(&self, operation: Operation, within: &Within<'_>) -> Result<Then, StoreError> {
        let delay = match self.faults.take(operation) {
            None => return Ok(Then::Usual),
            Some(Fault::Fail) => return Err(unavailable()),
            Some(Fault::Corrupt) => return Ok(Then::Corrupt),
            Some(Fault::Forget) => return Ok(Then::Forget),
            Some(Fault::Unsaid) => return Ok(Then::Unsaid),
            Some(Fault::Panic) => panic!("the store panics, as it was told to"),
            Some(Fault::Hang) => None,
            Some(Fault::Delay(delay)) => Some(delay),
        };
        let limit = within.context();
        match delay {
            None => limit.cancelled().await,
            Some(delay) => limit.with_timeout(delay).cancelled().await,
        }
        if limit.is_done() { Err(StoreError::timeout()) } else { Ok(Then::Usual) }
    }
}

impl<T: Send + Sync, C: Calls<T>> Calls<T> for Disturbed<'_, C> {
    fn canonical<'k>(&self, key: &'k str) -> &'k str {
        self.calls.canonical(key)
    }

    async fn get(&self, key: &str, within: &Within<'_>) -> Result<Option<Found<T>>, StoreError> {
        let then = self.begin(Operation::Get, within).await?;
        then.read(self.calls.get(key, within).await?)
    }

    async fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<T>, StoreError> {
        let then = self.begin(Operation::BeginRefresh, within).await?;
        let begun = self.calls.begin_refresh(key, lock, within).await?;
        Ok(Begun { found: then.read(begun.found)?, ..begun })
    }

    async fn renew(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<bool, StoreError> {
        let then = self.begin(Operation::Renew, within).await?;
        then.say(self.calls.renew(key, lock, within).await?)
    }

    async fn finish_refresh(
        &self,
        key: &str,
        value: &T,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        let then = self.begin(Operation::FinishRefresh, within).await?;
        if then == Then::Forget {
            self.calls.abandon_refresh(key, lock, within).await?;
            return Ok(Written::Yes);
        }
        then.say(self.calls.finish_refresh(key, value, life, lock, within).await?)
    }

    async fn abandon_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        let then = self.begin(Operation::AbandonRefresh, within).await?;
        self.calls.abandon_refresh(key, lock, within).await?;
        then.say(())
    }

    async fn put(
        &self,
        key: &str,
        value: &T,
        life: Life,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        let then = self.begin(Operation::Put, within).await?;
        if then != Then::Forget {
            self.calls.put(key, value, life, within).await?;
        }
        then.say(())
    }

    async fn remove(&self, key: &str, within: &Within<'_>) -> Result<(), StoreError> {
        let then = self.begin(Operation::Remove, within).await?;
        if then != Then::Forget {
            self.calls.remove(key, within).await?;
        }
        then.say(())
    }
}
