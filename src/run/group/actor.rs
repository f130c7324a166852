//! What a group runs.

use std::fmt;
use std::sync::Arc;

use super::cause::{ActorError, Cause};
use super::settings::Settings;
use super::shared::{Ended, Place, Shared};
use crate::context::{Context, until};
use crate::error::{BoxError, Error};
use crate::wait::block_on;

/// What the execute of an actor is given.
pub(in crate::run) struct Life {
    pub(in crate::run) shared: Arc<Shared>,
    pub(in crate::run) index: usize,
    /// Done when the actor is interrupted.
    pub(in crate::run) context: Context,
    pub(in crate::run) settings: Arc<Settings>,
}

pub(in crate::run) type Body = Box<dyn FnOnce(&Life) -> Ended + Send>;
pub(in crate::run) type Interrupt = Box<dyn FnOnce(&Cause) + Send>;
pub(in crate::run) type FailureHandler = Box<dyn FnMut(&ActorError) + Send>;

/// What a failed execution is noted as.
pub(in crate::run) fn failure(error: impl Into<BoxError>) -> Error {
    Error::reported(error.into())
}

fn ended<E: Into<BoxError>>(result: Result<(), E>) -> Ended {
    match result {
        Ok(()) => Ended::Returned,
        Err(error) => Ended::Failed(None, failure(error)),
    }
}

/// One of the things that a [`Group`](crate::run::Group) runs: a closure on a thread of its own, a
/// future driven by such a thread, or another group.
///
/// - *execute* does the work. It ends by itself, or after it has been interrupted.
/// - *interrupt* makes execute return. Give one with [`interrupt`](Actor::interrupt), or take a
///   [`Context`] to watch ([`with_context`](Actor::with_context)); an actor with neither is only
///   waited for.
/// - the *failure handler* hears of the error or the panic that execute ended with.
///
/// All run on threads of the library with the signals blocked as the crate's documentation says.
/// What they do outlives [`run`](crate::run::Group::run) if they do not stop in time, so they own
/// what they use (`'static`).
///
/// ```
/// use docache::run::{Actor, Group};
/// use std::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let mut group = Group::new();
/// group.add(
///     Actor::new("listener", move || listener.accept().map(drop))
///         // Connects, so that `accept` returns.
///         .interrupt(move |_cause| drop(TcpStream::connect(address))),
/// );
/// group.add(Actor::new("work", || Err("out of paper")).on_failure(|error| eprintln!("{error}")));
/// assert_eq!(group.run().unwrap_err().actor(), Some("work"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "an actor does nothing unless it is added to a group"]
pub struct Actor {
    pub(in crate::run) name: Arc<str>,
    pub(in crate::run) stage: u32,
    pub(in crate::run) body: Body,
    pub(in crate::run) interrupt: Option<Interrupt>,
    /// Of our own: short, and called where the group stops.
    pub(in crate::run) close: Option<Interrupt>,
    pub(in crate::run) failure_handler: Option<FailureHandler>,
    pub(in crate::run) inner: Option<Arc<Shared>>,
    /// Whether it only watches over the others: it keeps no group from finishing, and is not named.
    pub(in crate::run) watches: bool,
}

impl Actor {
    pub(in crate::run) fn with_body(name: impl Into<Arc<str>>, body: Body) -> Actor {
        Actor {
            name: name.into(),
            stage: 0,
            body,
            interrupt: None,
            close: None,
            failure_handler: None,
            inner: None,
            watches: false,
        }
    }

    /// What its group keeps of it.
    pub(in crate::run) fn place(&self) -> Place {
        Place::new((self.name.clone(), self.stage), self.inner.clone(), self.watches)
    }

