//! Calls that do not block: begin, begin_as, finish, end, on_ready, cancel, free.

use std::ptr;
use std::rc::Rc;

use docache::ffi::*;

use super::elsewhere::elsewhere;
use super::model::{Armed, Came, Held, Stage};
use super::notes::notify;
use super::polls::target;
use super::script::{Inside, Key, Owner, Report};
use super::world::World;
use crate::abi::args::Pick;
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place};

/// Begins a call, `away` on another thread if that makes a difference: the call if it came to be.
pub(crate) fn begin(
    world: &World,
    pick: Pick,
    key: Key,
    owner: Owner,
    away: bool,
    (out, error): (Given, Given),
) -> Option<Rc<Held>> {
    let (handle, group) = world.group(pick);
    let (start, len, key) = key.arguments();
    let name = owner.0.unwrap_or(0);
    let mut out = Place::one(out);
    let group = group.filter(|_| out.is_valid()).zip(key);
    let flight = group.as_ref().and_then(|(group, key)| group.find(*key));
    let away =
        away && flight.as_ref().is_some_and(|flight| flight.by_run || flight.is_led_by(name));
    let place = out.pointer();
    let begun = world.quietly(|| {
        call("group_begin", error, |error| {
            elsewhere(away, (handle, start, place, error), |(handle, start, place, error)| {
                match owner.0 {
                    // SAFETY: HANDLE: the table's, or counts as NULL; SPAN, or a length that is
                    // refused.
                    None => unsafe { docache_group_begin(handle, start, len, place, error) },
                    // SAFETY: as above.
                    Some(owner) => unsafe {
                        docache_group_begin_as(handle, start, len, owner, place, error)
                    },
                }
            })
        })
    });
    let expected = match (&group, &flight) {
        (None, _) => DOCACHE_INVALID_ARGUMENT,
        (Some(_), None) => DOCACHE_LEADER,
        (Some(_), Some(flight)) if flight.by_run && !away || flight.is_led_by(name) => {
            DOCACHE_REENTRANT
        }
        (Some(_), Some(_)) => DOCACHE_PENDING,
    };
    begun.is(expected);
    let made = out.handle(matches!(expected, DOCACHE_LEADER | DOCACHE_PENDING), "group_begin");
    world.keep(begun);
    let ((group, key), made) = group.zip(made)?;
    let joined = flight.is_some();
    let held = Held::new(made, flight.unwrap_or_else(|| group.fly(key, false, name)), joined, name);
    world.calls.borrow_mut().push(held.clone());
    Some(held)
}

/// Ends a flight, or tries to; if it `frees`, the call goes with it.
pub(crate) fn finish(
    world: &World,
    pick: Pick,
    report: Report,
    frees: bool,
    (shared, error): (Given, Given),
) {
    let function = if frees { docache_call_end } else { docache_call_finish };
    let what = if frees { "call_end" } else { "call_finish" };
    let (handle, held) = target(world, pick);
    let (status, value, failure, came) = report.arguments(world);
    let mut shared = Place::<u32>::one(shared);
    let leads = |held: &Rc<Held>| held.stage.get() == Stage::Leads && shared.is_valid_option();
    let led = held.filter(leads).zip(came);
    let told = led.as_ref().map(|(held, came)| {
        held.stage.set(Stage::Finishing);
        held.flight.publish(came)
    });
    // An end takes no share of its own, so the caller's stays until it returns.
    let lent = report.value.filter(|_| frees).and_then(|pick| world.lend_share(pick));
    let place = shared.pointer();
    // SAFETY: HANDLE: the tables', or lent, or NULL, or misaligned, which is refused; SPAN.
    let finished = call(what, error, |error| unsafe {
        function(handle, status, value, failure, place, error)
    });
    world.shares.borrow_mut().extend(lent);
    finished.is_ok_if(told.is_some());
    let others = shared.take(finished.is_ok() && shared.is_valid(), what);
    world.keep(finished);
    let (Some((held, came)), Some(told)) = (led, told) else { return };
    let awaited = !told.is_empty();
    assert!(others.is_none_or(|others| others == u32::from(awaited)), "shared: {others:?}");
    held.flight.settle(&told);
    assert_eq!(held.stage.replace(Stage::Told), Stage::Finishing);
    held.came.replace(Some((came, awaited)));
    if frees {
        assert_eq!(world.drop_call(&held).0, DOCACHE_OK);
    }
}

