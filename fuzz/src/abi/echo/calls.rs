//! Calls that do not block: begin, finish, on_ready, poll, cancel, free; and refreshes that the
//! host performs.

use std::cell::Cell;
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use docache::ffi::*;

use super::fetch::{Fetched, Got, ask};
use super::script::{KEYS, Name, Outs, Report};
use super::world::{Echo, Held, Refreshes, Stage, Told, World, notify};
use crate::abi::args::Pick;
use crate::abi::outcome::{Failure, Outcome, call, new_error, relay};
use crate::abi::place::{Given, Place};
use crate::abi::registry::{Drops, ctx};
use crate::patience::soon;

/// As many calls may be out.
const CALLS: usize = 24;

fn hold(
    world: &World,
    (handle, echo): (*mut docache_echo_call, &Rc<Echo>),
    key: usize,
    (status, refreshes): (docache_status, bool),
) -> Rc<Held> {
    let slots = world.common.model().slots(&echo.shape.leaves, key);
    let epoch = world.common.model().epoch(&slots);
    let stage = if status == DOCACHE_LEADER { Stage::Leads } else { Stage::Pending };
    let held = Rc::new(Held {
        handle,
        echo: echo.clone(),
        slots,
        refreshes,
        epoch: Cell::new(epoch),
        stage: Cell::new(stage),
        told: Arc::new(Told::default()),
        armed: Cell::new(0),
        is_armed: Cell::new(false),
    });
    let mut len = 0;
    // SAFETY: HANDLE: the new call.
    let start = unsafe { docache_echo_call_key(handle, &raw mut len) };
    // SAFETY: SPAN: valid while the call is there.
    assert_eq!(unsafe { std::slice::from_raw_parts(start, len) }, KEYS[key], "a call's key");
    world.calls.borrow_mut().push(held.clone());
    world.all_told.borrow_mut().push(held.told.clone());
    held
}

pub(crate) fn begin(world: &World, (cache, name): (Pick, Name), outs: Outs, given: Given) {
    if world.calls.borrow().len() >= CALLS {
        return;
    }
    let (handle, echo) = world.cache(cache);
    let (start, len, key) = name.arguments();
    let asked = echo.clone().zip(key).map(|(echo, key)| (ask(world, &echo, key), echo, key));
    let (mut got, mut out) = (Got::new(outs), Place::one(given));
    let is_good = got.are_valid() && out.is_valid() && asked.is_some();
    let ((value, fetched, age), place) = (got.pointers(), out.pointer());
    let begun = || {
        relay("echo_begin", got.error(), |error| {
            // SAFETY: HANDLE: the table's, or counts as NULL; SPAN, or what is refused.
            unsafe { docache_echo_begin(handle, start, len, value, fetched, age, place, error) }
        })
    };
    let begun = match &asked {
        Some((asked, echo, _)) => echo.within(|| world.at(&asked.slots, begun)),
        None => begun(),
    };
    let made = out.handle(matches!(begun.status, DOCACHE_LEADER | DOCACHE_PENDING), "echo_begin");
    let brought = got.take(&begun, true);
    let Some((asked, echo, key)) = asked.filter(|_| is_good) else {
        return begun.is(DOCACHE_INVALID_ARGUMENT);
    };
    if let Some(brought) = brought {
        assert!(brought.status != Some(DOCACHE_FETCHED_LOADED), "nobody has loaded it");
        return asked.check(&world.common, &echo, &brought);
    }
    if let Some(made) = made {
        hold(world, (made, &echo), key, (begun.status, false));
        return;
    }
    match begun.status {
        DOCACHE_REENTRANT => assert!(world.is_busy(&asked.slots), "it is inside of nothing"),
        _ => check_failure(world, &begun),
    }
}

fn check_failure(world: &World, outcome: &Outcome) {
    outcome.is_one_of(&[DOCACHE_DOER_FAILED, DOCACHE_PANIC]);
    world.common.check_failure(outcome.status, outcome.error.as_ref().map(Failure::code));
}

pub(crate) fn begin_refresh(world: &World, cache: Pick, (given, error): (Given, Given)) {
    if world.calls.borrow().len() >= CALLS {
        return;
    }
    let (handle, echo) = world.cache(cache);
    let mut out = Place::one(given);
    let place = out.pointer();
    let begun = || {
        // SAFETY: HANDLE: the table's, or counts as NULL; SPAN, or what is refused.
        call("echo_refresh_begin", error, |error| unsafe {
            docache_echo_refresh_begin(handle, place, error)
        })
    };
    let begun = match &echo {
        Some(echo) => echo.within(begun),
        None => begun(),
    };
    let made =
        out.handle(matches!(begun.status, DOCACHE_LEADER | DOCACHE_PENDING), "echo_refresh_begin");
    let Some(echo) = echo.filter(|echo| echo.refreshes == Refreshes::Host && out.is_valid()) else {
        return begun.is(DOCACHE_INVALID_ARGUMENT);
    };
    let Some(made) = made else { return begun.is(DOCACHE_MISS) };
    let mut len = 0;
    // SAFETY: HANDLE: the new call.
    let start = unsafe { docache_echo_call_key(made, &raw mut len) };
    // SAFETY: SPAN: valid while the call is there.
    let key = unsafe { std::slice::from_raw_parts(start, len) };
    let key = KEYS.iter().position(|other| *other == key).expect("a key of ours");
    hold(world, (made, &echo), key, (begun.status, true));
}

