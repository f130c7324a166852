//! Servers on free loopback ports, for programs that need one. They are stopped when dropped.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::cmd::Cmd;
use crate::tool;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);
/// The NATS server of today, beside the distribution's.
const NATS_CURRENT: &str = "github.com/nats-io/nats-server/v2@v2.15.2";

/// A server that runs.
pub(crate) struct Server {
    url: String,
    child: Child,
    _folder: TempDir,
}

impl Server {
    pub(crate) fn redis() -> Result<Server> {
        let program = program("DOCACHE_REDIS_SERVER", "/usr/bin/redis-server");
        Server::start(&program, "redis", |port, folder| {
            format!("--port {port} --bind 127.0.0.1 --save --appendonly no --dir {folder}")
        })
    }

    pub(crate) fn nats() -> Result<Server> {
        let program = program("DOCACHE_NATS_SERVER", "/usr/sbin/nats-server");
        Server::start(&program, "nats", |port, folder| {
            format!("-a 127.0.0.1 -p {port} -js -sd {folder}")
        })
    }

    fn start(
        program: &Path,
        scheme: &str,
        arguments: impl Fn(u16, &str) -> String,
    ) -> Result<Server> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = TempDir::new()?;
        let arguments = arguments(port, &folder.path().to_string_lossy());
        let child = Command::new(program)
            .args(arguments.split(' '))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let url = format!("{scheme}://127.0.0.1:{port}");
        let server = Server { url, child, _folder: folder };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begun.elapsed() > PATIENCE {
                bail!("{} {arguments} does not listen", program.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(env: &str, usual: &str) -> PathBuf {
    std::env::var_os(env).unwrap_or_else(|| usual.into()).into()
}

/// Makes sure that the servers are there that the tests start.
pub(crate) fn need() -> Result<()> {
    tool::need_server(&tool::REDIS_SERVER, "DOCACHE_REDIS_SERVER")?;
    tool::need_server(&tool::NATS_SERVER, "DOCACHE_NATS_SERVER")
}

/// A current NATS server, built if it is not there yet.
pub(crate) fn current_nats() -> Result<PathBuf> {
    tool::need(&[&tool::GO])?;
    let folder = std::path::absolute("target/nats-current")?;
    let program = folder.join("nats-server");
    if !program.exists() {
        Cmd::new("go").words("install").arg(NATS_CURRENT).env("GOBIN", &folder).run()?;
    }
    Ok(program)
}
