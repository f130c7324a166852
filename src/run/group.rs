//! The group, as its user sees it.
//!
//! `actor`: what it runs, and `nested`: that this is another group; `shared`: its state and
//! invariants; `teardown`: its life; `handle`, `signals`: what stops it; `cause`, `report`: how it
//! ended.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::context::Context;
use crate::log::Logger;

use actor::Actor;
use cause::StopOn;
use handle::Handle;
use report::{Report, RunError};
use settings::{Over, Settings};
use shared::Shared;

pub(in crate::run) mod actor;
pub(in crate::run) mod cause;
pub(in crate::run) mod handle;
#[cfg(all(test, docache_loom))]
mod model;
mod nested;
pub(in crate::run) mod report;
mod settings;
pub(in crate::run) mod shared;
pub(in crate::run) mod signal;
#[cfg(all(unix, feature = "signals", not(docache_loom)))]
pub(in crate::run) mod signals;
mod teardown;

/// Actors that run together and stop together.
///
/// [`run`](Group::run) starts each [`Actor`] on a thread of its own and waits. The group stops when
/// the first actor fails (or returns: [`StopOn`]), when a [`Handle`] says so, when its
/// [context](Group::context) is done, or at a signal (`run::signals`). Then the
/// actors are interrupted, stage by stage, and waited for, each stage until its deadline.
///
/// - An actor that has not begun when the group stops does not begin, and is not interrupted.
/// - What does not stop by its deadline is left behind: its thread goes on, the report names it,
///   and what it uses stays, since it owns that. Without a deadline `run` waits for ever.
/// - A panic, of an execute, a failure handler or an interrupt, stops the group, and when the
///   actors have stopped goes on in `run` with its own payload. The first one, if there are
///   several.
/// - In the child of a fork the threads of a group that runs are not there. Nobody waits for them:
///   a `run` that forked itself (in a context's hook, say) returns at once with
///   [`Cause::Forked`](super::Cause::Forked); handles do nothing. One that does not run yet can be
///   run in the child.
///
/// ```
/// use docache::run::{Actor, Group};
/// use std::time::Duration;
///
/// let mut group = Group::new().deadline(Duration::from_secs(5));
/// let handle = group.handle();
/// group.add(Actor::with_context("poll", |ctx| {
///     while !ctx.wait(Duration::from_millis(10)) { /* looks around */ }
///     Ok::<(), std::io::Error>(())
/// }));
/// group.add(Actor::new("job", move || {
///     handle.stop();
///     Ok::<(), std::io::Error>(())
/// }));
/// group.run()?;
/// # Ok::<(), docache::run::RunError>(())
/// ```
#[doc(alias = "Supervisor")]
#[doc(alias = "rungroup")]
#[must_use = "a group does nothing until `run`"]
pub struct Group {
    pub(in crate::run) shared: Arc<Shared>,
    pub(in crate::run) settings: Settings,
    pub(in crate::run) actors: Vec<Actor>,
}

impl Group {
    /// A group without actors.
    ///
    /// ```
    /// assert!(docache::run::Group::new().run().is_ok());
    /// ```
    pub fn new() -> Group {
        let settings = Settings {
            stop_on: StopOn::default(),
            name: "docache-run".into(),
            logger: None,
            clock: Arc::new(SystemClock),
            context: None,
            deadline: None,
            stages: BTreeMap::new(),
            stay: false,
        };
        Group { shared: Shared::new(), settings, actors: Vec::new() }
    }

    /// When it stops by itself. Default: [`StopOn::FirstError`].
    ///
    /// ```
    /// use docache::run::{Actor, Group, StopOn};
    /// let mut group = Group::new().stop_on(StopOn::AnyReturn);
    /// group.add(Actor::task("sleeper", std::future::pending::<Result<(), String>>()));
    /// group.add(Actor::new("first", || Ok::<(), String>(())));
    /// group.run()?;
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    pub fn stop_on(mut self, stop_on: StopOn) -> Group {
        self.settings.stop_on = stop_on;
        self
    }

    /// How long the actors of each stage may take to stop, counted from their interrupts. Default
    /// `None`: any time.
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// use std::time::Duration;
    /// let (_keep, never) = std::sync::mpsc::channel::<()>();
    /// let mut group = Group::new().deadline(Duration::from_millis(5));
    /// group.add(Actor::new("deaf", move || never.recv()));
    /// group.add(Actor::new("fails", || Err("no")));
    /// assert_eq!(group.run().unwrap_err().report().unfinished().len(), 1);
    /// ```
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Group {
        self.settings.deadline = deadline.into();
        self
    }

