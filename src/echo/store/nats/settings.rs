//! What a store is told when it is built.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::rustls::crypto::ring;
use async_nats::rustls::pki_types::CertificateDer;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::{ClientConfig, RootCertStore};
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
    /// How to connect. Reconnecting is up to the sessions. Reads the certificates that are trusted.
    pub(super) fn options(&self) -> Result<ConnectOptions, String> {
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
        if self.roots.is_some() || self.servers.iter().any(ServerAddr::tls_required) {
            options = options.tls_client_config(self.tls()?);
        }
        Ok(options)
    }

    /// With a provider that is named: a program may have more than one.
    fn tls(&self) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        match &self.roots {
            Some(path) => {
                let failed = |error| format!("no certificates in {}: {error}", path.display());
                for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
                    let added = certificate.map_err(failed).map(|read| roots.add(read))?;
                    added.map_err(|error| format!("{}: {error}", path.display()))?;
                }
            }
            // What cannot be read is not trusted.
            None => {
                let native = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(native.certs);
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS: {error}"))?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
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
