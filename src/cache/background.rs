//! Work of caches that no call does: sweeping, dropping what readers have let go of, notifying
//! listeners.
//!
//! # State
//! Each cache has a [`BackgroundJob`], which says what is due: a *sweep*, which removes what has
//! expired, or *maintenance*, which drops what no reader holds any more and shows the listener what
//! it was not shown. A job with something due is in the queue once, or is run by one thread.
//! Threads take jobs from the queue; they are started when there is something to do and end after
//! [`LINGER`] without.
//!
//! A cache that has an executor gives its job to that instead, each time it has something due: an
//! idle cache costs the executor nothing. What the executor refuses or drops goes to the queue.
//!
//! # Isolation
//! A job runs user code, which may take as long as it likes. So whenever a thread runs a job there
//! is another that watches: if the queue has not moved for [`PATIENCE`] it runs the next job
//! itself, and then there is one more to watch. A cache whose code does not return costs a thread,
//! and holds up no other cache. Panics are contained, also those of destructors. An executor sees
//! to that by itself.
//!
//! # In the child of a fork
//! There are no threads, and no job is queued or run. When the child first uses a cache (or a
//! clock), whatever was due at the fork is demanded again, and whatever has lost its alarm. A
//! job that forks returns to its thread there, which then leaves, or to its executor.
//!
//! If the system gives no thread, an [alarm](Again) tries again from time to time for as long as
//! something is queued.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::settings::{Around, TimeSource};
use crate::clock::{Alarm, Clock, SystemClock};
use crate::contain::contained;
use crate::executor::{Intake, Jobs, Stepping, Steps};
use crate::housekeeping;
use crate::lock::Lock;
use crate::sync::fork::{self, AcrossFork, AtFork, forks};

/// How long a thread waits for the queue to move before it takes part.
const PATIENCE: Duration = Duration::from_millis(10);
/// How long a thread stays that has nothing to do.
const LINGER: Duration = Duration::from_secs(1);
/// How long after a write maintenance comes.
const MAINTENANCE_DELAY: Duration = Duration::from_millis(250);

/// What a cache does in the background.
pub(crate) trait Background: Send + Sync {
    /// Takes out what has expired.
    fn sweep(&self);
    /// Drops retired entries that no reader holds, and shows the listener what it was not shown.
    /// True if anything is left.
    fn maintain(&self) -> bool;
}

/// What a job is to do.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    sweep: bool,
    maintenance: bool,
}

impl Due {
    fn add(&mut self, other: Due) {
        self.sweep |= other.sweep;
        self.maintenance |= other.maintenance;
    }

    fn is_any(self) -> bool {
        self.sweep || self.maintenance
    }
}

#[derive(Debug, Default)]
struct State {
    due: Due,
    /// What a thread is doing.
    doing: Due,
    /// In the queue, or being run.
    queued: bool,
    /// What will be due, and when it was set; dropping an alarm takes it back.
    sweep: Option<(u64, Alarm)>,
    maintenance: Option<(u64, Alarm)>,
    /// How many alarms were set.
    turns: u64,
    /// The cache is gone.
    closed: bool,
}

