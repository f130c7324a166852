//! A store in Redis.
//!
//! One connection for all callers, threads and tasks: see [`link`]. A lone thread sends and reads
//! by itself. Tasks have the store's one background thread do that, since a task must not block
//! and no runtime is asked for: their futures work under any executor. The same thread connects.

mod background;
mod builder;
mod commands;
mod conn;
mod dial;
mod link;
mod request;

pub use builder::RedisStoreBuilder;

use std::fmt;
use std::future::poll_fn;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::SystemTime;

use ::redis::Value;
use arc_swap::ArcSwap;

use super::{AsyncStore, Begun, Found, Life, Store, Within, Written};
use crate::context::until_armed;
use crate::echo::codec::{Codec, Json, redis_key, redis_lock_key};
use crate::echo::error::{StoreError, StoreErrorKind};
use crate::echo::lock::RefreshLock;
use crate::error::Result;
use crate::housekeeping;
use crate::lock::striped;
use crate::sync::fork::forks;
use commands::{Holder, Raw, Run};
use dial::Server;
use link::Link;
use request::{Caller, Commands, Failed, Request};

/// A store in Redis, or in a server that speaks its protocol, such as Valkey.
///
/// It is for threads and for tasks of any runtime. Clones share one connection, on which calls are
/// pipelined. The store connects when it is first used, and in the background when the connection
/// breaks: while there is none, calls fail at once, and no call waits longer than
/// [`Within`] says. A reply that comes too late is dropped, and a connection on which none comes
/// for a second is given up.
///
/// Entries and locks are as the Go library logocomune/echocache has them, so that programs in both
/// languages share them: see [`codec`](crate::echo::codec). What a store is for
/// ([`EchoCache`](crate::echo::EchoCache) or [`LazyEchoCache`](crate::echo::LazyEchoCache)) decides
/// which codec it needs: with [`Json`] nothing is ever stale.
///
/// ```no_run
/// use docache::echo::{EchoCache, RedisStore};
/// let store = RedisStore::builder("redis://127.0.0.1/").prefix("users").build()?;
/// let users: EchoCache<_, String, std::io::Error> = EchoCache::new(store);
/// let user = users.fetch("ada", || std::fs::read_to_string("users/ada")).unwrap();
/// # Ok::<(), docache::Error>(())
/// ```
///
/// # What it costs
/// One round trip for a hit, two for a refresh (the lock is taken and the entry read again in one,
/// the value written and the lock given back in the other), three for a load that is waited for.
///
/// # Locks
/// A lock is a key `prefix:lock:key` with a random token and a time to live. Scripts compare the
/// token: one gives the lock back, one renews it, and one writes the value if the lock is still the
/// caller's, so that who overran its lock never overwrites what is newer. A key of the caller's own
/// that begins with `lock:` meets the lock of another key; that is part of the format.
///
/// # Limits
/// - Redis Cluster is not supported: an entry and its lock would lie in different slots. A server
///   that is part of one is refused when the store connects.
/// - After a fail-over, locks that the new server has not heard of are free.
///
/// # Threads
/// One thread `docache-redis` for each store, which connects and reads for tasks. It starts when it
/// is needed, leaves when it has been idle for a second or its store is dropped, and blocks the
/// host's signals. In a forked child the store connects anew.
///
/// # Features
/// `redis` needs Rust 1.88 and adds 46 crates, most of which its client needs to read URLs;
/// `redis-tls` adds 12 more for TLS by rustls, with the certificates that the system trusts.
pub struct RedisStore<C = Json> {
    shared: Arc<Shared<C>>,
}

struct Shared<C> {
    prefix: String,
    codec: C,
    server: Arc<Server>,
    link: ArcSwap<Link>,
}

impl RedisStore {
    /// A store with keys that begin with `docache:`, for values as plain JSON.
    ///
    /// # Errors
    /// As [`RedisStoreBuilder::build`].
    pub fn new(url: impl Into<String>) -> Result<RedisStore> {
        RedisStore::builder(url).build()
    }

    /// Builds a store in the server at `url`: `redis://[user][:password@]host[:port][/database]`,
    /// `rediss://…` with TLS if the feature `redis-tls` is there, or `unix:///path`.
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url.into())
    }
}

impl<C> RedisStore<C> {
    fn of(server: Arc<Server>, prefix: String, codec: C) -> RedisStore<C> {
        // So that `forks` tells a child from its parent, and no handle of a thread goes with it.
        housekeeping::watch();
        striped::watch();
        let link = ArcSwap::from_pointee(Link::new(server.clone(), background::start));
        RedisStore { shared: Arc::new(Shared { prefix, codec, server, link }) }
    }

    fn link(&self) -> Arc<Link> {
        self.shared.link()
    }

    fn key(&self, key: &str) -> String {
        redis_key(&self.shared.prefix, key)
    }

    fn lock_key(&self, key: &str) -> String {
        redis_lock_key(&self.shared.prefix, key)
    }

