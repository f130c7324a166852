//! The table of jobs beside a list, step by step; and who looks at the jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use proptest::prelude::*;

use super::jobs::{JobId, JobTable, Taken};
use super::state::{Done, Limits, Rest, State};
use crate::clock::Tick;
use crate::executor::{Job, Next, Turn};
use crate::sync::thread;

/// A job with a number, which says when it is dropped.
struct Numbered(u64, Arc<AtomicU64>);

impl Drop for Numbered {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

impl Job for Numbered {
    fn enlist(&mut self, _: &Waker) -> Next {
        Next::Called
    }

    /// Tells its number.
    fn run(&mut self, _: Tick, _: bool) -> Turn {
        Turn { next: Next::Over, ended: Some(Tick::from_nanos(self.0)) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Waits(u64),
    Sleeps,
    Called,
    Runs { again: bool },
    Gone,
}

#[derive(Debug, Clone)]
enum Action {
    Insert(Option<u64>),
    /// Of the n-th job.
    Remove(usize),
    Call(usize),
    Take,
    /// The n-th of those that are taken, to be called again after so long, when woken, or never.
    Settle(usize, Option<Option<u64>>),
    Advance(u64),
    Clear,
}

fn action() -> impl Strategy<Value = Action> {
    let span = || prop_oneof![0..100_u64, 0..100_000_u64, Just(u64::MAX)];
    prop_oneof![
        4 => proptest::option::weighted(0.8, span()).prop_map(Action::Insert),
        1 => (0..1_000_usize).prop_map(Action::Remove),
        2 => (0..1_000_usize).prop_map(Action::Call),
        4 => Just(Action::Take),
        4 => (0..1_000_usize, proptest::option::of(proptest::option::weighted(0.8, span())))
            .prop_map(|(n, next)| Action::Settle(n, next)),
        2 => (0..10_000_u64).prop_map(Action::Advance),
        1 => Just(Action::Clear).prop_filter("rarely", |_| true),
    ]
}

/// The table and what it should hold.
struct Both {
    table: JobTable,
    now: u64,
    /// By number: the name, where it is, and when it got there.
    jobs: Vec<(JobId, Place, u64)>,
    taken: Vec<(usize, Taken)>,
    order: u64,
    dropped: Arc<AtomicU64>,
    gone: u64,
}

fn tick(nanos: u64) -> Tick {
    Tick::from_nanos(nanos)
}

impl Both {
    fn put(&mut self, n: usize, place: Place) {
        self.order += 1;
        (self.jobs[n].1, self.jobs[n].2) = (place, self.order);
        self.gone += u64::from(place == Place::Gone);
    }

    fn due(&self, after: Option<u64>) -> (Next, Place) {
        match after.map(|after| self.now.saturating_add(after)) {
            None => (Next::Called, Place::Sleeps),
            Some(u64::MAX) => (Next::At(Tick::MAX), Place::Sleeps),
            Some(at) => (Next::At(tick(at)), Place::Waits(at)),
        }
    }

    fn act(&mut self, action: Action) {
        let (len, now) = (self.jobs.len().max(1), tick(self.now));
        match action {
            Action::Insert(after) => {
                let id = self.table.reserve();
                let job = Box::new(Numbered(self.jobs.len() as u64, self.dropped.clone()));
                let (next, place) = self.due(after);
                assert!(self.table.settle(id, job, next, false, now).is_none());
                self.jobs.push((id, Place::Gone, 0));
                self.put(self.jobs.len() - 1, place);
            }
            Action::Remove(n) => {
                let Some((id, place, _)) = self.jobs.get(n % len).copied() else { return };
                let removed = self.table.remove(id);
                let is_there = !matches!(place, Place::Runs { .. } | Place::Gone);
                assert_eq!(removed.is_some(), is_there);
                if is_there {
                    self.put(n % len, Place::Gone);
                }
            }
            Action::Call(n) => {
                let Some((id, place, _)) = self.jobs.get(n % len).copied() else { return };
                let matters = matches!(place, Place::Waits(_) | Place::Sleeps);
                assert_eq!(self.table.call(id, now), matters);
                match place {
                    Place::Runs { .. } => self.jobs[n % len].1 = Place::Runs { again: true },
                    Place::Waits(_) | Place::Sleeps => self.put(n % len, Place::Called),
                    Place::Called | Place::Gone => {}
                }
            }
            Action::Take => self.take(),
            Action::Settle(n, next) => self.settle(n, next),
            Action::Advance(by) => self.now += by,
            Action::Clear => {
                if self.jobs.len() % 7 == 0 {
                    drop(self.table.clear());
                    let all = |this: &Both| (0..this.jobs.len()).collect::<Vec<_>>();
                    for n in all(self) {
                        match self.jobs[n].1 {
                            Place::Gone | Place::Runs { .. } => {}
                            _ => self.put(n, Place::Gone),
                        }
                    }
                    self.gone += self.taken.len() as u64;
                    for (n, taken) in std::mem::take(&mut self.taken) {
                        self.jobs[n].1 = Place::Gone;
                        let job = self.table.settle(taken.id, taken.job, Next::Called, false, now);
                        assert!(job.is_some(), "it is not taken back");
                    }
                }
            }
        }
    }

    fn take(&mut self) {
        let first = |is_it: &dyn Fn(Place) -> Option<u64>| {
            let each = self.jobs.iter().enumerate();
            let all = each.filter_map(|(n, job)| is_it(job.1).map(|at| (at, job.2, n)));
            all.min().map(|(.., n)| n)
        };
        let due = first(&|place| match place {
            Place::Waits(at) if at <= self.now => Some(at),
            _ => None,
        });
        let called = first(&|place| (place == Place::Called).then_some(0));
        let taken = self.table.take(tick(self.now));
        let Some(mut taken) = taken else {
            assert_eq!((due, called), (None, None));
            return;
        };
        let number = taken.job.run(tick(0), false).ended.unwrap().as_nanos() as usize;
        assert_eq!(Some(number), if taken.called { called } else { due });
        assert_eq!(taken.id, self.jobs[number].0);
        self.put(number, Place::Runs { again: false });
        self.taken.push((number, taken));
    }

    fn settle(&mut self, n: usize, next: Option<Option<u64>>) {
        if self.taken.is_empty() {
            return;
        }
        let (number, taken) = self.taken.swap_remove(n % self.taken.len());
        let again = self.jobs[number].1 == Place::Runs { again: true };
        let (next, place) = next.map_or((Next::Over, Place::Gone), |after| self.due(after));
        let place = if again && next != Next::Over { Place::Called } else { place };
        let over = self.table.settle(taken.id, taken.job, next, false, tick(self.now));
        assert_eq!(over.is_some(), next == Next::Over);
        self.put(number, place);
    }

    fn check(&self) {
        let alive = self.jobs.iter().filter(|job| job.1 != Place::Gone).count();
        assert_eq!(self.table.len(), alive);
        assert_eq!(self.dropped.load(Ordering::Relaxed), self.gone);
        let waits = |job: &(JobId, Place, u64)| match job.1 {
            Place::Waits(at) => Some(at),
            Place::Called => Some(0),
            _ => None,
        };
        let first = self.jobs.iter().filter_map(waits).min();
        let next = self.table.next().map(Tick::as_nanos);
        assert!(first.is_none_or(|first| next.is_some_and(|next| next <= first)));
        for (id, place, _) in &self.jobs {
            let is_waiting = !matches!(place, Place::Runs { .. } | Place::Gone);
            assert_eq!(self.table.is_waiting(*id), is_waiting);
        }
    }
}

#[test]
fn on_a_real_clock_nothing_is_due_early_or_later_than_by_a_unit() {
    let mut table = JobTable::new(true);
    let dropped = Arc::default();
    for at in [1, 65_536, 65_537, 1_000_000_007, 1 << 60] {
        let id = table.reserve();
        let job = Box::new(Numbered(at, Arc::clone(&dropped)));
        assert!(table.settle(id, job, Next::At(tick(at)), false, tick(0)).is_none());
        let next = table.next().unwrap();
        assert!(next >= tick(at));
        assert!(table.take(tick(at - 1)).is_none());
        assert!(next < tick(at + 65_536));
        assert_eq!(table.take(next).map(|taken| taken.at), Some(tick(at)));
    }
}

/// A state with two workers: the first one in a call of a job, the other one rests until a time
/// that comes much later.
fn one_in_a_call() -> (State, Taken) {
    let grace = Duration::from_nanos(10);
    let limits = Limits { workers: 2, max_workers: 2, grace, real: false };
    let mut state = State::new(limits);
    for at in [1_000, 10] {
        let id = state.jobs.reserve();
        let job = Box::new(Numbered(at, Arc::default()));
        assert!(state.jobs.settle(id, job, Next::At(tick(at)), false, tick(0)).is_none());
    }
    assert_eq!(state.attend(tick(0), tick(0), true).start, Some(0));
    state.introduce(0, Waker::noop(), thread::token());
    state.come_back(0, tick(10));
    let taken = state.jobs.take(tick(10)).unwrap();
    state.go_busy(0, Some(taken.id));
    assert_eq!(state.begin_call(false, Duration::ZERO, tick(10), tick(10)).start, Some(1));
    state.introduce(1, Waker::noop(), thread::token());
    state.come_back(1, tick(10));
    let (rest, wake) = state.rest(1, false).unwrap();
    assert!(rest == Rest::Until(tick(1_000)) && wake.is_none());
    (state, taken)
}

/// The first worker comes back, and its job is to be called again at 30.
fn come_back(state: &mut State, taken: Taken) -> (Rest, Option<Waker>) {
    state.come_back(0, tick(20));
    let (next, began) = (Next::At(tick(30)), tick(10));
    let done = Done { id: taken.id, job: taken.job, next, began, panicked: false };
    assert!(state.settle(done, tick(20)).is_none());
    assert!(state.jobs.take(tick(20)).is_none());
    state.rest(0, false).unwrap()
}

#[test]
fn who_brings_back_what_is_due_before_the_leader_looks_leads() {
    let (mut state, taken) = one_in_a_call();
    let (rest, wake) = come_back(&mut state, taken);
    assert!(rest == Rest::Until(tick(30)) && wake.is_none(), "{rest:?}");
    // The other one follows: it is woken when this one is in a call.
    state.come_back(0, tick(30));
    let taken = state.jobs.take(tick(30)).unwrap();
    state.go_busy(0, Some(taken.id));
    let act = state.begin_call(false, Duration::ZERO, tick(30), tick(30));
    assert!(act.wake.is_some() && act.start.is_none());
}

#[test]
fn a_worker_that_may_be_to_go_is_woken_when_another_one_leads_in_its_place() {
    let (mut state, taken) = one_in_a_call();
    state.limits.workers = 1;
    let (rest, wake) = come_back(&mut state, taken);
    assert!(rest == Rest::Until(tick(30)) && wake.is_some(), "{rest:?}");
    state.come_back(1, tick(20));
    assert!(matches!(state.rest(1, false), Some((Rest::Linger, None))));
    state.come_back(1, tick(25));
    assert!(state.rest(1, true).is_none());
}

proptest! {
    #[test]
    fn jobs_are_where_they_should_be_and_come_in_order(
        actions in proptest::collection::vec(action(), 0..120),
    ) {
        let mut both = Both {
            table: JobTable::new(false),
            now: 0,
            jobs: Vec::new(),
            taken: Vec::new(),
            order: 0,
            dropped: Arc::default(),
            gone: 0,
        };
        for action in actions {
            both.act(action);
            both.check();
        }
    }
}
