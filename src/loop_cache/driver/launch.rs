//! How a run starts: by itself, driven by its host, or on the thread that calls.

use std::sync::Arc;

use super::runner::{Begun, Run, drive};
use super::scheduled::ScheduledRun;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::loop_cache::shared::Shared;
use crate::sync::spawn::spawn;
use crate::sync::thread;

fn busy() -> Error {
    Error::new(ErrorKind::Busy, "the loop cache is running already")
}

/// Has a run go on by itself: on the executor, or on a thread of its own.
fn launch<T: Send + Sync + 'static>(shared: &Arc<Shared<T>>, run: Run<T>) -> Result<()> {
    match &shared.settings.executor {
        // If it is refused it is dropped, and the run ends with it.
        Some(executor) => executor.adopt(Box::new(ScheduledRun::new(run))),
        None => shared.spawn(run),
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// Starts a run that goes on by itself. Whether this call did it.
    pub(in crate::loop_cache) fn start(self: &Arc<Shared<T>>) -> Result<bool> {
        match self.begin(true, launch)? {
            Begun::Exists { restart } => Ok(restart),
            Begun::Run(run) => launch(self, run).map(|()| true),
        }
    }

    fn spawn(self: &Arc<Shared<T>>, run: Run<T>) -> Result<()> {
        let number = run.number;
        // If there is no thread to be had, the closure is dropped and the run ends with it.
        let thread = spawn(&self.settings.name, move || {
            thread::set_ours();
            let mut run = run;
            drive(&mut run);
        })
        .map_err(|error| Error::internal("cannot start a thread", error))?;
        let mut control = self.lock();
        // A thread that is done already, or that a later run has replaced, needs nobody to join it.
        let spare =
            if control.run == number { control.thread.replace((number, thread)) } else { None };
        drop(control);
        drop(spare);
        Ok(())
    }

    /// Begins a run that the caller drives.
    #[cfg(feature = "capi")]
    pub(super) fn begin_driven(self: &Arc<Shared<T>>) -> Result<Run<T>> {
        let Begun::Run(run) = self.begin(false, launch)? else { return Err(busy()) };
        let mut control = self.lock();
        control.driven = true;
        // In the child of a fork the host has the run, and the Doer with it.
        control.lent = None;
        drop(control);
        Ok(run)
    }

    /// Runs on the calling thread.
    pub(in crate::loop_cache) fn run(self: &Arc<Shared<T>>, context: &Context) -> Result<()> {
        if let Some(error) = context.error() {
            return Err(error);
        }
        let Begun::Run(mut run) = self.begin(false, launch)? else {
            return Err(busy());
        };
        let (number, weak) = (run.number, Arc::downgrade(self));
        let hook = context.on_cancel(move || {
            if let Some(shared) = weak.upgrade() {
                shared.stop_run(number);
            }
        });
        drive(&mut run);
        let by_context = self.lock().by_context;
        drop(run);
        hook.remove();
        let cause = if by_context {
            context.error().or_else(|| self.settings.context.error())
        } else {
            None
        };
        cause.map_or(Ok(()), Err)
    }
}