    /// An actor that runs `execute` on a thread named after it.
    ///
    /// A panic of `execute` interrupts the other actors, and [`run`](crate::run::Group::run) goes
    /// on with it when they have stopped.
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// let mut group = Group::new();
    /// group.add(Actor::new("once", || std::fs::read_to_string("/proc/version").map(drop)));
    /// group.run()?;
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    #[doc(alias = "Add")]
    pub fn new<E: Into<BoxError>>(
        name: impl Into<Arc<str>>,
        execute: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> Actor {
        Actor::with_body(name, Box::new(|_| ended(execute())))
    }

    /// An actor whose `execute` watches a [`Context`], on the group's clock, that is cancelled when
    /// the actor is to be interrupted.
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// use std::time::Duration;
    /// let mut group = Group::new();
    /// let handle = group.handle();
    /// group.add(Actor::with_context("ticks", move |ctx| {
    ///     while !ctx.wait(Duration::from_millis(1)) {
    ///         handle.stop();
    ///     }
    ///     Ok::<(), String>(())
    /// }));
    /// group.run()?;
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    pub fn with_context<E: Into<BoxError>>(
        name: impl Into<Arc<str>>,
        execute: impl FnOnce(&Context) -> Result<(), E> + Send + 'static,
    ) -> Actor {
        Actor::with_body(name, Box::new(|life| ended(execute(&life.context))))
    }

    /// An actor that drives a future, on a thread of its own and without a runtime. To interrupt it
    /// is to drop the future, at the place where it waits; then it counts as having returned
    /// without an error.
    ///
    /// A future that needs the runtime of an executor (tokio's sockets and timers) is spawned
    /// there; its join handle can be awaited here.
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// let mut group = Group::new();
    /// group.add(Actor::task("waits for ever", std::future::pending::<Result<(), String>>()));
    /// group.add(Actor::task("fails", async { Err("no luck") }));
    /// assert_eq!(group.run().unwrap_err().actor(), Some("fails"));
    /// ```
    pub fn task<E: Into<BoxError>>(
        name: impl Into<Arc<str>>,
        future: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Actor {
        let body = |life: &Life| {
            let driven =
                block_on(until(future, &life.context), life.context.clock(), None).flatten();
            driven.map_or(Ended::Returned, ended)
        };
        Actor::with_body(name, Box::new(body))
    }

    /// An actor that drives the future which `execute` makes. It is not dropped when the actor is
    /// interrupted: it watches its [`Context`].
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// let mut group = Group::new();
    /// group.add(Actor::task_with_context("tidy", |ctx| async move {
    ///     ctx.cancelled().await;
    ///     Ok::<(), String>(()) // after tidying up
    /// }));
    /// group.add(Actor::task("fails", async { Err("no luck") }));
    /// assert_eq!(group.run().unwrap_err().actor(), Some("fails"));
    /// ```
    pub fn task_with_context<E: Into<BoxError>, F: Future<Output = Result<(), E>>>(
        name: impl Into<Arc<str>>,
        execute: impl FnOnce(Context) -> F + Send + 'static,
    ) -> Actor {
        let body = |life: &Life| {
            let future = execute(life.context.clone());
            block_on(future, life.context.clock(), None).map_or(Ended::Returned, ended)
        };
        Actor::with_body(name, Box::new(body))
    }

    /// What makes `execute` return. It is called at most once, when the group stops, with the
    /// cause, if the execute has begun; perhaps just before its first statement, perhaps after it
    /// has returned. It should make execute return soon, and need not wait for that.
    ///
    /// The interrupts of a [stage](Actor::stage) run at the same time, each on a short-lived thread
    /// (on that of [`run`](crate::run::Group::run), one after the other, if the system gives none).
    /// The stage is over when they have returned, too. A panic does not keep the others from being
    /// called; `run` goes on with it after the teardown.
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// use std::sync::mpsc;
    /// let (tell, told) = mpsc::channel();
    /// let mut group = Group::new();
    /// let waits = move || told.recv().map(|cause: String| println!("ends: {cause}"));
    /// group.add(
    ///     Actor::new("waits", waits).interrupt(move |cause| drop(tell.send(cause.to_string()))),
    /// );
    /// group.handle().stop();
    /// group.run()?;
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    #[doc(alias = "Interrupt")]
    pub fn interrupt(mut self, interrupt: impl FnOnce(&Cause) + Send + 'static) -> Actor {
        self.interrupt = Some(Box::new(interrupt));
        self
    }

    /// Is told what `execute` failed with, an error or a panic, on the actor's thread, after the
    /// group has begun to stop. The actor has stopped when it has returned. If it panics,
    /// [`run`](crate::run::Group::run) goes on with that after the teardown.
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let mut group = Group::new();
    /// let actor = Actor::new("pump", || Err("dry"));
    /// group.add(actor.on_failure(move |error| tell.send(error.to_string()).unwrap()));
    /// assert!(group.run().is_err());
    /// assert_eq!(told.recv().unwrap(), "pump: dry");
    /// ```
    #[doc(alias = "FailureHandler")]
    #[doc(alias = "failure_handler")]
    pub fn on_failure(mut self, handler: impl FnMut(&ActorError) + Send + 'static) -> Actor {
        self.failure_handler = Some(Box::new(handler));
        self
    }

    /// The stage in which it is interrupted, 0 if nothing is said. Stages go in the order of their
    /// numbers: when all actors of one have stopped, or its deadline has passed, those of the next
    /// are interrupted. All start at the same time.
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// let wait = |ctx: &docache::Context| {
    ///     ctx.wait(None);
    ///     Ok::<(), String>(())
    /// };
    /// let mut group = Group::new();
    /// group.add(Actor::with_context("database", wait).stage(1));
    /// group.add(Actor::with_context("server", wait)); // stops first
    /// group.handle().stop();
    /// group.run()?;
    /// # Ok::<(), docache::run::RunError>(())
    /// ```
    pub fn stage(mut self, stage: u32) -> Actor {
        self.stage = stage;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actor")
            .field("name", &self.name)
            .field("stage", &self.stage)
            .field("interrupt", &self.interrupt.is_some())
            .finish_non_exhaustive()
    }
}
