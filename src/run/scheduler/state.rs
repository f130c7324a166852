//! What a scheduler's lock guards: its jobs, and what each worker is doing.
//!
//! # Invariants
//! - PLACES: a worker is busy (in a call, or dropping a job), resting as the leader, resting as a
//!   follower, or awake: on its way to the lock. Each worker that is alive is in one of these.
//! - LEADER: while a worker rests that could call a job, at least one rests as the leader, until
//!   the first job is due, or is awake and about to look. A job that is due before the leader
//!   looks, wakes it; but whoever brings such a job back from a call leads in its place.
//! - WATCH: while jobs wait and all workers are busy or followers, an alarm is set after which
//!   somebody looks who is in no call: by [`Limits::grace`] after the next job is due.

use std::mem;
use std::task::Waker;
use std::time::Duration;

use super::jobs::{JobId, JobTable};
use super::stats::Counters;
use crate::clock::{Alarm, Tick};
use crate::executor::{Job, Next};
use crate::sync::thread::Token;

/// How the leader rests on a clock of real time: never for less than this after it last woke, so
/// that jobs that are due close to each other share a wake-up.
const COALESCE: Duration = Duration::from_micros(1_500);
/// A call that took less is likely to be as short the next time.
const QUICK: Duration = Duration::from_micros(100);
/// For how long a worker calls jobs that are due before it wakes another one to share them.
const SHARE_AFTER: Duration = Duration::from_millis(1);

/// What a scheduler is set to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) workers: usize,
    pub(super) max_workers: usize,
    pub(super) grace: Duration,
    /// Whether its clock is the system's.
    pub(super) real: bool,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// There is no such worker.
    Nothing,
    Awake,
    Busy,
    Leads,
    Follows,
}

struct Worker {
    doing: Doing,
    /// The job that it has.
    job: Option<JobId>,
    waker: Option<Waker>,
    /// Its thread, once that runs.
    token: Option<Token>,
    /// Whether it was woken to go.
    sent_home: bool,
}

/// How long a worker is to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Until a time on the scheduler's clock.
    Until(Tick),
    /// Until it is woken.
    Called,
    /// For a while, after which it may go.
    Linger,
}

/// What is to be done once the lock is free.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Act {
    pub(super) wake: Option<Waker>,
    /// The number of a worker to start.
    pub(super) start: Option<usize>,
    /// An alarm to set, in real time.
    pub(super) watch: Option<Tick>,
}

/// A job that came back from a call.
pub(super) struct Done {
    pub(super) id: JobId,
    pub(super) job: Box<dyn Job>,
    pub(super) next: Next,
    pub(super) began: Tick,
    pub(super) panicked: bool,
}

/// See the module.
pub(super) struct State {
    pub(super) jobs: JobTable,
    workers: Vec<Worker>,
    /// Those who rest as followers; the last one is woken first.
    followers: Vec<usize>,
    leader: Option<usize>,
    /// Until when the leader rests.
    looks_at: Tick,
    /// When a worker last came to look at the jobs.
    woke: Tick,
    pub(super) threads: usize,
    pub(super) busy: usize,
    pub(super) closed: bool,
    /// The threads that drop the jobs of a scheduler which was closed, each as often as it does so.
    pub(super) closing: Vec<Token>,
    /// When the first of the alarms rings that are set.
    watch_at: Tick,
    /// All that are, and some that have rung.
    pub(super) alarms: Vec<Alarm>,
    /// When the last call began.
    began: Tick,
    /// Calls begun, and how many there were when an alarm last rang.
    turns: u64,
    turns_watched: u64,
    /// Whether that all are stuck was counted since a call began.
    is_stuck: bool,
    pub(super) counters: Counters,
    pub(super) limits: Limits,
}

impl State {
    pub(super) fn new(limits: Limits) -> State {
        State {
            jobs: JobTable::new(limits.real),
            workers: Vec::new(),
            followers: Vec::new(),
            leader: None,
            looks_at: Tick::MAX,
            woke: Tick::default(),
            threads: 0,
            busy: 0,
            closed: false,
            closing: Vec::new(),
            watch_at: Tick::MAX,
            alarms: Vec::new(),
            began: Tick::default(),
            turns: 0,
            turns_watched: 0,
            is_stuck: false,
            counters: Counters::default(),
            limits,
        }
    }

