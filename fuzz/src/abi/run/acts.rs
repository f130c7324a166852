//! The callbacks of actors.

use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use docache::ffi::*;

use super::script::{Does, Reacts};
use super::world::{Act, Slot, World};
use crate::abi::outcome::message_of;
use crate::abi::registry::ctx;
use crate::patience::soon;

/// Counts who is inside of the callbacks of an actor.
struct Inside<'a>(&'a Act);

impl<'a> Inside<'a> {
    fn new(act: &'a Act) -> Inside<'a> {
        act.inside.fetch_add(1, Ordering::SeqCst);
        assert!(!act.registration.is_dropped(), "a callback after the drop");
        Inside(act)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
        assert!(!self.0.registration.is_dropped(), "a drop during a callback");
    }
}

/// # Safety
/// `ctx` stands for an [`Act`] whose world is there.
unsafe fn act<'a>(ctx: usize) -> &'a Act {
    // SAFETY: the caller's promise.
    unsafe { &*std::ptr::with_exposed_provenance::<Act>(ctx) }
}

pub(crate) unsafe extern "C-unwind" fn drop_act(ctx: usize) {
    // SAFETY: CALLBACK: the world keeps its acts.
    let act = unsafe { act(ctx) };
    assert_eq!(act.inside.load(Ordering::SeqCst), 0, "a drop during a callback");
    act.registration.drop_now();
}

pub(crate) unsafe extern "C-unwind" fn execute(
    ctx: usize,
    stop: *const docache_stop_token,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: CALLBACK: the world keeps its acts.
    let act = unsafe { act(ctx) };
    let _inside = Inside::new(act);
    let (Some(world), Some(slot)) = (act.world.upgrade(), act.slot.upgrade()) else {
        return DOCACHE_OK;
    };
    slot.root().has_begun.store(true, Ordering::SeqCst);
    let calls = act.calls.fetch_add(1, Ordering::SeqCst) + 1;
    if slot.repeats && calls >= act.most {
        slot.stop();
    }
    act.act(&world, &slot, stop, out_error)
}

impl Act {
    fn act(
        &self,
        world: &Arc<World>,
        slot: &Arc<Slot>,
        stop: *const docache_stop_token,
        out_error: *mut *mut docache_error,
    ) -> docache_status {
        let wait = || {
            // SAFETY: the token is there through the call.
            unsafe { docache_stop_token_wait(stop, DOCACHE_FOREVER, out_error) }
        };
        match self.does {
            Does::Return(status) => return status.0,
            Does::Fail(code) => {
                // SAFETY: SPAN.
                let made = unsafe {
                    docache_error_new(code.into(), c"no".as_ptr(), 2, out_error, null_mut())
                };
                assert_eq!(made, DOCACHE_OK);
                return DOCACHE_DOER_FAILED;
            }
            Does::Wait => return wait(),
            Does::Stop => slot.root().stop(),
            Does::StopWaiting => slot.root().stop_waiting(),
            Does::Free => {
                slot.root().free_inside(world);
                return wait();
            }
            Does::FreeOther(pick) => world.free_other(pick),
            Does::Meddle => slot.root().meddle(),
            Does::RunAnother(status) => run_another(status.0),
            Does::Stay if slot.is_limited => world.await_leave(),
            Does::Stay => return wait(),
            Does::Unwind => std::panic::resume_unwind(Box::new("an actor that unwinds")),
        }
        DOCACHE_OK
    }

    fn react(&self, reacts: Reacts) {
        let (Some(world), Some(slot)) = (self.world.upgrade(), self.slot.upgrade()) else { return };
        match reacts {
            Reacts::NotThere => unreachable!("it is not there"),
            Reacts::Nothing => {}
            Reacts::Free => slot.root().free_inside(&world),
            Reacts::Stop => slot.root().stop(),
            Reacts::Unwind => std::panic::resume_unwind(Box::new("a callback that unwinds")),
        }
    }
}

pub(crate) unsafe extern "C-unwind" fn interrupt(ctx: usize, cause: *const docache_run_cause) {
    // SAFETY: CALLBACK: the world keeps its acts.
    let act = unsafe { act(ctx) };
    let _inside = Inside::new(act);
    assert!(!act.interrupted.swap(true, Ordering::SeqCst), "interrupted twice");
    // SAFETY: SPAN: it is there through the call.
    super::reports::check_cause(unsafe { &*cause }, size_of::<docache_run_cause>());
    act.react(act.interrupt);
}

pub(crate) unsafe extern "C-unwind" fn on_failure(ctx: usize, error: *const docache_error) {
    // SAFETY: CALLBACK: the world keeps its acts.
    let act = unsafe { act(ctx) };
    let _inside = Inside::new(act);
    // SAFETY: HANDLE: it is there through the call.
    assert!(!unsafe { message_of(error) }.is_empty());
    act.react(act.failure);
}

unsafe extern "C-unwind" fn return_it(
    ctx: usize,
    _: *const docache_stop_token,
    _: *mut *mut docache_error,
) -> docache_status {
    ctx as docache_status
}

/// Runs a group of one actor that returns this.
fn run_another(status: docache_status) {
    let (mut group, no_error) = (null_mut(), null_mut());
    // SAFETY: SPAN.
    assert_eq!(unsafe { docache_run_group_new(null(), &raw mut group, no_error) }, DOCACHE_OK);
    let actor = docache_run_actor {
        size: size_of::<docache_run_actor>(),
        name: c"another".as_ptr(),
        name_len: 7,
        execute: Some(return_it),
        interrupt: None,
        on_failure: None,
        stage: 0,
        reserved: 0,
    };
    let ctx = status as usize;
    // SAFETY: HANDLE, SPAN.
    let added = unsafe { docache_run_group_add(group, &raw const actor, ctx, None, no_error) };
    assert_eq!(added, DOCACHE_OK);
    // SAFETY: HANDLE.
    let ran = unsafe { docache_run_group_run(group, null_mut(), no_error) };
    let expected = match status {
        DOCACHE_OK | DOCACHE_PANIC => status,
        _ => DOCACHE_DOER_FAILED,
    };
    assert_eq!(ran, expected);
    // SAFETY: HANDLE.
    unsafe { docache_run_group_free(group) };
}

/// Nothing of these is to come any more.
pub(crate) fn check_gone(acts: &[Arc<Act>]) {
    for act in acts {
        assert_eq!(act.registration.is_dropped(), act.registration.is_counted(), "not dropped");
        assert_eq!(act.inside.load(Ordering::SeqCst), 0, "a callback after the free");
    }
}

/// The same, soon.
pub(crate) fn await_gone(acts: &[Arc<Act>]) {
    for act in acts {
        act.registration.settle("the drop of an actor");
        soon("the end of a callback", || act.inside.load(Ordering::SeqCst) == 0);
    }
}

/// The `ctx` of an actor.
pub(crate) fn ctx_of(act: &Arc<Act>) -> usize {
    ctx(act)
}
