//! What the thread of a case calls.

use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use docache::ffi::*;

use super::acts::{await_gone, check_gone, ctx_of, drop_act, execute, interrupt, on_failure};
use super::reports::check_report;
use super::retries::raw_backoff;
use super::script::{Does, Make, Plan, Reacts};
use super::world::{Act, Handle, Share, Slot, World, deadline, free, lock, run};
use crate::abi::args::Pick;
use crate::abi::memory::Memory;
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place};
use crate::abi::registry::{Drops, Registration};

impl World {
    pub(crate) fn make(&self, make: &Make) {
        if lock(&self.slots).len() >= 6 {
            return;
        }
        let (name, name_len, readable) = make.span.of(make.name.0.as_bytes());
        let deadline_ns = u64::from(make.deadline % 4) * 300_000;
        let stop_on = u32::from(make.stop_on % 2) + u32::from(make.stop_on >= 250) * 2;
        let is_fine = readable.is_some() && (make.repeats || stop_on <= 1);
        let (handle, fits) = if make.repeats {
            let whole = docache_run_loop_options {
                size: make.size.of(size_of::<docache_run_loop_options>()),
                name: name.cast(),
                name_len,
                logger: null_mut(),
                deadline_ns,
            };
            let (made, fits) = create(make, &whole, whole.size, is_fine, docache_run_loop_new);
            (made.map(Handle::Loop), fits)
        } else {
            let whole = docache_run_group_options {
                size: make.size.of(size_of::<docache_run_group_options>()),
                name: name.cast(),
                name_len,
                logger: null_mut(),
                deadline_ns,
                stop_on,
                reserved: 0,
            };
            let (made, fits) = create(make, &whole, whole.size, is_fine, docache_run_group_new);
            (made.map(Handle::Group), fits)
        };
        let Some(handle) = handle else { return assert!(!fits) };
        let is_limited = !make.no_options.0 && deadline_ns > 0;
        lock(&self.slots).push(Arc::new(Slot {
            repeats: make.repeats,
            is_limited,
            share: share_of(handle),
            handle: Mutex::new(Some(handle)),
            has_run: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            acts: Mutex::default(),
            outer: Mutex::default(),
        }));
    }

    pub(crate) fn add(self: &Arc<World>, pick: Pick, plan: &Plan) {
        let Some(slot) = self.slot(pick) else { return };
        let act = Arc::new(Act {
            world: Arc::downgrade(self),
            slot: Arc::downgrade(&slot),
            does: plan.does,
            interrupt: plan.interrupt,
            failure: plan.failure,
            most: 1 + u32::from(plan.calls % 4),
            calls: AtomicU32::new(0),
            inside: AtomicU32::new(0),
            interrupted: AtomicBool::new(false),
            registration: Registration::new(plan.drops),
        });
        lock(&self.acts).push(act.clone());
        let guard = lock(&slot.handle);
        let Some(handle) = *guard else {
            // It was never given to the library.
            lock(&self.acts).pop();
            return;
        };
        let (outcome, acceptable) = give_act(handle, plan, &act);
        drop(guard);
        if slot.has_run.load(Ordering::SeqCst) && acceptable {
            outcome.is_one_of(&[DOCACHE_CLOSED]);
        } else {
            outcome.is_ok_if(acceptable);
        }
        if outcome.is_ok() {
            lock(&slot.acts).push(act);
        } else {
            check_gone(&[act]);
        }
    }

    /// Adds an actor that stops it.
    fn add_stopper(self: &Arc<World>, slot: &Slot) {
        let plan = Plan {
            does: Does::Stop,
            interrupt: Reacts::NotThere,
            failure: Reacts::NotThere,
            stage: 0,
            calls: 0,
            backoff: None,
            limit: (0, 0),
            name: crate::input::Text("stopper".into()),
            span: crate::abi::args::Span::Honest,
            no_execute: crate::input::Rare(false),
            reserved: crate::input::Rare(false),
            size: crate::abi::memory::Size::Exact,
            tail: crate::abi::memory::Tail::NONE,
            drops: Drops::Counted,
            error: Given::Valid,
        };
        let at = lock(&self.slots).iter().position(|other| std::ptr::eq(&**other, slot));
        self.add(at.map_or(Pick::NOTHING, Pick::at), &plan);
    }