    /// The same for one stage.
    ///
    /// ```
    /// use docache::run::Group;
    /// use std::time::Duration;
    /// let group = Group::new().deadline(Duration::from_secs(5)).stage_deadline(1, None);
    /// ```
    pub fn stage_deadline(mut self, stage: u32, deadline: impl Into<Option<Duration>>) -> Group {
        self.settings.stages.insert(stage, deadline.into());
        self
    }

    /// A context that stops the group when it is done. Its deadline is on its own clock.
    ///
    /// ```
    /// use docache::{Context, run::{Actor, Group}};
    /// use std::time::Duration;
    /// let context = Context::new().with_timeout(Duration::from_millis(1));
    /// let mut group = Group::new().context(&context);
    /// group.add(Actor::task("sleeper", std::future::pending::<Result<(), String>>()));
    /// let report = group.run()?;
    /// let docache::run::Cause::Context(error) = report.cause() else { unreachable!() };
    /// assert!(error.is_timeout());
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    pub fn context(mut self, context: &Context) -> Group {
        self.settings.context = Some(context.clone());
        self
    }

    /// The clock of deadlines and of the actors' contexts. Default: [`SystemClock`].
    ///
    /// ```
    /// use docache::{ManualClock, run::Group};
    /// let group = Group::new().clock(ManualClock::new());
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Group {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Hears of what happens: the cause of the stop, failures, who has not stopped.
    ///
    /// ```
    /// use docache::{Level, Logger, run::Group};
    /// let logger = Logger::new(Level::Info, |record| eprintln!("{}", record.message()));
    /// let group = Group::new().name("service").logger(logger);
    /// group.run()?; // "stops: all actors have returned"
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    pub fn logger(mut self, logger: Logger) -> Group {
        self.settings.logger = Some(logger);
        self
    }

    /// What the logger's records are from. Default: `docache-run`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Group {
        self.settings.name = name.into();
        self
    }

    /// Adds an actor.
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// let mut group = Group::new();
    /// group
    ///     .add(Actor::new("one", || Ok::<(), String>(())))
    ///     .add(Actor::new("two", || Ok::<(), String>(())));
    /// group.run()?;
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    #[doc(alias = "spawn")]
    pub fn add(&mut self, actor: Actor) -> &mut Group {
        self.actors.push(actor);
        self
    }

    /// What stops it from outside.
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// let mut group = Group::new();
    /// group.add(Actor::task("sleeper", std::future::pending::<Result<(), String>>()));
    /// let handle = group.handle();
    /// let other = std::thread::spawn(move || handle.stop());
    /// group.run()?;
    /// assert!(other.join().unwrap());
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: self.shared.clone() }
    }

    /// Runs the actors and blocks until they have stopped, or been given up. If the group was told
    /// to stop before, none is started.
    ///
    /// It takes the group, so that it cannot be run twice. How it ended without a failure, the
    /// [`Report`] says; whoever failed while the others were being stopped is in there, too.
    ///
    /// # Errors
    /// If an actor failed, or could not be started, and that was why the group stopped; or if
    /// actors have not stopped.
    ///
    /// # Panics
    /// With the payload of the first actor that panicked.
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// let mut group = Group::new();
    /// group.add(Actor::new("buggy", || -> Result<(), String> { panic!("a bug") }));
    /// let payload = std::thread::spawn(|| group.run()).join().unwrap_err();
    /// assert_eq!(payload.downcast_ref(), Some(&"a bug"));
    /// ```
    #[doc(alias = "Run")]
    #[doc(alias = "serve")]
    pub fn run(self) -> Result<Report, RunError> {
        let Over { report, payload, .. } = self.run_until_over();
        match payload {
            Some(payload) => resume_unwind(payload),
            None => report.into_result(),
        }
    }

    /// The same without going on with a panic.
    #[cfg(feature = "capi")]
    pub(crate) fn run_to_end(self) -> (Result<Report, RunError>, Option<shared::Payload>) {
        let Over { report, payload, .. } = self.run_until_over();
        (report.into_result(), payload)
    }

    pub(in crate::run) fn run_until_over(self) -> Over {
        let Group { shared, settings, actors } = self;
        teardown::run(&shared, &Arc::new(settings), actors)
    }
}

impl Default for Group {
    fn default() -> Group {
        Group::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.settings.name)
            .field("stop_on", &self.settings.stop_on)
            .field("actors", &self.actors)
            .finish_non_exhaustive()
    }
}
