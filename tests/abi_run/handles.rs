//! Handles that free themselves, and actors whose callbacks are closures.

use std::ffi::c_char;
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use docache::ffi::*;

/// What an execute or an attempt comes to.
pub(crate) enum Came {
    Ok,
    /// A failure with a number and a message.
    Failed(i64, &'static str),
    /// A status without an error.
    Status(docache_status),
}

impl Came {
    pub(crate) fn give(self, out: *mut *mut docache_error) -> docache_status {
        match self {
            Came::Ok => DOCACHE_OK,
            Came::Status(status) => status,
            Came::Failed(code, message) => {
                let (start, len) = (message.as_ptr().cast(), message.len());
                // SAFETY: all pointers are valid.
                let made = unsafe { docache_error_new(code, start, len, out, null_mut()) };
                assert_eq!(made, DOCACHE_OK);
                DOCACHE_DOER_FAILED
            }
        }
    }
}

/// A stop token, as an actor gets it.
#[derive(Clone, Copy)]
pub(crate) struct Stop(pub(crate) *const docache_stop_token);

impl Stop {
    pub(crate) fn is_set(self) -> bool {
        // SAFETY: the token is there through the call of the actor.
        unsafe { docache_stop_token_is_set(self.0) }
    }

    pub(crate) fn wait(self) -> Came {
        // SAFETY: the token is there through the call of the actor.
        let waited = unsafe { docache_stop_token_wait(self.0, DOCACHE_FOREVER, null_mut()) };
        assert_eq!(waited, DOCACHE_OK);
        Came::Ok
    }
}

type Execute = Box<dyn Fn(Stop) -> Came + Send + Sync>;
type Interrupt = Box<dyn Fn(&docache_run_cause) + Send + Sync>;
type OnFailure = Box<dyn Fn(*const docache_error) + Send + Sync>;

/// An actor for tests.
pub(crate) struct Act {
    name: &'static str,
    stage: u32,
    execute: Execute,
    interrupt: Option<Interrupt>,
    on_failure: Option<OnFailure>,
    drops: Arc<AtomicUsize>,
}

impl Act {
    pub(crate) fn new(
        name: &'static str,
        execute: impl Fn(Stop) -> Came + Send + Sync + 'static,
    ) -> Act {
        Act {
            name,
            stage: 0,
            execute: Box::new(execute),
            interrupt: None,
            on_failure: None,
            drops: Arc::default(),
        }
    }

    /// One that waits to be told to stop.
    pub(crate) fn waiting(name: &'static str) -> Act {
        Act::new(name, Stop::wait)
    }

    pub(crate) fn stage(self, stage: u32) -> Act {
        Act { stage, ..self }
    }

    pub(crate) fn interrupt(self, f: impl Fn(&docache_run_cause) + Send + Sync + 'static) -> Act {
        Act { interrupt: Some(Box::new(f)), ..self }
    }

    pub(crate) fn on_failure(
        self,
        f: impl Fn(*const docache_error) + Send + Sync + 'static,
    ) -> Act {
        Act { on_failure: Some(Box::new(f)), ..self }
    }

    /// Counts its drops there.
    pub(crate) fn counted(self, drops: &Arc<AtomicUsize>) -> Act {
        Act { drops: drops.clone(), ..self }
    }

    pub(crate) fn raw(&self) -> docache_run_actor {
        docache_run_actor {
            size: size_of::<docache_run_actor>(),
            name: self.name.as_ptr().cast(),
            name_len: self.name.len(),
            execute: Some(execute),
            interrupt: self.interrupt.as_ref().map(|_| interrupt as _),
            on_failure: self.on_failure.as_ref().map(|_| on_failure as _),
            stage: self.stage,
            reserved: 0,
        }
    }

    pub(crate) fn raw_of_loop(&self) -> docache_run_loop_actor {
        docache_run_loop_actor {
            size: size_of::<docache_run_loop_actor>(),
            name: self.name.as_ptr().cast(),
            name_len: self.name.len(),
            execute: Some(execute),
            interrupt: self.interrupt.as_ref().map(|_| interrupt as _),
            on_failure: self.on_failure.as_ref().map(|_| on_failure as _),
            pause_ns: 0,
            backoff: null(),
            failure_limit: 0,
            failure_span_ns: 0,
            stage: self.stage,
            reserved: 0,
        }
    }

