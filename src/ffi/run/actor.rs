//! Family `run`: what groups and loops run.

use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::{backoff, docache_backoff};
use super::cause::{docache_run_cause, error_of};
use super::outcome;
use super::stop_token::docache_stop_token;
use crate::context::Context;
use crate::error::{BoxError, Error, Result};
use crate::ffi::boundary::versioned::{self, Versioned};
use crate::ffi::boundary::{docache_error, docache_status, text};
use crate::ffi::gate::KeptHold;
use crate::run::{Actor, ActorError, Backoff, Cause, LoopActor};

/// Does the work of an actor, on a thread of the library that is named after it. Returns OK, or
/// DOER_FAILED, or PANIC for a defect, with an error in `out_error`, whose share is given away, or
/// none; the place is NULL when it is called. Any other status counts as DOER_FAILED; where there
/// is no error the library makes one that says so. An error beside OK is released.
///
/// `stop` is set when the actor is to be interrupted; see docache_stop_token_wait. It must not
/// throw, unwind or longjmp. It may stop and free its own group or loop.
pub type docache_run_execute_fn = Option<
    unsafe extern "C-unwind" fn(
        ctx: usize,
        stop: *const docache_stop_token,
        out_error: *mut *mut docache_error,
    ) -> docache_status,
>;

/// Makes `execute` return soon, and need not wait for that. Called at most once, on a thread of its
/// own, when the group or loop stops, if the execute has begun: perhaps just before its first
/// statement, perhaps after it has returned.
pub type docache_run_interrupt_fn =
    Option<unsafe extern "C-unwind" fn(ctx: usize, cause: *const docache_run_cause)>;

/// Told what `execute` failed with, on the actor's thread; the error is borrowed: the one that
/// `execute` gave, or one that the library made.
pub type docache_run_failure_fn =
    Option<unsafe extern "C-unwind" fn(ctx: usize, error: *const docache_error)>;

/// An actor of a group. Begin with DOCACHE_RUN_ACTOR_INIT and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_run_actor {
    /// sizeof(docache_run_actor), as the caller was compiled.
    pub size: usize,
    /// What reports call it, and the name of its thread, of which the system may show 15 bytes;
    /// copied. Required.
    pub name: *const c_char,
    /// The length of `name`.
    pub name_len: usize,
    /// Does the work. Required.
    pub execute: docache_run_execute_fn,
    /// Makes `execute` return. NULL: it watches its `stop`, or is only waited for.
    pub interrupt: docache_run_interrupt_fn,
    /// Told what `execute` failed with, once the group has begun to stop; the actor has stopped
    /// when it has returned. NULL: nobody is.
    pub on_failure: docache_run_failure_fn,
    /// The stage in which it is interrupted. Stages go in the order of their numbers, each when all
    /// actors of the one before have stopped, or its deadline has passed. All start together.
    pub stage: u32,
    /// 0.
    pub reserved: u32,
}

/// An actor of a loop: `execute` is called again and again. Begin with DOCACHE_RUN_LOOP_ACTOR_INIT
/// and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_run_loop_actor {
    /// sizeof(docache_run_loop_actor), as the caller was compiled.
    pub size: usize,
    /// As in docache_run_actor.
    pub name: *const c_char,
    /// The length of `name`.
    pub name_len: usize,
    /// Does the work once. Required.
    pub execute: docache_run_execute_fn,
    /// Makes a call of `execute` that is under way return. It may also come between two calls;
    /// after it no other begins. NULL as in docache_run_actor.
    pub interrupt: docache_run_interrupt_fn,
    /// Told of each failure of `execute`. NULL: nobody is.
    pub on_failure: docache_run_failure_fn,
    /// How long to wait between the end of a call and the next one, at least.
    pub pause_ns: u64,
    /// How long to wait after a failure, by the number of failures since the last success; a longer
    /// pause wins. Copied. NULL: only the pause.
    pub backoff: *const docache_backoff,
    /// At most so many failures in any span of `failure_span_ns`: after as many, the next call
    /// waits until the first of them is so long ago. 0: no limit.
    pub failure_limit: usize,
    /// See `failure_limit`; required with it.
    pub failure_span_ns: u64,
    /// As in docache_run_actor.
    pub stage: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: it is, it is, and all of its fields are numbers, pointers, and pointers to functions or