pub(crate) fn on_ready(world: &World, pick: Pick, no_notify: bool, inside: Inside, error: Given) {
    let (handle, held) = target(world, pick);
    let function: docache_notify_fn = if no_notify { None } else { Some(notify) };
    let note = world.note(held.as_ref(), inside);
    let told = world.quietly(|| {
        // SAFETY: HANDLE: the table's, or counts as NULL; CALLBACK: the world keeps the note.
        call("call_on_ready", error, |error| unsafe {
            docache_call_on_ready(handle, function, note.token(), error)
        })
    });
    let usable =
        |held: &Rc<Held>| !no_notify && held.joined && matches!(*held.armed.borrow(), Armed::No);
    match held.as_ref().filter(|held| usable(held)) {
        None => told.is(DOCACHE_INVALID_ARGUMENT),
        Some(held) => match held.stage.get() {
            Stage::Waits => told.is(DOCACHE_PENDING),
            Stage::Telling if told.status == DOCACHE_PENDING => {}
            Stage::Telling => {
                told.is(DOCACHE_OK);
                held.stage.set(Stage::Told);
            }
            Stage::Leads | Stage::Finishing | Stage::Told | Stage::Freed => told.is(DOCACHE_OK),
        },
    }
    match held.filter(|_| told.status == DOCACHE_PENDING) {
        Some(held) => drop(held.armed.replace(Armed::Yes(note))),
        None => note.forbid(),
    }
    world.keep(told);
}

pub(crate) fn cancel(world: &World, pick: Pick) {
    let (handle, held) = target(world, pick);
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let status = world.quietly(|| unsafe { docache_call_cancel(handle) });
    let Some(held) = held else { return assert_eq!(status, DOCACHE_INVALID_ARGUMENT) };
    let armed = held.armed.take();
    match armed {
        Armed::Fired => {
            assert_eq!(
                status, DOCACHE_PENDING,
                "a notification that was called cannot be taken back"
            );
            held.armed.replace(Armed::Fired);
        }
        Armed::Yes(note) => {
            assert_eq!(status, DOCACHE_OK);
            note.forbid();
        }
        Armed::No => assert_eq!(status, DOCACHE_OK, "there was nothing to take back"),
    }
}

pub(crate) fn free(world: &World, pick: Pick) {
    match target(world, pick) {
        (_, Some(held)) => free_held(world, &held),
        (handle, None) => {
            // SAFETY: HANDLE: NULL, or misaligned, which is refused.
            let status = unsafe { docache_call_free(handle) };
            let expected = if handle.is_null() { DOCACHE_OK } else { DOCACHE_INVALID_ARGUMENT };
            assert_eq!(status, expected);
        }
    }
}

/// Frees a call that is there.
pub(crate) fn free_held(world: &World, held: &Rc<Held>) {
    let finishing = held.stage.get() == Stage::Finishing;
    let (expected, heir) =
        if finishing { (DOCACHE_INVALID_ARGUMENT, None) } else { world.drop_call(held) };
    // SAFETY: HANDLE: the table's, which it has left, unless it is to be refused.
    let status = unsafe { docache_call_free(held.handle) };
    assert_eq!(status, expected, "the status of a call that is freed");
    if let Some(heir) = heir {
        assert!(!heir.is_armed(), "the lead was handed on, and the notification was not called");
    }
}

impl Report {
    /// What docache_call_finish or docache_call_end is given, and what callers get if that is
    /// acceptable.
    fn arguments(
        self,
        world: &World,
    ) -> (docache_status, *mut docache_value, *mut docache_error, Option<Came>) {
        let (shares, faults) = (world.shares.borrow(), world.faults.borrow());
        let blob =
            self.value.and_then(|pick| pick.index(shares.len())).map(|index| shares[index].clone());
        let value =
            self.value.map_or(ptr::null_mut(), |pick| pick.handle(&shares, |blob| blob.handle));
        let fault =
            self.error.and_then(|pick| pick.index(faults.len())).map(|index| &faults[index]);
        let error =
            self.error.map_or(ptr::null_mut(), |pick| pick.handle(&faults, |held| held.failure.0));
        let came = match (self.status.0, blob) {
            (DOCACHE_OK, Some(blob)) if error.is_null() => Some(Came::Value(blob)),
            (status @ (DOCACHE_DOER_FAILED | DOCACHE_PANIC), _)
                if value.is_null() && (error.is_null() || fault.is_some()) =>
            {
                Some(Came::reported(status, fault.map(|fault| (fault.code, fault.message.clone()))))
            }
            _ => None,
        };
        (self.status.0, value, error, came)
    }
}
