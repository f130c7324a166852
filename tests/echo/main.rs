//! Echo caches over stores in memory.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../src/echo/store/methods.rs"]
mod methods;

mod breaking;
mod conform;
mod differential;
mod faults;
mod flights;
mod lazy;
mod locks;
mod statuses;
mod stores;
mod tiers;

use common::flight::{Task, until};

/// Waits until the task has been woken.
fn woken<T>(task: &Task<'_, T>) {
    until(|| task.wakes() > 0);
}
