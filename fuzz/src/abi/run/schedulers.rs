//! Schedulers: calls that come later and loop caches, which free each other's schedulers, loops and
//! their own, cancel and schedule. A call is made once at most, and not when it was taken back;
//! each drop is called once, after the callback and before a free that waits has returned.

use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use docache::ffi::*;

use super::script::{CallPlan, Calls, MakeScheduler, SchedulerOp};
use super::world::lock;
use crate::abi::args::Pick;
use crate::abi::memory::Memory;
use crate::abi::outcome::{Outcome, call};
use crate::abi::place::{Given, Place};
use crate::abi::registry::{Registration, ctx};
use crate::patience::soon;

/// When a call comes that is mostly taken back before: soon enough for what watches it, a thread
/// that sleeps until then, to be gone at the end of the case.
const LATER: u64 = 200_000_000;
/// No more of a kind than these.
const MOST: usize = 6;

/// A handle that whoever takes it out frees.
struct Slot<T> {
    handle: Mutex<Option<*mut T>>,
    calls: Mutex<Vec<Arc<Called>>>,
    /// Whether it may have been shut down, or its scheduler.
    ended: Arc<AtomicBool>,
    /// Whether somebody who shuts it down has the handle, and will bring it back.
    lent: AtomicBool,
}

// SAFETY: the handles' functions may be called from any thread.
unsafe impl<T> Send for Slot<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Slot<T> {}

impl<T> Slot<T> {
    fn new(handle: *mut T, ended: Arc<AtomicBool>) -> Slot<T> {
        let lent = AtomicBool::new(false);
        Slot { handle: Mutex::new(Some(handle)), calls: Mutex::default(), ended, lent }
    }

    /// Does something with the handle, unless it was freed, while nobody frees it.
    fn with<R>(&self, f: impl FnOnce(*mut T) -> R) -> Option<R> {
        lock(&self.handle).map(f)
    }

    /// Frees it; whether it was there.
    fn free(&self, free: unsafe extern "C" fn(*mut T)) -> bool {
        let handle = lock(&self.handle).take();
        let Some(handle) = handle else { return false };
        // SAFETY: HANDLE: whoever took it out frees it.
        unsafe { free(handle) };
        true
    }
}

type Scheduler = Slot<docache_scheduler>;
type Loop = Slot<docache_loop>;

/// A call that was scheduled, by its handle.
struct Scheduled(*mut docache_scheduled, Arc<Called>);

// SAFETY: its functions may be called from any thread.
unsafe impl Send for Scheduled {}
// SAFETY: as above.
unsafe impl Sync for Scheduled {}

impl Drop for Scheduled {
    fn drop(&mut self) {
        // SAFETY: HANDLE: nobody else has it.
        unsafe { docache_scheduled_free(self.0) };
    }
}

impl Scheduled {
    fn cancel(&self) {
        let outcome = call("scheduled_cancel", Given::Valid, |error| {
            // SAFETY: HANDLE.
            unsafe { docache_scheduled_cancel(self.0, error) }
        });
        outcome.is_one_of(&[DOCACHE_OK, DOCACHE_MISS]);
        if outcome.is_ok() {
            assert!(!self.1.cancelled.swap(true, Ordering::SeqCst), "cancelled twice");
            assert_eq!(self.1.calls.load(Ordering::SeqCst), 0, "cancelled, but called");
            check_gone(std::slice::from_ref(&self.1));
        }
        // SAFETY: HANDLE.
        assert!(!unsafe { docache_scheduled_is_waiting(self.0) });
    }
}

/// What a call does, and what has become of it. It lives as long as its world.
struct Called {
    world: Weak<Schedulers>,
    own: Weak<Scheduler>,
    own_loop: Mutex<Weak<Loop>>,
    does: Calls,
    repeats: bool,
    calls: AtomicU32,
    inside: AtomicU32,
    cancelled: AtomicBool,
    registration: Registration,
}

/// The schedulers, loops and calls of a case.
#[derive(Default)]
pub(crate) struct Schedulers {
    schedulers: Mutex<Vec<Arc<Scheduler>>>,
    loops: Mutex<Vec<Arc<Loop>>>,
    scheduled: Mutex<Vec<Arc<Scheduled>>>,
    calls: Mutex<Vec<Arc<Called>>>,
}

fn picked<T>(list: &Mutex<Vec<Arc<T>>>, pick: Pick) -> Option<Arc<T>> {
    let list = lock(list);
    pick.index(list.len()).map(|at| list[at].clone())
}

unsafe extern "C-unwind" fn make_call(ctx: usize) {
    // SAFETY: CALLBACK: the world keeps its calls.
    unsafe { called(ctx) }.make();
}

