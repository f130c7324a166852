//! Actors that are repeated.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::group::Group;
use super::group::actor::{Actor, Body, Life, failure};
use super::group::cause::{ActorError, Cause};
use super::group::handle::Handle;
use super::group::report::{Report, RunError};
use super::group::shared::Ended;
use super::pace::{Pace, Pacer};
use crate::clock::Clock;
use crate::contain::{contained, drop_contained};
use crate::context::Context;
use crate::error::{BoxError, Error};
use crate::log::{Level, Logger};

type Execute = Box<dyn FnMut(&Context) -> Result<(), Error> + Send>;
type Handler = Box<dyn FnMut(&ActorError) + Send>;

/// Something that a [`Loop`] does again and again.
///
/// When *execute* has returned it is called again, at once unless a pause, a backoff or a limit of
/// failures says otherwise. If it fails or panics, the *failure handler* is told, and it goes on
/// with the same closure: one that panics half-way must be fit to be called again.
///
/// ```
/// use docache::run::{Backoff, LoopActor};
/// use std::time::Duration;
/// let actor = LoopActor::new("poll", || std::fs::read("/proc/stat").map(drop))
///     .pause(Duration::from_secs(1))
///     .backoff(Backoff::exponential(Duration::from_secs(1)).capped(Duration::from_secs(60)))
///     .on_failure(|error| eprintln!("{error}"));
/// ```
#[must_use = "an actor does nothing unless it is added to a loop"]
pub struct LoopActor {
    actor: Actor,
    execute: Execute,
    handler: Option<Handler>,
    pace: Pace,
}

impl LoopActor {
    fn with(name: Arc<str>, execute: Execute) -> LoopActor {
        // What it runs is put in when it is added.
        let actor = Actor::with_body(name, Box::new(|_| Ended::Returned));
        LoopActor { actor, execute, handler: None, pace: Pace::default() }
    }

    /// An actor that repeats `execute`, on a thread named after it.
    ///
    /// ```
    /// use docache::run::{Loop, LoopActor};
    /// let mut work = Loop::new();
    /// let (handle, mut left) = (work.handle(), 3);
    /// work.add(LoopActor::new("countdown", move || {
    ///     left -= 1;
    ///     if left == 0 {
    ///         handle.stop();
    ///     }
    ///     Ok::<(), String>(())
    /// }));
    /// work.run()?;
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    pub fn new<E: Into<BoxError>>(
        name: impl Into<Arc<str>>,
        mut execute: impl FnMut() -> Result<(), E> + Send + 'static,
    ) -> LoopActor {
        LoopActor::with(name.into(), Box::new(move |_| execute().map_err(failure)))
    }

    /// An actor whose `execute` watches a [`Context`], on the loop's clock, that is cancelled when
    /// the actor is to be interrupted.
    ///
    /// ```
    /// use docache::run::{Loop, LoopActor};
    /// use std::time::Duration;
    /// let mut work = Loop::new();
    /// let handle = work.handle();
    /// work.add(LoopActor::with_context("long", move |ctx| {
    ///     handle.stop();
    ///     ctx.wait(Duration::from_secs(3600)); // ends now
    ///     Ok::<(), String>(())
    /// }));
    /// work.run()?;
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    pub fn with_context<E: Into<BoxError>>(
        name: impl Into<Arc<str>>,
        mut execute: impl FnMut(&Context) -> Result<(), E> + Send + 'static,
    ) -> LoopActor {
        LoopActor::with(name.into(), Box::new(move |ctx| execute(ctx).map_err(failure)))
    }

    /// What makes a call of `execute` that is under way return, when the loop stops: as
    /// [`Actor::interrupt`]. It may also come between two calls, or when one is just beginning;
    /// after it no other begins.
    ///
    /// ```
    /// use docache::run::{Loop, LoopActor};
    /// let (tell, told) = std::sync::mpsc::channel::<()>();
    /// let mut work = Loop::new();
    /// let handle = work.handle();
    /// let actor = LoopActor::new("receives", move || {
    ///     handle.stop();
    ///     told.recv()
    /// });
    /// work.add(actor.interrupt(move |_cause| drop(tell))); // ends the `recv`
    /// work.run()?;
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    pub fn interrupt(mut self, interrupt: impl FnOnce(&Cause) + Send + 'static) -> LoopActor {
        self.actor = self.actor.interrupt(interrupt);
        self
    }

