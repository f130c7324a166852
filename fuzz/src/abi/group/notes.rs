//! Notifications: what docache_call_on_ready calls, how often, and what is done there.

use std::cell::Cell;
use std::ptr;
use std::rc::{Rc, Weak};

use super::model::{Armed, Held, Stage};
use super::{Inside, World, calls};

/// A notification. The world keeps it to the end, for its address is the token.
pub(super) struct Note {
    world: *const World,
    held: Weak<Held>,
    inside: Inside,
    /// The library has said that it will not call.
    forbidden: Cell<bool>,
    fired: Cell<bool>,
}

impl Note {
    /// A notification for `held`, which may be no call at all.
    pub(super) fn new(world: &World, held: Option<&Rc<Held>>, inside: Inside) -> Rc<Note> {
        let held = held.map_or_else(Weak::new, Rc::downgrade);
        let (forbidden, fired) = (Cell::new(false), Cell::new(false));
        let note = Rc::new(Note { world, held, inside, forbidden, fired });
        world.notes.borrow_mut().push(note.clone());
        note
    }

    pub(super) fn token(self: &Rc<Note>) -> usize {
        Rc::as_ptr(self).expose_provenance()
    }

    /// From now on it must not be called, and it has not been.
    pub(super) fn forbid(&self) {
        assert!(!self.fired.get(), "a notification that the library took back had been called");
        self.forbidden.set(true);
    }
}

/// The notification.
pub(super) unsafe extern "C-unwind" fn notify(token: usize) {
    // SAFETY: CALLBACK: the token is the address of a `Note`, which lives until the end of its case.
    let note = unsafe { &*ptr::with_exposed_provenance::<Note>(token) };
    assert!(!note.fired.replace(true), "a notification was called twice");
    assert!(!note.forbidden.get(), "a notification was called that the library had taken back");
    // SAFETY: CALLBACK: as above, and the world with it.
    let world = unsafe { &*note.world };
    assert!(!world.quiet.get(), "a function that never calls back has called a notification");
    let held = note.held.upgrade().expect("a call that is there");
    assert!(held.is_armed());
    held.armed.replace(Armed::Fired);
    match held.stage.get() {
        Stage::Leads => {}
        // Told and polled, perhaps, inside the notification of another one.
        Stage::Telling | Stage::Told if held.flight.telling.get() => held.stage.set(Stage::Told),
        stage => panic!("a notification at {stage:?}, which is no news"),
    }
    if note.inside.looks {
        calls::look(world, &held);
    }
    world.act(&note.inside.ops);
}
