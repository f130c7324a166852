//! The background thread of a store, `docache-redis`: it connects, and reads for tasks.
//!
//! It starts when there is no connection and one is needed, or when a task calls. It leaves when it
//! has had nothing to do for a second, and when its store is dropped.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::{Link, Phase};
use crate::contain::contained;
use crate::housekeeping::spawn;

/// For how long it stays without anything to do.
const LINGERS: Duration = Duration::from_secs(1);

pub(super) fn start(link: Arc<Link>) -> io::Result<()> {
    let body = move || {
        if contained(|| run(&link)).is_err() {
            link.lock().is_tended = false;
            // Starts another.
            link.is_down(None, "the thread for the connection to Redis panicked");
        }
    };
    spawn("docache-redis", body)
}

/// What there is to do.
enum Work {
    Lead(Box<super::conn::Conn>),
    Drop(Box<super::conn::Conn>),
    Connect,
    Wait(Duration),
    Nothing,
    Leave,
}

fn work(link: &Link) -> Work {
    let mut inner = link.lock();
    if inner.is_closed {
        return Work::Leave;
    }
    if let Some(conn) = inner.given_up.take() {
        return Work::Drop(conn);
    }
    if let Some(conn) = inner.lent.take() {
        return Work::Lead(conn);
    }
    match &inner.phase {
        Phase::First(_) => Work::Connect,
        Phase::Down { again, .. } => match again.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Work::Connect,
            left => Work::Wait(left),
        },
        Phase::Idle | Phase::Up => Work::Nothing,
    }
}

fn run(link: &Arc<Link>) {
    loop {
        let rung = link.rung();
        match work(link) {
            Work::Lead(conn) => link.lead_tasks(conn),
            Work::Drop(conn) => link.drop_given_up(conn),
            Work::Connect => match link.server.dial() {
                Ok(conn) => link.is_up(Box::new(conn)),
                Err(reason) => link.is_down(None, &reason),
            },
            Work::Wait(left) => link.listen(rung, left),
            Work::Nothing => {
                link.listen(rung, LINGERS);
                let mut inner = link.lock();
                let is_idle = matches!(inner.phase, Phase::Idle | Phase::Up);
                if link.rung() == rung && is_idle && inner.lent.is_none() {
                    inner.is_tended = false;
                    return;
                }
            }
            Work::Leave => return,
        }
    }
}
