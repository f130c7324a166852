//! Fetches that block, what happens inside their work, and what they may return.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use docache::ffi::*;

use super::model::{Before, Slot, number};
use super::script::{Answer, Fetch, KEYS, Op, Outs};
use super::world::{Common, Echo, Loading, World};
use crate::abi::outcome::{Failure, Outcome, bytes_of, new_error, relay};
use crate::abi::place::Place;
use crate::abi::registry::Drops;

impl Answer {
    /// Writes the error, and returns the status.
    ///
    /// # Safety
    /// SPAN.
    pub(crate) unsafe fn report(
        &self,
        common: &Common,
        out_error: *mut *mut docache_error,
    ) -> docache_status {
        if self.unwinds {
            common.failed(DOCACHE_PANIC, 0);
            std::panic::resume_unwind(Box::new("work that unwinds"));
        }
        if let Some(code) = self.error {
            // SAFETY: the caller's promise.
            unsafe { out_error.write(ManuallyDrop::new(new_error(code, "work")).0) };
        }
        if !self.is_good() {
            common.failed(self.status.0, self.error.unwrap_or(0));
        }
        self.status.0
    }

    pub(crate) fn is_good(&self) -> bool {
        self.status.0 == DOCACHE_OK && self.value.is_some() && !self.unwinds
    }

    /// What a call returns whose work came to this.
    pub(crate) fn status(&self) -> docache_status {
        match self.status.0 {
            _ if self.unwinds => DOCACHE_PANIC,
            DOCACHE_OK if self.is_good() => DOCACHE_OK,
            DOCACHE_PANIC => DOCACHE_PANIC,
            _ => DOCACHE_DOER_FAILED,
        }
    }
}

/// The places of a fetch, and what was written there.
pub(crate) struct Got {
    outs: Outs,
    value: Place<*mut docache_value>,
    fetched: Place<i32>,
    age: Place<u64>,
}

/// A value that was fetched, and where it is from, as far as that was asked for.
pub(crate) struct Fetched {
    pub(crate) number: u32,
    pub(crate) status: Option<i32>,
}

impl Got {
    pub(crate) fn new(outs: Outs) -> Got {
        let (value, fetched) = (Place::one(outs.value), Place::one(outs.fetched));
        Got { outs, value, fetched, age: Place::one(outs.age) }
    }

    pub(crate) fn are_valid(&self) -> bool {
        self.value.is_valid() && self.fetched.is_valid_option() && self.age.is_valid_option()
    }

    pub(crate) fn pointers(&mut self) -> (*mut *mut docache_value, *mut i32, *mut u64) {
        (self.value.pointer(), self.fetched.pointer(), self.age.pointer())
    }

    /// What a call wrote that came to this, if it `brings` a value.
    pub(crate) fn take(&self, outcome: &Outcome, brings: bool) -> Option<Fetched> {
        let (what, has) = (outcome.what, outcome.is_ok() && brings);
        let value = self.value.handle(has, what);
        let fetched = self.fetched.take(has && self.fetched.is_valid(), what);
        let age = self.age.take(has && self.age.is_valid(), what);
        // SAFETY: HANDLE: a share that is ours.
        let number = value.map(|value| number(unsafe { bytes_of(value) }))?;
        // SAFETY: as above; it is given back once.
        unsafe { docache_value_release(value.expect("it was there")) };
        let is_stale = fetched == Some(DOCACHE_FETCHED_STALE);
        assert!(fetched.is_none() || age.is_none_or(|age| age == 0 || is_stale), "an age");
        assert!(fetched.is_none_or(|fetched| (0..=4).contains(&fetched)), "where it is from");
        Some(Fetched { number, status: fetched })
    }

    pub(crate) fn error(&self) -> crate::abi::place::Given {
        self.outs.error
    }
}

