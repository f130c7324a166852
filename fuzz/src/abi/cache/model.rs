//! What a cache has, and where its calls stand.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use docache::ffi::*;

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Value(u8),
    Failed,
    Panicked,
}

impl Came {
    pub(super) fn status(self) -> docache_status {
        match self {
            Came::Value(_) => DOCACHE_OK,
            Came::Failed => DOCACHE_DOER_FAILED,
            Came::Panicked => DOCACHE_PANIC,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Waits,
    Leads,
    Over(Came),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Armed {
    No,
    Yes,
    Fired,
}

/// A call that is out.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) handle: *mut docache_call,
    pub(super) key: usize,
    pub(super) owner: u64,
    pub(super) joined: bool,
    pub(super) stage: Cell<Stage>,
    pub(super) armed: Cell<Armed>,
    /// How often the library has called its notification.
    pub(super) told: Cell<u32>,
}

impl Held {
    /// Something is there to see.
    fn ring(&self, stage: Stage) {
        self.stage.set(stage);
        if self.armed.get() == Armed::Yes {
            self.armed.set(Armed::Fired);
        }
    }

    pub(super) fn check(&self) {
        let expected = u32::from(self.armed.get() == Armed::Fired);
        assert_eq!(self.told.get(), expected, "how often the notification of {self:?} was called");
    }
}

/// A run under way.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// None: a call that blocks.
    pub(super) leader: Option<Rc<Held>>,
    /// In the order in which they came.
    waiters: VecDeque<Rc<Held>>,
    /// The leader's load has begun.
    pub(super) loads: bool,
    beaten: bool,
}

/// A cache.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) values: BTreeMap<usize, u8>,
    pub(super) failures: BTreeMap<usize, ()>,
    pub(super) flights: BTreeMap<usize, Flight>,
    pub(super) keeps_failures: bool,
}

impl Model {
    /// A write to a key.
    fn beat(&mut self, key: usize) {
        self.failures.remove(&key);
        if let Some(flight) = self.flights.get_mut(&key) {
            flight.beaten = true;
        }
    }

    pub(super) fn set(&mut self, key: usize, value: u8) {
        self.beat(key);
        self.values.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: usize) -> Option<u8> {
        self.beat(key);
        self.values.remove(&key)
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.failures.clear();
        self.flights.values_mut().for_each(|flight| flight.beaten = true);
    }

    /// What a leader finds that is about to load.
    pub(super) fn found(&self, key: usize) -> Option<Came> {
        let failed = self.failures.get(&key).map(|()| Came::Failed);
        failed.or_else(|| self.values.get(&key).map(|value| Came::Value(*value)))
    }

    /// The leader of a key begins to load, unless there is something: then the run is over.
    pub(super) fn take_lead(&mut self, key: usize) -> Option<Came> {
        let found = self.found(key);
        match found {
            Some(came) => self.land(key, came),
            None => {
                let flight = self.flights.get_mut(&key).expect("somebody leads");
                (flight.loads, flight.beaten) = (true, false);
            }
        }
        found
    }

    /// A load has ended.
    pub(super) fn finish(&mut self, key: usize, came: Came) {
        if !self.flights[&key].beaten {
            match came {
                Came::Value(value) => drop(self.values.insert(key, value)),
                Came::Failed if self.keeps_failures => drop(self.failures.insert(key, ())),
                Came::Failed | Came::Panicked => {}
            }
        }
        self.land(key, came);
    }

    /// A run is over.
    fn land(&mut self, key: usize, came: Came) {
        let flight = self.flights.remove(&key).expect("there is a run");
        flight.leader.iter().for_each(|leader| leader.stage.set(Stage::Over(came)));
        flight.waiters.iter().for_each(|waiter| waiter.ring(Stage::Over(came)));
    }

    pub(super) fn join(&mut self, held: &Rc<Held>) {
        let flight = self.flights.entry(held.key).or_default();
        if held.joined {
            flight.waiters.push_back(held.clone());
        } else {
            flight.leader = Some(held.clone());
        }
    }

    /// A call is freed: what docache_call_free says.
    pub(super) fn leave(&mut self, held: &Rc<Held>) -> docache_status {
        match held.stage.get() {
            Stage::Over(_) => DOCACHE_OK,
            Stage::Waits => {
                let flight = self.flights.get_mut(&held.key).expect("it waits for one");
                flight.waiters.retain(|other| !Rc::ptr_eq(other, held));
                held.armed.set(Armed::No);
                DOCACHE_OK
            }
            Stage::Leads => {
                let flight = self.flights.get_mut(&held.key).expect("it leads one");
                flight.leader = flight.waiters.pop_front();
                flight.loads = false;
                match &flight.leader {
                    Some(heir) => heir.ring(Stage::Leads),
                    None => drop(self.flights.remove(&held.key)),
                }
                if self.flights.contains_key(&held.key) { DOCACHE_OK } else { DOCACHE_LEADER_LOST }
            }
        }
    }
}
