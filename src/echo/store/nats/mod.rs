//! A store in a NATS JetStream KV bucket.

mod bucket;
mod builder;
mod job;
mod known;
mod refresh;
mod session;
mod settings;
mod worker;

pub use builder::{NatsStorage, NatsStoreBuilder};

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::{AsyncStore, Begun, Found, Life, Store, Within, Written};
use crate::context::until;
use crate::echo::codec::{Codec, Json, Stamp, nats_key, nats_lock_key};
use crate::echo::error::StoreError;
use crate::echo::lock::RefreshLock;
use crate::wait::block_on;
use bucket::{Kind, Note, Stored};
use refresh::{Began, Keys};
use settings::Settings;
use worker::{Called, Wanted, Worker};

/// A store in a NATS JetStream KV bucket: one memo for many processes. Feature `nats`.
///
/// It is a handle: its clones are the same store. It is for threads and for tasks of any executor:
/// one thread of its own, `docache-nats`, talks to the server. That thread starts with the first
/// call, blocks the host's signals, and ends when the store is dropped; the child of a fork starts
/// one of its own. For as long as a host name or a file of certificates takes to be read there is
/// one more.
///
/// ```no_run
/// use docache::echo::codec::LazyJson;
/// use docache::echo::{LazyEchoCache, NatsStore};
/// use std::time::Duration;
/// let store = NatsStore::builder("nats://localhost:4222", "rates").codec(LazyJson).build()?;
/// let rates: LazyEchoCache<_, f64, std::io::Error> =
///     LazyEchoCache::builder(store).refresh_after(Duration::from_secs(10)).build()?;
/// let rate = rates.fetch("EUR/USD", || Ok(1.08)).unwrap();
/// # Ok::<(), docache::Error>(())
/// ```
///
/// # The server
/// nats-server 2.9 or later with JetStream (`-js`). A bucket that is not there is created; one that
/// is there is taken as it is, provided that it allows direct reads, as those of today's clients
/// do. A Go program with github.com/logocomune/echocache can use the same bucket: keys, values and
/// locks are the same.
///
/// # When the server is away
/// No server need be there when a store is built. The first calls wait for the connection, for as
/// long as they may; after a failure all calls fail at once until it is there again, which is tried
/// in the background several times a second. A call whose answer is lost fails as soon as the
/// connection does. A server that answers nothing for half a second counts as away. To pay next to
/// nothing meanwhile put a [`Breaker`](super::Breaker) around the store.
///
/// # Time to live
/// The time to live of a value is kept beside it, in a header, and judged by whoever reads it, by
/// the server's time stamp and his own wall clock: what has expired is not served, whatever the
/// server can do. The server removes it too if it is 2.11 or later and the bucket allows times to
/// live for messages, as those do that are created here; else when the bucket's own time to live is
/// over. What other programs write lives for as long as the bucket lets it. A value's age is what
/// the [codec](crate::echo::codec) says, or that of the message.
///
/// # Locks
/// A refresh lock is a key of its own. It is taken, renewed and given back by writes that expect
/// the revision which was read before, so exactly one of many succeeds. The lock of a dead holder
/// is taken over when a process has seen it unchanged for its time to live, by that process's
/// monotonic clock: the wall clocks of others do not matter. A holder writes the value only if that
/// is still the revision which he read when he took the lock, so one who overran never overwrites
/// what is newer.
///
/// What is left of a lock that was given back, and of a value that was removed, is an empty
/// message. It goes when its time is over, where the bucket allows that, else with the bucket's
/// time to live: give a bucket of an older server one. Locks do not outlive it either.
///
/// In a bucket with replicas a read may be answered by one that lags behind. That can cost a load,
/// not correctness: it fails the write.
///
/// # Round trips
/// A hit takes 1. A refresh takes 4: the lock and the value are read together; the lock is taken;
/// renewed, so that it is ours for as long as the write takes; the value is written and the lock
/// given back together. A cold miss takes these and the hit's: 5. `put` and `remove` take 1, and
/// one more if the lock is held.
///
/// # Cost
/// The feature needs Rust 1.89 and adds 87 crates, those for TLS included.
pub struct NatsStore<C = Json> {
    inner: Arc<Inner<C>>,
}

struct Inner<C> {
    worker: Worker,
    codec: C,
}