unsafe extern "C-unwind" fn perform(
    ctx: usize,
    out: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: CALLBACK: the world keeps its calls.
    unsafe { called(ctx) }.make();
    // SAFETY: the places are there; NULL has no bytes.
    unsafe { docache_value_new(null(), 0, out, out_error) }
}

unsafe extern "C-unwind" fn drop_call(ctx: usize) {
    // SAFETY: CALLBACK: the world keeps its calls.
    let called = unsafe { called(ctx) };
    assert_eq!(called.inside.load(Ordering::SeqCst), 0, "a drop during a callback");
    called.registration.drop_now();
}

/// # Safety
/// `ctx` stands for a [`Called`] whose world is there.
unsafe fn called<'a>(ctx: usize) -> &'a Called {
    // SAFETY: the caller's promise.
    unsafe { &*std::ptr::with_exposed_provenance::<Called>(ctx) }
}

/// Counts who is inside of a call.
struct Inside<'a>(&'a Called);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
        assert!(!self.0.registration.is_dropped(), "a drop during a callback");
    }
}

impl Called {
    fn make(&self) {
        assert_eq!(self.inside.fetch_add(1, Ordering::SeqCst), 0, "called twice at once");
        let _inside = Inside(self);
        assert!(!self.registration.is_dropped(), "a callback after the drop");
        assert!(!self.cancelled.load(Ordering::SeqCst), "it was cancelled");
        let before = self.calls.fetch_add(1, Ordering::SeqCst);
        assert!(self.repeats || before == 0, "called twice");
        let (world, own) = (self.world.upgrade(), self.own.upgrade());
        let (Some(world), Some(own)) = (world, own) else { return };
        match self.does {
            Calls::Return => {}
            Calls::Free => drop(own.free(docache_scheduler_free)),
            Calls::FreeOther(pick) => {
                let other = picked(&world.schedulers, pick);
                other.map(|other| other.free(docache_scheduler_free));
            }
            Calls::FreeLoop(pick) => {
                let other = picked(&world.loops, pick);
                other.map(|other| other.free(docache_loop_free));
            }
            Calls::FreeOwnLoop => {
                let own_loop = lock(&self.own_loop).upgrade();
                own_loop.map(|own_loop| own_loop.free(docache_loop_free));
            }
            Calls::Cancel(pick) => {
                let scheduled = picked(&world.scheduled, pick);
                scheduled.inspect(|scheduled| scheduled.cancel());
            }
            Calls::CallAgain => world.call_after(&own, &CallPlan::PLAIN),
            Calls::Shutdown => shut_down(&own, 1_000),
            Calls::Unwind => std::panic::resume_unwind(Box::new("a call that unwinds")),
        }
    }
}

/// Nobody frees it meanwhile; callbacks that would find nothing.
fn shut_down(scheduler: &Scheduler, timeout_ns: i64) {
    let mut place = lock(&scheduler.handle);
    let Some(handle) = place.take() else { return };
    scheduler.lent.store(true, Ordering::SeqCst);
    drop(place);
    scheduler.ended.store(true, Ordering::SeqCst);
    let outcome = call("scheduler_shutdown", Given::Valid, |error| {
        // SAFETY: HANDLE.
        unsafe { docache_scheduler_shutdown(handle, timeout_ns, error) }
    });
    let is_long = timeout_ns < 0;
    outcome.is_one_of(if is_long { &[DOCACHE_OK] } else { &[DOCACHE_OK, DOCACHE_TIMEOUT] });
    if is_long {
        check_gone(&lock(&scheduler.calls));
    }
    *lock(&scheduler.handle) = Some(handle);
    scheduler.lent.store(false, Ordering::SeqCst);
}

fn check_gone(calls: &[Arc<Called>]) {
    for called in calls {
        let registration = &called.registration;
        assert_eq!(registration.is_dropped(), registration.is_counted(), "not dropped");
        assert_eq!(called.inside.load(Ordering::SeqCst), 0, "a callback after the free");
    }
}

