//! Groups, loops, retries and signals.

mod groups;
mod jumping;
mod loops;
mod nested;
mod panics;
mod retries;
mod scheduler;
mod schedules;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../common/seccomp.rs"]
mod seccomp;
#[cfg(all(unix, feature = "signals"))]
mod signals;
mod stages;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod threadless;

use docache::Context;
use docache::run::{Group, Report, RunError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};

/// What tells a test of one step, and what a step waits for.
pub(crate) fn gate() -> (Sender<()>, Receiver<()>) {
    channel()
}

/// Waits to be interrupted.
pub(crate) fn wait(context: &Context) -> Result<(), String> {
    context.wait(None);
    Ok(())
}

/// The payload of the panic that a run ends with.
#[track_caller]
pub(crate) fn panic_of(group: Group) -> String {
    let ended: Result<Result<Report, RunError>, _> =
        catch_unwind(AssertUnwindSafe(move || group.run()));
    let payload = ended.expect_err("a panic");
    (*payload.downcast::<&str>().expect("a text")).to_owned()
}

/// The names of those who have not stopped.
pub(crate) fn left(report: &Report) -> Vec<&str> {
    report.unfinished().iter().map(|one| one.name()).collect()
}
