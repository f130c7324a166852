//! The world of a case: tables of handles.

use std::sync::Arc;

use super::held::{errors, loggers, loops, snapshots, values, waits};
use super::plan::Plan;
use crate::abi::outcome::Outcome;
use crate::abi::registry::Registry;

/// Tables of handles, each with its model.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) registry: Arc<Registry>,
    pub(crate) values: Vec<values::Held>,
    pub(crate) errors: Vec<errors::Held>,
    pub(crate) loggers: Vec<loggers::Held>,
    pub(crate) loops: Vec<loops::Held>,
    pub(crate) snapshots: Vec<snapshots::Held>,
    pub(crate) waits: Vec<waits::Held>,
    /// The Doers of all loops: callbacks point to them.
    pub(crate) plans: Vec<Arc<Plan>>,
    /// Those of the loops that were freed.
    pub(crate) freed: Vec<Arc<Plan>>,
}

impl World {
    /// Keeps the error of a call, to be read and shared later; a few are enough.
    pub(crate) fn keep(&mut self, outcome: Outcome) {
        if let Some(error) = outcome.error.filter(|_| self.errors.len() < 8) {
            self.errors.push(errors::Held::new(error));
        }
    }

    fn free_loops(&mut self) {
        for held in self.loops.drain(..) {
            self.freed.push(held.finish());
        }
        self.freed.iter().for_each(|plan| loops::await_drop(plan));
    }

    pub(crate) fn finish(mut self, loops_last: bool) {
        if loops_last {
            self.waits.drain(..).for_each(waits::Held::abandon);
        } else {
            self.free_loops();
            self.waits.drain(..).for_each(waits::Held::finish);
        }
        self.snapshots.drain(..).for_each(snapshots::Held::finish);
        self.values.drain(..).for_each(values::Held::finish);
        self.loggers.drain(..).for_each(loggers::Held::finish);
        self.free_loops();
        self.errors.drain(..).for_each(errors::Held::finish);
        self.registry.finish();
    }
}