/// What a fetch does.
struct Work<'w> {
    world: &'w World,
    echo: Rc<Echo>,
    key: usize,
    slots: Vec<Slot>,
    answer: Answer,
    inside: &'w [Op],
    /// Nobody else is at the key.
    alone: bool,
    /// The number of the value that it made, and in which epoch it began.
    ran: Cell<Option<(Option<u32>, u64)>>,
}

unsafe extern "C-unwind" fn perform(
    work: usize,
    key: *const u8,
    key_len: usize,
    out: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: CALLBACK: `fetch` keeps it through the call.
    let work = unsafe { &*std::ptr::with_exposed_provenance::<Work<'_>>(work) };
    let (world, answer) = (work.world, &work.answer);
    assert!(!key.is_null(), "a key is somewhere");
    // SAFETY: SPAN.
    let told = unsafe { std::slice::from_raw_parts(key, key_len) };
    assert_eq!(told, KEYS[work.key], "the key that the work is told");
    assert!(work.ran.get().is_none(), "the work runs twice");
    let common = &world.common;
    let epoch = common.model().epoch(&work.slots);
    work.ran.set(Some((None, epoch)));
    assert!(!work.echo.about.registration.is_dropped(), "work after the cache's drop");
    let loading = Loading { echo: work.echo.clone(), slots: work.slots.clone(), epoch };
    world.loading.borrow_mut().push(loading);
    world.act(work.inside);
    world.loading.borrow_mut().pop();
    if let Some(empty) = answer.value.filter(|_| !answer.unwinds) {
        let number = if empty { 0 } else { common.model().number() };
        if answer.is_good() {
            common.model().loaded(&work.slots, number, epoch, work.alone);
            work.ran.set(Some((Some(number), epoch)));
        }
        // SAFETY: SPAN.
        unsafe { out.write(common.value(number, Some(Drops::Counted))) };
    }
    // SAFETY: SPAN.
    unsafe { answer.report(common, out_error) }
}

/// What is known of a fetch when it begins.
pub(crate) struct Asked {
    pub(crate) slots: Vec<Slot>,
    before: Before,
    /// It comes from inside the work of the same key, which nobody has written to since.
    pub(crate) is_inside: bool,
}

pub(crate) fn ask(world: &World, echo: &Rc<Echo>, key: usize) -> Asked {
    let slots = world.common.model().slots(&echo.shape.leaves, key);
    let before = world.common.model().before(&slots);
    let epoch = world.common.model().epoch(&slots);
    let is_inside = world.loading.borrow().iter().any(|loading| {
        Rc::ptr_eq(&loading.echo, echo) && loading.slots == slots && loading.epoch == epoch
    });
    Asked { slots, before, is_inside }
}

impl Asked {
    /// Checks a value that was found, or that another has loaded.
    pub(crate) fn check(&self, common: &Common, echo: &Echo, got: &Fetched) {
        let (model, number) = (common.model(), got.number);
        match got.status {
            Some(DOCACHE_FETCHED_FRESH | DOCACHE_FETCHED_STALE | DOCACHE_FETCHED_NEGATIVE) => {
                assert!(model.may_find(&self.before, number), "{number} cannot be there");
            }
            _ => assert!(model.may_share(&self.slots, number), "{number} was never loaded"),
        }
        if got.status == Some(DOCACHE_FETCHED_NEGATIVE) {
            assert!(echo.negative && number == 0, "{number} is not negative");
        }
    }
}

pub(crate) fn fetch(world: &World, ask_for: &Fetch) {
    let Fetch { cache, name, timeout, no_perform, answer, inside, outs } = ask_for;
    let (handle, echo) = world.cache(*cache);
    let (start, len, key) = name.arguments();
    let asked = echo.clone().zip(key).map(|(echo, key)| (self::ask(world, &echo, key), echo, key));
    let mut got = Got::new(*outs);
    let (Some((asked, echo, key)), true) = (asked, got.are_valid()) else {
        let (value, fetched, age) = got.pointers();
        let called = relay("echo_fetch", got.error(), |error| {
            let perform: docache_perform_key_fn = Some(perform);
            // SAFETY: HANDLE: the table's, or counts as NULL; SPAN, or what is refused.
            unsafe {
                docache_echo_fetch(handle, start, len, 0, perform, 0, value, fetched, age, error)
            }
        });
        called.is(DOCACHE_INVALID_ARGUMENT);
        assert!(got.take(&called, true).is_none());
        return;
    };
    let busy = world.is_busy(&asked.slots);
    let is_sure = echo.has_time && echo.waits;
    let alone = !busy && is_sure && !world.is_refreshed(&asked.slots, key);
    let (slots, ns) = (asked.slots.clone(), timeout.ns(!busy || asked.is_inside));
    let work = Work {
        world,
        echo: echo.clone(),
        key,
        slots,
        answer: *answer,
        inside,
        alone,
        ran: Cell::new(None),
    };
    let ctx = std::ptr::from_ref(&work).expose_provenance();
    let perform: docache_perform_key_fn = if *no_perform { None } else { Some(perform) };
    let (value, fetched, age) = got.pointers();
    let called = || {
        relay("echo_fetch", got.error(), |error| {
            // SAFETY: HANDLE: the table's; SPAN; CALLBACK: the work lives through the call.
            unsafe {
                docache_echo_fetch(handle, start, len, ns, perform, ctx, value, fetched, age, error)
            }
        })
    };
    let called = echo.within(|| world.at(&work.slots, called));
    let own = *no_perform && echo.refreshes == super::world::Refreshes::Own;
    if *no_perform && !own {
        assert!(got.take(&called, true).is_none());
        return called.is(DOCACHE_INVALID_ARGUMENT);
    }
    let brought = got.take(&called, true);
    let may_time_out = timeout.is_short() || busy && !asked.is_inside;
    let shares = busy || world.is_refreshed(&asked.slots, key);
    check(world, (&work, &asked, own), (&called, brought), (may_time_out, shares));
}

/// `shares`: others may have loaded, or failed to.
fn check(
    world: &World,
    (work, asked, own): (&Work<'_>, &Asked, bool),
    (called, brought): (&Outcome, Option<Fetched>),
    (may_time_out, shares): (bool, bool),
) {
    let (common, echo) = (&world.common, &work.echo);
    let code = called.error.as_ref().map(Failure::code);
    if called.status == DOCACHE_TIMEOUT {
        assert!(may_time_out && work.ran.get().is_none(), "a fetch that timed out");
        return;
    }
    if called.status == DOCACHE_REENTRANT {
        assert!(work.ran.get().is_none() && world.is_busy(&asked.slots), "it is inside of nothing");
        return;
    }
    match (work.ran.get(), brought) {
        (None, None) => {
            called.is_one_of(&[DOCACHE_DOER_FAILED, DOCACHE_PANIC]);
            assert!(own || shares, "whose failure is this?");
            common.check_failure(called.status, code);
        }
        (None, Some(got)) => {
            let is_own = own && got.status == Some(DOCACHE_FETCHED_LOADED);
            assert!(is_own || got.status != Some(DOCACHE_FETCHED_LOADED), "nothing was loaded");
            asked.check(common, echo, &got);
        }
        (Some((Some(number), _)), Some(got)) => {
            assert_eq!(got.number, number, "the value that the work made");
            assert!(got.status.is_none_or(|status| status == DOCACHE_FETCHED_LOADED));
        }
        (Some((None, _)), Some(got)) => {
            assert!(got.status.is_none_or(|status| status == DOCACHE_FETCHED_STALE));
            assert!(common.model().may_share(&asked.slots, got.number), "stale, if it fails");
        }
        (Some((made, _)), None) => {
            assert!(made.is_none(), "the value was lost");
            called.is(work.answer.status());
            let told = work.answer.error.filter(|_| !work.answer.unwinds).unwrap_or(0);
            let is_kept = work.answer.status.0 != DOCACHE_OK;
            assert!(code.is_none_or(|code| code == if is_kept { told } else { 0 }), "{code:?}");
        }
    }
}
