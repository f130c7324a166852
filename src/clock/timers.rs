//! Wake-ups owed: the timers behind every alarm, and the thread that serves those of real time.
//!
//! # State
//! Alarms lie in shards, each a [`Wheel`] under a lock of its own, so that threads that set alarms
//! and take them back do not wait for each other. One thread serves them all. `looks_at` is the
//! time by which it looks at the shards whatever comes; 0 while it is awake, and [`Tick::MAX`],
//! later than any alarm, while it wants to be told of every one. Who serves, and whether anybody
//! does, is in `server`.
//!
//! # When the thread is woken
//! ```text
//!   set an alarm                         the thread, before it sleeps
//!     lock the shard                       lock server: looks_at = MAX
//!       insert                             lock each shard in turn: next = the first of all
//!       at < looks_at?                     lock server
//!     unlock                                 looks_at = min(looks_at, next)
//!     if so, lock server                     sleep until looks_at, or until notified
//!       at < looks_at? looks_at = at, notify
//! ```
//! It sleeps until the first alarm that it knows of, and only one before that wakes it. One that is
//! taken back does not: the thread may wake once for nothing.
//!
//! # Invariants
//! - TOLD: who sets an alarm compares it with `looks_at` before he unlocks the shard, and if it is
//!   sooner tells the server.
//! - KEPT: while the thread is asleep no alarm is before `looks_at` but those that are being told.
//!   For the thread has set it to `MAX` before it went through the shards: an alarm that it did not
//!   find in one was put there after that, so that `MAX`, or what followed it, was compared with
//!   it. What followed is never later than the first alarm found or told.
//! - UNSERVED: `looks_at` is `MAX` while nobody serves, and from before the last look at the shards
//!   that anybody takes before he stops. Hence an alarm that is set then finds out.
//! - ORDER: who has the lock of a shard takes no other one; who has the server's may take those of
//!   shards, one at a time. To fork takes the server's and then all, in their order.
//!
//! # Orderings
//! `looks_at` is changed only under the server's lock. It is read under a shard's, which the thread
//! has had after it set `MAX`, so `Relaxed` suffices: the locks order what matters.
//!
//! # In which order alarms ring
//! Within a shard in the order of their ticks, and within a tick in the order in which they were
//! set. A thread's alarms are all in one shard. Those of several shards that are due together ring
//! shard by shard. A manual clock has one.
//!
//! # When no thread can be had
//! The timers are then `stranded`, and served by those who call: whoever sets an alarm or is about
//! to park in this crate tries to start the thread again, and if that fails wakes whom it finds due
//! ([`rescue`](Timers::rescue)). A thread that parks does so no longer than until the next alarm.
//! Nobody is woken in vain or too early by this but a task that naps in its poll.
//!
//! The same goes for the child of a fork, which has its parent's alarms and no thread, until it
//! first uses something here.

use std::cell::Cell;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crossbeam_utils::CachePadded;

use super::wheel::{TimerId, Wheel};
use super::{Alarm, Tick};
use crate::contain::contained;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// How long the timer thread stays after its last alarm, so that a burst of short timeouts starts
/// one thread.
const LINGER: Duration = Duration::from_secs(1);

/// How long a thread parks at most before it helps again, and how soon at the earliest.
const HELP_AGAIN: Duration = Duration::from_millis(50);
const HELP_PAUSE: Duration = Duration::from_millis(1);

/// Starts the thread that serves these timers, and tells it how many were sent away before.
pub(super) type Spawn = fn(Arc<Timers>, u64) -> io::Result<()>;

#[cfg(not(docache_loom))]
fn present() -> Tick {
    use super::Clock;
    super::SystemClock.now()
}

/// In a model time stands still.
#[cfg(docache_loom)]
fn present() -> Tick {
    Tick::from_nanos(100)
}

/// A part of the alarms.
#[derive(Debug, Default)]
pub(super) struct Shard(CachePadded<Mutex<Wheel<Waker>>>);

impl Shard {
    pub(super) fn lock(&self) -> MutexGuard<'_, Wheel<Waker>> {
        self.0.lock()
    }

    /// Takes an alarm back, if it has not rung.
    #[inline]
    pub(super) fn disarm(&self, id: TimerId) {
        if id != TimerId::NONE {
            // The waker may be the last owner of something: it is dropped after the lock.
            let waker = self.lock().remove(id);
            drop(waker);
        }
    }

    /// Whether an alarm is still to ring.
    #[cfg(not(docache_loom))]
    pub(super) fn has(&self, id: TimerId) -> bool {
        self.lock().contains(id)
    }

    /// Wakes everyone due at `now`, in the order of their ticks. Whether there was somebody.
    fn fire(&self, now: Tick) -> bool {
        let mut any = false;
        loop {
            let mut wheel = self.lock();
            let Some(waker) = wheel.pop_due(now) else { return any };
            drop(wheel);
            any = true;
            // A waker is foreign code; its panic must not cost the others their wake-up.
            let _ = contained(|| waker.wake());
        }
    }
}