impl Schedulers {
    pub(crate) fn apply(self: &Arc<Schedulers>, op: &SchedulerOp) {
        match op {
            SchedulerOp::New(make) => self.make(make),
            SchedulerOp::Call(pick, plan) => {
                if let Some(scheduler) = picked(&self.schedulers, *pick) {
                    self.call_after(&scheduler, plan);
                }
            }
            SchedulerOp::Loop(pick, plan) => self.start_loop(*pick, plan),
            SchedulerOp::Cancel(pick) => {
                picked(&self.scheduled, *pick).inspect(|scheduled| scheduled.cancel());
            }
            SchedulerOp::Release(pick) => {
                let mut scheduled = lock(&self.scheduled);
                let released = pick.index(scheduled.len()).map(|at| scheduled.swap_remove(at));
                drop((scheduled, released));
            }
            SchedulerOp::Stats(pick) => self.check_stats(*pick),
            SchedulerOp::Shutdown(pick, waits) => {
                let timeout_ns = if *waits { DOCACHE_FOREVER } else { 0 };
                picked(&self.schedulers, *pick)
                    .inspect(|scheduler| shut_down(scheduler, timeout_ns));
            }
            SchedulerOp::Free(pick) => {
                picked(&self.schedulers, *pick).inspect(|it| free(it, docache_scheduler_free));
            }
            SchedulerOp::FreeLoop(pick) => {
                picked(&self.loops, *pick).inspect(|it| free(it, docache_loop_free));
            }
        }
    }

    fn make(&self, make: &MakeScheduler) {
        if lock(&self.schedulers).len() >= MOST {
            return;
        }
        let (name, name_len, readable) = make.span.of(make.name.0.as_bytes());
        let (workers, more) = (usize::from(make.workers % 4), make.max_workers);
        // Enough for callbacks that free loops, or fewer than there are to be.
        let max_workers = if more >= 240 { 1 } else { usize::from(more % 2) * 200 };
        let size = make.size.of(size_of::<docache_scheduler_options>());
        let whole = docache_scheduler_options {
            size,
            name: name.cast(),
            name_len,
            grace_ns: u64::from(make.grace) * 1_000,
            workers,
            max_workers: if more >= 240 && workers == 1 { 0 } else { max_workers },
        };
        let memory = Memory::new(&whole, size, make.tail);
        let options = if make.no_options.0 { null() } else { memory.pointer() };
        let mut place: Place<*mut docache_scheduler> = Place::one(make.out);
        let outcome = call("scheduler_new", make.error, |error| {
            // SAFETY: SPAN.
            unsafe { docache_scheduler_new(options, place.pointer(), error) }
        });
        let usual = if workers == 0 { 2 } else { workers };
        let is_fine = readable.is_some_and(|name| !name.contains(&0))
            && (whole.max_workers == 0 || whole.max_workers >= usual);
        outcome.is_ok_if(place.is_valid() && (make.no_options.0 || (memory.fits && is_fine)));
        let Some(handle) = place.handle(outcome.is_ok(), "scheduler_new") else { return };
        lock(&self.schedulers).push(Arc::new(Slot::new(handle, Arc::default())));
    }

    fn called(
        self: &Arc<Schedulers>,
        own: &Arc<Scheduler>,
        plan: &CallPlan,
        repeats: bool,
    ) -> Arc<Called> {
        let called = Arc::new(Called {
            world: Arc::downgrade(self),
            own: Arc::downgrade(own),
            own_loop: Mutex::default(),
            does: plan.does,
            repeats,
            calls: AtomicU32::new(0),
            inside: AtomicU32::new(0),
            cancelled: AtomicBool::new(false),
            registration: Registration::new(plan.drops),
        });
        lock(&self.calls).push(called.clone());
        called
    }

    fn call_after(self: &Arc<Schedulers>, own: &Arc<Scheduler>, plan: &CallPlan) {
        let called = self.called(own, plan, false);
        let callback: docache_scheduler_call_fn =
            if plan.no_callback.0 { None } else { Some(make_call) };
        let delay = match plan.delay {
            soon @ 0..128 => u64::from(soon) * 2_000,
            128..160 => LATER,
            _ => u64::MAX,
        };
        let mut place: Place<*mut docache_scheduled> = Place::one(plan.out);
        let give = |scheduler: *mut docache_scheduler| {
            // Before it is given away, since it may be freed as soon as it is.
            lock(&own.calls).push(called.clone());
            let ended = own.ended.load(Ordering::SeqCst);
            let (ctx, drops) = (ctx(&called), called.registration.callback(drop_call));
            let outcome = call("call_after", plan.error, |error| {
                let out = place.pointer();
                // SAFETY: HANDLE, SPAN, CALLBACK.
                unsafe {
                    docache_scheduler_call_after(scheduler, delay, callback, ctx, drops, out, error)
                }
            });
            (outcome, ended)
        };
        let Some((outcome, ended)) = own.with(give) else {
            // It was never given to the library.
            lock(&self.calls).retain(|other| !Arc::ptr_eq(other, &called));
            return;
        };
        expect(&outcome, place.is_valid_option() && !plan.no_callback.0, ended, &own.ended);
        if plan.out == Given::Valid {
            let handle = place.handle(outcome.is_ok(), "call_after");
            let scheduled = handle.map(|handle| Arc::new(Scheduled(handle, called.clone())));
            lock(&self.scheduled).extend(scheduled);
        }
        if !outcome.is_ok() {
            called.registration.settle("the drop of what was refused");
            assert_eq!(called.calls.load(Ordering::SeqCst), 0, "refused, but called");
        }
    }

