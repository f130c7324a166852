//! What a group must do, one step after the other: who leads, who waits, who is the heir, and what
//! each call comes to.
//!
//! Each `Rc` of a [`Blob`] but the world's own stands for a share that the caller or the library
//! holds, so a value must be dropped exactly when only the world's is left.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use docache::ffi::*;

use super::script::Inside;
use crate::abi::outcome::{Failure, Outcome, bytes_of, name};
use crate::abi::registry::Wrapped;

/// A value.
pub(crate) struct Blob {
    pub(crate) handle: *mut docache_value,
    pub(crate) bytes: Vec<u8>,
    /// If it was not copied.
    pub(crate) wrapped: Option<Arc<Wrapped>>,
}

impl Blob {
    pub(crate) fn check(&self) {
        // SAFETY: HANDLE: a share is held.
        assert_eq!(unsafe { bytes_of(self.handle) }, self.bytes, "a value's bytes");
    }

    /// Gives back a share that was the caller's.
    pub(crate) fn release(&self) {
        self.check();
        // SAFETY: HANDLE: the share was the caller's.
        unsafe { docache_value_release(self.handle) };
    }

    /// Nobody but the world knows it any more, or somebody does: the drop callback must have been
    /// called, or not.
    pub(crate) fn check_shares(self: &Rc<Blob>) {
        let Some(wrapped) =
            self.wrapped.as_ref().filter(|wrapped| wrapped.registration.is_counted())
        else {
            return;
        };
        let shares = Rc::strong_count(self) - 1;
        assert_eq!(wrapped.registration.is_dropped(), shares == 0, "a value with {shares} shares");
    }
}

/// What a run left.
#[derive(Clone)]
pub(crate) enum Came {
    Value(Rc<Blob>),
    Error { status: docache_status, code: i64, message: String },
}

impl Came {
    pub(crate) fn failed(code: i64, message: String) -> Came {
        Came::Error { status: DOCACHE_DOER_FAILED, code, message }
    }

    pub(crate) fn panicked(code: i64, message: String) -> Came {
        Came::Error { status: DOCACHE_PANIC, code, message }
    }

    /// What becomes of a callback's or a caller's `status` that comes without a value.
    pub(crate) fn reported(status: docache_status, error: Option<(i64, String)>) -> Came {
        let (code, message) =
            error.unwrap_or_else(|| (0, format!("the Doer returned {} ({status})", name(status))));
        if status == DOCACHE_PANIC {
            Came::panicked(code, message)
        } else {
            Came::failed(code, message)
        }
    }

    /// Checks what a call says, and the value it hands out, if it does.
    pub(crate) fn check(
        &self,
        said: &Outcome,
        value: Option<*mut docache_value>,
    ) -> Option<Rc<Blob>> {
        match self {
            Came::Value(blob) => {
                said.is(DOCACHE_OK);
                assert_eq!(value, Some(blob.handle), "the leader's value, and no copy of it");
                blob.check();
                Some(blob.clone())
            }
            Came::Error { status, code, message } => {
                said.is(*status);
                assert!(value.is_none());
                let found = said.error.as_ref().map(|error| (error.code(), error.message()));
                assert!(
                    found.is_none_or(|found| found == (*code, message.clone())),
                    "the leader's error"
                );
                None
            }
        }
    }
}

/// An error that the caller holds.
pub(crate) struct Fault {
    pub(crate) failure: Failure,
    pub(crate) code: i64,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(failure: Failure) -> Fault {
        let (code, message) = (failure.code(), failure.message());
        Fault { failure, code, message }
    }

    pub(crate) fn check(&self) {
        let found = (self.failure.code(), self.failure.message());
        assert_eq!(found, (self.code, self.message.clone()), "an error never changes");
    }
}

/// A group.
pub(crate) struct Group {
    pub(crate) handle: *mut docache_group,
    /// Those that a call could join.
    flights: RefCell<Vec<Rc<Flight>>>,
    /// How many docache_group_run are under way.
    pub(crate) running: Cell<u32>,
}

impl Group {
    pub(crate) fn new(handle: *mut docache_group) -> Group {
        Group { handle, flights: RefCell::default(), running: Cell::new(0) }
    }

    pub(crate) fn find(&self, key: usize) -> Option<Rc<Flight>> {
        self.flights.borrow().iter().find(|flight| flight.open.get() && flight.key == key).cloned()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.flights.borrow().iter().filter(|flight| flight.open.get()).count()
    }

    /// A new one, led by a call of `owner`, which is 0 for docache_group_run.
    pub(crate) fn fly(&self, key: usize, by_run: bool, owner: u64) -> Rc<Flight> {
        assert!(self.find(key).is_none());
        let (owner, open, telling) = (Cell::new(owner), Cell::new(true), Cell::new(false));
        let flight =
            Rc::new(Flight { key, by_run, owner, open, telling, waiters: RefCell::default() });
        let mut flights = self.flights.borrow_mut();
        flights.retain(|flight| flight.open.get());
        flights.push(flight.clone());
        flight
    }
}

/// A flight.
pub(crate) struct Flight {
    key: usize,
    /// Whether docache_group_run leads it, on this thread; else a call does.
    pub(crate) by_run: bool,
    /// Of the call that leads; 0 is nobody.
    owner: Cell<u64>,
    /// Whether calls can join it.
    pub(crate) open: Cell<bool>,
    /// Whether those who waited are being told of its end.
    pub(crate) telling: Cell<bool>,
    /// The oldest first.
    waiters: RefCell<Vec<Rc<Held>>>,
}