    /// Whether somebody who is in no call will look at the jobs by itself, and for one that is to
    /// be called at `next` no later than by `slack`.
    fn is_attended(&self, next: Tick, slack: Duration) -> bool {
        let awake = self.threads - self.busy - self.followers.len();
        match self.leader {
            Some(_) => awake > 1 || next.after(slack) >= self.looks_at,
            None => awake > 0,
        }
    }

    /// Sees to it that somebody looks at the jobs in time (LEADER, WATCH). Unless it is `eager`,
    /// the workers who are in calls are trusted to come back soon, and only watched.
    #[inline]
    pub(super) fn attend(&mut self, now: Tick, real: Tick, eager: bool) -> Act {
        let Some(next) = self.jobs.next().filter(|_| !self.closed) else {
            return Act::default();
        };
        if self.is_attended(next, Duration::ZERO) {
            return Act::default();
        }
        self.have_attended(next.max(now).since(now), real, eager)
    }

    #[inline(never)]
    fn have_attended(&mut self, wait: Duration, real: Tick, eager: bool) -> Act {
        if self.leader.is_some() {
            // A job was called, or is due before the leader looks.
            let wake = if wait.is_zero() { self.wake_follower() } else { None };
            return Act { wake: wake.or_else(|| self.wake_leader()), ..Act::default() };
        }
        if eager || cfg!(docache_loom) {
            if let Some(wake) = self.wake_follower() {
                return Act { wake: Some(wake), ..Act::default() };
            }
            if self.threads < self.limits.workers {
                return Act { start: Some(self.hire()), ..Act::default() };
            }
        }
        Act { watch: self.watch(wait, real), ..Act::default() }
    }

    /// The alarm that is to be set for a job that is to be called after `wait`, unless one is.
    fn watch(&mut self, wait: Duration, real: Tick) -> Option<Tick> {
        self.watch_at(real.after(wait).after(self.limits.grace))
    }

    fn watch_at(&mut self, at: Tick) -> Option<Tick> {
        let set = at < self.watch_at && at != Tick::MAX && !cfg!(docache_loom);
        set.then(|| {
            self.watch_at = at;
            at
        })
    }

    fn wake_follower(&mut self) -> Option<Waker> {
        let follower = self.followers.pop()?;
        self.workers[follower].doing = Doing::Awake;
        self.workers[follower].waker.clone()
    }

    fn wake_leader(&mut self) -> Option<Waker> {
        let leader = self.leader.take()?;
        self.workers[leader].doing = Doing::Awake;
        self.workers[leader].waker.clone()
    }

    /// A place for one more worker, which counts from now on.
    fn hire(&mut self) -> usize {
        self.threads += 1;
        let worker =
            Worker { doing: Doing::Awake, job: None, waker: None, token: None, sent_home: false };
        let free = self.workers.iter().position(|worker| worker.doing == Doing::Nothing);
        match free {
            Some(free) => {
                self.workers[free] = worker;
                free
            }
            None => {
                self.workers.push(worker);
                self.workers.len() - 1
            }
        }
    }

    /// A worker goes, or never came.
    pub(super) fn leave(&mut self, me: usize) {
        let worker = &mut self.workers[me];
        debug_assert_eq!(worker.doing, Doing::Awake);
        (worker.doing, worker.token) = (Doing::Nothing, None);
        self.threads -= 1;
        if self.threads == 0 {
            self.workers = Vec::new();
            self.followers = Vec::new();
            self.jobs.shrink();
        }
    }

    /// How a worker can be woken, and by which token its thread is known.
    pub(super) fn introduce(&mut self, me: usize, waker: &Waker, token: Token) {
        let worker = &mut self.workers[me];
        (worker.waker, worker.token) = (Some(waker.clone()), Some(token));
    }

    /// A worker has come back from a rest or from a call.
    #[inline]
    pub(super) fn come_back(&mut self, me: usize, now: Tick) {
        match mem::replace(&mut self.workers[me].doing, Doing::Awake) {
            Doing::Busy => {
                self.busy -= 1;
                self.workers[me].job = None;
            }
            Doing::Leads => {
                self.leader = None;
                self.woke = now;
            }
            Doing::Follows => self.followers.retain(|follower| *follower != me),
            // It was woken, or is new.
            Doing::Awake => self.woke = now,
            Doing::Nothing => {}
        }
    }

