//! A group's life: its threads, the wait for its end, the interrupts.
//!
//! # State
//! What only [`run`](crate::run::Group::run) has: for each actor a [`Seat`] with its interrupt, its
//! context and its thread. All else is [shared](super::shared).
//!
//! # Order
//! 1. All actors are started, unless the group is stopped before.
//! 2. `run` sleeps until the group stops.
//! 3. Stage by stage: the interrupts of those who have begun are started, then the contexts of all
//!    are cancelled; `run` sleeps until the stage has settled, its deadline has passed or the wait
//!    is cut short.
//! 4. The state is closed: what comes later is nobody's.
//!
//! # Progress
//! User code that `run` itself calls is short by contract (Wakers and hooks of contexts, loggers,
//! clocks), or an interrupt for which the system gave no thread.

use std::collections::BTreeSet;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::actor::{Actor, Body, FailureHandler, Interrupt, Life};
use super::cause::{ActorError, Cause};
use super::report::Report;
use super::settings::{Over, Settings};
use super::shared::{Ended, Left, Settled, Shared, Stopping};
use crate::clock::Clock;
use crate::contain::{contained, drop_contained};
use crate::context::{Context, until};
use crate::error::Error;
use crate::log::Level;
use crate::sync::spawn::spawn;
use crate::sync::thread::JoinHandle;
use crate::wait::{Wait, block_on};

/// An actor, as `run` has it.
struct Seat {
    index: usize,
    name: Arc<str>,
    stage: u32,
    interrupt: Option<Interrupt>,
    close: Option<Interrupt>,
    context: Context,
    threads: Vec<JoinHandle<()>>,
}

/// What an actor's thread gets.
struct Work {
    body: Body,
    failure_handler: Option<FailureHandler>,
    life: Life,
}

pub(in crate::run) fn run(
    shared: &Arc<Shared>,
    settings: &Arc<Settings>,
    actors: Vec<Actor>,
) -> Over {
    if !shared.open(actors.iter().map(Actor::place).collect(), settings.stay) {
        actors.into_iter().for_each(drop_contained);
        return close(shared, settings);
    }
    let mut seats = start(shared, settings, actors);
    sleep(shared, settings);
    let cause = shared.cause().unwrap_or(Cause::Stopped);
    settings.log(Level::Info, format_args!("stops: {cause}"));
    if !matches!(cause, Cause::Forked) {
        let stages: BTreeSet<u32> = seats.iter().map(|seat| seat.stage).collect();
        for stage in stages {
            stop_stage(shared, settings, &mut seats, stage, &cause);
        }
    }
    let over = close(shared, settings);
    leave(shared, settings, seats);
    over
}

/// Starts the threads.
fn start(shared: &Arc<Shared>, settings: &Arc<Settings>, actors: Vec<Actor>) -> Vec<Seat> {
    let mut seats = Vec::with_capacity(actors.len());
    for (index, actor) in actors.into_iter().enumerate() {
        let context = Context::with_clock(settings.clock.clone());
        let life = Life {
            shared: shared.clone(),
            index,
            context: context.clone(),
            settings: settings.clone(),
        };
        let Actor { name, stage, body, interrupt, close, failure_handler, .. } = actor;
        let work = Work { body, failure_handler, life };
        let thread = start_thread(&name, move || act(work));
        let mut seat = Seat { index, name, stage, interrupt, close, context, threads: Vec::new() };
        match thread {
            Ok(thread) => seat.threads.push(thread),
            Err(error) => {
                // The work is dropped; nobody else says that it is over.
                let failed = Ended::Failed(None, Error::internal("cannot start a thread", error));
                shared.ended(index, failed, settings.stop_on);
                shared.finished(index);
            }
        }
        seats.push(seat);
    }
    seats
}

/// Starts a thread of that name, as far as it can be one.
fn start_thread(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let name = name.replace('\0', "?");
    // A destructor of the user's may panic if there is no thread.
    contained(|| spawn(&name, body)).unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// An actor's thread.
fn act(work: Work) {
    let Work { body, failure_handler, life } = work;
    let (shared, settings, index) = (&life.shared, &life.settings, life.index);
    if !shared.begin(index) {
        drop_contained(body);
        drop_contained(failure_handler);
        shared.finished(index);
        return;
    }
    let ended = catch_unwind(AssertUnwindSafe(|| body(&life)));
    let ended = ended.unwrap_or_else(Ended::panicked);
    let failed = shared.ended(index, ended, settings.stop_on);
    if let Some(error) = failed {
        tell(&life, &error, failure_handler);
    } else {
        drop_contained(failure_handler);
    }
    shared.finished(index);
}

/// Tells of a failure that ended an actor.
fn tell(life: &Life, error: &ActorError, handler: Option<FailureHandler>) {
    let level = if error.is_panicked() { Level::Error } else { Level::Warn };
    life.settings.log(level, format_args!("{error}"));
    let Some(mut handler) = handler else { return };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| handler(error))) {
        life.shared.panicked(life.index, payload);
    }
    drop_contained(handler);
}

