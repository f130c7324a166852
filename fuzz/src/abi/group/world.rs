//! The world of a case: tables of handles. Callbacks come back to it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use docache::ffi::{docache_group, docache_status};

use super::model::{Blob, Fault, Group, Held, Note, Stage};
use super::script::{Inside, Op};
use crate::abi::args::Pick;
use crate::abi::outcome::Outcome;
use crate::abi::registry::Registry;

/// Calls inside calls inside calls: further down nothing is done.
const DEPTH: u32 = 5;
/// Tables of handles, each with its model. Callbacks come back to it, so nothing is borrowed while
/// the library is called.
pub(crate) struct World {
    /// Does one call of a script.
    apply: fn(&World, &Op),
    pub(crate) registry: Registry,
    pub(crate) groups: RefCell<Vec<Rc<Group>>>,
    pub(crate) calls: RefCell<Vec<Rc<Held>>>,
    /// One for each share of a value that the caller has.
    pub(crate) shares: RefCell<Vec<Rc<Blob>>>,
    pub(crate) faults: RefCell<Vec<Fault>>,
    /// The values that were wrapped.
    pub(crate) blobs: RefCell<Vec<Rc<Blob>>>,
    notes: RefCell<Vec<Rc<Note>>>,
    depth: Cell<u32>,
    /// A function is being called that never calls back.
    pub(crate) quiet: Cell<bool>,
}

impl World {
    pub(crate) fn new(apply: fn(&World, &Op)) -> World {
        World {
            apply,
            registry: Registry::default(),
            groups: RefCell::default(),
            calls: RefCell::default(),
            shares: RefCell::default(),
            faults: RefCell::default(),
            blobs: RefCell::default(),
            notes: RefCell::default(),
            depth: Cell::new(0),
            quiet: Cell::new(false),
        }
    }

    /// A notification for `held`, which may be no call at all. It is kept to the end, for its
    /// address is the token.
    pub(crate) fn note(&self, held: Option<&Rc<Held>>, inside: Inside) -> Rc<Note> {
        let note = Note::new(std::ptr::from_ref(self).expose_provenance(), held, inside);
        self.notes.borrow_mut().push(note.clone());
        note
    }

    /// A group as an argument, and the one that it is, if it is one.
    pub(crate) fn group(&self, pick: Pick) -> (*mut docache_group, Option<Rc<Group>>) {
        let groups = self.groups.borrow();
        let group = pick.index(groups.len()).map(|index| groups[index].clone());
        (pick.handle(&groups, |group| group.handle), group)
    }

    /// Keeps the error of a call, to be reported later; a few are enough.
    pub(crate) fn keep(&self, outcome: Outcome) {
        let mut faults = self.faults.borrow_mut();
        if let Some(error) = outcome.error.filter(|_| faults.len() < 8) {
            faults.push(Fault::new(error));
        }
    }

    /// Keeps a share of a value; a few are enough.
    pub(crate) fn take_share(&self, blob: Rc<Blob>) {
        if self.shares.borrow().len() < 16 {
            self.shares.borrow_mut().push(blob);
        } else {
            blob.release();
        }
    }

    /// Takes a share away from what may be released, until it is put back.
    pub(crate) fn lend_share(&self, pick: Pick) -> Option<Rc<Blob>> {
        let mut shares = self.shares.borrow_mut();
        pick.index(shares.len()).map(|index| shares.swap_remove(index))
    }

    /// Drops a call that is freed: what docache_call_free must say, and who leads now.
    pub(crate) fn drop_call(&self, held: &Rc<Held>) -> (docache_status, Option<Rc<Held>>) {
        self.calls.borrow_mut().retain(|other| !Rc::ptr_eq(other, held));
        held.leave()
    }

    /// Calls a function that never calls back.
    pub(crate) fn quietly<R>(&self, f: impl FnOnce() -> R) -> R {
        let before = self.quiet.replace(true);
        let result = f();
        self.quiet.set(before);
        result
    }

    /// Calls a function that never calls back, unless it `may`.
    pub(crate) fn quietly_unless<R>(&self, may: bool, f: impl FnOnce() -> R) -> R {
        if may { f() } else { self.quietly(f) }
    }

    pub(crate) fn act(&self, ops: &[Op]) {
        if self.depth.get() < DEPTH {
            self.depth.set(self.depth.get() + 1);
            ops.iter().for_each(|op| (self.apply)(self, op));
            self.depth.set(self.depth.get() - 1);
        }
    }

    /// What must hold between two calls.
    pub(crate) fn check(&self) {
        for group in &*self.groups.borrow() {
            // SAFETY: HANDLE: the table's.
            let found = unsafe { docache::ffi::docache_group_in_flight(group.handle) };
            assert_eq!(found, group.in_flight(), "how many runs are under way");
        }
        for held in &*self.calls.borrow() {
            let stage = held.stage.get();
            assert!(
                !held.is_armed() || stage == Stage::Waits,
                "a notification is due at {stage:?}"
            );
        }
        let mut blobs = self.blobs.borrow_mut();
        blobs.iter().for_each(Blob::check_shares);
        blobs.retain(|blob| Rc::strong_count(blob) > 1);
    }
}
