//! Wake-ups owed: the queue behind every alarm, and the thread that serves the real-time one.
//!
//! # When no thread can be had
//! The queue is then `stranded`, and served by those who call: whoever sets an alarm or is about to
//! park in this crate tries to start the thread again, and if that fails wakes whom it finds due
//! ([`help`]). A thread that parks does so no longer than until the next alarm. A task has nobody
//! who waits for it; it naps in its poll and wakes itself ([`nap`]). Nobody is woken in vain or too
//! early by this but the task that naps.
//!
//! The same goes for the child of a fork, which has its parent's alarms and no thread, until it
//! first uses something here.
//!
//! # When the thread is woken
//! It sleeps until the first alarm that it knew of, and `looks_at` says until when. Only an alarm
//! before that wakes it. One that is taken back does not: the thread may wake once for nothing.
//! While it is awake, `looks_at` is the origin, and it looks at the queue before it sleeps again.

use std::cell::Cell;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::wheel::{TimerId, Wheel};
use super::{Alarm, Clock, SystemClock, Tick};
use crate::contain::contained;
use crate::housekeeping;
#[cfg(not(docache_loom))]
use crate::sync::fork;

/// How long the timer thread stays after its last alarm, so that a burst of short timeouts starts
/// one thread.
const LINGER: Duration = Duration::from_secs(1);

/// How long a thread parks at most before it helps again, and how soon at the earliest.
const HELP_AGAIN: Duration = Duration::from_millis(50);
const HELP_PAUSE: Duration = Duration::from_millis(1);
/// A deadline that is no farther off is slept for in one poll.
const NEAR: Duration = Duration::from_millis(100);
/// For others a poll sleeps this long, and wakes its task early.
const NAP: Duration = Duration::from_millis(10);
/// How long after a nap polls do without one, so that many tasks share it.
const NAP_PAUSE: Duration = Duration::from_millis(1);

type Spawn = fn(Arc<Timers>, u64) -> io::Result<()>;

/// Alarms by time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: Mutex<Queue>,
    /// Signalled when the thread has to look at the queue again.
    changed: Condvar,
    /// Starts the thread that serves this queue (a manual clock's is served by whoever advances
    /// it), and tells it how many were sent away before.
    spawn: Option<Spawn>,
    /// Whether alarms may be queued that no thread serves. Changed under the mutex.
    stranded: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    alarms: Wheel<Waker>,
    serving: bool,
    /// When the thread looks at the queue by itself. Of no meaning unless it is `serving`.
    looks_at: Tick,
    /// How often the thread that served was sent away. One that finds more than when it came leaves
    /// what there is to its successor.
    dismissals: u64,
}

const THREAD: &str = "docache-timer";

/// Ends the thread that serves the alarms of real time, and waits for it, unless there are any.
/// Whether there is none.
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) fn dismiss_timer() -> bool {
    let timers = real();
    housekeeping::finish(THREAD, || {
        let mut queue = timers.lock();
        let idle = queue.alarms.is_empty();
        if idle {
            queue.dismissals += 1;
            queue.serving = false;
        }
        drop(queue);
        timers.changed.notify_all();
        idle
    })
}

/// The alarms of real time, served by the thread `docache-timer`, which exists only while there are
/// any.
pub(super) fn real() -> &'static Arc<Timers> {
    static REAL: OnceLock<&'static Arc<Timers>> = OnceLock::new();
    let make =
        || &*Box::leak(Box::new(Arc::new(Timers { spawn: Some(spawn), ..Timers::default() })));
    let real = super::once(&REAL, make);
    #[cfg(not(docache_loom))]
    {
        fork::register_once(&forked::REGISTERED, fork::LockLevel::Time, &forked::Real);
        housekeeping::watch();
    }
    real
}

#[cfg(not(docache_loom))]
mod forked {
    use super::*;
    use crate::sync::fork::{AcrossFork, AtFork};

    pub(super) static REGISTERED: AtomicBool = AtomicBool::new(false);
    static HELD: AcrossFork<MutexGuard<'static, Queue>> = AcrossFork::new();

    /// The timers of [`real`], which are there before this is a member.
    pub(super) struct Real;

    impl AtFork for Real {
        fn hold(&self) {
            // SAFETY: it is called before the fork by the thread that forks.
            unsafe { HELD.put(real().lock()) };
        }

        unsafe fn release(&self) {
            // SAFETY: the caller's promise.
            drop(unsafe { HELD.take() });
        }

        unsafe fn reset_in_child(&self) {
            // SAFETY: the caller's promise.
            if let Some(mut queue) = unsafe { HELD.take() } {
                queue.serving = false;
                real().stranded.store(!queue.alarms.is_empty(), Ordering::Relaxed);
            }
        }

        fn revive(&self) {
            help();
        }
    }
}

