//! Stores: where the values of an echo cache are, and the refresh locks of their keys.
//!
//! # Writing a store of one's own
//! Implement [`Store`] for threads, [`AsyncStore`] for tasks, or both, and have
//! [`conformance`] check it. Four things are worth a second look:
//! - A call ends in time: [`Within`] says when. For a store that may wait it is the first thing to
//!   ask for.
//! - [`begin_refresh`](Store::begin_refresh) takes the lock and reads in one step, where the store
//!   can; else it takes the lock first.
//! - [`finish_refresh`](Store::finish_refresh) writes and gives the lock back in one step, where
//!   the store can, and writes nothing if the lock is another's by now.
//! - [`remove`](Store::remove) and [`put`](Store::put) take the lock away, from whoever has it: a
//!   load that began before them must not write after them.

/// Makes a blocking store that never waits one for tasks: its futures are ready at once.
macro_rules! ready_at_once {
    ($store:ty) => {
        impl<T: Clone + Send + Sync + 'static> AsyncStore<T> for $store {
            fn canonical<'k>(&self, key: &'k str) -> &'k str {
                Store::<T>::canonical(self, key)
            }

            store_methods! { AsyncStore<T> by ready_call![] }
        }
    };
}

/// The call of a store that never waits.
macro_rules! ready_call {
    ([] $this:ident.$call:ident / $async:ident($($argument:expr),+; $within:expr)) => {
        ready(Store::<T>::$call($this, $($argument),+, $within))
    };
}

pub mod conformance;

mod breaker;
mod calls;
mod chaos;
mod layer;
mod locks;
mod memory;
mod methods;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "redis")]
mod redis;
mod single;
mod tiered;
mod within;

pub use breaker::Breaker;
pub use chaos::{Chaos, Fault};
pub use memory::{MemoryStore, MemoryStoreBuilder};
#[cfg(feature = "nats")]
pub use nats::{NatsStorage, NatsStore, NatsStoreBuilder};
#[cfg(feature = "redis")]
pub use redis::{RedisStore, RedisStoreBuilder};
pub use single::SingleStore;
pub use tiered::TieredStore;
pub use within::Within;

pub(super) use calls::{Calls, Tasks, Threads, blocking};
pub(super) use layer::drive;
pub(crate) use methods::store_methods;
use ready_at_once;

use std::time::Duration;

use super::error::StoreError;
use super::lock::RefreshLock;

/// What a store has under a key.
///
/// ```
/// use docache::echo::Found;
/// use std::time::Duration;
/// let found = Found::new("value").aged(Duration::from_secs(3)).lasting(Duration::from_secs(7));
/// assert_eq!(found.age, Some(Duration::from_secs(3)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found<T> {
    /// The value.
    pub value: T,
    /// How long ago it was loaded, if the store knows. What is of unknown age is never stale.
    pub age: Option<Duration>,
    /// How long the store will keep it still, if it says so; it need not where
    /// [nobody asks](Within::asks_left). A copy of it must not live longer.
    pub left: Option<Duration>,
}

impl<T> Found<T> {
    /// A value of which nothing else is known.
    pub fn new(value: T) -> Found<T> {
        Found { value, age: None, left: None }
    }

    /// The same with its age.
    #[must_use]
    pub fn aged(self, age: Duration) -> Found<T> {
        Found { age: Some(age), ..self }
    }

    /// The same with the time for which it will be kept.
    #[must_use]
    pub fn lasting(self, left: Duration) -> Found<T> {
        Found { left: Some(left), ..self }
    }
}

/// How [`begin_refresh`](Store::begin_refresh) ended.
///
/// ```
/// use docache::echo::{Begun, Found};
/// let begun = Begun::new(false, Some(Found::new(7))).held_by(42);
/// assert!(!begun.granted && begun.holder == Some(42));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Begun<T> {
    /// Whether the lock is the caller's now.
    pub granted: bool,
    /// What the store has under the key, read when that was decided or later.
    pub found: Option<Found<T>>,
    /// A number that tells who has the lock from others who may have it, if it was not granted and
    /// the store can say. Whoever waits for a holder waits anew when it is another.
    pub holder: Option<u64>,
}