impl NatsStore<Json> {
    /// A store in a bucket of this server, with [`Json`] as the format. It connects when it is
    /// first used.
    ///
    /// # Errors
    /// As [`NatsStoreBuilder::build`].
    ///
    /// ```
    /// use docache::echo::NatsStore;
    /// let store = NatsStore::new("nats://localhost:4222", "rates")?;
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn new(
        url: impl Into<String>,
        bucket: impl Into<String>,
    ) -> crate::error::Result<NatsStore> {
        NatsStore::builder(url, bucket).build()
    }

    /// Builds a store.
    ///
    /// ```
    /// use docache::echo::NatsStore;
    /// let store = NatsStore::builder("nats://localhost", "rates").prefix("shop").build()?;
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn builder(url: impl Into<String>, bucket: impl Into<String>) -> NatsStoreBuilder {
        NatsStoreBuilder::new(url.into(), bucket.into())
    }
}

/// How a value is written that has such a life.
fn note(life: Life) -> Note {
    Note { ttl: life.ttl, age: life.age }
}

impl<C> NatsStore<C> {
    fn with(settings: Settings, codec: C) -> NatsStore<C> {
        NatsStore { inner: Arc::new(Inner { worker: Worker::new(settings), codec }) }
    }

    fn value_key(&self, key: &str) -> String {
        nats_key(&self.inner.worker.settings().prefix, key)
    }

    fn keys(&self, key: &str) -> Keys {
        let lock = nats_lock_key(&self.inner.worker.settings().prefix, key);
        Keys { value: self.value_key(key), lock }
    }

    /// Asks the server whether it is there.
    ///
    /// # Errors
    /// Why it, or the bucket, cannot be reached. Blocks until `within` is over, and not for longer.
    ///
    /// ```no_run
    /// use docache::Context;
    /// use docache::echo::{NatsStore, Within};
    /// use std::time::Duration;
    /// let store = NatsStore::new("nats://localhost:4222", "rates")?;
    /// let context = Context::background();
    /// store.ping(&Within::new(&context, Duration::from_secs(1))).expect("no server");
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn ping(&self, within: &Within<'_>) -> Result<(), StoreError> {
        wait(self.read("-".to_owned(), within), within).map(drop)
    }

    fn read(&self, key: String, within: &Within<'_>) -> Called<Option<Stored>> {
        self.inner.worker.call(
            within,
            Wanted::ByCaller,
            |bucket| async move { bucket.read(&key).await },
        )
    }

    fn begin(&self, key: &str, lock: &RefreshLock, within: &Within<'_>) -> Called<Began> {
        let (keys, lock) = (self.keys(key), *lock);
        self.inner.worker.call(within, Wanted::ByCaller, move |bucket| async move {
            bucket.begin(&keys, &lock).await
        })
    }

    fn renewed(&self, key: &str, lock: &RefreshLock, within: &Within<'_>) -> Called<bool> {
        let (keys, lock) = (self.keys(key), *lock);
        self.inner.worker.call(within, Wanted::ByCaller, move |bucket| async move {
            bucket.renew(&keys, &lock).await
        })
    }

    fn abandon(&self, key: &str, lock: &RefreshLock, within: &Within<'_>) -> Called<()> {
        let (keys, token) = (self.keys(key), lock.token());
        self.inner.worker.call(within, Wanted::Anyway, move |bucket| async move {
            bucket.abandon(&keys, token).await
        })
    }

    fn take_out(&self, key: &str, within: &Within<'_>) -> Called<()> {
        let keys = self.keys(key);
        self.inner
            .worker
            .call(within, Wanted::ByCaller, move |bucket| async move { bucket.remove(&keys).await })
    }

    fn encoded<T>(&self, value: &T, life: Life) -> Result<(Vec<u8>, Note), StoreError>
    where
        C: Codec<T>,
    {
        let note = note(life);
        let created = note.age.and_then(|age| SystemTime::now().checked_sub(age));
        let mut payload = Vec::new();
        self.inner.codec.encode(value, created, &mut payload)?;
        Ok((payload, note))
    }

    fn finish<T>(
        &self,
        (key, lock): (&str, &RefreshLock),
        (value, life): (&T, Life),
        within: &Within<'_>,
    ) -> Called<Written>
    where
        C: Codec<T>,
    {
        let encoded = match self.encoded(value, life) {
            Ok(encoded) => encoded,
            Err(error) => return Called::Over(Some(error)),
        };
        let (keys, lock) = (self.keys(key), *lock);
        self.inner.worker.call(within, Wanted::ByCaller, move |bucket| async move {
            bucket.finish(&keys, &lock, encoded).await
        })
    }