fn spawn(timers: Arc<Timers>, dismissals: u64) -> io::Result<()> {
    housekeeping::spawn(THREAD, move || timers.run(dismissals))
}

/// Serves the alarms of real time if no thread does. How long the caller may sleep until it should
/// do so again; `None`: a thread serves them. Runs foreign code.
#[inline]
pub(crate) fn help() -> Option<Duration> {
    let timers = real();
    if timers.stranded.load(Ordering::Relaxed) { timers.rescue() } else { None }
}

/// Sleeps for a task whose deadline is so far off and whom nobody would wake.
pub(crate) fn nap(left: Duration) {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let since = SystemClock.now().since(Tick::from_nanos(LAST.load(Ordering::Relaxed)));
    if left <= NEAR {
        std::thread::sleep(left);
    } else if since >= NAP_PAUSE {
        std::thread::sleep(NAP);
        LAST.store(SystemClock.now().as_nanos(), Ordering::Relaxed);
    }
}

/// Whose alarm one is.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    /// [`real`]'s: it is there for ever, and counts nobody.
    Real(&'static Arc<Timers>),
    Own(Arc<Timers>),
}

impl Deref for Owner {
    type Target = Arc<Timers>;

    #[inline]
    fn deref(&self) -> &Arc<Timers> {
        match self {
            Owner::Real(timers) => timers,
            Owner::Own(timers) => timers,
        }
    }
}

/// Arms an alarm of real time, on [`SystemClock`].
#[inline]
pub(super) fn arm_real(at: Tick, waker: Waker) -> Alarm {
    let timers = real();
    Alarm { id: timers.queue_up(at, waker), timers: Owner::Real(timers) }
}

impl Timers {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(self: &Arc<Timers>, at: Tick, waker: Waker) -> Alarm {
        Alarm { id: self.queue_up(at, waker), timers: Owner::Own(self.clone()) }
    }

    #[inline]
    fn queue_up(self: &Arc<Timers>, at: Tick, waker: Waker) -> TimerId {
        if at == Tick::MAX {
            return TimerId::NONE;
        }
        let mut queue = self.lock();
        let id = queue.alarms.insert(at, waker);
        let stranded = !self.serve(&mut queue, at);
        drop(queue);
        if stranded {
            self.fire_here();
        }
        id
    }

    #[inline]
    pub(super) fn disarm(&self, id: TimerId) {
        if id != TimerId::NONE {
            // The waker may be the last owner of something: it is dropped after the lock.
            let waker = self.lock().alarms.remove(id);
            drop(waker);
        }
    }

    /// Whether an alarm is still to ring.
    #[cfg(not(docache_loom))]
    pub(super) fn has(&self, id: TimerId) -> bool {
        self.lock().alarms.contains(id)
    }

    /// Wakes everyone due at `now`, in the order of their ticks.
    pub(super) fn fire(&self, now: Tick) {
        loop {
            let mut queue = self.lock();
            let Some(waker) = queue.alarms.pop_due(now) else { return };
            drop(queue);
            // A waker is foreign code; its panic must not cost the others their wake-up.
            let _ = contained(|| waker.wake());
        }
    }

    /// Sees to it that the thread runs, if there is to be one, and looks at the queue by `at`.
    /// Whether it does.
    #[inline]
    fn serve(self: &Arc<Timers>, queue: &mut Queue, at: Tick) -> bool {
        let Some(spawn) = self.spawn else { return true };
        if !queue.serving {
            return self.start(queue, spawn);
        }
        if at < queue.looks_at {
            queue.looks_at = at;
            self.changed.notify_one();
        }
        true
    }

    #[cold]
    fn start(self: &Arc<Timers>, queue: &mut Queue, spawn: Spawn) -> bool {
        queue.looks_at = Tick::default();
        queue.serving = spawn(self.clone(), queue.dismissals).is_ok();
        self.stranded.store(!queue.serving, Ordering::Relaxed);
        queue.serving
    }

    /// Tries to start the thread again, and does its work if there is none.
    #[cold]
    fn rescue(self: &Arc<Timers>) -> Option<Duration> {
        let mut queue = self.lock();
        if queue.alarms.is_empty() {
            self.stranded.store(false, Ordering::Relaxed);
            return None;
        }
        if self.serve(&mut queue, Tick::MAX) {
            return None;
        }
        drop(queue);
        self.fire_here();
        let next = self.lock().alarms.next();
        let span = next.map_or(HELP_AGAIN, |at| at.since(SystemClock.now()));
        Some(span.clamp(HELP_PAUSE, HELP_AGAIN))
    }

    /// Wakes everyone due on the calling thread, unless that is what it is doing.
    fn fire_here(&self) {
        thread_local!(static FIRING: Cell<bool> = const { Cell::new(false) });
        if !FIRING.replace(true) {
            self.fire(SystemClock.now());
            FIRING.set(false);
        }
    }