pub(crate) fn on_refresh(world: &World, cache: Pick, error: Given) {
    let (handle, echo) = world.cache(cache);
    let token = echo.as_ref().map_or(0, |echo| ctx(&echo.told));
    let function: docache_notify_fn = if echo.is_some() { Some(notify) } else { None };
    // SAFETY: HANDLE: the table's, or counts as NULL; CALLBACK: the token outlives it.
    let armed = call("echo_on_refresh", error, |error| unsafe {
        docache_echo_on_refresh(handle, function, token, error)
    });
    match echo.filter(|echo| echo.refreshes == Refreshes::Host) {
        Some(_) => armed.is_one_of(&[DOCACHE_OK, DOCACHE_PENDING, DOCACHE_INVALID_ARGUMENT]),
        None => armed.is(DOCACHE_INVALID_ARGUMENT),
    }
}

pub(crate) fn cancel_refresh(world: &World, cache: Pick, error: Given) {
    let (handle, echo) = world.cache(cache);
    let times = echo.as_ref().map(|echo| echo.told.times.load(Ordering::SeqCst));
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let cancelled = call("echo_on_refresh_cancel", error, |error| unsafe {
        docache_echo_on_refresh_cancel(handle, error)
    });
    match echo.filter(|echo| echo.refreshes == Refreshes::Host) {
        Some(echo) => {
            cancelled.is_one_of(&[DOCACHE_OK, DOCACHE_PENDING]);
            assert_eq!(Some(echo.told.times.load(Ordering::SeqCst)), times, "it never calls back");
        }
        None => cancelled.is(DOCACHE_INVALID_ARGUMENT),
    }
}

pub(crate) fn finish(world: &World, pick: Pick, report: Report) {
    let (handle, held) = world.call(pick);
    let answer = report.answer;
    let number = answer.value.map(|empty| if empty { 0 } else { world.common.model().number() });
    let value =
        number.map_or(null_mut(), |number| world.common.value(number, Some(Drops::Counted)));
    let failure = answer.error.map(|code| new_error(code, "a host"));
    let error = failure.as_ref().map_or(null_mut(), |failure| failure.0);
    let status = answer.status.0;
    let is_good = match status {
        DOCACHE_OK => number.is_some() && error.is_null(),
        DOCACHE_DOER_FAILED | DOCACHE_PANIC => number.is_none(),
        _ => false,
    };
    let stage = held.as_ref().filter(|_| is_good).map(|held| held.stage.get());
    // One that has not been seen to lead may all the same.
    if let (Some(held), Some(Stage::Leads | Stage::Pending)) = (&held, stage) {
        match number {
            Some(number) => {
                let mut model = world.common.model();
                model.loaded(&held.slots, number, held.epoch.get(), false);
            }
            None => world.common.failed(status, answer.error.unwrap_or(0)),
        }
        if stage == Some(Stage::Leads) {
            held.stage.set(Stage::Finished);
        }
    }
    let finished = || {
        // SAFETY: HANDLE: the tables', or NULL, or misaligned, which is refused.
        call("echo_call_finish", report.error, |out| unsafe {
            docache_echo_call_finish(handle, status, value, error, out)
        })
    };
    // Nothing else may be going on with it meanwhile.
    world.calls.borrow_mut().retain(|held| held.handle != handle);
    let finished = match &held {
        Some(held) => held.echo.within(|| world.at(&held.slots, finished)),
        None => finished(),
    };
    world.calls.borrow_mut().extend(held.clone());
    // SAFETY: the share is ours.
    unsafe { docache_value_release(value) };
    let Some((held, stage)) = held.zip(stage) else {
        return finished.is(DOCACHE_INVALID_ARGUMENT);
    };
    check_finished(&held, stage, &finished);
}

/// Whether a call could be finished that was seen at `stage`.
fn check_finished(held: &Held, stage: Stage, finished: &Outcome) {
    let is_taken = matches!(finished.status, DOCACHE_OK | DOCACHE_PENDING);
    match stage {
        Stage::Leads if held.refreshes => assert!(is_taken || finished.status == DOCACHE_CLOSED),
        Stage::Leads => assert!(is_taken, "it leads"),
        Stage::Pending => finished.is_one_of(&[
            DOCACHE_OK,
            DOCACHE_PENDING,
            DOCACHE_CLOSED,
            DOCACHE_INVALID_ARGUMENT,
        ]),
        _ if held.refreshes => finished.is_one_of(&[DOCACHE_CLOSED, DOCACHE_INVALID_ARGUMENT]),
        _ => finished.is(DOCACHE_INVALID_ARGUMENT),
    }
    if is_taken {
        // There may be another notification; inside of this, it may have been polled by now.
        held.is_armed.set(false);
        if held.stage.get() == Stage::Pending {
            held.stage.set(Stage::Finished);
        }
    }
}

