//! A real nats-server with JetStream, on a free port of its own, stopped when it is dropped.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) struct Server {
    port: u16,
    name: String,
    folder: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
}

/// The program: `DOCACHE_NATS_SERVER`, or the first that is found.
fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("DOCACHE_NATS_SERVER") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join("nats-server")).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "there is no nats-server: install it (Debian: `apt-get install nats-server`, or \
             `go install github.com/nats-io/nats-server/v2@v2.15.2`), or name it in \
             DOCACHE_NATS_SERVER"
        )
    })
}

/// A port that is free, and that no other test of this process has been given.
fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap();
    let port = loop {
        let port = any_port();
        if !given.contains(&port) {
            break port;
        }
    };
    given.push(port);
    port
}

fn any_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::start_with(&[])
    }

    pub(crate) fn start_without_jetstream() -> Server {
        Server::start_as(&[])
    }

    /// With more arguments for the program.
    pub(crate) fn start_with(arguments: &[&str]) -> Server {
        Server::start_as(&[&["-js"], arguments].concat())
    }

    fn start_as(arguments: &[&str]) -> Server {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("docache-nats-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Server { port: free_port(), name, folder, arguments, child: None };
        for tries in 0.. {
            server.run();
            if server.is_up() {
                break;
            }
            assert!(tries < 5, "nats-server does not come up");
            // Somebody else may have taken the port.
            server.kill();
            server.port = free_port();
        }
        server
    }

    /// Starts it, again if it was killed.
    pub(crate) fn run(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let child = Command::new(program())
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-n", &self.name, "-sd"])
            .arg(&self.folder)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("nats-server cannot be started"));
    }

    /// Waits until it answers, and no other server does. False if it has ended or does not answer
    /// for a while.
    pub(crate) fn is_up(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some()) {
                return false;
            }
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                let mut line = String::new();
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let _ = BufReader::new(stream).read_line(&mut line);
                if line.starts_with("INFO ") && line.contains(&format!("\"{}\"", self.name)) {
                    return true;
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Kills it, with no time to tidy up.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