    fn run(&self, dismissals: u64) {
        let mut queue = self.lock();
        while queue.dismissals == dismissals {
            let now = SystemClock.now();
            let next = queue.alarms.next();
            if next.is_some_and(|next| next <= now) {
                queue.looks_at = Tick::default();
                drop(queue);
                self.fire(now);
                queue = self.lock();
                continue;
            }
            let armed = queue.alarms.numbered();
            queue.looks_at = next.unwrap_or(now.after(LINGER));
            let wait = queue.looks_at.since(now);
            let (guard, timeout) =
                self.changed.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner);
            queue = guard;
            // It stays while there are alarms that come and go without its having to know.
            if next.is_none()
                && timeout.timed_out()
                && queue.alarms.numbered() == armed
                && queue.dismissals == dismissals
            {
                queue.alarms.shrink();
                queue.serving = false;
                return;
            }
        }
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::task::Wake;

    struct Tell(mpsc::Sender<Option<String>>);

    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(std::thread::current().name().map(str::to_owned));
        }
    }

    #[test]
    fn an_alarm_is_spent_when_it_has_rung_and_not_before() {
        let (tell, told) = mpsc::channel();
        let far = SystemClock.now().after(Duration::from_secs(3600));
        let waits = SystemClock.alarm(far, Arc::new(Tell(tell.clone())).into());
        assert!(!waits.is_spent());
        let rings = SystemClock.alarm(SystemClock.now(), Arc::new(Tell(tell)).into());
        told.recv().unwrap();
        assert!(rings.is_spent() && !waits.is_spent());
    }

    #[test]
    fn without_a_thread_callers_serve_it_until_there_is_one() {
        static TRIES: AtomicUsize = AtomicUsize::new(0);
        let refuse_thrice = |timers, dismissals| match TRIES.fetch_add(1, Ordering::Relaxed) {
            0..3 => Err(io::ErrorKind::WouldBlock.into()),
            _ => spawn(timers, dismissals),
        };
        let timers = Arc::new(Timers { spawn: Some(refuse_thrice), ..Timers::default() });
        let (tell, told) = mpsc::channel();
        let waker = || Arc::new(Tell(tell.clone())).into();
        let here = std::thread::current().name().map(str::to_owned);
        let (now, later) = (SystemClock.now(), Duration::from_secs(3600));
        // Two that are refused a thread; the second one finds itself due.
        let far = timers.arm(now.after(later), waker());
        assert!(told.try_recv().is_err());
        let due = timers.arm(now, waker());
        assert_eq!(told.try_recv().unwrap(), here);
        // A thread that is about to park: it is to help again, and not to sleep for an hour.
        assert_eq!(timers.rescue(), Some(HELP_AGAIN));
        assert!(told.try_recv().is_err() && timers.stranded.load(Ordering::Relaxed));
        assert_eq!(timers.rescue(), None, "there is a thread now");
        let by_thread = timers.arm(now, waker());
        assert_eq!(told.recv().unwrap().as_deref(), Some("docache-timer"));
        drop((far, due, by_thread));
    }

    /// Arms another alarm that is due when it is woken, until there have been three.
    struct Chain {
        timers: Arc<Timers>,
        due: Tick,
        woken: Mutex<Vec<Alarm>>,
        depth: AtomicUsize,
    }

    impl Wake for Chain {
        fn wake(self: Arc<Self>) {
            assert_eq!(self.depth.fetch_add(1, Ordering::Relaxed), 0, "inside another one");
            if self.woken.lock().unwrap().len() < 3 {
                let next = self.timers.arm(self.due, self.clone().into());
                self.woken.lock().unwrap().push(next);
            }
            self.depth.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_serves_alarms_wakes_none_inside_another() {
        let timers = Timers {
            spawn: Some(|_, _| Err(io::ErrorKind::WouldBlock.into())),
            ..Timers::default()
        };
        let chain = Arc::new(Chain {
            timers: Arc::new(timers),
            due: SystemClock.now(),
            woken: Mutex::default(),
            depth: AtomicUsize::new(0),
        });
        let first = chain.timers.arm(chain.due, chain.clone().into());
        assert_eq!((chain.woken.lock().unwrap().len(), chain.timers.has(first.id)), (3, false));
        assert_eq!(chain.depth.load(Ordering::Relaxed), 0);
        chain.woken.lock().unwrap().clear();
    }

    #[test]
    fn the_end_of_time_does_not_come() {
        let timers = Arc::new(Timers::default());
        let (tell, told) = mpsc::channel();
        let never = timers.arm(Tick::MAX, Arc::new(Tell(tell)).into());
        timers.fire(Tick::MAX);
        assert!(
            matches!(told.try_recv(), Err(mpsc::TryRecvError::Disconnected)),
            "its waker is not even kept"
        );
        drop(never);
    }
}
