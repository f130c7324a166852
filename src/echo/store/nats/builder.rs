//! How a store is built.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::ServerAddr;

use super::NatsStore;
use super::settings::{Login, Settings};
use crate::echo::codec::Json;
use crate::error::{Error, Result};

/// Where the server keeps a bucket that is created.
///
/// ```
/// # #[cfg(feature = "nats")] {
/// use docache::echo::{NatsStorage, NatsStore};
/// let store = NatsStore::builder("nats://localhost", "rates")
///     .storage(NatsStorage::Memory)
///     .build()?;
/// # }
/// # Ok::<(), docache::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NatsStorage {
    /// In files: it outlives the server.
    #[default]
    File,
    /// In memory.
    Memory,
}

/// Builds a [`NatsStore`].
///
/// ```
/// use docache::echo::NatsStore;
/// use std::time::Duration;
/// let store = NatsStore::builder("nats://localhost:4222", "rates")
///     .prefix("shop")
///     .bucket_ttl(Duration::from_secs(3600))
///     .build()?;
/// # Ok::<(), docache::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct NatsStoreBuilder<C = Json> {
    urls: Vec<String>,
    login: Login,
    roots: Option<PathBuf>,
    bucket: String,
    prefix: String,
    bucket_ttl: Option<Duration>,
    storage: NatsStorage,
    replicas: usize,
    create: bool,
    connect_timeout: Duration,
    codec: C,
}

impl NatsStoreBuilder<Json> {
    pub(super) fn new(url: String, bucket: String) -> Self {
        NatsStoreBuilder {
            urls: vec![url],
            login: Login::None,
            roots: None,
            bucket,
            prefix: "docache".to_owned(),
            bucket_ttl: None,
            storage: NatsStorage::default(),
            replicas: 1,
            create: true,
            connect_timeout: Duration::from_millis(750),
            codec: Json,
        }
    }
}

impl<C> NatsStoreBuilder<C> {
    /// One more server of the same cluster. A new connection is to any of those that are named.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// The beginning of all keys, so that a bucket can be shared. Dots at its end do not count.
    /// Default: `docache`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The format of the values. Default: [`Json`].
    pub fn codec<D>(self, codec: D) -> NatsStoreBuilder<D> {
        NatsStoreBuilder {
            urls: self.urls,
            login: self.login,
            roots: self.roots,
            bucket: self.bucket,
            prefix: self.prefix,
            bucket_ttl: self.bucket_ttl,
            storage: self.storage,
            replicas: self.replicas,
            create: self.create,
            connect_timeout: self.connect_timeout,
            codec,
        }
    }

    /// How long the bucket keeps anything. Should the bucket exist with another time to live, all
    /// calls fail. Default: for ever, or whatever an existing bucket has.
    pub fn bucket_ttl(mut self, ttl: Duration) -> Self {
        self.bucket_ttl = Some(ttl);
        self
    }

    /// Where a bucket that is created is kept. Default: [`NatsStorage::File`].
    pub fn storage(mut self, storage: NatsStorage) -> Self {
        self.storage = storage;
        self
    }

    /// On how many servers of a cluster a bucket that is created is kept. Default: 1.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Whether a bucket that is not there is created. Default: yes.
    pub fn create_bucket(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Logs in with a token. What is said here goes before what the URL says, as in
    /// `nats://token@host` and `nats://user:password@host`.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.login = Login::Token(token.into());
        self
    }

    /// Logs in as a user.
    pub fn user_and_password(
        mut self,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        self.login = Login::User(user.into(), password.into());
        self
    }

    /// A file with the certificates, in PEM, that are trusted over TLS, in place of the system's.
    /// TLS is used for `tls://` URLs, and if the server asks for it.
    pub fn root_certificates(mut self, path: impl Into<PathBuf>) -> Self {
        self.roots = Some(path.into());
        self
    }