impl Flight {
    /// Whether a call of `owner` would wait for one of its own.
    pub(crate) fn is_led_by(&self, owner: u64) -> bool {
        owner != 0 && self.owner.get() == owner
    }

    /// Ends with an outcome: those who are being told.
    pub(crate) fn publish(&self, came: &Came) -> Vec<Rc<Held>> {
        self.open.set(false);
        self.telling.set(true);
        let told = self.waiters.take();
        for held in &told {
            held.stage.set(Stage::Telling);
            held.came.replace(Some((came.clone(), true)));
        }
        told
    }

    /// All who waited have been told, and notified if they asked for it.
    pub(crate) fn settle(&self, told: &[Rc<Held>]) {
        self.telling.set(false);
        for held in told.iter().filter(|held| held.stage.get() != Stage::Freed) {
            held.stage.set(Stage::Told);
            assert!(!held.is_armed(), "a flight is over, and a notification was not called");
        }
    }
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Leads,
    /// Inside docache_call_finish or docache_call_end.
    Finishing,
    Waits,
    /// It has its outcome, or gets it before the leader's function returns.
    Telling,
    Told,
    Freed,
}

/// The notification of a call.
#[derive(Default)]
pub(crate) enum Armed {
    #[default]
    No,
    Yes(Rc<Note>),
    Fired,
}

/// A call of docache_group_begin or docache_group_begin_as.
pub(crate) struct Held {
    pub(crate) handle: *mut docache_call,
    pub(crate) flight: Rc<Flight>,
    /// Whether it began as PENDING.
    pub(crate) joined: bool,
    owner: u64,
    pub(crate) stage: Cell<Stage>,
    pub(crate) armed: RefCell<Armed>,
    /// What came of it, and whether others got that too.
    pub(crate) came: RefCell<Option<(Came, bool)>>,
}

impl Held {
    pub(crate) fn new(
        handle: *mut docache_call,
        flight: Rc<Flight>,
        joined: bool,
        owner: u64,
    ) -> Rc<Held> {
        let stage = Cell::new(if joined { Stage::Waits } else { Stage::Leads });
        let (armed, came) = (RefCell::default(), RefCell::new(None));
        let held = Rc::new(Held { handle, flight, joined, owner, stage, armed, came });
        if joined {
            held.flight.waiters.borrow_mut().push(held.clone());
        }
        held
    }

    pub(crate) fn is_armed(&self) -> bool {
        matches!(*self.armed.borrow(), Armed::Yes(_))
    }

    /// Leaves: what docache_call_free must say, and who leads now.
    pub(crate) fn leave(&self) -> (docache_status, Option<Rc<Held>>) {
        let stage = self.stage.replace(Stage::Freed);
        if let Armed::Yes(note) = self.armed.take() {
            note.forbid();
        }
        self.came.take();
        let mut waiters = self.flight.waiters.borrow_mut();
        match stage {
            Stage::Leads if waiters.is_empty() => {
                self.flight.open.set(false);
                (DOCACHE_LEADER_LOST, None)
            }
            Stage::Leads => {
                let heir = waiters.remove(0);
                heir.stage.set(Stage::Leads);
                self.flight.owner.set(heir.owner);
                (DOCACHE_OK, Some(heir))
            }
            _ => {
                waiters.retain(|held| !std::ptr::eq(&**held, self));
                (DOCACHE_OK, None)
            }
        }
    }

    /// Checks what docache_call_poll says: a share of a value is the caller's.
    pub(crate) fn check(
        &self,
        said: &Outcome,
        value: Option<*mut docache_value>,
        shared: Option<u32>,
    ) -> Option<Rc<Blob>> {
        match self.stage.get() {
            Stage::Waits => said.is(DOCACHE_PENDING),
            Stage::Leads | Stage::Finishing => said.is(DOCACHE_LEADER),
            Stage::Telling if said.status == DOCACHE_PENDING => {}
            Stage::Telling | Stage::Told => {
                self.stage.set(Stage::Told);
                let came = self.came.borrow();
                let (came, others) = came.as_ref().expect("it was told");
                let value = came.check(said, value);
                assert!(
                    shared.is_none_or(|shared| shared == u32::from(*others)),
                    "shared: {shared:?}"
                );
                return value;
            }
            Stage::Freed => unreachable!("only calls that are there are polled"),
        }
        None
    }
}

/// A notification. The world keeps it to the end, for its address is the token.
pub(crate) struct Note {
    /// The address of the world.
    pub(crate) world: usize,
    pub(crate) held: Weak<Held>,
    pub(crate) inside: Inside,
    /// The library has said that it will not call.
    pub(crate) forbidden: Cell<bool>,
    pub(crate) fired: Cell<bool>,
}

impl Note {
    /// A notification for `held`, which may be no call at all.
    pub(crate) fn new(world: usize, held: Option<&Rc<Held>>, inside: Inside) -> Rc<Note> {
        let held = held.map_or_else(Weak::new, Rc::downgrade);
        let (forbidden, fired) = (Cell::new(false), Cell::new(false));
        Rc::new(Note { world, held, inside, forbidden, fired })
    }

    pub(crate) fn token(self: &Rc<Note>) -> usize {
        Rc::as_ptr(self).expose_provenance()
    }

    /// From now on it must not be called, and it has not been.
    pub(crate) fn forbid(&self) {
        assert!(!self.fired.get(), "a notification that the library took back had been called");
        self.forbidden.set(true);
    }
}
