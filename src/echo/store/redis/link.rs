//! The one connection of a store, and how its callers share it.
//!
//! # State
//! `phase` says whether there is a connection. If there is, it is in one of these places:
//!
//! ```text
//!  free ──► a caller's thread that finds it there ──┐
//!    ▲                                              ├─ sends what is queued, reads, hands out
//!    │  ┌─► handed: a waiting thread is appointed ──┤  replies until its own are there
//!    │  ├─► lent: the background thread, for tasks ─┘
//!    └──┴──────────────────── hand_over ◄───────────┘
//! ```
//!
//! So a lone caller sends and reads by itself. Whoever comes while another one has the connection
//! queues; what has queued is sent in one write, and its replies come in few reads. A read is
//! short, so that nobody's commands wait for long until the reply of another's comes.
//!
//! A thread that is appointed has to wake up first, and so has the background thread. Who comes
//! meanwhile takes the connection away from them and reads: on a busy machine all would wait for
//! the one thread that does not run.
//!
//! # Invariants
//! - ONE: the connection is in one of these places, or one thread has it, which brings it back
//!   whatever happens ([`Leading`]).
//! - NOBODY WAITS IN VAIN: with a connection, whatever is queued or sent has someone who reads: its
//!   own thread is appointed if nobody else is left; for tasks it is the background thread.
//! - APPOINTED: a request that waits is `LEAD` as long as `handed` has it, which changes together,
//!   under the lock.
//! - IN TIME: a caller leaves when its time is over, and the connection stays with those who wait.
//! - ORDER: of locks, `inner` comes before a request's slot. User code runs under neither: wakers
//!   are called and values dropped after.
//!
//! # Fork
//! A child finds `forks` another number than its own, and makes a link of its own. It closes its
//! copy of the parent's connection and leaves the rest of the parent's link alone.

use std::io;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::conn::Conn;
use super::dial::Server;
use super::request::{Caller, Commands, Failed, Outcome, Request, Waited};
use crate::echo::error::StoreError;
use crate::echo::lock::random;
use crate::echo::store::Within;
use crate::sync::fork::forks;
use crate::sync::parking;

/// For how long calls wait for a connection that has not failed yet, if they have so much time.
const PATIENCE: Duration = Duration::from_millis(250);
/// The first and the longest pause between two tries to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(400));

const NO_SENSE: &str = "Redis has sent what makes no sense";

/// No call has more time than this.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// Whether there is a connection.
#[derive(Debug)]
pub(super) enum Phase {
    /// None was needed yet.
    Idle,
    /// One is being made, and calls wait for it until then.
    First(Instant),
    Up,
    /// It broke or could not be made, so many times in a row; tried again at that time.
    Down {
        reason: Arc<str>,
        again: Instant,
        failures: u32,
    },
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) phase: Phase,
    queue: Vec<Arc<Request>>,
    free: Option<Box<Conn>>,
    /// With whose thread is appointed to read.
    handed: Option<(Box<Conn>, Arc<Request>)>,
    pub(super) lent: Option<Box<Conn>>,
    /// The one before, for the background thread to be rid of.
    pub(super) given_up: Option<Box<Conn>>,
    /// Whether the background thread is there.
    pub(super) is_tended: bool,
    /// A reply made no sense.
    is_suspect: bool,
    pub(super) is_closed: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) server: Arc<Server>,
    pub(super) forks: u32,
    /// The connection's, or -1.
    descriptor: AtomicI32,
    /// Rung for the background thread.
    bell: AtomicU32,
    /// Starts that thread.
    start: fn(Arc<Link>) -> io::Result<()>,
    inner: Mutex<Inner>,
}

