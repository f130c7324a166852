//! Loops and closures on a scheduler beside a list of what is due, on a clock that only the test
//! and the work itself move: fixed rate and fixed delay, work that takes time, jumps of the clock,
//! refreshes, stops and starts, closures that are taken back.

use docache::run::{Scheduled, Scheduler};
use docache::{Clock, LoopCache, ManualClock, Schedule};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What was called, and when: loops by their number, closures from 100 on.
type Log = Arc<Mutex<Vec<(usize, u64)>>>;

/// A loop's settings, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Work {
    interval: u64,
    first_delay: u64,
    /// How long a call takes.
    takes: u64,
    fixed_rate: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u64),
    Start(usize),
    Stop(usize),
    Refresh(usize),
    Schedule(u64),
    Cancel(usize),
}

fn work() -> impl Strategy<Value = Work> {
    (1..50_u64, 0..60_u64, prop_oneof![3 => Just(0), 1 => 1..120_u64], any::<bool>()).prop_map(
        |(interval, first_delay, takes, fixed_rate)| {
            // All four together are not to take more time than there is.
            let takes = takes.min((interval - 1) / 4);
            Work { interval, first_delay, takes, fixed_rate }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..40_u64).prop_map(Step::Advance),
        1 => (100..1_000_u64).prop_map(Step::Advance),
        2 => (0..4_usize).prop_map(Step::Start),
        1 => (0..4_usize).prop_map(Step::Stop),
        1 => (0..4_usize).prop_map(Step::Refresh),
        3 => (0..100_u64).prop_map(Step::Schedule),
        1 => (0..8_usize).prop_map(Step::Cancel),
    ]
}

/// What waits, in the model.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: u64,
    /// Among those of one time, the one that was set first comes first.
    order: u64,
    who: usize,
    /// What a fixed rate counts from.
    tick: u64,
}

/// The sequential model: one list, one worker.
#[derive(Default)]
struct Model {
    now: u64,
    order: u64,
    work: Vec<Work>,
    dues: Vec<Due>,
    log: Vec<(usize, u64)>,
}

impl Model {
    fn set(&mut self, who: usize, at: u64) {
        self.order += 1;
        self.dues.push(Due { at, order: self.order, who, tick: at });
    }

    fn runs(&self, who: usize) -> bool {
        self.dues.iter().any(|due| due.who == who)
    }

    fn take_back(&mut self, who: usize) -> bool {
        let before = self.dues.len();
        self.dues.retain(|due| due.who != who);
        self.dues.len() < before
    }

    /// Calls whatever is due, in order.
    fn settle(&mut self) {
        while let Some(i) = self.first_due() {
            let due = self.dues.swap_remove(i);
            self.call(due, false);
        }
    }

    fn first_due(&self) -> Option<usize> {
        let due = self.dues.iter().enumerate().filter(|(_, due)| due.at <= self.now);
        due.min_by_key(|(_, due)| (due.at, due.order)).map(|(i, _)| i)
    }

    fn call(&mut self, due: Due, refresh: bool) {
        self.log.push((due.who, self.now));
        let Some(work) = self.work.get(due.who).copied() else { return };
        let passed = |now: u64| now.saturating_sub(due.tick) / work.interval;
        let began = passed(self.now);
        self.now += work.takes;
        let tick = if !work.fixed_rate {
            self.now + work.interval
        } else if refresh {
            due.tick
        } else {
            // The last that came during the call, or else the next one.
            due.tick + work.interval * passed(self.now).max(began + 1)
        };
        self.order += 1;
        self.dues.push(Due { at: tick, order: self.order, who: due.who, tick });
    }
}

fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// The real thing.
struct Real {
    clock: ManualClock,
    scheduler: Scheduler,
    caches: Vec<LoopCache<()>>,
    closures: Vec<Scheduled>,
    log: Log,
}