    /// A worker is in user code from now on.
    #[inline]
    pub(super) fn go_busy(&mut self, me: usize, job: Option<JobId>) {
        let worker = &mut self.workers[me];
        (worker.doing, worker.job) = (Doing::Busy, job);
        self.busy += 1;
    }

    /// A call begins: notes it, and sees to it that somebody looks at the other jobs.
    #[inline]
    pub(super) fn begin_call(&mut self, quick: bool, late: Duration, now: Tick, real: Tick) -> Act {
        self.turns += 1;
        self.began = now;
        self.is_stuck = false;
        self.counters.late = self.counters.late.max(late);
        let shares = || now.since(self.woke) > SHARE_AFTER && self.has_due(now);
        let eager = !quick || shares();
        let Some(next) = self.jobs.next() else { return Act::default() };
        if self.is_attended(next, self.slack()) {
            return Act::default();
        }
        self.have_attended(next.max(now).since(now), real, eager)
    }

    /// Takes a job back; returns it if it is over.
    #[inline]
    pub(super) fn settle(&mut self, done: Done, now: Tick) -> Option<Box<dyn Job>> {
        let quick = self.limits.real && now.since(done.began) < QUICK;
        self.counters.calls += 1;
        self.counters.panics += u64::from(done.panicked);
        self.take_back(done.id, done.job, done.next, quick, now)
    }

    /// The same for a job that need not have been called. After the end each is over: who brings it
    /// drops it, and does not leave it to a thread that may be held up.
    #[inline]
    pub(super) fn take_back(
        &mut self,
        id: JobId,
        job: Box<dyn Job>,
        next: Next,
        quick: bool,
        now: Tick,
    ) -> Option<Box<dyn Job>> {
        let next = if self.closed { Next::Over } else { next };
        self.jobs.settle(id, job, next, quick, now)
    }

    /// By how much a leader may be late for what is due while it rests.
    fn slack(&self) -> Duration {
        if self.limits.real { COALESCE } else { Duration::ZERO }
    }

    fn has_due(&self, now: Tick) -> bool {
        self.jobs.next().is_some_and(|next| next <= now)
    }

    /// How a worker that has nothing to do is to rest, and whom it is to wake before; `None` if it
    /// is to go.
    pub(super) fn rest(&mut self, me: usize, lingered: bool) -> Option<(Rest, Option<Waker>)> {
        let (idle, spare) = (self.jobs.len() == 0, self.threads > self.limits.workers);
        let sent_home = mem::take(&mut self.workers[me].sent_home);
        if (idle || spare) && lingered || idle && sent_home {
            return None;
        }
        let next = self.jobs.next().unwrap_or(Tick::MAX);
        let looks_at = next.max(self.woke.after(self.slack()));
        // What this worker has brought back may be due before the leader looks.
        let deposed = if looks_at < self.looks_at { self.depose_leader(spare) } else { None };
        if self.leader.is_some() {
            self.workers[me].doing = Doing::Follows;
            self.followers.push(me);
            return Some((if spare || idle { Rest::Linger } else { Rest::Called }, None));
        }
        self.workers[me].doing = Doing::Leads;
        self.leader = Some(me);
        self.looks_at = looks_at;
        let rest = match next {
            Tick::MAX if idle => Rest::Linger,
            Tick::MAX => Rest::Called,
            _ => Rest::Until(looks_at),
        };
        Some((rest, deposed))
    }

    /// Has the leader follow, since another worker leads in its place. It rests on, unless there
    /// are so many that it may be one that is to go after a while: then it is to be woken.
    fn depose_leader(&mut self, wakes: bool) -> Option<Waker> {
        if wakes {
            return self.wake_leader();
        }
        let leader = self.leader.take()?;
        self.workers[leader].doing = Doing::Follows;
        self.followers.push(leader);
        None
    }