impl Link {
    pub(super) fn new(server: Arc<Server>, start: fn(Arc<Link>) -> io::Result<()>) -> Link {
        Link {
            server,
            forks: forks(),
            descriptor: AtomicI32::new(-1),
            bell: AtomicU32::new(0),
            start,
            inner: Mutex::new(Inner {
                phase: Phase::Idle,
                queue: Vec::new(),
                free: None,
                handed: None,
                lent: None,
                given_up: None,
                is_tended: false,
                is_suspect: false,
                is_closed: false,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the child's copy of the parent's connection. The rest is left alone.
    #[cfg(unix)]
    pub(super) fn abandon(&self) {
        let descriptor = self.descriptor.swap(-1, Ordering::Relaxed);
        if descriptor >= 0 {
            // SAFETY: in this process nothing uses it any more, and nothing will close it again:
            // the link is of another process, and never dropped in this one.
            unsafe { libc::close(descriptor) };
        }
    }

    #[cfg(not(unix))]
    pub(super) fn abandon(&self) {}

    /// Ends the background thread, and the connection with it.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        self.descriptor.store(-1, Ordering::Relaxed);
        let conns = (inner.free.take(), inner.lent.take(), inner.given_up.take());
        drop(inner);
        drop(conns);
        self.ring();
    }

    fn ring(&self) {
        self.bell.fetch_add(1, Ordering::Release);
        parking::wake_one(&self.bell);
    }

    /// What the bell says, to be compared.
    pub(super) fn rung(&self) -> u32 {
        self.bell.load(Ordering::Acquire)
    }

    /// Sleeps until the bell says something else, or for so long.
    pub(super) fn listen(&self, rung: u32, limit: Duration) {
        parking::wait(&self.bell, rung, Some(limit));
    }

    /// Whether a call may queue now.
    fn admit(self: &Arc<Self>, inner: &mut Inner) -> Result<(), Failed> {
        match &inner.phase {
            Phase::Up => return Ok(()),
            Phase::First(until) if Instant::now() < *until => return Ok(()),
            Phase::First(_) => return Err(Failed::Down("Redis has not answered yet".into())),
            Phase::Down { reason, .. } if inner.is_tended => {
                return Err(Failed::Down(reason.clone()));
            }
            Phase::Idle | Phase::Down { .. } => {}
        }
        self.begin_anew(inner)
    }

    /// Has a connection made, for which calls may wait.
    fn begin_anew(self: &Arc<Self>, inner: &mut Inner) -> Result<(), Failed> {
        inner.phase = Phase::First(Instant::now() + PATIENCE);
        self.tend(inner).inspect_err(|failed| {
            let reason = match failed {
                Failed::Down(reason) => reason.clone(),
                Failed::Timeout => "".into(),
            };
            inner.phase = Phase::Down { reason, again: Instant::now(), failures: 0 };
        })
    }

    /// Sees to it that the background thread is there, and looks.
    fn tend(self: &Arc<Self>, inner: &mut Inner) -> Result<(), Failed> {
        if inner.is_tended {
            self.ring();
            return Ok(());
        }
        let started = (self.start)(self.clone());
        inner.is_tended = started.is_ok();
        started.map_err(|error| {
            let reason = format!("there is no thread for the connection to Redis: {error}");
            Failed::Down(reason.into())
        })
    }

    /// The free connection, if there is one that still is one.
    fn take_free(self: &Arc<Self>, inner: &mut Inner) -> Result<Option<Box<Conn>>, Failed> {
        let Some(conn) = inner.free.take() else { return Ok(None) };
        if inner.is_suspect || conn.is_stale() {
            inner.is_suspect = false;
            inner.given_up = Some(conn);
            self.descriptor.store(-1, Ordering::Relaxed);
            self.begin_anew(inner)?;
            return Ok(None);
        }
        Ok(Some(conn))
    }

    /// The connection, if nobody reads from it yet.
    fn take_unread(self: &Arc<Self>, inner: &mut Inner) -> Result<Option<Box<Conn>>, Failed> {
        if let Some((conn, appointed)) = inner.handed.take() {
            appointed.dismiss();
            return Ok(Some(conn));
        }
        match inner.lent.take() {
            Some(conn) => Ok(Some(conn)),
            None => self.take_free(inner),
        }
    }

    /// Blocks for the replies.
    pub(super) fn call(
        self: &Arc<Self>,
        commands: Commands,
        within: &Within<'_>,
    ) -> Result<Vec<::redis::Value>, StoreError> {
        // Before it is asked how much time is left: a thread that stands still between the two has
        // less, not more.
        let now = Instant::now();
        let left = within.left();
        if left.is_zero() {
            return Err(Failed::Timeout.into());
        }
        let until = now + left.min(FAR);
        let request = Arc::new(Request::new(commands, Caller::Thread));
        let mut inner = self.lock();
        self.admit(&mut inner)?;
        let outcome = match self.take_unread(&mut inner)? {
            Some(mut conn) => {
                drop(inner);
                request.lead();
                conn.push(request.clone(), now);
                self.lead(conn, &request, (now, until))
            }
            None => {
                inner.queue.push(request.clone());
                drop(inner);
                self.wait(&request, until)
            }
        };
        Ok(outcome?)
    }

    /// Queues for a task.
    pub(super) fn submit(self: &Arc<Self>, request: &Arc<Request>) -> Result<(), Failed> {
        let mut inner = self.lock();
        self.admit(&mut inner)?;
        if let Some(conn) = self.take_free(&mut inner)? {
            if let Err(failed) = self.tend(&mut inner) {
                inner.free = Some(conn);
                return Err(failed);
            }
            inner.lent = Some(conn);
        }
        inner.queue.push(request.clone());
        Ok(())
    }

    fn wait(self: &Arc<Self>, request: &Arc<Request>, until: Instant) -> Outcome {
        loop {
            match request.wait(until) {
                Waited::Done => return request.take().unwrap_or(Err(Failed::Timeout)),
                Waited::Over => return Err(Failed::Timeout),
                Waited::Lead => {}
            }
            let mut inner = self.lock();
            let own = inner.handed.take_if(|(_, appointed)| Arc::ptr_eq(appointed, request));
            drop(inner);
            // If there is none, somebody else was quicker.
            if let Some((conn, _)) = own {
                return self.lead(conn, request, (Instant::now(), until));
            }
        }
    }

    /// Sends and reads for all until the caller's own replies are there.
    fn lead(
        self: &Arc<Self>,
        conn: Box<Conn>,
        request: &Arc<Request>,
        (mut now, until): (Instant, Instant),
    ) -> Outcome {
        let mut leading = Leading { link: self, conn: Some(conn) };
        while !request.is_done() && now < until {
            if let Err(reason) = leading.turn(now, until) {
                leading.fail(&reason);
                break;
            }
            if request.is_done() {
                break;
            }
            now = Instant::now();
        }
        request.step_down();
        drop(leading);
        request.take().unwrap_or(Err(Failed::Timeout))
    }

    /// Sends and reads for the tasks, while there are any.
    pub(super) fn lead_tasks(self: &Arc<Self>, conn: Box<Conn>) {
        /// For how long a read of the background thread blocks.
        const TURN: Duration = Duration::from_millis(50);
        let mut leading = Leading { link: self, conn: Some(conn) };
        while leading.has_tasks() {
            let now = Instant::now();
            if let Err(reason) = leading.turn(now, now + TURN) {
                return leading.fail(&reason);
            }
        }
    }

    /// Gives the connection to somebody who waits, or to whoever comes next.
    fn hand_over(self: &Arc<Self>, mut conn: Box<Conn>) {
        let mut inner = self.lock();
        if inner.is_closed {
            drop(inner);
            return drop(conn);
        }
        inner.queue.retain(|request| request.insists || !request.has_left());
        let next = conn.requests().chain(&inner.queue).find(|request| request.appoint()).cloned();
        if let Some(next) = next {
            inner.handed = Some((conn, next.clone()));
            drop(inner);
            return next.call();
        }
        if !is_wanted(&conn, &inner.queue) {
            inner.free = Some(conn);
            return;
        }
        let now = Instant::now();
        for request in inner.queue.drain(..) {
            conn.push(request, now);
        }
        match self.tend(&mut inner) {
            Ok(()) => inner.lent = Some(conn),
            // Tasks leave when their time is over; whoever comes next reads for them too.
            Err(_) => inner.free = Some(conn),
        }
    }

    /// There is a connection.
    pub(super) fn is_up(self: &Arc<Self>, conn: Box<Conn>) {
        let mut inner = self.lock();
        (inner.phase, inner.is_suspect) = (Phase::Up, false);
        #[cfg(unix)]
        self.descriptor.store(conn.descriptor(), Ordering::Relaxed);
        drop(inner);
        self.hand_over(conn);
    }

    /// There is none, for this reason. What was sent on it and what is queued fails.
    pub(super) fn is_down(self: &Arc<Self>, conn: Option<Box<Conn>>, reason: &str) {
        let reason: Arc<str> = reason.into();
        let mut inner = self.lock();
        self.descriptor.store(-1, Ordering::Relaxed);
        let failures = match &inner.phase {
            Phase::Down { failures, .. } => failures.saturating_add(1),
            Phase::First(_) => 1,
            Phase::Idle | Phase::Up => 0,
        };
        let again = Instant::now() + pause(failures);
        inner.phase = Phase::Down { reason: reason.clone(), again, failures };
        inner.is_suspect = false;
        let mut failed = std::mem::take(&mut inner.queue);
        if !inner.is_closed {
            // If that fails the next call tries again.
            let _ = self.tend(&mut inner);
        }
        drop(inner);
        failed.extend(conn.iter().flat_map(|conn| conn.requests().cloned()));
        drop(conn);
        fail(failed, &reason);
    }

    /// Drops a connection that was given up; what was sent on it fails.
    pub(super) fn drop_given_up(&self, conn: Box<Conn>) {
        let failed = conn.requests().cloned().collect();
        drop(conn);
        fail(failed, &NO_SENSE.into());
    }

    /// A reply made no sense: the connection is given up before it is used again.
    pub(super) fn distrust(&self) {
        self.lock().is_suspect = true;
    }
}

fn fail(requests: Vec<Arc<Request>>, reason: &Arc<str>) {
    for request in requests {
        request.deliver(Err(Failed::Down(reason.clone())));
    }
}

/// Whether there is something to be sent, or a task that waits.
fn is_wanted(conn: &Conn, queue: &[Arc<Request>]) -> bool {
    !queue.is_empty() || !conn.is_flushed() || conn.requests().any(|request| request.is_awaited())
}

/// How long to wait before another try, after so many have failed.
fn pause(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    let (first, most) = PAUSES;
    let pause = first.saturating_mul(1 << doublings.min(16)).min(most);
    // So that not all processes come at the same time.
    pause / 2 + pause.mul_f64(0.5 * (random() % 1024) as f64 / 1024.0)
}

/// A thread that has the connection, and hands it on when this is dropped.
struct Leading<'l> {
    link: &'l Arc<Link>,
    conn: Option<Box<Conn>>,
}

impl Leading<'_> {
    /// Sends what there is, and waits for something to come.
    fn turn(&mut self, now: Instant, until: Instant) -> Result<(), String> {
        let Some(conn) = self.conn.as_mut() else { return Ok(()) };
        let mut inner = self.link.lock();
        if inner.is_suspect {
            return Err(NO_SENSE.into());
        }
        for request in inner.queue.drain(..) {
            conn.push(request, now);
        }
        drop(inner);
        conn.flush(until)?;
        conn.read(until)
    }

    fn has_tasks(&self) -> bool {
        let inner = self.link.lock();
        let Some(conn) = &self.conn else { return false };
        !inner.is_closed && is_wanted(conn, &inner.queue)
    }

    fn fail(&mut self, reason: &str) {
        self.link.is_down(self.conn.take(), reason);
    }
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        match self.conn.take() {
            Some(conn) if std::thread::panicking() => {
                self.link.is_down(Some(conn), "a call to Redis panicked");
            }
            Some(conn) => self.link.hand_over(conn),
            None => {}
        }
    }
}
