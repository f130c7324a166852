//! Calls that block, and what happens inside the work that they run.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;

use docache::ffi::*;

use super::elsewhere::elsewhere;
use super::model::{Came, Flight, Held};
use super::script::{KEYS, Owner, Run};
use super::world::World;
use super::{calls, stock};
use crate::abi::outcome::relay;
use crate::abi::place::{Given, Place};

/// A call that blocks: its address is the `ctx`.
struct Frame<'a> {
    world: &'a World,
    flight: Option<Rc<Flight>>,
    run: &'a Run,
    /// What the work must be told if it is told the key.
    key: Option<usize>,
    calls: Cell<u32>,
    /// What the call itself must come to, and who is told of the run's end.
    end: RefCell<Option<(Came, Vec<Rc<Held>>)>>,
}

pub(crate) fn run(world: &World, run: &Run) {
    let (handle, group) = world.group(run.group);
    let (start, len, key) = run.key.arguments();
    let (mut value, mut shared) = (Place::one(run.places.0), Place::<u32>::one(run.places.1));
    let acceptable = value.is_valid() && shared.is_valid_option() && !run.no_perform;
    let group = group.filter(|_| acceptable).zip(key);
    let joins = group.as_ref().and_then(|(group, key)| group.find(*key));
    let away = run.away && joins.as_ref().is_some_and(|flight| flight.by_run);
    let waits = joins.as_ref().is_some_and(|flight| away || !flight.by_run);
    let flight =
        group.as_ref().filter(|_| joins.is_none()).map(|(group, key)| group.fly(*key, true, 0));
    let leads = flight.is_some();
    let frame = Frame { world, flight, run, key, calls: Cell::new(0), end: RefCell::new(None) };
    let ctx = ptr::from_ref(&frame).expose_provenance();
    let ns = run.timeout.ns(!waits);
    group.iter().for_each(|(group, _)| group.running.set(group.running.get() + 1));
    let places = (handle, start, value.pointer(), shared.pointer());
    let flown = world.quietly_unless(leads, || {
        relay("group_run", run.places.2, |error| {
            elsewhere(away, (places, error), |((handle, start, value, shared), error)| {
                if run.keyed {
                    let work: docache_perform_key_fn =
                        if run.no_perform { None } else { Some(perform_key) };
                    // SAFETY: HANDLE: the table's, or counts as NULL; SPAN, or refused; CALLBACK:
                    // the frame is ours.
                    return unsafe {
                        docache_group_run_key(
                            handle, start, len, ns, work, ctx, value, shared, error,
                        )
                    };
                }
                let work: docache_perform_fn = if run.no_perform { None } else { Some(perform) };
                // SAFETY: as above.
                unsafe {
                    docache_group_run(handle, start, len, ns, work, ctx, value, shared, error)
                }
            })
        })
    });
    group.iter().for_each(|(group, _)| group.running.set(group.running.get() - 1));
    assert_eq!(frame.calls.get(), u32::from(leads), "how often the work was called");
    let found = value.handle(flown.is_ok(), "group_run");
    let others = shared.take(flown.is_ok() && shared.is_valid(), "group_run");
    match frame.end.take() {
        Some((came, told)) => {
            let blob = came.check(&flown, found);
            let awaited = u32::from(!told.is_empty());
            assert!(others.is_none_or(|others| others == awaited), "shared: {others:?}");
            frame.flight.iter().for_each(|flight| flight.settle(&told));
            blob.into_iter().for_each(|blob| world.take_share(blob));
        }
        None if waits => flown.is(DOCACHE_TIMEOUT),
        None if group.is_some() => flown.is(DOCACHE_REENTRANT),
        None => flown.is(DOCACHE_INVALID_ARGUMENT),
    }
    world.keep(flown);
}

/// The work that is told its key.
unsafe extern "C-unwind" fn perform_key(
    ctx: usize,
    key: *const u8,
    key_len: usize,
    out_value: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: CALLBACK: `ctx` is the address of a `Frame` that the calling function of ours has.
    let frame = unsafe { &*ptr::with_exposed_provenance::<Frame<'_>>(ctx) };
    assert!(!key.is_null(), "a key is somewhere");
    // SAFETY: SPAN.
    let told = unsafe { std::slice::from_raw_parts(key, key_len) };
    assert_eq!(Some(told), frame.key.map(|key| KEYS[key]), "the key that the work is told");
    // SAFETY: CALLBACK: as this was called.
    unsafe { perform(ctx, out_value, out_error) }
}

/// The work.
unsafe extern "C-unwind" fn perform(
    ctx: usize,
    out_value: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: CALLBACK: `ctx` is the address of a `Frame` that the calling function of ours has.
    let frame = unsafe { &*ptr::with_exposed_provenance::<Frame<'_>>(ctx) };
    // SAFETY: SPAN.
    assert!(unsafe { *out_value }.is_null());
    // SAFETY: SPAN.
    assert!(unsafe { *out_error }.is_null());
    frame.calls.set(frame.calls.get() + 1);
    let flight = frame.flight.as_ref().expect("the work was called for a call that does not lead");
    let Run { group, key, inside, answer, .. } = frame.run;
    for name in 0..frame.run.joiners {
        let owner = Owner(Some(name.into()));
        calls::begin(frame.world, *group, *key, owner, true, (Given::Valid, Given::Valid));
    }
    frame.world.act(inside);
    if answer.unwinds {
        const MESSAGE: &str = "work that unwinds";
        let told = flight.publish(&Came::panicked(0, format!("the run panicked: {MESSAGE}")));
        frame.end.replace(Some((Came::panicked(0, format!("panicked: {MESSAGE}")), told)));
        std::panic::resume_unwind(Box::new(MESSAGE));
    }
    let value = stock::give_value(frame.world, &answer.value);
    let error = stock::give_error(frame.world, &answer.error);
    if let Some(value) = &value {
        // SAFETY: SPAN.
        unsafe { *out_value = value.handle };
    }
    if let Some((error, ..)) = &error {
        // SAFETY: SPAN.
        unsafe { *out_error = *error };
    }
    let came = match (answer.status.0, value) {
        (DOCACHE_OK, Some(value)) => Came::Value(value),
        (DOCACHE_OK, None) => Came::failed(0, "the Doer returned OK without a value".into()),
        (status, _) => Came::reported(status, error.map(|(_, code, message)| (code, message))),
    };
    let told = flight.publish(&came);
    frame.end.replace(Some((came, told)));
    answer.status.0
}
