//! Schedulers that free themselves, what they call, and loop caches on them.

use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use docache::ffi::*;

use super::handles::told;

pub(crate) const HOUR: u64 = 3_600_000_000_000;

/// A call for tests.
pub(crate) struct Called {
    call: Arc<dyn Fn() + Send + Sync>,
    drops: Arc<AtomicUsize>,
    on_drop: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Called {
    pub(crate) fn new(call: impl Fn() + Send + Sync + 'static) -> Called {
        Called { call: Arc::new(call), drops: Arc::default(), on_drop: None }
    }

    pub(crate) fn never() -> Called {
        Called::new(|| panic!("called"))
    }

    /// Counts its drops there.
    pub(crate) fn counted(self, drops: &Arc<AtomicUsize>) -> Called {
        Called { drops: drops.clone(), ..self }
    }

    pub(crate) fn on_drop(self, f: impl Fn() + Send + Sync + 'static) -> Called {
        Called { on_drop: Some(Box::new(f)), ..self }
    }

    pub(crate) fn into_ctx(self) -> usize {
        Box::into_raw(Box::new(self)) as usize
    }
}

pub(crate) unsafe extern "C-unwind" fn call(ctx: usize) {
    // SAFETY: the library calls it before `let_go`.
    (unsafe { &*(ctx as *const Called) }.call)();
}

pub(crate) unsafe extern "C-unwind" fn let_go(ctx: usize) {
    // SAFETY: it is the one call of a drop.
    let called = unsafe { Box::from_raw(ctx as *mut Called) };
    called.drops.fetch_add(1, Ordering::SeqCst);
    if let Some(on_drop) = &called.on_drop {
        on_drop();
    }
}

/// A scheduler, which is freed when this is dropped.
pub(crate) struct Scheduler(pub(crate) *mut docache_scheduler);

// SAFETY: its functions may be called from any thread.
unsafe impl Send for Scheduler {}
// SAFETY: as above.
unsafe impl Sync for Scheduler {}

pub(crate) fn options() -> docache_scheduler_options {
    docache_scheduler_options {
        size: size_of::<docache_scheduler_options>(),
        name: null(),
        name_len: 0,
        grace_ns: 0,
        workers: 0,
        max_workers: 0,
    }
}

impl Scheduler {
    pub(crate) fn new() -> Scheduler {
        Scheduler::with(&options())
    }

    pub(crate) fn with(options: &docache_scheduler_options) -> Scheduler {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        let made = told(|error| unsafe { docache_scheduler_new(options, &raw mut out, error) });
        assert_eq!(made, (DOCACHE_OK, String::new()));
        Scheduler(out)
    }

    pub(crate) fn try_call(&self, delay_ns: u64, called: Called) -> (i32, String) {
        let ctx = called.into_ctx();
        // SAFETY: all pointers are valid, or NULL.
        told(|error| unsafe {
            let (drop, out) = (Some(let_go as _), null_mut());
            docache_scheduler_call_after(self.0, delay_ns, Some(call), ctx, drop, out, error)
        })
    }

    pub(crate) fn call_after(&self, delay_ns: u64, called: Called) -> Scheduled {
        let (ctx, mut out) = (called.into_ctx(), null_mut());
        let place = &raw mut out;
        // SAFETY: all pointers are valid.
        let told = told(|error| unsafe {
            let drop = Some(let_go as _);
            docache_scheduler_call_after(self.0, delay_ns, Some(call), ctx, drop, place, error)
        });
        assert_eq!(told, (DOCACHE_OK, String::new()));
        assert!(!out.is_null());
        Scheduled(out)
    }

    pub(crate) fn shutdown(&self, timeout_ns: i64) -> (i32, String) {
        // SAFETY: the scheduler is there.
        told(|error| unsafe { docache_scheduler_shutdown(self.0, timeout_ns, error) })
    }

    pub(crate) fn stats(&self) -> docache_scheduler_counters {
        // SAFETY: its fields are numbers.
        let mut out: docache_scheduler_counters = unsafe { std::mem::zeroed() };
        out.size = size_of::<docache_scheduler_counters>();
        // SAFETY: all pointers are valid.
        let told = told(|error| unsafe { docache_scheduler_stats(self.0, &raw mut out, error) });
        assert_eq!(told.0, DOCACHE_OK);
        out
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { docache_scheduler_free(self.0) };
    }
}

pub(crate) struct Scheduled(*mut docache_scheduled);

// SAFETY: its functions may be called from any thread.
unsafe impl Send for Scheduled {}
// SAFETY: as above.
unsafe impl Sync for Scheduled {}

impl Scheduled {
    pub(crate) fn cancel(&self) -> docache_status {
        // SAFETY: the handle is ours.
        told(|error| unsafe { docache_scheduled_cancel(self.0, error) }).0
    }