    pub(crate) fn give(&self, outer: Pick, inner: Pick, stage: u8, no_name: bool) {
        let (Some(outer), Some(inner)) = (self.slot(outer), self.slot(inner)) else { return };
        if outer.repeats || inner.has_run.load(Ordering::SeqCst) {
            return;
        }
        let is_itself = Arc::ptr_eq(&outer, &inner);
        let given = lock(&inner.handle).take();
        let Some(given) = given else { return };
        let place = if is_itself { Some(given) } else { *lock(&outer.handle) };
        let Some(Handle::Group(group)) = place else {
            *lock(&inner.handle) = Some(given);
            return;
        };
        let (name, len) = (c"part".as_ptr(), if no_name { 0 } else { 4 });
        let stage = u32::from(stage % 3);
        let outcome = call("give", Given::Valid, |error| match given {
            // SAFETY: HANDLE, SPAN.
            Handle::Group(given) => unsafe {
                docache_run_group_add_group(group, name, len, stage, given, error)
            },
            // SAFETY: as above.
            Handle::Loop(given) => unsafe {
                docache_run_group_add_loop(group, name, len, stage, given, error)
            },
        });
        if outer.has_run.load(Ordering::SeqCst) && !no_name && !is_itself {
            outcome.is(DOCACHE_CLOSED);
        } else {
            outcome.is_ok_if(!no_name && !is_itself);
        }
        if outcome.is_ok() {
            *lock(&inner.outer) = Some(outer.clone());
            let acts = std::mem::take(&mut *lock(&inner.acts));
            lock(&outer.acts).extend(acts);
        } else {
            *lock(&inner.handle) = Some(given);
        }
    }

    pub(crate) fn stage_deadline(&self, pick: Pick, stage: u8, error: Given) {
        let Some(slot) = self.slot(pick) else { return };
        let handle = lock(&slot.handle);
        let Some(handle) = *handle else { return };
        let outcome = deadline(handle, u32::from(stage % 3), error);
        let has_run = slot.has_run.load(Ordering::SeqCst);
        outcome.is(if has_run { DOCACHE_CLOSED } else { DOCACHE_OK });
    }

    /// The library of the fuzzer is built without signals.
    pub(crate) fn signals(&self, pick: Pick) {
        let Some(slot) = self.slot(pick) else { return };
        let handle = lock(&slot.handle);
        let Some(Handle::Group(group)) = *handle else { return };
        let outcome = call("add_signals", Given::Valid, |error| {
            // SAFETY: HANDLE.
            unsafe { docache_run_group_add_signals(group, null(), 0, error) }
        });
        outcome.is(DOCACHE_UNSUPPORTED);
    }

    pub(crate) fn take_handle(&self, pick: Pick) {
        let Some(slot) = self.slot(pick) else { return };
        let handle = lock(&slot.handle);
        let share = match *handle {
            Some(handle) => share_of(handle),
            // SAFETY: HANDLE: the slot has a share.
            None => Share(unsafe { docache_run_handle_retain(slot.share.0) }),
        };
        lock(&self.shares).push(share);
    }

    pub(crate) fn stop_by_handle(&self, pick: Pick, waiting: bool) {
        let shares = lock(&self.shares);
        let Some(share) = pick.index(shares.len()).map(|at| &shares[at]) else { return };
        let outcome = call("stop", Given::Valid, |error| {
            if waiting {
                // SAFETY: HANDLE.
                unsafe { docache_run_handle_stop_waiting(share.0, error) }
            } else {
                // SAFETY: HANDLE.
                unsafe { docache_run_handle_stop(share.0, error) }
            }
        });
        outcome.is_one_of(&[DOCACHE_OK, DOCACHE_MISS]);
    }

    pub(crate) fn release_handle(&self, pick: Pick) {
        let mut shares = lock(&self.shares);
        if let Some(at) = pick.index(shares.len()) {
            shares.swap_remove(at);
        }
    }

    pub(crate) fn run(self: &Arc<World>, pick: Pick, report: Given, error: Given) {
        let Some(slot) = self.slot(pick) else { return };
        if slot.has_run.load(Ordering::SeqCst) || report == Given::Misaligned {
            let handle = lock(&slot.handle);
            let Some(handle) = *handle else { return };
            let refusal = match report {
                Given::Misaligned => DOCACHE_INVALID_ARGUMENT,
                _ => DOCACHE_CLOSED,
            };
            run(handle, report, error).0.is(refusal);
            return;
        }
        self.add_stopper(&slot);
        let handle = *lock(&slot.handle);
        let Some(handle) = handle else { return };
        slot.has_run.store(true, Ordering::SeqCst);
        let (outcome, report) = run(handle, report, error);
        outcome.is_one_of(&[DOCACHE_OK, DOCACHE_DOER_FAILED, DOCACHE_PANIC, DOCACHE_TIMEOUT]);
        if let Some(report) = report {
            check_report(report, outcome.status);
        }
    }

    pub(crate) fn free(&self, pick: Pick) {
        if let Some(slot) = self.slot(pick) {
            self.free_slot(&slot);
        }
    }

    fn free_slot(&self, slot: &Slot) {
        let handle = lock(&slot.handle).take();
        if let Some(handle) = handle {
            self.leave.store(true, Ordering::SeqCst);
            free(handle);
            check_gone(&lock(&slot.acts));
        }
    }

