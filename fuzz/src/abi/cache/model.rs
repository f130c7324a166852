//! What a cache has, and where its calls stand.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use docache::ffi::*;

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Value(u8),
    Failed,
    Panicked,
}

impl Came {
    pub(crate) fn status(self) -> docache_status {
        match self {
            Came::Value(_) => DOCACHE_OK,
            Came::Failed => DOCACHE_DOER_FAILED,
            Came::Panicked => DOCACHE_PANIC,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Waits,
    Leads,
    Over(Came),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Armed {
    No,
    Yes,
    Fired,
}

/// A call that is out.
#[derive(Debug)]
pub(crate) struct Held {
    /// The address of the world.
    pub(crate) world: usize,
    pub(crate) handle: *mut docache_call,
    /// The run that it is in.
    pub(crate) run: u64,
    pub(crate) owner: u64,
    pub(crate) joined: bool,
    pub(crate) stage: Cell<Stage>,
    pub(crate) armed: Cell<Armed>,
    /// How often the library has called its notification.
    pub(crate) told: Cell<u32>,
}

impl Held {
    /// Something is there to see.
    fn ring(&self, stage: Stage) {
        self.stage.set(stage);
        if self.armed.get() == Armed::Yes {
            self.armed.set(Armed::Fired);
        }
    }

    pub(crate) fn check(&self) {
        let expected = u32::from(self.armed.get() == Armed::Fired);
        assert_eq!(self.told.get(), expected, "how often the notification of {self:?} was called");
    }
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct Flight {
    key: usize,
    /// None: a call that blocks.
    pub(crate) leader: Option<Rc<Held>>,
    /// In the order in which they came.
    waiters: VecDeque<Rc<Held>>,
    /// The leader's load has begun.
    pub(crate) loads: bool,
    /// A write has come since: nobody joins it any more, and nothing of it is kept.
    beaten: bool,
}

/// A cache.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) values: BTreeMap<usize, u8>,
    pub(crate) failures: BTreeMap<usize, ()>,
    pub(crate) flights: BTreeMap<u64, Flight>,
    /// The run of a key that calls join.
    pub(crate) open: BTreeMap<usize, u64>,
    pub(crate) runs: u64,
    pub(crate) keeps_failures: bool,
}

impl Model {
    /// A write to a key.
    fn beat(&mut self, key: usize) {
        self.failures.remove(&key);
        self.flights
            .values_mut()
            .filter(|flight| flight.key == key)
            .for_each(|flight| flight.beaten = true);
        self.open.remove(&key);
    }

    /// The run that a call of a key joins, and what it is called.
    pub(crate) fn joined(&self, key: usize) -> Option<(u64, &Flight)> {
        self.open.get(&key).map(|run| (*run, &self.flights[run]))
    }

    /// A run begins.
    pub(crate) fn start(&mut self, key: usize) -> u64 {
        self.runs += 1;
        let waiters = VecDeque::new();
        let flight = Flight { key, leader: None, waiters, loads: false, beaten: false };
        self.flights.insert(self.runs, flight);
        self.open.insert(key, self.runs);
        self.runs
    }

    pub(crate) fn set(&mut self, key: usize, value: u8) {
        self.beat(key);
        self.values.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: usize) -> Option<u8> {
        self.beat(key);
        self.values.remove(&key)
    }

    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.failures.clear();
        self.flights.values_mut().for_each(|flight| flight.beaten = true);
        self.open.clear();
    }

    /// What a leader finds that is about to load.
    pub(crate) fn found(&self, key: usize) -> Option<Came> {
        let failed = self.failures.get(&key).map(|()| Came::Failed);
        failed.or_else(|| self.values.get(&key).map(|value| Came::Value(*value)))
    }

    /// The leader of a run begins to load, unless there is something: then the run is over.
    pub(crate) fn take_lead(&mut self, run: u64) -> Option<Came> {
        let found = self.found(self.flights[&run].key);
        match found {
            Some(came) => self.land(run, came),
            None => {
                let flight = self.flights.get_mut(&run).expect("somebody leads");
                flight.loads = true;
                // What was written before this load does not beat it; another run of the key does.
                if *self.open.entry(flight.key).or_insert(run) == run {
                    flight.beaten = false;
                }
            }
        }
        found
    }

    /// A load has ended.
    pub(crate) fn finish(&mut self, run: u64, came: Came) {
        let Flight { key, beaten, .. } = self.flights[&run];
        if !beaten {
            match came {
                Came::Value(value) => drop(self.values.insert(key, value)),
                Came::Failed if self.keeps_failures => drop(self.failures.insert(key, ())),
                Came::Failed | Came::Panicked => {}
            }
        }
        self.land(run, came);
    }

    /// A run is over.
    fn land(&mut self, run: u64, came: Came) {
        let flight = self.remove_run(run);
        flight.leader.iter().for_each(|leader| leader.stage.set(Stage::Over(came)));
        flight.waiters.iter().for_each(|waiter| waiter.ring(Stage::Over(came)));
    }

    fn remove_run(&mut self, run: u64) -> Flight {
        let flight = self.flights.remove(&run).expect("there is a run");
        if self.open.get(&flight.key) == Some(&run) {
            self.open.remove(&flight.key);
        }
        flight
    }

    pub(crate) fn join(&mut self, held: &Rc<Held>) {
        let flight = self.flights.get_mut(&held.run).expect("it is under way");
        if held.joined {
            flight.waiters.push_back(held.clone());
        } else {
            flight.leader = Some(held.clone());
        }
    }

    /// A call is freed: what docache_call_free says.
    pub(crate) fn leave(&mut self, held: &Rc<Held>) -> docache_status {
        match held.stage.get() {
            Stage::Over(_) => DOCACHE_OK,
            Stage::Waits => {
                let flight = self.flights.get_mut(&held.run).expect("it waits for one");
                flight.waiters.retain(|other| !Rc::ptr_eq(other, held));
                held.armed.set(Armed::No);
                DOCACHE_OK
            }
            Stage::Leads => {
                let flight = self.flights.get_mut(&held.run).expect("it leads one");
                flight.leader = flight.waiters.pop_front();
                flight.loads = false;
                match &flight.leader {
                    Some(heir) => heir.ring(Stage::Leads),
                    None => drop(self.remove_run(held.run)),
                }
                if self.flights.contains_key(&held.run) { DOCACHE_OK } else { DOCACHE_LEADER_LOST }
            }
        }
    }
}
