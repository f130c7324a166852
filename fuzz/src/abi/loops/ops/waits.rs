//! Family `wait`, and the calls of the family `loop` that begin a wait.

use arbitrary::Arbitrary;
use docache::ffi::*;

use super::blocking;
use crate::abi::args::{Pick, Timeout};
use crate::abi::loops::held::loops::{self, Running};
use crate::abi::loops::held::waits::{Armed, Held, Kind};
use crate::abi::loops::tokens::{Token, notify};
use crate::abi::loops::world::World;
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place};
use crate::input::Rare;
use crate::patience::soon;

/// A call of the family.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum WaitOp {
    First { pick: Pick, timeout: Timeout, error: Given },
    Changed { pick: Pick, since: u8, timeout: Timeout, out: Given, error: Given },
    Refresh { pick: Pick, timeout: Timeout, out: Given, error: Given },
    Refreshes { pick: Pick, times: u8 },
    Begin { pick: Pick, kind: Kind, since: u8, arm: bool, out: Given, error: Given },
    Poll { pick: Pick, out: Given, error: Given },
    OnReady { pick: Pick, no_notify: Rare, error: Given },
    Cancel(Pick),
    Free(Pick),
}

impl WaitOp {
    pub(crate) fn apply(self, world: &mut World) {
        match self {
            WaitOp::First { pick, timeout, error } => blocking::first(world, pick, timeout, error),
            WaitOp::Changed { pick, since, timeout, out, error } => {
                blocking::changed(world, pick, since, timeout, (out, error));
            }
            WaitOp::Refresh { pick, timeout, out, error } => {
                blocking::refresh(world, pick, timeout, (out, error));
            }
            WaitOp::Refreshes { pick, times } => {
                for _ in 0..times % 12 {
                    blocking::refresh(world, pick, Timeout::Generous, (Given::Valid, Given::Valid));
                }
            }
            WaitOp::Begin { pick, kind, since, arm, out, error } => {
                let before = world.waits.len();
                begin(world, pick, (kind, since), (out, error));
                if arm && world.waits.len() > before {
                    on_ready(world, Pick::at(before), false, error);
                }
            }
            WaitOp::Poll { pick, out, error } => poll(world, pick, out, error),
            WaitOp::OnReady { pick, no_notify, error } => on_ready(world, pick, no_notify.0, error),
            WaitOp::Cancel(pick) => cancel(world, pick),
            WaitOp::Free(pick) => free(world, pick),
        }
    }
}

fn begin(world: &mut World, pick: Pick, (kind, since): (Kind, u8), (out, error): (Given, Given)) {
    let handle = pick.handle(&world.loops, |held| held.handle);
    let mut out = Place::one(out);
    let mut held = pick.index(world.loops.len()).map(|index| &mut world.loops[index]);
    let before = held.as_ref().map_or(Running::No, |held| held.running());
    let since = match (kind, &held) {
        (Kind::Changed, _) => u64::from(since % 8),
        (Kind::First | Kind::Refresh | Kind::Stop, Some(held)) => held.seen,
        (Kind::First | Kind::Refresh | Kind::Stop, None) => 0,
    };
    if let Some(held) = held.as_mut().filter(|_| kind == Kind::Refresh && out.is_valid()) {
        let called = !matches!(before, Running::No | Running::Stopping);
        held.plan.allow(u64::from(called));
    }
    let begun = call("begin", error, |error| match kind {
        // SAFETY: HANDLE: the table's, or counts as NULL; SPAN.
        Kind::First => unsafe { docache_loop_wait_first_begin(handle, out.pointer(), error) },
        // SAFETY: as above.
        Kind::Changed => unsafe { docache_loop_changed_begin(handle, since, out.pointer(), error) },
        // SAFETY: as above.
        Kind::Refresh => unsafe { docache_loop_refresh_begin(handle, out.pointer(), error) },
        // SAFETY: as above.
        Kind::Stop => unsafe { docache_loop_stop_begin(handle, out.pointer(), error) },
    });
    let handle = out.handle(begun.status == DOCACHE_PENDING, "begin");
    match held.filter(|_| out.is_valid()) {
        None => begun.is(DOCACHE_INVALID_ARGUMENT),
        Some(held) => {
            begun.is_one_of(expected(kind, held, before, since));
            if let Some(handle) = handle {
                let (plan, armed) = (held.plan.clone(), Armed::No);
                world.waits.push(Held { handle, kind, plan, since, armed, over: None });
            }
            if kind == Kind::Stop {
                held.asked_to_stop();
            }
        }
    }
    world.keep(begun);
}