impl<T> Begun<T> {
    /// What `begin_refresh` returns.
    pub fn new(granted: bool, found: Option<Found<T>>) -> Begun<T> {
        Begun { granted, found, holder: None }
    }

    /// The same with whoever has the lock.
    #[must_use]
    pub fn held_by(self, holder: u64) -> Begun<T> {
        Begun { holder: Some(holder), ..self }
    }
}

/// How [`finish_refresh`](Store::finish_refresh) ended.
///
/// ```
/// use docache::Context;
/// use docache::echo::{Life, MemoryStore, RefreshLock, Store, Within, Written};
/// use std::time::Duration;
/// let (store, context) = (MemoryStore::new(100), Context::background());
/// let within = Within::new(&context, Duration::from_millis(50));
/// let lock = RefreshLock::new(Duration::from_secs(10));
/// assert!(store.begin_refresh("key", &lock, &within)?.granted);
/// assert_eq!(store.finish_refresh("key", &7, Life::FOREVER, &lock, &within)?, Written::Yes);
/// assert_eq!(store.finish_refresh("key", &8, Life::FOREVER, &lock, &within)?, Written::Lost);
/// # Ok::<(), docache::echo::StoreError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// The value is there, and the lock is free.
    Yes,
    /// The lock was not the caller's any more; nothing was written.
    Lost,
}

/// How old a value is that is written, and how long it is to be kept.
///
/// ```
/// use docache::echo::Life;
/// use std::time::Duration;
/// assert_eq!(Life::of(Duration::from_secs(5)).ttl, Some(Duration::from_secs(5)));
/// assert_eq!(Life::FOREVER.age, Some(Duration::ZERO));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// How long the store keeps it, from now on; `None`: as long as it can.
    pub ttl: Option<Duration>,
    /// How long ago it was loaded; `None`: that is not known, and the store should not make it up.
    pub age: Option<Duration>,
}

impl Life {
    /// The life of what was just loaded and does not expire.
    pub const FOREVER: Life = Life { ttl: None, age: Some(Duration::ZERO) };

    /// The life of what was just loaded.
    #[must_use]
    pub const fn of(ttl: Duration) -> Life {
        Life { ttl: Some(ttl), age: Some(Duration::ZERO) }
    }
}