/// What is done in the background for one cache.
struct BackgroundJob {
    cache: Weak<dyn Background>,
    clock: TimeSource,
    /// How often it is swept, if it is.
    interval: Option<Duration>,
    /// Is given each pass, to do it or leave it out.
    around: Option<Around>,
    /// What runs it, if not the threads here.
    intake: Option<Intake>,
    state: Lock<State>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BackgroundJob {
    /// Notes that something is due.
    fn demand(self: &Arc<Self>, due: Due) {
        let mut state = self.state.lock();
        state.due.add(due);
        let queue = !std::mem::replace(&mut state.queued, true);
        drop(state);
        if queue {
            self.queue();
        }
    }

    /// Has a thread run it.
    fn queue(self: &Arc<Self>) {
        match &self.intake {
            // If it is refused it goes to the threads here.
            Some(adopt) => {
                let _ = adopt(Box::new(Stepping::new(self.clone())));
            }
            None => WORKERS.push(self.clone()),
        }
    }

    /// Sets the alarm for the next sweep.
    fn arm_sweep(self: &Arc<Self>) {
        let Some(interval) = self.interval else { return };
        let turn = self.take_turn();
        let waker = Waker::from(Arc::new(SweepAlarm(self.clone())));
        if let Some(alarm) = self.clock.alarm(self.clock.now().after(interval), waker) {
            self.keep_alarm((turn, alarm), |state| &mut state.sweep);
        }
    }

    fn arm_maintenance(self: &Arc<Self>) {
        let turn = self.take_turn();
        let alarm = SystemClock.alarm(
            SystemClock.now().after(MAINTENANCE_DELAY),
            Arc::new(MaintenanceAlarm(self.clone())).into(),
        );
        self.keep_alarm((turn, alarm), |state| &mut state.maintenance);
    }

    fn take_turn(&self) -> u64 {
        let mut state = self.state.lock();
        state.turns += 1;
        state.turns
    }

    /// Keeps an alarm in place of an earlier one. It may have come late: it was set without the
    /// lock, has gone off since, and what it brought about has set another one, which must stay.
    fn keep_alarm(
        &self,
        alarm: (u64, Alarm),
        slot: impl FnOnce(&mut State) -> &mut Option<(u64, Alarm)>,
    ) {
        let mut state = self.state.lock();
        let closed = state.closed;
        let kept = slot(&mut state);
        let is_late = kept.as_ref().is_some_and(|(turn, _)| *turn > alarm.0);
        let spare = if closed || is_late { Some(alarm) } else { kept.replace(alarm) };
        drop(state);
        drop(spare);
    }

    /// Does what is due. Whether more is due by then.
    fn run(self: &Arc<Self>) -> bool {
        let forks_before = forks();
        let mut state = self.state.lock();
        let due = std::mem::take(&mut state.due);
        state.doing = due;
        // An alarm that has rung, or need not any more.
        let spare = state.maintenance.take_if(|_| due.maintenance);
        drop(state);
        drop(spare);
        let mut work = || {
            let Some(cache) = self.cache.upgrade() else { return };
            if due.sweep {
                // A clock or a hasher may panic; the next sweep comes in any case.
                let _ = contained(|| cache.sweep());
                self.arm_sweep();
            }
            if cache.maintain() {
                self.arm_maintenance();
            }
        };
        // The cache may go with this handle, and with it all that its user gave it.
        let _ = contained(|| match &self.around {
            Some(around) => around(&mut work),
            None => work(),
        });
        if forks_before != forks() {
            // The cache's code has forked, and in this child it is all demanded again.
            return false;
        }
        let mut state = self.state.lock();
        state.doing = Due::default();
        let again = state.due.is_any();
        state.queued = again;
        again
    }
}

impl Steps for BackgroundJob {
    fn step(self: &Arc<Self>) -> bool {
        self.run()
    }

    fn lost(self: &Arc<Self>) {
        if self.cache.strong_count() > 0 {
            WORKERS.push(self.clone());
        }
    }
}

struct SweepAlarm(Arc<BackgroundJob>);

impl Wake for SweepAlarm {
    fn wake(self: Arc<Self>) {
        self.0.demand(Due { sweep: true, maintenance: false });
    }
}

struct MaintenanceAlarm(Arc<BackgroundJob>);

impl Wake for MaintenanceAlarm {
    fn wake(self: Arc<Self>) {
        self.0.demand(Due { sweep: false, maintenance: true });
    }
}

/// A cache's share in the background, for as long as the cache lives. It is one word of the
/// cache's.
pub(crate) struct BackgroundHandle(Box<Share>);

struct Share {
    job: Arc<BackgroundJob>,
    /// Is kept going.
    _executor: Option<Arc<dyn Jobs>>,
}

impl BackgroundHandle {
    pub(crate) fn new(
        cache: Weak<dyn Background>,
        clock: TimeSource,
        interval: Option<Duration>,
        around: Option<Around>,
        executor: Option<Arc<dyn Jobs>>,
    ) -> BackgroundHandle {
        static REGISTERED: AtomicBool = AtomicBool::new(false);
        fork::register_once(&REGISTERED, fork::LockLevel::Upkeep, &WORKERS);
        housekeeping::watch();
        let intake = executor.as_ref().map(|executor| executor.intake());
        let state = Lock::new(State::default());
        let job = Arc::new(BackgroundJob { cache, clock, interval, around, intake, state });
        BackgroundHandle(Box::new(Share { job, _executor: executor }))
    }

