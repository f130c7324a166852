//! Caches: made, freed, written to, ended.

use std::cell::Cell;
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::rc::Rc;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use docache::ffi::*;

use super::model::Slot;
use super::script::{Answer, Callback, KEYS, Make, Name};
use super::world::{About, Echo, Refreshes, Told, World, called};
use crate::abi::args::{Pick, Returned, Timeout};
use crate::abi::memory::Memory;
use crate::abi::outcome::{call, relay};
use crate::abi::place::{Given, Place};
use crate::abi::registry::{Drops, Registration, ctx};
use crate::patience::soon;

const MS: u64 = 1_000_000;
const HOUR: u64 = 3_600_000 * MS;

unsafe extern "C-unwind" fn drop_about(ctx: usize) {
    // SAFETY: CALLBACK: `ctx` is the address of an `About`, which lives as long as its case.
    let about = unsafe { &*std::ptr::with_exposed_provenance::<About>(ctx) };
    called(Callback::DropCache);
    about.registration.drop_now();
}

unsafe extern "C-unwind" fn warned(ctx: usize, warning: *const docache_echo_warning) {
    // SAFETY: CALLBACK: as above.
    let about = unsafe { &*std::ptr::with_exposed_provenance::<About>(ctx) };
    assert!(!about.registration.is_dropped(), "a warning after the cache's drop");
    // SAFETY: SPAN: valid during the call.
    let warning = unsafe { &*warning };
    assert_eq!(warning.size, size_of::<docache_echo_warning>());
    // SAFETY: SPAN.
    let key = unsafe { std::slice::from_raw_parts(warning.key, warning.key_len) };
    assert!(KEYS.contains(&key), "a warning about another key");
    // SAFETY: SPAN.
    let message =
        unsafe { std::slice::from_raw_parts(warning.message.cast::<u8>(), warning.message_len) };
    assert!(std::str::from_utf8(message).is_ok_and(|message| !message.is_empty()));
    assert!((DOCACHE_WARNING_STORE..=DOCACHE_WARNING_UNATTENDED).contains(&warning.kind));
    assert!((DOCACHE_OPERATION_NONE..=DOCACHE_OPERATION_REMOVE).contains(&warning.operation));
    about.warnings.fetch_add(1, Ordering::SeqCst);
    called(Callback::Warning);
}

/// The own work of a lazy cache, on any thread.
unsafe extern "C-unwind" fn work(
    ctx: usize,
    key: *const u8,
    key_len: usize,
    out: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: CALLBACK: as above.
    let about = unsafe { &*std::ptr::with_exposed_provenance::<About>(ctx) };
    assert!(!about.registration.is_dropped(), "work after the cache's drop");
    // SAFETY: SPAN.
    let key = unsafe { std::slice::from_raw_parts(key, key_len) };
    let key = KEYS.iter().position(|other| *other == key).expect("a key of ours");
    let slots = about.common.model().slots(&about.leaves, key);
    let epoch = about.common.model().epoch(&slots);
    let answer = *about.answer.lock().expect("not poisoned");
    let freed = about.to_free.swap(null_mut(), Ordering::SeqCst);
    // SAFETY: HANDLE: nobody else has it any more.
    unsafe { docache_echo_free(freed) };
    called(Callback::Work);
    if let Some(number) = answer.number(about) {
        about.common.model().loaded(&slots, number, epoch, false);
        // SAFETY: the library's own place.
        unsafe { out.write(about.common.value(number, Some(Drops::Counted))) };
    }
    // SAFETY: as above.
    unsafe { answer.report(&about.common, out_error) }
}

impl Answer {
    pub(crate) const DEFAULT: Answer =
        Answer { status: Returned(DOCACHE_OK), value: Some(false), error: None, unwinds: false };

    fn number(&self, about: &About) -> Option<u32> {
        let empty = self.value.filter(|_| !self.unwinds)?;
        Some(if empty { 0 } else { about.common.model().number() })
    }
}

/// The options, and how they are to be given.
fn memo_options(make: &Make) -> docache_echo_options {
    // SAFETY: its fields are numbers and pointers to functions or NULL.
    let mut options: docache_echo_options = unsafe { zeroed() };
    options.size = make.size.of(size_of::<docache_echo_options>());
    options.time_to_live_ns = [0, DOCACHE_NEVER, HOUR, 1][usize::from(make.ages % 4)];
    options.negative_ttl_ns = if make.negative { HOUR } else { 0 };
    options.lock_wait_ns = lock_wait(make.lock_wait);
    options.store_budget_ns = budget(make.budget);
    options.on_warning = if make.hook { Some(warned) } else { None };
    options.flags = make.flags;
    options
}

