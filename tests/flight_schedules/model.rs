//! What a group does, as simply as it can be said: runs, each with those who wait for it in the
//! order in which they came.

use std::collections::{BTreeMap, VecDeque};

/// Names a call; calls are numbered in the order in which they begin.
pub(crate) type Caller = usize;

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Value,
    Error,
    Panic,
}

/// What a call comes to. Numbers name the run: its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Value {
        run: Caller,
        led: bool,
        shared: bool,
    },
    Error {
        run: Caller,
    },
    /// Of a call that joined: the message names the run.
    Panicked {
        run: Caller,
    },
    /// Of the call that led: it panics itself.
    Panics {
        run: Caller,
    },
    Reentrant,
    Timeout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It runs its work.
    Leads,
    /// It was handed the lead and does not know yet.
    Inherits,
    Waits,
    /// It has an outcome and does not know yet.
    Told(End),
}

#[derive(Debug)]
struct Call {
    place: Place,
    deadline: Option<u64>,
    /// Where it leads or waits.
    flight: usize,
}

#[derive(Debug)]
struct Flight {
    key: u8,
    /// Whether calls can still join it.
    known: bool,
    waiting: VecDeque<Caller>,
}

/// The state of a group whose callers are all tasks.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) now: u64,
    begun: usize,
    calls: BTreeMap<Caller, Call>,
    flights: BTreeMap<usize, Flight>,
}

impl Model {
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.values().filter(|flight| flight.known).count()
    }

    pub(crate) fn flight_of(&self, key: u8) -> Option<usize> {
        self.flights.iter().find(|(_, flight)| flight.known && flight.key == key).map(|(id, _)| *id)
    }

    /// Whether `caller` leads the run that a call of its key would join.
    pub(crate) fn is_known(&self, caller: Caller) -> bool {
        self.flights[&self.calls[&caller].flight].known
    }

    pub(crate) fn place(&self, caller: Caller) -> Place {
        self.calls[&caller].place
    }

    fn is_late(&self, deadline: Option<u64>) -> bool {
        deadline.is_some_and(|deadline| self.now >= deadline)
    }

    /// Whether a poll of `caller` would find something new, so that it has to have been woken.
    pub(crate) fn is_due(&self, caller: Caller) -> bool {
        let call = &self.calls[&caller];
        match call.place {
            Place::Leads => false,
            Place::Inherits | Place::Told(_) => true,
            Place::Waits => self.is_late(call.deadline),
        }
    }

    /// The first poll of a call.
    pub(crate) fn begin(&mut self, caller: Caller, key: u8, deadline: Option<u64>) -> Option<End> {
        if self.is_late(deadline) {
            return Some(End::Timeout);
        }
        let joined = self.flight_of(key);
        let flight = joined.unwrap_or_else(|| {
            self.begun += 1;
            self.flights.insert(self.begun, Flight { key, known: true, waiting: VecDeque::new() });
            self.begun
        });
        let place = if joined.is_some() { Place::Waits } else { Place::Leads };
        self.calls.insert(caller, Call { place, deadline, flight });
        if joined.is_some() {
            self.flight(flight).waiting.push_back(caller);
        }
        None
    }

    fn flight(&mut self, id: usize) -> &mut Flight {
        self.flights.get_mut(&id).expect("a flight with a call")
    }

    /// A later poll; `ending` is how the work ends if it is asked.
    pub(crate) fn poll(&mut self, caller: Caller, ending: Option<Ending>) -> Option<End> {
        let call = self.calls.get_mut(&caller).expect("a call under way");
        match call.place {
            Place::Inherits => call.place = Place::Leads,
            Place::Told(end) => {
                self.calls.remove(&caller);
                return Some(end);
            }
            Place::Waits => {
                let deadline = call.deadline;
                if !self.is_late(deadline) {
                    return None;
                }
                self.leave(caller);
                return Some(End::Timeout);
            }
            Place::Leads => {}
        }
        ending.map(|ending| self.land(caller, ending))
    }

    /// The run of `run` ends.
    fn land(&mut self, run: Caller, ending: Ending) -> End {
        let call = self.calls.remove(&run).expect("a call that leads");
        let flight = self.flights.remove(&call.flight).expect("a flight with a leader");
        let shared = !flight.waiting.is_empty();
        let (led, joined) = match ending {
            Ending::Value => (
                End::Value { run, led: true, shared },
                End::Value { run, led: false, shared: true },
            ),
            Ending::Error => (End::Error { run }, End::Error { run }),
            Ending::Panic => (End::Panics { run }, End::Panicked { run }),
        };
        for waiter in flight.waiting {
            self.calls.get_mut(&waiter).expect("a call that waits").place = Place::Told(joined);
        }
        led
    }

    /// A call goes without an end.
    pub(crate) fn leave(&mut self, caller: Caller) {
        let Some(call) = self.calls.remove(&caller) else { return };
        match call.place {
            Place::Told(_) => {}
            Place::Waits => self.flight(call.flight).waiting.retain(|other| *other != caller),
            Place::Leads | Place::Inherits => match self.flight(call.flight).waiting.pop_front() {
                Some(heir) => {
                    self.calls.get_mut(&heir).expect("a call that waits").place = Place::Inherits
                }
                None => drop(self.flights.remove(&call.flight)),
            },
        }
    }

    pub(crate) fn forget(&mut self, key: u8) -> bool {
        let found = self.flight_of(key);
        if let Some(flight) = found {
            self.flight(flight).known = false;
        }
        found.is_some()
    }
}