    /// Has the cache swept from now on, if it is to be.
    pub(crate) fn start(&self) {
        self.0.job.arm_sweep();
    }

    /// Has the cache maintained after a while.
    pub(crate) fn maintain_later(&self) {
        self.0.job.arm_maintenance();
    }

    /// Has the cache maintained soon.
    pub(crate) fn maintain_now(&self) {
        self.0.job.demand(Due { sweep: false, maintenance: true });
    }
}

impl Drop for BackgroundHandle {
    fn drop(&mut self) {
        let mut state = self.0.job.state.lock();
        state.closed = true;
        let alarms = (state.sweep.take(), state.maintenance.take());
        drop(state);
        drop(alarms);
    }
}

/// What a fork does with it: see [`AtFork`].
impl BackgroundHandle {
    pub(crate) fn hold(&self) {
        self.0.job.state.hold();
    }

    /// # Safety
    /// The calling thread holds it.
    pub(crate) unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.0.job.state.release() };
    }

    /// # Safety
    /// The calling thread holds it, and is the only one.
    pub(crate) unsafe fn reset_in_child(&self) {
        let reset = |state: &mut State| {
            // The queue forgets it, too.
            state.queued = false;
            state.due.add(std::mem::take(&mut state.doing));
        };
        // SAFETY: the caller's promise.
        unsafe { self.0.job.state.reset_in_child(reset) };
    }

    /// Has that done which was due at the fork, or whose alarm was lost there.
    pub(crate) fn revive(&self) {
        let state = self.0.job.state.lock();
        let is_lost =
            |kept: &Option<(u64, Alarm)>| kept.as_ref().is_some_and(|(_, alarm)| alarm.is_spent());
        let mut due = state.due;
        due.add(Due { sweep: is_lost(&state.sweep), maintenance: is_lost(&state.maintenance) });
        drop(state);
        if due.is_any() {
            self.0.job.demand(due);
        }
    }
}

impl AtFork for Workers {
    fn hold(&self) {
        // SAFETY: it is called before the fork by the thread that forks.
        unsafe { HELD.put((lock(&WORKERS.queue), lock(&WORKERS.again))) };
    }

    unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        drop(unsafe { HELD.take() });
    }

    unsafe fn reset_in_child(&self) {
        // SAFETY: the caller's promise.
        if let Some((mut queue, _again)) = unsafe { HELD.take() } {
            // Each job is queued again when it is revived. These may be last owners, and this is
            // no place for destructors.
            std::mem::forget(std::mem::take(&mut queue.jobs));
            (queue.moved, queue.busy, queue.watching) = (None, 0, 0);
        }
    }
}

type Kept = (MutexGuard<'static, Queue>, MutexGuard<'static, Option<Alarm>>);

static HELD: AcrossFork<Kept> = AcrossFork::new();

static WORKERS: Workers = Workers {
    queue: Mutex::new(Queue {
        jobs: VecDeque::new(),
        moved: None,
        busy: 0,
        watching: 0,
        dismissals: 0,
    }),
    changed: Condvar::new(),
    again: Mutex::new(None),
};

/// The threads.
struct Workers {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Set when there was no thread to be had.
    again: Mutex<Option<Alarm>>,
}

struct Again;

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        WORKERS.attend();
    }
}

struct Queue {
    jobs: VecDeque<Arc<BackgroundJob>>,
    /// When the last job was taken.
    moved: Option<Instant>,
    /// Threads that run a job, and threads that do not.
    busy: usize,
    watching: usize,
    /// How often those that watched were sent away. One that finds more than when it came is not
    /// counted any more.
    dismissals: u64,
}

const THREAD: &str = "docache-sweep";

/// Ends the threads, and waits for them, unless one runs a job. True if they have ended.
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) fn dismiss_workers() -> bool {
    housekeeping::finish(THREAD, || {
        let mut queue = lock(&WORKERS.queue);
        let idle = queue.busy == 0 && queue.jobs.is_empty();
        if idle {
            queue.dismissals += 1;
            queue.watching = 0;
        }
        drop(queue);
        WORKERS.changed.notify_all();
        idle
    })
}