    /// Its registration, whose drop is [`let_go`].
    pub(crate) fn into_ctx(self) -> usize {
        Box::into_raw(Box::new(self)) as usize
    }
}

/// # Safety
/// `ctx` is [`Act::into_ctx`] of one that was not let go.
unsafe fn act<'a>(ctx: usize) -> &'a Act {
    // SAFETY: the caller's promise.
    unsafe { &*(ctx as *const Act) }
}

pub(crate) unsafe extern "C-unwind" fn execute(
    ctx: usize,
    stop: *const docache_stop_token,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the library calls it before `let_go`.
    (unsafe { act(ctx) }.execute)(Stop(stop)).give(out_error)
}

unsafe extern "C-unwind" fn interrupt(ctx: usize, cause: *const docache_run_cause) {
    // SAFETY: as above.
    let act = unsafe { act(ctx) };
    // SAFETY: the cause is there through the call.
    act.interrupt.as_ref().unwrap()(unsafe { &*cause });
}

unsafe extern "C-unwind" fn on_failure(ctx: usize, error: *const docache_error) {
    // SAFETY: as above.
    unsafe { act(ctx) }.on_failure.as_ref().unwrap()(error);
}

pub(crate) unsafe extern "C-unwind" fn let_go(ctx: usize) {
    // SAFETY: it is the one call of a drop.
    let act = unsafe { Box::from_raw(ctx as *mut Act) };
    act.drops.fetch_add(1, Ordering::SeqCst);
}

pub(crate) fn message(error: *const docache_error) -> String {
    let mut len = 0;
    // SAFETY: the error is there.
    let start = unsafe { docache_error_message(error, &raw mut len) };
    // SAFETY: that is its message.
    text(start, len)
}

/// A text that C gave; `None` is NULL.
pub(crate) fn text(start: *const c_char, len: usize) -> String {
    if start.is_null() {
        return String::new();
    }
    // SAFETY: the library gave both.
    let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) };
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A status and the message with it.
pub(crate) fn told(ask: impl FnOnce(*mut *mut docache_error) -> docache_status) -> (i32, String) {
    let (status, message, _) = told_with_code(ask);
    (status, message)
}

pub(crate) fn told_with_code(
    ask: impl FnOnce(*mut *mut docache_error) -> docache_status,
) -> (i32, String, i64) {
    let mut error = null_mut();
    let status = ask(&raw mut error);
    if error.is_null() {
        return (status, String::new(), 0);
    }
    // SAFETY: the error is ours.
    let of_error = unsafe { docache_error_status(error) };
    // SAFETY: as above.
    let code = unsafe { docache_error_code(error) };
    assert_eq!(status, of_error);
    let message = message(error);
    // SAFETY: the error is ours.
    unsafe { docache_error_release(error) };
    (status, message, code)
}

/// A group, which is freed when this is dropped.
pub(crate) struct Group(pub(crate) *mut docache_run_group);

// SAFETY: its functions may be called from any thread.
unsafe impl Send for Group {}
// SAFETY: as above.
unsafe impl Sync for Group {}

pub(crate) fn options() -> docache_run_group_options {
    docache_run_group_options {
        size: size_of::<docache_run_group_options>(),
        name: null(),
        name_len: 0,
        logger: null_mut(),
        deadline_ns: 0,
        stop_on: 0,
        reserved: 0,
    }
}

impl Group {
    pub(crate) fn new() -> Group {
        Group::with(&options())
    }

    pub(crate) fn with(options: &docache_run_group_options) -> Group {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        let made = unsafe { docache_run_group_new(options, &raw mut out, null_mut()) };
        assert_eq!(made, DOCACHE_OK);
        Group(out)
    }

