//! A server that answers when a test tells it to, and with what.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::LONG;

/// How it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    AtOnce,
    /// So many bytes, and then a pause.
    Slowly(usize, Duration),
    Never,
}

struct Shared {
    reads: Mutex<Reads>,
    changed: Condvar,
    accepted: AtomicUsize,
    /// The newest connection.
    stream: Mutex<Option<TcpStream>>,
}

pub(crate) struct Fake {
    port: u16,
    shared: Arc<Shared>,
    commands: Mutex<Receiver<Vec<String>>>,
}

impl Fake {
    /// What a store says to introduce itself it answers by itself.
    pub(crate) fn start() -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            reads: Mutex::new(Reads::AtOnce),
            changed: Condvar::new(),
            accepted: AtomicUsize::new(0),
            stream: Mutex::new(None),
        });
        let (send, commands) = mpsc::channel();
        let others = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                *others.stream.lock().unwrap() = Some(stream.try_clone().unwrap());
                others.accepted.fetch_add(1, Ordering::SeqCst);
                let (shared, send) = (others.clone(), send.clone());
                std::thread::spawn(move || serve(&stream, &shared, &send));
            }
        });
        Fake { port, shared, commands: Mutex::new(commands) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there were.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, reads: Reads) {
        *self.shared.reads.lock().unwrap() = reads;
        self.shared.changed.notify_all();
    }

    /// Waits for the key that is read next.
    pub(crate) fn get(&self) -> String {
        self.get_within(LONG).expect("a key is read")
    }

    /// The key that is read next, if that comes in time.
    pub(crate) fn get_within(&self, limit: Duration) -> Option<String> {
        loop {
            match self.command_within(limit) {
                Ok(parts) if parts[0] == "GET" => return Some(parts[1].clone()),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => unreachable!("the listener has the sender"),
            }
        }
    }

    fn command_within(&self, limit: Duration) -> Result<Vec<String>, RecvTimeoutError> {
        self.commands.lock().unwrap().recv_timeout(limit)
    }

    /// Waits until a connection is closed by its client.
    pub(crate) fn wait_for_end(&self) {
        while self.command_within(LONG).expect("it is closed")[0] != "END" {}
    }

    /// Answers a read of a key: the value, which lives for ever.
    pub(crate) fn answer(&self, value: &str) {
        self.send(&format!(":-1\r\n${}\r\n{value}\r\n", value.len()));
    }

    pub(crate) fn send(&self, raw: &str) {
        let stream = self.shared.stream.lock().unwrap();
        stream.as_ref().expect("it is connected").write_all(raw.as_bytes()).unwrap();
    }

    /// Closes the connection.
    pub(crate) fn cut(&self) {
        if let Some(stream) = self.shared.stream.lock().unwrap().take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A stream that is read as the test says.
struct Gate<'s>(&'s TcpStream, &'s Shared);

impl Read for Gate<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let reads = {
            let reads = self.1.reads.lock().unwrap();
            *self.1.changed.wait_while(reads, |reads| *reads == Reads::Never).unwrap()
        };
        let Reads::Slowly(most, pause) = reads else { return self.0.read(bytes) };
        std::thread::sleep(pause);
        let most = most.min(bytes.len());
        self.0.read(&mut bytes[..most])
    }
}

fn serve(stream: &TcpStream, shared: &Shared, commands: &Sender<Vec<String>>) {
    let mut reader = BufReader::new(Gate(stream, shared));
    while let Some(parts) = command(&mut reader) {
        let answer = match parts[0].as_str() {
            "INFO" => "$17\r\ncluster_enabled:0\r\n",
            "SCRIPT" => "+OK\r\n",
            _ => {
                if commands.send(parts).is_err() {
                    return;
                }
                continue;
            }
        };
        let mut stream = stream;
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
    let _ = commands.send(vec!["END".to_owned()]);
}

fn command(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let count = number(reader, '*')?;
    let mut parts = Vec::new();
    for _ in 0..count {
        let size = number(reader, '$')?;
        let mut bytes = vec![0; size + 2];
        reader.read_exact(&mut bytes).ok()?;
        bytes.truncate(size);
        parts.push(String::from_utf8(bytes).ok()?);
    }
    Some(parts)
}

fn number(reader: &mut impl BufRead, kind: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.strip_prefix(kind)?.trim_end().parse().ok()
}