impl Workers {
    fn push(&'static self, job: Arc<BackgroundJob>) {
        let mut queue = lock(&self.queue);
        queue.jobs.push_back(job);
        let watched = self.see_to_a_watcher(&mut queue);
        drop(queue);
        self.changed.notify_one();
        self.try_again_unless(watched);
    }

    /// Starts a thread, if anything is queued and there is none that runs no job. Whether
    /// that is so.
    fn see_to_a_watcher(&'static self, queue: &mut Queue) -> bool {
        if queue.watching == 0 {
            let dismissals = queue.dismissals;
            let thread = housekeeping::spawn(THREAD, move || self.watch(dismissals));
            queue.watching += usize::from(thread.is_ok());
        }
        queue.watching > 0 || queue.jobs.is_empty()
    }

    fn attend(&'static self) {
        let mut queue = lock(&self.queue);
        let watched = queue.jobs.is_empty() || self.see_to_a_watcher(&mut queue);
        drop(queue);
        self.try_again_unless(watched);
    }

    /// To be called without the lock of the queue: setting an alarm may run others' wakers.
    fn try_again_unless(&self, watched: bool) {
        if watched {
            return;
        }
        let alarm =
            SystemClock.alarm(SystemClock.now().after(MAINTENANCE_DELAY), Arc::new(Again).into());
        let before = lock(&self.again).replace(alarm);
        drop(before);
    }

    fn watch(&'static self, dismissals: u64) {
        let mut queue = lock(&self.queue);
        // While it runs a job nobody is sent away.
        while queue.dismissals == dismissals {
            if queue.jobs.is_empty() {
                // One is enough to wait.
                let (back, timeout) = self
                    .changed
                    .wait_timeout(queue, LINGER)
                    .unwrap_or_else(PoisonError::into_inner);
                queue = back;
                let idle = queue.jobs.is_empty() && timeout.timed_out();
                if idle && queue.dismissals == dismissals && (queue.busy == 0 || queue.watching > 1)
                {
                    queue.watching -= 1;
                    return;
                }
                continue;
            }
            let since = queue.moved.map_or(PATIENCE, |moved| moved.elapsed());
            if queue.busy > 0 && since < PATIENCE {
                // Somebody is at it, and may come back at once.
                let wait = self.changed.wait_timeout(queue, PATIENCE - since);
                queue = wait.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            match self.work(queue) {
                Some(back) => queue = back,
                None => return,
            }
        }
    }

    /// Runs jobs until there are no more. `None` in the child of a fork that one of them made: it
    /// has no such thread.
    fn work<'a>(&'static self, mut queue: MutexGuard<'a, Queue>) -> Option<MutexGuard<'a, Queue>>
    where
        'static: 'a,
    {
        let forks_before = forks();
        queue.watching -= 1;
        queue.busy += 1;
        while let Some(job) = queue.jobs.pop_front() {
            queue.moved = Some(Instant::now());
            let watched = self.see_to_a_watcher(&mut queue);
            drop(queue);
            self.try_again_unless(watched);
            if job.run() {
                job.queue();
            }
            // With it may go what is left of a cache.
            let _ = contained(|| drop(job));
            if forks_before != forks() {
                return None;
            }
            queue = lock(&self.queue);
        }
        queue.busy -= 1;
        queue.watching += 1;
        Some(queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Background for Nothing {
        fn sweep(&self) {}

        fn maintain(&self) -> bool {
            false
        }
    }

    #[test]
    fn an_alarm_that_is_kept_late_takes_no_later_one_back() {
        let cache: Weak<Nothing> = Weak::new();
        let handle = BackgroundHandle::new(cache, TimeSource::Coarse, None, None, None);
        let job = &handle.0.job;
        let alarm = || {
            SystemClock
                .alarm(SystemClock.now().after(Duration::from_secs(3600)), Waker::noop().clone())
        };
        let (first, second) = (job.take_turn(), job.take_turn());
        let kept = || job.state.lock().sweep.as_ref().map(|(turn, _)| *turn);
        job.keep_alarm((second, alarm()), |state| &mut state.sweep);
        job.keep_alarm((first, alarm()), |state| &mut state.sweep);
        assert_eq!(kept(), Some(second));
        let third = job.take_turn();
        job.keep_alarm((third, alarm()), |state| &mut state.sweep);
        assert_eq!(kept(), Some(third));
        assert!(first < second && second < third, "alarms are told apart by their turns");
    }
}