    fn write<T>(&self, key: &str, (value, life): (&T, Life), within: &Within<'_>) -> Called<()>
    where
        C: Codec<T>,
    {
        let encoded = match self.encoded(value, life) {
            Ok(encoded) => encoded,
            Err(error) => return Called::Over(Some(error)),
        };
        let keys = self.keys(key);
        self.inner.worker.call(within, Wanted::ByCaller, move |bucket| async move {
            bucket.put(&keys, encoded).await
        })
    }

    /// What the bucket has under a key, if it has not expired.
    fn found<T>(&self, stored: Option<Stored>) -> Result<Option<Found<T>>, StoreError>
    where
        C: Codec<T>,
    {
        let Some(stored) = stored.filter(|stored| stored.kind == Kind::Value) else {
            return Ok(None);
        };
        let now = SystemTime::now();
        let since = stored.written.map(|written| Stamp::from(now).since(written));
        let ttl = stored.note.ttl.into_iter().chain(stored.limit).min();
        let left = ttl.map(|ttl| ttl.saturating_sub(since.unwrap_or_default()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(None);
        }
        let mut found = self.inner.codec.decode(&stored.payload, now)?;
        let of_message = since.zip(stored.note.age).map(|(since, age)| since.saturating_add(age));
        found.age = found.age.or(of_message);
        found.left = found.left.into_iter().chain(left).min();
        Ok(Some(found))
    }

    /// What cannot be read counts as nothing, so that it is replaced.
    fn begun<T>(&self, began: Began) -> Begun<T>
    where
        C: Codec<T>,
    {
        let found = self.found(began.value).unwrap_or_default();
        Begun { holder: began.holder, ..Begun::new(began.granted, found) }
    }
}

/// Waits for a call, on a thread.
fn wait<R>(called: Called<R>, within: &Within<'_>) -> Result<R, StoreError> {
    let Called::Sent(..) = called else {
        // It is ready.
        return block_on(called, &crate::clock::SystemClock, None)
            .unwrap_or_else(|| Err(StoreError::timeout()));
    };
    let context = within.context();
    let waited = block_on(until(called, &context), context.clock(), context.deadline());
    waited.flatten().unwrap_or_else(|| Err(StoreError::timeout()))
}

impl<T, C: Codec<T>> Store<T> for NatsStore<C> {
    fn get(&self, key: &str, within: &Within<'_>) -> Result<Option<Found<T>>, StoreError> {
        self.found(wait(self.read(self.value_key(key), within), within)?)
    }

    fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<T>, StoreError> {
        wait(self.begin(key, lock, within), within).map(|began| self.begun(began))
    }

    fn renew(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<bool, StoreError> {
        wait(self.renewed(key, lock, within), within)
    }

    fn finish_refresh(
        &self,
        key: &str,
        value: &T,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        wait(self.finish((key, lock), (value, life), within), within)
    }

    fn abandon_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        wait(self.abandon(key, lock, within), within)
    }

    fn put(&self, key: &str, value: &T, life: Life, within: &Within<'_>) -> Result<(), StoreError> {
        wait(self.write(key, (value, life), within), within)
    }

    fn remove(&self, key: &str, within: &Within<'_>) -> Result<(), StoreError> {
        wait(self.take_out(key, within), within)
    }
}

impl<T: Send + Sync, C: Codec<T>> AsyncStore<T> for NatsStore<C> {
    async fn get_async(
        &self,
        key: &str,
        within: &Within<'_>,
    ) -> Result<Option<Found<T>>, StoreError> {
        self.found(self.read(self.value_key(key), within).await?)
    }

    async fn begin_refresh_async(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<T>, StoreError> {
        self.begin(key, lock, within).await.map(|began| self.begun(began))
    }

    async fn renew_async(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<bool, StoreError> {
        self.renewed(key, lock, within).await
    }

    async fn finish_refresh_async(
        &self,
        key: &str,
        value: &T,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        self.finish((key, lock), (value, life), within).await
    }

    async fn abandon_refresh_async(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        self.abandon(key, lock, within).await
    }

    async fn put_async(
        &self,
        key: &str,
        value: &T,
        life: Life,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        self.write(key, (value, life), within).await
    }

    async fn remove_async(&self, key: &str, within: &Within<'_>) -> Result<(), StoreError> {
        self.take_out(key, within).await
    }
}

impl<C> Clone for NatsStore<C> {
    fn clone(&self) -> Self {
        NatsStore { inner: self.inner.clone() }
    }
}

impl<C> fmt::Debug for NatsStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsStore")
            .field("settings", self.inner.worker.settings())
            .finish_non_exhaustive()
    }
}