    fn encoded<T>(&self, value: &T, life: Life) -> Result<Vec<u8>, StoreError>
    where
        C: Codec<T>,
    {
        let mut out = Vec::with_capacity(128);
        let now = SystemTime::now();
        let created = life.age.map(|age| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH));
        self.shared.codec.encode(value, created, &mut out)?;
        Ok(out)
    }

    fn found<T>(&self, raw: Raw) -> Result<Option<Found<T>>, StoreError>
    where
        C: Codec<T>,
    {
        let Some((raw, left)) = raw else { return Ok(None) };
        let found = self.shared.codec.decode(&raw, SystemTime::now())?;
        Ok(Some(Found { left, ..found }))
    }

    fn found_in<T>(
        &self,
        replies: Vec<Value>,
        asked_left: bool,
    ) -> Result<Option<Found<T>>, StoreError>
    where
        C: Codec<T>,
    {
        let (left, value) = if asked_left {
            let [left, value] = exactly(replies)?;
            (Some(left), value)
        } else {
            let [value] = exactly(replies)?;
            (None, value)
        };
        self.found(commands::read_reply(left.as_ref(), value)?)
    }

    /// How a refresh begins, and whether the lock is to be renewed, since it is the caller's from
    /// before.
    fn begun<T>(
        &self,
        lock: &RefreshLock,
        replies: Vec<Value>,
    ) -> Result<(Begun<T>, bool), StoreError>
    where
        C: Codec<T>,
    {
        let [set, holder, left, value] = exactly(replies)?;
        let holder = commands::lock_reply(lock, &set, &holder)?;
        let found = commands::read_reply(Some(&left), value).and_then(|raw| self.found(raw));
        let found = match found {
            // It is to be replaced.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => None,
            found => found?,
        };
        Ok(match holder {
            Holder::Caller => (Begun::new(true, found), false),
            Holder::Before => (Begun::new(true, found), true),
            Holder::Another(Some(holder)) => (Begun::new(false, found).held_by(holder), false),
            Holder::Another(None) => (Begun::new(false, found), false),
        })
    }

    fn call(&self, commands: Commands, within: &Within<'_>) -> Result<Vec<Value>, StoreError> {
        self.link().call(commands, within)
    }

    fn run(&self, run: &Run, within: &Within<'_>) -> Result<Value, StoreError> {
        let mut replies = self.call(run.commands(false), within)?;
        if commands::is_unknown_script(&replies) {
            replies = self.call(run.commands(true), within)?;
        }
        let [reply] = exactly(replies)?;
        Ok(reply)
    }

    async fn call_async(
        &self,
        commands: Commands,
        insists: bool,
        within: &Within<'_>,
    ) -> Result<Vec<Value>, StoreError> {
        if within.left().is_zero() {
            return Err(StoreError::timeout());
        }
        let request = Request::new(commands, Caller::Task).insisting(insists);
        let mut call = Call { link: self.link(), request: Arc::new(request), is_queued: false };
        let context = within.context();
        let called = until_armed(poll_fn(|cx| call.poll(cx)), &context).await;
        called.unwrap_or(Err(Failed::Timeout)).map_err(StoreError::from)
    }

    async fn run_async(
        &self,
        run: Run,
        insists: bool,
        within: &Within<'_>,
    ) -> Result<Value, StoreError> {
        let mut replies = self.call_async(run.commands(false), insists, within).await?;
        if commands::is_unknown_script(&replies) {
            replies = self.call_async(run.commands(true), insists, within).await?;
        }
        let [reply] = exactly(replies)?;
        Ok(reply)
    }

    /// The result of a call, after which a connection that made no sense is given up.
    fn sound<R>(&self, result: Result<R, StoreError>) -> Result<R, StoreError> {
        result.inspect_err(|error| {
            if commands::is_unsound(error) {
                self.link().distrust();
            }
        })
    }
}

impl<C> Shared<C> {
    /// This process's own.
    fn link(&self) -> Arc<Link> {
        let link = self.link.load();
        if link.forks == forks() {
            return Arc::clone(&link);
        }
        let own = Arc::new(Link::new(self.server.clone(), background::start));
        let before = self.link.compare_and_swap(&link, own);
        if Arc::ptr_eq(&before, &link) {
            link.abandon();
            // Its locks may be held by threads that are not there: it is never looked at again.
            std::mem::forget(Arc::clone(&link));
        }
        drop((before, link));
        self.link.load_full()
    }
}

impl<C> Drop for Shared<C> {
    fn drop(&mut self) {
        let link = self.link.load_full();
        if link.forks == forks() {
            link.close();
        } else {
            link.abandon();
            std::mem::forget(link);
        }
    }
}

/// A request of a task.
struct Call {
    link: Arc<Link>,
    request: Arc<Request>,
    is_queued: bool,
}