    pub(crate) fn try_add(&self, act: Act) -> (i32, String) {
        let raw = act.raw();
        let ctx = act.into_ctx();
        // SAFETY: all pointers are valid.
        told(|error| unsafe { docache_run_group_add(self.0, &raw, ctx, Some(let_go), error) })
    }

    pub(crate) fn add(&self, act: Act) -> &Group {
        assert_eq!(self.try_add(act), (DOCACHE_OK, String::new()));
        self
    }

    pub(crate) fn try_add_group(&self, name: &str, inner: &Group) -> (i32, String) {
        let (start, len) = (name.as_ptr().cast(), name.len());
        // SAFETY: all pointers are valid.
        told(|error| unsafe { docache_run_group_add_group(self.0, start, len, 0, inner.0, error) })
    }

    pub(crate) fn add_group(&self, name: &str, inner: Group) -> &Group {
        assert_eq!(self.try_add_group(name, &inner), (DOCACHE_OK, String::new()));
        std::mem::forget(inner);
        self
    }

    pub(crate) fn run(&self) -> Ran {
        let mut report = null_mut();
        let (status, message, code) =
            // SAFETY: all pointers are valid.
            told_with_code(|error| unsafe {
                docache_run_group_run(self.0, &raw mut report, error)
            });
        Ran { status, message, code, report: Report(report) }
    }

    pub(crate) fn stop(&self) -> docache_status {
        // SAFETY: the group is there.
        unsafe { docache_run_group_stop(self.0, null_mut()) }
    }

    pub(crate) fn handle(&self) -> Handle {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        let made = unsafe { docache_run_group_handle(self.0, &raw mut out, null_mut()) };
        assert_eq!(made, DOCACHE_OK);
        Handle(out)
    }

    /// Frees it without waiting.
    pub(crate) fn detach(self) {
        let group = self.0;
        std::mem::forget(self);
        // SAFETY: nobody uses it any more.
        unsafe { docache_run_group_detach(group) };
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { docache_run_group_free(self.0) };
    }
}

/// A loop, which is freed when this is dropped.
pub(crate) struct Loop(pub(crate) *mut docache_run_loop);

// SAFETY: its functions may be called from any thread.
unsafe impl Send for Loop {}
// SAFETY: as above.
unsafe impl Sync for Loop {}

impl Loop {
    pub(crate) fn new() -> Loop {
        let mut out = null_mut();
        // SAFETY: all pointers are valid, or NULL.
        let made = unsafe { docache_run_loop_new(null(), &raw mut out, null_mut()) };
        assert_eq!(made, DOCACHE_OK);
        Loop(out)
    }

    pub(crate) fn try_add_as(
        &self,
        act: Act,
        change: impl FnOnce(&mut docache_run_loop_actor),
    ) -> (i32, String) {
        let mut raw = act.raw_of_loop();
        change(&mut raw);
        let ctx = act.into_ctx();
        // SAFETY: all pointers are valid.
        told(|error| unsafe { docache_run_loop_add(self.0, &raw, ctx, Some(let_go), error) })
    }

    pub(crate) fn add(&self, act: Act) -> &Loop {
        assert_eq!(self.try_add_as(act, |_| ()), (DOCACHE_OK, String::new()));
        self
    }

    pub(crate) fn run(&self) -> Ran {
        let mut report = null_mut();
        let (status, message, code) =
            // SAFETY: all pointers are valid.
            told_with_code(|error| unsafe { docache_run_loop_run(self.0, &raw mut report, error) });
        Ran { status, message, code, report: Report(report) }
    }

    pub(crate) fn stop(&self) -> docache_status {
        // SAFETY: the loop is there.
        unsafe { docache_run_loop_stop(self.0, null_mut()) }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { docache_run_loop_free(self.0) };
    }
}

/// A share of what stops a group.
pub(crate) struct Handle(pub(crate) *mut docache_run_handle);

// SAFETY: its functions may be called from any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    pub(crate) fn stop(&self) -> docache_status {
        // SAFETY: the handle is ours.
        unsafe { docache_run_handle_stop(self.0, null_mut()) }
    }

    pub(crate) fn stop_waiting(&self) -> docache_status {
        // SAFETY: the handle is ours.
        unsafe { docache_run_handle_stop_waiting(self.0, null_mut()) }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        // SAFETY: the handle is ours.
        unsafe { docache_run_handle_is_stopping(self.0) }
    }
}

