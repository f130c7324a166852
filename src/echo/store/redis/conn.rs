//! A connection: what has been sent on it, in order, and who is to have the replies.
//!
//! One thread at a time has it, and sends and reads for all. Replies come in the order of the
//! commands, so the first reply is the first command's, whether its caller is still there or not:
//! a late reply is dropped, and never another's.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Parser, Value};

use super::request::Request;

/// For how long a reply may be late before the connection is given up.
const STALLED: Duration = Duration::from_secs(1);
/// For how long a write blocks before it is looked at the clock again.
const WRITE_LIMIT: Duration = Duration::from_millis(5);
/// For how long a read blocks before what has queued meanwhile is sent.
const READ_LIMIT: Duration = Duration::from_millis(5);
/// What is kept of a buffer that was large once.
const KEPT: usize = 64 * 1024;
/// After what time without use it is seen whether the server has closed a connection.
const IDLE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
    #[cfg(feature = "redis-tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Socket {
    fn set_read_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.set_read_timeout(Some(limit)),
            #[cfg(feature = "redis-tls")]
            Socket::Tls(stream) => stream.sock.set_read_timeout(Some(limit)),
        }
    }

    fn set_write_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.set_write_timeout(Some(limit)),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.set_write_timeout(Some(limit)),
            #[cfg(feature = "redis-tls")]
            Socket::Tls(stream) => stream.sock.set_write_timeout(Some(limit)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.write(bytes),
            #[cfg(feature = "redis-tls")]
            Socket::Tls(stream) => {
                let written = stream.write(bytes)?;
                match stream.flush() {
                    // The bytes are taken: what is left of them is sent by the next call.
                    Err(error) if !is_timeout(&error) => Err(error),
                    _ => Ok(written),
                }
            }
        }
    }

    /// Whether it has what it took still to send.
    fn holds_back(&self) -> bool {
        match self {
            #[cfg(feature = "redis-tls")]
            Socket::Tls(stream) => stream.conn.wants_write(),
            _ => false,
        }
    }

    fn send_held(&mut self) -> io::Result<()> {
        if self.holds_back() { self.write(&[]).map(drop) } else { Ok(()) }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(bytes),
            #[cfg(unix)]
            Socket::Unix(stream) => stream.read(bytes),
            #[cfg(feature = "redis-tls")]
            Socket::Tls(stream) => stream.read(bytes),
        }
    }

    #[cfg(unix)]
    pub(super) fn descriptor(&self) -> i32 {
        use std::os::fd::AsRawFd;
        match self {
            Socket::Tcp(stream) => stream.as_raw_fd(),
            Socket::Unix(stream) => stream.as_raw_fd(),
            #[cfg(feature = "redis-tls")]
            Socket::Tls(stream) => stream.sock.as_raw_fd(),
        }
    }

    /// Whether there is something to read, the end included, though nothing is to come.
    #[cfg(unix)]
    fn has_something(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.descriptor(), events: libc::POLLIN, revents: 0 };
        // SAFETY: it is one descriptor, which is ours.
        unsafe { libc::poll(&raw mut poll, 1, 0) != 0 }
    }

    #[cfg(not(unix))]
    fn has_something(&self) -> bool {
        false
    }
}

/// A socket that is read from once.
struct Once<'s> {
    socket: &'s mut Socket,
    is_read: bool,
    has_come: bool,
    is_closed: bool,
}

impl Read for Once<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.is_read {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.is_read = true;
        match self.socket.read(bytes) {
            Ok(0) => {
                self.is_closed = true;
                Ok(0)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                Err(ErrorKind::WouldBlock.into())
            }
            result => result.inspect(|_| self.has_come = true),
        }
    }
}

/// Commands whose replies are to come.
struct Sent {
    request: Arc<Request>,
    replies: Vec<Value>,
    at: Instant,
}

/// Why a connection is of no use any more.
pub(super) type Broken = String;

pub(super) struct Conn {
    socket: Socket,
    parser: Parser,
    sent: VecDeque<Sent>,
    out: Vec<u8>,
    /// How much of `out` is on its way.
    written: usize,
    read_limit: Duration,
    used: Instant,
    /// When the server was last seen to send or to take something while more was to come.
    heard: Instant,
}

impl Conn {
    pub(super) fn new(socket: Socket) -> io::Result<Conn> {
        socket.set_write_timeout(WRITE_LIMIT)?;
        let now = Instant::now();
        Ok(Conn {
            socket,
            parser: Parser::new(),
            sent: VecDeque::new(),
            out: Vec::new(),
            written: 0,
            read_limit: Duration::ZERO,
            used: now,
            heard: now,
        })
    }

