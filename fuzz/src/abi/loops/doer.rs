//! The callbacks of a Doer.

use std::sync::atomic::{AtomicBool, Ordering};

use docache::ffi::*;

use super::acts::act;
use super::inside::Inside;
use super::plan::Plan;
use crate::abi::args::Timeout;
use crate::abi::outcome::message_of;
use crate::abi::registry::{Drops, ctx, drop_wrapped};
use crate::patience::soon;

/// What the call does besides answering.
fn act_in_call(plan: &Plan, sequence: u64) {
    let handle = plan.handle.load(Ordering::SeqCst);
    if plan.free_next.swap(false, Ordering::SeqCst) {
        soon("the release", || plan.released.load(Ordering::SeqCst));
        // SAFETY: HANDLE: who released it does not use it any more.
        unsafe { docache_loop_free(handle) };
        return;
    }
    if !plan.muted.load(Ordering::SeqCst) {
        act(plan.script.inside(sequence), plan, handle, sequence);
    }
    if plan.stop_next.swap(false, Ordering::SeqCst) {
        act(Inside::Stop(Timeout::Generous), plan, handle, sequence);
    }
}

/// What the call returns.
fn answer(
    plan: &Plan,
    sequence: u64,
    out_value: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let answer = &plan.script.step(sequence).answer;
    if answer.unwinds.0 {
        std::panic::resume_unwind(Box::new("a Doer that unwinds"));
    }
    if let Some(bytes) = plan.script.value(sequence) {
        let status = new_value(plan, bytes, answer.wrapped, out_value);
        assert_eq!(status, DOCACHE_OK);
    }
    if let Some((code, message)) = &answer.error {
        let (text, len) = (message.0.as_ptr().cast(), message.0.len());
        // SAFETY: SPAN; the place is the library's.
        let status =
            unsafe { docache_error_new(*code, text, len, out_error, std::ptr::null_mut()) };
        assert_eq!(status, DOCACHE_OK);
        // SAFETY: HANDLE, SPAN: just written.
        let error = unsafe { *out_error };
        // SAFETY: HANDLE.
        assert_eq!(unsafe { message_of(error) }, message.0);
    }
    answer.status.0
}

fn new_value(
    plan: &Plan,
    bytes: Vec<u8>,
    wrapped: Option<Drops>,
    out: *mut *mut docache_value,
) -> docache_status {
    let Some(drops) = wrapped else {
        // SAFETY: SPAN; the place is the library's.
        return unsafe {
            docache_value_new(bytes.as_ptr(), bytes.len(), out, std::ptr::null_mut())
        };
    };
    let bytes = bytes.into_boxed_slice();
    let (data, len) = (bytes.as_ptr(), bytes.len());
    let wrapped = plan.registry.wrap(bytes, drops);
    let drop = wrapped.registration.callback(drop_wrapped);
    // SAFETY: SPAN, CALLBACK: the memory and the registration live until the drop.
    unsafe { docache_value_wrap(data, len, ctx(&wrapped), drop, out, std::ptr::null_mut()) }
}

/// One call at a time.
struct Active<'a>(&'a AtomicBool);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// The Doer.
pub(crate) unsafe extern "C-unwind" fn perform(
    ctx: usize,
    out_value: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: CALLBACK: `ctx` is the address of a `Plan`, which lives until the end of its case.
    let plan = unsafe { &*std::ptr::with_exposed_provenance::<Plan>(ctx) };
    assert!(!plan.registration.is_dropped(), "a call after the Doer's drop");
    assert!(!plan.active.swap(true, Ordering::SeqCst), "two calls of one Doer at once");
    let active = Active(&plan.active);
    // SAFETY: SPAN.
    assert!(unsafe { *out_value }.is_null());
    // SAFETY: SPAN.
    assert!(unsafe { *out_error }.is_null());
    let sequence = plan.calls.fetch_add(1, Ordering::SeqCst) + 1;
    act_in_call(plan, sequence);
    let status = answer(plan, sequence, out_value, out_error);
    drop(active);
    status
}

/// The Doer's drop callback.
pub(crate) unsafe extern "C-unwind" fn drop_plan(ctx: usize) {
    // SAFETY: CALLBACK: `ctx` is the address of a `Plan`, which lives until the end of its case.
    let plan = unsafe { &*std::ptr::with_exposed_provenance::<Plan>(ctx) };
    assert!(!plan.active.load(Ordering::SeqCst), "the Doer was dropped during its call");
    plan.registration.drop_now();
}
