//! What tests share: a test beside this folder says `mod common;`, one in a folder of its own names
//! this file by `#[path]`, and another package names by `#[path]` the one file that it uses
//! (`benches/peers` the allocator and the store without locks, both of this folder, `fuzz` the
//! model of `tests/cache_model`).
//!
//! Here are loop caches to test with, on a clock that stands still between the steps.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use docache::run::Scheduler;
use docache::{LoopCache, LoopCacheBuilder, ManualClock};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

pub(crate) mod allocations;
#[cfg(target_os = "linux")]
pub(crate) mod bench;
pub(crate) mod cache;
pub(crate) mod flight;
#[cfg(target_os = "linux")]
pub(crate) mod seccomp;
#[cfg(target_os = "linux")]
pub(crate) mod threads;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Counts 1, 2, 3 … at one second.
pub(crate) fn counter(clock: &ManualClock) -> LoopCacheBuilder<u64> {
    let mut calls = 0;
    let doer = move || {
        calls += 1;
        Ok::<_, std::io::Error>(calls)
    };
    let builder = LoopCache::builder(doer).interval(SECOND).clock(clock.clone());
    if is_scheduled() { on_scheduler_of(clock, builder) } else { builder }
}

/// Whether this is a program that has the caches of the other tests on schedulers:
/// `loop_scheduled`, `echo_scheduled`.
pub(crate) fn is_scheduled() -> bool {
    std::env::args().next().is_some_and(|program| program.contains("_scheduled"))
}

/// A scheduler that goes by this clock.
pub(crate) fn scheduler_of(clock: &ManualClock) -> Scheduler {
    Scheduler::builder().clock(clock.clone()).build().unwrap()
}

/// Puts a loop cache on a scheduler that goes by the same clock.
fn on_scheduler_of<T: Send + Sync + 'static>(
    clock: &ManualClock,
    builder: LoopCacheBuilder<T>,
) -> LoopCacheBuilder<T> {
    builder.scheduler(&scheduler_of(clock))
}

/// Puts a loop cache on a scheduler that goes by another clock, and is everybody's.
fn on_scheduler<T: Send + Sync + 'static>(builder: LoopCacheBuilder<T>) -> LoopCacheBuilder<T> {
    static SHARED: OnceLock<Scheduler> = OnceLock::new();
    builder.scheduler(SHARED.get_or_init(|| Scheduler::builder().build().unwrap()))
}

/// A Doer that says when it is in its call and stays there until it is let go.
pub(crate) struct Gated {
    pub(crate) entered: Receiver<()>,
    pub(crate) leave: Sender<()>,
    pub(crate) cache: LoopCache<u64>,
}

pub(crate) fn gated(
    clock: &ManualClock,
    set: impl FnOnce(LoopCacheBuilder<u64>) -> LoopCacheBuilder<u64>,
) -> Gated {
    let (enter, entered) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let mut calls = 0;
    let doer = move || {
        enter.send(()).map_err(|_| "nobody is there")?;
        left.recv().map_err(|_| "nobody is there")?;
        calls += 1;
        Ok::<_, &str>(calls)
    };
    let builder = LoopCache::builder(doer).interval(SECOND).clock(clock.clone());
    let builder = if is_scheduled() { on_scheduler(builder) } else { builder };
    let cache = set(builder).build().unwrap();
    Gated { entered, leave, cache }
}