/// What a wait on a loop that is there may begin as.
fn expected(
    kind: Kind,
    held: &loops::Held,
    before: Running,
    since: u64,
) -> &'static [docache_status] {
    match (kind, before) {
        (Kind::First, _) if held.has_success() => &[DOCACHE_OK],
        (Kind::Changed, _) if since < held.seen => &[DOCACHE_OK],
        (Kind::First, Running::No) => &[DOCACHE_PENDING],
        (Kind::Changed, _) if since >= held.allowed() => &[DOCACHE_PENDING],
        (Kind::Refresh, Running::No | Running::Stopping) => &[DOCACHE_CLOSED],
        // A quick Doer may be done before the first look.
        (Kind::Refresh, Running::Yes) => &[DOCACHE_PENDING, DOCACHE_OK],
        (Kind::Refresh, Running::Maybe) => &[DOCACHE_PENDING, DOCACHE_OK, DOCACHE_CLOSED],
        (Kind::Stop, Running::No) => &[DOCACHE_OK],
        (Kind::First | Kind::Changed | Kind::Stop, _) => &[DOCACHE_PENDING, DOCACHE_OK],
    }
}

fn poll(world: &mut World, pick: Pick, out: Given, error: Given) {
    let polled = match pick.index(world.waits.len()) {
        Some(index) => world.waits[index].poll(out, error),
        None => {
            let nothing = pick.handle(&world.waits, |held| held.handle);
            let mut version = Place::one(out);
            // SAFETY: HANDLE: counts as NULL; SPAN.
            let polled = call("wait_poll", error, |error| unsafe {
                docache_wait_poll(nothing, version.pointer(), error)
            });
            polled.is(DOCACHE_INVALID_ARGUMENT);
            version.take(false, "wait_poll");
            polled
        }
    };
    world.keep(polled);
}

fn on_ready(world: &mut World, pick: Pick, no_notify: bool, error: Given) {
    let handle = pick.handle(&world.waits, |held| held.handle);
    let function: docache_notify_fn = if no_notify { None } else { Some(notify) };
    let token = Token::new();
    // SAFETY: HANDLE: the table's, or counts as NULL; CALLBACK: a token is good for ever.
    let told = call("wait_on_ready", error, |error| unsafe {
        docache_wait_on_ready(handle, function, token.0, error)
    });
    match pick.index(world.waits.len()).map(|index| &mut world.waits[index]) {
        Some(held) if !no_notify && matches!(held.armed, Armed::No) => {
            told.is_one_of(&[DOCACHE_OK, DOCACHE_PENDING]);
            assert!(told.is_ok() || held.over.is_none(), "a wait that was over is pending");
            if told.is_ok() {
                held.check_over();
            } else {
                held.armed = Armed::Token(token);
            }
        }
        _ => told.is(DOCACHE_INVALID_ARGUMENT),
    }
    if told.status != DOCACHE_PENDING {
        token.forbid();
    }
    world.keep(told);
}

fn cancel(world: &mut World, pick: Pick) {
    let handle = pick.handle(&world.waits, |held| held.handle);
    // SAFETY: HANDLE: the table's, or counts as NULL.
    let status = unsafe { docache_wait_cancel(handle) };
    let Some(index) = pick.index(world.waits.len()) else {
        return assert_eq!(status, DOCACHE_INVALID_ARGUMENT);
    };
    let held = &mut world.waits[index];
    match held.armed {
        Armed::Token(token) if status == DOCACHE_PENDING => {
            soon("a notification that could not be taken back", || token.calls() == 1);
            held.check_over();
        }
        Armed::Token(token) => {
            assert_eq!(status, DOCACHE_OK);
            assert!(held.over.is_none(), "whoever finds a wait over sees to its notification");
            token.forbid();
            held.armed = Armed::No;
        }
        Armed::No => assert_eq!(status, DOCACHE_OK, "there was nothing to take back"),
    }
}

fn free(world: &mut World, pick: Pick) {
    match pick.index(world.waits.len()) {
        Some(index) => world.waits.swap_remove(index).abandon(),
        None => {
            let nothing = pick.handle(&world.waits, |held| held.handle);
            // SAFETY: HANDLE: NULL, or what counts as NULL.
            unsafe { docache_wait_free(nothing) };
        }
    }
}
