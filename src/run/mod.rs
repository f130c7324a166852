//! Running things: groups of actors that stop together, loops, retries, signals, and a scheduler.
//!
//! | what you have | take |
//! |---|---|
//! | parts of a program that live and end together: servers, workers, a listener for signals | [`Group`] |
//! | work that is done again and again until it is stopped, whatever it fails with | [`Loop`] |
//! | a call that may succeed if it is made again | [`retry`], [`Retry`] |
//! | many loops, or calls that are to come later, on a few threads | [`Scheduler`] |
//! | Ctrl-C and SIGTERM as a reason to stop | `signals` (feature `signals`, on Unix) |
//!
//! # The end of a group
//!
//! The first thing that stops a group is its [`Cause`]: an actor that failed or panicked (or
//! returned, under [`StopOn::AnyReturn`]), a [`Handle`], a context, a signal. Every interrupt is
//! told it.
//!
//! | what happens | what [`run`](Group::run) does |
//! |---|---|
//! | all actors return without an error | `Ok`, [`Cause::Finished`]; nobody is interrupted |
//! | an actor fails | stops the others, then `Err` |
//! | an actor, a failure handler or an interrupt panics | stops the others, then goes on with the panic |
//! | [`Handle::stop`], the context, a signal | stops all, then `Ok` |
//! | an actor fails or returns while the group stops | the report has its error |
//! | an actor has not stopped by the deadline of its stage | `Err`; the report names it; its thread goes on |
//! | a second signal, or [`Handle::stop_waiting`] | interrupts who has not been, returns at once, and says so |

mod backoff;
mod group;
mod pace;
mod repeat;
mod retry;
mod scheduler;

pub use backoff::Backoff;
pub use group::Group;
pub use group::actor::Actor;
pub use group::cause::{ActorError, Cause, StopOn};
pub use group::handle::Handle;
pub use group::report::{Report, RunError, Unfinished};
pub use group::signal::{DEFAULT_SIGNALS, Signal};
#[cfg(all(unix, feature = "signals", not(docache_loom)))]
#[cfg_attr(docsrs, doc(cfg(all(unix, feature = "signals"))))]
pub use group::signals::signals;
pub use repeat::{Loop, LoopActor};
pub use retry::{GaveUp, Retrier, Retry, RetryError, retry, retry_async};
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use scheduler::THREAD;
pub use scheduler::{Scheduled, Scheduler, SchedulerBuilder, SchedulerStats};
