//! The protocol of NATS by hand, over a socket: it shares no code with what is tested.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
    info: String,
    asked: u64,
}

/// A message, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// The lines of the headers; the first has the status.
    pub(crate) headers: Vec<String>,
    pub(crate) payload: Vec<u8>,
}

impl Reply {
    pub(crate) fn status(&self) -> Option<u16> {
        self.headers.first()?.strip_prefix("NATS/1.0 ")?.get(..3)?.parse().ok()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&String| {
            line.split_once(':').is_some_and(|(before, _)| before.eq_ignore_ascii_case(name))
        };
        let (_, value) = self.headers.iter().find(named)?.split_once(':')?;
        Some(value.trim())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }
}

impl Wire {
    pub(crate) fn connect(port: u16) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut wire = Wire { stream: BufReader::new(stream), info: String::new(), asked: 0 };
        wire.info = wire.line();
        assert!(wire.info.starts_with("INFO "), "{:?}", wire.info);
        wire.send(
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\
              \"no_responders\":true,\"lang\":\"hand\",\"version\":\"1\",\"protocol\":1}\r\n\
              SUB _INBOX.hand.* 1\r\nPING\r\n",
        );
        while wire.line() != "PONG" {}
        wire
    }

    /// The server's version, such as (2, 9).
    pub(crate) fn version(&self) -> (u32, u32) {
        let (_, after) = self.info.split_once("\"version\":\"").unwrap();
        let mut numbers = after.split('.').map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn request(
        &mut self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: &[u8],
    ) -> Reply {
        self.asked += 1;
        let inbox = format!("_INBOX.hand.{}", self.asked);
        let mut head = String::from("NATS/1.0\r\n");
        headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        head += "\r\n";
        let (length, total) = (head.len(), head.len() + payload.len());
        let mut bytes = format!("HPUB {subject} {inbox} {length} {total}\r\n{head}").into_bytes();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        self.send(&bytes);
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words[..] {
                ["PING"] => self.send(b"PONG\r\n"),
                ["MSG", to, _, total] => {
                    let reply = self.body(0, total.parse().unwrap());
                    if to == inbox {
                        return reply;
                    }
                }
                ["HMSG", to, _, head, total] => {
                    let reply = self.body(head.parse().unwrap(), total.parse().unwrap());
                    if to == inbox {
                        return reply;
                    }
                }
                _ => assert!(!line.starts_with("-ERR") && !line.is_empty(), "{line:?}"),
            }
        }
    }

    fn body(&mut self, head: usize, total: usize) -> Reply {
        let mut bytes = vec![0; total + 2];
        self.stream.read_exact(&mut bytes).unwrap();
        let headers = String::from_utf8(bytes[..head].to_vec()).unwrap();
        let headers = headers.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Reply { headers, payload: bytes[head..total].to_vec() }
    }

    /// What is under a raw key; `None` if there is no message.
    pub(crate) fn get(&mut self, bucket: &str, raw_key: &str) -> Option<Reply> {
        let subject = format!("$JS.API.DIRECT.GET.KV_{bucket}.$KV.{bucket}.{raw_key}");
        let reply = self.request(&subject, &[], b"");
        match reply.status() {
            None => Some(reply),
            Some(404) => None,
            Some(status) => panic!("a read is answered with {status}"),
        }
    }

    /// The raw value under a key, if it was not removed.
    pub(crate) fn value(&mut self, bucket: &str, raw_key: &str) -> Option<String> {
        let reply = self.get(bucket, raw_key)?;
        let is_marker = reply.header("KV-Operation").is_some();
        (!is_marker).then(|| reply.text().to_owned())
    }

    pub(crate) fn put(&mut self, bucket: &str, raw_key: &str, payload: &[u8]) -> Reply {
        self.put_with(bucket, raw_key, &[], payload)
    }

    pub(crate) fn put_with(
        &mut self,
        bucket: &str,
        raw_key: &str,
        headers: &[(&str, &str)],
        payload: &[u8],
    ) -> Reply {
        let reply = self.request(&format!("$KV.{bucket}.{raw_key}"), headers, payload);
        assert!(reply.text().contains("\"seq\""), "{}", reply.text());
        reply
    }

    /// Asks the JetStream API.
    pub(crate) fn api(&mut self, call: &str, payload: &str) -> String {
        self.request(&format!("$JS.API.{call}"), &[], payload.as_bytes()).text().to_owned()
    }

    /// Waits until something holds, for as long as a busy machine may take.
    pub(crate) fn wait_for(&mut self, what: &str, mut holds: impl FnMut(&mut Wire) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}: that never came");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