// NULL.
unsafe impl Versioned for docache_run_actor {
    const NAME: &'static str = "docache_run_actor";
}

// SAFETY: as above.
unsafe impl Versioned for docache_run_loop_actor {
    const NAME: &'static str = "docache_run_loop_actor";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<docache_run_actor>() == 56 && offset_of!(docache_run_actor, stage) == 48);
    assert!(
        size_of::<docache_run_loop_actor>() == 88
            && offset_of!(docache_run_loop_actor, pause_ns) == 48
            && offset_of!(docache_run_loop_actor, stage) == 80
    );
};

type Execute = unsafe extern "C-unwind" fn(
    usize,
    *const docache_stop_token,
    *mut *mut docache_error,
) -> docache_status;

/// The callbacks of an actor.
#[derive(Clone, Copy)]
struct Calls {
    execute: Execute,
    interrupt: docache_run_interrupt_fn,
    on_failure: docache_run_failure_fn,
    ctx: usize,
}

/// The callbacks of an actor that is run, and what keeps their group there (REGISTERED).
struct Live {
    calls: Calls,
    hold: KeptHold,
}

impl Live {
    fn execute(&self, context: &Context) -> Result<(), BoxError> {
        let (token, mut error) = (docache_stop_token::new(context), ptr::null_mut());
        let Calls { execute, ctx, .. } = self.calls;
        // SAFETY: CALLBACK; the token and the place live through the call.
        let status = self.hold.call(|| unsafe { execute(ctx, &raw const token, &raw mut error) });
        // SAFETY: HANDLE: what the callback wrote is a share that it gives away.
        unsafe { outcome(status, error, "the actor") }
    }
}

/// What makes an actor return, as a closure.
fn interrupt(live: &Arc<Live>) -> Option<impl FnOnce(&Cause) + Send + use<>> {
    let interrupt = live.calls.interrupt?;
    let live = live.clone();
    Some(move |cause: &Cause| {
        let message = cause.to_string();
        let seen = docache_run_cause::new(size_of::<docache_run_cause>(), cause, &message);
        // SAFETY: CALLBACK; what is borrowed lives through the call.
        live.hold.call(|| unsafe { interrupt(live.calls.ctx, &raw const seen) });
    })
}

/// What hears of an actor's failures, as a closure.
fn on_failure(live: &Arc<Live>) -> Option<impl FnMut(&ActorError) + Send + use<>> {
    let on_failure = live.calls.on_failure?;
    let live = live.clone();
    Some(move |error: &ActorError| {
        // SAFETY: CALLBACK; the error is there through the call.
        live.hold.call(|| unsafe { on_failure(live.calls.ctx, error_of(error)) });
    })
}

/// An actor of a group, until it is run.
pub(super) struct ActorPlan {
    name: Arc<str>,
    stage: u32,
    calls: Calls,
}

impl ActorPlan {
    /// # Safety
    /// SPAN, CALLBACK.
    pub(super) unsafe fn new(given: *const docache_run_actor, ctx: usize) -> Result<ActorPlan> {
        // SAFETY: the caller's promise.
        let given = unsafe { versioned::read_as(given, "actor") }?;
        versioned::reserved("actor.reserved", given.reserved)?;
        let calls = Calls {
            execute: required(given.execute)?,
            interrupt: given.interrupt,
            on_failure: given.on_failure,
            ctx,
        };
        // SAFETY: the caller's promise.
        let name = unsafe { name_of(given.name, given.name_len, "actor.name") }?;
        Ok(ActorPlan { name, stage: given.stage, calls })
    }