pub(crate) fn on_ready(world: &World, pick: Pick, error: Given) {
    let (handle, held) = world.call(pick);
    let token = held.as_ref().map_or(0, |held| ctx(&held.told));
    let function: docache_notify_fn = if held.is_some() { Some(notify) } else { None };
    // SAFETY: HANDLE: the table's, or counts as NULL; CALLBACK: the token outlives it.
    let armed = call("echo_call_on_ready", error, |error| unsafe {
        docache_echo_call_on_ready(handle, function, token, error)
    });
    let Some(held) = held else { return armed.is(DOCACHE_INVALID_ARGUMENT) };
    match (armed.status, held.stage.get()) {
        (DOCACHE_INVALID_ARGUMENT, _) => assert!(held.is_armed.get(), "it is the only one"),
        (DOCACHE_OK, _) => {}
        (DOCACHE_PENDING, stage) if stage != Stage::Leads || held.refreshes => {
            assert!(!matches!(stage, Stage::Over(..)), "it is over");
            // The one before may be called just now.
            soon("a notification", || held.told.times.load(Ordering::SeqCst) >= held.armed.get());
            held.armed.set(held.armed.get() + 1);
            held.is_armed.set(true);
        }
        (status, stage) => panic!("on_ready at {stage:?}: {status}"),
    }
}

pub(crate) fn cancel(world: &World, pick: Pick) {
    let (handle, held) = world.call(pick);
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let status = unsafe { docache_echo_call_cancel(handle) };
    let Some(held) = held else { return assert_eq!(status, DOCACHE_INVALID_ARGUMENT) };
    match status {
        DOCACHE_OK if held.is_armed.get() => {
            // It was not called, and will not be.
            held.armed.set(held.armed.get() - 1);
            held.is_armed.set(false);
            assert_eq!(held.told.times.load(Ordering::SeqCst), held.armed.get());
        }
        DOCACHE_OK => {}
        status => {
            assert_eq!(status, DOCACHE_PENDING);
            assert!(held.is_armed.get(), "there is no notification");
        }
    }
}

pub(crate) fn poll(world: &World, pick: Pick, outs: Outs) {
    let (handle, held) = world.call(pick);
    let mut got = Got::new(outs);
    let (value, fetched, age) = got.pointers();
    let polled = relay("echo_call_poll", got.error(), |error| {
        // SAFETY: HANDLE: the table's, or counts as NULL; SPAN, or what is refused.
        unsafe { docache_echo_call_poll(handle, value, fetched, age, error) }
    });
    let brings = held.as_ref().is_some_and(|held| !held.refreshes);
    let brought = got.take(&polled, brings);
    let Some(held) = held.filter(|_| got.are_valid()) else {
        return polled.is(DOCACHE_INVALID_ARGUMENT);
    };
    seen(world, &held, &polled, brought);
}

fn seen(world: &World, held: &Rc<Held>, polled: &Outcome, brought: Option<Fetched>) {
    let stage = held.stage.get();
    match (polled.status, stage) {
        (DOCACHE_PENDING, Stage::Pending | Stage::Finished) => return,
        // Its time was over, and the lock is being given back.
        (DOCACHE_PENDING, Stage::Leads) if held.refreshes => return held.stage.set(Stage::Pending),
        (DOCACHE_LEADER, Stage::Leads) => return,
        (DOCACHE_LEADER, Stage::Pending) => {
            held.stage.set(Stage::Leads);
            return held.epoch.set(world.common.model().epoch(&held.slots));
        }
        (DOCACHE_PENDING | DOCACHE_LEADER, _) => panic!("{}: {stage:?}", polled.status),
        (_, Stage::Leads) if !held.refreshes => panic!("it was to do the work: {}", polled.status),
        _ => {}
    }
    let number = brought.as_ref().map(|brought| brought.number);
    if let Stage::Over(status, before) = stage {
        assert_eq!((polled.status, number), (status, before), "it says the same again");
    }
    held.stage.set(Stage::Over(polled.status, number));
    match brought {
        Some(brought) => {
            let is_loaded = brought.status == Some(DOCACHE_FETCHED_LOADED);
            let was_over = matches!(stage, Stage::Over(..));
            assert!(!is_loaded || stage == Stage::Finished || was_over, "who has loaded it?");
            assert!(world.common.model().may_share(&held.slots, brought.number));
        }
        None if polled.is_ok() => assert!(held.refreshes, "a value is missing"),
        None => check_failure(world, polled),
    }
}

pub(crate) fn free(world: &World, pick: Pick) {
    let (handle, held) = world.call(pick);
    world.calls.borrow_mut().retain(|held| held.handle != handle);
    let free = || {
        // SAFETY: HANDLE: the table's, which it has left; or counts as NULL.
        unsafe { docache_echo_call_free(handle) }
    };
    let Some(held) = held else { return free() };
    // What it leaves may be loaded still.
    held.echo.within(|| world.at(&held.slots, free));
    held.told.over.store(true, Ordering::SeqCst);
    let times = held.told.times.load(Ordering::SeqCst);
    assert!(times <= held.armed.get(), "a notification is called once");
}