fn lazy_options(make: &Make) -> docache_echo_lazy_options {
    // SAFETY: its fields are numbers and pointers to functions or NULL.
    let mut options: docache_echo_lazy_options = unsafe { zeroed() };
    options.size = make.size.of(size_of::<docache_echo_lazy_options>());
    options.refresh_after_ns = [1, 1, 0, HOUR][usize::from(make.ages % 4)];
    if options.refresh_after_ns == 1 {
        options.expires_ns = [HOUR, 2, 0, DOCACHE_NEVER][usize::from(make.ages / 4 % 4)];
        options.stale_until_ns = if options.expires_ns == 2 { 24 * HOUR } else { 0 };
    }
    options.negative_ttl_ns = if make.negative { HOUR } else { 0 };
    options.lock_wait_ns = lock_wait(make.lock_wait);
    options.store_budget_ns = budget(make.budget);
    // A refresh on a thread may wait for a call that this one does not end.
    let is_short = make.works || make.refresh_timeout >= 224;
    options.refresh_timeout_ns = if is_short { 5 * MS } else { 0 };
    options.backoff_first_ns = if make.backoff { HOUR } else { 0 };
    options.queue_size = usize::from(make.small_queue);
    options.early_refresh_permille = if make.ages >= 120 { 1000 } else { 0 };
    options.on_warning = if make.hook { Some(warned) } else { None };
    options.flags = make.flags;
    options
}

fn lock_wait(which: u8) -> u64 {
    match which {
        0..=127 => 0,
        128..=207 => 1,
        208..=255 => MS,
    }
}

fn budget(which: u8) -> u64 {
    match which {
        0..=239 => HOUR,
        240..=247 => 0,
        248..=255 => 1,
    }
}

pub(crate) fn new(world: &World, store: Pick, make: &Make, (out, error): (Given, Given)) {
    let (handle, share) = world.store(store);
    let about = Arc::new(About {
        registration: Registration::new(make.drops),
        common: world.common.clone(),
        leaves: share.as_ref().map_or(Vec::new(), |share| share.shape.leaves.clone()),
        answer: Mutex::new(Answer::DEFAULT),
        to_free: AtomicPtr::new(null_mut()),
        warnings: AtomicU32::new(0),
    });
    let (ctx, drop) = (ctx(&about), about.registration.callback(drop_about));
    let (memo, lazy) = (memo_options(make), lazy_options(make));
    let memory = if make.lazy {
        Memory::new(&lazy, lazy.size, make.tail)
    } else {
        Memory::new(&memo, memo.size, make.tail)
    };
    let (options, mut out) = (!make.no_options, Place::one(out));
    let place = out.pointer();
    let function: docache_perform_key_fn = if make.works { Some(work) } else { None };
    let made = if make.lazy {
        let options = if options { memory.pointer() } else { null() };
        // SAFETY: HANDLE; SPAN, or what is refused; CALLBACK: what is about it lives longer.
        call("echo_lazy_new", error, |error| unsafe {
            docache_echo_lazy_new(handle, options, function, ctx, drop, place, error)
        })
    } else {
        let options = if options { memory.pointer() } else { null() };
        // SAFETY: as above.
        call("echo_new", error, |error| unsafe {
            docache_echo_new(handle, options, ctx, drop, place, error)
        })
    };
    let fits = !options || memory.fits && make.flags <= 1;
    made.is_ok_if(fits && share.is_some() && out.is_valid());
    let handle = out.handle(made.is_ok(), "a new cache");
    world.abouts.borrow_mut().push(about.clone());
    let Some((handle, share)) = handle.zip(share) else {
        assert_eq!(about.registration.is_dropped(), about.registration.is_counted());
        return;
    };
    let refreshes = match (make.lazy, make.works) {
        (false, _) => Refreshes::None,
        (true, true) => Refreshes::Own,
        (true, false) => Refreshes::Host,
    };
    let told = Told { of_refresh: true, ..Told::default() };
    world.caches.borrow_mut().push(Rc::new(Echo {
        handle: Cell::new(handle),
        lent: Cell::new(false),
        shape: share.shape,
        refreshes,
        negative: make.negative && options,
        has_time: !options || make.budget < 240,
        waits: !options || make.lock_wait < 128,
        about,
        frames: Cell::new(0),
        told: Arc::new(told),
    }));
}

pub(crate) fn free(world: &World, pick: Pick) {
    let (handle, echo) = world.cache(pick);
    let free = || {
        // SAFETY: HANDLE: the table's, which it has left; or counts as NULL.
        unsafe { docache_echo_free(handle) };
    };
    let Some(echo) = &echo else { return free() };
    echo.handle.set(null_mut());
    // Its `drop` may call back, too.
    echo.within(free);
    echo.told.over.store(true, Ordering::SeqCst);
    echo.check();
}

pub(crate) fn free_in_refresh(world: &World, pick: Pick) {
    let (handle, Some(echo)) = world.cache(pick) else { return };
    if echo.refreshes == Refreshes::Own && echo.frames.get() == 0 {
        echo.handle.set(null_mut());
        echo.lent.set(true);
        echo.about.to_free.store(handle, Ordering::SeqCst);
    }
}