    /// It as an actor that is run now.
    pub(super) fn build(self, hold: KeptHold) -> Actor {
        let live = Arc::new(Live { calls: self.calls, hold });
        let (interrupt, on_failure) = (interrupt(&live), on_failure(&live));
        let work = move |context: &Context| live.execute(context);
        let mut actor = Actor::with_context(self.name, work).stage(self.stage);
        if let Some(interrupt) = interrupt {
            actor = actor.interrupt(interrupt);
        }
        if let Some(on_failure) = on_failure {
            actor = actor.on_failure(on_failure);
        }
        actor
    }
}

/// An actor of a loop, until it is run.
pub(super) struct LoopActorPlan {
    plan: ActorPlan,
    pause: Duration,
    backoff: Backoff,
    limit: Option<(usize, Duration)>,
}

impl LoopActorPlan {
    /// # Safety
    /// SPAN, CALLBACK.
    pub(super) unsafe fn new(
        given: *const docache_run_loop_actor,
        ctx: usize,
    ) -> Result<LoopActorPlan> {
        // SAFETY: the caller's promise.
        let given = unsafe { versioned::read_as(given, "actor") }?;
        versioned::reserved("actor.reserved", given.reserved)?;
        let calls = Calls {
            execute: required(given.execute)?,
            interrupt: given.interrupt,
            on_failure: given.on_failure,
            ctx,
        };
        let limit = match (given.failure_limit, given.failure_span_ns) {
            (0, 0) => None,
            (0, _) => {
                let accepted = "give it with actor.failure_span_ns";
                return Err(Error::invalid_argument("actor.failure_limit", 0, accepted));
            }
            (_, 0) => {
                let accepted = "give it with actor.failure_limit";
                return Err(Error::invalid_argument("actor.failure_span_ns", 0, accepted));
            }
            (most, span) => Some((most, Duration::from_nanos(span))),
        };
        // SAFETY: the caller's promise.
        let name = unsafe { name_of(given.name, given.name_len, "actor.name") }?;
        Ok(LoopActorPlan {
            plan: ActorPlan { name, stage: given.stage, calls },
            pause: Duration::from_nanos(given.pause_ns),
            // SAFETY: the caller's promise.
            backoff: unsafe { backoff(given.backoff, "actor.backoff") }?,
            limit,
        })
    }

    /// It as an actor that is run now.
    pub(super) fn build(self, hold: KeptHold) -> LoopActor {
        let ActorPlan { name, stage, calls } = self.plan;
        let live = Arc::new(Live { calls, hold });
        let (interrupt, on_failure) = (interrupt(&live), on_failure(&live));
        let work = move |context: &Context| live.execute(context);
        let mut actor = LoopActor::with_context(name, work)
            .stage(stage)
            .pause(self.pause)
            .backoff(self.backoff);
        if let Some((most, span)) = self.limit {
            actor = actor.failure_limit(most, span);
        }
        if let Some(interrupt) = interrupt {
            actor = actor.interrupt(interrupt);
        }
        if let Some(on_failure) = on_failure {
            actor = actor.on_failure(on_failure);
        }
        actor
    }
}

fn required(execute: docache_run_execute_fn) -> Result<Execute> {
    execute.ok_or_else(|| Error::invalid_argument("actor.execute", "NULL", "give a function"))
}

/// The name of an actor.
///
/// # Safety
/// SPAN.
pub(super) unsafe fn name_of(start: *const c_char, len: usize, name: &str) -> Result<Arc<str>> {
    // SAFETY: the caller's promise.
    let given = unsafe { text(start, len, name) }?;
    if given.is_empty() {
        let accepted = "give a name, by which reports can tell it";
        return Err(Error::invalid_argument(name, "an empty text", accepted));
    }
    Ok(given.into())
}