impl Call {
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<request::Outcome> {
        if !self.is_queued {
            // Before it is queued, so that it is not missed.
            let _ = self.request.take_or_wake(cx.waker());
            if let Err(failed) = self.link.submit(&self.request) {
                return Poll::Ready(Err(failed));
            }
            self.is_queued = true;
        }
        match self.request.take_or_wake(cx.waker()) {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.request.leave();
    }
}

fn exactly<const N: usize>(replies: Vec<Value>) -> Result<[Value; N], StoreError> {
    <[Value; N]>::try_from(replies)
        .map_err(|replies| commands::unexpected(replies.first().unwrap_or(&Value::Nil)))
}

impl<T, C: Codec<T>> Store<T> for RedisStore<C> {
    fn get(&self, key: &str, within: &Within<'_>) -> Result<Option<Found<T>>, StoreError> {
        let asks_left = within.asks_left();
        let commands = commands::read(Commands::new(), &self.key(key), asks_left);
        let replies = self.call(commands, within)?;
        self.sound(self.found_in(replies, asks_left))
    }

    fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<T>, StoreError> {
        let commands = commands::begin(&self.key(key), &self.lock_key(key), lock);
        let replies = self.call(commands, within)?;
        let (mut begun, is_to_be_renewed) = self.sound(self.begun(lock, replies))?;
        if is_to_be_renewed {
            begun.granted = Store::<T>::renew(self, key, lock, within)?;
        }
        Ok(begun)
    }

    fn renew(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<bool, StoreError> {
        let reply = self.run(&Run::renew(self.lock_key(key), lock), within)?;
        self.sound(commands::number_reply(&reply))
    }

    fn finish_refresh(
        &self,
        key: &str,
        value: &T,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        let keys = [self.key(key), self.lock_key(key)];
        let run = Run::finish(keys, lock, self.encoded(value, life)?, life.ttl);
        self.sound(commands::finish_reply(&self.run(&run, within)?))
    }

    fn abandon_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        let reply = self.run(&Run::release(self.lock_key(key), lock), within)?;
        self.sound(commands::number_reply(&reply)).map(drop)
    }

    fn put(&self, key: &str, value: &T, life: Life, within: &Within<'_>) -> Result<(), StoreError> {
        let value = self.encoded(value, life)?;
        let commands = commands::put(&self.key(key), &self.lock_key(key), &value, life.ttl);
        let replies = self.call(commands, within)?;
        self.sound(commands::put_reply(&replies))
    }

    fn remove(&self, key: &str, within: &Within<'_>) -> Result<(), StoreError> {
        let commands = commands::remove(&self.key(key), &self.lock_key(key));
        let [reply] = exactly(self.call(commands, within)?)?;
        self.sound(commands::number_reply(&reply)).map(drop)
    }
}

impl<T: Send + Sync, C: Codec<T>> AsyncStore<T> for RedisStore<C> {
    async fn get_async(
        &self,
        key: &str,
        within: &Within<'_>,
    ) -> Result<Option<Found<T>>, StoreError> {
        let asks_left = within.asks_left();
        let commands = commands::read(Commands::new(), &self.key(key), asks_left);
        let replies = self.call_async(commands, false, within).await?;
        self.sound(self.found_in(replies, asks_left))
    }

    async fn begin_refresh_async(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<T>, StoreError> {
        let commands = commands::begin(&self.key(key), &self.lock_key(key), lock);
        let replies = self.call_async(commands, false, within).await?;
        let (mut begun, is_to_be_renewed) = self.sound(self.begun(lock, replies))?;
        if is_to_be_renewed {
            begun.granted = AsyncStore::<T>::renew_async(self, key, lock, within).await?;
        }
        Ok(begun)
    }

    async fn renew_async(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<bool, StoreError> {
        let run = Run::renew(self.lock_key(key), lock);
        let reply = self.run_async(run, false, within).await?;
        self.sound(commands::number_reply(&reply))
    }

    async fn finish_refresh_async(
        &self,
        key: &str,
        value: &T,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        let keys = [self.key(key), self.lock_key(key)];
        let run = Run::finish(keys, lock, self.encoded(value, life)?, life.ttl);
        self.sound(commands::finish_reply(&self.run_async(run, false, within).await?))
    }

    async fn abandon_refresh_async(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        let run = Run::release(self.lock_key(key), lock);
        let reply = self.run_async(run, true, within).await?;
        self.sound(commands::number_reply(&reply)).map(drop)
    }

    async fn put_async(
        &self,
        key: &str,
        value: &T,
        life: Life,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        let value = self.encoded(value, life)?;
        let commands = commands::put(&self.key(key), &self.lock_key(key), &value, life.ttl);
        let replies = self.call_async(commands, false, within).await?;
        self.sound(commands::put_reply(&replies))
    }

    async fn remove_async(&self, key: &str, within: &Within<'_>) -> Result<(), StoreError> {
        let commands = commands::remove(&self.key(key), &self.lock_key(key));
        let [reply] = exactly(self.call_async(commands, false, within).await?)?;
        self.sound(commands::number_reply(&reply)).map(drop)
    }
}

impl<C> Clone for RedisStore<C> {
    fn clone(&self) -> Self {
        RedisStore { shared: self.shared.clone() }
    }
}

/// A call that panics leaves the connection whole, or gives it up.
impl<C: RefUnwindSafe> UnwindSafe for RedisStore<C> {}
impl<C: RefUnwindSafe> RefUnwindSafe for RedisStore<C> {}

impl<C> fmt::Debug for RedisStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.shared.prefix)
            .field("server", &self.shared.server)
            .finish_non_exhaustive()
    }
}