    /// Wakes one who rests although there is nothing to do, so that it goes too.
    pub(super) fn send_home(&mut self) -> Act {
        let next = self.followers.last().copied().or(self.leader);
        let Some(next) = next.filter(|_| self.jobs.len() == 0 || self.closed) else {
            return Act::default();
        };
        self.workers[next].sent_home = true;
        Act { wake: self.wake_follower().or_else(|| self.wake_leader()), ..Act::default() }
    }

    /// A job was taken back: if it was the last one, the leader that rests for it is to linger.
    pub(super) fn took_back(&mut self) -> Option<Waker> {
        let rests_for_it = self.jobs.len() == 0 && self.looks_at != Tick::MAX;
        if rests_for_it { self.wake_leader() } else { None }
    }

    /// An alarm rings: if nobody looks at the jobs, somebody is made to.
    pub(super) fn ring(&mut self, now: Tick, real: Tick) -> Act {
        if real < self.watch_at && self.watch_at != Tick::MAX {
            // One that was set before another one that is to ring later.
            return Act::default();
        }
        self.watch_at = Tick::MAX;
        let moved = mem::replace(&mut self.turns_watched, self.turns) != self.turns;
        let Some(next) = self.jobs.next().filter(|_| !self.closed) else {
            return Act::default();
        };
        if self.is_attended(next, self.slack()) {
            return Act { watch: self.watch_on(next, now, real), ..Act::default() };
        }
        let left = self.limits.grace.saturating_sub(now.since(self.began));
        if self.limits.real && self.busy > 0 && !left.is_zero() {
            // Whoever has begun that call is likely to look before anybody else could.
            return Act { watch: self.watch_at(real.after(left)), ..Act::default() };
        }
        if let Some(wake) = self.wake_follower().or_else(|| self.wake_leader()) {
            return Act { wake: Some(wake), ..Act::default() };
        }
        if self.threads < self.limits.workers {
            return Act { start: Some(self.hire()), ..Act::default() };
        }
        if !self.has_due(now) || moved {
            let wait = next.max(now).since(now);
            return Act { watch: self.watch(wait, real), ..Act::default() };
        }
        if !mem::replace(&mut self.is_stuck, true) {
            self.counters.stuck += 1;
        }
        if self.threads >= self.limits.max_workers {
            // Whoever comes back first looks.
            return Act::default();
        }
        self.counters.grown += 1;
        let watch = self.watch(Duration::ZERO, real);
        Act { start: Some(self.hire()), watch, ..Act::default() }
    }

    /// While calls come one after the other the alarm stays ahead of them, which is cheaper than
    /// setting it for each.
    fn watch_on(&mut self, next: Tick, now: Tick, real: Tick) -> Option<Tick> {
        const SOON: Duration = Duration::from_secs(1);
        let wait = next.max(now).since(now);
        if self.limits.real && wait <= SOON { self.watch(wait, real) } else { None }
    }

    /// Whether the calling thread, or no thread, is in a call.
    pub(super) fn is_quiet(&self, token: Token) -> bool {
        let is_own = |worker: &Worker| worker.token == Some(token) && worker.doing == Doing::Busy;
        self.busy == 0 || self.workers.iter().any(is_own)
    }

    /// What is there in the child of a fork: the worker that forked, if one did, with its job.
    #[cfg(not(docache_loom))]
    pub(super) fn reset_in_child(&mut self, token: Token) {
        let mine = self
            .workers
            .iter()
            .position(|worker| worker.doing != Doing::Nothing && worker.token == Some(token));
        let kept = mine.and_then(|mine| self.workers[mine].job);
        for (i, worker) in self.workers.iter_mut().enumerate() {
            if Some(i) != mine {
                // Its parker's lock may be held by a thread that is not there.
                mem::forget(worker.waker.take());
                (worker.doing, worker.job, worker.token) = (Doing::Nothing, None, None);
            }
        }
        let busy = mine.is_some_and(|mine| self.workers[mine].doing == Doing::Busy);
        (self.threads, self.busy) = (usize::from(mine.is_some()), usize::from(busy));
        self.followers.clear();
        self.closing.retain(|closing| *closing == token);
        self.leader = None;
        // A thread that is not there may have been about to set it.
        self.watch_at = Tick::MAX;
        self.jobs.reset_in_child(kept);
    }
}