    pub(crate) fn detach(&self, pick: Pick) {
        let Some(slot) = self.slot(pick) else { return };
        let handle = lock(&slot.handle).take();
        match handle {
            None => {}
            // SAFETY: HANDLE: it was taken out of its slot.
            Some(Handle::Group(group)) => unsafe { docache_run_group_detach(group) },
            // SAFETY: as above.
            Some(Handle::Loop(repeated)) => unsafe { docache_run_loop_detach(repeated) },
        }
    }

    /// Frees all, and waits for what was left behind.
    pub(crate) fn finish(&self) {
        self.leave.store(true, Ordering::SeqCst);
        let slots = lock(&self.slots).clone();
        slots.iter().for_each(|slot| self.free_slot(slot));
        await_gone(&lock(&self.acts));
        lock(&self.shares).clear();
    }
}

/// A function that makes a group or a loop of its options.
type New<O, H> =
    unsafe extern "C" fn(*const O, *mut *mut H, *mut *mut docache_error) -> docache_status;

/// What was made of options whose `size` is this, and whether it had to be.
fn create<O, H>(
    make: &Make,
    whole: &O,
    size: usize,
    is_fine: bool,
    new: New<O, H>,
) -> (Option<*mut H>, bool) {
    let memory = Memory::new(whole, size, make.tail);
    let options = if make.no_options.0 { null() } else { memory.pointer() };
    let mut place: Place<*mut H> = Place::one(make.out);
    let outcome = call("new", make.error, |error| {
        // SAFETY: SPAN.
        unsafe { new(options, place.pointer(), error) }
    });
    let fits = place.is_valid() && (make.no_options.0 || (memory.fits && is_fine));
    outcome.is_ok_if(fits);
    (place.handle(outcome.is_ok(), "new"), fits)
}

fn share_of(handle: Handle) -> Share {
    let mut place: Place<*mut docache_run_handle> = Place::one(Given::Valid);
    let outcome = call("handle", Given::Valid, |error| match handle {
        // SAFETY: HANDLE, SPAN.
        Handle::Group(group) => unsafe { docache_run_group_handle(group, place.pointer(), error) },
        // SAFETY: as above.
        Handle::Loop(repeated) => unsafe {
            docache_run_loop_handle(repeated, place.pointer(), error)
        },
    });
    outcome.is(DOCACHE_OK);
    Share(place.handle(true, "handle").unwrap_or(null_mut()))
}

/// Gives an actor to the library; whether it must take it.
fn give_act(handle: Handle, plan: &Plan, act: &Arc<Act>) -> (crate::abi::outcome::Outcome, bool) {
    let (name, name_len, readable) = plan.span.of(plan.name.0.as_bytes());
    let executes: docache_run_execute_fn = if plan.no_execute.0 { None } else { Some(execute) };
    let interrupts = (plan.interrupt != Reacts::NotThere).then_some(interrupt as _);
    let handles = (plan.failure != Reacts::NotThere).then_some(on_failure as _);
    let (stage, reserved) = (u32::from(plan.stage % 3), u32::from(plan.reserved.0));
    let mut is_fine =
        readable.is_some_and(|name| !name.is_empty()) && executes.is_some() && reserved == 0;
    let drops = act.registration.callback(drop_act);
    match handle {
        Handle::Group(group) => {
            let size = plan.size.of(size_of::<docache_run_actor>());
            let whole = docache_run_actor {
                size,
                name: name.cast(),
                name_len,
                execute: executes,
                interrupt: interrupts,
                on_failure: handles,
                stage,
                reserved,
            };
            let memory = Memory::new(&whole, size, plan.tail);
            let outcome = call("group_add", plan.error, |error| {
                // SAFETY: HANDLE, SPAN, CALLBACK.
                unsafe { docache_run_group_add(group, memory.pointer(), ctx_of(act), drops, error) }
            });
            (outcome, is_fine && memory.fits)
        }
        Handle::Loop(repeated) => {
            let backoff = plan.backoff.as_ref().map(raw_backoff);
            let limit = (plan.limit.0 % 3, plan.limit.1 % 3);
            is_fine &= backoff.is_none_or(|(_, is_good)| is_good);
            is_fine &= (limit.0 == 0) == (limit.1 == 0);
            let size = plan.size.of(size_of::<docache_run_loop_actor>());
            let whole = docache_run_loop_actor {
                size,
                name: name.cast(),
                name_len,
                execute: executes,
                interrupt: interrupts,
                on_failure: handles,
                pause_ns: u64::from(plan.calls) * 100,
                backoff: backoff.as_ref().map_or(null(), |(raw, _)| std::ptr::from_ref(raw)),
                failure_limit: limit.0.into(),
                failure_span_ns: u64::from(limit.1) * 1000,
                stage,
                reserved,
            };
            let memory = Memory::new(&whole, size, plan.tail);
            let outcome = call("loop_add", plan.error, |error| {
                // SAFETY: HANDLE, SPAN, CALLBACK.
                unsafe {
                    docache_run_loop_add(repeated, memory.pointer(), ctx_of(act), drops, error)
                }
            });
            (outcome, is_fine && memory.fits)
        }
    }
}