    /// Is told of each error and each panic of `execute`, on the actor's thread. Its own panics are
    /// contained; the logger hears of them.
    ///
    /// ```
    /// use docache::run::{Loop, LoopActor};
    /// let mut work = Loop::new();
    /// let handle = work.handle();
    /// let actor = LoopActor::new("buggy", || -> Result<(), String> { panic!("a bug") });
    /// work.add(actor.on_failure(move |error| {
    ///     assert_eq!(error.to_string(), "buggy: panicked: a bug");
    ///     handle.stop();
    /// }));
    /// assert_eq!(work.run()?.failures(), 1);
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    #[doc(alias = "FailureHandler")]
    pub fn on_failure(mut self, handler: impl FnMut(&ActorError) + Send + 'static) -> LoopActor {
        self.handler = Some(Box::new(handler));
        self
    }

    /// How long to wait between the end of a call and the next one, at least. Default: not at all.
    ///
    /// ```
    /// use docache::run::LoopActor;
    /// use std::time::Duration;
    /// let actor = LoopActor::new("poll", || Ok::<(), String>(())).pause(Duration::from_secs(1));
    /// ```
    pub fn pause(mut self, pause: Duration) -> LoopActor {
        self.pace.pause = pause;
        self
    }

    /// How long to wait after a failure, by the number of failures since the last success. A longer
    /// [`pause`](LoopActor::pause) wins. Default: not at all.
    ///
    /// ```
    /// use docache::run::{Backoff, LoopActor};
    /// use std::time::Duration;
    /// let backoff = Backoff::exponential(Duration::from_millis(100));
    /// let actor = LoopActor::new("flaky", || Err("no"))
    ///     .backoff(backoff.capped(Duration::from_secs(30)));
    /// ```
    #[doc(alias = "FailureBackoff")]
    pub fn backoff(mut self, backoff: Backoff) -> LoopActor {
        self.pace.backoff = backoff;
        self
    }

    /// At most `failures` (at least 1) in any span of this length: after as many, the next call
    /// waits until the first of them is so long ago. Default: no limit.
    ///
    /// ```
    /// use docache::run::LoopActor;
    /// use std::time::Duration;
    /// let actor = LoopActor::new("flaky", || Err("no"))
    ///     .failure_limit(5, Duration::from_secs(60)); // then about one every 12 s at most
    /// ```
    #[doc(alias = "FailureThreshold")]
    #[doc(alias = "FailureDecay")]
    pub fn failure_limit(mut self, failures: usize, span: Duration) -> LoopActor {
        self.pace.limit = Some((failures.max(1), span));
        self
    }

    /// The stage in which it is interrupted: as [`Actor::stage`].
    pub fn stage(mut self, stage: u32) -> LoopActor {
        self.actor = self.actor.stage(stage);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.actor.name()
    }

    /// The actor that repeats it.
    fn into_actor(self) -> Actor {
        let LoopActor { actor, execute, handler, pace } = self;
        let body: Body = Box::new(move |life| {
            repeat(life, execute, handler, &pace);
            Ended::Returned
        });
        Actor { body, ..actor }
    }
}

impl fmt::Debug for LoopActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopActor")
            .field("name", &self.name())
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

/// Repeats it until it is interrupted.
fn repeat(life: &Life, mut execute: Execute, mut handler: Option<Handler>, pace: &Pace) {
    let mut pacer = Pacer::default();
    let context = &life.context;
    // The stop comes before the context is cancelled, and the interrupt, too: what it has made
    // return is not to be called again.
    let may_repeat = || !context.is_done() && life.shared.may_repeat(life.index);
    while may_repeat() {
        let wait = match contained(|| execute(context)).and_then(|result| result) {
            Ok(()) => pacer.succeeded(pace),
            Err(error) => {
                tell(life, error, handler.as_mut());
                pacer.failed(pace, context.clock().now())
            }
        };
        if !wait.is_zero() && may_repeat() {
            context.wait(wait);
        }
    }
    drop_contained(execute);
    drop_contained(handler);
}

/// Notes a failure and tells of it.
fn tell(life: &Life, error: Error, handler: Option<&mut Handler>) {
    let Some(name) = life.shared.name(life.index) else { return };
    let level = if error.is_panicked() { Level::Error } else { Level::Warn };
    let error = ActorError::new(name, error);
    life.shared.failed(life.index, &error);
    life.settings.log(level, format_args!("{error}"));
    let Some(handler) = handler else { return };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| handler(&error))) {
        let bad = Error::panicked(&*payload);
        drop_contained(payload);
        life.settings.log(Level::Error, format_args!("{}: failure handler: {bad}", error.name()));
    }
}