impl Real {
    fn new(works: &[Work]) -> Real {
        let clock = ManualClock::new();
        let scheduler = Scheduler::builder().workers(1).max_workers(1).clock(clock.clone());
        let scheduler = scheduler.build().unwrap();
        let log = Log::default();
        let caches = works.iter().enumerate().map(|(who, work)| {
            let (takes, time, log) = (nanos(work.takes), clock.clone(), log.clone());
            let doer = move || {
                log.lock().unwrap().push((who, time.now().as_nanos()));
                time.advance(takes);
                Ok::<_, std::io::Error>(())
            };
            let schedule = if work.fixed_rate { Schedule::FixedRate } else { Schedule::FixedDelay };
            LoopCache::builder(doer)
                .interval(nanos(work.interval))
                .first_delay(nanos(work.first_delay))
                .schedule(schedule)
                .clock(clock.clone())
                .scheduler(&scheduler)
                .build()
                .unwrap()
        });
        let caches = caches.collect();
        Real { clock, scheduler, caches, closures: Vec::new(), log }
    }

    /// Waits until so many calls have ended and nobody is in another.
    fn settle(&self, calls: usize) {
        let start = Instant::now();
        let is_there =
            || self.log.lock().unwrap().len() >= calls && self.scheduler.stats().busy == 0;
        while !is_there() {
            assert!(start.elapsed() < Duration::from_secs(30), "{:?}", self.log);
            std::thread::yield_now();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn calls_come_as_in_a_list_of_due_times(
        works in proptest::collection::vec(work(), 4),
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let real = &mut Real::new(&works);
        let model = &mut Model { work: works, ..Model::default() };
        for step in steps {
            play(step, real, model);
            real.settle(model.log.len());
            assert_eq!(*real.log.lock().unwrap(), model.log, "after {step:?}");
            assert_eq!(real.clock.now().as_nanos(), model.now);
        }
        real.scheduler.shutdown();
        assert!(real.caches.iter().all(|cache| !cache.is_running()));
        assert_eq!(*real.log.lock().unwrap(), model.log, "nothing else was called");
    }
}

fn play(step: Step, real: &mut Real, model: &mut Model) {
    match step {
        Step::Advance(by) => {
            model.now += by;
            model.settle();
            real.clock.advance(nanos(by));
        }
        Step::Start(who) => {
            let starts = !model.runs(who);
            if starts {
                model.set(who, model.now + model.work[who].first_delay);
            }
            model.settle();
            assert_eq!(real.caches[who].start().unwrap(), starts);
        }
        Step::Stop(who) => {
            real.caches[who].stop();
            model.take_back(who);
        }
        Step::Refresh(who) => {
            let due = model.dues.iter().position(|due| due.who == who);
            let refresh = real.caches[who].refresh().wait(None);
            assert_eq!(refresh.is_ok(), due.is_some());
            if let Some(due) = due {
                let due = model.dues.swap_remove(due);
                model.call(due, true);
                model.settle();
            }
        }
        Step::Schedule(after) => {
            let who = 100 + real.closures.len();
            model.set(who, model.now + after);
            model.settle();
            let (time, log) = (real.clock.clone(), real.log.clone());
            let closure = move || log.lock().unwrap().push((who, time.now().as_nanos()));
            real.closures.push(real.scheduler.schedule_after(nanos(after), closure).unwrap());
        }
        Step::Cancel(back) => {
            let Some(n) = real.closures.len().checked_sub(back + 1) else { return };
            assert_eq!(real.closures[n].cancel(), model.take_back(100 + n));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn jitter_lengthens_each_wait_by_no_more_than_it_may(
        interval in 1..1_000_u64,
        jitter in 0..500_u64,
    ) {
        let clock = ManualClock::new();
        let scheduler = Scheduler::builder().workers(1).clock(clock.clone()).build().unwrap();
        let cache = LoopCache::builder(|| Ok::<_, std::io::Error>(()))
            .interval(nanos(interval))
            .jitter(nanos(jitter))
            .clock(clock.clone())
            .scheduler(&scheduler)
            .build()
            .unwrap();
        cache.start().unwrap();
        for call in 1..20 {
            cache.changed(call - 1).wait(None).unwrap();
            clock.advance(nanos(interval - 1));
            prop_assert_eq!(cache.version(), call);
            clock.advance(nanos(jitter + 1));
        }
    }
}
