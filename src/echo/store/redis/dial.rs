//! How a connection is made: address, TLS, password, database, scripts.

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Value};

use super::commands;
use super::conn::{Broken, Conn, Socket};
use super::request::{Caller, Commands, Request};

/// Where the server is, and as whom to speak to it.
pub(super) struct Server {
    info: ConnectionInfo,
    timeout: Duration,
    #[cfg(feature = "redis-tls")]
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Server {
    /// What there is to say against a URL is returned.
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Server, String> {
        let info = url.into_connection_info().map_err(|error| error.to_string())?;
        #[cfg(feature = "redis-tls")]
        let tls = match info.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                return Err("#insecure is not supported".into());
            }
            ConnectionAddr::TcpTls { .. } => Some(trust()?),
            _ => None,
        };
        Ok(Server {
            info,
            timeout,
            #[cfg(feature = "redis-tls")]
            tls,
        })
    }

    /// Blocks for a connection that is ready for commands. Names are resolved by the system, in
    /// its own time.
    pub(super) fn dial(&self) -> Result<Conn, Broken> {
        let failed = |error| format!("cannot connect to Redis at {self}: {error}");
        let until = Instant::now() + self.timeout;
        let socket = self.socket(until).map_err(failed)?;
        let mut conn = Conn::new(socket).map_err(failed)?;
        self.introduce(&mut conn, until).map_err(|reason| format!("{self}: {reason}"))?;
        Ok(conn)
    }

    fn socket(&self, until: Instant) -> io::Result<Socket> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) => tcp(host, *port, until).map(Socket::Tcp),
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => {
                std::os::unix::net::UnixStream::connect(path).map(Socket::Unix)
            }
            #[cfg(feature = "redis-tls")]
            ConnectionAddr::TcpTls { host, port, .. } => self.tls(host, *port, until),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    #[cfg(feature = "redis-tls")]
    fn tls(&self, host: &str, port: u16, until: Instant) -> io::Result<Socket> {
        let Some(config) = self.tls.clone() else { return Err(io::ErrorKind::Unsupported.into()) };
        let name = rustls::pki_types::ServerName::try_from(host.to_owned());
        let name = name.map_err(io::Error::other)?;
        let client = rustls::ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = rustls::StreamOwned::new(client, tcp(host, port, until)?);
        let left = until.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        stream.sock.set_read_timeout(Some(left))?;
        stream.sock.set_write_timeout(Some(left))?;
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(Socket::Tls(Box::new(stream)))
    }

    /// Says who we are, and looks at who is there.
    fn introduce(&self, conn: &mut Conn, until: Instant) -> Result<(), Broken> {
        let redis = self.info.redis_settings();
        let (mut first, mut says) = (Commands::new(), Vec::new());
        if let Some(password) = redis.password() {
            first = match redis.username() {
                Some(user) => first.and(&[b"AUTH", user.as_bytes(), password.as_bytes()]),
                None => first.and(&[b"AUTH", password.as_bytes()]),
            };
            says.push("AUTH");
        }
        if redis.db() != 0 {
            first = first.and(&[b"SELECT", redis.db().to_string().as_bytes()]);
            says.push("SELECT");
        }
        first = first.and(&[b"INFO", b"cluster"]);
        for script in commands::SCRIPTS {
            first = first.and(&[b"SCRIPT", b"LOAD", script.text.as_bytes()]);
        }
        let replies = ask(conn, first, until)?;
        for (index, reply) in replies.iter().enumerate() {
            match (says.get(index), reply) {
                (Some(what), Value::ServerError(error)) => {
                    return Err(format!("Redis refuses {what}: {}", commands::told(error)));
                }
                // Who may not ask or load scripts may do so all the same.
                (None, Value::ServerError(error)) if is_not_ready(error.code()) => {
                    return Err(format!("Redis is not ready: {}", commands::told(error)));
                }
                (None, Value::BulkString(text)) if is_cluster(text) => {
                    return Err("it is a node of a Redis Cluster, where an entry and its refresh \
                                lock lie in different slots; that is not supported"
                        .into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_not_ready(code: &str) -> bool {
    matches!(code, "LOADING" | "MASTERDOWN" | "BUSY" | "NOAUTH")
}

fn is_cluster(text: &[u8]) -> bool {
    text.windows(17).any(|part| part == b"cluster_enabled:1")
}

fn ask(conn: &mut Conn, commands: Commands, until: Instant) -> Result<Vec<Value>, Broken> {
    let request = Arc::new(Request::new(commands, Caller::Thread));
    request.lead();
    let mut now = Instant::now();
    conn.push(request.clone(), now);
    while !request.is_done() {
        if now >= until {
            return Err("Redis does not answer".into());
        }
        conn.flush(until)?;
        conn.read(until)?;
        now = Instant::now();
    }
    match request.take() {
        Some(Ok(replies)) => Ok(replies),
        _ => Err("Redis does not answer".into()),
    }
}

fn tcp(host: &str, port: u16, until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What the system trusts.
#[cfg(feature = "redis-tls")]
fn trust() -> Result<Arc<rustls::ClientConfig>, String> {
    let mut roots = rustls::RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        let why = native.errors.first().map(ToString::to_string).unwrap_or_default();
        return Err(format!("the system has no certificates to trust: {why}"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// The address, without a password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.info.addr())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.to_string())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
