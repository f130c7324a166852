//! What a keyed group does, as simply as it can be said: flights, each with those who wait for it
//! in the order in which they came.

use std::collections::{BTreeMap, VecDeque};

/// Names a call; the calls of a case are numbered.
pub(super) type Caller = u32;

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Value,
    Error,
    Panic,
}

/// What a call comes to. A number names the run, by its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Value {
        run: Caller,
        led: bool,
        shared: bool,
    },
    Error(Caller),
    /// Of a call that joined.
    Panicked(Caller),
    /// Of the call that led.
    Panics(Caller),
    Reentrant,
    Timeout,
    Cancelled,
}

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    None,
    /// Until this time of the clock.
    Until(u64),
    /// Until somebody cancels it.
    Cancel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Leads,
    /// It was handed the lead and does not know yet.
    Inherits,
    Waits,
    /// It has an outcome and does not know yet.
    Told(End),
}

struct Call {
    place: Place,
    limit: Limit,
    flight: usize,
    /// A part of a bulk call.
    bulk: bool,
    /// The thread is inside its work.
    inside: bool,
}

struct Flight {
    key: u8,
    /// Whether calls can join it.
    known: bool,
    leader: Caller,
    waiting: VecDeque<Caller>,
}

/// The state of a group whose callers all are on one thread.
#[derive(Default)]
pub(super) struct Model {
    pub(super) now: u64,
    pub(super) cancelled: bool,
    begun: usize,
    calls: BTreeMap<Caller, Call>,
    flights: BTreeMap<usize, Flight>,
}

/// What a call that begins does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    Ends(End),
    Leads,
    Waits,
}

impl Model {
    pub(super) fn in_flight(&self) -> usize {
        self.flights.values().filter(|flight| flight.known).count()
    }

    fn find(&self, key: u8) -> Option<usize> {
        self.flights.iter().find(|(_, flight)| flight.known && flight.key == key).map(|(id, _)| *id)
    }

    pub(super) fn place(&self, caller: Caller) -> Place {
        self.calls[&caller].place
    }

    /// Why a limit is over, if it is.
    fn over(&self, limit: Limit) -> Option<End> {
        match limit {
            Limit::Until(then) if self.now >= then => Some(End::Timeout),
            Limit::Cancel if self.cancelled => Some(End::Cancelled),
            _ => None,
        }
    }

    /// Whether a call would find something new, so that it has to have been woken.
    pub(super) fn is_due(&self, caller: Caller) -> bool {
        let Some(call) = self.calls.get(&caller) else { return false };
        match call.place {
            Place::Leads => false,
            Place::Inherits | Place::Told(_) => true,
            Place::Waits => self.over(call.limit).is_some(),
        }
    }

    /// What a call would do that began now.
    pub(super) fn outlook(&self, key: u8, limit: Limit) -> Begins {
        if let Some(end) = self.over(limit) {
            return Begins::Ends(end);
        }
        match self.find(key).map(|flight| self.flights[&flight].leader) {
            None => Begins::Leads,
            Some(leader) if self.calls[&leader].inside => Begins::Ends(End::Reentrant),
            Some(_) => Begins::Waits,
        }
    }

    pub(super) fn begin(&mut self, caller: Caller, key: u8, limit: Limit, bulk: bool) -> Begins {
        let begins = self.outlook(key, limit);
        let (place, flight) = match begins {
            Begins::Ends(_) => return begins,
            Begins::Waits => (Place::Waits, self.find(key).expect("a flight to wait for")),
            Begins::Leads => {
                self.begun += 1;
                let flight = Flight { key, known: true, leader: caller, waiting: VecDeque::new() };
                self.flights.insert(self.begun, flight);
                (Place::Leads, self.begun)
            }
        };
        self.calls.insert(caller, Call { place, limit, flight, bulk, inside: false });
        if begins == Begins::Waits {
            self.flight(flight).waiting.push_back(caller);
        }
        begins
    }

    fn flight(&mut self, id: usize) -> &mut Flight {
        self.flights.get_mut(&id).expect("a flight with a call")
    }

    fn call(&mut self, caller: Caller) -> &mut Call {
        self.calls.get_mut(&caller).expect("a call under way")
    }

    /// The thread is inside the work of `caller` from now on, or not any more.
    pub(super) fn set_inside(&mut self, caller: Caller, inside: bool) {
        self.call(caller).inside = inside;
    }

    /// A call that joined looks: what it has come to, if anything. It may lead from now on.
    pub(super) fn look(&mut self, caller: Caller) -> Option<End> {
        let (place, limit) = (self.call(caller).place, self.call(caller).limit);
        match place {
            Place::Leads => None,
            Place::Inherits => {
                self.call(caller).place = Place::Leads;
                None
            }
            Place::Told(end) => {
                self.calls.remove(&caller);
                Some(end)
            }
            Place::Waits => {
                let end = self.over(limit)?;
                self.leave(caller);
                Some(end)
            }
        }
    }

    /// The run that `caller` leads ends; its outcome is that of `run`.
    pub(super) fn land(&mut self, caller: Caller, run: Caller, ending: Ending) -> End {
        let call = self.calls.remove(&caller).expect("a call that leads");
        let flight = self.flights.remove(&call.flight).expect("a flight with a leader");
        assert_eq!((flight.leader, call.place), (caller, Place::Leads));
        let shared = !flight.waiting.is_empty();
        let (led, joined) = match ending {
            Ending::Value => (
                End::Value { run, led: true, shared },
                End::Value { run, led: false, shared: true },
            ),
            Ending::Error => (End::Error(run), End::Error(run)),
            Ending::Panic => (End::Panics(run), End::Panicked(run)),
        };
        for waiter in flight.waiting {
            self.call(waiter).place = Place::Told(joined);
        }
        led
    }

    /// Whether a bulk call would get the lead if `caller` left. It can be in the midst of its work,
    /// and who comes next then is none of the promises.
    pub(super) fn leaves_to_bulk(&self, caller: Caller) -> bool {
        let Some(call) = self.calls.get(&caller) else { return false };
        let heir = self.flights.get(&call.flight).and_then(|flight| flight.waiting.front());
        matches!(call.place, Place::Leads | Place::Inherits)
            && heir.is_some_and(|heir| self.calls[heir].bulk)
    }

    /// A call goes without an end.
    pub(super) fn leave(&mut self, caller: Caller) {
        let Some(call) = self.calls.remove(&caller) else { return };
        match call.place {
            Place::Told(_) => {}
            Place::Waits => self.flight(call.flight).waiting.retain(|other| *other != caller),
            Place::Leads | Place::Inherits => match self.flight(call.flight).waiting.pop_front() {
                Some(heir) => {
                    self.flight(call.flight).leader = heir;
                    self.call(heir).place = Place::Inherits;
                }
                None => drop(self.flights.remove(&call.flight)),
            },
        }
    }

    pub(super) fn forget(&mut self, key: u8) -> bool {
        let found = self.find(key);
        if let Some(flight) = found {
            self.flight(flight).known = false;
        }
        found.is_some()
    }
}