/// Sleeps until the group stops, or has to.
fn sleep(shared: &Shared, settings: &Settings) {
    let stopping = Wait::new(Stopping(shared));
    let Some(context) = &settings.context else {
        block_on(stopping, &*settings.clock, None);
        return;
    };
    let stopped = block_on(until(stopping, context), context.clock(), context.deadline());
    if stopped.flatten().is_none() {
        if let Some(error) = context.error() {
            shared.stop(Cause::Context(error));
        }
    }
}

/// Interrupts the actors of a stage and waits for them.
fn stop_stage(
    shared: &Arc<Shared>,
    settings: &Settings,
    seats: &mut [Seat],
    stage: u32,
    cause: &Cause,
) {
    let span = settings.deadline_of(stage);
    let deadline = span.map(|span| settings.clock.now().deadline(span));
    stop_seats(shared, seats, stage, cause);
    block_on(Wait::new(Settled(shared, stage)), &*settings.clock, deadline);
}

/// Interrupts the actors of a stage, first those who have user code for it, which gets threads.
fn stop_seats(shared: &Arc<Shared>, seats: &mut [Seat], stage: u32, cause: &Cause) {
    for seat in seats.iter_mut().filter(|seat| seat.stage == stage) {
        let Some(interrupt) = seat.interrupt.take() else { continue };
        // Nobody is to be interrupted if all have returned.
        if !matches!(cause, Cause::Finished) && shared.interrupt(seat.index) {
            seat.threads.extend(start_interrupt(shared, seat, interrupt, cause));
        } else {
            drop_contained(interrupt);
        }
    }
    for seat in seats.iter_mut().filter(|seat| seat.stage == stage) {
        if let Some(close) = seat.close.take() {
            close(cause);
        }
        seat.context.cancel();
    }
}

/// Has an interrupt run, on a thread if there is one to be had.
fn start_interrupt(
    shared: &Arc<Shared>,
    seat: &Seat,
    interrupt: Interrupt,
    cause: &Cause,
) -> Option<JoinHandle<()>> {
    let index = seat.index;
    let place = Arc::new(std::sync::Mutex::new(Some(interrupt)));
    let call = {
        let (shared, place, cause) = (shared.clone(), place.clone(), cause.clone());
        move || {
            let interrupt = place.lock().ok().and_then(|mut place| place.take());
            let Some(interrupt) = interrupt else { return };
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| interrupt(&cause))) {
                shared.panicked(index, payload);
            }
            shared.interrupted(index);
        }
    };
    let thread = start_thread(&seat.name, call.clone()).ok();
    if thread.is_none() {
        call();
    }
    thread
}

/// Closes the state and makes the report.
fn close(shared: &Shared, settings: &Settings) -> Over {
    let Left { cause, inherited, errors, failures, cut_short, payload } = shared.close();
    let unfinished = shared.unfinished();
    for one in &unfinished {
        settings.log(Level::Warn, format_args!("{:?} has not stopped", one.name()));
    }
    let report = Report { cause, errors, failures, unfinished, cut_short };
    Over { report, inherited, payload }
}

/// Joins the threads of those who have stopped, if there is no limit to that; lets the others go.
fn leave(shared: &Shared, settings: &Settings, seats: Vec<Seat>) {
    if shared.is_lost() {
        // They are the parent's.
        mem::forget(seats);
        return;
    }
    let may_wait = shared.cut_short().is_none();
    for seat in seats {
        let Seat { index, stage, threads, interrupt, close, .. } = seat;
        if may_wait && settings.deadline_of(stage).is_none() && shared.is_finished(index) {
            for thread in threads {
                // It cannot have panicked: user code runs behind catch_unwind.
                let _ = thread.join();
            }
        }
        drop_contained(interrupt);
        drop_contained(close);
    }
}
