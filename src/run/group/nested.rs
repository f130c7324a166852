//! A group as an actor of another one.

use std::sync::Arc;

use super::Group;
use super::actor::{Actor, Interrupt, Life};
use super::cause::Cause;
use super::settings::Over;
use super::shared::Ended;
use crate::error::Error;

impl Actor {
    /// An actor that runs another group, with stages and deadlines of its own. It is interrupted
    /// with the cause of the outer group; its actors appear in reports as `outer/inner`; its
    /// failures, panics and signals are the outer group's too.
    ///
    /// ```
    /// use docache::run::{Actor, Group};
    /// let mut storage = Group::new();
    /// storage.add(Actor::new("disk", || Err("full")));
    /// let mut service = Group::new();
    /// service.add(Actor::group("storage", storage));
    /// assert_eq!(service.run().unwrap_err().actor(), Some("storage/disk"));
    /// ```
    #[doc(alias = "Supervisor")]
    pub fn group(name: impl Into<Arc<str>>, group: Group) -> Actor {
        let inner = group.handle().shared;
        let stops = inner.clone();
        let close: Interrupt = Box::new(move |cause| stops.stop_from_outside(cause.clone()));
        let body = |_: &Life| nested(group.run_until_over());
        Actor { close: Some(close), inner: Some(inner), ..Actor::with_body(name, Box::new(body)) }
    }
}

/// What the end of a group is to the one that it is in.
fn nested(over: Over) -> Ended {
    let Over { report, inherited, payload } = over;
    match (report.cause(), payload) {
        (Cause::Panicked(error), Some(payload)) if !inherited => {
            Ended::Panicked(Some(error.path().clone()), error.error().clone(), payload)
        }
        (_, Some(payload)) => Ended::panicked(payload),
        // Who has not stopped is asked of it, not told by it.
        _ if inherited => Ended::Returned,
        (Cause::Failed(error), None) => {
            Ended::Failed(Some(error.path().clone()), error.error().clone())
        }
        (Cause::Signal(signal), None) => Ended::Stop(Cause::Signal(*signal)),
        _ if report.unfinished().is_empty() => Ended::Returned,
        _ => Ended::Failed(None, Error::timeout("some of its actors have not stopped")),
    }
}