/// Actors that are repeated, each on a thread of its own, until the loop is stopped.
///
/// It stops when a [`Handle`] says so or its [context](Loop::context) is done. Then the actors are
/// interrupted and waited for as those of a [`Group`]; a wait between two calls ends at once. No
/// call begins after the stop, but for actors of later stages, which go on until it is their turn.
/// In a forked child it is as with a group.
///
/// ```
/// use docache::run::{Loop, LoopActor};
/// let mut work = Loop::new();
/// let handle = work.handle();
/// let mut calls = 0;
/// work.add(LoopActor::new("counts", move || {
///     calls += 1;
///     if calls == 3 {
///         handle.stop();
///     }
///     Err("a failure does not end it")
/// }));
/// let report = work.run()?;
/// assert_eq!(report.failures(), 3);
/// # Ok::<(), docache::run::RunError>(())
/// ```
#[doc(alias = "Supervisor")]
#[must_use = "a loop does nothing until `run`"]
pub struct Loop {
    group: Group,
}

impl Loop {
    /// A loop without actors; running, it waits to be stopped.
    pub fn new() -> Loop {
        let mut group = Group::new();
        group.settings.stay = true;
        Loop { group: group.name("docache-loop") }
    }

    /// As [`Group::deadline`].
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Loop {
        self.group = self.group.deadline(deadline);
        self
    }

    /// As [`Group::stage_deadline`].
    pub fn stage_deadline(mut self, stage: u32, deadline: impl Into<Option<Duration>>) -> Loop {
        self.group = self.group.stage_deadline(stage, deadline);
        self
    }

    /// A context that stops the loop when it is done.
    ///
    /// ```
    /// use docache::{Context, run::{Loop, LoopActor}};
    /// use std::time::Duration;
    /// let context = Context::new().with_timeout(Duration::from_millis(10));
    /// let mut work = Loop::new().context(&context);
    /// let actor = LoopActor::new("hourly", || Ok::<(), String>(()));
    /// work.add(actor.pause(Duration::from_secs(3600)));
    /// work.run()?;
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    pub fn context(mut self, context: &Context) -> Loop {
        self.group = self.group.context(context);
        self
    }

    /// The clock of pauses, backoffs, deadlines and the actors' contexts. Default:
    /// [`SystemClock`](crate::SystemClock).
    pub fn clock(mut self, clock: impl Clock) -> Loop {
        self.group = self.group.clock(clock);
        self
    }

    /// Hears of failures, of panics of failure handlers, and of who has not stopped.
    pub fn logger(mut self, logger: Logger) -> Loop {
        self.group = self.group.logger(logger);
        self
    }

    /// What the logger's records are from. Default: `docache-loop`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Loop {
        self.group = self.group.name(name);
        self
    }

    /// Adds an actor.
    ///
    /// ```
    /// use docache::run::{Loop, LoopActor};
    /// let mut work = Loop::new();
    /// work.add(LoopActor::new("one", || Ok::<(), String>(())))
    ///     .add(LoopActor::new("two", || Ok::<(), String>(())));
    /// work.handle().stop();
    /// work.run()?;
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    pub fn add(&mut self, actor: LoopActor) -> &mut Loop {
        self.group.add(actor.into_actor());
        self
    }

    /// What stops it from outside.
    ///
    /// ```
    /// let work = docache::run::Loop::new();
    /// let handle = work.handle();
    /// let other = std::thread::spawn(move || handle.stop());
    /// work.run()?;
    /// assert!(other.join().unwrap());
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.group.handle()
    }

    /// Repeats the actors, and blocks until it was stopped and they have stopped, or been given up.
    /// If it was told to stop before, none is started.
    ///
    /// The [`Report`] has the number of failures and the last one of each actor.
    ///
    /// # Errors
    /// If the system gave no thread for an actor, or if actors have not stopped.
    ///
    /// # Panics
    /// With the payload of an interrupt that panicked.
    pub fn run(self) -> Result<Report, RunError> {
        self.group.run()
    }

    /// It as the group that it is.
    #[cfg(feature = "capi")]
    pub(crate) fn into_group(self) -> Group {
        self.group
    }

    /// An actor that runs this loop in a group. As an actor of the group it stops only when it is
    /// interrupted.
    ///
    /// ```
    /// use docache::run::{Actor, Group, Loop, LoopActor};
    /// use std::time::Duration;
    /// let mut polls = Loop::new();
    /// polls.add(LoopActor::new("stat", || Ok::<(), String>(())).pause(Duration::from_secs(1)));
    /// let mut group = Group::new();
    /// group.add(polls.into_actor("polls"));
    /// group.add(Actor::new("fails", || Err("so it ends")));
    /// assert!(group.run().is_err());
    /// ```
    pub fn into_actor(self, name: impl Into<Arc<str>>) -> Actor {
        Actor::group(name, self.group)
    }
}

impl Default for Loop {
    fn default() -> Loop {
        Loop::new()
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loop").field("group", &self.group).finish()
    }
}
