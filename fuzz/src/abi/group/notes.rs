//! Notifications: what docache_call_on_ready calls, how often, and what is done there.

use std::ptr;

use super::model::{Armed, Note, Stage};
use super::polls::look;
use super::world::World;

/// The notification.
pub(crate) unsafe extern "C-unwind" fn notify(token: usize) {
    // SAFETY: CALLBACK: the token is the address of a `Note`, which lives until the end of its
    // case.
    let note = unsafe { &*ptr::with_exposed_provenance::<Note>(token) };
    assert!(!note.fired.replace(true), "a notification was called twice");
    assert!(!note.forbidden.get(), "a notification was called that the library had taken back");
    // SAFETY: CALLBACK: as above, and the world with it.
    let world = unsafe { &*ptr::with_exposed_provenance::<World>(note.world) };
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
        look(world, &held);
    }
    world.act(&note.inside.ops);
}