/// A store that blocks: values of a type by key, and a refresh lock for each key.
///
/// Errors are values: a store that fails does not fail the fetch. Panics are contained, and count
/// as errors. A call may block until `within` is over, and not for longer.
///
/// ```
/// use docache::Context;
/// use docache::echo::{Life, MemoryStore, Store, Within};
/// use std::time::Duration;
/// let (store, context) = (MemoryStore::new(100), Context::background());
/// let within = Within::new(&context, Duration::from_millis(50));
/// store.put("key", &7, Life::FOREVER, &within)?;
/// assert_eq!(store.get("key", &within)?.unwrap().value, 7);
/// # Ok::<(), docache::echo::StoreError>(())
/// ```
pub trait Store<T>: Send + Sync {
    /// What all keys have in common that stand for one entry, for a store to which some are the
    /// same; a cache has one load for them at a time. By default the key itself.
    fn canonical<'k>(&self, key: &'k str) -> &'k str {
        key
    }

    /// What there is under the key, if the store has it in memory, where nothing waits or fails;
    /// `None`: ask [`get`](Store::get). A hit that is found so is the cheapest. Neither how long it
    /// lasts nor, unless it is to be `aged`, its age need be told. Panics, such as those of the
    /// value's `Clone`, are not contained. By default nothing is found so.
    #[inline]
    fn get_now(&self, key: &str, aged: bool) -> Option<Found<T>> {
        let _ = (key, aged);
        None
    }

    /// What there is under the key and has not expired.
    ///
    /// # Errors
    /// That the store cannot say; as in all of these.
    fn get(&self, key: &str, within: &Within<'_>) -> Result<Option<Found<T>>, StoreError>;

    /// Takes the key's refresh lock if nobody has it, and reads the key, in one step where the
    /// store can. Whoever has the lock already is granted it again. What cannot be read counts here
    /// as nothing there, so that it is replaced.
    ///
    /// # Errors
    /// Then the lock may have been taken or not.
    fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<T>, StoreError>;

    /// Holds the lock for its time to live from now on. False if it is not the caller's any more.
    ///
    /// # Errors
    /// Then the lock may have been renewed or not.
    fn renew(&self, key: &str, lock: &RefreshLock, within: &Within<'_>)
    -> Result<bool, StoreError>;

    /// Writes, and gives the lock back, in one step where the store can; writes nothing if the lock
    /// is not the caller's any more.
    ///
    /// # Errors
    /// Then the value may have been written or not, and the lock may still be held.
    fn finish_refresh(
        &self,
        key: &str,
        value: &T,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError>;

    /// Gives the lock back, if it is the caller's; another's stays. It may come after a
    /// `begin_refresh` of the same lock that did not answer in time, and must not overtake it on
    /// its way.
    ///
    /// # Errors
    /// Then a cache tries again, until the time of the lock is over.
    fn abandon_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<(), StoreError>;

    /// Writes, and takes the lock away from whoever has it: what he loads is older.
    ///
    /// # Errors
    /// Then the value may have been written or not.
    fn put(&self, key: &str, value: &T, life: Life, within: &Within<'_>) -> Result<(), StoreError>;

    /// Takes the value out, and the lock away from whoever has it: what he loads is older.
    ///
    /// # Errors
    /// Then the value may be there or not.
    fn remove(&self, key: &str, within: &Within<'_>) -> Result<(), StoreError>;
}

/// [`Store`] for tasks: the same calls as futures. A type can be both.
///
/// Futures are dropped when their time is over, and their panics are contained. A lock that is
/// given back by a task that is dropped has its future polled once, and what is left of it given to
/// nobody; so [`abandon_refresh_async`](AsyncStore::abandon_refresh_async) is to send what it sends
/// in its first poll, if it can.
///
/// ```
/// use docache::Context;
/// use docache::echo::{AsyncStore, Life, MemoryStore, StoreError, Within};
/// use std::time::Duration;
/// async fn keep(store: &impl AsyncStore<u32>) -> Result<(), StoreError> {
///     let context = Context::background();
///     let within = Within::new(&context, Duration::from_millis(50));
///     store.put_async("key", &7, Life::FOREVER, &within).await
/// }
/// let store = MemoryStore::new(100);
/// let kept = keep(&store); // to be awaited
/// ```
pub trait AsyncStore<T>: Send + Sync {
    /// As [`Store::canonical`].
    fn canonical<'k>(&self, key: &'k str) -> &'k str {
        key
    }

    /// As [`Store::get`].
    fn get_async(
        &self,
        key: &str,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<Option<Found<T>>, StoreError>> + Send;

    /// As [`Store::begin_refresh`].
    fn begin_refresh_async(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<Begun<T>, StoreError>> + Send;

    /// As [`Store::renew`].
    fn renew_async(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// As [`Store::finish_refresh`].
    fn finish_refresh_async(
        &self,
        key: &str,
        value: &T,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<Written, StoreError>> + Send;

    /// As [`Store::abandon_refresh`].
    fn abandon_refresh_async(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// As [`Store::put`].
    fn put_async(
        &self,
        key: &str,
        value: &T,
        life: Life,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// As [`Store::remove`].
    fn remove_async(
        &self,
        key: &str,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