    fn start_loop(self: &Arc<Schedulers>, pick: Pick, plan: &CallPlan) {
        let Some(own) = picked(&self.schedulers, pick) else { return };
        if lock(&self.loops).len() >= MOST {
            return;
        }
        let doer = self.called(&own, plan, true);
        let give = |scheduler: *mut docache_scheduler| {
            // SAFETY: its fields are numbers, and pointers or NULL.
            let mut options: docache_loop_options = unsafe { std::mem::zeroed() };
            options.size = size_of::<docache_loop_options>();
            options.interval_ns = if plan.delay >= 128 { u64::MAX } else { 20_000 };
            options.scheduler = scheduler;
            let mut out = null_mut();
            let (ctx, drops) = (ctx(&doer), doer.registration.callback(drop_call));
            let outcome = call("loop_new", Given::Valid, |error| {
                let out = &raw mut out;
                // SAFETY: SPAN, CALLBACK.
                unsafe { docache_loop_new(&options, Some(perform), ctx, drops, out, error) }
            });
            outcome.is(DOCACHE_OK);
            out
        };
        let Some(handle) = own.with(give) else {
            lock(&self.calls).retain(|other| !Arc::ptr_eq(other, &doer));
            return;
        };
        let slot = Arc::new(Slot::new(handle, own.ended.clone()));
        lock(&slot.calls).push(doer.clone());
        *lock(&doer.own_loop) = Arc::downgrade(&slot);
        lock(&self.loops).push(slot.clone());
        let ended = own.ended.load(Ordering::SeqCst);
        let started = slot.with(|handle| {
            // SAFETY: HANDLE.
            call("loop_start", Given::Valid, |error| unsafe { docache_loop_start(handle, error) })
        });
        if let Some(outcome) = started {
            expect(&outcome, true, ended, &own.ended);
        }
    }

    fn check_stats(&self, pick: Pick) {
        let Some(scheduler) = picked(&self.schedulers, pick) else { return };
        // SAFETY: its fields are numbers.
        let mut counters: docache_scheduler_counters = unsafe { std::mem::zeroed() };
        counters.size = size_of::<docache_scheduler_counters>();
        let told = scheduler.with(|handle| {
            call("scheduler_stats", Given::Valid, |error| {
                // SAFETY: HANDLE, SPAN.
                unsafe { docache_scheduler_stats(handle, &raw mut counters, error) }
            })
        });
        if let Some(told) = told {
            told.is(DOCACHE_OK);
            assert_eq!(counters.size, size_of::<docache_scheduler_counters>());
            assert!(counters.busy <= counters.workers && counters.panics <= counters.calls);
        }
    }

    /// Frees all, and waits for what callbacks have freed.
    pub(crate) fn finish(&self) {
        let (loops, schedulers) = (lock(&self.loops).clone(), lock(&self.schedulers).clone());
        loops.iter().for_each(|it| free(it, docache_loop_free));
        for scheduler in schedulers {
            let is_lent = || scheduler.lent.load(Ordering::SeqCst);
            while is_lent() || lock(&scheduler.handle).is_some() {
                soon("the end of a shutdown", || !is_lent());
                free(&scheduler, docache_scheduler_free);
            }
        }
        let calls = lock(&self.calls).clone();
        for called in calls {
            called.registration.settle("the drop of a call");
            soon("the end of a call", || called.inside.load(Ordering::SeqCst) == 0);
        }
        lock(&self.scheduled).clear();
    }
}

/// Frees it and waits for its callbacks.
fn free<T>(slot: &Slot<T>, function: unsafe extern "C" fn(*mut T)) {
    if slot.free(function) {
        check_gone(&lock(&slot.calls));
    }
}

/// OK if it is `acceptable`; CLOSED, if it was `ended` before; one of the two if it may be since.
fn expect(outcome: &Outcome, acceptable: bool, ended: bool, now: &AtomicBool) {
    match (acceptable, ended, now.load(Ordering::SeqCst)) {
        (false, ..) => outcome.is(DOCACHE_INVALID_ARGUMENT),
        (true, false, false) => outcome.is(DOCACHE_OK),
        (true, ..) => outcome.is_one_of(&[DOCACHE_OK, DOCACHE_CLOSED]),
    }
}
