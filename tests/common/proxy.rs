//! A TCP proxy that is told what to do with what passes through it, and counts round trips. It
//! knows nothing of the protocol.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What becomes of what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing happens to it.
    Pass,
    /// It is held until something else is said, and so are new connections.
    Blackhole,
    /// What the server sends comes so much later.
    Delay(Duration),
    /// Connections are closed, new ones too.
    Cut,
    /// What the server sends is changed.
    Garble,
    /// Of what the server sends half comes, and then the end.
    Truncate,
}

struct Shared {
    fault: Mutex<Fault>,
    target: SocketAddr,
    trips: AtomicUsize,
    accepted: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits while everything is held.
    fn hold(&self) -> bool {
        while self.fault() == Fault::Blackhole && !self.is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        !self.is_over.load(Ordering::Relaxed)
    }
}

pub(crate) struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<thread::JoinHandle<()>>,
}

impl Proxy {
    /// A proxy before a server on this machine.
    pub(crate) fn new(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            fault: Mutex::new(Fault::Pass),
            target: ([127, 0, 0, 1], port).into(),
            trips: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            open: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let acceptor = {
            let shared = shared.clone();
            thread::spawn(move || accept(&listener, &shared))
        };
        Proxy { shared, address, acceptor: Some(acceptor) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
        if fault == Fault::Cut {
            self.shared.cut();
        }
    }

    /// Closes the connections that there are.
    pub(crate) fn cut_once(&self) {
        self.shared.cut();
    }

    /// How often the clients have begun to send since the server last sent, in all.
    pub(crate) fn trips(&self) -> usize {
        self.shared.trips.load(Ordering::SeqCst)
    }

    /// How many connections there were.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.shared.cut();
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.is_over.load(Ordering::Relaxed) {
            return;
        }
        let Ok(client) = client else { continue };
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        if shared.fault() != Fault::Cut {
            let shared = shared.clone();
            thread::spawn(move || serve(client, &shared));
        }
    }
}

fn serve(client: TcpStream, shared: &Arc<Shared>) {
    shared.open.lock().unwrap().push(client.try_clone().unwrap());
    if !shared.hold() {
        return;
    }
    let Ok(server) = TcpStream::connect(shared.target) else {
        let _ = client.shutdown(Shutdown::Both);
        return;
    };
    shared.open.lock().unwrap().push(server.try_clone().unwrap());
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let is_asked = Arc::new(AtomicBool::new(false));
    let back = {
        let (server, client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let (shared, is_asked) = (shared.clone(), is_asked.clone());
        thread::spawn(move || {
            pump(server, client, &shared, |bytes| {
                is_asked.store(false, Ordering::SeqCst);
                answer(bytes, &shared)
            });
        })
    };
    pump(client, server, shared, |_| {
        if !is_asked.swap(true, Ordering::SeqCst) {
            shared.trips.fetch_add(1, Ordering::SeqCst);
        }
        true
    });
    let _ = back.join();
}

/// Does with an answer what is to be done. Whether the connection goes on.
fn answer(bytes: &mut Vec<u8>, shared: &Shared) -> bool {
    match shared.fault() {
        Fault::Delay(span) => thread::sleep(span),
        Fault::Garble => bytes.iter_mut().for_each(|byte| *byte ^= 0x15),
        Fault::Truncate => {
            bytes.truncate(bytes.len() / 2);
            return false;
        }
        _ => {}
    }
    true
}

fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    shared: &Shared,
    mut passes: impl FnMut(&mut Vec<u8>) -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !shared.hold() {
            break;
        }
        let mut bytes = buffer[..count].to_vec();
        let goes_on = passes(&mut bytes);
        if to.write_all(&bytes).is_err() || !goes_on {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