    #[cfg(unix)]
    pub(super) fn descriptor(&self) -> i32 {
        self.socket.descriptor()
    }

    /// Whether the server has closed it while nobody looked.
    pub(super) fn is_stale(&self) -> bool {
        self.sent.is_empty() && self.used.elapsed() >= IDLE && self.socket.has_something()
    }

    /// Takes a request to be sent, unless nobody wants that any more.
    pub(super) fn push(&mut self, request: Arc<Request>, now: Instant) {
        if request.has_left() && !request.insists {
            return;
        }
        self.used = now;
        self.out.extend_from_slice(request.bytes());
        let replies = Vec::with_capacity(request.count());
        self.sent.push_back(Sent { request, replies, at: now });
    }

    /// Sends what there is. What is left when the time is over is sent another time.
    pub(super) fn flush(&mut self, until: Instant) -> Result<(), Broken> {
        while self.written < self.out.len() {
            let is_blocked = match self.socket.write(&self.out[self.written..]) {
                Ok(0) => return Err("Redis has closed the connection".into()),
                Ok(written) => {
                    self.written += written;
                    false
                }
                Err(error) if is_timeout(&error) => true,
                Err(error) => return Err(format!("writing to Redis failed: {error}")),
            };
            if self.written < self.out.len() {
                let now = Instant::now();
                if now >= until {
                    return Ok(());
                }
                if is_blocked {
                    // It may have to get rid of what it sends before it takes more.
                    self.read(now)?;
                } else {
                    self.heard = now;
                }
            }
        }
        self.out.clear();
        self.out.shrink_to(KEPT);
        self.written = 0;
        match self.socket.send_held() {
            Err(error) if !is_timeout(&error) => Err(format!("writing to Redis failed: {error}")),
            _ => Ok(()),
        }
    }

    /// Blocks until something comes, for a while and no longer than there is time, and hands out
    /// the replies that are there.
    pub(super) fn read(&mut self, until: Instant) -> Result<(), Broken> {
        let Some(first) = self.sent.front() else { return Ok(()) };
        // It may have been long since the caller looked at the clock.
        let now = Instant::now();
        let since = first.at.max(self.heard);
        let patience = STALLED.saturating_sub(now.saturating_duration_since(since));
        self.limit(until.saturating_duration_since(now).min(patience))
            .map_err(|error| format!("the connection to Redis is of no use: {error}"))?;
        let mut once =
            Once { socket: &mut self.socket, is_read: false, has_come: false, is_closed: false };
        while !self.sent.is_empty() {
            match self.parser.parse_value(&mut once) {
                Ok(value) => accept(&mut self.sent, value)?,
                Err(_) if once.is_closed => return Err("Redis has closed the connection".into()),
                Err(error) if error.is_timeout() => break,
                Err(error) => return Err(format!("reading from Redis failed: {error}")),
            }
        }
        if self.sent.is_empty() {
            return Ok(());
        }
        if once.has_come {
            self.heard = Instant::now();
        } else if patience.is_zero() {
            // Only now: its reply may have come while nobody looked.
            return Err(format!("Redis has not answered for {STALLED:?}"));
        }
        Ok(())
    }

    /// Bounds the next read, to the millisecond above, so that it is seldom told to the system.
    fn limit(&mut self, limit: Duration) -> io::Result<()> {
        let limit = limit.min(READ_LIMIT).as_micros().div_ceil(1_000).max(1);
        let limit = Duration::from_millis(limit as u64);
        if limit != self.read_limit {
            self.socket.set_read_timeout(limit)?;
            self.read_limit = limit;
        }
        Ok(())
    }

    /// The requests that have been sent, the oldest first.
    pub(super) fn requests(&self) -> impl Iterator<Item = &Arc<Request>> {
        self.sent.iter().map(|sent| &sent.request)
    }

    /// Whether all that it was given has been sent.
    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty() && !self.socket.holds_back()
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn accept(sent: &mut VecDeque<Sent>, value: Value) -> Result<(), Broken> {
    if matches!(value, Value::Push { .. } | Value::Attribute { .. }) {
        return Err("Redis has sent what was not asked for".into());
    }
    let Some(first) = sent.front_mut() else { return Ok(()) };
    first.replies.push(value);
    if first.replies.len() == first.request.count() {
        if let Some(Sent { request, replies, .. }) = sent.pop_front() {
            request.deliver(Ok(replies));
        }
    }
    Ok(())
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("sent", &self.sent.len()).finish_non_exhaustive()
    }
}