/// Who serves the timers.
#[derive(Debug, Default)]
pub(super) struct Server {
    serving: bool,
    /// How often the thread that served was sent away. One that finds more than when it came leaves
    /// what there is to its successor.
    dismissals: u64,
}

/// When the thread looks at the shards by itself.
#[derive(Debug)]
struct LooksAt(AtomicU64);

impl LooksAt {
    #[inline]
    fn get(&self) -> Tick {
        Tick::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Only under the server's lock.
    fn set(&self, _locked: &MutexGuard<'_, Server>, at: Tick) {
        self.0.store(at.as_nanos(), Ordering::Relaxed);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Timers {
    shards: Box<[Shard]>,
    looks_at: LooksAt,
    server: Mutex<Server>,
    /// Signalled when the thread has to look before the time that it knows of.
    changed: Condvar,
    /// `None`: a manual clock's, which whoever advances it serves. It looks at everything.
    spawn: Option<Spawn>,
    /// Whether alarms may be queued that no thread serves. Changed under the server's lock.
    stranded: AtomicBool,
}

/// Those of a manual clock.
impl Default for Timers {
    fn default() -> Timers {
        Timers::new(1, None)
    }
}

/// Whose alarm one is.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    /// It is there for ever, and counts nobody.
    #[cfg_attr(docache_loom, allow(dead_code, reason = "no real time passes in models"))]
    Real(&'static Shard),
    Own(Arc<Timers>),
}

impl Deref for Owner {
    type Target = Shard;

    #[inline]
    fn deref(&self) -> &Shard {
        match self {
            Owner::Real(shard) => shard,
            Owner::Own(timers) => &timers.shards[0],
        }
    }
}

impl Timers {
    pub(super) fn new(shards: usize, spawn: Option<Spawn>) -> Timers {
        let looks_at = if spawn.is_some() { Tick::MAX } else { Tick::default() };
        Timers {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            looks_at: LooksAt(AtomicU64::new(looks_at.as_nanos())),
            server: Mutex::default(),
            changed: Condvar::default(),
            spawn,
            stranded: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(super) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Sets an alarm in the first shard, which is a manual clock's only one.
    pub(super) fn arm(self: &Arc<Timers>, at: Tick, waker: Waker) -> Alarm {
        Alarm { id: self.set(&self.shards[0], at, waker), timers: Owner::Own(self.clone()) }
    }

    /// Sets an alarm in a shard of these.
    #[inline]
    pub(super) fn set(self: &Arc<Timers>, shard: &Shard, at: Tick, waker: Waker) -> TimerId {
        if at == Tick::MAX {
            return TimerId::NONE;
        }
        let mut wheel = shard.lock();
        let id = wheel.insert(at, waker);
        // TOLD: before the unlock.
        let sooner = at < self.looks_at.get();
        drop(wheel);
        if sooner && !self.tell(at) {
            self.fire_here();
        }
        id
    }

    /// Sees to it that the thread runs, if there is to be one, and looks at the shards by `at`.
    /// Whether it does.
    #[cold]
    #[inline(never)]
    fn tell(self: &Arc<Timers>, at: Tick) -> bool {
        let Some(spawn) = self.spawn else { return true };
        let mut server = self.server.lock();
        if !server.serving {
            return self.start(&mut server, spawn);
        }
        if at < self.looks_at.get() {
            self.looks_at.set(&server, at);
            drop(server);
            self.changed.notify_one();
        }
        true
    }

    fn start(self: &Arc<Timers>, server: &mut Server, spawn: Spawn) -> bool {
        server.serving = spawn(self.clone(), server.dismissals).is_ok();
        self.stranded.store(!server.serving, Ordering::Relaxed);
        server.serving
    }

    /// Whether there may be alarms that nobody serves.
    #[inline]
    pub(super) fn are_stranded(&self) -> bool {
        self.stranded.load(Ordering::Relaxed)
    }

    /// Tries to start the thread again, and does its work if there is none. How long the caller may
    /// sleep until it should do so again; `None`: a thread serves them.
    #[cold]
    pub(super) fn rescue(self: &Arc<Timers>) -> Option<Duration> {
        let spawn = self.spawn?;
        let mut server = self.server.lock();
        if server.serving || self.survey().0.is_none() {
            self.stranded.store(false, Ordering::Relaxed);
            return None;
        }
        if self.start(&mut server, spawn) {
            return None;
        }
        drop(server);
        self.fire_here();
        let span = self.survey().0.map_or(HELP_AGAIN, |at| at.since(present()));
        Some(span.clamp(HELP_PAUSE, HELP_AGAIN))
    }

    /// Wakes everyone due at `now`. Whether there was somebody.
    pub(super) fn fire(&self, now: Tick) -> bool {
        self.shards.iter().fold(false, |any, shard| shard.fire(now) | any)
    }

    /// Wakes everyone due on the calling thread, unless that is what it is doing.
    fn fire_here(&self) {
        #[cfg(not(docache_loom))]
        thread_local!(static FIRING: Cell<bool> = const { Cell::new(false) });
        #[cfg(docache_loom)]
        loom::thread_local!(static FIRING: Cell<bool> = Cell::new(false));
        if !FIRING.with(|firing| firing.replace(true)) {
            let now = present();
            // Those who were woken may have set alarms in shards that it has been to.
            while self.fire(now) {}
            FIRING.with(|firing| firing.set(false));
        }
    }

    /// When to look again, and how many alarms were ever set.
    fn survey(&self) -> (Option<Tick>, u64) {
        self.shards.iter().fold((None, 0), |(first, numbered), shard| {
            let wheel = shard.lock();
            let next = [first, wheel.next()].into_iter().flatten().min();
            (next, numbered + wheel.numbered())
        })
    }

    /// The server's lock, unless the thread has been sent away.
    fn on_duty(&self, dismissals: u64) -> Option<MutexGuard<'_, Server>> {
        let server = self.server.lock();
        (server.dismissals == dismissals).then_some(server)
    }

    /// What the thread does until it is sent away, or has had nothing to do for a while.
    pub(super) fn run(&self, dismissals: u64) {
        loop {
            let Some(server) = self.on_duty(dismissals) else { return };
            // KEPT: before it goes through the shards.
            self.looks_at.set(&server, Tick::MAX);
            drop(server);
            let (next, numbered) = self.survey();
            let now = present();
            let Some(server) = self.on_duty(dismissals) else { return };
            if next.is_some_and(|next| next <= now) {
                self.looks_at.set(&server, Tick::default());
                drop(server);
                self.fire(now);
                continue;
            }
            let until = next.unwrap_or(now.after(LINGER)).min(self.looks_at.get());
            self.looks_at.set(&server, until);
            if until <= now {
                continue;
            }
            let (server, timed_out) = self.changed.wait_timeout(server, until.since(now));
            drop(server);
            // It stays while there are alarms that come and go without its having to know.
            if timed_out && next.is_none() && self.leave(dismissals, numbered) {
                return;
            }
        }
    }

    /// Ends the thread's service, unless there is an alarm or has been one meanwhile.
    fn leave(&self, dismissals: u64, numbered: u64) -> bool {
        let Some(mut server) = self.on_duty(dismissals) else { return true };
        // UNSERVED: before the last look.
        self.looks_at.set(&server, Tick::MAX);
        if self.survey() != (None, numbered) {
            return false;
        }
        self.shards.iter().for_each(|shard| shard.lock().shrink());
        server.serving = false;
        true
    }

    /// Sends the thread away, unless there are alarms. Whether there are none.
    #[cfg(any(feature = "capi", test))]
    pub(super) fn dismiss(&self) -> bool {
        let mut server = self.server.lock();
        let before = self.looks_at.get();
        // UNSERVED: before the last look.
        self.looks_at.set(&server, Tick::MAX);
        let idle = self.survey().0.is_none();
        if idle {
            server.dismissals += 1;
            server.serving = false;
        } else {
            self.looks_at.set(&server, before);
        }
        drop(server);
        self.changed.notify_all();
        idle
    }
}

/// All locks of timers (ORDER), for as long as it takes to fork.
#[cfg(not(docache_loom))]
pub(super) struct Held<'a> {
    timers: &'a Timers,
    server: MutexGuard<'a, Server>,
    wheels: Vec<MutexGuard<'a, Wheel<Waker>>>,
}

#[cfg(not(docache_loom))]
impl Timers {
    pub(super) fn hold(&self) -> Held<'_> {
        let server = self.server.lock();
        Held { timers: self, server, wheels: self.shards.iter().map(Shard::lock).collect() }
    }
}

#[cfg(not(docache_loom))]
impl Held<'_> {
    /// Notes, in the child of a fork, that there is no thread.
    pub(super) fn reset_in_child(mut self) {
        self.server.serving = false;
        self.timers.looks_at.set(&self.server, Tick::MAX);
        let stranded = self.wheels.iter().any(|wheel| !wheel.is_empty());
        self.timers.stranded.store(stranded, Ordering::Relaxed);
    }
}

#[cfg(all(test, docache_loom))]
mod model;
#[cfg(all(test, not(docache_loom)))]
mod tests;
