//! A Redis server of a test's own, and a client that shares no code with the library.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Ends with its owner.
pub(crate) struct Server {
    port: u16,
    options: Vec<String>,
    folder: PathBuf,
    child: Option<Child>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::with(&[])
    }

    /// With these options besides.
    pub(crate) fn with(options: &[&str]) -> Server {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("docache-redis-{}-{count}", std::process::id());
        let mut folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut options = options.iter().map(ToString::to_string).collect();
        // Somebody else may take the port before the server does.
        for _ in 0..5 {
            let mut server = Server { port: free_port(), options, folder, child: None };
            if server.try_run() {
                return server;
            }
            (options, folder) = server.into_parts();
        }
        panic!("redis-server does not start");
    }

    fn into_parts(mut self) -> (Vec<String>, PathBuf) {
        (std::mem::take(&mut self.options), std::mem::take(&mut self.folder))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// Starts it again, where it was.
    pub(crate) fn run(&mut self) {
        assert!(self.try_run(), "redis-server does not start");
    }

    fn try_run(&mut self) -> bool {
        let program =
            std::env::var("DOCACHE_REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
        let mut command = Command::new(&program);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--dir").arg(&self.folder).args(&self.options);
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "{program} cannot be run ({error}): install a Redis server (apt install \
                 redis-server), or name one by DOCACHE_REDIS_SERVER"
            )
        });
        self.child = Some(child);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            if let Ok(mut client) = Client::try_new(self.port) {
                if matches!(client.try_ask(&["PING"]), Some(Reply::Error(_) | Reply::Text(_))) {
                    return true;
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// By SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::try_new(self.port).unwrap()
    }
}

pub(crate) fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if !self.folder.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Text(Vec<u8>),
    Number(i64),
    Nothing,
    Error(String),
    Many(Vec<Reply>),
}

/// Speaks the protocol by hand.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    fn try_new(port: u16) -> std::io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Client(BufReader::new(stream)))
    }

    fn try_ask(&mut self, parts: &[&str]) -> Option<Reply> {
        let mut text = format!("*{}\r\n", parts.len());
        for part in parts {
            text += &format!("${}\r\n{part}\r\n", part.len());
        }
        self.0.get_mut().write_all(text.as_bytes()).ok()?;
        self.reply()
    }

    pub(crate) fn ask(&mut self, parts: &[&str]) -> Reply {
        self.try_ask(parts).expect("the server answers")
    }

    fn reply(&mut self) -> Option<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let (kind, rest) = line.trim_end().split_at(1);
        Some(match kind {
            "+" => Reply::Text(rest.as_bytes().to_vec()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Number(rest.parse().ok()?),
            "$" | "*" if rest == "-1" => Reply::Nothing,
            "$" => {
                let mut text = vec![0; rest.parse::<usize>().ok()? + 2];
                self.0.read_exact(&mut text).ok()?;
                text.truncate(text.len() - 2);
                Reply::Text(text)
            }
            "*" => {
                let count = rest.parse::<usize>().ok()?;
                Reply::Many((0..count).map(|_| self.reply()).collect::<Option<_>>()?)
            }
            other => panic!("{other}{rest}"),
        })
    }

    /// The raw value of a key.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        match self.ask(&["GET", key]) {
            Reply::Text(text) => Some(String::from_utf8(text).unwrap()),
            Reply::Nothing => None,
            other => panic!("{other:?}"),
        }
    }

    /// How long a key lives still, in milliseconds.
    pub(crate) fn left(&mut self, key: &str) -> i64 {
        match self.ask(&["PTTL", key]) {
            Reply::Number(left) => left,
            other => panic!("{other:?}"),
        }
    }
}