impl Clone for Handle {
    fn clone(&self) -> Handle {
        // SAFETY: the handle is ours.
        Handle(unsafe { docache_run_handle_retain(self.0) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the share is ours.
        unsafe { docache_run_handle_release(self.0) };
    }
}

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) status: docache_status,
    pub(crate) message: String,
    pub(crate) code: i64,
    pub(crate) report: Report,
}

pub(crate) struct Report(pub(crate) *mut docache_run_report);

// SAFETY: it is immutable.
unsafe impl Send for Report {}

/// A cause without what is borrowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) kind: i32,
    pub(crate) actor: String,
    pub(crate) message: String,
    pub(crate) status: docache_status,
    pub(crate) signal: i32,
    pub(crate) code: i64,
}

pub(crate) fn seen(cause: &docache_run_cause) -> Cause {
    Cause {
        kind: cause.kind,
        actor: text(cause.actor, cause.actor_len),
        message: text(cause.message, cause.message_len),
        status: cause.status,
        signal: cause.signal,
        // SAFETY: the error is there, or NULL.
        code: unsafe { docache_error_code(cause.error) },
    }
}

pub(crate) fn no_cause() -> docache_run_cause {
    // SAFETY: all of its fields are numbers and pointers.
    let mut cause: docache_run_cause = unsafe { std::mem::zeroed() };
    cause.size = size_of::<docache_run_cause>();
    cause
}

impl Report {
    pub(crate) fn cause(&self) -> Cause {
        let mut cause = no_cause();
        // SAFETY: all pointers are valid.
        let got = unsafe { docache_run_report_cause(self.0, &raw mut cause, null_mut()) };
        assert_eq!(got, DOCACHE_OK);
        seen(&cause)
    }

    pub(crate) fn cut_short(&self) -> Option<Cause> {
        let mut cause = no_cause();
        // SAFETY: all pointers are valid.
        let got = unsafe { docache_run_report_cut_short(self.0, &raw mut cause, null_mut()) };
        (got == DOCACHE_OK).then(|| seen(&cause))
    }

    pub(crate) fn failures(&self) -> u64 {
        // SAFETY: the report is ours.
        unsafe { docache_run_report_failures(self.0) }
    }

    /// Who had not stopped, and what of it.
    pub(crate) fn unfinished(&self) -> Vec<(String, u32)> {
        // SAFETY: the report is ours.
        let count = unsafe { docache_run_report_unfinished_count(self.0) };
        let one = |index| {
            let (mut len, mut parts) = (0, 0);
            // SAFETY: all pointers are valid.
            let name = unsafe {
                docache_run_report_unfinished(self.0, index, &raw mut len, &raw mut parts)
            };
            (text(name, len), parts)
        };
        assert_eq!(one(count), (String::new(), 0));
        (0..count).map(one).collect()
    }

    /// Whose executions failed, as what, and with which number and message.
    pub(crate) fn errors(&self) -> Vec<(String, docache_status, i64, String)> {
        // SAFETY: the report is ours.
        let count = unsafe { docache_run_report_error_count(self.0) };
        let one = |index| {
            let (mut len, mut status) = (0, 0);
            // SAFETY: all pointers are valid.
            let name = unsafe { docache_run_report_error_actor(self.0, index, &raw mut len) };
            // SAFETY: all pointers are valid.
            let error = unsafe { docache_run_report_error(self.0, index, &raw mut status) };
            if error.is_null() {
                return (text(name, len), status, 0, String::new());
            }
            // SAFETY: the error is there.
            (text(name, len), status, unsafe { docache_error_code(error) }, message(error))
        };
        assert_eq!(one(count), (String::new(), DOCACHE_OK, 0, String::new()));
        (0..count).map(one).collect()
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // SAFETY: the report is ours, or NULL.
        unsafe { docache_run_report_free(self.0) };
    }
}