    pub(crate) fn is_waiting(&self) -> bool {
        // SAFETY: the handle is ours.
        unsafe { docache_scheduled_is_waiting(self.0) }
    }
}

impl Drop for Scheduled {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { docache_scheduled_free(self.0) };
    }
}

/// What a callback frees.
pub(crate) struct Place<T>(Mutex<Option<T>>);

impl<T> Place<T> {
    pub(crate) fn new() -> Arc<Place<T>> {
        Arc::new(Place(Mutex::new(None)))
    }

    pub(crate) fn put(&self, what: T) {
        *self.0.lock().unwrap() = Some(what);
    }

    pub(crate) fn free(&self) {
        let what = self.0.lock().unwrap().take();
        drop(what);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }
}

/// A loop cache on a scheduler, which is freed when this is dropped. Its results are empty.
pub(crate) struct Cache(pub(crate) *mut docache_loop);

// SAFETY: its functions may be called from any thread.
unsafe impl Send for Cache {}
// SAFETY: as above.
unsafe impl Sync for Cache {}

unsafe extern "C-unwind" fn perform(
    ctx: usize,
    out: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the library calls it before `let_go`.
    (unsafe { &*(ctx as *const Called) }.call)();
    // SAFETY: the library gave the places.
    unsafe { docache_value_new(null(), 0, out, out_error) }
}

/// Does when its result is dropped what others do when they are called.
pub(crate) unsafe extern "C-unwind" fn perform_at_its_end(
    ctx: usize,
    out: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the library calls it before `let_go`.
    let call = unsafe { &*(ctx as *const Called) }.call.clone();
    let ctx = Called::never().on_drop(move || call()).into_ctx();
    // SAFETY: the library gave the places; NULL has a length of 0.
    unsafe { docache_value_wrap(null(), 0, ctx, Some(let_go), out, out_error) }
}

impl Cache {
    pub(crate) fn new(scheduler: &Scheduler, interval_ns: u64, doer: Called) -> Cache {
        Cache::with(scheduler, interval_ns, perform, doer)
    }

    pub(crate) fn with(
        scheduler: &Scheduler,
        interval_ns: u64,
        perform: unsafe extern "C-unwind" fn(
            usize,
            *mut *mut docache_value,
            *mut *mut docache_error,
        ) -> docache_status,
        doer: Called,
    ) -> Cache {
        // SAFETY: its fields are numbers, and pointers or NULL.
        let mut options: docache_loop_options = unsafe { std::mem::zeroed() };
        options.size = size_of::<docache_loop_options>();
        options.interval_ns = interval_ns;
        options.scheduler = scheduler.0;
        let (ctx, mut out) = (doer.into_ctx(), null_mut());
        // SAFETY: all pointers are valid.
        let told = told(|error| unsafe {
            let drop = Some(let_go as _);
            docache_loop_new(&options, Some(perform), ctx, drop, &raw mut out, error)
        });
        assert_eq!(told, (DOCACHE_OK, String::new()));
        Cache(out)
    }

    pub(crate) fn start(&self) -> docache_status {
        // SAFETY: the loop cache is there.
        told(|error| unsafe { docache_loop_start(self.0, error) }).0
    }

    pub(crate) fn stop(&self) -> docache_status {
        // SAFETY: the loop cache is there.
        told(|error| unsafe { docache_loop_stop(self.0, DOCACHE_FOREVER, error) }).0
    }

    pub(crate) fn is_running(&self) -> bool {
        // SAFETY: the loop cache is there.
        unsafe { docache_loop_is_running(self.0) }
    }

    /// Waits for a version later than this.
    pub(crate) fn changed(&self, since: u64) -> u64 {
        let mut version = 0;
        // SAFETY: all pointers are valid.
        let told = told(|error| unsafe {
            docache_loop_changed(self.0, since, DOCACHE_FOREVER, &raw mut version, error)
        });
        assert_eq!(told.0, DOCACHE_OK);
        version
    }

    pub(crate) fn refresh(&self) -> docache_status {
        let mut version = 0;
        // SAFETY: all pointers are valid.
        told(|error| unsafe {
            docache_loop_refresh(self.0, DOCACHE_FOREVER, &raw mut version, error)
        })
        .0
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { docache_loop_free(self.0) };
    }
}
