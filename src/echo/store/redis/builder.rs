//! How a store in Redis is built.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::RedisStore;
use super::dial::Server;
use crate::echo::codec::Json;
use crate::error::{Error, Result};

/// How long a connection may take to be made, name and handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Builds a [`RedisStore`].
///
/// ```
/// use docache::echo::RedisStore;
/// use docache::echo::codec::LazyJson;
/// use std::time::Duration;
/// let store = RedisStore::builder("redis://:secret@cache.example.com:6379/2")
///     .prefix("prices")
///     .codec(LazyJson)
///     .connect_timeout(Duration::from_millis(200))
///     .build()?;
/// # Ok::<(), docache::Error>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct RedisStoreBuilder<C = Json> {
    url: String,
    prefix: String,
    codec: C,
    connect_timeout: Duration,
}

impl RedisStoreBuilder {
    pub(super) fn new(url: String) -> RedisStoreBuilder {
        RedisStoreBuilder {
            url,
            prefix: "docache".into(),
            codec: Json,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

impl<C> RedisStoreBuilder<C> {
    /// What the keys in Redis begin with: the entry of `key` is at `prefix:key`, and its refresh
    /// lock at `prefix:lock:key`. Default: `docache`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How values become bytes. Default: [`Json`]; a lazy cache needs
    /// [`LazyJson`](crate::echo::codec::LazyJson).
    pub fn codec<D>(self, codec: D) -> RedisStoreBuilder<D> {
        let RedisStoreBuilder { url, prefix, connect_timeout, .. } = self;
        RedisStoreBuilder { url, prefix, codec, connect_timeout }
    }

    /// How long one try to connect may take. No call waits for it longer than its own time.
    /// Default: 500 ms.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The store. It connects when it is first used, so the server need not be there yet.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the URL is none of a Redis server,
    /// or the time is zero.
    pub fn build(self) -> Result<RedisStore<C>> {
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid_argument("connect_timeout", "0ns", "give at least 1ns"));
        }
        let server = Server::new(&self.url, self.connect_timeout).map_err(|reason| {
            let accepted = "give redis://[user][:password@]host[:port][/database], rediss:// for \
                            TLS (feature redis-tls), or unix:///path";
            let accepted = format!("{accepted} ({reason})");
            Error::invalid_argument("url", without_secrets(&self.url), &accepted)
        })?;
        Ok(RedisStore::of(Arc::new(server), self.prefix, self.codec))
    }
}

/// The URL without user and password.
fn without_secrets(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        (None, Some((_, host))) => format!("…@{host}"),
        (_, None) => url.to_owned(),
    }
}

impl<C> fmt::Debug for RedisStoreBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("url", &without_secrets(&self.url))
            .field("prefix", &self.prefix)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}
