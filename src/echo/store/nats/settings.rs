//! What a store is told when it is built.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};

use super::NatsStorage;

/// Who we are.
#[derive(Clone)]
pub(super) enum Login {
    None,
    Token(String),
    User(String, String),
}

/// Without what is secret.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Login::None => f.write_str("None"),
            Login::Token(_) => f.write_str("Token"),
            Login::User(user, _) => f.debug_tuple("User").field(user).finish_non_exhaustive(),
        }
    }
}

pub(super) struct Settings {
    pub(super) servers: Vec<ServerAddr>,
    pub(super) login: Login,
    pub(super) roots: Option<PathBuf>,
    pub(super) bucket: String,
    pub(super) prefix: String,
    pub(super) bucket_ttl: Option<Duration>,
    pub(super) storage: NatsStorage,
    pub(super) replicas: usize,
    pub(super) create: bool,
    pub(super) connect_timeout: Duration,
}

impl Settings {
    /// How to connect. Reconnecting is up to the sessions.
    pub(super) fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new()
            .name("docache")
            .connection_timeout(self.connect_timeout)
            .reconnect_delay_callback(|_| Duration::ZERO)
            .ignore_discovered_servers()
            .ping_interval(Duration::from_secs(1))
            .request_timeout(None);
        options = match self.login.clone() {
            Login::None => options,
            Login::Token(token) => options.token(token),
            Login::User(user, password) => options.user_and_password(user, password),
        };
        match &self.roots {
            Some(roots) => options.add_root_certificates(roots.clone()),
            None => options,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = |server: &ServerAddr| format!("{}:{}", server.host(), server.port());
        f.debug_struct("Settings")
            .field("servers", &self.servers.iter().map(server).collect::<Vec<_>>())
            .field("login", &self.login)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("bucket_ttl", &self.bucket_ttl)
            .finish_non_exhaustive()
    }
}