/// No refresh is to free it any more.
pub(crate) fn take_back(echo: &Echo) {
    if echo.lent.get() {
        let handle = echo.about.to_free.swap(null_mut(), Ordering::SeqCst);
        // SAFETY: HANDLE: nobody else has it.
        unsafe { docache_echo_free(handle) };
        echo.about.registration.settle("the drop of a cache");
        echo.lent.set(false);
    }
}

pub(crate) fn set_work(world: &World, pick: Pick, answer: Answer) {
    if let Some(echo) = world.cache(pick).1 {
        *echo.about.answer.lock().expect("not poisoned") = answer;
    }
}

/// Writes, or removes if there is no value.
pub(crate) fn write(
    world: &World,
    (cache, name): (Pick, Name),
    value: Option<(bool, Option<Drops>)>,
    error: Given,
) {
    let (handle, echo) = world.cache(cache);
    let (start, len, key) = name.arguments();
    let slots: Vec<Slot> = match (&echo, key) {
        (Some(echo), Some(key)) => world.common.model().slots(&echo.shape.leaves, key),
        _ => Vec::new(),
    };
    let number = value.map(|(empty, _)| if empty { 0 } else { world.common.model().number() });
    let given = number.map(|number| world.common.value(number, value.and_then(|(_, drops)| drops)));
    world.common.model().overwrite(&slots, number);
    let done = |error| match given {
        // SAFETY: HANDLE: the tables', or counts as NULL; SPAN, or what is refused.
        Some(given) => unsafe { docache_echo_put(handle, start, len, given, error) },
        // SAFETY: as above.
        None => unsafe { docache_echo_remove(handle, start, len, error) },
    };
    let written = || world.at(&slots, || relay("a write", error, done));
    let written = match &echo {
        Some(echo) => echo.within(written),
        None => written(),
    };
    // SAFETY: the share is ours.
    unsafe { docache_value_release(given.unwrap_or(null_mut())) };
    if echo.is_none() || key.is_none() {
        return written.is(DOCACHE_INVALID_ARGUMENT);
    }
    let has_time = echo.is_some_and(|echo| echo.has_time);
    if has_time && world.common.model().never_fail(&slots) {
        return written.is(DOCACHE_OK);
    }
    written.is_one_of(&[DOCACHE_OK, DOCACHE_DOER_FAILED, DOCACHE_TIMEOUT, DOCACHE_PANIC]);
}

pub(crate) fn stats(world: &World, pick: Pick, error: Given) {
    let (handle, echo) = world.cache(pick);
    // SAFETY: its fields are numbers.
    let mut counters: docache_echo_counters = unsafe { zeroed() };
    counters.size = size_of::<docache_echo_counters>();
    // SAFETY: HANDLE: the table's, or counts as NULL; SPAN.
    let read = call("echo_stats", error, |error| unsafe {
        docache_echo_stats(handle, &raw mut counters, error)
    });
    read.is_ok_if(echo.is_some());
    assert!(counters.load_failures <= counters.loads);
    assert!(counters.refresh_failures <= counters.refreshes + counters.refused);
}

/// Waits until nothing is refreshed in the background.
pub(crate) fn settle(echo: &Echo) {
    if echo.refreshes != Refreshes::Own || echo.handle.get().is_null() {
        return;
    }
    soon("the end of refreshes", || {
        // SAFETY: its fields are numbers.
        let mut counters: docache_echo_counters = unsafe { zeroed() };
        counters.size = size_of::<docache_echo_counters>();
        // SAFETY: HANDLE: the cache is there; SPAN.
        unsafe { docache_echo_stats(echo.handle.get(), &raw mut counters, null_mut()) };
        counters.refreshing == 0
    });
}

pub(crate) fn end_refreshes(world: &World, pick: Pick, timeout: Timeout) {
    let (handle, echo) = world.cache(pick);
    let (mut drained, mut dropped, mut running) = (0, 0, 0);
    // Those of a host end when it ends them.
    let is_sure = echo.as_ref().is_some_and(|echo| echo.refreshes != Refreshes::Host);
    let ns = timeout.ns(is_sure);
    let mut ended = || {
        let places = (&raw mut drained, &raw mut dropped, &raw mut running);
        // SAFETY: HANDLE: the table's, or counts as NULL; SPAN.
        call("echo_shutdown", Given::Valid, |error| unsafe {
            docache_echo_shutdown(handle, ns, places.0, places.1, places.2, error)
        })
    };
    match echo {
        None => ended().is(DOCACHE_INVALID_ARGUMENT),
        Some(echo) => {
            echo.within(ended).is_one_of(&[DOCACHE_OK, DOCACHE_TIMEOUT]);
        }
    }
}