    /// How long one attempt to connect may take. Attempts are made in the background. Default:
    /// 750 ms.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The store. It connects when it is first used.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a URL that cannot be read, for a
    /// bucket or a prefix with characters that NATS does not allow, for a time to live below 100 ms
    /// and for a number of replicas that is not from 1 to 5.
    pub fn build(self) -> Result<NatsStore<C>> {
        let servers = self.urls.iter().map(|url| server(url)).collect::<Result<Vec<_>>>()?;
        let in_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if self.bucket.is_empty() || !self.bucket.chars().all(in_name) {
            return invalid("bucket", &self.bucket, "give letters, digits, `-` and `_`");
        }
        let prefix = self.prefix.trim_end_matches('.');
        let in_key = |c: char| in_name(c) || "/=.".contains(c);
        let is_dotted = prefix.starts_with('.') || prefix.contains("..");
        if prefix.is_empty() || is_dotted || !prefix.chars().all(in_key) {
            let accepted = "give letters, digits, `-`, `_`, `/`, `=`, and single dots between them";
            return invalid("prefix", &self.prefix, accepted);
        }
        if let Some(ttl) = self.bucket_ttl.filter(|ttl| *ttl < Duration::from_millis(100)) {
            return invalid("bucket_ttl", &format!("{ttl:?}"), "give at least 100ms");
        }
        if !(1..=5).contains(&self.replicas) {
            return invalid("replicas", &self.replicas.to_string(), "give 1 to 5");
        }
        if self.connect_timeout.is_zero() {
            return invalid("connect_timeout", "0ns", "give at least 1ns");
        }
        let login = match self.login {
            Login::None => servers.first().map_or(Login::None, login),
            login => login,
        };
        let settings = Settings {
            servers,
            login,
            roots: self.roots,
            bucket: self.bucket,
            prefix: prefix.to_owned(),
            bucket_ttl: self.bucket_ttl,
            storage: self.storage,
            replicas: self.replicas,
            create: self.create,
            connect_timeout: self.connect_timeout,
        };
        Ok(NatsStore::with(settings, self.codec))
    }
}

fn invalid<R>(name: &str, value: &str, accepted: &str) -> Result<R> {
    Err(Error::invalid_argument(name, value, accepted))
}

/// The server that a URL names. What is wrong is told without the URL, which may have a password.
fn server(url: &str) -> Result<ServerAddr> {
    let accepted = "give nats://HOST[:PORT] or tls://HOST[:PORT]";
    let server: ServerAddr = match url.parse() {
        Ok(server) => server,
        Err(_) => return invalid("url", "a text that is no URL of a server", accepted),
    };
    match server.scheme() {
        "nats" | "tls" if !server.host().is_empty() => Ok(server),
        other => invalid("url", &format!("the scheme {other:?}"), accepted),
    }
}

/// What a URL says of who we are.
fn login(server: &ServerAddr) -> Login {
    match (server.username(), server.password()) {
        (Some(user), Some(password)) => Login::User(unescaped(user), unescaped(password)),
        (Some(token), None) => Login::Token(unescaped(token)),
        (None, _) => Login::None,
    }
}

/// A part of a URL without `%XX`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%');
        let hex = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn arguments_are_checked() {
        let build = |url: &str, bucket: &str, prefix: &str| {
            NatsStore::builder(url, bucket).prefix(prefix).build().map_err(|error| error.kind())
        };
        assert!(build("localhost", "b-1_B", "app...").is_ok());
        let invalid = Some(ErrorKind::InvalidArgument);
        for (url, bucket, prefix) in [
            ("ws://localhost", "b", "app"),
            ("nats://[", "b", "app"),
            ("localhost", "", "app"),
            ("localhost", "a.b", "app"),
            ("localhost", "b", ""),
            ("localhost", "b", "..."),
            ("localhost", "b", "a..b"),
            ("localhost", "b", "a b"),
            ("localhost", "b", "a*"),
        ] {
            assert_eq!(build(url, bucket, prefix).err(), invalid, "{url} {bucket} {prefix}");
        }
        let builder = || NatsStore::builder("localhost", "b");
        let short = builder().bucket_ttl(Duration::from_millis(99)).build();
        assert_eq!(short.err().map(|error| error.kind()), invalid);
        assert_eq!(builder().replicas(6).build().err().map(|error| error.kind()), invalid);
    }

    #[test]
    fn a_url_can_have_a_token_or_a_user_and_is_not_shown() {
        let of = |url: &str| login(&server(url).unwrap());
        assert!(matches!(of("nats://s%2Fcret@host"), Login::Token(token) if token == "s/cret"));
        let Login::User(user, password) = of("nats://ada:p%40ss%zz@host:1") else { panic!() };
        assert_eq!((user.as_str(), password.as_str()), ("ada", "p@ss%zz"));
        let store = NatsStore::builder("nats://ada:secret@host", "b").build().unwrap();
        assert!(!format!("{store:?}").contains("secret"));
    }
}
