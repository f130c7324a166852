//! A Redis server for the time of the measurements.

use std::error::Error;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Ends with its owner.
#[derive(Debug)]
pub(super) struct Server {
    port: u16,
    child: Child,
}

/// How long the server may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

impl Server {
    /// A server on a free port of the loopback interface, which keeps nothing on disk; `None` if it
    /// is not installed. `DOCACHE_REDIS_SERVER` names another program than `redis-server`.
    pub(super) fn start() -> Result<Option<Server>, Box<dyn Error>> {
        let named = std::env::var("DOCACHE_REDIS_SERVER");
        let program = named.unwrap_or_else(|_| "redis-server".to_owned());
        // Somebody else may take the port before the server does.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let child = Command::new(&program)
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
                .current_dir(std::env::temp_dir())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let child = match child {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                child => child?,
            };
            let mut server = Server { port, child };
            if server.begins()? {
                return Ok(Some(server));
            }
        }
        Err(format!("{program} does not start").into())
    }

    fn begins(&mut self) -> Result<bool, Box<dyn Error>> {
        let (start, client) = (Instant::now(), redis::Client::open(self.url())?);
        while start.elapsed() < PATIENCE && self.child.try_wait()?.is_none() {
            let ping = |mut connection| redis::cmd("PING").query::<()>(&mut connection);
            if client.get_connection().and_then(ping).is_ok() {
                // Not that of another server on this port.
                return Ok(self.child.try_wait()?.is_none());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(false)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to keep, and one that has ended already is none to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
